//! Writes xz: one stream, in blocks of a fixed decoded length, so that it can be decoded block by block.
//!
//! Each block is encoded alone, and its header has its lengths, as in the files of `xz -T`. liblzma compresses; stream
//! headers, block headers and the index are written here. xz2's own writer is not used: it compresses what does not
//! compress, completes the stream when it is dropped, so that an interrupted capture would leave a valid file, and its
//! `flush` ends a block.

use std::io::{self, Write};

use crc64fast::Digest;
use replicator_hal::Compute;
use xz2::stream::{Error, Filters, LzmaOptions};

use super::index::push_vli;
use super::{FORMAT, crc32, lzma2, stream_footer, stream_header};
use crate::formats::FormatError;
use crate::formats::block_encoder::{Block, BlockEncoder, BlockFormat};

const MAX_PRESET: u32 = 9;
/// The limits of LZMA2's encoder.
const DICTIONARY_MIN_BYTES: u32 = 4096;
const DICTIONARY_MAX_BYTES: u32 = 3 << 29;
/// In blocks of 8 MiB, root file systems of Debian are 5 % larger with this dictionary than in the single block of `xz -2`, and
/// take 0.64 of its time. With 4 MiB they are 4 % larger, with 8 MiB 1.5 %, and take 0.68 and 0.75 of it. With this dictionary in
/// blocks of 4 MiB they are 7 % larger.
const FAST_DICTIONARY_BYTES: u32 = 2 << 20;
const LAST_FAST_PRESET: u32 = 2;
/// How many earlier places preset 1 compares with, instead of 8, which takes 1.15 of the time and makes images 1 % smaller.
const PRESET_1_DEPTH: u32 = 4;
/// The check type CRC64.
const CRC64: u8 = 4;
/// The longest header: size, flags, two lengths of up to nine bytes, a filter of three bytes, padding, CRC32.
const HEADER_MAX_BYTES: usize = 28;
/// The filter LZMA2, in block headers.
const LZMA2: u8 = 0x21;

/// How to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XzSettings {
    /// 0 (fast) to 9 (small), as for `xz`.
    pub preset: u32,
    /// Dictionary length. By default 2 MiB for presets up to 2, and the length of a block for others: a longer one has no
    /// effect on the size.
    pub dictionary_len_bytes: Option<u32>,
    /// Decoded length of each block except the last.
    pub block_len_bytes: u64,
}

impl Default for XzSettings {
    fn default() -> Self {
        Self { preset: 1, dictionary_len_bytes: None, block_len_bytes: 8 * 1024 * 1024 }
    }
}

impl XzSettings {
    /// The dictionary's length, stated or by default.
    pub(in crate::formats) fn dictionary_len_bytes(&self) -> u32 {
        let block = u32::try_from(self.block_len_bytes).unwrap_or(u32::MAX);
        let max = if self.preset <= LAST_FAST_PRESET { FAST_DICTIONARY_BYTES } else { DICTIONARY_MAX_BYTES };
        self.dictionary_len_bytes.unwrap_or(block.clamp(DICTIONARY_MIN_BYTES, max))
    }

    fn check(&self) -> Result<(), FormatError> {
        let unsupported = |what: String| Err(FormatError::Unsupported { format: FORMAT, what });
        if self.preset > MAX_PRESET {
            return unsupported(format!("preset {}", self.preset));
        }
        if self.block_len_bytes == 0 {
            return unsupported("blocks of no length".to_owned());
        }
        let dictionary = self.dictionary_len_bytes();
        if !(DICTIONARY_MIN_BYTES..=DICTIONARY_MAX_BYTES).contains(&dictionary) {
            return unsupported(format!("a dictionary of {dictionary} bytes"));
        }
        Ok(())
    }

    fn filters(&self) -> Result<Filters, FormatError> {
        let mut options = LzmaOptions::new_preset(self.preset).map_err(encoder_error)?;
        options.dict_size(self.dictionary_len_bytes());
        if self.preset == 1 {
            options.depth(PRESET_1_DEPTH);
        }
        let mut filters = Filters::new();
        filters.lzma2(&options);
        Ok(filters)
    }
}

/// Compresses the bytes that are written to it into a sink.
///
/// Only [`XzEncoder::finish`] completes the stream; dropping the encoder leaves one that no decoder accepts. `flush`
/// flushes the sink, but neither ends a block nor writes data that is still being compressed.
///
/// The calls of the sink depend on the data and the settings only, and the number of threads does not change the file.
pub struct XzEncoder<W: Write>(BlockEncoder<W, XzFormat>);

impl<W: Write> XzEncoder<W> {
    /// Begins a stream. With threads, that many blocks are compressed at a time.
    ///
    /// # Errors
    /// Unsupported settings; too little memory.
    pub fn new(sink: W, settings: &XzSettings, compute: Compute) -> Result<Self, FormatError> {
        settings.check()?;
        let format = XzFormat { settings: *settings, count: 0, records: Vec::new() };
        BlockEncoder::new(sink, format, settings.block_len_bytes, compute).map(Self)
    }

    /// Completes the stream and returns the sink, to which all of it was written but which was not flushed.
    ///
    /// # Errors
    /// Those of the sink; an earlier error.
    pub fn finish(self) -> Result<W, FormatError> {
        self.0.finish()
    }
}

impl<W: Write> Write for XzEncoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct XzFormat {
    settings: XzSettings,
    /// How many blocks the index has, and their records.
    count: u64,
    records: Vec<u8>,
}

