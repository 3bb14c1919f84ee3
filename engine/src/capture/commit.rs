//! A finished file gets its name: read back from the drive, compared, synced, renamed.
//!
//! The order is what keeps every crash state safe. Nothing has a name in the drive's root before its content is on the
//! drive and verified, and the image's name comes last: whoever finds it finds its sidecars and its record too.

use super::packer::Packed;
use super::session::replace;
use super::work::{self, Work};
use crate::drive_file::DriveFile;
use crate::error::{Error, FaultyPart, Refusal, Result};
use crate::formats::codec::{self, Compression};
use crate::formats::digest::{Algorithm, Digest, Hasher};
use crate::formats::{ReadAt, sidecar};
use crate::names::ImageName;
use crate::operation::Operation;
use replicator_hal::{CacheBypass, RelativePath, VolumeFile};
use std::io::{self, Read};

/// Brings the packed `file` onto the drive and closes it. Reads after this come from the drive.
pub(super) fn settle(
    operation: &Operation<'_>,
    mut file: Box<dyn VolumeFile>,
    what: &str,
) -> Result<CacheBypass> {
    operation.step("syncing the drive");
    file.sync()
        .and_then(|()| file.drop_cache())
        .and_then(|()| file.close())
        .map_err(Error::hal(format!("writing {what} on the drive")))?;
    Ok(CacheBypass::Dropped)
}

/// Reads the file back whole, decodes it, and compares both digests with what was written.
pub(super) fn verify(
    operation: &Operation<'_>,
    work: &Work<'_>,
    path: &RelativePath,
    compression: Compression,
    packed: &Packed,
) -> Result<()> {
    let mut input = HashingInput {
        inner: DriveFile::open(operation, work.drive, path)?,
        hasher: Hasher::new(Algorithm::Md5),
        hashed_len_bytes: 0,
    };
    let what = format!("{path} on the drive");
    let mut progress = operation.progress("verifying", Some(packed.content_len_bytes));
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes.max(1)];
    let mut content = Hasher::new(Algorithm::Md5);
    let mut content_len_bytes = 0;
    let compute = operation.board.tasks.compute();
    let mut decoder = codec::decoder(compression, &mut input, compute, operation.tuning.limits)
        .map_err(Error::format(what.clone()))?;
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => {
                content.update(&buffer[..len]);
                content_len_bytes += len as u64;
                progress.advance(len as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(what)(error)),
        }
    }
    drop(decoder);
    let (file_md5, file_len_bytes, file) = input.finish(&mut buffer).map_err(Error::io(what.clone()))?;
    file.close()?;
    progress.finish();
    compare(&what, (file_md5, file_len_bytes), (packed.file_md5, packed.file_len_bytes))?;
    let what = format!("the content of {what}");
    compare(&what, (content.finish(), content_len_bytes), (packed.content_md5, packed.content_len_bytes))
}

fn compare(what: &str, found: (Digest, u64), written: (Digest, u64)) -> Result<()> {
    if found == written {
        return Ok(());
    }
    Err(Error::Verify {
        part: FaultyPart::Drive,
        what: what.to_owned(),
        offset_bytes: None,
        detail: format!(
            "{} bytes with md5 {} were written, {} bytes with md5 {} were read back",
            written.1, written.0, found.1, found.0
        ),
    })
}

/// Hashes a file while a decoder reads it, in whatever order it does.
struct HashingInput<'a> {
    inner: DriveFile<'a>,
    hasher: Hasher,
    /// Everything before this is hashed.
    hashed_len_bytes: u64,
}

impl<'a> HashingInput<'a> {
    /// Hashes what the decoder skipped or read out of order.
    fn finish(mut self, buffer: &mut [u8]) -> io::Result<(Digest, u64, DriveFile<'a>)> {
        while self.hashed_len_bytes < self.inner.len_bytes() {
            let at = self.hashed_len_bytes;
            if self.read_at(at, buffer)? == 0 {
                break;
            }
        }
        Ok((self.hasher.finish(), self.hashed_len_bytes, self.inner))
    }
}

impl ReadAt for HashingInput<'_> {
    fn len_bytes(&self) -> u64 {
        self.inner.len_bytes()
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read_at(offset_bytes, buffer)?;
        let end = offset_bytes + len as u64;
        if offset_bytes <= self.hashed_len_bytes && end > self.hashed_len_bytes {
            self.hasher.update(&buffer[(self.hashed_len_bytes - offset_bytes) as usize..len]);
            self.hashed_len_bytes = end;
        }
        Ok(len)
    }
}

/// The sidecars of an image, by name: of the uncompressed content, and of the file if that is another.
pub(super) fn sidecars(image: &ImageName, packed: &Packed) -> Vec<(String, Vec<u8>)> {
    let of = |name: String, digest: &Digest| {
        let content = sidecar::line(digest, name.as_bytes());
        (format!("{name}{}", Algorithm::Md5.extension()), content)
    };
    let mut sidecars = vec![of(image.uncompressed(), &packed.content_md5)];
    if image.compression != Compression::None {
        sidecars.push(of(image.to_string(), &packed.file_md5));
    }
    sidecars
}

/// Gives the verified image in the session directory its name in the root, after the small files that go with it.
pub(super) fn publish(
    operation: &Operation<'_>,
    work: &Work<'_>,
    image: &str,
    companions: &[(String, Vec<u8>)],
) -> Result<()> {
    let drive = work.drive;
    let target = work::in_root(image)?;
    if work::kind_of(operation, drive, &target)?.is_some() {
        return Err(Error::refused(Refusal::WouldReplace, format!("{image} is on the drive already")));
    }
    for (name, content) in companions {
        work.write_small(operation, &work.path(name)?, content)?;
    }
    operation.board.leds.renew(operation.tuning.tool_lease);
    work.sync()?;
    for (name, _) in companions {
        replace(operation, drive, &work.path(name)?, &work::in_root(name)?)?;
    }
    work::sync_directory(drive, &RelativePath::root())?;
    let source = work.path(image)?;
    drive
        .rename(&source, &target)
        .map_err(Error::hal(format!("renaming {source} to {target} on the drive")))?;
    // Where directories reach the medium in any order, a lost name only means that the medium is captured again; a file
    // with two names would be two owners of the same clusters.
    work.sync()?;
    work::sync_directory(drive, &RelativePath::root())
}
