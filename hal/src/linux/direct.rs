//! Reads that bypass the page cache: `O_DIRECT`, with buffers that are aligned as it requires.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Alignment of buffer, offset and length; enough for every sector size up to 4 KiB.
const ALIGNMENT_MIN_BYTES: usize = 4096;
/// Longest single read.
const BOUNCE_LEN_BYTES: usize = 1 << 20;

/// A file opened with `O_DIRECT`, and a buffer for its reads.
pub(super) struct DirectReader {
    file: File,
    alignment: usize,
    buffer: Vec<u8>,
    /// Offset of the aligned part in `buffer`.
    start: usize,
}

impl DirectReader {
    /// A reader over `file`, which must be open with `O_DIRECT`.
    pub(super) fn new(file: File, sector_len_bytes: u32) -> Self {
        let alignment = ALIGNMENT_MIN_BYTES.max(sector_len_bytes as usize);
        let buffer = vec![0; BOUNCE_LEN_BYTES + alignment];
        let address = buffer.as_ptr().addr();
        let start = address.next_multiple_of(alignment) - address;
        Self { file, alignment, buffer, start }
    }

    /// Reads at any offset; may be short. Nothing is cached: every call reads from the device.
    pub(super) fn read_at(&mut self, offset_bytes: u64, target: &mut [u8]) -> io::Result<usize> {
        let skip = (offset_bytes % self.alignment as u64) as usize;
        let len = (skip + target.len()).next_multiple_of(self.alignment).min(BOUNCE_LEN_BYTES);
        let aligned = &mut self.buffer[self.start..self.start + len];
        let got = self.file.read_at(aligned, offset_bytes - skip as u64)?;
        let fresh = aligned.get(skip..got).unwrap_or_default();
        let len = fresh.len().min(target.len());
        target[..len].copy_from_slice(&fresh[..len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_of_any_offset_and_length_work() {
        let content: Vec<u8> = (0..3_000_001_u32).map(|index| (index % 251) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &content).unwrap();
        // The offsets are computed in the same way without the flag, which not every file system of a test host
        // supports.
        let mut reader = DirectReader::new(File::open(file.path()).unwrap(), 512);
        for (offset, len) in
            [(0, 10), (4095, 2), (1_048_000, 2_000_000), (2_999_990, 100), (3_000_001, 5), (9, 0)]
        {
            let mut buffer = vec![0; len];
            let mut done = 0;
            loop {
                let got = reader.read_at((offset + done) as u64, &mut buffer[done..]).unwrap();
                done += got;
                if got == 0 {
                    break;
                }
            }
            let end = content.len().min(offset + len);
            assert_eq!(buffer[..done], content[offset.min(end)..end], "{offset} {len}");
        }
        assert_eq!(reader.buffer[reader.start..].as_ptr().addr() % 4096, 0);
    }
}
