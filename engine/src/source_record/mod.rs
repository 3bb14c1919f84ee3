//! The record beside an image: which medium the image was captured from, and the names on that medium.
//!
//! A write compares the record with the medium, so that a golden unit is not overwritten with its own sanitised copy. It
//! also gives a clone the UUIDs and labels by which its files name the root. The record is `<medium>image.source` beside
//! the image, and is written before the image gets its name. Records of older versions have fewer fields.

mod index;
mod root;

pub(crate) use index::IndexRecord;
pub(crate) use root::RootRecord;

use crate::from_toml;
use replicator_hal::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest record that is read, in bytes.
pub(crate) const LIMIT_BYTES: usize = 16 * 1024;

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceRecord {
    /// Generic name of the medium, such as `sd`.
    pub medium: String,
    /// Profile of the board.
    pub board: String,
    /// Serial number or CID of the medium, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// How the medium was attached.
    pub kind: String,
    /// Capacity of the medium.
    pub len_bytes: u64,
    /// When it was captured, by the board's clock, UTC.
    pub captured: String,
    /// Version of the program.
    pub version: String,
    /// md5 of the decoded image; the fields below apply to this image only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_md5: Option<String>,
    /// The marks of the golden medium, if it has no identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<String>,
    /// The index of a tarball. Tables are the last fields, because TOML needs them after values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexRecord>,
    /// The names of the root file system, for a tarball.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RootRecord>,
}

impl SourceRecord {
    /// The record's file name.
    pub(crate) fn file_name(medium: &str) -> String {
        format!("{medium}image.source")
    }

    /// Reads a record; `None` if this is not a record. An invalid UUID, GUID or number makes the whole record invalid: a
    /// clone must not silently get another one.
    pub(crate) fn parse(content: &[u8]) -> Option<Self> {
        if content.len() > LIMIT_BYTES {
            return None;
        }
        let record: Self = from_toml::parse(std::str::from_utf8(content).ok()?).ok()?;
        record.root.as_ref().is_none_or(RootRecord::is_valid).then_some(record)
    }

    /// The file's content.
    ///
    /// # Errors
    /// None in practice: every value has a form in TOML.
    pub(crate) fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

/// A point in time as text, UTC.
pub(crate) fn stamp(time: Timestamp) -> String {
    let nanos = i32::try_from(time.nanos).unwrap_or(0);
    jiff::Timestamp::new(time.seconds, nanos)
        .and_then(|time| time.round(jiff::Unit::Second))
        .map_or_else(|_| "at an unknown time".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::digest::{Algorithm, Digest};
    use crate::formats::partition::{DiskId, Guid, Identity};
    use proptest::prelude::*;
    use replicator_hal::Uuid;

    fn record(identity: Option<String>) -> SourceRecord {
        SourceRecord {
            medium: "sd".into(),
            board: "tsimx6".into(),
            identity,
            kind: "SD".into(),
            len_bytes: 4 << 30,
            captured: "2026-01-02T03:04:05Z".into(),
            version: "0.1.0".into(),
            image_md5: None,
            marks: Vec::new(),
            index: None,
            root: None,
        }
    }

    fn root(label: Option<String>, disk: DiskId) -> RootRecord {
        RootRecord::new(Some(Uuid([7; 16])), label, Some(&Identity { disk, number: 2 }))
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(
            identity in proptest::option::of(".{0,40}"),
            label in proptest::option::of(".{0,16}"),
            name in "[^\0]{0,30}",
            is_gpt in any::<bool>(),
            signature in any::<u32>(),
            (has_index, hash, len_bytes) in (any::<bool>(), any::<u128>(), 0..u64::MAX >> 1),
            marks in prop::collection::vec("[0-9a-f]{8}", 0..3),
        ) {
            let guid = |text| Guid::parse(text).unwrap();
            let disk = match is_gpt {
                false => DiskId::Mbr { signature, kind: 0x83 },
                true => DiskId::Gpt {
                    disk: guid("01234567-89ab-cdef-0123-456789abcdef"),
                    partition: guid("fedcba98-89ab-cdef-0123-456789abcdef"),
                    kind: guid("0fc63daf-8483-4772-8e79-3d69d8477de4"),
                    name,
                },
            };
            let root = root(label, disk.clone());
            prop_assert_eq!(root.identity().map(|identity| (identity.disk, identity.number)), Some((disk, 2)));
            let image_md5 = Some("0".repeat(32));
            let index = has_index.then(|| IndexRecord::new(&Digest::of(Algorithm::Md5, b""), hash, !hash, len_bytes));
            let record = SourceRecord { marks, image_md5, index, root: Some(root), ..record(identity) };
            prop_assert_eq!(SourceRecord::parse(record.to_toml().unwrap().as_bytes()), Some(record));
        }

        #[test]
        fn garbage_and_cut_records_are_not_read(content in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..120) {
            let whole = record(Some("x".into())).to_toml().unwrap();
            prop_assert_eq!(SourceRecord::parse(&whole.as_bytes()[..cut.min(whole.len() - 9)]), None);
            prop_assert_eq!(SourceRecord::parse(&content), None);
        }
    }

    #[test]
    fn a_record_of_an_older_version_is_read() {
        let text = "medium = \"sd\"\nboard = \"tsimx6\"\nkind = \"SD\"\nlen_bytes = 1\ncaptured = \"x\"\nversion = \"0.1.0\"\n";
        let old = SourceRecord::parse(text.as_bytes()).unwrap();
        assert_eq!((old.root, old.image_md5, old.marks.len()), (None, None, 0));
    }

    #[test]
    fn a_record_of_a_later_version_is_read() {
        let record = SourceRecord { image_md5: Some("0".repeat(32)), ..record(None) };
        let text =
            format!("{}later = 1\n[more]\nkeys = [\"x\"]\n[more.tables]\nx = 1\n", record.to_toml().unwrap());
        assert_eq!(SourceRecord::parse(text.as_bytes()), Some(record));
    }

    #[test]
    fn a_record_with_an_invalid_value_is_not_read() {
        let whole = record(None);
        let disk = DiskId::Mbr { signature: 0x5eed, kind: 0x83 };
        let root = root(Some("rootfs".into()), disk);
        let text = SourceRecord { root: Some(root), ..whole }.to_toml().unwrap();
        assert!(SourceRecord::parse(text.as_bytes()).is_some(), "{text}");
        for (from, to) in [
            ("07070707-0707", "07070707"),
            ("disk = \"00005eed\"", "disk = \"nonsense\""),
            ("disk = \"00005eed\"", "disk = \"5eed\""),
            ("table = \"mbr\"", "table = \"bsd\""),
            ("number = 2", "number = 0"),
            ("number = 2", "number = 5"),
            ("kind = \"83\"", "kind = \"linux\""),
        ] {
            let bad = text.replace(from, to);
            assert!(bad != text, "{from} is not in {text}");
            assert_eq!(SourceRecord::parse(bad.as_bytes()), None, "{to}");
        }
    }
}
