//! Reads an image on the drive: open, decode, hash, count, report progress, compare, close.
//!
//! Every step reads images with an [`ImageReader`]. Only one that has read its whole image returns a [`Verified`].
//! [`Operation::retry`] around each HAL call retries transient errors and `Interrupted`, so nothing here or above handles
//! them again.

use crate::drive_file::DriveFile;
use crate::error::{Error, FaultyPart, Result};
use crate::formats::codec::{self, Compression, DecodedLen, Limits, Metadata, decoder};
use crate::formats::digest::{Algorithm, Digest};
use crate::formats::hashing::Hashing;
use crate::formats::{Front, ReadAt};
use crate::operation::{Operation, Progress};
use crate::sidecars::ExpectedDigest;
use crate::size::Size;
use replicator_hal::{Compute, ReadTree, RelativePath};
use std::io::{self, Read};
use xxhash_rust::xxh3::Xxh3;

/// Where an image is.
#[derive(Debug, Clone)]
pub(crate) struct Source<'a> {
    /// The regular file, links followed.
    pub(crate) path: &'a RelativePath,
    /// Its name in messages.
    pub(crate) name: String,
    /// How it is compressed.
    pub(crate) compression: Compression,
    /// Where the image ends in the file, if other data follows.
    pub(crate) end_bytes: Option<u64>,
}

/// What an image is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected<'a> {
    /// What it announces, and the digests of its sidecars.
    Announced(Announced<'a>),
    /// The same as when it was read before, or as when it was captured.
    Same(ContentHash),
    /// What was written to the drive.
    Written(&'a Packed),
}

/// The length in the image's own header or index, and the digests in its sidecars.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announced<'a> {
    /// Length of the content, if it is known.
    pub(crate) len_bytes: Option<u64>,
    /// Digests of the content.
    pub(crate) digests: &'a [ExpectedDigest],
    /// Whether an md5 of the content is computed in any case.
    pub(crate) md5: bool,
    /// Whether the image will be read again, as [`Expected::Same`].
    pub(crate) again: bool,
}

/// What was written to the drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Of the uncompressed image.
    pub(crate) content_md5: Digest,
    /// Of the uncompressed image, XXH3 with 128 bits: what is read back is compared by it, because an md5 takes longer than
    /// everything else together where most of an image is zeros.
    pub(crate) content_hash: u128,
    /// Its length.
    pub(crate) content_len_bytes: u64,
    /// Of the file.
    pub(crate) file_md5: Digest,
    /// Its length.
    pub(crate) file_len_bytes: u64,
}

/// The length of the content of an image, and its XXH3 with 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentHash {
    /// The length.
    pub(crate) len_bytes: u64,
    /// The hash.
    pub(crate) hash: u128,
}

/// The proof that an image was read to its end and is as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    content_len_bytes: u64,
    file_len_bytes: u64,
    /// Computed if the image is read twice, or was written by this run.
    hash: Option<u128>,
    digests: Vec<Digest>,
    file_md5: Option<Digest>,
}

impl Verified {
    /// Length of the uncompressed image.
    pub(crate) fn content_len_bytes(&self) -> u64 {
        self.content_len_bytes
    }

    /// Length and hash of the content, if the hash was computed.
    pub(crate) fn content_hash(&self) -> Option<ContentHash> {
        self.hash.map(|hash| ContentHash { len_bytes: self.content_len_bytes, hash })
    }

    /// Length of the file, with data behind the image.
    pub(crate) fn file_len_bytes(&self) -> u64 {
        self.file_len_bytes
    }

    /// A digest of the content, if it was computed.
    pub(crate) fn digest(&self, algorithm: Algorithm) -> Option<&Digest> {
        self.digests.iter().find(|digest| digest.algorithm() == algorithm)
    }

    /// The md5 of the file, if it was computed.
    pub(crate) fn file_md5(&self) -> Option<&Digest> {
        self.file_md5.as_ref()
    }
}

/// An open image.
pub(crate) struct ImageReader<'a> {
    operation: &'a Operation<'a>,
    name: String,
    compression: Compression,
    input: Input<'a>,
    file_len_bytes: u64,
    expected: Option<Expected<'a>>,
    passed: Passed,
}

