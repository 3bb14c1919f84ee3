//! The xz format (<https://tukaani.org/xz/xz-file-format.txt>, version 1.2).
//!
//! [`index`] reads the block map at the end of the file, [`decode`] decodes single blocks, [`stream`] front to back.
//! [`encode`] writes, in the memory that [`memory`] states; `probe` finds what does not compress, and `lzma2` encodes a
//! block. This file has what they share: the fixed fields and the meaning of liblzma's errors.

mod decode;
pub(super) mod encode;
pub(super) mod index;
mod lzma2;
mod memory;
mod probe;
pub(super) mod stream;

use flate2::Crc;

use super::FormatError;

const FORMAT: &str = "xz";
/// The first bytes of each stream.
pub(super) const HEADER_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
/// The last bytes of each stream.
const FOOTER_MAGIC: [u8; 2] = *b"YZ";
/// Length of a stream's header, and of its footer.
const HEADER_BYTES: usize = 12;

/// The check types that are defined; the others are reserved.
const CHECKS: [u8; 4] = [0, 1, 4, 10];

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

fn stream_header(check: u8) -> [u8; HEADER_BYTES] {
    let flags = [0, check];
    let mut header = [0; HEADER_BYTES];
    header[..6].copy_from_slice(&HEADER_MAGIC);
    header[6..8].copy_from_slice(&flags);
    header[8..].copy_from_slice(&crc32(&flags));
    header
}

/// `index_len_bytes` is a multiple of four, at least 8 and at most 2^34.
fn stream_footer(check: u8, index_len_bytes: u64) -> [u8; HEADER_BYTES] {
    let backward = ((index_len_bytes / 4 - 1) as u32).to_le_bytes();
    let mut footer = [0; HEADER_BYTES];
    footer[4..8].copy_from_slice(&backward);
    footer[9] = check;
    let crc = crc32(&footer[4..10]);
    footer[..4].copy_from_slice(&crc);
    footer[10..].copy_from_slice(&FOOTER_MAGIC);
    footer
}

/// The error for one of liblzma; `place` is where it happened.
fn lzma_error(error: xz2::stream::Error, memory_bytes: u64, place: &str) -> FormatError {
    use xz2::stream::Error;
    match error {
        Error::Data | Error::Format => {
            FormatError::Damaged { format: FORMAT, detail: format!("invalid data or wrong check {place}") }
        }
        Error::Options => {
            FormatError::Unsupported { format: FORMAT, what: format!("unknown filters or flags {place}") }
        }
        Error::UnsupportedCheck | Error::NoCheck => {
            FormatError::Unsupported { format: FORMAT, what: format!("an unknown check type {place}") }
        }
        Error::MemLimit => FormatError::MemoryLimit {
            format: FORMAT,
            limit_bytes: memory_bytes,
            detail: format!("a large dictionary {place}"),
        },
        Error::Mem => FormatError::Io(std::io::ErrorKind::OutOfMemory.into()),
        Error::Program => FormatError::Io(std::io::Error::other("liblzma was used wrongly")),
    }
}
