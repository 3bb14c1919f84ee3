//! The HAL's file systems as a whole: identify, check, make, grow, map, mount.

use crate::board::handle::Handle;
use crate::board::volume::SimVolume;
use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::hardware::machine::Machine;
use crate::model::hardware::simfs::{Backing, Damage, Kind, Refusal, SimFs, Superblock};
use crate::model::hardware::storage::{Mounted, Place};
use crate::model::time::op::{Moment, Op};
use crate::model::time::op_name::OpName;
use replicator_hal::{
    Access, Error, ErrorKind, ExtShape, FileSystem, FileSystemKind, FileSystems, Flavour, Format, Fsck,
    FsckOutcome, Holder, Region, Result, UsedMap, Volume, signature,
};
use std::sync::Arc;

/// Length of a page of swap space on this board.
const SWAP_PAGE_LEN: u64 = 4096;

pub(crate) struct SimFileSystems {
    pub(crate) handle: Handle,
}

impl SimFileSystems {
    fn op(&self, name: OpName, region: &Region, mutates: bool) -> Op {
        let located = self.handle.peek(|machine, _| machine.storage.locate(region).ok());
        let (on, device) = match located {
            Some((_, on, device)) => (on, Some(device)),
            None => ("device".into(), None),
        };
        Op {
            name,
            on,
            object: region.to_string(),
            offset_bytes: region.offset_bytes,
            len_bytes: region.len_bytes,
            mutates,
            device,
        }
    }

    fn call<R>(
        &self,
        op: Op,
        region: &Region,
        work: impl FnOnce(&mut Machine, &Place, Moment) -> std::result::Result<R, Refusal>,
    ) -> Result<R> {
        let (name, object) = (op.name.word(), op.object.clone());
        self.handle.call(op, |machine, moment| {
            let (place, ..) = machine.storage.locate(region)?;
            work(machine, &place, moment).map_err(|refusal| refusal.into_error(name, object))
        })
    }
}

/// A device is either open as a target or used as a file system.
fn refuse_used(machine: &Machine, place: &Place, region: &Region) -> std::result::Result<(), Refusal> {
    if let Place::Disk { device, .. } = place {
        let disk = &machine.storage.disks[device];
        if disk.target_open {
            return Err(Refusal::Kind(ErrorKind::Busy, "its device is open for writing"));
        }
        if disk.sources > 0 {
            return Err(Refusal::Kind(ErrorKind::Busy, "its device is being captured"));
        }
        if disk.identity.held_elsewhere {
            return Err(Refusal::Kind(
                ErrorKind::Busy,
                "its device is held by something that does not show here",
            ));
        }
    }
    match machine.storage.mounted_in(place, region.len_bytes) {
        Some(_) => Err(Refusal::Kind(ErrorKind::Busy, "it is mounted")),
        None => Ok(()),
    }
}

/// Refuses what cannot be written, before anything is.
fn refuse_read_only(machine: &Machine, region: &Region, place: &Place) -> std::result::Result<(), Refusal> {
    match (place, &region.holder) {
        (Place::Disk { device, .. }, _) => {
            let disk = &machine.storage.disks[device];
            if disk.read_only {
                return Err(Refusal::Kind(ErrorKind::ReadOnly, "the device refuses writes"));
            }
            Ok(())
        }
        (Place::File { volume, .. }, _) => machine.storage.volume(*volume)?.require_writable(),
    }
}

/// What is no simulated file system, but is known by its first bytes: swap, LUKS, LVM.
fn by_signature(
    backing: &mut dyn Backing,
    len_bytes: u64,
) -> std::result::Result<Option<FileSystem>, Refusal> {
    let mut head = vec![0; signature::HEAD_LEN_BYTES.min(usize::try_from(len_bytes).unwrap_or(usize::MAX))];
    backing.read(0, &mut head)?;
    Ok(signature::by_head(&head))
}