impl BlockFormat for XzFormat {
    const KEEPS_BUFFERS: bool = false;

    type Settings = XzSettings;

    fn settings(&self) -> XzSettings {
        self.settings
    }

    fn start(&self) -> Vec<u8> {
        stream_header(CRC64).to_vec()
    }

    fn encode(settings: &XzSettings, content: &[u8], mut bytes: Vec<u8>) -> Result<Block, FormatError> {
        let content_len = content.len() as u64;
        // The header has the length of what follows it, and there should be one buffer only.
        bytes.clear();
        // Once for all, because a buffer that grows leaves unused memory behind. LZMA2 adds six bytes to 64 KiB at most.
        bytes
            .try_reserve_exact(content.len() + content.len() / 4096 + 1024)
            .map_err(|_| FormatError::Io(io::ErrorKind::OutOfMemory.into()))?;
        bytes.resize(HEADER_MAX_BYTES, 0);
        lzma2::encode(&settings.filters()?, content, &mut bytes)?;
        let data_len = bytes.len() - HEADER_MAX_BYTES;
        let header = block_header(data_len as u64, content_len, settings.dictionary_len_bytes());
        let start = HEADER_MAX_BYTES - header.len();
        bytes[start..HEADER_MAX_BYTES].copy_from_slice(&header);
        bytes.drain(..start);
        let padding = data_len.next_multiple_of(4) - data_len;
        bytes.resize(bytes.len() + padding, 0);
        let mut check = Digest::new();
        check.write(content);
        bytes.extend_from_slice(&check.sum64().to_le_bytes());
        bytes.shrink_to_fit();
        let unpadded_len = (bytes.len() - padding) as u64;
        Ok(Block { bytes, unpadded_len, content_len })
    }

    fn add(&mut self, block: &Block) {
        self.count += 1;
        push_vli(&mut self.records, block.unpadded_len);
        push_vli(&mut self.records, block.content_len);
    }

    fn end(&mut self) -> Result<Vec<u8>, FormatError> {
        let mut end = vec![0];
        push_vli(&mut end, self.count);
        end.append(&mut self.records);
        end.resize(end.len().next_multiple_of(4), 0);
        end.extend_from_slice(&crc32(&end));
        let footer = stream_footer(CRC64, end.len() as u64);
        end.extend_from_slice(&footer);
        Ok(end)
    }
}

/// The header of a block with LZMA2 data of `data_len` bytes.
fn block_header(data_len: u64, content_len: u64, dictionary_len_bytes: u32) -> Vec<u8> {
    const HAS_LENGTHS_AND_ONE_FILTER: u8 = 0xc0;
    let mut header = vec![0, HAS_LENGTHS_AND_ONE_FILTER];
    push_vli(&mut header, data_len);
    push_vli(&mut header, content_len);
    header.extend_from_slice(&[LZMA2, 1, dictionary_code(dictionary_len_bytes)]);
    header.resize(header.len().next_multiple_of(4), 0);
    header[0] = (header.len() / 4) as u8;
    let crc = crc32(&header);
    header.extend_from_slice(&crc);
    header
}

/// The code of the smallest dictionary that the format can name and that is not shorter than this.
fn dictionary_code(len_bytes: u32) -> u8 {
    let len = |code: u8| u64::from(2 | code & 1) << (code / 2 + 11);
    (0..40).find(|&code| len(code) >= u64::from(len_bytes)).unwrap_or(40)
}

pub(super) fn encoder_error(error: Error) -> FormatError {
    match error {
        Error::Options => {
            FormatError::Unsupported { format: FORMAT, what: "these encoder settings".to_owned() }
        }
        Error::Mem | Error::MemLimit => FormatError::Io(io::ErrorKind::OutOfMemory.into()),
        error => FormatError::Io(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionary_codes_are_those_of_the_specification() {
        for (len_bytes, code) in [
            (4096, 0),
            (4097, 1),
            (6144, 1),
            (64 << 10, 8),
            (1 << 20, 16),
            (3 << 20, 19),
            (4 << 20, 20),
            ((4 << 20) + 1, 21),
            (3 << 29, 37),
        ] {
            assert_eq!(dictionary_code(len_bytes), code, "{len_bytes}");
        }
    }

    #[test]
    fn the_structure_is_that_of_xz() {
        let settings =
            XzSettings { preset: 0, dictionary_len_bytes: Some(1 << 20), block_len_bytes: 1 << 20 };
        let mut encoder = XzEncoder::new(Vec::new(), &settings, Compute::Inline).unwrap();
        encoder.write_all(b"a").unwrap();
        let file = encoder.finish().unwrap();
        // `xz -T2 --block-size=1MiB --lzma2=preset=0,dict=1MiB` writes the same with four bytes more in the block header.
        let expected = [
            ("stream header", "fd377a585a000004e6d6b446"),
            ("block header", "02c0050121011000a14f39d5"),
            ("a chunk of one byte, the end mark", "0100006100"),
            ("padding", "000000"),
            ("CRC64", "052b652e77840233"),
            ("index", "00011901a52c81cc"),
            ("footer", "1fb6f37d010000000004595a"),
        ];
        let mut hex: String = file.iter().map(|byte| format!("{byte:02x}")).collect();
        for (name, field) in expected {
            assert!(hex.starts_with(field), "{name}: {hex}");
            hex.drain(..field.len());
        }
        assert_eq!(hex, "");
    }
}
