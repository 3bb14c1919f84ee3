//! OpenWrt's metadata behind gzip data is passed over; nothing that only looks like it.

use super::*;
use replicator_engine::formats::codec::passed_over;

fn block(data: &[u8], kind: u8) -> Vec<u8> {
    let len = (data.len() + 16) as u32;
    [data, b"FWx0", &[1, 2, 3, 4, kind, 0, 0, 0], &len.to_be_bytes()].concat()
}

fn metadata() -> Vec<u8> {
    [block(b"\0\0\0\0\0\0\0\0{ \"metadata_version\": \"1.1\" }\n", 1), block(b"untrusted comment\n", 0)]
        .concat()
}

#[test]
fn metadata_of_openwrt_is_passed_over() {
    let data = sample(5000, 1);
    let image = compressed(Compression::Gzip, &data);
    let twice = [&image[..], &image].concat();
    // A first block whose length is of another count, and a signature without metadata.
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
        assert!(passed_over(Compression::Gzip, &mut &file[..]).unwrap().is_some());
        for other in [Compression::Xz, Compression::Bzip2, Compression::Zstd] {
            let file = [&compressed(other, &data)[..], &metadata()].concat();
            assert!(decode(other, &file, Compute::Inline).is_err(), "{other}");
            assert_eq!(passed_over(other, &mut &file[..]).unwrap(), None);
        }
    }
}

#[test]
fn what_is_not_whole_or_not_metadata_is_refused() {
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
