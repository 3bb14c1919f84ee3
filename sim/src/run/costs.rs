//! What each step of a run costs each device: calls, bytes, virtual time.
//!
//! All numbers are functions of the scenario and the engine, not of the machine. So a test can hold them, and a change of the
//! engine that reads a drive once more fails by a number.
//!
//! A step is what the engine calls one: a line that it prints on the console and logs, or a line of a log whose end is logged
//! too ("copying the medium ..., done in 1.2 s"). A call belongs to the step that its task began last. The bytes that an
//! external tool reads or writes (check, format, mount) are not counted, because they are not calls of the engine.

use super::evidence::{Boot, Evidence};
use crate::board::world::World;
use crate::model::hardware::record_log::RecordLine;
use crate::model::time::op::Op;
use crate::model::time::op_name::{Cost as CostClass, OpName};
use crate::model::time::trace::Event;
use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

/// The step of calls before the first one of a task.
const BEFORE: &str = "(before the first step)";
/// What calls go to that go to no device: LEDs, clock, device tree.
const BOARD: &str = "board";

/// What calls cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Number of calls.
    pub calls: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Bytes that a device was told to zero or to discard.
    pub zeroed_bytes: u64,
    /// Virtual time from the previous call of the task to the end of each call.
    pub time: Duration,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
        self.zeroed_bytes += other.zeroed_bytes;
        self.time += other.time;
    }
}

/// The calls of one step on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The boot, from 1.
    pub boot: usize,
    /// The operation, such as `sd-capture`; the task before its first step.
    pub operation: String,
    /// The step, in the words of the engine.
    pub step: String,
    /// A medium, `drive`, `image` (the file system in a working image, which lies on the drive), an area, or `board`.
    pub device: String,
    /// The sum of the calls.
    pub cost: Cost,
}

/// The costs of all boots: boots in their order, operations and steps in the order of their first call.
pub fn costs(evidence: &Evidence) -> Vec<Row> {
    let boots = evidence.boots.iter().enumerate();
    boots.flat_map(|(index, boot)| costs_of_boot(index + 1, boot)).collect()
}

fn costs_of_boot(number: usize, boot: &Boot) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for Call { operation, step, event, time } in calls(&boot.world) {
        let device = device_of(&event.op);
        add(&mut rows, Row { boot: number, operation, step, device, cost: cost_of(&event, time) });
    }
    rows
}

/// One call, and the step that it belongs to.
pub(crate) struct Call {
    /// The operation, as in [`Row`].
    pub(crate) operation: String,
    /// The step.
    pub(crate) step: String,
    /// The call.
    pub(crate) event: Event,
    /// Virtual time from the previous call of the task to its end.
    pub(crate) time: Duration,
}

/// The calls of a world that ran once.
pub(crate) fn calls(world: &World) -> Vec<Call> {
    let mut starts = step_starts(&world.records().lines).into_iter().peekable();
    let mut tasks: BTreeMap<Arc<str>, Task> = BTreeMap::new();
    let mut now = Duration::ZERO;
    let trace = world.trace();
    let attribute = |event: &Event| {
        while let Some(start) = starts.next_if(|start| start.calls_before < event.number) {
            let task = tasks.entry(Arc::clone(&start.task)).or_insert_with(|| Task::new(&start.task, now));
            task.operation = start.operation.unwrap_or_default();
            task.step = start.text;
        }
        // A task that makes its first call was started at the call before.
        let task = tasks.entry(Arc::clone(&event.task)).or_insert_with(|| Task::new(&event.task, now));
        let time = event.time.saturating_sub(task.until);
        (task.until, now) = (event.time, event.time);
        Call { operation: task.operation.clone(), step: task.step.clone(), event: event.clone(), time }
    };
    trace.events().map(attribute).collect()
}

/// The step of a task, and the end of its last call.
struct Task {
    operation: String,
    step: String,
    until: Duration,
}

impl Task {
    fn new(name: &str, now: Duration) -> Self {
        Self { operation: name.to_owned(), step: BEFORE.to_owned(), until: now }
    }
}

fn device_of(op: &Op) -> String {
    if op.device.is_some() { op.on.to_string() } else { BOARD.to_owned() }
}

fn cost_of(event: &Event, time: Duration) -> Cost {
    let op = &event.op;
    let mut cost = Cost { calls: 1, time, ..Cost::default() };
    match (op.name, op.name.cost()) {
        _ if event.error.is_some() => {}
        (OpName::Read, _) => cost.read_bytes = op.len_bytes,
        (OpName::Write, _) => cost.written_bytes = op.len_bytes,
        (OpName::Discard, _) | (_, CostClass::Write) => cost.zeroed_bytes = op.len_bytes,
        _ => {}
    }
    cost
}

