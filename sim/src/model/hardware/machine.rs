//! The state of a simulated board behind its handle: what calls cost, what faults do to them, what can be recorded.

use crate::model::hardware::defects::Fake;
use crate::model::hardware::disk::Disk;
use crate::model::hardware::faults::{Fault, FaultKind, Faults};
use crate::model::hardware::led_log::LedLog;
use crate::model::hardware::record_log::RecordLog;
use crate::model::hardware::simfs::{Kind, Survival};
use crate::model::hardware::storage::Storage;
use crate::model::time::op::{Due, Flip, Model, Moment, Op};
use crate::model::time::op_name::{Cost, OpName};
use crate::model::time::random::Random;
use replicator_hal::{Error, FaultId, Timestamp};
use std::time::Duration;

/// What the board says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct SystemState {
    pub(crate) compatible: Vec<String>,
    pub(crate) kernel_command_line: String,
    /// Outcome that a fault has set for the check that runs now.
    pub(crate) fsck_script: Option<FaultKind>,
}

/// The storage as it was before one call that changes something.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Number of the call.
    pub number: u64,
    /// The call.
    pub op: Op,
    /// What was there before it.
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
    /// Capacity faults that hold for volumes mounted from now on.
    pub(crate) capacities: Vec<(String, u64)>,
    /// The same for the free space that they tell.
    pub(crate) told_free: Vec<(String, u64)>,
    /// The same for the longest file.
    pub(crate) file_limits: Vec<(String, u64)>,
    /// Kinds of file systems that the kernel has no driver for.
    pub(crate) kernel_lacks: Vec<Kind>,
    /// Devices that a fault took away or emptied, for the next boot.
    pub(crate) set_aside: Vec<Disk>,
    pub(crate) recorded: Option<Vec<Recorded>>,
}

/// Wall-clock time after some virtual time.
pub(crate) fn wall_time(start: Timestamp, now: Duration) -> Timestamp {
    let nanos = u64::from(start.nanos) + u64::from(now.subsec_nanos());
    let seconds = start.seconds.saturating_add_unsigned(now.as_secs() + nanos / 1_000_000_000);
    Timestamp { seconds, nanos: (nanos % 1_000_000_000) as u32 }
}

const NANOS: u128 = 1_000_000_000;

impl Machine {
    pub(crate) fn wall(&self, now: Duration) -> Timestamp {
        wall_time(self.wall_start, now)
    }

    /// Applies a fault that changes the state of things.
    pub(crate) fn apply(&mut self, id: FaultId, fault: &Fault) {
        let on = fault.on.as_str();
        match &fault.kind {
            FaultKind::SpaceLies { free_bytes } => self.told_free.push((on.to_owned(), *free_bytes)),
            FaultKind::FileLimit { len_max_bytes } => self.file_limits.push((on.to_owned(), *len_max_bytes)),
            FaultKind::Replugged { device, taken_by } => self.storage.replug(on, device, taken_by.as_deref()),
            FaultKind::ClockJump { seconds } => {
                self.wall_start.seconds = self.wall_start.seconds.saturating_add(*seconds);
            }
            _ => {}
        }
        if let FaultKind::OutOfSpace { capacity_bytes } = fault.kind {
            self.capacities.push((on.to_owned(), capacity_bytes));
        }
        for mounted in self.storage.volumes.values_mut().flatten() {
            if *mounted.on != *on && *mounted.device != *on {
                continue;
            }
            match fault.kind {
                FaultKind::SpaceLeft { left_bytes } => {
                    let (free, total) = mounted.fs.space_bytes();
                    mounted.fs.set_capacity_max(Some(total - free + left_bytes));
                }
                FaultKind::SpaceLies { free_bytes } => mounted.told_free_bytes = Some(free_bytes),
                FaultKind::OutOfSpace { capacity_bytes } => mounted.fs.set_capacity_max(Some(capacity_bytes)),
                FaultKind::ReadOnly => mounted.flipped = Some(id),
                _ => {}
            }
        }
        if matches!(fault.kind, FaultKind::Absent | FaultKind::EmptySlot) {
            let named = |disk: &&Disk| *disk.identity.medium == *on || *disk.identity.device == *on;
            self.set_aside.extend(self.storage.disks.values().filter(named).cloned());
        }
        if fault.kind == FaultKind::Vanishes {
            self.storage.pull_boot_areas(on);
        }
        if fault.kind == FaultKind::Absent {
            self.storage.disks.retain(|device, disk| **device != *on && *disk.identity.medium != *on);
        }
        let disks = self.storage.disks.values_mut();
        for disk in disks.filter(|disk| *disk.identity.medium == *on || *disk.identity.device == *on) {
            match fault.kind {
                FaultKind::Vanishes => disk.present = false,
                FaultKind::EmptySlot => {
                    disk.media = crate::model::bytes::pages::Pages::zeros(0);
                    disk.partitions.clear();
                }
                FaultKind::ReadOnly => disk.read_only = true,
                FaultKind::DropWrites { start_bytes, end_bytes } => {
                    disk.dropped.push((start_bytes..end_bytes.unwrap_or(u64::MAX), id));
                }
                FaultKind::FlipBits { at_bytes, mask } => disk.flip(at_bytes, mask),
                FaultKind::FakeCapacity { real_bytes, behind, cache_bytes } => {
                    disk.defects.fake = Some(Fake { real_bytes, kind: behind, cache_bytes, by: id });
                }
                FaultKind::LatentError { start_bytes, end_bytes } => {
                    disk.defects.add_latent(start_bytes..end_bytes, id);
                }
                FaultKind::Misdirected { start_bytes, end_bytes, to_bytes } => {
                    disk.defects.misdirected.push((start_bytes..end_bytes, to_bytes, id));
                }
                _ => {}
            }
        }
    }

