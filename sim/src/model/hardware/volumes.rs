//! File systems as the kernel and its tools treat them: identify, check, format, grow, map, mount.
//!
//! A file system is in a region of a device or of a file. Its format is in `simfs`. Which uses of a device are
//! allowed is decided here and in `claims`.

use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::hardware::machine::Machine;
use crate::model::hardware::simfs::{Backing, Damage, Kind, Outcome, Refusal, SimFs, Superblock};
use crate::model::hardware::storage::{Mounted, Place, Storage};
use crate::model::time::op::Moment;
use replicator_hal::{
    Access, ErrorKind, ExtShape, FileSystem, FileSystemKind, Flavour, Format, Fsck, FsckOutcome, Region,
    UsedMap, VolumeId, signature,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Length of a page of swap space on this board.
const SWAP_PAGE_LEN: u64 = 4096;

/// The result of a mount.
pub(crate) struct NewVolume {
    pub(crate) id: VolumeId,
    pub(crate) kind: Kind,
    /// The name for faults and traces.
    pub(crate) on: Arc<str>,
    pub(crate) device: Arc<str>,
    /// Fault: the length limit of files.
    pub(crate) file_len_max_bytes: Option<u64>,
}

impl Storage {
    /// A device is either open as a target or used as a file system.
    fn refuse_used(&self, place: &Place, len_bytes: u64) -> Outcome<()> {
        if let Place::Disk { device, .. } = place {
            let disk = &self.disks[device];
            if disk.target_open {
                return Err(Refusal::Kind(ErrorKind::Busy, "its device is open for writing"));
            }
            if disk.sources > 0 {
                return Err(Refusal::Kind(ErrorKind::Busy, "its device is being captured"));
            }
            if disk.identity.held_elsewhere {
                return Err(Refusal::Kind(
                    ErrorKind::Busy,
                    "its device is held by something that is in no table of this system",
                ));
            }
        }
        match self.mounted_in(place, len_bytes) {
            Some(_) => Err(Refusal::Kind(ErrorKind::Busy, "it is mounted")),
            None => Ok(()),
        }
    }

    /// Refuses a write to read-only storage before anything is changed.
    fn refuse_read_only(&self, place: &Place) -> Outcome<()> {
        match place {
            Place::Disk { device, .. } => {
                let disk = &self.disks[device];
                if disk.read_only {
                    return Err(Refusal::Kind(ErrorKind::ReadOnly, "the device refuses writes"));
                }
                Ok(())
            }
            Place::File { volume, .. } => self.volume(*volume)?.require_writable(),
        }
    }
}

/// Content that is not a simulated file system, but is known by its first bytes: swap, LUKS, LVM.
fn by_signature(backing: &mut dyn Backing, len_bytes: u64) -> Outcome<Option<FileSystem>> {
    let mut head = vec![0; signature::HEAD_LEN_BYTES.min(usize::try_from(len_bytes).unwrap_or(usize::MAX))];
    backing.read(0, &mut head)?;
    Ok(signature::by_head(&head))
}

/// Checks the file system in these bytes, and repairs it if possible.
fn check(backing: &mut dyn Backing, region: &Region) -> Outcome<Fsck> {
    let Some(mut superblock) = Superblock::probe(backing, region.len_bytes)? else {
        return Err(Refusal::Kind(ErrorKind::Unsupported, "no known file system"));
    };
    if !superblock.kind.has_check() {
        return Err(Refusal::Kind(ErrorKind::Unsupported, "no tool checks this kind"));
    }
    // If it cannot be read, that decides; a mark of fatal damage means that damage is left.
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

impl Machine {
    /// The content of a region, if its kind is known.
    ///
    /// # Errors
    /// Those of what holds the bytes.
    pub(crate) fn identify(
        &mut self,
        region: &Region,
        place: &Place,
        moment: Moment,
    ) -> Outcome<Option<FileSystem>> {
        let now = self.wall(moment.now);
        let mut layer = self.storage.layer(place, now);
        match Superblock::probe(&mut layer, region.len_bytes)? {
            Some(superblock) => Ok(Some(FileSystem::from(&superblock))),
            None => by_signature(&mut layer, region.len_bytes),
        }
    }

    /// Checks the file system, and repairs what can be repaired.
    ///
    /// # Errors
    /// `Busy`, `ReadOnly`, `Unsupported`, `Corrupt`; those of what holds the bytes.
    pub(crate) fn fsck(&mut self, region: &Region, place: &Place, moment: Moment) -> Outcome<Fsck> {
        self.storage.refuse_used(place, region.len_bytes)?;
        self.storage.refuse_read_only(place)?;
        let script = self.system.fsck_ends.take();
        let now = self.wall(moment.now);
        let result = check(&mut self.storage.layer(place, now), region)?;
        Ok(match script {
            Some(outcome) => {
                let word = if outcome == FsckOutcome::Repaired { "repaired" } else { "clean" };
                Fsck { outcome, output: format!("{word}, as scripted\n") }
            }
            None => result,
        })
    }

    /// Makes a file system.
    ///
    /// # Errors
    /// `Busy`, `ReadOnly`, `NoSpace`; those of what holds the bytes.
    pub(crate) fn format(
        &mut self,
        region: &Region,
        format: &Format,
        place: &Place,
        moment: Moment,
    ) -> Outcome<()> {
        let kind = match format.flavour {
            Flavour::Ext2 => Kind::Ext2,
            Flavour::Ext3 => Kind::Ext3,
            Flavour::Ext4 | Flavour::Ext4Compat => Kind::Ext4,
        };
        self.storage.refuse_used(place, region.len_bytes)?;
        self.storage.refuse_read_only(place)?;
        if format.shape.is_some_and(|shape| shape.room(format.flavour, region.len_bytes).is_none()) {
            return Err(Refusal::Kind(ErrorKind::NoSpace, "the region has no room for this format"));
        }
        let now = self.wall(moment.now);
        let mut layer = self.storage.layer(place, now);
        SimFs::format(
            &mut layer,
            kind,
            format.label.clone(),
            format.uuid.map_or_else(|| uuid(moment.number, region), |uuid| uuid.0),
            region.len_bytes,
        )?;
        let shape = format.shape.unwrap_or_else(|| ExtShape::usual(format.flavour, region.len_bytes, 512));
        if let Some(mut superblock) = Superblock::probe(&mut layer, region.len_bytes)? {
            superblock.inodes_max = shape.inodes;
            superblock.store(&mut layer)?;
        }
        Ok(())
    }

    /// Grows the file system to the length of its region.
    ///
    /// # Errors
    /// `Busy`, `ReadOnly`, `Unsupported`; `ToolFailed` if it must be checked first; those of what holds the bytes.
    pub(crate) fn grow(&mut self, region: &Region, place: &Place, moment: Moment) -> Outcome<()> {
        self.storage.refuse_used(place, region.len_bytes)?;
        self.storage.refuse_read_only(place)?;
        let now = self.wall(moment.now);
        let mut layer = self.storage.layer(place, now);
        let mut fs = SimFs::load(&mut layer, region.len_bytes)?;
        if !fs.superblock().kind.is_ext() {
            return Err(Refusal::Kind(ErrorKind::Unsupported, "this kind cannot grow"));
        }
        if fs.superblock().dirty {
            return Err(Refusal::Kind(ErrorKind::ToolFailed, "it must be checked first"));
        }
        fs.grow(&mut layer, region.len_bytes)
    }

    /// Which bytes the file system uses, if that can be known without mounting it.
    ///
    /// # Errors
    /// Those of what holds the bytes.
    pub(crate) fn used_map(
        &mut self,
        region: &Region,
        place: &Place,
        moment: Moment,
    ) -> Outcome<Option<UsedMap>> {
        let now = self.wall(moment.now);
        let mut layer = self.storage.layer(place, now);
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
            // A file system that cannot be read proves nothing unused.
            Err(Refusal::Kind(..)) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Whether the kernel has a driver.
    pub(crate) fn can_mount(&self, kind: &FileSystemKind) -> bool {
        let known = Kind::ALL.into_iter().find(|known| known.family() == *kind);
        known.is_some_and(|known| !self.kernel_lacks.contains(&known))
    }

    /// Mounts the file system. Faults that apply to volumes mounted from now on apply to it.
    ///
    /// # Errors
    /// `Busy`, `ReadOnly`, `Unsupported`, `Corrupt`; those of what holds the bytes.
    pub(crate) fn mount(
        &mut self,
        region: &Region,
        access: Access,
        place: &Place,
        moment: Moment,
    ) -> Outcome<NewVolume> {
        self.storage.refuse_used(place, region.len_bytes)?;
        if access == Access::ReadWrite {
            self.storage.refuse_read_only(place)?;
        }
        let now = self.wall(moment.now);
        let superblock = Superblock::probe(&mut self.storage.layer(place, now), region.len_bytes)?;
        if superblock.is_some_and(|superblock| self.kernel_lacks.contains(&superblock.kind)) {
            return Err(Refusal::Kind(
                ErrorKind::Unsupported,
                "the kernel has no driver for this file system",
            ));
        }
        let mut fs = SimFs::load(&mut self.storage.layer(place, now), region.len_bytes)?;
        let (_, on, device) = self.storage.locate(region)?;
        let kind = fs.superblock().kind;
        let stays_dirty = fs.superblock().dirty && !kind.journalled();
        if access == Access::ReadWrite {
            fs.mark_dirty(&mut self.storage.layer(place, now), true)?;
        }
        let of = |limits: &[(String, u64)]| {
            let mut latest = limits.iter().rev();
            latest.find(|(name, _)| **name == *on || **name == *device).map(|(_, bytes)| *bytes)
        };
        let (free, total) = fs.space_bytes();
        fs.set_capacity_max(self.capacities.of([&on, &device], region, total - free));
        let file_len_max_bytes = of(&self.file_limits);
        let mounted = Mounted {
            fs,
            place: place.clone(),
            region: region.clone(),
            access,
            on: Arc::clone(&on),
            device: Arc::clone(&device),
            files: BTreeMap::new(),
            flipped: None,
            stays_dirty,
            reported_free_bytes: of(&self.reported_free),
        };
        let id = self.storage.add_volume(mounted);
        Ok(NewVolume { id, kind, on, device, file_len_max_bytes })
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