/// The part of the content that was read.
#[derive(Default)]
struct Passed {
    hash: Option<Xxh3>,
    digests: Option<Hashing>,
    len_bytes: u64,
    is_at_end: bool,
}

impl<'a> ImageReader<'a> {
    /// Opens an image.
    ///
    /// # Errors
    /// Those of the drive.
    pub(crate) fn open(
        operation: &'a Operation<'a>,
        drive: &dyn ReadTree,
        source: Source<'a>,
    ) -> Result<Self> {
        let file = DriveFile::open(operation, drive, source.path)?;
        let file_len_bytes = file.len_bytes();
        let file = Front::new(file, source.end_bytes.unwrap_or(file_len_bytes));
        Ok(Self {
            operation,
            name: source.name,
            compression: source.compression,
            input: Input { file, hash: None },
            file_len_bytes,
            expected: None,
            passed: Passed::default(),
        })
    }

    /// The whole content, decoded with all workers, hashed, and reported as progress of `doing`. [`finish`](Self::finish)
    /// compares it with what is `expected`.
    ///
    /// # Errors
    /// Errors of the format and of the drive.
    pub(crate) fn content(&mut self, doing: &str, expected: Expected<'a>) -> Result<Content<'_>> {
        // Of the content, or of a file that was captured.
        let computing = self.operation.compute(codec::DECODER_WORKER_BYTES, 1);
        let (mut algorithms, len_bytes) = (Vec::new(), expected.len_bytes());
        let is_hashed = match expected {
            Expected::Announced(announced) => {
                algorithms.extend(announced.digests.iter().map(|digest| digest.algorithm));
                if announced.md5 && !algorithms.contains(&Algorithm::Md5) {
                    algorithms.push(Algorithm::Md5);
                }
                announced.again
            }
            Expected::Same(_) => true,
            Expected::Written(_) => {
                let md5 = Hashing::new(&[Algorithm::Md5], computing.digests);
                let md5 = md5.map_err(Error::io(self.name.as_str()))?;
                self.input.hash = Some((md5, 0));
                true
            }
        };
        self.expected = Some(expected);
        let digests = Hashing::new(&algorithms, computing.digests).map_err(Error::io(self.name.as_str()))?;
        self.passed = Passed { hash: is_hashed.then(Xxh3::new), digests: Some(digests), ..Passed::default() };
        let progress = Some(self.operation.progress(doing, len_bytes));
        let limits =
            Limits { workers_bytes: self.operation.room_for_workers_bytes(), ..self.operation.tuning.limits };
        let decoder = decoder(self.compression, &mut self.input, computing.codec, limits)
            .map_err(Error::format(self.name.as_str()))?;
        Ok(Content { decoder, passed: &mut self.passed, progress, name: &self.name })
    }

    /// The first bytes of the content, up to `len_bytes`. They prove nothing about the rest.
    ///
    /// # Errors
    /// Errors of the format and of the drive.
    pub(crate) fn first_bytes(&mut self, len_bytes: usize) -> Result<Vec<u8>> {
        let mut first = Vec::new();
        let limit = len_bytes as u64;
        let name = self.name.clone();
        self.look()?.take(limit).read_to_end(&mut first).map_err(Error::io(name))?;
        Ok(first)
    }

    /// The content from its start, for reading a part of it. It is decoded in this thread, because workers would read
    /// ahead by an amount that depends on their speed.
    ///
    /// # Errors
    /// Errors of the format and of the drive.
    pub(crate) fn look(&mut self) -> Result<Box<dyn Read + Send + '_>> {
        let limits = self.operation.tuning.limits;
        decoder(self.compression, &mut self.input, Compute::Inline, limits)
            .map_err(Error::format(self.name.as_str()))
    }

