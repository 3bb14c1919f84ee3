//! The output for a scenario: one line if it passed, one screen if it failed.

use crate::judge::{CheckerId, Complaint, Judged};
use crate::run::{Boot, Evidence};
use replicator_hal::FileKind;
use serde_json::json;
use std::io::{self, Write};
use std::time::Duration;

const CONSOLE_LINES: usize = 8;
const LAST_OPERATIONS: usize = 12;
/// One character of a wave form.
const WAVE_STEP: Duration = Duration::from_millis(125);

/// The result of one scenario.
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// Virtual time of all its boots.
    pub virtual_time: Duration,
    /// Calls of all its boots.
    pub ops: u64,
    /// Hash over them.
    pub trace_hash: u64,
    /// The complaints.
    pub complaints: Vec<Complaint>,
    /// Further lines.
    pub details: Vec<String>,
}

/// The verdict on a scenario. `argument` is its name on the command line.
pub fn verdict(judged: &Judged, argument: &str, trace: bool) -> Verdict {
    let evidence = &judged.evidence;
    let mut details = Vec::new();
    if trace {
        details.extend(operations(evidence, usize::MAX));
    }
    if !judged.passed() {
        details.extend(failure(judged, argument));
    } else if evidence.scenario.expect.show_leds {
        details.extend(leds(evidence.last()));
    }
    Verdict {
        name: evidence.name.clone(),
        passed: judged.passed(),
        virtual_time: evidence.virtual_time(),
        ops: evidence.ops(),
        trace_hash: evidence.trace_hash(),
        complaints: judged.complaints.clone(),
        details,
    }
}

/// The verdict on a scenario that cannot be run.
pub fn invalid(name: &str, what: &str) -> Verdict {
    Verdict {
        name: name.to_owned(),
        passed: false,
        virtual_time: Duration::ZERO,
        ops: 0,
        trace_hash: 0,
        complaints: vec![Complaint::new(CheckerId::Scenario, what)],
        details: vec![format!("  scenario: {what}")],
    }
}

/// Everything that is needed to find out why a scenario failed.
pub fn failure(judged: &Judged, argument: &str) -> Vec<String> {
    let evidence = &judged.evidence;
    let mut lines = vec![format!("  scenario: {}", evidence.scenario.about)];
    lines.push("  what is wrong:".into());
    lines.extend(
        judged.complaints.iter().map(|complaint| format!("    [{}] {}", complaint.by, complaint.what)),
    );
    for (number, boot) in evidence.boots.iter().enumerate() {
        lines.push(format!("  boot {}: {}", number + 1, boot.outcome));
        let console = boot.world.records().console;
        let skipped = console.len().saturating_sub(CONSOLE_LINES);
        lines.extend(console[skipped..].iter().map(|line| format!("    | {line}")));
    }
    lines.extend(leds(evidence.last()));
    lines.extend(operations(evidence, LAST_OPERATIONS));
    lines.extend(drive(evidence.last()));
    lines.push(format!("  again: replicator-sim run {argument} --trace"));
    lines
}

/// The wave form around the last change of status, as two lines of blocks.
pub fn leds(boot: &Boot) -> Vec<String> {
    let log = boot.world.leds();
    let Some((since, status)) = log.shown().last().copied() else {
        return vec!["  LEDs: dark".into()];
    };
    let start = since.saturating_sub(Duration::from_secs(2));
    let [red, green] = log.wave_form(start..since + Duration::from_secs(6), WAVE_STEP);
    let from = since.as_secs_f64();
    vec![
        format!("  LEDs: {status} from {from:.3} s on"),
        format!("    red   {red}"),
        format!("    green {green}"),
    ]
}

fn operations(evidence: &Evidence, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let trace = boot.world.trace();
        let events: Vec<String> = trace.events().map(|event| format!("    {event}")).collect();
        let skipped = events.len().saturating_sub(count);
        lines.push(format!(
            "  operations of boot {}{}:",
            number + 1,
            if skipped > 0 { ", the last ones" } else { "" }
        ));
        lines.extend_from_slice(&events[skipped..]);
    }
    lines
}

fn drive(boot: &Boot) -> Vec<String> {
    let files = match boot.after.drive_files() {
        Ok(files) => files,
        Err(error) => return vec![format!("  the drive cannot be read: {error}")],
    };
    let mut lines = vec!["  on the drive:".into()];
    lines.extend(files.iter().map(|(path, file)| match file.inode.kind {
        FileKind::Directory => format!("    {path}/"),
        FileKind::Symlink => format!("    {path} -> {}", String::from_utf8_lossy(&file.inode.text)),
        _ => format!("    {path} ({} bytes)", file.inode.len_bytes),
    }));
    lines
}

/// Prints one line, and the details.
pub(super) fn text(output: &mut dyn Write, verdict: &Verdict) -> io::Result<()> {
    let word = if verdict.passed { "ok  " } else { "FAIL" };
    let seconds = verdict.virtual_time.as_secs_f64();
    writeln!(output, "{word} {:<58} {seconds:>9.3} s {:>6} ops", verdict.name, verdict.ops)?;
    verdict.details.iter().try_for_each(|line| writeln!(output, "{line}"))
}

/// The same as JSON.
pub(super) fn json(output: &mut dyn Write, verdict: &Verdict) -> io::Result<()> {
    let complaints: Vec<_> = verdict
        .complaints
        .iter()
        .map(|complaint| json!({"by": complaint.by, "what": complaint.what}))
        .collect();
    let object = json!({
        "name": verdict.name,
        "passed": verdict.passed,
        "virtual_ms": u64::try_from(verdict.virtual_time.as_millis()).unwrap_or(u64::MAX),
        "ops": verdict.ops,
        "trace_hash": format!("{:016x}", verdict.trace_hash),
        "complaints": complaints,
    });
    writeln!(output, "{object}")
}