/// Adds a row to the equal one, or behind the last row of its step and task.
fn add(rows: &mut Vec<Row>, new: Row) {
    let is_of_operation = |row: &Row| row.operation == new.operation;
    let is_of_step = |row: &Row| is_of_operation(row) && row.step == new.step;
    if let Some(row) = rows.iter_mut().find(|row| is_of_step(row) && row.device == new.device) {
        row.cost += new.cost;
        return;
    }
    let last = rows.iter().rposition(is_of_step).or_else(|| rows.iter().rposition(is_of_operation));
    rows.insert(last.map_or(rows.len(), |last| last + 1), new);
}

/// The lines that begin steps.
fn step_starts(lines: &[RecordLine]) -> Vec<RecordLine> {
    let begins = |(index, line): (usize, &RecordLine)| {
        let later = &lines[index + 1..];
        let announced = later.first().is_some_and(|next| {
            next.operation.is_none()
                && next.task == line.task
                && next.text.ends_with(&format!(": {}", line.text))
        });
        let start = format!("{} ", line.text);
        let is_its_end = |end: &RecordLine| {
            end.operation == line.operation && end.text.starts_with(&start) && end.text.contains(", done in ")
        };
        let begins = line.operation.is_some() && (announced || later.iter().any(is_its_end));
        begins.then(|| line.clone())
    };
    lines.iter().enumerate().filter_map(begins).collect()
}

/// The rows as a table for people, with a sum for each device.
pub fn table(rows: &[Row]) -> String {
    let mut sums: BTreeMap<&str, Cost> = BTreeMap::new();
    for row in rows {
        *sums.entry(&row.device).or_default() += row.cost;
    }
    let boots = rows.iter().any(|row| row.boot > 1);
    let mut cells =
        vec![["operation", "step", "device", "calls", "read", "written", "zeroed"].map(str::to_owned)];
    for row in rows {
        let operation = row.operation.clone();
        let operation = if boots { format!("{} {operation}", row.boot) } else { operation };
        cells.push(line_of([operation, row.step.clone(), row.device.clone()], row.cost));
    }
    for (device, cost) in sums {
        cells.push(line_of(["all".to_owned(), String::new(), device.to_owned()], cost));
    }
    let width = |column: usize| cells.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &cells {
        let padded = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0..=2 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn line_of([operation, step, device]: [String; 3], cost: Cost) -> [String; 7] {
    let bytes = |bytes: u64| if bytes == 0 { "-".to_owned() } else { bytes.to_string() };
    [
        operation,
        step,
        device,
        cost.calls.to_string(),
        bytes(cost.read_bytes),
        bytes(cost.written_bytes),
        bytes(cost.zeroed_bytes),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(calls_before: u64, operation: Option<&str>, text: &str) -> RecordLine {
        let operation = operation.map(str::to_owned);
        RecordLine { calls_before, task: "main".into(), operation, text: text.to_owned() }
    }

    #[test]
    fn a_step_is_a_line_that_is_announced_or_whose_end_is_logged() {
        let log = Some("sd-capture");
        let lines = [
            line(1, log, "capturing"),
            line(1, None, "sd: capturing"),
            line(2, log, "partition 1: bytes 0 to 7"),
            line(3, log, "copying"),
            line(4, Some("emmc-capture"), "packing"),
            line(5, log, "packing 8 MiB, done in 1 s"),
            line(6, log, "copying 8 MiB, done in 1 s"),
            line(7, log, "sd: captured"),
            line(7, None, "sd: captured"),
        ];
        let starts: Vec<_> =
            step_starts(&lines).into_iter().map(|start| (start.calls_before, start.text)).collect();
        assert_eq!(starts, [(1, "capturing".to_owned()), (3, "copying".to_owned())]);
    }

    #[test]
    fn rows_of_one_step_stay_together() {
        let row = |operation: &str, step: &str, device: &str| Row {
            boot: 1,
            operation: operation.to_owned(),
            step: step.to_owned(),
            device: device.to_owned(),
            cost: Cost { calls: 1, read_bytes: 5, ..Cost::default() },
        };
        let mut rows = Vec::new();
        for (operation, step, device) in [
            ("sd", "copying", "sd"),
            ("emmc", "copying", "emmc"),
            ("sd", "copying", "drive"),
            ("sd", "packing", "image"),
            ("sd", "copying", "sd"),
        ] {
            add(&mut rows, row(operation, step, device));
        }
        let order: Vec<_> =
            rows.iter().map(|row| (&*row.operation, &*row.step, &*row.device, row.cost.calls)).collect();
        assert_eq!(
            order,
            [
                ("sd", "copying", "sd", 2),
                ("sd", "copying", "drive", 1),
                ("sd", "packing", "image", 1),
                ("emmc", "copying", "emmc", 1)
            ]
        );
        let sum = table(&rows);
        assert!(sum.contains("all                 sd          2    10        -       -"), "{sum}");
    }
}
