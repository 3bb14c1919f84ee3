//! The list of digests that is made while files are packed.
//!
//! It is complete only after the last file, and its length must be known before it is packed. A list that is longer than
//! one chunk is kept in a file of the session, so that memory does not grow with the number of files.

use super::checksums::{self, LIST};
use super::private_keys::{LOOKED_AT_BYTES, PrivateKeys};
use super::work::{self, Work};
use crate::error::{Error, FaultyPart, Result};
use crate::formats::digest::{Algorithm, Digest, Hasher};
use crate::operation::Operation;
use replicator_hal::{self as hal, RelativePath, VolumeFile};
use std::io::Write;
use xxhash_rust::xxh3::Xxh3;

/// Zeros of a hole that are hashed at once.
const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
/// How much of a hole is hashed before progress is reported.
const RENEW_AFTER_BYTES: u64 = 64 << 20;

/// The list so far.
pub(super) struct DigestList<'a> {
    operation: &'a Operation<'a>,
    work: &'a Work<'a>,
    /// The lines that are not in the file.
    lines: Vec<u8>,
    spilled: Option<Spilled>,
    private_keys: PrivateKeys,
}

/// The first lines, in a file on the drive.
struct Spilled {
    file: Box<dyn VolumeFile>,
    len_bytes: u64,
    /// The hash of what was written. The lines that are read back must have the same.
    hash: Xxh3,
}

impl<'a> DigestList<'a> {
    /// An empty list.
    pub(super) fn new(operation: &'a Operation<'a>, work: &'a Work<'a>) -> Self {
        Self { operation, work, lines: Vec::new(), spilled: None, private_keys: PrivateKeys::default() }
    }

    /// Adds a line for the file at `path`.
    pub(super) fn add(&mut self, path: &RelativePath, digest: &Digest) -> Result<()> {
        self.lines.extend_from_slice(&checksums::line(digest, path));
        if self.lines.len() >= self.operation.tuning.chunk_len_bytes.max(1) {
            self.spill()?;
        }
        Ok(())
    }

    /// Searches the start of a file for a private key.
    pub(super) fn look(&mut self, path: &RelativePath, start: &[u8]) {
        self.private_keys.look(path, start);
    }

    /// The length of all lines.
    pub(super) fn len_bytes(&self) -> u64 {
        self.lines.len() as u64 + self.spilled.as_ref().map_or(0, |spilled| spilled.len_bytes)
    }

    /// Writes all lines to `sink`, and returns the private keys that were found.
    pub(super) fn write_to(mut self, sink: &mut impl Write) -> Result<PrivateKeys> {
        let doing = || format!("packing /{LIST}");
        if let Some(spilled) = self.spilled.take() {
            self.read_back(spilled, sink)?;
        }
        sink.write_all(&self.lines).map_err(Error::io(doing()))?;
        Ok(self.private_keys)
    }

    fn path(&self) -> Result<RelativePath> {
        self.work.path(LIST)
    }

    fn spill(&mut self) -> Result<()> {
        let operation = self.operation;
        let path = self.path()?;
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            None => self.spilled.insert(Spilled {
                file: self.work.create(operation, &path)?,
                len_bytes: 0,
                hash: Xxh3::new(),
            }),
        };
        let start = spilled.len_bytes;
        let file = &mut spilled.file;
        hal::io::write_full(&self.lines, |done, rest| operation.retry(|| file.write_at(start + done, rest)))
            .map_err(Error::hal(format!("writing {path} on the drive")))?;
        spilled.hash.update(&self.lines);
        spilled.len_bytes += self.lines.len() as u64;
        self.lines.clear();
        Ok(())
    }

    /// Copies the file to `sink` and removes it.
    fn read_back(&self, mut spilled: Spilled, sink: &mut impl Write) -> Result<()> {
        let operation = self.operation;
        let path = self.path()?;
        let doing = || format!("reading {path} on the drive");
        let mut hash = Xxh3::new();
        let mut buffer = vec![0; operation.tuning.chunk_len_bytes.max(1)];
        let mut at = 0;
        while at < spilled.len_bytes {
            let len = (spilled.len_bytes - at).min(buffer.len() as u64) as usize;
            let (file, chunk) = (&mut spilled.file, &mut buffer[..len]);
            let read =
                hal::io::read_full(chunk, |done, rest| operation.retry(|| file.read_at(at + done, rest)))
                    .map_err(Error::hal(doing()))?;
            hash.update(&chunk[..read]);
            if read < len {
                break;
            }
            sink.write_all(chunk).map_err(Error::io(format!("packing /{LIST}")))?;
            at += len as u64;
        }
        if hash.digest128() != spilled.hash.digest128() {
            return Err(Error::Verify {
                part: FaultyPart::Drive,
                what: format!("{path} on the drive"),
                offset_bytes: None,
                detail: "it reads back other bytes than were written".to_owned(),
            });
        }
        spilled.file.close().map_err(Error::hal(doing()))?;
        work::remove_if_there(operation, &self.work.drive, &path).map(drop)
    }
}

/// The digest of a file, whose data comes in extents from front to back, and its first bytes.
pub(super) struct FileDigest<'a> {
    operation: &'a Operation<'a>,
    hasher: Hasher,
    start: Vec<u8>,
    len_bytes: u64,
}

impl<'a> FileDigest<'a> {
    /// Of a file of which nothing was read yet.
    pub(super) fn new(operation: &'a Operation<'a>) -> Self {
        Self { operation, hasher: Hasher::new(Algorithm::Md5), start: Vec::new(), len_bytes: 0 }
    }

    /// The file has zeros up to `end_bytes`.
    pub(super) fn hole(&mut self, end_bytes: u64) {
        let mut unreported = 0;
        while self.len_bytes < end_bytes {
            let len = (end_bytes - self.len_bytes).min(ZEROS.len() as u64) as usize;
            self.data(&ZEROS[..len]);
            unreported += len as u64;
            if unreported >= RENEW_AFTER_BYTES {
                self.operation.renew(self.operation.tuning.io_lease);
                unreported = 0;
            }
        }
    }

    /// The file has this data next.
    pub(super) fn data(&mut self, data: &[u8]) {
        let room = LOOKED_AT_BYTES.saturating_sub(self.start.len()).min(data.len());
        self.start.extend_from_slice(&data[..room]);
        self.hasher.update(data);
        self.len_bytes += data.len() as u64;
    }

    /// The digest, and the first bytes of the file.
    pub(super) fn finish(self) -> (Digest, Vec<u8>) {
        (self.hasher.finish(), self.start)
    }
}
