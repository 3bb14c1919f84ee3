//! The output lines of a GPIO controller: QEMU's test interface reports every change when it happens.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A change of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge {
    /// When the change was reported.
    pub(crate) at: Instant,
    /// The number of the line.
    pub(crate) line: u32,
    /// The new level.
    pub(crate) high: bool,
}

/// Records the edges of one controller.
pub(crate) struct Recorder {
    edges: Arc<Mutex<Vec<Edge>>>,
    // Closed on drop.
    _stream: UnixStream,
}

impl Recorder {
    /// Starts to record the outputs of the controller at `path` in QEMU's object tree. All levels are low at first.
    pub(crate) fn start(mut stream: UnixStream, path: &str) -> Self {
        stream.write_all(format!("irq_intercept_out {path}\n").as_bytes()).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut answer = String::new();
        reader.read_line(&mut answer).unwrap();
        assert!(answer.starts_with("OK"), "{path}: {answer}");
        let edges = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&edges);
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                if let Some(edge) = parse(&line, Instant::now()) {
                    seen.lock().unwrap().push(edge);
                }
            }
        });
        Self { edges, _stream: stream }
    }

    /// All edges so far.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        self.edges.lock().unwrap().clone()
    }
}

/// Parses `IRQ raise 3` and `IRQ lower 3`.
fn parse(text: &str, at: Instant) -> Option<Edge> {
    let (direction, line) = text.strip_prefix("IRQ ")?.split_once(' ')?;
    let high = match direction {
        "raise" => true,
        "lower" => false,
        _ => return None,
    };
    Some(Edge { at, line: line.trim().parse().ok()?, high })
}

#[test]
fn edges_are_parsed_from_the_output_of_qemu() {
    let now = Instant::now();
    assert_eq!(parse("IRQ raise 12", now), Some(Edge { at: now, line: 12, high: true }));
    assert_eq!(parse("IRQ lower 0", now), Some(Edge { at: now, line: 0, high: false }));
    assert_eq!(parse("OK", now), None);
}