    /// The content at offsets; `None` if the format has no random access.
    ///
    /// # Errors
    /// Errors of the format and of the drive.
    pub(crate) fn seekable(&mut self) -> Result<Option<Box<dyn ReadAt + '_>>> {
        let limits = self.operation.tuning.limits;
        codec::seekable(self.compression, &mut self.input, limits).map_err(Error::format(self.name.as_str()))
    }

    /// The length of the content, if the file has it.
    ///
    /// # Errors
    /// Errors of the format and of the drive.
    pub(crate) fn announced_len(&mut self) -> Result<Option<u64>> {
        let limits = self.operation.tuning.limits;
        let len = codec::decoded_len(self.compression, &mut self.input, limits);
        Ok(match len.map_err(Error::format(self.name.as_str()))? {
            DecodedLen::Known(len_bytes) => Some(len_bytes),
            DecodedLen::Unknown => None,
        })
    }

    /// The metadata that the builder of the image put behind it.
    ///
    /// # Errors
    /// Errors of the format and of the drive.
    pub(crate) fn metadata(&mut self) -> Result<Option<Metadata>> {
        let limits = self.operation.tuning.limits;
        codec::metadata(self.compression, &mut self.input, limits).map_err(Error::format(self.name.as_str()))
    }

    /// The file itself.
    pub(crate) fn file(&mut self) -> &mut (dyn ReadAt + Send + 'a) {
        &mut self.input
    }

    /// Closes an image of which only a part was read.
    ///
    /// # Errors
    /// Those of the drive.
    pub(crate) fn close(self) -> Result<()> {
        self.input.file.into_inner().close()
    }

    /// Closes the image after all of it was read, and compares it with what was expected.
    ///
    /// # Errors
    /// [`Error::Digest`], [`Error::Verify`]; those of the drive; `Internal` if it was not read to its end.
    pub(crate) fn finish(mut self) -> Result<Verified> {
        let (name, passed) = (self.name.as_str(), self.passed);
        let Some(expected) = self.expected.filter(|_| passed.is_at_end) else {
            return Err(Error::Internal { detail: format!("{name} was not read to its end") });
        };
        let hashed = self.input.finish(self.operation.tuning.chunk_len_bytes).map_err(Error::io(name))?;
        let (file_md5, file_len_bytes) =
            hashed.map_or((None, self.file_len_bytes), |(md5, len)| (Some(md5), len));
        self.input.file.into_inner().close()?;
        let digests =
            passed.digests.map_or_else(|| Ok(Vec::new()), Hashing::finish).map_err(Error::io(name))?;
        let mut verified = Verified {
            content_len_bytes: passed.len_bytes,
            file_len_bytes,
            hash: passed.hash.map(|hash| hash.digest128()),
            digests,
            file_md5,
        };
        match expected {
            Expected::Announced(announced) => announced.check(name, &verified)?,
            Expected::Same(earlier) => check_same(name, earlier, &verified)?,
            Expected::Written(packed) => {
                packed.check(name, &verified)?;
                verified.digests.push(packed.content_md5);
            }
        }
        Ok(verified)
    }
}

impl Expected<'_> {
    /// Length of the content, if it is known.
    fn len_bytes(&self) -> Option<u64> {
        match self {
            Self::Announced(announced) => announced.len_bytes,
            Self::Same(earlier) => Some(earlier.len_bytes),
            Self::Written(packed) => Some(packed.content_len_bytes),
        }
    }
}

impl Announced<'_> {
    fn check(&self, name: &str, found: &Verified) -> Result<()> {
        let len_bytes = found.content_len_bytes;
        if let Some(announced) = self.len_bytes.filter(|announced| *announced != len_bytes) {
            return Err(Error::Verify {
                part: FaultyPart::Image,
                what: name.to_owned(),
                offset_bytes: Some(len_bytes),
                detail: format!("{:#} were announced, {:#} came", Size(announced), Size(len_bytes)),
            });
        }
        for expected in self.digests {
            let Some(digest) = found.digest(expected.algorithm) else {
                return Err(Error::Internal { detail: format!("{} was not computed", expected.sidecar) });
            };
            expected.check(name, digest)?;
        }
        Ok(())
    }
}

fn check_same(name: &str, earlier: ContentHash, found: &Verified) -> Result<()> {
    if found.content_hash() == Some(earlier) {
        return Ok(());
    }
    Err(Error::Verify {
        part: FaultyPart::Drive,
        what: name.to_owned(),
        offset_bytes: None,
        detail: "the drive returned other bytes than in the check before".into(),
    })
}

