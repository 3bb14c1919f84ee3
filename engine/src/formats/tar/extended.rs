//! Reads the pax headers of an entry, key by key.
//!
//! Every key is either used, known to be irrelevant, or refused. Unknown keys of other vendors are ignored, as POSIX
//! allows; those below `GNU.` are refused, because they may change the meaning of the stored bytes.

use super::attributes::Attributes;
use super::records::{next_record, number_of, timestamp};
use super::sparse::SparseRecords;
use super::{FormatError, damaged, fflags, printable, unsupported};
use replicator_hal::Timestamp;

/// Values of the global headers so far, for all entries without their own.
#[derive(Clone, Default)]
pub(super) struct Globals {
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<Timestamp>,
}

impl Globals {
    /// Reads the records of a global header. Only owner and time make sense for all entries; comments (`git archive`
    /// writes one) and volume labels are ignored; names, sizes and attributes are refused.
    pub(super) fn apply(&mut self, mut records: &[u8]) -> Result<(), FormatError> {
        while let Some((key, value)) = next_record(&mut records)? {
            let mut extended = Extended { globals: self.clone(), ..Extended::default() };
            let only_globals = owner_or_time(&mut extended.globals, key, value)?;
            if only_globals {
                *self = extended.globals;
            } else if !does_not_matter(key) && key != b"GNU.volume.label" {
                extended.record(key, value)?;
                if extended.is_used() {
                    return Err(unsupported(format!("the key '{}' in a global header", printable(key))));
                }
            }
        }
        Ok(())
    }
}

/// The values of one entry that extend its header.
#[derive(Default)]
pub(super) struct Extended {
    globals: Globals,
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) device_major: Option<u32>,
    pub(super) device_minor: Option<u32>,
    pub(super) sparse: SparseRecords,
    pub(super) attributes: Attributes,
    /// Names of inode flags.
    pub(super) flags: Vec<u8>,
}

impl Extended {
    /// Reads the records of an entry, which override the global headers. Of a repeated key the last one is used.
    pub(super) fn read(globals: &Globals, mut records: &[u8]) -> Result<Self, FormatError> {
        let mut extended = Self { globals: globals.clone(), ..Self::default() };
        while let Some((key, value)) = next_record(&mut records)? {
            if !owner_or_time(&mut extended.globals, key, value)? && !does_not_matter(key) {
                extended.record(key, value)?;
            }
        }
        Ok(extended)
    }

    pub(super) fn uid(&self) -> Option<u64> {
        self.globals.uid
    }

    pub(super) fn gid(&self) -> Option<u64> {
        self.globals.gid
    }

    pub(super) fn modified(&self) -> Option<Timestamp> {
        self.globals.modified
    }

    fn is_used(&self) -> bool {
        self.path.is_some()
            || self.link_path.is_some()
            || self.size.is_some()
            || self.device_major.is_some()
            || self.device_minor.is_some()
            || self.sparse.used()
            || !self.attributes.is_empty()
            || !self.flags.is_empty()
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), FormatError> {
        if self.attributes.record(key, value)? {
            return Ok(());
        }
        if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
            return self.sparse.record(key, value);
        }
        match key {
            fflags::KEY => self.flags = value.to_vec(),
            b"path" => self.path = unless_empty(value, |value| Ok(value.to_vec()))?,
            b"linkpath" => self.link_path = unless_empty(value, |value| Ok(value.to_vec()))?,
            b"size" => self.size = unless_empty(value, |value| number_of("size", value))?,
            b"SCHILY.devmajor" => self.device_major = Some(number_of("SCHILY.devmajor", value)?),
            b"SCHILY.devminor" => self.device_minor = Some(number_of("SCHILY.devminor", value)?),
            // These change the meaning of the stored bytes, or hold rights that cannot be restored.
            b"SUN.holesdata" | b"SCHILY.realsize" | b"SCHILY.acl.ace" => {
                return Err(unsupported(format!("the key '{}'", printable(key))));
            }
            _ if key.starts_with(b"GNU.") => {
                return Err(unsupported(format!("the key '{}'", printable(key))));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Reads a record with an owner or a time. Returns whether it is one.
fn owner_or_time(known: &mut Globals, key: &[u8], value: &[u8]) -> Result<bool, FormatError> {
    match key {
        b"uid" => known.uid = unless_empty(value, |value| number_of("uid", value))?,
        b"gid" => known.gid = unless_empty(value, |value| number_of("gid", value))?,
        b"mtime" => {
            known.modified = unless_empty(value, |value| {
                timestamp(value).ok_or_else(|| damaged(format!("the time {}", printable(value))))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Owner names, comments, other times, and the character set: names are read as bytes in any case.
fn does_not_matter(key: &[u8]) -> bool {
    matches!(key, b"atime" | b"ctime" | b"uname" | b"gname" | b"comment" | b"charset" | b"hdrcharset")
}

/// An empty value cancels that of an earlier record or a global header.
fn unless_empty<T>(
    value: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, FormatError>,
) -> Result<Option<T>, FormatError> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::super::records::push_record;
    use super::*;

    fn records(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in pairs {
            push_record(&mut bytes, key.as_bytes(), value.as_bytes());
        }
        bytes
    }

    #[test]
    fn the_records_of_an_entry_override_the_global_ones() {
        let mut globals = Globals::default();
        globals
            .apply(&records(&[("comment", "c0ffee"), ("uid", "5"), ("gid", "6"), ("mtime", "7.5")]))
            .unwrap();
        let extended = Extended::read(&globals, &records(&[("uid", "9"), ("gid", "")])).unwrap();
        assert_eq!((extended.uid(), extended.gid()), (Some(9), None));
        assert_eq!(extended.modified(), Some(Timestamp { seconds: 7, nanos: 500_000_000 }));
    }

    #[test]
    fn global_names_sizes_and_attributes_are_refused() {
        for key in [
            "path",
            "linkpath",
            "size",
            "SCHILY.xattr.user.a",
            "GNU.sparse.major",
            "GNU.dumpdir",
            "SCHILY.fflags",
        ] {
            let error = Globals::default().apply(&records(&[(key, "1")])).unwrap_err();
            assert_eq!(error.code(), "F-UNSUPPORTED", "{key}");
        }
        Globals::default()
            .apply(&records(&[("GNU.volume.label", "x"), ("SCHILY.archtype", "exustar")]))
            .unwrap();
    }

    #[test]
    fn keys_that_change_the_meaning_are_refused_and_unknown_ones_ignored() {
        for key in ["GNU.dumpdir", "GNU.volume.offset", "GNU.new", "SUN.holesdata", "SCHILY.realsize"] {
            assert_eq!(
                Extended::read(&Globals::default(), &records(&[(key, "1")])).err().map(|error| error.code()),
                Some("F-UNSUPPORTED"),
                "{key}"
            );
        }
        let pairs =
            [("LIBARCHIVE.creationtime", "1"), ("SCHILY.ino", "5"), ("VENDOR.x", ""), ("atime", "bad")];
        let extended = Extended::read(&Globals::default(), &records(&pairs)).unwrap();
        assert!(!extended.is_used());
        for bad in [
            ("size", "-1"),
            ("size", "18446744073709551616"),
            ("uid", "18446744073709551616"),
            ("mtime", "x"),
        ] {
            assert!(Extended::read(&Globals::default(), &records(&[bad])).is_err(), "{bad:?}");
        }
    }
}
