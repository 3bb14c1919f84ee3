//! What a checker may inspect: media below all caches, files as another computer would find them, open handles, logs.
//!
//! Nothing here calls the engine, and nothing counts as a call of the run.

use crate::board::world::World;
use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::bytes::pages::Pages;
use crate::model::hardware::disk::Disk;
use crate::model::hardware::firmware::FirmwareState;
use crate::model::hardware::found::{FoundFiles, files_in};
use crate::model::hardware::led_log::LedLog;
use crate::model::hardware::machine::Recorded;
use crate::model::hardware::record_log::RecordLog;
use crate::model::time::trace::Trace;
use replicator_hal::{Error, ErrorKind, Result};
use std::ops::Range;
use std::path::Path;

impl World {
    fn disk<R>(&self, name: &str, look: impl FnOnce(&Disk) -> R) -> Result<R> {
        self.handle.peek(|machine, _| {
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

    /// What was discarded of a medium or the drive since it was last opened to be written.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn discarded(&self, name: &str) -> Result<Vec<Range<u64>>> {
        self.disk(name, |disk| disk.discarded.clone())
    }

    /// The files of an extent of a medium, below all caches.
    ///
    /// # Errors
    /// `NotFound`; those of [`files_in`].
    pub fn volume_at(&self, medium: &str, start_bytes: u64, len_bytes: u64) -> Result<FoundFiles> {
        files_in(&self.medium_bytes(medium)?, start_bytes, len_bytes)
    }

    /// The files of a partition of a medium, below all caches, found by the present partition table.
    ///
    /// # Errors
    /// As [`World::volume_at`].
    pub fn files_of_partition(&self, medium: &str, number: u32) -> Result<FoundFiles> {
        let media = self.medium_bytes(medium)?;
        let partitions = crate::model::bytes::partitions::read_partitions(medium, &media);
        match partitions.iter().find(|partition| partition.number == number) {
            Some(partition) => files_in(&media, partition.start_bytes, partition.len_bytes),
            None => Err(Error::new(ErrorKind::NotFound, "inspecting", medium, "no such partition")),
        }
    }

    /// The drive's files as another computer would find them now.
    ///
    /// # Errors
    /// As [`World::files_of_partition`].
    pub fn drive_files(&self) -> Result<FoundFiles> {
        self.files_of_partition("drive", 1)
    }

    /// Volumes that are still mounted.
    pub fn mounts_left(&self) -> Vec<String> {
        self.handle.peek(|machine, _| {
            let mounted = machine.storage.volumes.values().flatten();
            mounted.map(|mounted| mounted.region.to_string()).collect()
        })
    }

    /// How many files, sources and targets are still open.
    pub fn handles_left(&self) -> usize {
        self.handle.peek(|machine, _| {
            let files =
                machine.storage.volumes.values().flatten().map(|mounted| mounted.files.len()).sum::<usize>();
            let disks = machine.storage.disks.values();
            files + disks.map(|disk| disk.sources as usize + usize::from(disk.target_open)).sum::<usize>()
        })
    }

    /// Registers, microcontroller and FPGA.
    pub fn firmware(&self) -> FirmwareState {
        self.handle.peek(|machine, _| machine.storage.firmware.clone())
    }

    /// Bootloader areas whose write protection is off.
    pub fn unprotected_areas(&self) -> Vec<String> {
        self.handle.peek(|machine, _| {
            let disks = machine.storage.disks.values();
            let open = disks.filter(|disk| disk.area.as_ref().is_some_and(|area| !area.protected));
            open.map(|disk| disk.identity.medium.to_string()).collect()
        })
    }

    /// How many volumes were dropped instead of unmounted.
    pub fn volumes_dropped(&self) -> u64 {
        self.handle.peek(|machine, _| machine.storage.dropped_guards)
    }

    /// The trace so far.
    pub fn trace(&self) -> Trace {
        self.handle.peek(|_, schedule| schedule.trace.clone())
    }

    /// For each fault, whether it affected a call.
    pub fn faults_reached(&self) -> Vec<bool> {
        self.handle.peek(|machine, _| {
            let met: Vec<_> =
                machine.storage.disks.values().flat_map(|disk| disk.defects.met.clone()).collect();
            machine.faults.reach(met.into_iter());
            machine.faults.reached()
        })
    }

    /// What the LEDs showed.
    pub fn leds(&self) -> LedLog {
        self.handle.peek(|machine, _| machine.leds.clone())
    }

    /// Console, logs and report.
    pub fn records(&self) -> RecordLog {
        self.handle.peek(|machine, _| machine.records.clone())
    }

    /// The states before every changing call, if they were recorded. They are moved out of the world.
    pub fn take_recorded(&self) -> Vec<Recorded> {
        self.handle.peek(|machine, _| machine.recorded.as_mut().map(std::mem::take).unwrap_or_default())
    }

    /// A hash over the bytes of all media.
    pub fn media_hash(&self) -> u64 {
        self.handle.peek(|machine, _| {
            machine.storage.disks.iter().fold(FOLD_START, |hash, (device, disk)| {
                fold(fold(hash, device.as_bytes()), &disk.media.hash().to_le_bytes())
            })
        })
    }

    /// Names of all media.
    pub fn media(&self) -> Vec<String> {
        self.handle.peek(|machine, _| {
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