fn check(backing: &mut dyn Backing, region: &Region) -> std::result::Result<Fsck, Refusal> {
    let Some(mut superblock) = Superblock::probe(backing, region.len_bytes)? else {
        return Err(Refusal::Kind(ErrorKind::Unsupported, "no known file system"));
    };
    if !superblock.kind.has_check() {
        return Err(Refusal::Kind(ErrorKind::Unsupported, "no tool checks this kind"));
    }
    // Whether it can be read at all decides, and a fatal damage mark counts as damage that is left.
    SimFs::load(backing, region.len_bytes)?;
    if !superblock.dirty && superblock.damage == Damage::None {
        return Ok(Fsck { outcome: FsckOutcome::Clean, output: "clean\n".to_owned() });
    }
    let output = match superblock.damage {
        Damage::None => "recovered the file system after an unclean end\n",
        _ => "repaired damage\n",
    };
    superblock.dirty = false;
    superblock.damage = Damage::None;
    superblock.store(backing)?;
    Ok(Fsck { outcome: FsckOutcome::Repaired, output: output.to_owned() })
}

impl FileSystems for SimFileSystems {
    fn identify(&self, region: &Region) -> Result<Option<FileSystem>> {
        self.call(self.op(OpName::Identify, region, false), region, |machine, place, moment| {
            let now = machine.wall(moment.now);
            let mut layer = machine.storage.layer(place, now);
            match Superblock::probe(&mut layer, region.len_bytes)? {
                Some(superblock) => Ok(Some(FileSystem::from(&superblock))),
                None => by_signature(&mut layer, region.len_bytes),
            }
        })
    }

    fn fsck(&self, region: &Region) -> Result<Fsck> {
        self.call(self.op(OpName::Fsck, region, true), region, |machine, place, moment| {
            refuse_used(machine, place, region)?;
            refuse_read_only(machine, region, place)?;
            let script = machine.system.fsck_ends.take();
            let now = machine.wall(moment.now);
            let result = check(&mut machine.storage.layer(place, now), region)?;
            Ok(match script {
                Some(outcome) => {
                    let word = if outcome == FsckOutcome::Repaired { "repaired" } else { "clean" };
                    Fsck { outcome, output: format!("{word}, as scripted\n") }
                }
                None => result,
            })
        })
    }

    fn format(&self, region: &Region, format: &Format) -> Result<()> {
        let kind = match format.flavour {
            Flavour::Ext2 => Kind::Ext2,
            Flavour::Ext3 => Kind::Ext3,
            Flavour::Ext4 | Flavour::Ext4Compat => Kind::Ext4,
        };
        self.call(self.op(OpName::Format, region, true), region, |machine, place, moment| {
            refuse_used(machine, place, region)?;
            refuse_read_only(machine, region, place)?;
            if format.shape.is_some_and(|shape| shape.room(format.flavour, region.len_bytes).is_none()) {
                return Err(Refusal::Kind(ErrorKind::NoSpace, "there is no room for this shape"));
            }
            let now = machine.wall(moment.now);
            let mut layer = machine.storage.layer(place, now);
            SimFs::format(
                &mut layer,
                kind,
                format.label.clone(),
                format.uuid.map_or_else(|| uuid(moment.number, region), |uuid| uuid.0),
                region.len_bytes,
            )?;
            let shape =
                format.shape.unwrap_or_else(|| ExtShape::usual(format.flavour, region.len_bytes, 512));
            if let Some(mut superblock) = Superblock::probe(&mut layer, region.len_bytes)? {
                superblock.inodes_max = shape.inodes;
                superblock.store(&mut layer)?;
            }
            Ok(())
        })
    }

    fn grow(&self, region: &Region) -> Result<()> {
        self.call(self.op(OpName::Grow, region, true), region, |machine, place, moment| {
            refuse_used(machine, place, region)?;
            refuse_read_only(machine, region, place)?;
            let now = machine.wall(moment.now);
            let mut layer = machine.storage.layer(place, now);
            let mut fs = SimFs::load(&mut layer, region.len_bytes)?;
            if !fs.superblock().kind.is_ext() {
                return Err(Refusal::Kind(ErrorKind::Unsupported, "this kind cannot grow"));
            }
            if fs.superblock().dirty {
                return Err(Refusal::Kind(ErrorKind::ToolFailed, "it must be checked first"));
            }
            fs.grow(&mut layer, region.len_bytes)
        })
    }

