//! A simulated world: a board with media and a drive, one boot of it, and the next one.
//!
//! A [`WorldBuilder`] takes only data, so that scenario files and generators can describe any world. [`World::run`]
//! runs the engine on the world's [`Board`]. Afterwards the world can be inspected without the engine (see
//! [`crate::board::inspect`]).

use crate::board::clock::SimClock;
use crate::board::devices::SimDevices;
use crate::board::file_systems::SimFileSystems;
use crate::board::firmware::SimFirmware;
use crate::board::handle::Handle;
use crate::board::leds::SimLeds;
use crate::board::records::SimRecords;
use crate::board::system::SimSystem;
use crate::board::tasks::{SimTasks, panic_text};
use crate::model::hardware::disk::Disk;
use crate::model::hardware::faults::{FaultSpec, Faults};
use crate::model::hardware::firmware::{Area, FirmwareState};
use crate::model::hardware::led_log::LedLog;
use crate::model::hardware::machine::{Capacities, Machine, Recorded, SystemState};
use crate::model::hardware::medium::Medium;
use crate::model::hardware::record_log::RecordLog;
use crate::model::hardware::simfs::{Kind, Survival};
use crate::model::hardware::storage::Storage;
use crate::model::time::random::Random;
use crate::model::time::scheduler::{End, Limits, Scheduler};
use replicator_hal::{Board, DeviceName, Error, ErrorKind, Result, Timestamp};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A world to be built from data.
#[derive(Debug, Clone, Default)]
pub struct WorldBuilder {
    seed: u64,
    media: Vec<Medium>,
    faults: Vec<FaultSpec>,
    compatible: Vec<String>,
    kernel_command_line: String,
    firmware: FirmwareState,
    wall_start: Timestamp,
    limits: Limits,
    keep_trace: bool,
    record: bool,
    mount_point: Option<String>,
    kernel_lacks: Vec<Kind>,
}

impl WorldBuilder {
    /// A board without media, in 1970.
    pub fn new() -> Self {
        Self::default()
    }

    /// Root of all randomness.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds a medium, or the drive.
    #[must_use]
    pub fn medium(mut self, medium: Medium) -> Self {
        self.media.push(medium);
        self
    }

    /// Adds a fault; its number is its place in the order of these calls.
    #[must_use]
    pub fn fault(mut self, fault: FaultSpec) -> Self {
        self.faults.push(fault);
        self
    }

    /// Adds a `compatible` string, most specific first.
    #[must_use]
    pub fn compatible(mut self, text: &str) -> Self {
        self.compatible.push(text.to_owned());
        self
    }

    /// The kernel's command line.
    #[must_use]
    pub fn kernel_command_line(mut self, text: &str) -> Self {
        self.kernel_command_line = text.to_owned();
        self
    }

    /// Registers, microcontroller, FPGA.
    #[must_use]
    pub fn firmware(mut self, firmware: FirmwareState) -> Self {
        self.firmware = firmware;
        self
    }

    /// The wall clock at boot.
    #[must_use]
    pub fn wall_clock(mut self, start: Timestamp) -> Self {
        self.wall_start = start;
        self
    }

    /// Bounds of a run.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Keeps every call in the trace, and not only the last ones.
    #[must_use]
    pub fn keep_trace(mut self, keep: bool) -> Self {
        self.keep_trace = keep;
        self
    }

    /// Keeps the storage as it was before every call that changes something.
    #[must_use]
    pub fn record_states(mut self, record: bool) -> Self {
        self.record = record;
        self
    }

    /// Where a real board mounts the drive; `/mnt/usb` by default.
    #[must_use]
    pub fn mount_point(mut self, path: &str) -> Self {
        self.mount_point = Some(path.to_owned());
        self
    }

    /// Kinds of file systems for which the kernel has no driver, so that they cannot be mounted.
    #[must_use]
    pub fn kernel_lacks(mut self, kinds: &[Kind]) -> Self {
        self.kernel_lacks = kinds.to_vec();
        self
    }

    /// Builds the world.
    ///
    /// # Errors
    /// If content does not fit on its medium, a device name is not valid in the kernel, or two devices have one name.
    pub fn build(self) -> Result<World> {
        let mut storage = Storage::default();
        storage.firmware = self.firmware;
        for medium in self.media {
            let mut disk = Disk::new(medium.identity, medium.content.build(medium.len_bytes)?);
            disk.locked = medium.read_only;
            disk.read_only = medium.read_only;
            disk.area = medium.area.map(|kind| Area { kind, protected: true });
            let device = Arc::clone(&disk.identity.device);
            DeviceName::parse(&*device)?;
            if storage.disks.insert(Arc::clone(&device), disk).is_some() {
                return Err(Error::new(ErrorKind::InvalidInput, "building", &*device, "the name is taken"));
            }
        }
        let mut machine = Machine {
            storage,
            faults: Faults::new(self.faults),
            leds: LedLog::default(),
            records: RecordLog::default(),
            system: SystemState {
                compatible: self.compatible,
                kernel_command_line: self.kernel_command_line,
                fsck_ends: None,
            },
            wall_start: self.wall_start,
            list_order: Random::child(self.seed, "list-order"),
            mount_point: self.mount_point.unwrap_or_else(|| "/mnt/usb".to_owned()).into_bytes(),
            capacities: Capacities::default(),
            reported_free: Vec::new(),
            kernel_lacks: self.kernel_lacks,
            file_limits: Vec::new(),
            recorded: self.record.then(Vec::new),
        };
        for acting in machine.faults.at_start() {
            machine.apply(&acting);
        }
        Ok(World::start(machine, self.seed, self.limits, self.keep_trace))
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunOutcome {
    /// The main task returned before any other end.
    Finished,
    /// The main task panicked with this message.
    Panicked(String),
    /// The world ended before; the main task returned after that.
    Ended(End),
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Panicked(text) => write!(f, "panicked: {text}"),
            Self::Ended(end) => end.fmt(f),
        }
    }
}

