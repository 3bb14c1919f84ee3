//! Data that tools append to an image, byte by byte as they do.

use super::schema::Trailer;
use std::io::Write;

impl Trailer {
    /// The bytes behind the compressed file with the content `plain`.
    ///
    /// # Errors
    /// If they cannot be packed.
    pub(super) fn bytes(self, plain: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::Openwrt => Ok(openwrt()),
            Self::Pixz => pixz(plain),
        }
    }
}

/// Blocks that end with `FWx0`, a checksum, a type and their length, big endian.
fn openwrt() -> Vec<u8> {
    let block = |data: &[u8], kind: u8| {
        let len = data.len() as u32 + 16;
        [data, b"FWx0", &[0x87, 0x3f, 0x13, 0x85], &[kind, 0, 0, 0], &len.to_be_bytes()].concat()
    };
    let metadata = b"\0\0\0\0\0\0\0\0{  \"metadata_version\": \"1.1\", \"compat_version\": \"1.0\" }\n";
    [block(metadata, 1), block(b"untrusted comment: signed by key 0\n", 0)].concat()
}

/// A magic number, then name, NUL and offset of each file, then an empty name and the offset of the archive's end.
fn pixz(archive: &[u8]) -> Result<Vec<u8>, String> {
    let mut index = 0xdbae_14d6_2e32_4ca6_u64.to_le_bytes().to_vec();
    for (name, at) in [(&b"./first"[..], 0), (b"", archive.len() as u64)] {
        index.extend_from_slice(name);
        index.push(0);
        index.extend_from_slice(&at.to_le_bytes());
    }
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 0);
    let done = encoder.write_all(&index).and_then(|()| encoder.finish());
    done.map_err(|error| error.to_string())
}
