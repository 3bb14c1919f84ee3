//! A finding: something wrong, printed on one screen with all that is needed to reproduce it.

use crate::judge::readers::drive_images::files;
use crate::judge::{CheckerId, Complaint, Severity};
use crate::model::time::op::Op;
use crate::run::{Boot, Snapshot};
use replicator_hal::FileKind;
use serde::Serialize;

/// How many calls before the place are printed.
const LAST_OPERATIONS: usize = 8;
/// How many names on the drive are printed.
const NAMES: usize = 24;

/// Something that is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The scenario.
    pub scenario: String,
    /// Boot of the scenario, from 1.
    pub boot: usize,
    /// The judge that complains.
    #[serde(rename = "invariant")]
    pub by: CheckerId,
    /// The complaint.
    pub what: String,
    /// Further lines for people.
    pub lines: Vec<String>,
    /// The command that reproduces it.
    pub again: String,
}

impl Finding {
    /// A finding of one judge.
    pub(crate) fn new(
        scenario: &str,
        boot: usize,
        complaint: &Complaint,
        lines: Vec<String>,
        again: String,
    ) -> Self {
        Self {
            severity: complaint.by.severity(),
            scenario: scenario.to_owned(),
            boot,
            by: complaint.by,
            what: complaint.what.clone(),
            lines,
            again,
        }
    }

    /// The screen.
    pub fn screen(&self) -> Vec<String> {
        let kind = format!("{:?}", self.severity).to_lowercase();
        let mut lines = vec![
            format!("FAIL {kind}: {}    {}, boot {}", self.by, self.scenario, self.boot),
            format!("  {}", self.what),
        ];
        lines.extend(self.lines.iter().cloned());
        lines.push(format!("  again: {}", self.again));
        lines
    }
}

/// The calls of a boot before the call with this number, and that call.
pub(crate) fn operations(boot: &Boot, number: u64, op: Option<&Op>) -> Vec<String> {
    let trace = boot.world.trace();
    let events: Vec<String> =
        trace.events().filter(|event| event.number < number).map(|event| format!("    {event}")).collect();
    let mut lines = vec!["  last operations:".to_owned()];
    lines.extend_from_slice(&events[events.len().saturating_sub(LAST_OPERATIONS)..]);
    lines.extend(op.map(|op| format!("   >{number:>6} {op}")));
    lines
}

/// The last `count` lines of the console of a boot.
pub(crate) fn console(boot: &Boot, count: usize) -> impl Iterator<Item = String> {
    let lines = boot.world.records().console;
    let skipped = lines.len().saturating_sub(count);
    lines.into_iter().skip(skipped).map(|line| format!("    | {line}"))
}

/// The drive as another computer sees it.
pub(crate) fn drive(title: &str, snapshot: &Snapshot) -> Vec<String> {
    let files = files(snapshot);
    let mut lines = vec![format!("  {title}:{}", if files.is_empty() { " nothing" } else { "" })];
    lines.extend(files.iter().take(NAMES).map(|(path, file)| match file.inode.kind {
        FileKind::Directory => format!("    {path}/"),
        FileKind::Symlink => format!("    {path} -> {}", String::from_utf8_lossy(&file.inode.text)),
        _ => format!("    {path} ({} bytes)", file.inode.len_bytes),
    }));
    if files.len() > NAMES {
        lines.push(format!("    and {} more", files.len() - NAMES));
    }
    lines
}
