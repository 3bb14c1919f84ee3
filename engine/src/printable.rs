//! Makes text from outside safe to print: names on the drive, entries of archives, output of tools.
//!
//! Printed text has no control characters, which could overwrite earlier lines of a terminal, and has a limited length.
//! The report file has the whole text, because JSON has its own escapes.

use std::borrow::Cow;

/// Longest line for console and logs, in characters.
const LINE_MAX: usize = 2000;
/// How many names of one kind a message lists.
const NAMES_MAX: usize = 8;

/// One line, with control characters escaped, cut at [`LINE_MAX`].
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if text.len() <= LINE_MAX && !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == LINE_MAX {
            shown.push_str("...");
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// The first few of many texts, and then a text with the number of the others.
pub(crate) fn first(texts: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = texts.iter().take(NAMES_MAX).cloned().collect();
    if texts.len() > NAMES_MAX {
        shown.push(format!("and {} more", texts.len() - NAMES_MAX));
    }
    shown
}

/// The same in one line.
pub(crate) fn few(texts: &[String], separator: &str) -> String {
    let shown = texts.iter().take(NAMES_MAX).cloned().collect();
    let list = Few { shown, more: texts.len().saturating_sub(NAMES_MAX) };
    list.line(separator).unwrap_or_default()
}

/// A list of which only the first texts are kept, so that it stays short.
#[derive(Debug, Default)]
pub(crate) struct Few {
    shown: Vec<String>,
    more: usize,
}

impl Few {
    /// Adds a text.
    pub(crate) fn push(&mut self, text: String) {
        if self.shown.len() < NAMES_MAX { self.shown.push(text) } else { self.more += 1 }
    }

    /// The texts that are kept, and the number of the others; `None` if there are none.
    pub(crate) fn line(&self, separator: &str) -> Option<String> {
        let mut line = self.shown.join(separator);
        if self.more > 0 {
            line.push_str(&format!("{separator}and {} more", self.more));
        }
        (!self.shown.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_neither_controls_a_terminal_nor_floods_it() {
        assert_eq!(line("sdimage.dd.xz: fine, \u{e4}"), "sdimage.dd.xz: fine, \u{e4}");
        assert_eq!(line("a\x1b[2Jb\nsd: OK"), "a\\u{1b}[2Jb\\nsd: OK");
        let long = line(&"x".repeat(1 << 20)).into_owned();
        assert_eq!(long.len(), LINE_MAX + 3);
    }

    #[test]
    fn the_first_of_many_are_listed() {
        let texts: Vec<String> = (0..100_000).map(|number| number.to_string()).collect();
        for count in [0, 1, NAMES_MAX, NAMES_MAX + 1, texts.len()] {
            let mut list = Few::default();
            texts[..count].iter().for_each(|text| list.push(text.clone()));
            assert_eq!(list.line(" ").unwrap_or_default(), few(&texts[..count], " "));
        }
        assert_eq!(few(&texts, "; "), "0; 1; 2; 3; 4; 5; 6; 7; and 99992 more");
        assert_eq!(few(&texts[..2], ", "), "0, 1");
    }
}
