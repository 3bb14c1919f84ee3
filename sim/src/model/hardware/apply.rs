//! What each fault does when it acts: to the state of the machine, or to the call at which it acts.

use crate::model::hardware::defects::{Fake, FakeKind};
use crate::model::hardware::disk::Disk;
use crate::model::hardware::fault::{FakeCard, Fault};
use crate::model::hardware::faults::Acting;
use crate::model::hardware::machine::Machine;
use crate::model::hardware::storage::Mounted;
use crate::model::time::cause::FaultId;
use crate::model::time::op::{Flip, Timing};
use replicator_hal::{ErrorKind, FsckOutcome};
use std::time::Duration;

/// Longest piece that a short read or write moves.
const SHORT_LEN_BYTES: u64 = 5000;
/// Which of the short calls are interrupted.
const INTERRUPTED_AT: [u64; 4] = [2, 9, 30, 77];
/// The length limit of latent errors: a range with an open end must not make a list of sectors without an end.
const LATENT_LEN_MAX_BYTES: u64 = 16 << 20;
/// The mask of the flipped bit.
const FLIPPED: u8 = 0x08;

/// What a fault does to the call at which it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it has changed a state, or it sets how the call ends.
    None,
    /// The call fails.
    Fails(ErrorKind),
    /// The call does not return for so long.
    Hangs(Duration),
    /// The call moves at most so many bytes.
    Limits(u64),
    /// The call reads one byte wrong.
    Flips(Flip),
    /// The power fails.
    PowerFails(Timing),
}

impl Machine {
    /// Lets a fault act. Every kind has an arm here.
    pub(crate) fn apply(&mut self, acting: &Acting) -> Effect {
        let Acting { id, spec, nth } = acting;
        let (id, on) = (*id, spec.on.as_str());
        match &spec.fault {
            Fault::OutOfSpace { space } => {
                self.capacities.push(on, space.0);
                for mounted in self.volumes_on(on) {
                    let (free, total) = mounted.fs.space_bytes();
                    mounted.fs.set_capacity_max(Some(total - free + space.0));
                }
                Effect::None
            }
            Fault::WrongFreeSpace { space } => {
                self.reported_free.push((on.to_owned(), space.0));
                self.volumes_on(on).for_each(|mounted| mounted.reported_free_bytes = Some(space.0));
                Effect::None
            }
            Fault::FileSizeLimit { space } => {
                self.file_limits.push((on.to_owned(), space.0));
                Effect::None
            }
            Fault::ReadOnlyFlip => {
                self.volumes_on(on).for_each(|mounted| mounted.flipped = Some(id));
                self.disks_on(on).for_each(|disk| disk.read_only = true);
                Effect::None
            }
            Fault::LatentError { range } => {
                let bytes = range.bytes();
                let bytes = bytes.start..bytes.end.min(bytes.start + LATENT_LEN_MAX_BYTES);
                self.disks_on(on).for_each(|disk| disk.defects.add_latent(bytes.clone(), id));
                Effect::None
            }
            Fault::DropWrites { range } => {
                let bytes = range.as_ref().map_or(0..u64::MAX, |range| range.bytes());
                self.disks_on(on).for_each(|disk| disk.dropped.push((bytes.clone(), id)));
                Effect::None
            }
            Fault::FakeLimbo(card) => self.fake(on, card, FakeKind::Limbo, id),
            Fault::FakeWraparound(card) => self.fake(on, card, FakeKind::Wraparound, id),
            Fault::FakeChain(card) => self.fake(on, card, FakeKind::Chain, id),
            Fault::MisdirectedWrite { range, to } => {
                self.disks_on(on).for_each(|disk| disk.defects.misdirected.push((range.bytes(), to.0, id)));
                Effect::None
            }
            Fault::BitFlip { range } => {
                self.disks_on(on).for_each(|disk| disk.flip(range.middle(), FLIPPED));
                Effect::None
            }
            Fault::Disappear => {
                self.storage.pull_boot_areas(on);
                self.disks_on(on).for_each(|disk| disk.present = false);
                Effect::None
            }
            Fault::Replug { device, taken_by } => {
                self.storage.replug(on, device, taken_by.as_deref());
                Effect::None
            }
            Fault::HubReset { with } => {
                let media: Vec<&str> = std::iter::once(on).chain(with.iter().map(String::as_str)).collect();
                self.storage.reset_hub(&media);
                Effect::None
            }
            Fault::ClockJump { seconds } => {
                self.wall_start.seconds = self.wall_start.seconds.saturating_add(*seconds);
                Effect::None
            }
            Fault::FsckExit { exit } => self.fsck_exits(*exit),
            Fault::FsckFails => Effect::Fails(ErrorKind::Corrupt),
            Fault::TransientFlip { range } => Effect::Flips(Flip { at_bytes: range.middle(), mask: FLIPPED }),
            Fault::ShortIo if INTERRUPTED_AT.contains(nth) => Effect::Fails(ErrorKind::Interrupted),
            Fault::ShortIo => Effect::Limits(SHORT_LEN_BYTES),
            Fault::Hang { duration_ms } => {
                Effect::Hangs(duration_ms.map_or(Duration::MAX, Duration::from_millis))
            }
            Fault::FileTooLarge => Effect::Fails(ErrorKind::FileTooLarge),
            Fault::IoError => Effect::Fails(ErrorKind::Io),
            Fault::Interrupted => Effect::Fails(ErrorKind::Interrupted),
            Fault::UnmountBusy => Effect::Fails(ErrorKind::Busy),
            Fault::Fails | Fault::LedFails => Effect::Fails(ErrorKind::Other),
            Fault::PowerCut { after: false } => Effect::PowerFails(Timing::Before),
            Fault::PowerCut { after: true } => Effect::PowerFails(Timing::After),
        }
    }

    fn fake(&mut self, on: &str, card: &FakeCard, kind: FakeKind, by: FaultId) -> Effect {
        let cache_bytes = card.cache.map_or(0, |size| size.0);
        let fake = Fake { real_bytes: card.real.0, kind, cache_bytes, by };
        self.disks_on(on).for_each(|disk| disk.defects.fake = Some(fake.clone()));
        Effect::None
    }

    /// The meaning of an exit status of e2fsck, see e2fsck(8): bits, of which 4 means that damage is left.
    fn fsck_exits(&mut self, status: i32) -> Effect {
        match status {
            0 => self.system.fsck_ends = Some(FsckOutcome::Clean),
            1..=3 => self.system.fsck_ends = Some(FsckOutcome::Repaired),
            4..=7 => return Effect::Fails(ErrorKind::Corrupt),
            _ => return Effect::Fails(ErrorKind::ToolFailed),
        }
        Effect::None
    }

    fn disks_on<'a>(&'a mut self, on: &'a str) -> impl Iterator<Item = &'a mut Disk> {
        let disks = self.storage.disks.values_mut();
        disks.filter(move |disk| *disk.identity.medium == *on || *disk.identity.device == *on)
    }

    fn volumes_on<'a>(&'a mut self, on: &'a str) -> impl Iterator<Item = &'a mut Mounted> {
        let volumes = self.storage.volumes.values_mut().flatten();
        volumes
            .map(|mounted| &mut **mounted)
            .filter(move |mounted| *mounted.on == *on || *mounted.device == *on)
    }
}
