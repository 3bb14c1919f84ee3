//! Packs the working image as a disk image: every byte of the medium, with zeros in place of unused blocks.

use super::give_back::{self, GiveBack};
use super::packer::Packer;
use crate::error::{Error, Result};
use crate::formats::block_map::{BlockMap, MapMaker};
use crate::formats::encoder::Encoding;
use crate::operation::Operation;
use crate::ranges;
use crate::verify::Packed;
use replicator_hal::{self as hal, RelativePath, Volume, VolumeFile};
use std::io::Write;
use std::ops::Range;

/// Reads `image` on the drive and writes it, packed, to the new `file`. Bytes in `unused`, which is in order, become zeros,
/// and the block map leaves them out. All other zeros are mapped: a file system may rely on them. If the drive has no room for
/// both, what is packed is given back: then `image` holds zeros at its start.
pub(super) fn pack(
    operation: &Operation<'_>,
    drive: &dyn Volume,
    image: &RelativePath,
    unused: &[Range<u64>],
    encoding: &Encoding,
    file: &mut dyn VolumeFile,
) -> Result<(Packed, BlockMap)> {
    let doing = || format!("reading {image} on the drive");
    let len_bytes = operation.retry(|| drive.metadata(image)).map_err(Error::hal(doing()))?.len_bytes;
    let unused_bytes = ranges::len_bytes(unused);
    // Zeros take almost no space in a compressed file.
    let packed_bytes = match encoding {
        Encoding::Plain => len_bytes,
        Encoding::Xz(_) | Encoding::Zstd(_) => len_bytes.saturating_sub(unused_bytes),
    };
    let mut give_back = GiveBack::new(operation, &drive, packed_bytes)?;
    let open = || if give_back.writes() { drive.open_write(image) } else { drive.open(image) };
    let mut input = operation.retry(open).map_err(Error::hal(doing()))?;
    if give_back.writes() {
        // They become zeros in the image file.
        give_back::zeros(operation, &mut *input, unused).map_err(Error::hal(doing()))?;
    }
    let mut reader = WorkingImage { operation, file: input, data: None };
    let mut packer = Packer::new(operation, file, encoding, Some(len_bytes))?;
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes.max(1)];
    let skipped = ranges::long(unused);
    let mut map = MapMaker::new(unused);
    let mut at = 0;
    while at < len_bytes {
        let len = (len_bytes - at).min(buffer.len() as u64) as usize;
        reader.read_chunk(at, &mut buffer[..len], &skipped).map_err(Error::hal(doing()))?;
        ranges::zero(&mut buffer[..len], at, unused);
        packer.write_all(&buffer[..len]).map_err(Error::io("the image"))?;
        map.pass(&buffer[..len]);
        at += len as u64;
        give_back.packed_to(operation, &mut *reader.file, at).map_err(Error::hal(doing()))?;
    }
    give_back.finish(operation);
    reader.file.close().map_err(Error::hal(doing()))?;
    Ok((packer.finish()?, map.finish()))
}

/// The working image. Its holes are not read.
struct WorkingImage<'a> {
    operation: &'a Operation<'a>,
    file: Box<dyn VolumeFile>,
    /// The data extent that was found last; `None` before the first search.
    data: Option<Range<u64>>,
}

impl WorkingImage<'_> {
    /// Fills `chunk` with the image's bytes from `at` on. Holes and skipped ranges are not read.
    fn read_chunk(&mut self, at: u64, chunk: &mut [u8], skipped: &[Range<u64>]) -> hal::Result<()> {
        let end = at + chunk.len() as u64;
        chunk.fill(0);
        let mut from = at;
        while from < end {
            let data = self.data_from(from)?;
            if data.start >= end {
                break;
            }
            let part = data.start.max(from)..data.end.min(end);
            for used in ranges::complement(skipped, part.clone()) {
                self.read_exact(
                    used.start,
                    &mut chunk[(used.start - at) as usize..(used.end - at) as usize],
                )?;
            }
            from = part.end;
        }
        Ok(())
    }

    /// The data extent that ends behind `at`.
    fn data_from(&mut self, at: u64) -> hal::Result<Range<u64>> {
        if let Some(data) = self.data.clone().filter(|data| data.end > at) {
            return Ok(data);
        }
        let file = &mut self.file;
        let found = self.operation.retry(|| file.next_data(at))?;
        let data = found.filter(|data| data.end > at).unwrap_or(u64::MAX..u64::MAX);
        self.data = Some(data.clone());
        Ok(data)
    }

    fn read_exact(&mut self, at: u64, buffer: &mut [u8]) -> hal::Result<()> {
        let file = &mut self.file;
        let len =
            hal::io::read_full(buffer, |done, rest| self.operation.retry(|| file.read_at(at + done, rest)))?;
        if len < buffer.len() {
            let detail = format!("the file ends at byte {}", at + len as u64);
            return Err(hal::Error::new(hal::ErrorKind::Io, "reading", "the working image", detail));
        }
        Ok(())
    }
}
