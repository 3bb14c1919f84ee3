//! Files of the encoders with zeros, text and data that does not compress: the same for any number of threads, decoded
//! unchanged by every decoder and by other programs.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test with files and programs")]

use super::*;
use proptest::prelude::*;
use replicator_engine::formats::codec::{XzSettings, ZstdSettings, seekable};
use replicator_engine::formats::encoder::{Encoder, Encoding};
use std::path::Path;
use std::process::Command;

const KIB: usize = 1024;

/// One kind of data.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Zeros,
    Text,
    Random,
    /// The last part with another start.
    Again,
}

fn parts() -> impl Strategy<Value = Vec<(Kind, usize)>> {
    let kind = prop_oneof![Just(Kind::Zeros), Just(Kind::Text), Just(Kind::Random), Just(Kind::Again)];
    let len = prop_oneof![Just(0), Just(1), Just(64 * KIB), Just(256 * KIB), 1..300 * KIB];
    prop::collection::vec((kind, len), 0..8)
}

fn mixed(parts: &[(Kind, usize)], seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut data = Vec::new();
    for &(kind, len) in parts {
        match kind {
            Kind::Zeros => data.resize(data.len() + len, 0),
            Kind::Text => data.extend(sample(len, seed)),
            Kind::Random => data.extend(std::iter::repeat_with(&mut random).take(len)),
            Kind::Again => data.extend_from_within(data.len() - len.min(data.len())..),
        }
    }
    data
}

fn xz(preset: u32, block_len_bytes: u64) -> Encoding {
    Encoding::Xz(XzSettings { preset, dictionary_len_bytes: None, block_len_bytes })
}

fn zstd(level: u32, frame_len_bytes: u64) -> Encoding {
    Encoding::Zstd(ZstdSettings { level, frame_len_bytes })
}

fn encode(data: &[u8], encoding: Encoding, compute: Compute) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), &encoding, compute).unwrap();
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// What a program writes when it reads `input`. It fails the test if the program reports an error.
fn output_of(program: &str, arguments: &[&str], input: &Path) -> Vec<u8> {
    let input = std::fs::File::open(input).unwrap();
    let output = Command::new(program).args(arguments).stdin(input).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Whether a program is installed; reports it if not.
fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("-h").output();
    if found.is_err() {
        eprintln!("skipped: {program} is not installed");
    }
    found.is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_encoder(parts in parts(), seed: u64, block_kib in prop_oneof![Just(64_u64), Just(256), 1..700_u64]) {
        let data = mixed(&parts, seed);
        for encoding in [xz(0, block_kib * 1024), zstd(1, block_kib * 1024), Encoding::Plain] {
            let file = encode(&data, encoding, Compute::Inline);
            for compute in COMPUTES {
                prop_assert!(encode(&data, encoding, compute) == file, "{:?} {:?}", encoding, compute);
                let decoded = decode(encoding.compression(), &file, compute).unwrap();
                prop_assert!(decoded == data, "{:?} {:?}", encoding, compute);
            }
            let len = decoded_length(encoding.compression(), &file).unwrap();
            prop_assert_eq!(len, DecodedLen::Known(data.len() as u64));
        }
    }

    #[test]
    fn a_range_of_zstd_is_decoded_alone(at in 0..900_000_usize, len in 1..200_000_usize) {
        let data = mixed(&[(Kind::Text, 300_000), (Kind::Zeros, 300_000), (Kind::Random, 300_000)], 5);
        let file = encode(&data, zstd(1, 100_000), Compute::Inline);
        let mut input = Watched::new(&file);
        let mut reader = seekable(Compression::Zstd, &mut input, Limits::default()).unwrap().unwrap();
        let mut bytes = vec![0; len];
        let found = reader.read_full_at(at as u64, &mut bytes).unwrap();
        let expected = &data[at..(at + len).min(data.len())];
        prop_assert!(&bytes[..found] == expected);
    }
}

/// Empty and short data, whole blocks, and all kinds of parts in a block.
fn examples() -> Vec<(&'static str, Vec<u8>)> {
    use Kind::{Again, Random, Text, Zeros};
    let block = 1024 * KIB;
    [
        ("empty", vec![]),
        ("one byte", vec![(Text, 1)]),
        ("one whole block", vec![(Text, block)]),
        ("whole blocks", vec![(Text, block), (Zeros, 3 * block), (Random, block)]),
        ("zeros at the end", vec![(Text, block + 1), (Zeros, 2 * block)]),
        ("random", vec![(Random, 2 * block + 1)]),
        (
            "mixed",
            vec![(Text, 100), (Random, 700 * KIB), (Text, 300 * KIB), (Random, 600 * KIB), (Again, block)],
        ),
    ]
    .map(|(name, parts)| (name, mixed(&parts, 7)))
    .to_vec()
}

