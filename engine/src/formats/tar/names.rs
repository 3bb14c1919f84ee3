//! Finds the numbers of users and groups that an archive only names, as in ACLs of GNU tar.
//!
//! Only `etc/passwd` and `etc/group` of the root file system in the archive have their numbers. These may come after the
//! entries that need them, so an archive is read twice: the first pass collects the names, the second one uses the
//! numbers.

use super::{FormatError, printable, unsupported};
use replicator_hal::RelativePath;
use std::collections::BTreeMap;

/// A longer file is not a list of a small system's users.
const FILE_LEN_MAX_BYTES: u64 = 1 << 20;
/// Placeholder numbers for names in the first pass, different for each name.
const PLACEHOLDERS_START: u32 = 0xf000_0000;

/// User or group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// A user.
    User,
    /// A group.
    Group,
}

/// Numbers by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    numbers: BTreeMap<(Who, Vec<u8>), u32>,
}

impl Names {
    /// Whether a file of this length, at `path` in an archive, may be such a list.
    pub(crate) fn may_be_in(path: &RelativePath, len_bytes: u64) -> bool {
        matches!(path.file_name(), Some(b"passwd" | b"group")) && len_bytes <= FILE_LEN_MAX_BYTES
    }

    /// Parses the content of an `etc/passwd` and an `etc/group`: `name:password:number:` at the start of a line. Of two
    /// lines for one name the first is used, as in the C library.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let mut names = Self::default();
        for (who, text) in [(Who::User, passwd), (Who::Group, group)] {
            for line in text.split(|byte| *byte == b'\n') {
                let mut fields = line.split(|byte| *byte == b':');
                let (Some(name), _, Some(number)) = (fields.next(), fields.next(), fields.next()) else {
                    continue;
                };
                let number = super::records::decimal(number).and_then(|number| u32::try_from(number).ok());
                if let Some(number) = number.filter(|_| !name.is_empty()) {
                    names.numbers.entry((who, name.to_vec())).or_insert(number);
                }
            }
        }
        names
    }
}

/// A name that needs a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    who: Who,
    name: Vec<u8>,
    /// The first entry with it.
    entry: Vec<u8>,
}

impl Wanted {
    /// Refuses the name if it is unknown.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn check(&self, names: &Names) -> Result<(), FormatError> {
        names.number(self.who, &self.name).map(drop).map_err(|error| super::in_entry(error, &self.entry))
    }
}

impl Names {
    fn number(&self, who: Who, name: &[u8]) -> Result<u32, FormatError> {
        self.numbers.get(&(who, name.to_vec())).copied().ok_or_else(|| {
            let (kind, file) = match who {
                Who::User => ("user", "etc/passwd"),
                Who::Group => ("group", "etc/group"),
            };
            unsupported(format!(
                "an ACL for the {kind} '{}', whose number is not in {file} of the archive,",
                printable(name)
            ))
        })
    }
}

/// The source of numbers.
#[derive(Debug)]
pub(super) enum Source {
    /// The numbers are known.
    Known(Names),
    /// The names are collected.
    Collecting(Vec<Wanted>),
}

impl Source {
    /// The number of a name, or its placeholder in the first pass.
    ///
    /// # Errors
    /// `Unsupported` for an unknown name.
    pub(super) fn number(&mut self, who: Who, name: &[u8], entry: &[u8]) -> Result<u32, FormatError> {
        match self {
            Self::Known(names) => names.number(who, name),
            Self::Collecting(wanted) => {
                let known = wanted.iter().position(|one| one.who == who && one.name == name);
                let at = known.unwrap_or_else(|| {
                    wanted.push(Wanted { who, name: name.to_vec(), entry: entry.to_vec() });
                    wanted.len() - 1
                });
                Ok(PLACEHOLDERS_START.saturating_add(u32::try_from(at).unwrap_or(u32::MAX / 32)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_c_library_reads_them() {
        let names = Names::parse(
            b"root:x:0:0:root:/root:/bin/sh\n#no:x\nbad:x:-1:\n:x:5:\npi:x:1000:1000::/:\npi:x:7:7::/:",
            b"adm:x:4:pi\n",
        );
        let mut source = Source::Known(names.clone());
        assert_eq!(source.number(Who::User, b"pi", b"").unwrap(), 1000);
        assert_eq!(source.number(Who::Group, b"adm", b"").unwrap(), 4);
        for (who, name) in
            [(Who::User, &b"adm"[..]), (Who::Group, b"pi"), (Who::User, b"bad"), (Who::User, b"")]
        {
            let error = source.number(who, name, b"").unwrap_err();
            assert_eq!(error.code(), "F-UNSUPPORTED");
        }
        let wanted = Wanted { who: Who::User, name: b"alice".to_vec(), entry: b"home/a".to_vec() };
        let text = wanted.check(&names).unwrap_err().to_string();
        assert!(text.contains("'alice'") && text.contains("etc/passwd") && text.contains("home/a"), "{text}");
    }

    #[test]
    fn the_first_pass_gives_every_name_a_number_of_its_own() {
        let mut source = Source::Collecting(Vec::new());
        let mut number = |who, name: &[u8]| source.number(who, name, b"x").unwrap();
        let (alice, bob, group) =
            (number(Who::User, b"alice"), number(Who::User, b"bob"), number(Who::Group, b"alice"));
        assert_eq!(number(Who::User, b"alice"), alice);
        assert!(alice != bob && bob != group && alice != group);
        let Source::Collecting(wanted) = source else { unreachable!() };
        assert_eq!(wanted.len(), 3);
    }
}
