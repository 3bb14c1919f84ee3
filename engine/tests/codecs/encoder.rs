//! The calls of the xz encoder to its sink depend on the data only, and its errors are final.

use super::*;
use replicator_engine::formats::codec::{XzEncoder, XzSettings};

const SETTINGS: XzSettings = XzSettings { preset: 0, dictionary_len_bytes: None, block_len_bytes: 300_000 };

/// Records the lengths of all writes, and fails when it is full.
struct WatchedSink {
    writes: Vec<usize>,
    bytes: Vec<u8>,
    room_bytes: usize,
}

impl WatchedSink {
    fn new(room_bytes: usize) -> Self {
        Self { writes: Vec::new(), bytes: Vec::new(), room_bytes }
    }
}

impl Write for &mut WatchedSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.room_bytes {
            return Err(io::Error::other(Pulled));
        }
        self.writes.push(bytes.len());
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(data: &[u8], compute: Compute, write_len: usize, flush: bool) -> WatchedSink {
    let mut sink = WatchedSink::new(usize::MAX);
    let mut encoder = XzEncoder::new(&mut sink, &SETTINGS, compute).unwrap();
    for part in data.chunks(write_len) {
        encoder.write_all(part).unwrap();
        if flush {
            encoder.flush().unwrap();
        }
    }
    encoder.finish().unwrap();
    sink
}

#[test]
fn the_calls_of_the_sink_depend_on_the_data_only() {
    let data = sample(2_000_000, 1);
    for compute in COMPUTES {
        let expected = run(&data, compute, data.len(), false);
        for (write_len, flush) in [(1 << 20, false), (4097, false), (50_000, true)] {
            let sink = run(&data, compute, write_len, flush);
            assert_eq!(sink.writes, expected.writes, "{compute:?}");
            assert!(
                sink.bytes == expected.bytes,
                "{compute:?}: the file depends on flushes or the lengths of writes"
            );
        }
        let (last, others) = expected.writes.split_last().unwrap();
        assert!(others.len() > 1 && others.iter().all(|&len| len == 256 * 1024) && *last <= 256 * 1024);
    }
}

#[test]
fn an_unfinished_stream_is_never_a_valid_file() {
    let data = sample(2_000_000, 2);
    for compute in COMPUTES {
        for len in [0, 1, 300_000, 900_000, 2_000_000] {
            let mut sink = Vec::new();
            let mut encoder = XzEncoder::new(&mut sink, &SETTINGS, compute).unwrap();
            encoder.write_all(&data[..len]).unwrap();
            encoder.flush().unwrap();
            drop(encoder);
            // The progress of other threads depends on the scheduler.
            assert!(compute != Compute::Inline || len < 2_000_000 || sink.len() > 200_000);
            for reading in COMPUTES {
                assert_eq!(decode(Compression::Xz, &sink, reading).unwrap_err().code(), "F-TRUNCATED");
            }
            assert!(decoded_length(Compression::Xz, &sink).is_err());
        }
    }
}

#[test]
fn a_full_sink_is_a_final_error() {
    // More than the threads can buffer.
    let data = sample(8_000_000, 3);
    for compute in COMPUTES {
        let mut sink = WatchedSink::new(300_000);
        let mut encoder = XzEncoder::new(&mut sink, &SETTINGS, compute).unwrap();
        let error = match encoder.write_all(&data) {
            Err(error) => error,
            Ok(()) => panic!("{compute:?}: nothing was written"),
        };
        assert!(error.downcast::<Pulled>().is_ok());
        assert!(encoder.write(b"more").is_err());
        assert!(encoder.flush().is_err());
        assert!(matches!(encoder.finish(), Err(FormatError::Io(_))));
    }
    // Or only at the end.
    let mut sink = WatchedSink::new(10);
    let mut encoder = XzEncoder::new(&mut sink, &SETTINGS, Compute::Inline).unwrap();
    encoder.write_all(b"little").unwrap();
    match encoder.finish() {
        Err(FormatError::Io(error)) => assert!(error.downcast::<Pulled>().is_ok()),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a full sink took everything"),
    }
}

#[test]
fn impossible_settings_are_refused() {
    let impossible = [
        XzSettings { preset: 10, ..XzSettings::default() },
        XzSettings { block_len_bytes: 0, ..XzSettings::default() },
        XzSettings { dictionary_len_bytes: Some(1), ..XzSettings::default() },
        XzSettings { dictionary_len_bytes: Some(u32::MAX), ..XzSettings::default() },
    ];
    for settings in impossible {
        for compute in COMPUTES {
            let error = XzEncoder::new(Vec::new(), &settings, compute).map(|_| ()).unwrap_err();
            assert_eq!(error.code(), "F-UNSUPPORTED", "{settings:?} {compute:?}");
        }
    }
    let small = XzSettings { dictionary_len_bytes: Some(64 * 1024), ..SETTINGS };
    let mut encoder = XzEncoder::new(Vec::new(), &small, Compute::Threads(0)).unwrap();
    encoder.write_all(b"data").unwrap();
    let file = encoder.finish().unwrap();
    assert_eq!(decode(Compression::Xz, &file, Compute::Threads(0)).unwrap(), b"data");
}
