//! What a checker may look at: media below all caches, files as a PC would see them, what was left open, what happened.
//!
//! Nothing here asks the engine, and nothing counts as a call of the run.

use crate::content::PagesBacking;
use crate::disk::Disk;
use crate::file_bytes::FileBytes;
use crate::firmware::FirmwareState;
use crate::leds::LedLog;
use crate::machine::Recorded;
use crate::pages::Pages;
use crate::random::{FOLD_START, fold};
use crate::records::RecordLog;
use crate::simfs::{Inode, ROOT, SimFs};
use crate::trace::Trace;
use crate::world::World;
use replicator_hal::{Error, ErrorKind, FileKind, RelativePath, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// A file, directory, link or node as found on a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// What is known of it.
    pub inode: Inode,
    /// Number that hard links share.
    pub number: u64,
    /// Content of a regular file.
    pub bytes: FileBytes,
}

/// The files of a file system, by path.
pub type FoundFiles = BTreeMap<RelativePath, FoundFile>;

/// All files in a stretch of bytes, as another computer would find them.
///
/// # Errors
/// `Unsupported` if there is no simulated file system, `Corrupt` if it cannot be read.
pub fn files_in(pages: &Pages, start_bytes: u64, len_bytes: u64) -> Result<FoundFiles> {
    let mut copy = pages.clone();
    let mut backing = PagesBacking { pages: &mut copy, start_bytes };
    let fs =
        SimFs::load(&mut backing, len_bytes).map_err(|refusal| refusal.into_error("reading", "a medium"))?;
    let mut found = FoundFiles::new();
    let mut queue = vec![(RelativePath::root(), ROOT)];
    while let Some((path, number)) = queue.pop() {
        let Some(inode) = fs.inode(number).cloned() else {
            continue;
        };
        // A damaged tree may have a directory below itself; a path cannot be longer than this.
        if path.as_bytes().len() > 4096 {
            return Err(Error::new(ErrorKind::Corrupt, "reading", "a medium", "directories form a loop"));
        }
        for entry in inode.entries.values() {
            if let Ok(child) = path.join(&entry.name) {
                queue.push((child, entry.inode));
            }
        }
        let bytes = match inode.kind {
            FileKind::File => content(pages, start_bytes, fs.superblock().block_len, &inode),
            _ => FileBytes::default(),
        };
        if !path.is_root() {
            found.insert(path, FoundFile { inode, number, bytes });
        }
    }
    Ok(found)
}

fn content(pages: &Pages, start_bytes: u64, block_len: u32, inode: &Inode) -> FileBytes {
    let block_len = u64::from(block_len);
    let mut pieces: Vec<(usize, Range<u64>)> = Vec::new();
    for (index, block) in &inode.blocks {
        let Ok(start) = usize::try_from(index.saturating_mul(block_len)) else { break };
        let at = start_bytes + u64::from(*block) * block_len;
        match pieces.last_mut() {
            Some((first, range))
                if range.end == at && *first + (range.end - range.start) as usize == start =>
            {
                range.end += block_len;
            }
            _ => pieces.push((start, at..at + block_len)),
        }
    }
    FileBytes::new(pages, pieces, usize::try_from(inode.len_bytes).unwrap_or(0))
}

impl World {
    fn disk<R>(&self, name: &str, look: impl FnOnce(&Disk) -> R) -> Result<R> {
        self.door.peek(|machine, _| {
            let named = |disk: &&Disk| *disk.identity.medium == *name || *disk.identity.device == *name;
            let disk = machine.storage.disks.values().find(named);
            disk.map(look)
                .ok_or_else(|| Error::new(ErrorKind::NotFound, "inspecting", name, "no such medium"))
        })
    }

