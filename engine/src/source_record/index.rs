//! The part of a record about the index of a tarball: by which bytes it is recognised, and those of the image for which it was
//! made.
//!
//! The capture read this image back and decoded all of it, so a file with its md5 can be decoded, and has its content.

use crate::formats::digest::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

/// The index of a tarball.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexRecord {
    /// md5 of the image's file.
    file_md5: String,
    /// XXH3 of the decoded image, 128 bits.
    image_xxh3: String,
    /// The same of the decoded index.
    index_xxh3: String,
    /// Length of the decoded index.
    index_len_bytes: u64,
}

impl IndexRecord {
    /// For an image whose file has `file_md5`, and whose content has `image_hash`.
    pub(crate) fn new(file_md5: &Digest, image_hash: u128, index_hash: u128, index_len_bytes: u64) -> Self {
        Self {
            file_md5: file_md5.to_string(),
            image_xxh3: hex(image_hash),
            index_xxh3: hex(index_hash),
            index_len_bytes,
        }
    }

    /// Whether it is for an image whose file has this digest.
    pub(crate) fn is_for(&self, file_md5: &Digest) -> bool {
        file_md5.algorithm() == Algorithm::Md5 && self.file_md5 == file_md5.to_string()
    }

    /// The hash of the decoded image; `None` if the record has none that is valid.
    pub(crate) fn image_hash(&self) -> Option<u128> {
        parse(&self.image_xxh3)
    }

    /// The hash of the decoded index, and its length.
    pub(crate) fn index(&self) -> Option<(u128, u64)> {
        parse(&self.index_xxh3).map(|hash| (hash, self.index_len_bytes))
    }
}

fn hex(hash: u128) -> String {
    format!("{hash:032x}")
}

fn parse(text: &str) -> Option<u128> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_read_as_they_were_written_and_nothing_else_is() {
        let md5 = Digest::of(Algorithm::Md5, b"file");
        let record = IndexRecord::new(&md5, 7, u128::MAX, 5);
        assert_eq!((record.image_hash(), record.index()), (Some(7), Some((u128::MAX, 5))));
        assert!(record.is_for(&md5));
        assert!(!record.is_for(&Digest::of(Algorithm::Md5, b"another")));
        for wrong in ["", "7", "+0000000000000000000000000000007", "g0000000000000000000000000000000"] {
            let record = IndexRecord { image_xxh3: wrong.into(), index_xxh3: wrong.into(), ..record.clone() };
            assert_eq!((record.image_hash(), record.index()), (None, None), "{wrong:?}");
        }
    }
}
