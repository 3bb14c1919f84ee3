//! Directories as file systems.
//!
//! A region is registered with the directory that stands for its file system. Formatting an unregistered region creates
//! a directory for it. The bytes of the region are independent of its files: a copy of the disk image does not copy the
//! files. The file system of the directory determines which names, modes and attributes can be stored.

use super::devices::Claim;
use super::{HostDevices, Mount, Tree, TreeVolume, Volumes};
use crate::{
    Access, Error, ErrorKind, FileSystem, FileSystemKind, FileSystems, Flavour, Format, Fsck, FsckOutcome,
    Holder, Region, RelativePath, Result, UsedMap, Volume,
};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Directories as file systems.
pub struct HostFileSystems {
    devices: Arc<HostDevices>,
    volumes: Arc<Volumes>,
    /// Where the directories of newly formatted regions are created.
    spare_directory: PathBuf,
    table: Arc<Mutex<Vec<Entry>>>,
}

struct Entry {
    /// A region is identified by its start: its length changes when a partition grows.
    holder: Holder,
    offset_bytes: u64,
    directory: PathBuf,
    file_system: FileSystem,
    mounted: bool,
}

impl Entry {
    fn is(&self, region: &Region) -> bool {
        self.holder == region.holder && self.offset_bytes == region.offset_bytes
    }
}

fn lock(table: &Mutex<Vec<Entry>>) -> MutexGuard<'_, Vec<Entry>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostFileSystems {
    /// File systems on `devices`. Mounted ones are in `volumes`; new ones are created below `spare_directory`.
    pub fn new(
        devices: Arc<HostDevices>,
        volumes: Arc<Volumes>,
        spare_directory: impl Into<PathBuf>,
    ) -> Self {
        Self { devices, volumes, spare_directory: spare_directory.into(), table: Arc::default() }
    }

    /// Registers `directory` as the file system in `region`. Replaces an earlier one.
    pub fn register(&self, region: &Region, directory: impl Into<PathBuf>, file_system: FileSystem) {
        let mut table = lock(&self.table);
        table.retain(|entry| !entry.is(region));
        table.push(Entry {
            holder: region.holder.clone(),
            offset_bytes: region.offset_bytes,
            directory: directory.into(),
            file_system,
            mounted: false,
        });
    }

    /// Calls `act` with the entry of an unmounted file system.
    fn unmounted<T>(
        &self,
        region: &Region,
        operation: &str,
        act: impl FnOnce(&mut Entry) -> Result<T>,
    ) -> Result<T> {
        let mut table = lock(&self.table);
        let Some(entry) = table.iter_mut().find(|entry| entry.is(region)) else {
            let detail = "no known file system";
            return Err(Error::new(ErrorKind::Unsupported, operation, region.to_string(), detail));
        };
        if entry.mounted {
            return Err(busy(region, operation));
        }
        act(entry)
    }

    /// Claims the device of a region. A file on a volume only has to exist.
    fn claim(&self, region: &Region, access: Access, operation: &str) -> Result<Option<Claim>> {
        match &region.holder {
            Holder::Device(name) => {
                self.devices.claim_file_system(name, access == Access::ReadWrite, operation).map(Some)
            }
            Holder::File { volume, path } => {
                self.volumes.tree(*volume)?.metadata(path)?;
                Ok(None)
            }
        }
    }
}

fn busy(region: &Region, operation: &str) -> Error {
    Error::new(ErrorKind::Busy, operation, region.to_string(), "it is mounted")
}

/// Unmounts by clearing the flag in the table.
struct DirectoryMount {
    table: Arc<Mutex<Vec<Entry>>>,
    devices: Arc<HostDevices>,
    region: Region,
    claim: Mutex<Option<Claim>>,
}

impl Mount for DirectoryMount {
    fn remount(&self, access: Access) -> Result<()> {
        if let (Holder::Device(name), Access::ReadWrite) = (&self.region.holder, access) {
            // Only to check whether the device could be mounted that way; the caller has the claim.
            drop(self.devices.claim_file_system(name, true, "remounting")?);
        }
        Ok(())
    }

    fn unmount(&self) -> Result<()> {
        self.abandon();
        Ok(())
    }

