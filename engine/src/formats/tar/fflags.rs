//! Inode flags in `SCHILY.fflags`: a list of names, separated by commas, that libarchive (`bsdtar --fflags`) writes on
//! Linux, and its other spellings.

use replicator_hal::InodeFlags;

/// The pax key.
pub(super) const KEY: &[u8] = b"SCHILY.fflags";

/// Flags and their names; the first one is written.
const NAMES: [(InodeFlags, &[&str]); 14] = [
    (InodeFlags::SECURE_DELETE, &["secdel", "securedeletion"]),
    (InodeFlags::UNDELETE, &["undel"]),
    (InodeFlags::COMPRESS, &["compress"]),
    (InodeFlags::SYNC, &["sync"]),
    (InodeFlags::IMMUTABLE, &["schg", "schange", "simmutable"]),
    (InodeFlags::APPEND_ONLY, &["sappnd", "sappend"]),
    (InodeFlags::NO_DUMP, &["nodump"]),
    (InodeFlags::NO_ACCESS_TIME, &["noatime"]),
    (InodeFlags::JOURNAL_DATA, &["journal-data", "journal"]),
    (InodeFlags::NO_TAIL, &["notail"]),
    (InodeFlags::SYNC_NAMES, &["dirsync"]),
    (InodeFlags::TOP_DIRECTORY, &["topdir"]),
    (InodeFlags::NO_COPY_ON_WRITE, &["nocow"]),
    (InodeFlags::PROJECT_INHERIT, &["projinherit"]),
];

/// The text, and the flags that have no name.
pub(super) fn text(flags: InodeFlags) -> (String, InodeFlags) {
    let named = NAMES.iter().filter(|(flag, _)| !flags.both(*flag).is_empty());
    let names: Vec<&str> = named.clone().filter_map(|(_, names)| names.first().copied()).collect();
    let unnamed = named.fold(flags, |left, (flag, _)| left.without(*flag));
    (names.join(","), unnamed)
}

/// The flags in a text; `unknown` gets each name that Linux does not have. A negated flag is not set.
pub(super) fn parse(text: &[u8], mut unknown: impl FnMut(&[u8])) -> InodeFlags {
    let mut flags = InodeFlags::none();
    for name in text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
        let is = |name: &[u8]| {
            NAMES
                .iter()
                .find(|(_, names)| names.iter().any(|known| known.as_bytes() == name))
                .map(|(flag, _)| *flag)
        };
        match is(name) {
            Some(flag) => flags = flags.with(flag),
            // Negated: `noschg`, and `dump` for a flag that begins with `no` itself.
            None if name.strip_prefix(b"no").and_then(is).is_some() => {}
            None if is(&[b"no", name].concat()).is_some() => {}
            None => unknown(name),
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_with_a_name_is_read_back() {
        let mut unnamed = InodeFlags::none();
        for flag in InodeFlags::ALL.each() {
            let (written, left) = text(flag);
            unnamed = unnamed.with(left);
            assert_eq!(parse(written.as_bytes(), |name| panic!("{name:?}")), flag.without(left), "{written}");
        }
        assert_eq!(unnamed, InodeFlags::NO_COMPRESS.with(InodeFlags::DIRECT_ACCESS));
        let all = InodeFlags::ALL.without(unnamed);
        assert_eq!(parse(text(InodeFlags::ALL).0.as_bytes(), |name| panic!("{name:?}")), all);
        assert_eq!(text(InodeFlags::none()), (String::new(), InodeFlags::none()));
    }

    #[test]
    fn other_spellings_are_read_and_flags_of_other_systems_reported() {
        let mut unknown = Vec::new();
        let mut read = |text: &str| parse(text.as_bytes(), |name| unknown.push(name.to_vec()));
        assert_eq!(read("simmutable, sappend,"), InodeFlags::LOCKS);
        assert_eq!(read("noschg,dump,nosappnd,nonodump,atime"), InodeFlags::none());
        assert_eq!(read("uarch,schg,hidden"), InodeFlags::IMMUTABLE);
        assert_eq!(unknown, [b"uarch".to_vec(), b"hidden".to_vec()]);
    }
}
