//! Tar archives: a reader for what the usual tools write, and a writer of POSIX pax archives.
//!
//! Headers are viewed and filled through the `tar` crate; walking, extended records, sparse maps and attributes are
//! done here, because a root file system does not survive that crate's reader (it loses attributes with a newline in
//! their value, device nodes, directory times, and restores pax sparse files as garbage). What an archive cannot say
//! exactly is refused, never skipped: an entry is given as it was packed, or the reader fails and names it.
//! What does not live here: putting entries on a volume, and compression.

mod acl;
mod attributes;
mod blocks;
mod encode;
mod entry;
mod extended;
mod fflags;
mod header;
mod names;
mod number;
mod reader;
mod records;
mod remarks;
mod sparse;
mod trailer;
mod writer;

pub use entry::{Entry, EntryKind};
pub(crate) use names::Names;
pub use reader::{Reader, ReaderLimits};
pub(crate) use remarks::Remarks;
pub use writer::Writer;

use super::FormatError;

/// Tar counts everything in blocks of this size.
const BLOCK_BYTES: usize = 512;
/// [`BLOCK_BYTES`] for lengths in an archive.
const BLOCK_LEN: u64 = BLOCK_BYTES as u64;

/// What the reader allows by default, and the most the writer writes, for the extended headers of one entry.
pub const HEADER_BYTES_MAX: usize = 1 << 20;
/// What the reader allows by default, and the most the writer writes, for the data stretches of one sparse file.
/// A range takes 16 bytes of memory.
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

/// Says which entry an error is about.
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
