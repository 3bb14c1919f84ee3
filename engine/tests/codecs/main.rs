//! The codecs, through their public interface: complete files are decoded unchanged, damaged ones are always refused.
//!
//! This file makes the files that the tests decode, with the libraries' own encoders, and inputs that record the reads.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod encoder;
mod hostile;
mod mixed_blocks;
mod reading;
mod refusals;
mod round_trips;
mod trailers;

use std::io::{self, Read, Write};
use std::thread::ThreadId;

use replicator_engine::formats::codec::{Compression, DecodedLen, Limits, decoded_len, decoder};
use replicator_engine::formats::{FormatError, ReadAt};
use replicator_hal::Compute;

/// The compressed formats.
const COMPRESSIONS: [Compression; 4] =
    [Compression::Xz, Compression::Bzip2, Compression::Gzip, Compression::Zstd];
const COMPUTES: [Compute; 4] =
    [Compute::Inline, Compute::Threads(1), Compute::Threads(2), Compute::Threads(4)];

/// Bytes that compress to about half, the same for the same `seed`.
fn sample(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 16);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if state % 3 == 0 {
            bytes.extend_from_slice(&state.to_le_bytes());
        } else {
            bytes.extend_from_slice(b"replicator");
        }
    }
    bytes.truncate(len);
    bytes
}

/// One stream, member or frame, with the strongest check the format has.
fn compressed(compression: Compression, data: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => data.to_vec(),
        Compression::Xz => {
            let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Gzip => {
            let mut encoder = flate2::GzBuilder::new()
                .filename("sdimage.dd")
                .comment("a comment")
                .extra("extra")
                .write(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.set_pledged_src_size(Some(data.len() as u64)).unwrap();
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// Decodes the whole of `file`.
fn decode_with(
    compression: Compression,
    mut file: &[u8],
    compute: Compute,
    limits: Limits,
) -> Result<Vec<u8>, FormatError> {
    let mut decoded = Vec::new();
    decoder(compression, &mut file, compute, limits)?.read_to_end(&mut decoded)?;
    Ok(decoded)
}

fn decode(compression: Compression, file: &[u8], compute: Compute) -> Result<Vec<u8>, FormatError> {
    decode_with(compression, file, compute, Limits::default())
}

fn decoded_length(compression: Compression, mut file: &[u8]) -> Result<DecodedLen, FormatError> {
    decoded_len(compression, &mut file, Limits::default())
}

/// Records all reads, allows them in one thread only, and fails one of them on demand.
struct Watched<'a> {
    bytes: &'a [u8],
    owner: ThreadId,
    reads: Vec<(u64, usize)>,
    calls: usize,
    /// The call that fails, counted from 0.
    failing_call: Option<usize>,
}

impl<'a> Watched<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let owner = std::thread::current().id();
        Self { bytes, owner, reads: Vec::new(), calls: 0, failing_call: None }
    }

    fn bytes_read(&self) -> u64 {
        self.reads.iter().map(|read| read.1 as u64).sum()
    }
}

/// An error of the input, which decoders must return.
#[derive(Debug, thiserror::Error)]
#[error("the drive was pulled out")]
struct Pulled;

impl ReadAt for Watched<'_> {
    fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        assert_eq!(std::thread::current().id(), self.owner, "a worker read the input");
        self.calls += 1;
        if self.failing_call == Some(self.calls - 1) {
            return Err(io::Error::other(Pulled));
        }
        let len = self.bytes.read_at(offset_bytes, buffer)?;
        self.reads.push((offset_bytes, len));
        Ok(len)
    }
}