    /// The same board after a power cut: what was durable, and a kernel that knows nothing.
    pub(crate) fn after_power_cut(&self, storage: &Storage, survival: Survival) -> Self {
        let mut next = self.clone();
        next.storage = storage.clone();
        for disk in std::mem::take(&mut next.set_aside) {
            next.storage.disks.insert(disk.identity.device.clone(), disk);
        }
        next.storage.crash(survival);
        next.storage.firmware.lose_power();
        next.storage.disks.values_mut().for_each(Disk::mend);
        next.leds = LedLog::default();
        next.records = RecordLog::default();
        next.faults = Faults::default();
        next.capacities.clear();
        next.told_free.clear();
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
        let speed = disk.identity.speed;
        let transfer = |rate: u64| {
            let nanos = u128::from(op.len_bytes) * NANOS / u128::from(rate.max(1));
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        match op.name.cost() {
            Cost::Call => speed.call_latency / 4,
            Cost::Read => speed.call_latency + transfer(speed.read_bytes_per_second),
            Cost::Write => speed.call_latency + transfer(speed.write_bytes_per_second),
            Cost::Flush => speed.sync_latency,
            Cost::FileSystem => speed.sync_latency * 4,
        }
    }

    fn due(&mut self, op: &Op, moment: Moment) -> Due {
        if let Some(recorded) = self.recorded.as_mut().filter(|_| op.mutates) {
            recorded.push(Recorded { number: moment.number, op: op.clone(), storage: self.storage.clone() });
        }
        let mut due = Due::default();
        for (id, fault) in self.faults.due(op, moment) {
            match &fault.kind {
                FaultKind::Hang { millis } => {
                    due.hang = Some(millis.map_or(Duration::MAX, Duration::from_millis));
                }
                FaultKind::PowerCut { timing } => due.cut = Some(*timing),
                FaultKind::FlipInTransit { at_bytes, mask } => {
                    due.flip = Some(Flip { at_bytes: *at_bytes, mask: *mask });
                }
                FaultKind::Short { len_max_bytes } => due.limit_bytes = Some((*len_max_bytes).max(1)),
                FaultKind::Fsck { .. } if fault.kind.error_kind().is_none() => {
                    self.system.fsck_script = Some(fault.kind.clone())
                }
                kind => match kind.error_kind() {
                    Some(error_kind) => {
                        let before = fault
                            .when
                            .range
                            .as_ref()
                            .map_or(0, |range| range.start.saturating_sub(op.offset_bytes));
                        if before > 0 && op.name == OpName::Read {
                            // The bytes before the bad ones can be had.
                            due.limit_bytes = Some(before);
                        } else {
                            let detail = format!("injected fault {}", id.0);
                            due.error = Some(
                                Error::new(error_kind, op.name.word(), op.object.clone(), detail)
                                    .injected_by(id),
                            );
                        }
                    }
                    None => self.apply(id, &fault),
                },
            }
        }
        due
    }

    fn done(&mut self, op: &Op, error: Option<&Error>) {
        self.faults.note(op, error);
    }
}
