//! Clears swap files, which hold pages of the golden unit's memory.
//!
//! They are found by content, not by name (`/swapfile`, `/var/swap`). A cleared file keeps its length, its blocks and its
//! header with UUID and label: `swapon` accepts neither holes nor a missing header.

use super::super::tree;
use crate::error::{Error, Result};
use crate::formats::swap::{HEAD_LEN_BYTES, Header, LEN_MIN_BYTES};
use crate::operation::Operation;
use replicator_hal::{self as hal, FileKind, RelativePath, VolumeFile, WriteTree};
use std::ops::Range;

/// Clears every swap file of `volume` and returns their paths.
pub(super) fn clear_all(operation: &Operation<'_>, volume: &dyn WriteTree) -> Result<Vec<RelativePath>> {
    let mut cleared = Vec::new();
    let mut head = vec![0; HEAD_LEN_BYTES];
    let mut progress = operation.progress("looking for swap files", None);
    tree::walk(operation, &volume, &RelativePath::root(), |path, kind| {
        progress.advance(0);
        if kind != FileKind::File {
            return Ok(());
        }
        let doing = || format!("looking for swap space in /{path}");
        let len_bytes = operation.retry(|| volume.metadata(path)).map_err(Error::hal(doing()))?.len_bytes;
        // A swap file consists of whole pages.
        if len_bytes < LEN_MIN_BYTES || len_bytes % 4096 != 0 {
            return Ok(());
        }
        let mut file = operation.retry(|| volume.open(path)).map_err(Error::hal(doing()))?;
        let len = hal::io::read_full(&mut head, |done, rest| operation.retry(|| file.read_at(done, rest)))
            .map_err(Error::hal(doing()))?;
        file.close().map_err(Error::hal(doing()))?;
        if let Some(header) = Header::find(&head[..len], len_bytes) {
            operation.log(&format!("clearing the swap file /{path}"));
            clear(operation, volume, path, header, len_bytes)
                .map_err(Error::hal(format!("clearing the swap file /{path}")))?;
            cleared.push(path.clone());
        }
        Ok(())
    })?;
    Ok(cleared)
}

fn clear(
    operation: &Operation<'_>,
    volume: &dyn WriteTree,
    path: &RelativePath,
    header: Header,
    len_bytes: u64,
) -> hal::Result<()> {
    let mut file = operation.retry(|| volume.open_write(path))?;
    if header.is_hibernated {
        let (at, end) = header.plain_end();
        write_at(operation, &mut *file, at, &end)?;
    }
    let zeros = vec![0; operation.tuning.chunk_len_bytes.max(1)];
    let mut progress = operation.progress("clearing a swap file", Some(len_bytes));
    // ext records which blocks were allocated and never written, and those are cleared elsewhere. On other file systems
    // such blocks may hold memory, so all is overwritten.
    let all = !volume.capabilities().file_system.is_ext();
    let mut at = header.page_len_bytes as u64;
    while let Some(data) = if all { Some(at..len_bytes) } else { next_data(operation, &mut *file, at)? } {
        if data.start >= len_bytes {
            break;
        }
        at = data.start.max(at);
        let end = data.end.min(len_bytes);
        while at < end {
            let piece = (end - at).min(zeros.len() as u64) as usize;
            write_at(operation, &mut *file, at, &zeros[..piece])?;
            at += piece as u64;
            progress.advance(piece as u64);
        }
    }
    progress.finish();
    file.sync()?;
    file.close()
}

fn next_data(
    operation: &Operation<'_>,
    file: &mut dyn VolumeFile,
    at: u64,
) -> hal::Result<Option<Range<u64>>> {
    Ok(operation.retry(|| file.next_data(at))?.filter(|data| data.end > at))
}

fn write_at(operation: &Operation<'_>, file: &mut dyn VolumeFile, at: u64, bytes: &[u8]) -> hal::Result<()> {
    hal::io::write_full(bytes, |done, rest| operation.retry(|| file.write_at(at + done, rest)))
}

/// The line for the report.
pub(super) fn note(cleared: &[RelativePath]) -> Option<String> {
    match cleared {
        [] => None,
        [one] => Some(format!("content of the swap file /{one} cleared")),
        many => {
            let names: Vec<_> = many.iter().map(|path| format!("/{path}")).collect();
            Some(format!("content of the swap files {} cleared", names.join(", ")))
        }
    }
}
