//! Files that would need too much memory or time are refused.

use super::*;

const MIB: u64 = 1024 * 1024;

fn limits(memory_bytes: u64) -> Limits {
    Limits { memory_bytes, ..Limits::default() }
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

fn vli(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A stream with this index and any number of bytes of blocks, all checks right.
fn xz_with_index(blocks: &[u8], record_count: u64, records: &[(u64, u64)]) -> Vec<u8> {
    let header = b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46";
    let mut index = [vec![0], vli(record_count)].concat();
    for &(unpadded_len, uncompressed_len) in records {
        index.extend(vli(unpadded_len));
        index.extend(vli(uncompressed_len));
    }
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(crc32(&index));
    let mut flags = (index.len() as u32 / 4 - 1).to_le_bytes().to_vec();
    flags.extend([0, 4]);
    [&header[..], blocks, &index, &crc32(&flags), &flags, b"YZ"].concat()
}

/// The only block of a small file, and its unpadded length.
fn real_block(data: &[u8]) -> (Vec<u8>, u64) {
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(data).unwrap();
    let file = encoder.finish().unwrap();
    let footer = &file[file.len() - 12..];
    let index_len = (u32::from_le_bytes(footer[4..8].try_into().unwrap()) as usize + 1) * 4;
    let index = &file[file.len() - 12 - index_len..];
    let unpadded_len =
        u64::from(index[2] & 0x7f) + if index[2] & 0x80 == 0 { 0 } else { u64::from(index[3]) << 7 };
    (file[12..file.len() - 12 - index_len].to_vec(), unpadded_len)
}

#[test]
fn a_hand_made_stream_with_a_right_index_is_decoded() {
    let data = sample(100, 1);
    let (block, unpadded_len) = real_block(&data);
    let file = xz_with_index(&block, 1, &[(unpadded_len, 100)]);
    for compute in COMPUTES {
        assert_eq!(decode(Compression::Xz, &file, compute).unwrap(), data);
    }
    let empty = xz_with_index(b"", 0, &[]);
    for compute in COMPUTES {
        assert_eq!(decode(Compression::Xz, &empty, compute).unwrap(), b"");
    }
    assert_eq!(decoded_length(Compression::Xz, &empty).unwrap(), DecodedLen::Known(0));
}

#[test]
fn wrong_values_in_an_index_are_found() {
    const HUGE: u64 = (1 << 63) - 1;
    let data = sample(100, 1);
    let (block, unpadded_len) = real_block(&data);
    // Record count, records, and whether the error is found without decoding.
    let lies = [
        (HUGE, vec![(unpadded_len, 100)], true),
        (1 << 40, vec![(unpadded_len, 100)], true),
        (0, vec![(unpadded_len, 100)], true),
        (1, vec![(HUGE & !3, 100)], true),
        (1, vec![(0, 100)], true),
        (2, vec![(unpadded_len, HUGE), (unpadded_len, HUGE)], true),
        (2, vec![(unpadded_len, 50), (unpadded_len, 50)], true),
        (1, vec![(unpadded_len, HUGE)], false),
        (1, vec![(unpadded_len, 99)], false),
        (1, vec![(unpadded_len, 101)], false),
    ];
    for (record_count, records, visible) in lies {
        let file = xz_with_index(&block, record_count, &records);
        assert_eq!(decoded_length(Compression::Xz, &file).is_err(), visible, "{record_count} {records:?}");
        for compute in COMPUTES {
            let error = decode(Compression::Xz, &file, compute).unwrap_err();
            assert_eq!(error.code(), "F-DAMAGED", "{record_count} {records:?} {compute:?}: {error}");
        }
    }
}

#[test]
fn an_index_beyond_its_limit_is_not_read_but_its_file_can_be_decoded() {
    let data = sample(40_000, 2);
    let settings = replicator_engine::formats::codec::XzSettings {
        preset: 0,
        block_len_bytes: 100,
        ..Default::default()
    };
    let mut encoder =
        replicator_engine::formats::codec::XzEncoder::new(Vec::new(), &settings, Compute::Inline).unwrap();
    encoder.write_all(&data).unwrap();
    let file = encoder.finish().unwrap();
    let small = Limits { index_bytes: 500, ..Limits::default() };
    let mut watched = Watched::new(&file);
    let error = decoded_len(Compression::Xz, &mut watched, small).unwrap_err();
    assert_eq!(error.code(), "F-MEMORY");
    assert!(watched.bytes_read() < 100);
    for compute in COMPUTES {
        assert!(decode_with(Compression::Xz, &file, compute, small).unwrap() == data);
        assert!(decode(Compression::Xz, &file, compute).unwrap() == data);
    }
    // Streams without blocks take memory, too.
    let many = xz_with_index(b"", 0, &[]).repeat(100);
    let error =
        decoded_len(Compression::Xz, &mut &many[..], Limits { index_bytes: 5000, ..small }).unwrap_err();
    assert_eq!(error.code(), "F-MEMORY");
    assert_eq!(decoded_length(Compression::Xz, &many).unwrap(), DecodedLen::Known(0));
}

#[test]
fn dictionaries_beyond_the_limit_are_refused() {
    let data = sample(10_000, 3);
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 9);
    encoder.write_all(&data).unwrap();
    let file = encoder.finish().unwrap();
    for compute in COMPUTES {
        assert!(decode(Compression::Xz, &file, compute).unwrap() == data);
        match decode_with(Compression::Xz, &file, compute, limits(MIB)).unwrap_err() {
            FormatError::MemoryLimit { limit_bytes, .. } => assert_eq!(limit_bytes, MIB),
            error => panic!("{error}"),
        }
    }
}

#[test]
fn windows_and_blocks_beyond_the_limit_are_refused() {
    let data = sample(10_000, 4);
    let with_window = |log: u32| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(log)).unwrap();
        encoder.write_all(&data).unwrap();
        encoder.finish().unwrap()
    };
    for compute in COMPUTES {
        assert!(decode(Compression::Zstd, &with_window(26), compute).unwrap() == data);
        let error = decode(Compression::Zstd, &with_window(27), compute).unwrap_err();
        assert_eq!(error.code(), "F-MEMORY", "{error}");
        let error = decode_with(Compression::Zstd, &with_window(21), compute, limits(MIB)).unwrap_err();
        assert_eq!(error.code(), "F-MEMORY", "{error}");

        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        encoder.write_all(&data).unwrap();
        let file = encoder.finish().unwrap();
        assert!(decode_with(Compression::Bzip2, &file, compute, limits(4 * MIB)).unwrap() == data);
        let error = decode_with(Compression::Bzip2, &file, compute, limits(MIB)).unwrap_err();
        assert_eq!(error.code(), "F-MEMORY", "{error}");
    }
}

