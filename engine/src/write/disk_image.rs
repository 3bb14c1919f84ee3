//! Writing a disk image: everything but its start, verify, then the start, verify again.
//!
//! What is decoded is hashed while it is written; the medium is read back past the caches and compared chunk by chunk.
//! The image's first stretch holds the partition table and is held back, so that a medium that was not verified does
//! not look bootable.

use super::preflight::Checked;
use crate::error::{Error, Refusal, Result};
use crate::formats::codec::decoder;
use crate::formats::digest::{Algorithm, Digest, Hasher};
use crate::mutant::Mutant;
use crate::operation::Operation;
use crate::report::Done;
use replicator_hal::{self as hal, Target, Volume};
use std::io::{Read, Write};
use xxhash_rust::xxh3::xxh3_128;

/// What one chunk of the image must read back as.
struct Chunk {
    offset_bytes: u64,
    len_bytes: usize,
    hash: u128,
}

/// What was written, and what is still held back.
struct Written {
    chunks: Vec<Chunk>,
    held_back: Vec<u8>,
    len_bytes: u64,
    digests: Vec<Digest>,
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
    let bypass = target.begin_verify().map_err(Error::hal(format!("flushing {label}")))?;
    if !operation.mutated(Mutant::NoReadBack) {
        compare(operation, target, &written.chunks)?;
    }
    operation.step("writing the partition table");
    commit_start(operation, checked, target, &written)?;
    Ok(Done {
        content_len_bytes: written.len_bytes,
        file_len_bytes: checked.image.file_len_bytes,
        content_md5: written.digests.first().map(ToString::to_string),
        cache_bypass: Some(bypass),
        notes: Vec::new(),
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
    let compute = operation.board.tasks.compute();
    let mut content = decoder(checked.image.name.compression, &mut file, compute, operation.tuning.limits)
        .map_err(Error::format(file_name.as_str()))?;
    let mut hashers: Vec<_> = algorithms(checked).into_iter().map(Hasher::new).collect();
    let mut written =
        Written { chunks: Vec::new(), held_back: Vec::new(), len_bytes: 0, digests: Vec::new() };
    let mut progress = operation.progress("writing", checked.content_len_bytes);
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes];
    loop {
        let start_first = operation.mutated(Mutant::StartFirst);
        let held_back = if start_first { 0 } else { operation.tuning.held_back_len_bytes };
        let held_left = held_back.saturating_sub(written.len_bytes);
        let wanted = if held_left > 0 { buffer.len().min(held_left as usize) } else { buffer.len() };
        let len = read_chunk(&mut *content, &mut buffer[..wanted]).map_err(Error::io(file_name.as_str()))?;
        if len == 0 {
            break;
        }
        let chunk = &buffer[..len];
        let offset_bytes = written.len_bytes;
        if offset_bytes + len as u64 > target.len_bytes() {
            return Err(Error::refused(
                Refusal::ImageTooLarge,
                format!("{file_name} is larger than {label} with its {} bytes", target.len_bytes()),
            ));
        }
        for hasher in &mut hashers {
            hasher.write_all(chunk).map_err(Error::io(file_name.as_str()))?;
        }
        if held_left > 0 {
            written.held_back.extend_from_slice(chunk);
        } else {
            operation
                .retry(|| hal::io::write_target(target, offset_bytes, chunk))
                .map_err(Error::hal(format!("writing {label} at byte {offset_bytes}")))?;
            written.chunks.push(Chunk { offset_bytes, len_bytes: len, hash: xxh3_128(chunk) });
        }
        written.len_bytes += len as u64;
        progress.advance(len as u64);
    }
    progress.finish();
    drop(content);
    file.close()?;
    if let Some(expected) = checked.content_len_bytes.filter(|expected| *expected != written.len_bytes) {
        return Err(Error::Verify {
            what: file_name,
            offset_bytes: written.len_bytes,
            detail: format!("{expected} bytes were announced, {} came", written.len_bytes),
        });
    }
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

/// Compares every chunk with the medium.
fn compare(operation: &Operation<'_>, target: &mut dyn Target, chunks: &[Chunk]) -> Result<()> {
    let total = chunks.iter().map(|chunk| chunk.len_bytes as u64).sum();
    let mut progress = operation.progress("verifying", Some(total));
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes];
    for chunk in chunks {
        compare_chunk(operation, target, chunk, &mut buffer)?;
        progress.advance(chunk.len_bytes as u64);
    }
    progress.finish();
    Ok(())
}

fn compare_chunk(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    chunk: &Chunk,
    buffer: &mut [u8],
) -> Result<()> {
    let label = operation.label();
    let found = &mut buffer[..chunk.len_bytes];
    let len = operation
        .retry(|| hal::io::read_target(target, chunk.offset_bytes, found))
        .map_err(Error::hal(format!("reading {label} back at byte {}", chunk.offset_bytes)))?;
    if len == chunk.len_bytes && xxh3_128(found) == chunk.hash {
        return Ok(());
    }
    let detail = if len < chunk.len_bytes {
        "the medium ends there"
    } else if found.iter().all(|byte| *byte == 0) {
        "it reads as zeros"
    } else {
        "it reads other bytes than were written"
    };
    Err(Error::Verify { what: label.to_owned(), offset_bytes: chunk.offset_bytes, detail: detail.to_owned() })
}

/// Writes the held-back start, each part verified before the next: the first sector last. Before it is there no
/// partition table is seen, and one sector is written whole or not at all, so no cut leaves a table without the rest.
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
        let chunk = Chunk { offset_bytes, len_bytes: part.len(), hash: xxh3_128(part) };
        compare_chunk(operation, target, &chunk, &mut vec![0; part.len()])?;
    }
    Ok(())
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
