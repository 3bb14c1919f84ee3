//! Writing a disk image: everything but its start, verify, then the start, verify again.
//!
//! What is decoded is hashed while it is written; the medium is read back past the caches and compared by hashes of stretches.
//! The image's first stretch holds the partition table and is held back, so that a medium that was not verified does
//! not look bootable. Of an image whose GPT is moved, what is written and read back is the changed table.

use super::fitted;
use super::preflight::Checked;
use crate::error::{Error, FaultyPart, Result};
use crate::formats::codec::decoder;
use crate::formats::digest::{Algorithm, Digest, Hasher};
use crate::formats::within;
use crate::operation::{Operation, Progress};
use crate::report::Done;
use crate::size::Size;
use crate::table;
use replicator_hal::{self as hal, Target, Volume};
use std::io::{Read, Write};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// So many hashes are kept of an image at most, however large it is: 2 MiB of memory.
const STRETCHES_MAX: u64 = 1 << 16;

/// What one stretch of the image must read back as.
struct Stretch {
    offset_bytes: u64,
    len_bytes: u64,
    hash: u128,
}

/// Hashes what is written from front to back, stretch by stretch.
struct Stretches {
    stretch_len_bytes: u64,
    done: Vec<Stretch>,
    hash: Xxh3,
    offset_bytes: u64,
    len_bytes: u64,
}

/// What was written, and what is still held back.
struct Written {
    stretches: Vec<Stretch>,
    held_back: Vec<u8>,
    len_bytes: u64,
    digests: Vec<Digest>,
    /// What was found in the image's partitions.
    notes: Vec<String>,
}

/// Writes and verifies. The medium looks bootable only when this returns `Ok`.
///
/// # Errors
/// Errors of drive, codec and medium; `Verify`; `Digest`.
pub(super) fn write(
    operation: &Operation<'_>,
    drive: &dyn Volume,
    checked: &Checked,
    target: &mut dyn Target,
) -> Result<Done> {
    let written = write_body(operation, drive, checked, target)?;
    check_digests(checked, &written)?;
    let label = operation.label();
    operation.step("flushing");
    // What is in the kernel's cache reaches the medium in any order, and this must be last.
    target.sync().map_err(Error::hal(format!("flushing {label}")))?;
    table::reserve_at(operation, target, 0, written.held_back.len(), label)?;
    let bypass = target.begin_verify().map_err(Error::hal(format!("flushing {label}")))?;
    compare(operation, target, &written.stretches)?;
    operation.short_step("writing the partition table");
    commit_start(operation, checked, target, &written)?;
    Ok(Done {
        content_len_bytes: written.len_bytes,
        file_len_bytes: checked.image.file_len_bytes,
        content_md5: written.digests.first().map(ToString::to_string),
        cache_bypass: Some(bypass),
        notes: written.notes,
    })
}

fn algorithms(checked: &Checked) -> Vec<Algorithm> {
    let mut algorithms = vec![Algorithm::Md5];
    algorithms.extend(
        checked.image.content.iter().map(|promise| promise.algorithm).filter(|a| *a != Algorithm::Md5),
    );
    algorithms
}

fn write_body(
    operation: &Operation<'_>,
    drive: &dyn Volume,
    checked: &Checked,
    target: &mut dyn Target,
) -> Result<Written> {
    let file_name = checked.image.name.to_string();
    let label = operation.label();
    let mut file = checked.image.open(operation, drive)?;
    let compute = operation.compute();
    let mut content = decoder(checked.image.name.compression, &mut file, compute, operation.tuning.limits)
        .map_err(Error::format(file_name.as_str()))?;
    let mut hashers: Vec<_> = algorithms(checked).into_iter().map(Hasher::new).collect();
    let mut written = Written {
        stretches: Vec::new(),
        held_back: Vec::new(),
        len_bytes: 0,
        digests: Vec::new(),
        notes: Vec::new(),
    };
    let mut unseen = checked.disk.unseen.clone();
    let mut stretches = Stretches::new(operation.tuning.chunk_len_bytes, checked.content_len_bytes);
    let mut progress = operation.progress("writing", checked.content_len_bytes);
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes];
    loop {
        let held_left = operation.tuning.held_back_len_bytes.saturating_sub(written.len_bytes);
        let wanted = if held_left > 0 { within(buffer.len(), held_left) } else { buffer.len() };
        let len = read_chunk(&mut *content, &mut buffer[..wanted]).map_err(Error::io(file_name.as_str()))?;
        if len == 0 {
            break;
        }
        let offset_bytes = written.len_bytes;
        for hasher in &mut hashers {
            hasher.write_all(&buffer[..len]).map_err(Error::io(file_name.as_str()))?;
        }
        if let Some(places) = &mut unseen {
            places.pass(offset_bytes, &buffer[..len]);
        }
        written.len_bytes += len as u64;
        progress.advance(len as u64);
        let kept = fitted::keep(&checked.disk, &file_name, offset_bytes, &buffer[..len], target.len_bytes())?;
        let chunk = &mut buffer[..kept];
        if chunk.is_empty() {
            continue;
        }
        fitted::overlay(&checked.disk.patches, offset_bytes, chunk);
        let chunk = &*chunk;
        if held_left > 0 {
            written.held_back.extend_from_slice(chunk);
        } else {
            operation
                .retry(|| hal::io::write_target(target, offset_bytes, chunk))
                .map_err(Error::hal(format!("writing {label} at byte {offset_bytes}")))?;
            stretches.add(offset_bytes, chunk);
        }
    }
    progress.finish();
    drop(content);
    file.close()?;
    if let Some(expected) = checked.content_len_bytes.filter(|expected| *expected != written.len_bytes) {
        return Err(Error::Verify {
            part: FaultyPart::Image,
            what: file_name,
            offset_bytes: Some(written.len_bytes),
            detail: format!("{:#} were announced, {:#} came", Size(expected), Size(written.len_bytes)),
        });
    }
    if let Some(mut places) = unseen {
        places.end(written.len_bytes);
        let judged = places.judge(written.len_bytes, target.len_bytes());
        written.notes = judged.map_err(|unfit| Error::Verify {
            part: FaultyPart::Image,
            what: file_name,
            offset_bytes: None,
            detail: format!("it {}", unfit.what),
        })?;
    }
    for (offset_bytes, bytes) in fitted::behind(&checked.disk.patches, written.len_bytes) {
        operation
            .retry(|| hal::io::write_target(target, offset_bytes, bytes))
            .map_err(Error::hal(format!("writing {label} at byte {offset_bytes}")))?;
        stretches.add_apart(offset_bytes, bytes);
    }
    written.stretches = stretches.finish();
    written.digests = hashers.into_iter().map(Hasher::finish).collect();
    Ok(written)
}

