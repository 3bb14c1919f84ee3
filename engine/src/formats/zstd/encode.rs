//! Writes zstd: frames of a fixed decoded length, each with its length and checksum, and the table of the seekable format
//! behind them, so that frames can be decoded alone.

use std::io::{self, Write};

use replicator_hal::Compute;
use zstd::zstd_safe::{CCtx, CParameter, compress_bound, get_error_name};

use super::FORMAT;
use super::seek_table::SeekTable;
use crate::formats::FormatError;
use crate::formats::block_encoder::{Block, BlockEncoder, BlockFormat};

const MIB: u64 = 1 << 20;
/// No frame becomes shorter to save memory.
const LEAST_FRAME_BYTES: u64 = MIB / 4;

/// How to compress with zstd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZstdSettings {
    /// 1 (fast) to 19 (small), as for `zstd`.
    pub level: u32,
    /// Decoded length of each frame except the last.
    pub frame_len_bytes: u64,
}

impl ZstdSettings {
    /// The lowest and the highest level. Higher ones have larger windows only, and a frame is shorter than those.
    pub const LEVELS: std::ops::RangeInclusive<u32> = 1..=19;

    /// The memory that one worker of the encoder needs: its tables, a frame that is encoded, and one that waits.
    pub fn worker_bytes(&self) -> u64 {
        self.frame_len_bytes.saturating_mul(4).saturating_add(self.tables_bytes())
    }

    /// The memory of the tables. Those of higher levels are at most as long as zstd makes them for a whole frame.
    fn tables_bytes(&self) -> u64 {
        let tables = match self.level {
            0..=6 => 12 * MIB,
            7..=12 => 44 * MIB,
            _ => 80 * MIB,
        };
        tables.min(self.frame_len_bytes.saturating_mul(16).saturating_add(4 * MIB))
    }

    /// The same with frames that are halved until one worker needs at most `limit_bytes`, or until they have their least
    /// length.
    #[must_use]
    pub fn within(mut self, limit_bytes: u64) -> Self {
        while self.worker_bytes() > limit_bytes && self.frame_len_bytes >= 2 * LEAST_FRAME_BYTES {
            self.frame_len_bytes /= 2;
        }
        self
    }
}

impl Default for ZstdSettings {
    fn default() -> Self {
        Self { level: 3, frame_len_bytes: 4 * MIB }
    }
}

/// Compresses the bytes that are written to it into a sink.
///
/// Only [`ZstdEncoder::finish`] completes the file. Dropping the encoder leaves one without the table at its end; frames
/// that are complete can be decoded. `flush` flushes the sink, but neither ends a frame nor writes data that is still being
/// compressed.
///
/// The calls of the sink depend on the data and the settings only, and the number of threads does not change the file.
pub struct ZstdEncoder<W: Write>(BlockEncoder<W, ZstdFormat>);

impl<W: Write> ZstdEncoder<W> {
    /// Begins a file. With threads, that many frames are compressed at a time.
    ///
    /// # Errors
    /// Unsupported settings; too little memory.
    pub fn new(sink: W, settings: &ZstdSettings, compute: Compute) -> Result<Self, FormatError> {
        let unsupported = |what: String| Err(FormatError::Unsupported { format: FORMAT, what });
        if !ZstdSettings::LEVELS.contains(&settings.level) {
            return unsupported(format!("level {}", settings.level));
        }
        if settings.frame_len_bytes == 0 || settings.frame_len_bytes > 1 << 30 {
            return unsupported(format!("frames of {} bytes", settings.frame_len_bytes));
        }
        let format = ZstdFormat { settings: *settings, table: SeekTable::default() };
        BlockEncoder::new(sink, format, settings.frame_len_bytes, compute).map(Self)
    }

    /// Completes the file and returns the sink, to which all of it was written but which was not flushed.
    ///
    /// # Errors
    /// Those of the sink; an earlier error.
    pub fn finish(self) -> Result<W, FormatError> {
        self.0.finish()
    }
}

impl<W: Write> Write for ZstdEncoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct ZstdFormat {
    settings: ZstdSettings,
    table: SeekTable,
}