/// The end of a run.
#[derive(Debug)]
pub struct RunEnd<T> {
    /// What the main task returned, unless it panicked.
    pub value: Option<T>,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Virtual time at the end.
    pub virtual_time: Duration,
    /// How many HAL calls had an effect.
    pub ops: u64,
    /// Hash over all calls: same scenario, same hash.
    pub trace_hash: u64,
}

/// A simulated world, for one boot. A clone is another handle on the same world.
#[derive(Clone)]
pub struct World {
    pub(crate) handle: Handle,
    seed: u64,
    limits: Limits,
    keep_trace: bool,
}

impl World {
    fn start(machine: Machine, seed: u64, limits: Limits, keep_trace: bool) -> Self {
        Self { handle: Arc::new(Scheduler::new(machine, seed, limits, keep_trace)), seed, limits, keep_trace }
    }

    /// The board, as the engine sees it.
    pub fn board(&self) -> Board {
        let handle = || Arc::clone(&self.handle);
        Board {
            devices: Arc::new(SimDevices { handle: handle() }),
            file_systems: Arc::new(SimFileSystems { handle: handle() }),
            leds: Arc::new(SimLeds { handle: handle() }),
            clock: Arc::new(SimClock { handle: handle() }),
            tasks: Arc::new(SimTasks { handle: handle() }),
            system: Arc::new(SimSystem { handle: handle() }),
            firmware: Arc::new(SimFirmware { handle: handle() }),
            records: Arc::new(SimRecords { handle: handle() }),
        }
    }

    /// Runs the main task to its end, in the calling thread.
    pub fn run<T>(&self, main: impl FnOnce(Board) -> T) -> RunEnd<T> {
        let result = self.handle.run(|| main(self.board()));
        self.handle.peek(|machine, schedule| {
            // No task renews a lease after the end: in a hung world the LEDs show for ever what they show then.
            let forever =
                matches!(schedule.end, Some(End::Hung | End::TimeBound | End::OpBound | End::Stuck(_)));
            match schedule.end {
                Some(End::PowerCut { .. }) => {}
                _ => machine.leds.advance(if forever { Duration::MAX } else { schedule.now }),
            }
            let (value, outcome) = match (result, &schedule.end) {
                (Err(panic), _) => (None, RunOutcome::Panicked(panic_text(panic.as_ref()))),
                (Ok(value), Some(end)) => (Some(value), RunOutcome::Ended(end.clone())),
                (Ok(value), None) => (Some(value), RunOutcome::Finished),
            };
            RunEnd {
                value,
                outcome,
                virtual_time: schedule.now,
                ops: schedule.ops,
                trace_hash: schedule.trace.hash(),
            }
        })
    }

    /// The next boot: the power goes if it has not gone yet, volatile state is lost, and the policy decides which
    /// unflushed changes survive. Faults of this boot end, including those of dead cards; pass the lasting ones to
    /// [`World::with_faults`] again.
    pub fn reboot(&self, survival: Survival) -> World {
        let machine = self.handle.peek(|machine, _| machine.after_power_cut(&machine.storage, survival));
        Self::start(machine, self.seed, self.limits, self.keep_trace)
    }

    /// The next boot, as if the power had failed just before a recorded call.
    pub fn reboot_from(&self, recorded: &Recorded, survival: Survival) -> World {
        let machine = self.handle.peek(|machine, _| machine.after_power_cut(&recorded.storage, survival));
        Self::start(machine, self.seed, self.limits, self.keep_trace)
    }

    /// From now on, keeps the storage as it was before every call that changes something.
    pub(crate) fn record_from_now(&self) {
        self.handle.peek(|machine, _| machine.recorded = Some(Vec::new()));
    }

    /// Adds a fault for the next run of this world, such as a cut in the boot after a cut.
    #[must_use]
    pub fn with_faults(self, faults: Vec<FaultSpec>) -> World {
        self.handle.peek(|machine, _| {
            machine.faults = Faults::new(faults);
            for acting in machine.faults.at_start() {
                machine.apply(&acting);
            }
        });
        self
    }

    /// Changes a medium from outside, as a person might change the drive between two boots.
    pub fn change_medium(&self, name: &str, change: impl FnOnce(&mut Disk)) {
        self.handle.peek(|machine, _| {
            if let Some(disk) = machine.storage.disks.values_mut().find(|disk| *disk.identity.medium == *name)
            {
                change(disk);
            }
        });
    }
}