    /// The bytes of a medium, below all caches.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn medium_bytes(&self, name: &str) -> Result<Pages> {
        self.disk(name, |disk| disk.media.clone())
    }

    /// The files of a stretch of a medium, below all caches.
    ///
    /// # Errors
    /// `NotFound`; those of [`files_in`].
    pub fn volume_at(&self, medium: &str, start_bytes: u64, len_bytes: u64) -> Result<FoundFiles> {
        files_in(&self.medium_bytes(medium)?, start_bytes, len_bytes)
    }

    /// The files of a partition of a medium, below all caches, by what its partition table says now.
    ///
    /// # Errors
    /// As [`World::volume_at`].
    pub fn files_of_partition(&self, medium: &str, number: u32) -> Result<FoundFiles> {
        let media = self.medium_bytes(medium)?;
        let partitions = crate::partitions::read_partitions(medium, &media);
        match partitions.iter().find(|partition| partition.number == number) {
            Some(partition) => files_in(&media, partition.start_bytes, partition.len_bytes),
            None => Err(Error::new(ErrorKind::NotFound, "inspecting", medium, "no such partition")),
        }
    }

    /// The drive's files as a PC would see them now.
    ///
    /// # Errors
    /// As [`World::files_of_partition`].
    pub fn drive_files(&self) -> Result<FoundFiles> {
        self.files_of_partition("drive", 1)
    }

    /// Volumes that are still mounted.
    pub fn mounts_left(&self) -> Vec<String> {
        self.door.peek(|machine, _| {
            let mounted = machine.storage.volumes.values().flatten();
            mounted.map(|mounted| mounted.region.to_string()).collect()
        })
    }

    /// How many files, sources and targets are still open.
    pub fn handles_left(&self) -> usize {
        self.door.peek(|machine, _| {
            let files =
                machine.storage.volumes.values().flatten().map(|mounted| mounted.files.len()).sum::<usize>();
            let disks = machine.storage.disks.values();
            files + disks.map(|disk| disk.sources as usize + usize::from(disk.target_open)).sum::<usize>()
        })
    }

    /// Registers, microcontroller and FPGA.
    pub fn firmware(&self) -> FirmwareState {
        self.door.peek(|machine, _| machine.storage.firmware.clone())
    }

    /// Bootloader areas whose write protection is off.
    pub fn unprotected_areas(&self) -> Vec<String> {
        self.door.peek(|machine, _| {
            let disks = machine.storage.disks.values();
            let open = disks.filter(|disk| disk.area.as_ref().is_some_and(|area| !area.protected));
            open.map(|disk| disk.identity.medium.to_string()).collect()
        })
    }

    /// How many volumes were dropped instead of unmounted.
    pub fn volumes_dropped(&self) -> u64 {
        self.door.peek(|machine, _| machine.storage.dropped_guards)
    }

    /// The trace so far.
    pub fn trace(&self) -> Trace {
        self.door.peek(|_, schedule| schedule.trace.clone())
    }

    /// For each fault, whether it made a difference to any call.
    pub fn faults_reached(&self) -> Vec<bool> {
        self.door.peek(|machine, _| {
            let met: Vec<_> =
                machine.storage.disks.values().flat_map(|disk| disk.defects.met.clone()).collect();
            machine.faults.reach(met.into_iter());
            machine.faults.reached()
        })
    }

    /// What the LEDs showed.
    pub fn leds(&self) -> LedLog {
        self.door.peek(|machine, _| machine.leds.clone())
    }

    /// Console, logs and report.
    pub fn records(&self) -> RecordLog {
        self.door.peek(|machine, _| machine.records.clone())
    }

    /// The states before every changing call, if they were recorded; they are gone from the world afterwards.
    pub fn take_recorded(&self) -> Vec<Recorded> {
        self.door.peek(|machine, _| machine.recorded.as_mut().map(std::mem::take).unwrap_or_default())
    }

    /// A hash over the bytes of all media.
    pub fn media_hash(&self) -> u64 {
        self.door.peek(|machine, _| {
            machine.storage.disks.iter().fold(FOLD_START, |hash, (device, disk)| {
                fold(fold(hash, device.as_bytes()), &disk.media.hash().to_le_bytes())
            })
        })
    }

    /// Names of all media.
    pub fn media(&self) -> Vec<String> {
        self.door.peek(|machine, _| {
            machine.storage.disks.values().map(|disk| disk.identity.medium.to_string()).collect()
        })
    }

    /// Writes every medium to a sparse file `<name>.img` in a directory.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn keep(&self, directory: &Path) -> std::io::Result<()> {
        for name in self.media() {
            if let Ok(pages) = self.medium_bytes(&name) {
                pages.dump(&directory.join(format!("{name}.img")))?;
            }
        }
        Ok(())
    }
}
