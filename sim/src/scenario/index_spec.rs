//! The index of a captured tarball and what the record says about it: written from `docs/archives.md`, separately from the
//! engine.

use crate::model::bytes::digest::md5_hex;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// The index beside a tarball with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexSpec {
    /// Of this tarball, as the record says.
    Right,
    /// One bit of it is flipped.
    Damaged,
    /// Both index and record are of a tarball with a root file system, in whose place this one was put.
    OfAnotherFile,
    /// The same, but the record was changed to be for this tarball.
    Forged,
}

/// The bytes of the index of a tarball, and what its record says about it. `other` is a tarball with a root file system; `md5` is
/// that of the file with `plain`.
///
/// # Errors
/// If it cannot be compressed.
pub(super) fn index(
    spec: IndexSpec,
    plain: &[u8],
    other: &[u8],
    file: &[u8],
) -> Result<(Vec<u8>, String), String> {
    let is_other = matches!(spec, IndexSpec::OfAnotherFile | IndexSpec::Forged);
    let decoded = decoded(if is_other { other } else { plain });
    let is_for = if spec == IndexSpec::OfAnotherFile { other } else { plain };
    let file_md5 = if spec == IndexSpec::OfAnotherFile { md5_hex(other) } else { md5_hex(file) };
    let record = format!(
        "image_md5 = \"{}\"\n[index]\nfile_md5 = \"{file_md5}\"\nimage_xxh3 = \"{:032x}\"\nindex_xxh3 = \"{:032x}\"\n\
         index_len_bytes = {}\n",
        md5_hex(is_for),
        xxh3_128(is_for),
        xxh3_128(&decoded),
        decoded.len(),
    );
    let mut bytes = zstd::bulk::compress(&decoded, 3).map_err(|error| error.to_string())?;
    if spec == IndexSpec::Damaged {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }
    Ok((bytes, record))
}

/// An index that leaves nothing out.
fn decoded(plain: &[u8]) -> Vec<u8> {
    let mut bytes = b"RTARIDX1".to_vec();
    for piece in plain.chunks(50_000) {
        bytes.extend((piece.len() as u32).to_le_bytes());
        bytes.extend(piece);
        bytes.extend(0_u64.to_le_bytes());
    }
    bytes
}
