//! Complete files are decoded unchanged, with all settings and all lengths of reads and writes.

use super::*;
use proptest::prelude::*;
use replicator_engine::formats::codec::{XzEncoder, XzSettings};

fn settings(block_len_bytes: u64) -> XzSettings {
    XzSettings { preset: 0, block_len_bytes, ..XzSettings::default() }
}

/// Compresses with writes of the given lengths, repeated.
fn encode(data: &[u8], settings: &XzSettings, compute: Compute, writes: &[usize]) -> Vec<u8> {
    let mut encoder = XzEncoder::new(Vec::new(), settings, compute).unwrap();
    let mut rest = data;
    for len in writes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(rest.len().min(*len));
        encoder.write_all(now).unwrap();
        rest = later;
    }
    encoder.finish().unwrap()
}

/// Decodes with reads of the given lengths, repeated.
fn decode_in(compression: Compression, mut file: &[u8], compute: Compute, reads: &[usize]) -> Vec<u8> {
    let mut reader = decoder(compression, &mut file, compute, Limits::default()).unwrap();
    let mut decoded = Vec::new();
    for len in reads.iter().cycle() {
        let before = decoded.len();
        decoded.resize(before + len, 0);
        let done = reader.read(&mut decoded[before..]).unwrap();
        decoded.truncate(before + done);
        if done == 0 {
            break;
        }
    }
    assert_eq!(reader.read(&mut [0; 10]).unwrap(), 0, "an end is an end");
    decoded
}

fn lens() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..20_usize, 1..5000_usize, 1..200_000_usize], 1..8)
}

/// Few cases, because each of them runs every decoder many times; PROPTEST_CASES sets more.
fn few_cases() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(24),
    }
}

proptest! {
    #![proptest_config(few_cases())]

    #[test]
    fn xz(len in 0..300_000_usize, seed: u64, block_len in 4096..100_000_u64, writes in lens(), reads in lens()) {
        let data = sample(len, seed);
        let files = COMPUTES.map(|compute| encode(&data, &settings(block_len), compute, &writes));
        // The file does not depend on the number of threads.
        for file in &files[1..] {
            prop_assert_eq!(&files[0], file);
        }
        prop_assert_eq!(decoded_length(Compression::Xz, &files[0]).unwrap(), DecodedLen::Known(len as u64));
        for compute in COMPUTES {
            prop_assert!(decode_in(Compression::Xz, &files[0], compute, &reads) == data, "{:?}", compute);
        }
    }

    #[test]
    fn all_formats(lens_of_streams in prop::collection::vec(0..100_000_usize, 1..4), seed: u64, reads in lens()) {
        for compression in COMPRESSIONS {
            let mut file = Vec::new();
            let mut data = Vec::new();
            for &len in &lens_of_streams {
                let part = sample(len, seed ^ len as u64);
                file.extend(compressed(compression, &part));
                data.extend(part);
            }
            for compute in COMPUTES {
                prop_assert!(decode_in(compression, &file, compute, &reads) == data, "{} {:?}", compression, compute);
            }
            match decoded_length(compression, &file).unwrap() {
                DecodedLen::Known(len) => prop_assert_eq!(len, data.len() as u64),
                DecodedLen::Unknown => {
                    prop_assert!(matches!(compression, Compression::Gzip | Compression::Bzip2))
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), keep in 0..40_usize) {
        for compression in COMPRESSIONS {
            // With a good start the bytes pass the first check.
            let good = compressed(compression, b"some data");
            let file = [&good[..keep.min(good.len())], &bytes].concat();
            let limits = Limits { memory_bytes: 8 << 20, index_bytes: 1 << 16, ..Limits::default() };
            let inline = decode_with(compression, &file, Compute::Inline, limits);
            let threads = decode_with(compression, &file, Compute::Threads(1), limits);
            prop_assert_eq!(inline.is_ok(), threads.is_ok());
            let len = decoded_length(compression, &file);
            prop_assert!(inline.is_err() || len.is_ok(), "{}: {:?}", compression, len);
        }
    }
}

#[test]
fn long_runs_of_zeros_in_every_format() {
    // One chunk of input decodes to many chunks of output.
    let data = vec![0; 20 << 20];
    for compression in COMPRESSIONS {
        let file = compressed(compression, &data);
        for compute in [Compute::Inline, Compute::Threads(2)] {
            assert!(decode(compression, &file, compute).unwrap() == data, "{compression} {compute:?}");
        }
    }
}

#[test]
fn xz_streams_with_padding_between_them() {
    let (first, second) = (sample(70_000, 1), sample(30_000, 2));
    let mut file = encode(&first, &settings(10_000), Compute::Inline, &[70_000]);
    file.extend([0; 8]);
    file.extend(encode(b"", &settings(10_000), Compute::Inline, &[1]));
    file.extend(encode(&second, &settings(10_000), Compute::Threads(2), &[70_000]));
    file.extend([0; 4]);
    for compute in COMPUTES {
        assert!(decode(Compression::Xz, &file, compute).unwrap() == [&first[..], &second].concat());
    }
    assert_eq!(decoded_length(Compression::Xz, &file).unwrap(), DecodedLen::Known(100_000));
}

#[test]
fn zstd_frames_with_and_without_their_length() {
    let data = sample(300_000, 5);
    let skippable = [&0x184d_2a57_u32.to_le_bytes()[..], &5_u32.to_le_bytes(), b"12345"].concat();
    let with_len = [&skippable, &compressed(Compression::Zstd, &data)[..], &skippable].concat();
    assert_eq!(decoded_length(Compression::Zstd, &with_len).unwrap(), DecodedLen::Known(300_000));
    // A stream whose length was unknown at its start.
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(&data).unwrap();
    let without_len = [&with_len[..], &encoder.finish().unwrap()].concat();
    assert_eq!(decoded_length(Compression::Zstd, &without_len).unwrap(), DecodedLen::Unknown);
    for compute in COMPUTES {
        assert!(decode(Compression::Zstd, &with_len, compute).unwrap() == data);
        assert!(decode(Compression::Zstd, &without_len, compute).unwrap() == data.repeat(2));
        assert_eq!(decode(Compression::Zstd, &skippable, compute).unwrap(), b"");
    }
    for len in [0, 1, 255, 256, 65_791, 65_792] {
        let file = zstd::bulk::compress(&data[..len], 1).unwrap();
        assert_eq!(decoded_length(Compression::Zstd, &file).unwrap(), DecodedLen::Known(len as u64));
    }
}

#[test]
fn uncompressed_files_are_passed_on() {
    let data = sample(1_000_000, 6);
    for compute in COMPUTES {
        assert!(decode(Compression::None, &data, compute).unwrap() == data);
    }
    assert_eq!(decoded_length(Compression::None, &data).unwrap(), DecodedLen::Known(1_000_000));
}
