//! An image is verified only if it was read to its end and is as expected.

use super::bench::Bench;
use crate::error::{Error, FaultyPart, Result};
use crate::formats::codec::Compression;
use crate::formats::digest::{Algorithm, Digest};
use crate::operation::Operation;
use crate::sidecars::ExpectedDigest;
use crate::verify::{Announced, ContentHash, Expected, ImageReader, Packed, Source, Verified};
use replicator_hal::RelativePath;
use std::fs;

const CONTENT: &[u8] = &[7; 200_000];

/// A reader of [`CONTENT`] on the drive.
fn open<'a>(
    bench: &Bench,
    operation: &'a Operation<'a>,
    path: &'a RelativePath,
    end_bytes: Option<u64>,
) -> ImageReader<'a> {
    let source = Source { path, name: "sdimage.dd".into(), compression: Compression::None, end_bytes };
    ImageReader::open(operation, &bench.drive, source).unwrap()
}

/// Reads up to `chunks` chunks of the first bytes of [`CONTENT`], and finishes.
fn read(expected: Expected<'_>, end_bytes: Option<u64>, chunks: usize) -> Result<Verified> {
    let bench = Bench::new();
    fs::write(bench.drive_path.join("sdimage.dd"), CONTENT).unwrap();
    let path = RelativePath::parse("sdimage.dd").unwrap();
    let operation = bench.context().operation("sd", "sd");
    let mut reader = open(&bench, &operation, &path, end_bytes);
    let mut content = reader.content("reading", expected)?;
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..chunks {
        content.read_chunk(&mut buffer)?;
    }
    drop(content);
    reader.finish()
}

fn announced(len_bytes: Option<u64>, digests: &[ExpectedDigest]) -> Announced<'_> {
    Announced { len_bytes, digests, md5: true, again: true }
}

fn sidecar(digest: Digest) -> ExpectedDigest {
    let algorithm = digest.algorithm();
    ExpectedDigest {
        sidecar: format!("sdimage.dd{}", algorithm.extension()),
        algorithm,
        digest,
        other_name: None,
    }
}

fn faulty(result: Result<Verified>) -> FaultyPart {
    match result {
        Err(Error::Verify { part, .. }) => part,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_that_was_not_read_to_its_end_is_not_verified() {
    for chunks in [0, 1, 3] {
        let expected = Expected::Announced(announced(None, &[]));
        assert_eq!(read(expected, None, chunks).unwrap_err().code(), "X-INTERNAL", "{chunks} chunks");
    }
    let verified = read(Expected::Announced(announced(None, &[])), None, 4).unwrap();
    assert_eq!(verified.content_len_bytes(), CONTENT.len() as u64);
    assert_eq!(verified.digest(Algorithm::Md5), Some(&Digest::of(Algorithm::Md5, CONTENT)));
}

#[test]
fn an_image_has_the_length_and_the_digests_that_were_announced() {
    let good = [sidecar(Digest::of(Algorithm::Sha256, CONTENT))];
    let bad = [sidecar(Digest::of(Algorithm::Md5, b"other"))];
    let len_bytes = CONTENT.len() as u64;
    assert!(read(Expected::Announced(announced(Some(len_bytes), &good)), None, 9).is_ok());
    let error = read(Expected::Announced(announced(Some(len_bytes), &bad)), None, 9).unwrap_err();
    assert_eq!(error.code(), "V-DIGEST");
    let longer = Expected::Announced(announced(Some(len_bytes + 1), &good));
    assert_eq!(faulty(read(longer, None, 9)), FaultyPart::Image);
}

#[test]
fn an_image_that_is_read_again_is_the_same() {
    let first = read(Expected::Announced(announced(None, &[])), None, 9).unwrap().content_hash().unwrap();
    assert!(read(Expected::Same(first), None, 9).is_ok());
    assert_eq!(faulty(read(Expected::Same(first), Some(4096), 9)), FaultyPart::Drive);
    for other in [ContentHash { hash: !first.hash, ..first }, ContentHash { len_bytes: 1, ..first }] {
        assert_eq!(faulty(read(Expected::Same(other), None, 9)), FaultyPart::Drive);
    }
    let unhashed = Announced { again: false, ..announced(None, &[]) };
    assert_eq!(read(Expected::Announced(unhashed), None, 9).unwrap().content_hash(), None);
}

#[test]
fn a_packed_image_is_read_back_as_it_was_written() {
    let md5 = Digest::of(Algorithm::Md5, CONTENT);
    let len_bytes = CONTENT.len() as u64;
    let packed = Packed {
        content_md5: md5,
        content_hash: xxhash_rust::xxh3::xxh3_128(CONTENT),
        content_len_bytes: len_bytes,
        file_md5: md5,
        file_len_bytes: len_bytes,
    };
    let verified = read(Expected::Written(&packed), None, 9).unwrap();
    assert_eq!((verified.file_md5(), verified.file_len_bytes()), (Some(&md5), len_bytes));
    // The sidecar of the content gets this one.
    assert_eq!(verified.digest(Algorithm::Md5), Some(&md5));
    let other = Digest::of(Algorithm::Md5, b"other");
    for wrong in [
        Packed { content_hash: packed.content_hash ^ 1, ..packed.clone() },
        Packed { file_md5: other, ..packed.clone() },
        Packed { content_len_bytes: len_bytes + 1, ..packed.clone() },
        Packed { file_len_bytes: len_bytes + 1, ..packed },
    ] {
        assert_eq!(faulty(read(Expected::Written(&wrong), None, 9)), FaultyPart::Drive);
    }
}
