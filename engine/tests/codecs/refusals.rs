//! An incomplete file is refused with the right error: cut off, changed, or followed by other data.

use super::*;

/// Two different streams in one file, and where the first one ends.
fn two_streams(compression: Compression) -> (Vec<u8>, usize, Vec<u8>) {
    let (first, second) = (sample(700, 1), sample(300, 2));
    let mut file = compressed(compression, &first);
    let border = file.len();
    file.extend(compressed(compression, &second));
    (file, border, [first, second].concat())
}

#[test]
fn a_file_cut_off_anywhere_but_between_streams_is_truncated() {
    for compression in COMPRESSIONS {
        let (file, border, data) = two_streams(compression);
        for cut in 0..file.len() {
            for compute in [Compute::Inline, Compute::Threads(2)] {
                let result = decode(compression, &file[..cut], compute);
                if cut == border {
                    assert_eq!(result.unwrap(), data[..700], "{compression} {compute:?}");
                } else {
                    let error = result.unwrap_err();
                    assert_eq!(
                        error.code(),
                        "F-TRUNCATED",
                        "{compression} {compute:?} cut at {cut}: {error}"
                    );
                }
            }
            if matches!(compression, Compression::Xz | Compression::Zstd) {
                match decoded_length(compression, &file[..cut]) {
                    Ok(len) => assert_eq!((cut, len), (border, DecodedLen::Known(700))),
                    Err(error) => assert_eq!(error.code(), "F-TRUNCATED", "{compression} at {cut}: {error}"),
                }
            }
        }
    }
}

#[test]
fn a_changed_byte_never_gives_wrong_data() {
    for compression in COMPRESSIONS {
        let (file, _, data) = two_streams(compression);
        let mut accepted = 0;
        for at in 0..file.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut changed = file.clone();
                changed[at] ^= mask;
                let inline = decode(compression, &changed, Compute::Inline);
                let threads = decode(compression, &changed, Compute::Threads(2));
                assert_eq!(inline.is_ok(), threads.is_ok(), "{compression} byte {at} mask {mask:#x}");
                let inline_failed = inline.is_err();
                for result in [inline, threads].into_iter().flatten() {
                    assert_eq!(result, data, "{compression} byte {at} mask {mask:#x}");
                    accepted += 1;
                }
                match decoded_length(compression, &changed) {
                    Ok(DecodedLen::Known(len)) => assert!(len == 1000 || inline_failed),
                    Ok(DecodedLen::Unknown) => {}
                    Err(error) => assert!(inline_failed, "{compression} byte {at}: {error}"),
                }
            }
        }
        match compression {
            // Time stamps, names and the like have no check.
            Compression::Gzip => assert!(accepted > 0),
            Compression::Xz => assert_eq!(accepted, 0),
            _ => {}
        }
    }
}

#[test]
fn a_changed_byte_of_xz_is_found_by_every_check_type() {
    use xz2::stream::{Check, Stream};
    let data = sample(300, 3);
    for check in [Check::None, Check::Crc32, Check::Crc64, Check::Sha256] {
        let stream = Stream::new_easy_encoder(0, check).unwrap();
        let mut encoder = xz2::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(&data).unwrap();
        let file = encoder.finish().unwrap();
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 0x10;
            let inline = decode(Compression::Xz, &changed, Compute::Inline);
            let threads = decode(Compression::Xz, &changed, Compute::Threads(1));
            assert_eq!(inline.is_ok(), threads.is_ok(), "byte {at}");
            for result in [inline, threads].into_iter().flatten() {
                assert!(matches!(check, Check::None) && result.len() == data.len(), "byte {at}");
            }
        }
        assert_eq!(decode(Compression::Xz, &file, Compute::Threads(1)).unwrap(), data);
    }
}