    fn abandon(&self) {
        if let Some(entry) = lock(&self.table).iter_mut().find(|entry| entry.is(&self.region)) {
            entry.mounted = false;
        }
        self.claim.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl FileSystems for HostFileSystems {
    fn identify(&self, region: &Region) -> Result<Option<FileSystem>> {
        let table = lock(&self.table);
        Ok(table.iter().find(|entry| entry.is(region)).map(|entry| entry.file_system.clone()))
    }

    /// A directory is never damaged.
    fn fsck(&self, region: &Region) -> Result<Fsck> {
        self.unmounted(region, "checking", |entry| {
            drop(self.claim(region, Access::ReadWrite, "checking")?);
            let output = format!("{}: a directory, nothing to check\n", entry.directory.display());
            Ok(Fsck { outcome: FsckOutcome::Clean, output })
        })
    }

    fn format(&self, region: &Region, format: &Format) -> Result<()> {
        let operation = "formatting";
        if format.shape.is_some_and(|shape| shape.room(format.flavour, region.len_bytes).is_none()) {
            let detail = "the region has no room for this shape";
            return Err(Error::new(ErrorKind::NoSpace, operation, region.to_string(), detail));
        }
        drop(self.claim(region, Access::ReadWrite, operation)?);
        let mut table = lock(&self.table);
        let known = table.iter().position(|entry| entry.is(region));
        let directory = match known.map(|index| &table[index]) {
            Some(entry) if entry.mounted => return Err(busy(region, operation)),
            Some(entry) => entry.directory.clone(),
            None => self.spare_directory.join(format!("file-system-{}", table.len() + 1)),
        };
        let fail = |error| Error::from_io(error, operation, region.to_string());
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        fs::create_dir_all(&directory).map_err(fail)?;
        let kind = match format.flavour {
            Flavour::Ext2 => FileSystemKind::Ext2,
            Flavour::Ext3 => FileSystemKind::Ext3,
            Flavour::Ext4 | Flavour::Ext4Compat => FileSystemKind::Ext4,
        };
        let file_system = FileSystem {
            kind,
            label: format.label.clone(),
            uuid: format.uuid.map(|uuid| uuid.to_string()),
            len_bytes: Some(region.len_bytes),
            needs_recovery: false,
        };
        match known {
            Some(index) => table[index].file_system = file_system,
            None => table.push(Entry {
                holder: region.holder.clone(),
                offset_bytes: region.offset_bytes,
                directory,
                file_system,
                mounted: false,
            }),
        }
        Ok(())
    }

    fn grow(&self, region: &Region) -> Result<()> {
        self.unmounted(region, "growing", |entry| {
            drop(self.claim(region, Access::ReadWrite, "growing")?);
            if !entry.file_system.kind.is_ext() {
                let detail = format!("{} cannot grow", entry.file_system.kind);
                return Err(Error::new(ErrorKind::Unsupported, "growing", region.to_string(), detail));
            }
            entry.file_system.len_bytes = Some(region.len_bytes);
            Ok(())
        })
    }

    /// A directory has no bytes that could be unused.
    fn used_map(&self, _region: &Region) -> Result<Option<UsedMap>> {
        Ok(None)
    }

    fn mount(&self, region: &Region, access: Access) -> Result<Box<dyn Volume>> {
        self.unmounted(region, "mounting", |entry| {
            let claim = self.claim(region, access, "mounting")?;
            let mut tree = Tree::new(&entry.directory, None)?.with_access(access)?;
            // ext is emulated by the directory's own file system. FAT cannot be: names that differ only in case are two
            // files here.
            if entry.file_system.kind.is_ext() {
                tree = tree.with_kind(entry.file_system.kind.clone());
            }
            let (id, tree) = self.volumes.add(tree);
            entry.mounted = true;
            let mount = DirectoryMount {
                table: self.table.clone(),
                devices: self.devices.clone(),
                region: region.clone(),
                claim: Mutex::new(claim),
            };
            Ok(Box::new(TreeVolume::new(id, tree, mount)) as Box<dyn Volume>)
        })
    }

    /// Each kind is a directory.
    fn can_mount(&self, _kind: &FileSystemKind) -> Result<bool> {
        Ok(true)
    }

    fn mount_subvolume(&self, region: &Region, _: &RelativePath, _: Access) -> Result<Box<dyn Volume>> {
        let detail = "this backend has no subvolumes";
        Err(Error::new(ErrorKind::Unsupported, "mounting", region.to_string(), detail))
    }
}
