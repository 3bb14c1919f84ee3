//! A run on an emulated board up to its result on the console; the LEDs are compared with the table during the whole run.

use super::leds::Pattern;
use super::machine::Machine;
use super::stage::Stage;
use replicator_hal::Status;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The LEDs are recorded for this time after the result: some phases of one second each, on a machine that may be slow.
const RECORDED: Duration = Duration::from_secs(9);
/// The LEDs change right after the result is printed; the console log may be late, too.
const MARGIN: Duration = Duration::from_secs(1);
/// A shorter interval has too few phases of the running pattern.
const RUNNING_MIN: Duration = Duration::from_secs(6);
/// Time limit for the LEDs to show the expected status.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Waits for the end of the run. Fails unless console and LEDs show `status`, and the LEDs showed running before without
/// flicker. Returns the console output.
#[track_caller]
pub(crate) fn finish(stage: &Stage, machine: &mut Machine, status: Status) -> String {
    let line = machine.wait_for("result: ");
    let printed = Instant::now();
    assert_eq!(line.trim_end(), format!("result: {status}"), "{}", machine.text());
    let Some(wiring) = machine.wiring() else {
        stage.print(&format!("{status}; no LEDs on this machine"));
        return machine.text();
    };
    let text = machine.text();
    assert!(!text.lines().any(|line| line.starts_with("LED: ")), "{text}");
    sleep(MARGIN);
    let shown = machine.watch(RECORDED).unwrap();
    assert_eq!(shown.status(), Some(status), "{shown}");
    let edges = machine.edges();
    let first = edges.iter().find(|edge| edge.line == wiring.red).unwrap();
    assert!(first.high, "the red LED was switched off first");
    let until = printed - MARGIN;
    if until > first.at {
        let before = Pattern::of(&edges, wiring, first.at, until);
        assert_eq!(before.red.changes, 1, "the red LED flickered: {before}");
    }
    if until > first.at + RUNNING_MIN {
        stage.print(&format!("running: {}", running(machine, first.at, until)));
    }
    stage.print(&format!("{status}: {shown}"));
    machine.text()
}

/// Fails unless the LEDs show running between two moments; an edge at `from` is ignored.
#[track_caller]
pub(crate) fn running(machine: &Machine, from: Instant, until: Instant) -> Pattern {
    let pattern = machine.pattern(from + Duration::from_millis(1), until).unwrap();
    assert_eq!(pattern.status(), Some(Status::Running), "{pattern}");
    pattern
}

/// Waits until the LEDs show `status` during a whole recording.
#[track_caller]
pub(crate) fn wait_for_leds(machine: &Machine, status: Status) -> Pattern {
    let started = Instant::now();
    loop {
        let shown = machine.watch(RECORDED).unwrap();
        if shown.status() == Some(status) {
            return shown;
        }
        assert!(started.elapsed() < TIME_LIMIT, "the LEDs show {shown}, not {status}:\n{}", machine.text());
    }
}