fn check_digests(checked: &Checked, written: &Written) -> Result<()> {
    let file_name = checked.image.name.to_string();
    for promise in &checked.image.content {
        let actual = written.digests.iter().find(|digest| digest.algorithm() == promise.algorithm);
        match actual {
            Some(actual) => promise.check(&file_name, actual)?,
            None => {
                return Err(Error::Internal { detail: format!("{} was not computed", promise.sidecar) });
            }
        }
    }
    Ok(())
}

impl Stretches {
    fn new(chunk_len_bytes: usize, image_len_bytes: Option<u64>) -> Self {
        let chunk_len_bytes = chunk_len_bytes as u64;
        let needed = image_len_bytes.unwrap_or(0).div_ceil(STRETCHES_MAX);
        let stretch_len_bytes = needed.max(1).next_multiple_of(chunk_len_bytes.max(1));
        Self { stretch_len_bytes, done: Vec::new(), hash: Xxh3::new(), offset_bytes: 0, len_bytes: 0 }
    }

    fn add(&mut self, offset_bytes: u64, chunk: &[u8]) {
        if self.len_bytes == 0 {
            self.offset_bytes = offset_bytes;
        }
        self.hash.update(chunk);
        self.len_bytes += chunk.len() as u64;
        if self.len_bytes >= self.stretch_len_bytes {
            self.close();
        }
    }

    /// Adds what does not follow what was added before.
    fn add_apart(&mut self, offset_bytes: u64, bytes: &[u8]) {
        if self.len_bytes > 0 {
            self.close();
        }
        self.add(offset_bytes, bytes);
        if self.len_bytes > 0 {
            self.close();
        }
    }

    fn close(&mut self) {
        let hash = self.hash.digest128();
        self.done.push(Stretch { offset_bytes: self.offset_bytes, len_bytes: self.len_bytes, hash });
        self.hash.reset();
        self.len_bytes = 0;
    }

    fn finish(mut self) -> Vec<Stretch> {
        if self.len_bytes > 0 {
            self.close();
        }
        self.done
    }
}

/// Compares every stretch with the medium.
fn compare(operation: &Operation<'_>, target: &mut dyn Target, stretches: &[Stretch]) -> Result<()> {
    let total = stretches.iter().map(|stretch| stretch.len_bytes).sum();
    let mut progress = operation.progress("verifying", Some(total));
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes];
    for stretch in stretches {
        compare_stretch(operation, target, stretch, &mut buffer, &mut progress)?;
    }
    progress.finish();
    Ok(())
}

fn compare_stretch(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    stretch: &Stretch,
    buffer: &mut [u8],
    progress: &mut Progress<'_>,
) -> Result<()> {
    let label = operation.label();
    let (mut hash, mut done_bytes, mut only_zeros) = (Xxh3::new(), 0, true);
    let differs = |detail: &str| {
        let (what, offset_bytes) = (label.to_owned(), Some(stretch.offset_bytes));
        Err(Error::Verify { part: FaultyPart::Medium, what, offset_bytes, detail: detail.to_owned() })
    };
    while done_bytes < stretch.len_bytes {
        let offset_bytes = stretch.offset_bytes + done_bytes;
        let wanted = within(buffer.len(), stretch.len_bytes - done_bytes);
        let found = &mut buffer[..wanted];
        let len = operation
            .retry(|| hal::io::read_target(target, offset_bytes, found))
            .map_err(Error::hal(format!("reading {label} back at byte {offset_bytes}")))?;
        if len < wanted {
            return differs("the medium ends there");
        }
        hash.update(found);
        only_zeros = only_zeros && found.iter().all(|byte| *byte == 0);
        done_bytes += len as u64;
        progress.advance(len as u64);
    }
    match (hash.digest128() == stretch.hash, only_zeros) {
        (true, _) => Ok(()),
        (false, true) => differs("it reads as zeros"),
        (false, false) => differs("it reads other bytes than were written"),
    }
}

