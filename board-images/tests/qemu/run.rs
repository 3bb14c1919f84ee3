//! A run on an emulated board, to its result on the console, with the LEDs held to the table all the way.

use super::leds::Pattern;
use super::machine::Machine;
use super::stage::Stage;
use replicator_hal::Status;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// So long the LEDs are watched after the result: some phases of one second each, on a machine that may be late.
const WATCHED: Duration = Duration::from_secs(9);
/// The LEDs change right after the result is told; the console's file may be late, too.
const MARGIN: Duration = Duration::from_secs(1);
/// A shorter time has too few phases of the running pattern.
const RUNNING_MIN: Duration = Duration::from_secs(6);
/// The longest that LEDs may take to show what they should.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for the run's end, and fails unless it is `status` on the console and on the LEDs, which showed running up to
/// then, without a flicker. Returns what the console said.
#[track_caller]
pub(crate) fn finish(stage: &Stage, machine: &mut Machine, status: Status) -> String {
    let line = machine.wait_for("result: ");
    let told = Instant::now();
    assert_eq!(line.trim_end(), format!("result: {status}"), "{}", machine.text());
    let Some(wiring) = machine.wiring() else {
        stage.tell(&format!("{status}; no LEDs on this machine"));
        return machine.text();
    };
    let text = machine.text();
    assert!(!text.lines().any(|line| line.starts_with("LED: ")), "{text}");
    sleep(MARGIN);
    let shown = machine.watch(WATCHED).unwrap();
    assert_eq!(shown.status(), Some(status), "{shown}");
    let edges = machine.edges();
    let first = edges.iter().find(|edge| edge.line == wiring.red).unwrap();
    assert!(first.high, "the red LED was switched off first");
    let until = told - MARGIN;
    if until > first.at {
        let before = Pattern::of(&edges, wiring, first.at, until);
        assert_eq!(before.red.changes, 1, "the red LED flickered: {before}");
    }
    if until > first.at + RUNNING_MIN {
        stage.tell(&format!("running: {}", running(machine, first.at, until)));
    }
    stage.tell(&format!("{status}: {shown}"));
    machine.text()
}

/// Fails unless the LEDs show running between two moments, `from` not counted.
#[track_caller]
pub(crate) fn running(machine: &Machine, from: Instant, until: Instant) -> Pattern {
    let pattern = machine.pattern(from + Duration::from_millis(1), until).unwrap();
    assert_eq!(pattern.status(), Some(Status::Running), "{pattern}");
    pattern
}

/// Waits until the LEDs have shown `status` for a while.
#[track_caller]
pub(crate) fn wait_for_leds(machine: &Machine, status: Status) -> Pattern {
    let started = Instant::now();
    loop {
        let shown = machine.watch(WATCHED).unwrap();
        if shown.status() == Some(status) {
            return shown;
        }
        assert!(started.elapsed() < PATIENCE, "{shown}, and never {status}:\n{}", machine.text());
    }
}
