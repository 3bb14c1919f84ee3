//! Free blocks of the captured root file system read as zeros, so that what sanitising removed is gone.
//!
//! The file system's own map says which blocks are free once it is unmounted and clean. Where it cannot prove that, the
//! free space is filled with a file of zeros, which is synced before it is removed again.

use super::layout;
use super::mounted::with_mounted;
use super::work;
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{Access, ErrorKind, Region, Volume, VolumeFile};

/// A last piece smaller than this is no block of any ext file system.
const PIECE_MIN_BYTES: usize = 1024;
/// More files of zeros than any file system takes.
const FILES_MAX: u32 = 10_000;

/// Makes sure that the free blocks of the unmounted ext file system in `region` are known or hold zeros.
pub(super) fn clear(operation: &Operation<'_>, region: &Region) -> Result<()> {
    if layout::unused_of(operation, region)?.is_some() {
        return Ok(());
    }
    operation.step("filling the free space of the image with zeros");
    with_mounted(operation, region, Access::ReadWrite, |volume| {
        let filled = fill(operation, volume);
        filled.and_then(|()| volume.sync().map_err(Error::hal("syncing the image")))
    })
}

fn fill(operation: &Operation<'_>, volume: &dyn Volume) -> Result<()> {
    let free_bytes =
        operation.retry(|| volume.space()).map_err(Error::hal("asking for free space"))?.free_bytes;
    let mut progress = operation.progress("filling free space with zeros", Some(free_bytes));
    let zeros = vec![0; operation.tuning.chunk_len_bytes.max(PIECE_MIN_BYTES)];
    let mut paths = Vec::new();
    let mut is_full = false;
    while !is_full && paths.len() < FILES_MAX as usize {
        let path = work::in_root(&format!(".replicator-zeros-{}", paths.len()))?;
        work::remove_if_there(operation, volume, &path)?;
        let mut file = match operation.retry(|| volume.create_new(&path, 0o600)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NoSpace => break,
            Err(error) => return Err(Error::hal(format!("creating /{path} in the image"))(error)),
        };
        paths.push(path);
        is_full = fill_file(operation, &mut *file, &zeros, |len_bytes| progress.advance(len_bytes))
            .and_then(|is_full| file.sync().and_then(|()| file.close()).map(|()| is_full))
            .map_err(Error::hal("filling the free space of the image"))?;
    }
    progress.finish();
    for path in &paths {
        work::remove_if_there(operation, volume, path)?;
    }
    Ok(())
}

/// Writes zeros until the file system (`true`) or the file (`false`) is full.
fn fill_file(
    operation: &Operation<'_>,
    file: &mut dyn VolumeFile,
    zeros: &[u8],
    mut advance: impl FnMut(u64),
) -> replicator_hal::Result<bool> {
    let mut at = 0;
    let mut piece_bytes = zeros.len();
    loop {
        match operation.retry(|| file.write_at(at, &zeros[..piece_bytes])) {
            Ok(0) => return Ok(true),
            Ok(len) => {
                at += len as u64;
                advance(len as u64);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::NoSpace && piece_bytes > PIECE_MIN_BYTES => {
                piece_bytes = (piece_bytes / 2).max(PIECE_MIN_BYTES);
            }
            Err(error) if error.kind() == ErrorKind::NoSpace => return Ok(true),
            Err(error) if error.kind() == ErrorKind::FileTooLarge && at > 0 => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}
