//! Decodes image files with the compression libraries alone: every stream to its end; only the metadata that
//! OpenWrt's builder appends to its images may follow.

use crate::model::bytes::digest::md5_hex;
use crate::model::bytes::file_bytes::FileBytes;
use crate::scenario::content::find_all;
use std::collections::BTreeSet;
use std::io::Read;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// Decoded bytes, and cached results about them.
#[derive(Debug, Default)]
pub struct Plain {
    bytes: Vec<u8>,
    md5: OnceLock<String>,
    secrets: OnceLock<Vec<(usize, String)>>,
}

impl Plain {
    /// Their md5 in hex.
    pub fn md5(&self) -> &str {
        self.md5.get_or_init(|| md5_hex(&self.bytes))
    }

    /// The offsets of the markers of secrets, with the line of each; every line once.
    pub fn secrets(&self) -> &[(usize, String)] {
        self.secrets.get_or_init(|| {
            let mut seen = BTreeSet::new();
            let lines = find_all(&self.bytes).filter(|(_, line)| seen.insert(*line));
            lines.map(|(at, line)| (at, String::from_utf8_lossy(line).into_owned())).collect()
        })
    }
}

impl Deref for Plain {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The decoded bytes of a file with this name.
#[derive(PartialEq, Eq, Hash)]
struct Decoded(String);

/// The decoded bytes of a file called `name`; they are cached with the file.
///
/// # Errors
/// The error in the file.
pub fn decode(name: &str, file: &FileBytes) -> Result<Arc<Plain>, String> {
    file.cached(Decoded(name.to_owned()), |encoded| {
        let extension = name.rsplit('.').next().unwrap_or_default();
        let bytes = decode_anew(name, extension, encoded)?;
        Ok(Arc::new(Plain { bytes, ..Plain::default() }))
    })
}

fn decode_anew(name: &str, extension: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let is_compressed = ["xz", "bz2", "gz", "zst"].contains(&extension);
    let bytes = if is_compressed { without_metadata(bytes) } else { bytes };
    let result = match extension {
        "xz" => xz2::read::XzDecoder::new_multi_decoder(bytes).read_to_end(&mut plain),
        "bz2" => bzip2::read::MultiBzDecoder::new(bytes).read_to_end(&mut plain),
        "gz" => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain),
        "zst" => {
            return zstd::decode_all(bytes).map_err(|error| format!("{name}: {error}"));
        }
        _ => return Ok(bytes.to_vec()),
    };
    result.map(|_| plain).map_err(|error| format!("{name}: {error}"))
}

/// A file without the blocks of `fwtool` at its end: each ends with a magic number, 8 bytes and its length, big endian.
pub(in crate::judge) fn without_metadata(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some(end) = rest.last_chunk::<16>().filter(|end| end.starts_with(b"FWx0")) {
        let len = u32::from_be_bytes([end[12], end[13], end[14], end[15]]) as usize;
        match rest.len().checked_sub(len).filter(|_| len >= end.len()) {
            Some(start) => rest = &rest[..start],
            None => break,
        }
    }
    rest
}