fn failed(code: usize) -> FormatError {
    FormatError::Io(io::Error::other(get_error_name(code)))
}

fn out_of_memory() -> FormatError {
    FormatError::Io(io::ErrorKind::OutOfMemory.into())
}

impl ZstdFormat {
    /// A new context of the library with these settings.
    fn context(settings: &ZstdSettings) -> Result<CCtx<'static>, FormatError> {
        let mut context = CCtx::try_create().ok_or_else(out_of_memory)?;
        for parameter in [
            CParameter::CompressionLevel(settings.level as i32),
            CParameter::ContentSizeFlag(true),
            CParameter::ChecksumFlag(true),
        ] {
            context.set_parameter(parameter).map_err(failed)?;
        }
        Ok(context)
    }
}

impl BlockFormat for ZstdFormat {
    const KEEPS_BUFFERS: bool = true;

    type Settings = ZstdSettings;

    fn settings(&self) -> ZstdSettings {
        self.settings
    }

    fn start(&self) -> Vec<u8> {
        Vec::new()
    }

    fn encode(settings: &ZstdSettings, content: &[u8], mut bytes: Vec<u8>) -> Result<Block, FormatError> {
        bytes.clear();
        bytes.try_reserve_exact(compress_bound(content.len())).map_err(|_| out_of_memory())?;
        Self::context(settings)?.compress2(&mut bytes, content).map_err(failed)?;
        Ok(Block { unpadded_len: bytes.len() as u64, content_len: content.len() as u64, bytes })
    }

    fn add(&mut self, block: &Block) {
        self.table.add(block.unpadded_len, block.content_len);
    }

    fn end(&mut self) -> Result<Vec<u8>, FormatError> {
        let mut end = Vec::new();
        if self.table.is_empty() {
            // A file needs a frame.
            let block = Self::encode(&self.settings, &[], Vec::new())?;
            self.add(&block);
            end = block.bytes;
        }
        end.extend(self.table.to_bytes());
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_no_more_memory_than_stated() {
        let content: Vec<u8> =
            (0..4 * MIB).map(|number| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50) as u8).collect();
        for level in ZstdSettings::LEVELS {
            let settings = ZstdSettings { level, ..ZstdSettings::default() };
            let mut context = CCtx::create();
            context.set_parameter(CParameter::CompressionLevel(level as i32)).unwrap();
            context.compress2(&mut Vec::with_capacity(compress_bound(content.len())), &content).unwrap();
            let taken = context.sizeof() as u64 + 3 * settings.frame_len_bytes;
            assert!(taken <= settings.worker_bytes(), "level {level}: {} KiB", taken >> 10);
        }
    }

    #[test]
    fn the_tables_of_each_level_take_no_more_memory_than_is_counted() {
        let content = vec![b'x'; 4 << 20];
        for level in ZstdSettings::LEVELS {
            for frame_len_bytes in [4 * MIB, 2 * MIB, MIB, MIB / 2, MIB / 4] {
                let settings = ZstdSettings { level, frame_len_bytes };
                let mut context = ZstdFormat::context(&settings).unwrap();
                let mut bytes = vec![0; 1 << 20];
                context.compress2(&mut bytes[..], &content[..frame_len_bytes as usize]).unwrap();
                let (found, counted) = (context.sizeof() as u64, settings.tables_bytes());
                assert!(found <= counted, "level {level}, {frame_len_bytes}: {found} of {counted} bytes");
            }
        }
    }

    #[test]
    fn frames_become_shorter_until_a_worker_fits() {
        let fitted = |level, limit_mib: u64| {
            let settings = ZstdSettings { level, ..ZstdSettings::default() };
            settings.within(limit_mib * MIB).frame_len_bytes / 1024
        };
        assert_eq!((fitted(3, 28), fitted(3, 27), fitted(3, 20), fitted(3, 0)), (4096, 2048, 2048, 256));
        for level in ZstdSettings::LEVELS {
            let settings = ZstdSettings { level, ..ZstdSettings::default() };
            assert!(settings.within(20 * MIB).worker_bytes() <= 20 * MIB, "{level}");
        }
    }
}
