//! What is not in the image must not stay on the drive either: the working image is overwritten before it is removed.
//!
//! Removing a file leaves its bytes in the drive's free blocks, and so does a hole that is punched into it. So what the
//! file systems of the image do not use any more (what sanitising removed, journals, free clusters) is overwritten with
//! zeros in place and synced. Of a working image that nothing more is known of, after a failure or a power cut, all is.

use super::ranges;
use crate::error::{Error, Result};
use crate::operation::{Operation, Progress};
use crate::size::Size;
use replicator_hal::{self as hal, RelativePath, VolumeFile, WriteTree};
use std::ops::Range;

/// Overwrites the bytes of `image` in `unused` that are not zero, and brings that onto the drive.
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

/// Overwrites all of the file at `path`, which is to be removed.
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
    let progress = operation.progress("overwriting what must not stay on the drive", None);
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
    /// How many bytes were overwritten.
    fn run(&mut self, only: Option<&[Range<u64>]>) -> hal::Result<u64> {
        let mut at = 0;
        loop {
            let file = &mut self.file;
            let Some(data) = self.operation.retry(|| file.next_data(at))?.filter(|data| data.end > at) else {
                return Ok(self.overwritten_bytes);
            };
            match only {
                None => self.stretch(data.clone())?,
                Some(only) => {
                    for range in ranges::clip(only, data.clone()) {
                        self.stretch(range)?;
                    }
                }
            }
            at = data.end;
        }
    }

    fn stretch(&mut self, range: Range<u64>) -> hal::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(self.buffer.len() as u64) as usize;
            let (operation, file, buffer) = (self.operation, &mut self.file, &mut self.buffer[..len]);
            // Flash wears, and most of what is unused is zero already. What cannot be read may be anything.
            let parts: Vec<Range<usize>> = match hal::io::read_full(buffer, |done, rest| {
                operation.retry(|| file.read_at(at + done, rest))
            }) {
                Ok(read) => ranges::with_content(&buffer[..read]),
                Err(error) => {
                    operation.log(&format!("overwriting what cannot be read: {error}"));
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
