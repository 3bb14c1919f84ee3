//! Recognises backups and unfinished downloads, which editors, file managers and browsers leave beside a file.

/// The origin of a leftover file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftover {
    /// An unfinished download of a browser or download tool.
    UnfinishedDownload,
    /// A copy that a user or program kept.
    Copy,
}

/// Extensions of downloads that are not finished.
const UNFINISHED: [&str; 12] = [
    "part",
    "partial",
    "crdownload",
    "download",
    "opdownload",
    "filepart",
    "aria2",
    "ut",
    "tmp",
    "temp",
    "swp",
    "incomplete",
];

/// Extensions of copies that were kept.
const COPIES: [&str; 9] = ["bak", "backup", "old", "orig", "original", "save", "disabled", "off", "unused"];

/// Words that file managers put into the name of a copy.
const COPY_WORDS: [&str; 9] =
    ["copy of ", " copy", "- copy", "kopie von ", "- kopie", " kopie", "copie de ", " - copie", "- copia"];

impl Leftover {
    /// The origin of a name in lower case, without space around it; `None` if it is not a leftover.
    pub(super) fn of(lower: &str) -> Option<Self> {
        let mut extensions = lower.split('.').skip(1).map(|extension| extension.trim_start_matches('!'));
        if extensions.clone().any(|extension| UNFINISHED.contains(&extension)) {
            return Some(Self::UnfinishedDownload);
        }
        let is_copy = extensions.any(|extension| COPIES.contains(&extension))
            || lower.starts_with('~')
            || lower.ends_with('~')
            || (lower.starts_with('#') && lower.ends_with('#'))
            || COPY_WORDS.iter().any(|word| lower.contains(word))
            || is_numbered(lower);
        is_copy.then_some(Self::Copy)
    }

    /// A description for the console.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::UnfinishedDownload => "an unfinished download",
            Self::Copy => "a backup or copy",
        }
    }

    /// Whether `extension` is one of a leftover.
    pub(super) fn adds(extension: &str) -> bool {
        let extension = extension.trim_start_matches('!');
        UNFINISHED.contains(&extension) || COPIES.contains(&extension)
    }
}

/// The name in lower case without the words of a copy.
pub(super) fn without_copy_words(lower: &str) -> String {
    let mut text = lower.trim_matches(|character| matches!(character, '~' | '#')).to_owned();
    for word in COPY_WORDS {
        text = text.replace(word, "");
    }
    text
}

/// Whether it has a number in parentheses, as in `sdimage (1).dd.xz`.
fn is_numbered(lower: &str) -> bool {
    lower.split('(').skip(1).any(|after| {
        after
            .split_once(')')
            .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_recognised() {
        for name in ["a.dd.xz.part", "a.dd.xz.crdownload", "a.dd.!ut", "a.part.xz"] {
            assert_eq!(Leftover::of(name), Some(Leftover::UnfinishedDownload), "{name}");
        }
        for name in
            ["a.dd.bak", "a.dd~", "~a.dd", "#a.dd#", "a (1).dd", "a.dd (12)", "copy of a.dd", "a - kopie.dd"]
        {
            assert_eq!(Leftover::of(name), Some(Leftover::Copy), "{name}");
        }
        for name in ["a.dd.xz", "department.dd", "a (final).dd", "a().dd", "holdings.tar"] {
            assert_eq!(Leftover::of(name), None, "{name}");
        }
        assert_eq!(without_copy_words("copy of sdimage.dd"), "sdimage.dd");
    }
}