#[test]
fn data_after_the_end_is_refused_with_its_offset() {
    for compression in COMPRESSIONS {
        let (file, _, _) = two_streams(compression);
        for garbage in [&b"x"[..], b"garbage and more", &[0xff; 5000], b"\0\0\0\0garbage"] {
            let mut longer = file.clone();
            longer.extend(garbage);
            for compute in COMPUTES {
                match decode(compression, &longer, compute).unwrap_err() {
                    FormatError::TrailingData { offset_bytes, .. } => {
                        let skipped = offset_bytes - file.len() as u64;
                        // Padding is part of an xz file, so the offset is after it.
                        let padding = if compression == Compression::Xz && garbage[0] == 0 { 4 } else { 0 };
                        assert_eq!(skipped, padding, "{compression} {compute:?}");
                    }
                    error => panic!("{compression} {compute:?}: {error}"),
                }
            }
            if matches!(compression, Compression::Xz | Compression::Zstd) {
                assert_eq!(decoded_length(compression, &longer).unwrap_err().code(), "F-TRAILING");
            }
        }
    }
}

#[test]
fn an_empty_file_is_truncated_and_another_format_is_damaged() {
    for compression in COMPRESSIONS {
        for compute in COMPUTES {
            assert_eq!(decode(compression, b"", compute).unwrap_err().code(), "F-TRUNCATED");
            for other in COMPRESSIONS.into_iter().filter(|&other| other != compression) {
                let error = decode(compression, &compressed(other, b"data"), compute).unwrap_err();
                assert_eq!(error.code(), "F-DAMAGED", "{other} as {compression}: {error}");
            }
        }
        assert_eq!(decoded_length(compression, b"").unwrap_err().code(), "F-TRUNCATED");
        assert_eq!(decoded_length(compression, b"no such format").unwrap_err().code(), "F-DAMAGED");
    }
    assert_eq!(decode(Compression::None, b"", Compute::Inline).unwrap(), b"");
}

#[test]
fn zero_bytes_after_the_end_are_padding_for_gzip_and_in_fours_for_xz() {
    for compression in COMPRESSIONS {
        let (file, _, data) = two_streams(compression);
        for zeros in [1, 2, 3, 4, 6, 8, 200_000] {
            let mut padded = file.clone();
            padded.resize(file.len() + zeros, 0);
            let expected = match compression {
                Compression::Gzip => Ok(()),
                Compression::Xz if zeros % 4 == 0 => Ok(()),
                Compression::Xz => Err("F-DAMAGED"),
                _ => Err("F-TRAILING"),
            };
            for compute in COMPUTES {
                let result = decode(compression, &padded, compute);
                match (result, expected) {
                    (Ok(decoded), Ok(())) => assert_eq!(decoded, data),
                    (Err(error), Err(code)) => assert_eq!(error.code(), code, "{compression}: {error}"),
                    (result, _) => panic!("{compression} {compute:?} {zeros}: {:?}", result.map(|_| ())),
                }
            }
            if compression == Compression::Xz {
                assert_eq!(
                    decoded_length(compression, &padded).map_err(|error| error.code()).err(),
                    expected.err()
                );
            }
        }
    }
}

#[test]
fn an_error_is_never_followed_by_an_end() {
    for compression in COMPRESSIONS {
        let (file, _, _) = two_streams(compression);
        for compute in COMPUTES {
            let mut cut = &file[..file.len() - 1];
            let mut reader = decoder(compression, &mut cut, compute, Limits::default()).unwrap();
            let mut decoded = Vec::new();
            assert!(reader.read_to_end(&mut decoded).is_err());
            assert!(reader.read(&mut [0; 10]).is_err(), "{compression} {compute:?}");
        }
    }
}

#[test]
fn gzip_header_with_its_own_checksum() {
    let data = sample(500, 4);
    let plain = {
        let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&data).unwrap();
        encoder.finish().unwrap()
    };
    let mut header = plain[..10].to_vec();
    header[3] = 0x02 | 0x08 | 0x10 | 0x04;
    header.extend_from_slice(b"\x03\0abcname\0comment\0");
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    header.extend_from_slice(&(crc.sum() as u16).to_le_bytes());
    let file = [&header, &plain[10..]].concat();
    assert_eq!(decode(Compression::Gzip, &file, Compute::Inline).unwrap(), data);
    for at in 0..header.len() {
        let mut changed = file.clone();
        changed[at] ^= 0x40;
        assert!(decode(Compression::Gzip, &changed, Compute::Inline).is_err(), "byte {at}");
    }
}