impl Packed {
    fn check(&self, name: &str, found: &Verified) -> Result<()> {
        let file = (found.file_md5.map(|md5| md5.to_string()), found.file_len_bytes);
        compare(name, file, (self.file_md5.to_string(), self.file_len_bytes))?;
        let hex = |hash: u128| format!("{hash:032x}");
        let content = (found.hash.map(hex), found.content_len_bytes);
        compare(&format!("the content of {name}"), content, (hex(self.content_hash), self.content_len_bytes))
    }
}

/// Compares digest and length of what was read back with those of what was written.
fn compare(what: &str, found: (Option<String>, u64), written: (String, u64)) -> Result<()> {
    let (digest, len_bytes) = found;
    if digest.as_ref() == Some(&written.0) && len_bytes == written.1 {
        return Ok(());
    }
    let digest = digest.unwrap_or_else(|| "unknown".to_owned());
    Err(Error::Verify {
        part: FaultyPart::Drive,
        what: what.to_owned(),
        offset_bytes: None,
        detail: format!(
            "{} bytes with digest {} were written, {len_bytes} bytes with digest {digest} were read back",
            written.1, written.0
        ),
    })
}

/// The content of an image, from front to back.
pub(crate) struct Content<'r> {
    decoder: Box<dyn Read + Send + 'r>,
    passed: &'r mut Passed,
    progress: Option<Progress<'r>>,
    name: &'r str,
}

impl Content<'_> {
    /// Fills `buffer`, or less of it at the end.
    ///
    /// # Errors
    /// Errors of the format and of the drive.
    pub(crate) fn read_chunk(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_some(&mut buffer[done..]).map_err(Error::io(self.name))? {
                0 => break,
                len => done += len,
            }
        }
        self.advance(done);
        Ok(done)
    }

    /// Reads some bytes, or none at the end.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.decoder.read(buffer)?;
        let (passed, bytes) = (&mut *self.passed, &buffer[..len]);
        passed.is_at_end = len == 0 && !buffer.is_empty();
        if let Some(hash) = &mut passed.hash {
            hash.update(bytes);
        }
        if let Some(digests) = &mut passed.digests {
            digests.update(bytes)?;
        }
        passed.len_bytes += len as u64;
        Ok(len)
    }

    fn advance(&mut self, len: usize) {
        match self.progress.take() {
            Some(progress) if self.passed.is_at_end && len == 0 => progress.finish(),
            Some(mut progress) => {
                progress.advance(len as u64);
                self.progress = Some(progress);
            }
            None => {}
        }
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.read_some(buffer)?;
        self.advance(len);
        Ok(len)
    }
}

/// The file, hashed while a decoder reads it in any order.
struct Input<'a> {
    file: Front<DriveFile<'a>>,
    /// The hash of everything before this offset.
    hash: Option<(Hashing, u64)>,
}

impl Input<'_> {
    /// The md5 and the length of the file, if it is hashed. Reads what the decoder skipped or read out of order.
    fn finish(&mut self, chunk_len_bytes: usize) -> io::Result<Option<(Digest, u64)>> {
        let mut buffer = Vec::new();
        while let Some(at) = self.hash.as_ref().map(|(_, at)| *at).filter(|at| *at < self.file.len_bytes()) {
            buffer.resize(chunk_len_bytes.max(1), 0);
            if self.read_at(at, &mut buffer)? == 0 {
                break;
            }
        }
        let Some((md5, len_bytes)) = self.hash.take() else { return Ok(None) };
        Ok(md5.finish()?.into_iter().next().map(|md5| (md5, len_bytes)))
    }
}

impl ReadAt for Input<'_> {
    fn len_bytes(&self) -> u64 {
        self.file.len_bytes()
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(offset_bytes, buffer)?;
        let end = offset_bytes + len as u64;
        if let Some((hasher, hashed)) = &mut self.hash {
            if offset_bytes <= *hashed && end > *hashed {
                hasher.update(&buffer[(*hashed - offset_bytes) as usize..len])?;
                *hashed = end;
            }
        }
        Ok(len)
    }
}
