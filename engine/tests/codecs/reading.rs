//! Decoders read their input in a fixed way: which reads, by which thread, how far ahead; they return its errors.

use super::*;
use replicator_engine::formats::codec::{XzEncoder, XzSettings};

/// One stream in blocks, or several streams of a format without blocks.
fn long_file(compression: Compression, data: &[u8], block_len_bytes: usize) -> Vec<u8> {
    if compression == Compression::Xz {
        let settings =
            XzSettings { preset: 0, block_len_bytes: block_len_bytes as u64, ..XzSettings::default() };
        let mut encoder = XzEncoder::new(Vec::new(), &settings, Compute::Threads(2)).unwrap();
        encoder.write_all(data).unwrap();
        return encoder.finish().unwrap();
    }
    data.chunks(block_len_bytes).flat_map(|part| compressed(compression, part)).collect()
}

#[test]
fn inline_reads_depend_on_the_file_only() {
    let data = sample(2_000_000, 1);
    for compression in [Compression::None].into_iter().chain(COMPRESSIONS) {
        let file = long_file(compression, &data, 300_000);
        let mut seen = Vec::new();
        for read_len in [1 << 20, 100_000, 777] {
            let mut input = Watched::new(&file);
            let mut reader = decoder(compression, &mut input, Compute::Inline, Limits::default()).unwrap();
            let mut buffer = vec![0; read_len];
            while reader.read(&mut buffer).unwrap() > 0 {}
            drop(reader);
            // Metadata behind such data is known by the last 16 bytes of the file.
            let has_end = matches!(compression, Compression::Gzip | Compression::Bzip2);
            let end_len = if has_end { 16 } else { 0 };
            assert_eq!(input.bytes_read(), file.len() as u64 + end_len, "everything once");
            seen.push(input.reads);
        }
        if compression != Compression::None {
            assert_eq!(seen[0], seen[1], "{compression}");
            assert_eq!(seen[0], seen[2], "{compression}");
            assert!(seen[0].len() > 1);
        }
    }
}

/// Decodes `file`, and retries after each error of the input. Returns how many there were.
fn decode_with_faults(compression: Compression, input: &mut Watched, compute: Compute) -> (Vec<u8>, usize) {
    let mut decoded = Vec::new();
    let mut faults = 0;
    let mut reader = loop {
        // The borrow checker does not see that the reader is dropped after an error, so a probe comes first.
        let mut probe =
            Watched { failing_call: input.failing_call, calls: input.calls, ..Watched::new(input.bytes) };
        match decoder(compression, &mut probe, compute, Limits::default()).map(|_| ()) {
            Ok(()) => break decoder(compression, input, compute, Limits::default()).unwrap(),
            Err(FormatError::Io(error)) => {
                assert!(error.downcast::<Pulled>().is_ok());
                faults += 1;
                input.calls = probe.calls;
            }
            Err(error) => panic!("{error}"),
        }
    };
    loop {
        let mut buffer = [0; 50_000];
        match reader.read(&mut buffer) {
            Ok(0) => return (decoded, faults),
            Ok(len) => decoded.extend_from_slice(&buffer[..len]),
            Err(error) => {
                assert!(error.downcast::<Pulled>().is_ok(), "{compression} {compute:?}");
                faults += 1;
            }
        }
    }
}

#[test]
fn errors_of_the_input_are_returned_unchanged_and_the_read_can_be_retried() {
    let data = sample(2_000_000, 2);
    for compression in [Compression::None].into_iter().chain(COMPRESSIONS) {
        let file = long_file(compression, &data, 300_000);
        for compute in COMPUTES {
            for failing_call in 0..12 {
                let mut input = Watched::new(&file);
                input.failing_call = Some(failing_call);
                let (decoded, faults) = decode_with_faults(compression, &mut input, compute);
                assert!(decoded == data, "{compression} {compute:?} call {failing_call}");
                assert_eq!(faults, usize::from(input.calls > failing_call), "{compression} {compute:?}");
            }
        }
    }
}

#[test]
fn an_input_that_shrinks_is_no_end_of_file() {
    struct Shrunk(usize);
    impl ReadAt for Shrunk {
        fn len_bytes(&self) -> u64 {
            1 << 20
        }
        fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.0.saturating_sub(offset_bytes as usize).min(buffer.len());
            buffer[..len].fill(7);
            Ok(len)
        }
    }
    let mut input = Shrunk(1000);
    let mut reader = decoder(Compression::None, &mut input, Compute::Inline, Limits::default()).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn dropping_a_reader_early_ends_promptly() {
    let data = sample(3_000_000, 3);
    for compression in COMPRESSIONS {
        let mut file = &long_file(compression, &data, 300_000)[..];
        for compute in COMPUTES {
            for reads in 0..3 {
                let mut reader = decoder(compression, &mut file, compute, Limits::default()).unwrap();
                for _ in 0..reads {
                    assert_eq!(reader.read(&mut [0]).unwrap(), 1);
                }
            }
        }
    }
}

#[test]
fn decoding_ahead_stays_within_its_budget() {
    // Incompressible data, so that stored and decoded lengths are equal.
    let mut data = Vec::new();
    let mut state = 1_u64;
    while data.len() < 24 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        data.extend_from_slice(&(state >> 16).to_le_bytes()[..4]);
    }
    let file = long_file(Compression::Xz, &data, 1 << 20);
    let mut input = Watched::new(&file);
    let mut reader = decoder(Compression::Xz, &mut input, Compute::Threads(1), Limits::default()).unwrap();
    assert_eq!(reader.read(&mut [0]).unwrap(), 1);
    drop(reader);
    // 16 MiB for one thread, half of it for stored bytes; and one block is decoded already.
    assert!(input.bytes_read() > 2 << 20, "nothing was read ahead");
    assert!(input.bytes_read() <= (9 << 20) + 10_000, "{} bytes were read", input.bytes_read());
}