#[test]
fn a_frame_with_a_dictionary_or_an_unknown_check_is_unsupported() {
    let data = sample(1000, 5);
    let mut compressor = zstd::bulk::Compressor::with_dictionary(1, &sample(5000, 6)).unwrap();
    let raw_dictionary = compressor.compress(&data).unwrap();
    // A raw dictionary has no id, so only its checksum or content shows that it is missing.
    for compute in COMPUTES {
        match decode(Compression::Zstd, &raw_dictionary, compute) {
            Err(error) => assert_eq!(error.code(), "F-DAMAGED", "{error}"),
            Ok(decoded) => assert!(decoded == data, "the dictionary was of no use"),
        }
    }
    // The same frame with an id in its header: flag and one byte more.
    let mut with_id = compressed(Compression::Zstd, &data);
    with_id[4] |= 1;
    let at = if with_id[4] & 0x20 == 0 { 6 } else { 5 };
    with_id.insert(at, 42);
    for compute in COMPUTES {
        assert_eq!(decode(Compression::Zstd, &with_id, compute).unwrap_err().code(), "F-UNSUPPORTED");
    }
    assert_eq!(decoded_length(Compression::Zstd, &with_id).unwrap_err().code(), "F-UNSUPPORTED");

    // Check type 2 is reserved.
    let (block, unpadded_len) = real_block(&data);
    let mut file = xz_with_index(&block, 1, &[(unpadded_len, 1000)]);
    let len = file.len();
    file[7] = 2;
    let crc = crc32(&file[6..8]);
    file[8..12].copy_from_slice(&crc);
    file[len - 3] = 2;
    let crc = crc32(&file[len - 8..len - 2]);
    file[len - 12..len - 8].copy_from_slice(&crc);
    for compute in COMPUTES {
        assert_eq!(decode(Compression::Xz, &file, compute).unwrap_err().code(), "F-UNSUPPORTED");
    }
    assert_eq!(decoded_length(Compression::Xz, &file).unwrap_err().code(), "F-UNSUPPORTED");
}
