//! From a story's words about faults and cuts to the faults of the simulated world.

use crate::defects::FakeKind;
use crate::faults::{Fault, FaultKind as Kind, FsckScript, Trigger};
use crate::op::Timing;
use crate::op_name::OpName;
use crate::pages::Pages;
use crate::scenario::check_faults::range;
use crate::scenario::schema::{CutSpec, FaultKind, FaultSpec, Size};
use std::ops::Range;

/// Longest piece that a short read or write moves.
const SHORT_LEN_BYTES: u64 = 5000;
/// No latent error is longer.
const LATENT_LEN_MAX_BYTES: u64 = 16 << 20;
/// At which calls reads and writes are interrupted beside that.
const INTERRUPTED_AT: [u64; 4] = [2, 9, 30, 77];

/// A fault of the world, and what it belongs to.
pub(super) struct Armed {
    /// The fault.
    pub(super) fault: Fault,
    /// Which fault of the story it is a part of; `None` for the cut of this boot.
    pub(super) of: Option<usize>,
    /// Whether it has to be reached.
    pub(super) required: bool,
}

/// The faults that one fault of a story stands for. `drive_used_bytes` is what is on the drive now.
pub(super) fn arm(index: usize, spec: &FaultSpec, drive_used_bytes: u64) -> Result<Vec<Armed>, String> {
    let bad = |what: String| format!("fault {}: {what}", index + 1);
    let mut when = Trigger {
        by: spec.by.clone(),
        op: spec.op,
        file: spec.file.clone(),
        range: spec.range.as_deref().map(range).transpose().map_err(bad)?,
        occurrence: spec.nth,
        times: spec.times,
        at_op: None,
    };
    let armed = |kind, when, required| Armed {
        fault: Fault { on: spec.on.clone(), kind, when },
        of: Some(index),
        required: required && !spec.may_be_missed,
    };
    let kind = match spec.kind {
        FaultKind::ShortIo => {
            let interrupted = INTERRUPTED_AT.iter().map(|nth| {
                let when = Trigger { occurrence: Some(*nth), times: Some(1), ..Trigger::default() };
                armed(Kind::Interrupted, when, false)
            });
            let short = armed(Kind::Short { len_max_bytes: SHORT_LEN_BYTES }, when, true);
            return Ok(std::iter::once(short).chain(interrupted).collect());
        }
        FaultKind::OutOfSpace => {
            let space = spec.space.unwrap_or(Size(0)).0;
            match when == Trigger::default() {
                true => Kind::OutOfSpace { capacity_bytes: drive_used_bytes + space },
                false if space > 0 => Kind::SpaceLeft { left_bytes: space },
                false => Kind::OutOfSpace { capacity_bytes: 0 },
            }
        }
        FaultKind::SpaceLies => Kind::SpaceLies { free_bytes: needed(spec.space, "space").map_err(bad)? },
        FaultKind::FileSizeLimit => {
            Kind::FileLimit { len_max_bytes: needed(spec.space, "space").map_err(bad)? }
        }
        FaultKind::FileTooLarge => Kind::FileTooLarge,
        FaultKind::FakeLimbo | FaultKind::FakeWraparound | FaultKind::FakeChain => Kind::FakeCapacity {
            real_bytes: needed(spec.real, "real").map_err(bad)?,
            behind: match spec.kind {
                FaultKind::FakeLimbo => FakeKind::Limbo,
                FaultKind::FakeWraparound => FakeKind::Wraparound,
                _ => FakeKind::Chain,
            },
            cache_bytes: spec.cache.map_or(0, |size| size.0),
        },
        FaultKind::LatentError => {
            let Range { start, end } =
                when.range.take().ok_or_else(|| bad("a latent error is in a range".into()))?;
            // A bound, so that an open end makes no list without one.
            Kind::LatentError { start_bytes: start, end_bytes: end.min(start + LATENT_LEN_MAX_BYTES) }
        }
        FaultKind::MisdirectedWrite => {
            let Range { start, end } =
                when.range.take().ok_or_else(|| bad("misdirected writes are in a range".into()))?;
            let to_bytes = needed(spec.to, "to").map_err(bad)?;
            Kind::Misdirected { start_bytes: start, end_bytes: end, to_bytes }
        }
        FaultKind::TransientFlip => {
            let at = when.range.take().ok_or_else(|| bad("a bit flips in a range".into()))?;
            Kind::FlipInTransit { at_bytes: at.start + (at.end - at.start) / 2, mask: 0x08 }
        }
        FaultKind::Replug => {
            let device = spec.device.clone().ok_or_else(|| bad("device is missing".into()))?;
            Kind::Replugged { device, taken_by: spec.taken_by.clone() }
        }
        FaultKind::ClockJump => {
            Kind::ClockJump { seconds: spec.seconds.ok_or_else(|| bad("seconds is missing".into()))? }
        }
        FaultKind::FsckExit => Kind::Fsck { outcome: exit(spec.exit.unwrap_or(0)) },
        FaultKind::ReadOnlyFlip => Kind::ReadOnly,
        FaultKind::IoError => Kind::IoError,
        FaultKind::DropWrites => {
            let Range { start, end } = when.range.take().unwrap_or(0..u64::MAX);
            Kind::DropWrites { start_bytes: start, end_bytes: (end != u64::MAX).then_some(end) }
        }
        FaultKind::BitFlip => {
            let at = when.range.clone().ok_or_else(|| bad("a bit flips in a range".into()))?;
            // The bit is wrong on the medium from the first time on that it is read back.
            when = Trigger { op: Some(OpName::Read), occurrence: Some(1), times: Some(1), ..when };
            Kind::FlipBits { at_bytes: at.start + (at.end - at.start) / 2, mask: 0x08 }
        }
        FaultKind::Hang => Kind::Hang { millis: spec.duration_ms },
        FaultKind::Vanish => Kind::Vanishes,
        FaultKind::FsckFails => Kind::Fsck { outcome: FsckScript::Corrupt },
        FaultKind::UnmountBusy => {
            when.op.get_or_insert(OpName::Unmount);
            Kind::Busy
        }
        FaultKind::LedFails => Kind::Fails,
    };
    Ok(vec![armed(kind, when, true)])
}

