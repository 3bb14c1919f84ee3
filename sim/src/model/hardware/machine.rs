//! The state of a simulated board behind its handle: what calls cost, what faults do to them, what is recorded.

use crate::model::hardware::apply::Effect;
use crate::model::hardware::disk::Disk;
use crate::model::hardware::faults::Faults;
use crate::model::hardware::led_log::LedLog;
use crate::model::hardware::record_log::RecordLog;
use crate::model::hardware::simfs::{Kind, Survival};
use crate::model::hardware::storage::Storage;
use crate::model::time::cause::Caused;
use crate::model::time::op::{Due, Model, Moment, Op};
use crate::model::time::op_name::OpName;
use crate::model::time::random::Random;
use replicator_hal::{Error, FsckOutcome, Region, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the board reports about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct SystemState {
    pub(crate) compatible: Vec<String>,
    pub(crate) kernel_command_line: String,
    /// The result of the running check, if a fault decides it.
    pub(crate) fsck_ends: Option<FsckOutcome>,
}

/// The storage before one call that changes something.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Number of the call.
    pub number: u64,
    /// The call.
    pub op: Op,
    /// The storage before it.
    pub storage: Storage,
}

/// Everything behind the scheduler.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) storage: Storage,
    pub(crate) faults: Faults,
    pub(crate) leds: LedLog,
    pub(crate) records: RecordLog,
    pub(crate) system: SystemState,
    pub(crate) wall_start: Timestamp,
    pub(crate) list_order: Random,
    pub(crate) mount_point: Vec<u8>,
    /// How much more the volumes that are mounted from now on take.
    pub(crate) capacities: Capacities,
    /// The free space that they report.
    pub(crate) reported_free: Vec<(String, u64)>,
    /// The length limit of their files.
    pub(crate) file_limits: Vec<(String, u64)>,
    /// Kinds of file systems for which the kernel has no driver.
    pub(crate) kernel_lacks: Vec<Kind>,
    pub(crate) recorded: Option<Vec<Recorded>>,
}

/// Volumes that take at most so many bytes more than they held when they were first mounted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capacities {
    /// Where, and how many bytes.
    more: Vec<(String, u64)>,
    /// The resulting capacity when a region was first mounted, by the index of the fault in the list.
    found: BTreeMap<(usize, String), u64>,
}

impl Capacities {
    pub(crate) fn push(&mut self, on: &str, more_bytes: u64) {
        self.more.push((on.to_owned(), more_bytes));
    }

    /// The capacity of a volume that is mounted now with so many bytes in use.
    pub(crate) fn of(&mut self, names: [&str; 2], region: &Region, used_bytes: u64) -> Option<u64> {
        let latest = self.more.iter().enumerate().rev();
        let (index, (_, more)) = latest.into_iter().find(|(_, (on, _))| names.contains(&on.as_str()))?;
        Some(*self.found.entry((index, region.to_string())).or_insert(used_bytes + more))
    }
}

/// Wall-clock time after some virtual time.
pub(crate) fn wall_time(start: Timestamp, now: Duration) -> Timestamp {
    let nanos = u64::from(start.nanos) + u64::from(now.subsec_nanos());
    let seconds = start.seconds.saturating_add_unsigned(now.as_secs() + nanos / 1_000_000_000);
    Timestamp { seconds, nanos: (nanos % 1_000_000_000) as u32 }
}

impl Machine {
    pub(crate) fn wall(&self, now: Duration) -> Timestamp {
        wall_time(self.wall_start, now)
    }

    /// The same board after a power cut: what was durable, and a kernel without state.
    pub(crate) fn after_power_cut(&self, storage: &Storage, survival: Survival) -> Self {
        let mut next = self.clone();
        next.storage = storage.clone();
        next.storage.crash(survival);
        next.storage.firmware.lose_power();
        next.storage.disks.values_mut().for_each(Disk::end_faults);
        next.leds = LedLog::default();
        next.records = RecordLog::default();
        next.faults = Faults::default();
        next.capacities = Capacities::default();
        next.reported_free.clear();
        next.file_limits.clear();
        next.recorded = None;
        next
    }
}

impl Model for Machine {
    fn cost(&self, op: &Op) -> Duration {
        let Some(disk) = op.device.as_deref().and_then(|device| self.storage.disks.get(device)) else {
            return Duration::from_micros(10);
        };
        disk.identity.speed.time_of(op.name.cost(), op.len_bytes)
    }

    fn due(&mut self, op: &Op, moment: Moment) -> Due {
        if let Some(recorded) = self.recorded.as_mut().filter(|_| op.mutates) {
            recorded.push(Recorded { number: moment.number, op: op.clone(), storage: self.storage.clone() });
        }
        let mut due = Due::default();
        for acting in self.faults.due(op, moment) {
            match self.apply(&acting) {
                Effect::None => {}
                Effect::Hangs(time) => due.hang = Some(time),
                Effect::PowerFails(timing) => due.cut = Some(timing),
                Effect::Flips(flip) => due.flip = Some(flip),
                Effect::Limits(bytes) => due.limit_bytes = Some(bytes),
                Effect::Fails(kind) => {
                    let range = acting.spec.when.range.as_ref();
                    let before = range.map_or(0, |range| range.bytes().start.saturating_sub(op.offset_bytes));
                    if before > 0 && op.name == OpName::Read {
                        // The bytes before the bad ones can be read.
                        due.limit_bytes = Some(before);
                    } else {
                        let detail = format!("injected fault {}", acting.id.0);
                        let error = Error::new(kind, op.name.word(), op.object.clone(), detail);
                        due.error = Some(error.injected_by(acting.id));
                    }
                }
            }
        }
        due
    }

    fn done(&mut self, op: &Op, error: Option<&Error>) {
        self.faults.note(op, error);
    }
}
