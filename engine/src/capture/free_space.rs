//! Makes the free blocks of the captured root file system read as zeros, so that removed files leave no data.
//!
//! The block map of an unmounted, clean file system shows which blocks are free. If it proves nothing, the free space is
//! filled with files of zeros, which are synced and then removed.

use super::layout;
use super::mounted::with_mounted;
use super::work;
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{Access, ErrorKind, Region, Volume, VolumeFile};

/// No ext file system has smaller blocks.
const PIECE_MIN_BYTES: usize = 1024;
/// More files of zeros than are needed to fill any file system.
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
    let free_bytes = operation
        .retry(|| volume.space())
        .map_err(Error::hal("reading the free space in the image"))?
        .free_bytes;
    let mut progress = operation.progress("filling free space with zeros", Some(free_bytes));
    let zeros = vec![0; operation.tuning.chunk_len_bytes.max(PIECE_MIN_BYTES)];
    let mut paths = Vec::new();
    let mut is_full = false;
    while !is_full && paths.len() < FILES_MAX as usize {
        let path = work::in_root(&format!(".replicator-zeros-{}", paths.len()))?;
        work::remove_if_there(operation, &volume, &path)?;
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
        work::remove_if_there(operation, &volume, path)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::Tuning;
    use replicator_hal::{
        Board, Capabilities, Error as HalError, FileSystemKind, MockBlockDevices, MockClock, MockFileSystems,
        MockFirmware, MockLeds, MockRecords, MockSystem, MockTasks, MockVolume, MockVolumeFile, Space,
    };
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    fn board() -> Board {
        let (mut clock, mut leds, mut records) = (MockClock::new(), MockLeds::new(), MockRecords::new());
        clock.expect_monotonic().return_const(Duration::ZERO);
        leds.expect_renew().return_const(());
        records.expect_log().return_const(());
        Board {
            devices: Arc::new(MockBlockDevices::new()),
            file_systems: Arc::new(MockFileSystems::new()),
            leds: Arc::new(leds),
            clock: Arc::new(clock),
            tasks: Arc::new(MockTasks::new()),
            system: Arc::new(MockSystem::new()),
            firmware: Arc::new(MockFirmware::new()),
            records: Arc::new(records),
        }
    }

    /// A file on a file system with `left` free bytes, in which no file is longer than `file_max`.
    fn file(left: &Arc<AtomicU64>, file_max: u64) -> Box<dyn VolumeFile> {
        let left = Arc::clone(left);
        let mut file = MockVolumeFile::new();
        file.expect_write_at().returning(move |at, data| {
            assert!(data.iter().all(|byte| *byte == 0));
            let refuse = |kind| Err(HalError::new(kind, "writing", "zeros", ""));
            if at + data.len() as u64 > file_max {
                return refuse(ErrorKind::FileTooLarge);
            }
            let free = left.load(Ordering::SeqCst);
            if free < data.len() as u64 {
                return refuse(ErrorKind::NoSpace);
            }
            left.store(free - data.len() as u64, Ordering::SeqCst);
            Ok(data.len())
        });
        file.expect_sync().times(1).returning(|| Ok(()));
        file.expect_close().times(1).returning(|| Ok(()));
        Box::new(file)
    }

    #[test]
    fn every_free_block_is_filled_and_the_files_are_synced_before_they_go() {
        let board = board();
        let tuning = Tuning { chunk_len_bytes: 64 * 1024, ..Tuning::default() };
        let operation = Operation::new(&board, &tuning, "sd", "sd-capture");
        let left = Arc::new(AtomicU64::new(300 * 1024));
        let mut volume = MockVolume::new();
        volume.expect_capabilities().return_const(Capabilities {
            file_system: FileSystemKind::Ext4,
            unix: true,
            sparse: true,
            case_insensitive: false,
            atomic_replace: true,
            file_len_max_bytes: 128 * 1024,
        });
        volume.expect_space().returning(|| Ok(Space { free_bytes: 300 * 1024, total_bytes: 1 << 20 }));
        let of_file = Arc::clone(&left);
        volume.expect_create_new().times(3).returning(move |_, _| Ok(file(&of_file, 128 * 1024)));
        let full = Arc::clone(&left);
        let not_found = || HalError::new(ErrorKind::NotFound, "removing", "zeros", "");
        volume.expect_remove_file().times(6).returning(move |_| {
            // The first removal of each name, before the file is made, finds nothing. The second, when all is full,
            // removes it.
            if full.load(Ordering::SeqCst) > 0 { Err(not_found()) } else { Ok(()) }
        });
        fill(&operation, &volume).unwrap();
        assert_eq!(left.load(Ordering::SeqCst), 0);
    }
}
