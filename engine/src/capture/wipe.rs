//! Overwrites the working image before it is removed, so that data that is not in the finished image does not stay on the
//! drive.
//!
//! Removing a file leaves its bytes in free blocks of the drive, and so does punching a hole. So the unused blocks of the
//! file systems in the image (removed files, journals, free clusters) are overwritten in place with zeros and synced.
//! After a failure or a power cut it is not known which blocks are unused, so the whole working image is overwritten.

use crate::error::{Error, Result};
use crate::operation::{Operation, Progress};
use crate::ranges;
use crate::size::Size;
use replicator_hal::{self as hal, RelativePath, VolumeFile, WriteTree};
use std::ops::Range;

/// Overwrites the bytes of `image` in `unused` that are not zero, and syncs them.
pub(super) fn unused(
    operation: &Operation<'_>,
    drive: &dyn WriteTree,
    image: &RelativePath,
    unused: &[Range<u64>],
) -> Result<()> {
    if unused.is_empty() {
        return Ok(());
    }
    overwrite(operation, drive, image, Some(unused))
}

/// Overwrites the whole file at `path`, which will be removed.
pub(super) fn whole(operation: &Operation<'_>, drive: &dyn WriteTree, path: &RelativePath) -> Result<()> {
    overwrite(operation, drive, path, None)
}

fn overwrite(
    operation: &Operation<'_>,
    drive: &dyn WriteTree,
    path: &RelativePath,
    only: Option<&[Range<u64>]>,
) -> Result<()> {
    let doing = || format!("overwriting {path} on the drive");
    let file = operation.retry(|| drive.open_write(path)).map_err(Error::hal(doing()))?;
    let progress = operation.progress("overwriting removed data on the drive", None);
    let chunk_len = operation.tuning.chunk_len_bytes.max(1);
    let mut wiping = Wiping {
        operation,
        file,
        progress,
        buffer: vec![0; chunk_len],
        zeros: vec![0; chunk_len],
        overwritten_bytes: 0,
    };
    let overwritten = wiping.run(only).map_err(Error::hal(doing()))?;
    operation.renew(operation.tuning.tool_lease);
    wiping.file.sync().and_then(|()| wiping.file.close()).map_err(Error::hal(doing()))?;
    wiping.progress.finish();
    operation.log(&format!("{:#} of {path} were overwritten with zeros", Size(overwritten)));
    Ok(())
}

struct Wiping<'a> {
    operation: &'a Operation<'a>,
    file: Box<dyn VolumeFile>,
    progress: Progress<'a>,
    buffer: Vec<u8>,
    zeros: Vec<u8>,
    overwritten_bytes: u64,
}

impl Wiping<'_> {
    /// Returns how many bytes were overwritten.
    fn run(&mut self, only: Option<&[Range<u64>]>) -> hal::Result<u64> {
        let mut at = 0;
        loop {
            let file = &mut self.file;
            let Some(data) = self.operation.retry(|| file.next_data(at))?.filter(|data| data.end > at) else {
                return Ok(self.overwritten_bytes);
            };
            match only {
                None => self.extent(data.clone())?,
                Some(only) => {
                    for range in ranges::clip(only, data.clone()) {
                        self.extent(range)?;
                    }
                }
            }
            at = data.end;
        }
    }

    fn extent(&mut self, range: Range<u64>) -> hal::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(self.buffer.len() as u64) as usize;
            let (operation, file, buffer) = (self.operation, &mut self.file, &mut self.buffer[..len]);
            // Only what is not zero is written, to save time and wear. What cannot be read is overwritten, too.
            let parts: Vec<Range<usize>> = match hal::io::read_full(buffer, |done, rest| {
                operation.retry(|| file.read_at(at + done, rest))
            }) {
                Ok(read) => ranges::with_content(&buffer[..read]),
                Err(error) => {
                    operation.log(&format!("overwriting a range that cannot be read: {error}"));
                    vec![Range { start: 0, end: len }]
                }
            };
            for part in parts {
                let (start, zeros) = (at + part.start as u64, &self.zeros[..part.len()]);
                hal::io::write_full(zeros, |done, rest| {
                    operation.retry(|| file.write_at(start + done, rest))
                })?;
                self.overwritten_bytes += part.len() as u64;
            }
            self.progress.advance(len as u64);
            at += len as u64;
        }
        Ok(())
    }
}