    fn used_map(&self, region: &Region) -> Result<Option<UsedMap>> {
        self.call(self.op(OpName::UsedMap, region, false), region, |machine, place, moment| {
            let now = machine.wall(moment.now);
            let mut layer = machine.storage.layer(place, now);
            let Some(superblock) = Superblock::probe(&mut layer, region.len_bytes)? else {
                let found = by_signature(&mut layer, region.len_bytes)?;
                let is_swap =
                    found.is_some_and(|found| found.kind == FileSystemKind::Swap && !found.needs_recovery);
                return Ok(is_swap.then(|| UsedMap { used: vec![0..SWAP_PAGE_LEN] }));
            };
            if superblock.dirty || superblock.damage != Damage::None || !superblock.kind.has_used_map() {
                return Ok(None);
            }
            match SimFs::load(&mut layer, region.len_bytes) {
                Ok(fs) => Ok(Some(UsedMap { used: fs.used_ranges() })),
                // What cannot be read cannot be proven unused.
                Err(Refusal::Kind(..)) => Ok(None),
                Err(refusal) => Err(refusal),
            }
        })
    }

    fn can_mount(&self, kind: &FileSystemKind) -> Result<bool> {
        Ok(self.handle.peek(|machine, _| {
            let known = Kind::ALL.into_iter().find(|known| known.family() == *kind);
            known.is_some_and(|known| !machine.kernel_lacks.contains(&known))
        }))
    }

    fn mount(&self, region: &Region, access: Access) -> Result<Box<dyn Volume>> {
        let op = self.op(OpName::Mount, region, access == Access::ReadWrite);
        let (id, kind, on, device, file_limit) = self.call(op, region, |machine, place, moment| {
            refuse_used(machine, place, region)?;
            if access == Access::ReadWrite {
                refuse_read_only(machine, region, place)?;
            }
            let now = machine.wall(moment.now);
            let superblock = Superblock::probe(&mut machine.storage.layer(place, now), region.len_bytes)?;
            if superblock.is_some_and(|superblock| machine.kernel_lacks.contains(&superblock.kind)) {
                return Err(Refusal::Kind(
                    ErrorKind::Unsupported,
                    "the kernel has no driver for this file system",
                ));
            }
            let mut fs = SimFs::load(&mut machine.storage.layer(place, now), region.len_bytes)?;
            let (_, on, device) = machine.storage.locate(region)?;
            let kind = fs.superblock().kind;
            let stays_dirty = fs.superblock().dirty && !kind.journalled();
            if access == Access::ReadWrite {
                fs.mark_dirty(&mut machine.storage.layer(place, now), true)?;
            }
            let of = |limits: &[(String, u64)]| {
                let mut latest = limits.iter().rev();
                latest.find(|(name, _)| **name == *on || **name == *device).map(|(_, bytes)| *bytes)
            };
            let (free, total) = fs.space_bytes();
            fs.set_capacity_max(machine.capacities.of([&on, &device], region, total - free));
            let file_limit = of(&machine.file_limits);
            let mounted = Mounted {
                fs,
                place: place.clone(),
                region: region.clone(),
                access,
                on: Arc::clone(&on),
                device: Arc::clone(&device),
                files: std::collections::BTreeMap::new(),
                flipped: None,
                stays_dirty,
                told_free_bytes: of(&machine.told_free),
            };
            Ok((machine.storage.add_volume(mounted), kind, on, device, file_limit))
        })?;
        let mounted_at_drive = matches!(region.holder, Holder::Device(_));
        Ok(Box::new(SimVolume::new(
            Arc::clone(&self.handle),
            id,
            kind,
            (on, device),
            mounted_at_drive,
            file_limit,
        )))
    }
}

/// A UUID that is the same in every run of a scenario.
fn uuid(number: u64, region: &Region) -> [u8; 16] {
    let first = fold(fold(FOLD_START, region.to_string().as_bytes()), &number.to_le_bytes());
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&first.to_le_bytes());
    uuid[8..].copy_from_slice(&fold(first, b"uuid").to_le_bytes());
    uuid
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.into_error("", "")
    }
}
