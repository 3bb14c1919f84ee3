//! OpenWrt's metadata behind an image is found, and ignored behind compressed data; similar data is refused.

use super::*;
use replicator_engine::formats::codec::{Metadata, metadata as found};

fn block(data: &[u8], kind: u8) -> Vec<u8> {
    let len = (data.len() + 16) as u32;
    [data, b"FWx0", &[1, 2, 3, 4, kind, 0, 0, 0], &len.to_be_bytes()].concat()
}

fn metadata() -> Vec<u8> {
    [block(b"\0\0\0\0\0\0\0\0{ \"metadata_version\": \"1.1\" }\n", 1), block(b"untrusted comment\n", 0)]
        .concat()
}

#[test]
fn metadata_of_openwrt_is_ignored() {
    let data = sample(5000, 1);
    let image = compressed(Compression::Gzip, &data);
    let twice = [&image[..], &image].concat();
    // A first block with another stored length, and a signature without metadata.
    let mut odd = metadata();
    let first_len = odd.len() - 34 - 1;
    odd[first_len] = 0xae;
    for (file, content) in [
        ([&image[..], &metadata()].concat(), data.clone()),
        ([&image[..], &odd].concat(), data.clone()),
        ([&image[..], &block(b"signature", 0)].concat(), data.clone()),
        ([&twice[..], &metadata()].concat(), data.repeat(2)),
    ] {
        for compute in COMPUTES {
            assert!(decode(Compression::Gzip, &file, compute).unwrap() == content);
        }
        let found = found(Compression::Gzip, &mut &file[..], Limits::default()).unwrap();
        assert!(found.is_some_and(|found| found.start_bytes.is_none()));
    }
    let file = [&compressed(Compression::Bzip2, &data)[..], &metadata()].concat();
    for compute in COMPUTES {
        assert!(decode(Compression::Bzip2, &file, compute).unwrap() == data);
    }
}

fn start_of(compression: Compression, file: &[u8]) -> Option<u64> {
    found(compression, &mut &file[..], Limits::default()).unwrap().and_then(|found| found.start_bytes)
}

#[test]
fn metadata_begins_where_the_data_is_whole() {
    let data = sample(8192, 1);
    for compression in [Compression::None, Compression::Xz, Compression::Zstd] {
        let image =
            if compression == Compression::None { data.clone() } else { compressed(compression, &data) };
        let file = [&image[..], &metadata()].concat();
        assert_eq!(start_of(compression, &file), Some(image.len() as u64), "{compression}");
        let signed = [&image[..], &block(b"signature", 0)].concat();
        assert_eq!(start_of(compression, &signed), Some(image.len() as u64), "{compression}");
        assert_eq!(found(compression, &mut &image[..], Limits::default()).unwrap(), None);
        // Data that is cut, or not in whole sectors, and bytes that are not metadata.
        for other in [
            [&image[..image.len() - 1], &metadata()].concat(),
            [&image[..], b"x", &metadata()].concat(),
            [&file[..], b"x"].concat(),
        ] {
            assert_eq!(found(compression, &mut &other[..], Limits::default()).unwrap(), None::<Metadata>);
        }
    }
}

#[test]
fn data_of_bzip2_that_is_cut_is_refused_whatever_follows() {
    let image = compressed(Compression::Bzip2, &sample(5000, 1));
    for cut in 1..image.len() {
        let file = [&image[..cut], &metadata()].concat();
        decode(Compression::Bzip2, &file, Compute::Inline).unwrap_err();
    }
    let file = [&image[..], b"x", &metadata()].concat();
    assert_eq!(decode(Compression::Bzip2, &file, Compute::Inline).unwrap_err().code(), "F-TRAILING");
}

#[test]
fn incomplete_data_and_other_trailers_are_refused() {
    let image = compressed(Compression::Gzip, &sample(5000, 1));
    let whole = [&image[..], &metadata()].concat();
    for cut in 1..image.len() {
        let file = [&image[..cut], &metadata()].concat();
        decode(Compression::Gzip, &file, Compute::Inline).unwrap_err();
    }
    for cut in image.len() + 1..whole.len() {
        let last_block = whole.len() - 34;
        let result = decode(Compression::Gzip, &whole[..cut], Compute::Inline);
        // The first eight bytes of the metadata alone are padding.
        let is_whole = cut == last_block || cut <= image.len() + 8;
        assert_eq!(result.is_ok(), is_whole, "cut at {cut} of {}", whole.len());
    }
    for file in [
        [&image[..], b"x", &metadata()].concat(),
        [&whole[..], b"x"].concat(),
        [&whole[..], &whole[..]].concat(),
        [&image[..], b"0123456789abcdef"].concat(),
    ] {
        let error = decode(Compression::Gzip, &file, Compute::Inline).unwrap_err();
        assert_eq!(error.code(), "F-TRAILING", "{error}");
    }
}
