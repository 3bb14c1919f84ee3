//! The record beside an image that says which medium it was captured from.
//!
//! A write compares it with the medium it is about to overwrite, so that a golden unit is not overwritten with its own
//! sanitised copy. It lies beside the image as `<medium>image.source` and is there before the image is.

use crate::from_toml;
use serde::{Deserialize, Serialize};

/// Longest record that is read, in bytes.
pub const LIMIT_BYTES: usize = 16 * 1024;

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Generic name of the medium, such as `sd`.
    pub medium: String,
    /// Profile of the board.
    pub board: String,
    /// Serial number or CID of the medium, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// What the medium was attached by.
    pub kind: String,
    /// Capacity of the medium.
    pub len_bytes: u64,
    /// When it was captured, by the board's clock, UTC.
    pub captured: String,
    /// Version of the program.
    pub version: String,
}

impl SourceRecord {
    /// The record's file name.
    pub fn file_name(medium: &str) -> String {
        format!("{medium}image.source")
    }

    /// Reads a record; `None` if it is none, because what lies on a drive may be anything.
    pub fn parse(content: &[u8]) -> Option<Self> {
        if content.len() > LIMIT_BYTES {
            return None;
        }
        from_toml::parse(std::str::from_utf8(content).ok()?).ok()
    }

    /// The file's content.
    ///
    /// # Errors
    /// None in practice: every value has a form in TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(identity: Option<String>) -> SourceRecord {
        SourceRecord {
            medium: "sd".into(),
            board: "tsimx6".into(),
            identity,
            kind: "SD".into(),
            len_bytes: 4 << 30,
            captured: "2026-01-02T03:04:05Z".into(),
            version: "0.1.0".into(),
        }
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(identity in proptest::option::of(".{0,40}")) {
            let record = record(identity);
            prop_assert_eq!(SourceRecord::parse(record.to_toml().unwrap().as_bytes()), Some(record));
        }

        #[test]
        fn garbage_and_cut_records_are_none(content in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..120) {
            let whole = record(Some("x".into())).to_toml().unwrap();
            prop_assert_eq!(SourceRecord::parse(&whole.as_bytes()[..cut.min(whole.len() - 9)]), None);
            prop_assert_eq!(SourceRecord::parse(&content), None);
        }
    }
}