#[test]
fn other_programs_decode_xz() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.xz");
    let python = "import lzma, sys; sys.stdout.buffer.write(lzma.decompress(sys.stdin.buffer.read()))";
    for (name, data) in examples() {
        std::fs::write(&path, encode(&data, xz(1, 1024 * 1024), Compute::Threads(2))).unwrap();
        if is_installed("xz") {
            output_of("xz", &["-t"], &path);
            for threads in ["-T1", "-T4"] {
                assert!(output_of("xz", &["-d", "-c", threads], &path) == data, "xz {threads}: {name}");
            }
            let list = Command::new("xz").args(["-l", "--robot"]).arg(&path).output().unwrap();
            let list = String::from_utf8(list.stdout).unwrap();
            let blocks = data.len().div_ceil(1024 * KIB);
            let expected = format!("file\t1\t{blocks}\t");
            assert!(list.contains(&expected) && list.contains("\tCRC64\t"), "{name}: {list}");
        }
        // pixz knows no empty file.
        if !data.is_empty() && is_installed("pixz") {
            assert!(output_of("pixz", &["-d", "-t"], &path) == data, "pixz: {name}");
        }
        if is_installed("python3") {
            assert!(output_of("python3", &["-c", python], &path) == data, "python3: {name}");
        }
    }
}

#[test]
fn other_programs_decode_zstd() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.zst");
    for (name, data) in examples() {
        std::fs::write(&path, encode(&data, zstd(3, 1024 * 1024), Compute::Threads(2))).unwrap();
        if is_installed("zstd") {
            output_of("zstd", &["-t"], &path);
            assert!(output_of("zstd", &["-d", "-c"], &path) == data, "zstd: {name}");
            let list = Command::new("zstd").args(["-l", "-v"]).arg(&path).output().unwrap();
            assert!(list.status.success(), "{name}");
            let list = String::from_utf8(list.stdout).unwrap();
            let frames = data.len().div_ceil(1024 * KIB).max(1);
            let is_line = |line: &str, key: &str, value: &str| {
                line.starts_with(key) && line.split_whitespace().any(|word| word == value)
            };
            for (key, value) in [
                ("# Zstandard Frames", frames.to_string()),
                ("# Skippable Frames", "1".to_owned()),
                ("Check", "XXH64".to_owned()),
            ] {
                assert!(list.lines().any(|line| is_line(line, key, &value)), "{name}, {key}: {list}");
            }
        }
        if is_installed("pzstd") {
            assert!(output_of("pzstd", &["-d", "-c"], &path) == data, "pzstd: {name}");
        }
    }
}

#[test]
fn xz_stores_what_does_not_compress_and_reuses_zeros() {
    let encoding = xz(1, 1024 * 1024);
    for (name, data) in examples() {
        let file = encode(&data, encoding, Compute::Inline);
        let stored_max = data.len() + data.len() / 4096 + 200;
        assert!(file.len() <= stored_max, "{name}: {} bytes of {}", file.len(), data.len());
    }
    let random = mixed(&[(Kind::Random, 1024 * KIB)], 9);
    let file = encode(&random, encoding, Compute::Inline);
    assert!(file.windows(1000).any(|window| window == &random[500_000..501_000]), "not stored");
    let zeros = encode(&vec![0; 64 << 20], encoding, Compute::Threads(4));
    assert!(zeros.len() < 64 * 400, "{}", zeros.len());
}

/// The frames of a file, and its table.
fn zstd_file() -> (Vec<u8>, Vec<u8>, usize) {
    let data = mixed(&[(Kind::Text, 500), (Kind::Zeros, 1000), (Kind::Random, 300)], 3);
    let file = encode(&data, zstd(1, 500), Compute::Inline);
    // Four frames with an entry of eight bytes each, after a header of eight and before a footer of nine bytes.
    let table_at = file.len() - 8 - 4 * 8 - 9;
    assert_eq!(file[table_at..table_at + 4], 0x184d_2a5e_u32.to_le_bytes());
    (data, file, table_at)
}

/// Decodes front to back and by frames: both give the data, or each one gives an error.
fn decoded_alike(file: &[u8]) -> Vec<Result<Vec<u8>, &'static str>> {
    COMPUTES.map(|compute| decode(Compression::Zstd, file, compute).map_err(|error| error.code())).to_vec()
}