/// Writes the held-back start, each part verified before the next: the first sector last. Before it is there no
/// partition table is seen, and one sector is written whole or not at all, so no cut leaves a table without the rest.
///
/// A fake card may have answered for what was written last, the end of the image, from its own memory. That memory holds
/// most of the start by then, so the end is read once more before the first sector is written. Of a card that wraps around
/// the start damages what shares its cells: its place was reserved before the comparison, so that this shows there.
fn commit_start(
    operation: &Operation<'_>,
    checked: &Checked,
    target: &mut dyn Target,
    written: &Written,
) -> Result<()> {
    let label = operation.label();
    let doing = || format!("writing the start of {label}");
    let sector_len = usize::try_from(checked.device.sector_len_bytes).unwrap_or(usize::MAX);
    let (first_sector, rest) = written.held_back.split_at(sector_len.min(written.held_back.len()));
    for (offset_bytes, part) in [(first_sector.len() as u64, rest), (0, first_sector)] {
        if part.is_empty() {
            continue;
        }
        operation.retry(|| hal::io::write_target(target, offset_bytes, part)).map_err(Error::hal(doing()))?;
        target.begin_verify().map_err(Error::hal(doing()))?;
        let stretch = Stretch { offset_bytes, len_bytes: part.len() as u64, hash: xxh3_128(part) };
        let mut progress = operation.progress("verifying the start", Some(part.len() as u64));
        compare_stretch(operation, target, &stretch, &mut vec![0; part.len()], &mut progress)?;
        if offset_bytes > 0 {
            let end = last_stretches(&written.stretches, operation.tuning.held_back_len_bytes);
            compare(operation, target, end)?;
        }
    }
    Ok(())
}

/// The last stretches, `len_bytes` of them or a little more.
fn last_stretches(stretches: &[Stretch], len_bytes: u64) -> &[Stretch] {
    let mut left_bytes = len_bytes;
    let mut start = stretches.len();
    while start > 0 && left_bytes > 0 {
        start -= 1;
        left_bytes = left_bytes.saturating_sub(stretches[start].len_bytes);
    }
    &stretches[start..]
}

/// Reads until the buffer is full or the content ends.
fn read_chunk(content: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match content.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_never_wraps_around_to_nothing() {
        for left_bytes in [1_u64 << 32, (1 << 32) + 1, 1 << 63, u64::MAX] {
            assert!(within(4096, left_bytes) >= 1, "{left_bytes}");
        }
        assert_eq!((within(4096, 1 << 32), within(4096, 4095), within(4096, 0)), (4096, 4095, 0));
    }

    #[test]
    fn the_last_stretches_are_as_many_as_asked_for() {
        let stretch = |number: u64| Stretch { offset_bytes: number * 100, len_bytes: 100, hash: 0 };
        let all: Vec<Stretch> = (0..5).map(stretch).collect();
        let first = |len_bytes| last_stretches(&all, len_bytes).first().map(|stretch| stretch.offset_bytes);
        assert_eq!([0, 1, 100, 101].map(first), [None, Some(400), Some(400), Some(300)]);
        assert_eq!([500, 501, u64::MAX].map(first), [Some(0); 3]);
        assert!(last_stretches(&[], 1).is_empty());
    }

    #[test]
    fn stretches_cover_everything_and_stay_few() {
        let chunk = [7; 1024];
        for chunks in [0, 1, 2, 3, 64, 65] {
            let mut stretches = Stretches::new(chunk.len(), None);
            stretches.stretch_len_bytes = 2048;
            let start_bytes = 100;
            for number in 0..chunks {
                stretches.add(start_bytes + number * 1024, &chunk);
            }
            stretches.add(start_bytes + chunks * 1024, &chunk[..3]);
            let mut offset_bytes = start_bytes;
            for stretch in stretches.finish() {
                assert_eq!(stretch.offset_bytes, offset_bytes);
                let content = vec![7; stretch.len_bytes as usize];
                assert_eq!(stretch.hash, xxh3_128(&content));
                offset_bytes += stretch.len_bytes;
            }
            assert_eq!(offset_bytes, start_bytes + chunks * 1024 + 3);
        }
        for image_len_bytes in [1_u64 << 40, (1 << 40) + 1, u64::MAX >> 8] {
            let stretches = Stretches::new(1 << 20, Some(image_len_bytes));
            assert!(image_len_bytes.div_ceil(stretches.stretch_len_bytes) <= STRETCHES_MAX);
            assert_eq!(stretches.stretch_len_bytes % (1 << 20), 0);
        }
        assert_eq!(Stretches::new(1 << 20, Some(64 << 30)).stretch_len_bytes, 1 << 20);
    }
}
