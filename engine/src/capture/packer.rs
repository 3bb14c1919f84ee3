//! Writes an image to a file on the drive: hash, encode, hash, write.

use crate::drive_file::DriveSink;
use crate::error::{Error, Result};
use crate::formats::digest::{Algorithm, Digest};
use crate::formats::encoder::{Encoder, Encoding};
use crate::formats::hashing::Hashing;
use crate::operation::{Operation, Progress};
use crate::size::Size;
use crate::verify::Packed;
use replicator_hal::{Compute, VolumeFile};
use std::io::{self, Write};
use xxhash_rust::xxh3::Xxh3;

/// Of the content, and of the file.
const DIGESTS: usize = 2;

/// Takes the image's bytes from front to back.
pub(super) struct Packer<'a> {
    content: Hashing,
    content_hash: Xxh3,
    content_len_bytes: u64,
    encoder: Encoder<HashingSink<'a>>,
    progress: Progress<'a>,
}

impl<'a> Packer<'a> {
    /// Writes to the new, empty `file`, compressed as `encoding` says, with a shorter dictionary and shorter blocks if the
    /// memory does not allow those for all workers.
    pub(super) fn new(
        operation: &'a Operation<'a>,
        file: &'a mut dyn VolumeFile,
        encoding: &Encoding,
        total_bytes: Option<u64>,
    ) -> Result<Self> {
        let room_bytes = operation.room_for_workers_bytes();
        let wanted = match operation.compute(0, DIGESTS).codec {
            Compute::Inline => 1,
            Compute::Threads(threads) => threads,
        };
        let fitted = encoding.for_workers(wanted, room_bytes);
        if fitted != *encoding {
            let room = Size(room_bytes);
            operation.log(&format!(
                "{encoding} needs more than {room} of memory with workers: {wanted}; it is {fitted} instead"
            ));
        }
        let computing = operation.compute(fitted.worker_bytes(), DIGESTS);
        let sink = HashingSink { md5: md5(computing.digests)?, sink: BufferedSink::new(operation, file) };
        let encoder = Encoder::new(sink, &fitted, computing.codec).map_err(Error::format("the image"))?;
        let doing = if fitted == Encoding::Plain { "writing the image" } else { "compressing" };
        Ok(Self {
            content: md5(computing.digests)?,
            content_hash: Xxh3::new(),
            content_len_bytes: 0,
            encoder,
            progress: operation.progress(doing, total_bytes),
        })
    }

    /// Writes the rest. The file is not synced yet.
    pub(super) fn finish(self) -> Result<Packed> {
        let sink = self.encoder.finish().map_err(Error::format("the image"))?;
        let (file_md5, file_len_bytes) = sink.finish().map_err(Error::io("the image"))?;
        self.progress.finish();
        Ok(Packed {
            content_md5: digest(self.content).map_err(Error::io("the image"))?,
            content_hash: self.content_hash.digest128(),
            content_len_bytes: self.content_len_bytes,
            file_md5,
            file_len_bytes,
        })
    }
}

impl Write for Packer<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let len = self.encoder.write(data)?;
        self.content.update(&data[..len])?;
        self.content_hash.update(&data[..len]);
        self.content_len_bytes += len as u64;
        self.progress.advance(len as u64);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn md5(compute: Compute) -> Result<Hashing> {
    Hashing::new(&[Algorithm::Md5], compute).map_err(Error::io("the image"))
}

/// The only digest of `hashing`.
fn digest(hashing: Hashing) -> io::Result<Digest> {
    hashing.finish()?.pop().ok_or_else(|| io::Error::other("no digest was computed"))
}

/// Hashes what goes to the drive.
struct HashingSink<'a> {
    md5: Hashing,
    sink: BufferedSink<'a>,
}

impl HashingSink<'_> {
    fn finish(self) -> io::Result<(Digest, u64)> {
        Ok((digest(self.md5)?, self.sink.finish()?))
    }
}

impl Write for HashingSink<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.md5.update(data)?;
        self.sink.write_all(data)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Joins small writes. Unlike `BufWriter` it does not write on drop, so that nothing is written after an error.
pub(super) struct BufferedSink<'a> {
    buffer: Vec<u8>,
    limit_bytes: usize,
    sink: DriveSink<'a>,
}

impl<'a> BufferedSink<'a> {
    /// Writes to `file` from its start.
    pub(super) fn new(operation: &'a Operation<'a>, file: &'a mut dyn VolumeFile) -> Self {
        let limit_bytes = operation.tuning.chunk_len_bytes;
        Self { buffer: Vec::with_capacity(limit_bytes), limit_bytes, sink: DriveSink::new(operation, file) }
    }

    /// Writes the rest; gives the file's length.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.sink.write_all(&self.buffer)?;
        Ok(self.sink.offset_bytes())
    }
}

impl Write for BufferedSink<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + data.len() > self.limit_bytes {
            self.sink.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        if data.len() >= self.limit_bytes {
            self.sink.write_all(data)?;
        } else {
            self.buffer.extend_from_slice(data);
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