#[test]
fn a_changed_byte_of_a_zstd_file_with_a_table_never_gives_wrong_data() {
    let (data, file, table_at) = zstd_file();
    for at in 0..file.len() {
        for bit in [0x01, 0x10, 0x80] {
            let mut bad = file.clone();
            bad[at] ^= bit;
            for (decoded, compute) in decoded_alike(&bad).into_iter().zip(COMPUTES) {
                // Front to back the table is not read.
                let is_hint = compute == Compute::Inline && at >= table_at + 8;
                assert!(decoded.as_ref().is_err() || *decoded.as_ref().unwrap() == data, "{at} {compute:?}");
                assert!(!is_hint || decoded.is_ok(), "{at} {compute:?}");
            }
            match decoded_length(Compression::Zstd, &bad) {
                Ok(DecodedLen::Known(len)) if at >= table_at => assert_eq!(len, data.len() as u64, "{at}"),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

#[test]
fn a_zstd_file_that_is_cut_is_the_same_front_to_back_and_by_frames() {
    let (data, file, table_at) = zstd_file();
    for len in 0..file.len() {
        let results = decoded_alike(&file[..len]);
        assert!(results.iter().all(|result| *result == results[0]), "{len}");
        // Only between two frames a cut cannot be found.
        assert!(results[0].as_ref().is_ok_and(|found| data.starts_with(found)) || results[0].is_err());
        assert!(len <= table_at || results[0].is_err(), "{len}");
    }
}

#[test]
fn a_wrong_table_of_zstd_is_not_trusted() {
    let (data, file, table_at) = zstd_file();
    let entry = |index: usize| table_at + 8 + index * 8;
    let table = |entries: Vec<[u8; 8]>| {
        let mut bytes = [0x184d_2a5e_u32, entries.len() as u32 * 8 + 9].map(u32::to_le_bytes).concat();
        bytes.extend(entries.concat());
        bytes.extend((entries.len() as u32).to_le_bytes());
        bytes.push(0);
        bytes.extend(0x8f92_eab1_u32.to_le_bytes());
        bytes
    };
    let entries: Vec<[u8; 8]> = (0..4).map(|index| file[entry(index)..][..8].try_into().unwrap()).collect();
    let sum = |one: [u8; 8], two: [u8; 8], at: usize| {
        let number = |bytes: [u8; 8]| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        (number(one) + number(two)).to_le_bytes()
    };
    let joined: [u8; 8] =
        [sum(entries[1], entries[2], 0), sum(entries[1], entries[2], 4)].concat().try_into().unwrap();
    let longer: [u8; 8] =
        [sum(entries[1], entries[2], 0).as_slice(), &entries[1][4..]].concat().try_into().unwrap();
    let wrong = [
        ("without the last frame", entries[..3].to_vec()),
        ("without the first frame", entries[1..].to_vec()),
        ("one more frame", [&entries[..], &entries[..1]].concat()),
        ("another order", vec![entries[3], entries[1], entries[2], entries[0]]),
        ("two frames as one", vec![entries[0], joined, entries[3]]),
        ("a frame that hides the next one", vec![entries[0], longer, entries[3]]),
        ("no frame", vec![]),
    ];
    for (name, entries) in wrong {
        let file = [&file[..table_at], &table(entries)].concat();
        for (decoded, compute) in decoded_alike(&file).into_iter().zip(COMPUTES) {
            // Its header has the length of the table, so that only decoding finds the second frame.
            let is_found_late = name == "a frame that hides the next one" && compute != Compute::Inline;
            assert!(
                decoded == Ok(data.clone()) || (is_found_late && decoded.is_err()),
                "{name}: {compute:?}"
            );
        }
    }
    // A table of a file with more behind it, and one within.
    let right = [&file[..], &file].concat();
    for decoded in decoded_alike(&right) {
        assert_eq!(decoded.unwrap(), [&data[..], &data].concat());
    }
}

#[test]
fn impossible_zstd_settings_are_refused() {
    for (level, frame_len_bytes) in [(0, 1), (20, 1), (3, 0), (3, 1 << 31)] {
        for compute in COMPUTES {
            let refused = Encoder::new(Vec::new(), &zstd(level, frame_len_bytes), compute).map(|_| ());
            assert_eq!(refused.unwrap_err().code(), "F-UNSUPPORTED", "{level} {frame_len_bytes}");
        }
    }
}
