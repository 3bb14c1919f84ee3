//! Tar archives: a reader for those of the usual tools, and a writer of POSIX pax archives.
//!
//! The `tar` crate reads and writes the fields of headers. Walking, extended records, sparse maps and attributes are
//! implemented here, because that crate's reader damages a root file system (it loses attributes with a newline in their
//! value, device nodes and directory times, and restores pax sparse files as garbage). The reader returns an entry
//! exactly as it was packed, or fails with an error that names the entry; it does not skip one. Extraction and
//! compression are elsewhere.

mod acl;
mod attributes;
mod blocks;
mod encode;
mod entry;
mod extended;
mod fflags;
mod header;
pub(crate) mod in_order;
mod index;
mod names;
mod number;
mod reader;
mod records;
mod remarks;
mod sparse;
mod trailer;
mod writer;

pub(crate) use blocks::{Skip, skip_by_reading};
pub use entry::{Entry, EntryKind};
pub(crate) use index::{Index, IndexReader, IndexWriter};
pub(crate) use names::Names;
pub use reader::{Reader, ReaderLimits};
pub(crate) use remarks::Remarks;
pub use writer::Writer;

use super::FormatError;

/// Tar counts everything in blocks of this size.
const BLOCK_BYTES: usize = 512;
/// [`BLOCK_BYTES`] for lengths in an archive.
const BLOCK_LEN: u64 = BLOCK_BYTES as u64;

/// Default limit of the reader, and limit of the writer, for the extended headers of one entry.
pub const HEADER_BYTES_MAX: usize = 1 << 20;
/// Default limit of the reader, and limit of the writer, for the data extents of one sparse file. An extent takes 16
/// bytes of memory.
pub const SPARSE_RANGES_MAX: usize = 1 << 20;

const FORMAT: &str = "tar";

fn damaged(detail: impl Into<String>) -> FormatError {
    FormatError::Damaged { format: FORMAT, detail: detail.into() }
}

fn truncated(detail: impl Into<String>) -> FormatError {
    FormatError::Truncated { format: FORMAT, detail: detail.into() }
}

fn unsupported(what: impl Into<String>) -> FormatError {
    FormatError::Unsupported { format: FORMAT, what: what.into() }
}

/// Adds the entry to an error.
fn in_entry(error: FormatError, raw_path: &[u8]) -> FormatError {
    let name = printable(raw_path);
    match error {
        FormatError::Damaged { detail, .. } => damaged(format!("entry \"{name}\": {detail}")),
        FormatError::Truncated { detail, .. } => truncated(format!("entry \"{name}\": {detail}")),
        FormatError::Unsupported { what, .. } => unsupported(format!("{what} (entry \"{name}\")")),
        FormatError::MemoryLimit { format, limit_bytes, detail } => {
            FormatError::MemoryLimit { format, limit_bytes, detail: format!("entry \"{name}\": {detail}") }
        }
        other => other,
    }
}

/// A name for a message: control bytes escaped, and not longer than a line.
fn printable(raw: &[u8]) -> String {
    const SHOWN_BYTES: usize = 300;
    let shown = &raw[..raw.len().min(SHOWN_BYTES)];
    let mut text: String = String::from_utf8_lossy(shown).chars().flat_map(char::escape_debug).collect();
    if shown.len() < raw.len() {
        text.push_str("...");
    }
    text
}

/// Zeros from the end of `len_bytes` to the next block.
fn padding(len_bytes: u64) -> u64 {
    (BLOCK_LEN - len_bytes % BLOCK_LEN) % BLOCK_LEN
}