fn needed(size: Option<Size>, key: &str) -> Result<u64, String> {
    size.map(|size| size.0).ok_or_else(|| format!("{key} is missing"))
}

/// What an exit status of e2fsck means, see e2fsck(8): bits, of which 4 says that damage is left.
fn exit(status: i32) -> FsckScript {
    match status {
        0 => FsckScript::Clean,
        1..=3 => FsckScript::Repaired,
        4..=7 => FsckScript::Corrupt,
        _ => FsckScript::ToolFailed,
    }
}

/// The cut of a boot.
pub(super) fn cut(spec: &CutSpec) -> Result<Armed, String> {
    let when = Trigger {
        by: None,
        op: spec.op,
        file: spec.file.clone(),
        range: None,
        occurrence: Some(spec.nth),
        times: Some(1),
        at_op: spec.at,
    };
    let timing = if spec.after { Timing::After } else { Timing::Before };
    let on = spec.on.clone().unwrap_or_else(|| "*".into());
    Ok(Armed { fault: Fault { on, kind: Kind::PowerCut { timing }, when }, of: None, required: true })
}

/// How many bytes of a file system's space are taken.
pub(super) fn used_bytes(pages: &Pages) -> u64 {
    let partitions = crate::partitions::read_partitions("drive", pages);
    let Some(first) = partitions.first() else { return 0 };
    let mut pages = pages.clone();
    let mut backing = crate::content::PagesBacking { pages: &mut pages, start_bytes: first.start_bytes };
    crate::simfs::SimFs::load(&mut backing, first.len_bytes).map_or(0, |fs| {
        let (free, total) = fs.space_bytes();
        total - free
    })
}
