//! A backend in one file. Each file `NAME` of a directory is a block device, and the directory `NAME.d` beside it
//! contains the files of its file system. Clock, tasks, system and records are those of `replicator_hal::host`.

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use replicator_hal::host::{
    FileRecords, HostClock, HostSystem, Mount, ThreadTasks, Tree, TreeVolume, Volumes,
};
use replicator_hal::*;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The board. `path` contains the devices, and `logs` in it the logs.
pub fn board(path: &Path) -> Board {
    let directory =
        Arc::new(Directory { path: path.to_owned(), used: Used::default(), volumes: Volumes::default() });
    Board {
        devices: directory.clone(),
        file_systems: directory.clone(),
        firmware: directory,
        leds: Arc::new(PrintedLeds(Mutex::new(Status::Running))),
        clock: Arc::new(HostClock::new()),
        tasks: Arc::new(ThreadTasks),
        system: Arc::new(HostSystem::default()),
        records: Arc::new(FileRecords::on_stderr(path.join("logs"))),
    }
}

/// The devices that are open exclusively or mounted.
type Used = Arc<Mutex<BTreeSet<DeviceName>>>;

struct Directory {
    path: PathBuf,
    used: Used,
    volumes: Volumes,
}

/// Keeps a device in use until it is dropped.
struct Claim(Used, DeviceName);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Directory {
    fn claim(&self, name: &DeviceName, operation: &str) -> Result<Claim> {
        match self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
            true => Ok(Claim(self.used.clone(), name.clone())),
            false => Err(Error::new(ErrorKind::Busy, operation, name.as_str(), "it is in use")),
        }
    }

    fn open(&self, name: &DeviceName, writes: bool, claim: Option<Claim>) -> Result<Medium> {
        let failed = |error| Error::from_io(error, "opening", name.as_str());
        let file = OpenOptions::new()
            .read(true)
            .write(writes)
            .open(self.path.join(name.as_str()))
            .map_err(failed)?;
        let len_bytes = file.metadata().map_err(failed)?.len();
        Ok(Medium { name: name.clone(), file, len_bytes, _claim: claim })
    }

    /// The directory of the file system in a region. Only whole devices have one.
    fn tree(&self, region: &Region) -> Option<(DeviceName, PathBuf)> {
        match &region.holder {
            Holder::Device(name) if region.offset_bytes == 0 => {
                Some((name.clone(), self.path.join(format!("{name}.d"))))
            }
            _ => None,
        }
    }

    fn claimed_tree(&self, region: &Region, operation: &str) -> Result<(Claim, PathBuf)> {
        let (name, tree) = self.tree(region).ok_or_else(|| unsupported(operation, region.to_string()))?;
        Ok((self.claim(&name, operation)?, tree))
    }
}

fn unsupported(operation: &str, object: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, operation, object, "not supported by this backend")
}

impl BlockDevices for Directory {
    fn list(&self) -> Result<Vec<BlockDevice>> {
        let failed = |error| Error::from_io(error, "listing", self.path.display().to_string());
        let mut devices = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_str().and_then(|name| DeviceName::parse(name).ok());
            let (Some(name), metadata) = (name, entry.metadata().map_err(failed)?) else { continue };
            if metadata.is_file() {
                devices.push(BlockDevice {
                    kind: DeviceKind::Other,
                    controller_path: format!("directory/{name}"),
                    identity: Some(name.to_string()),
                    name,
                    len_bytes: metadata.len(),
                    sector_len_bytes: 512,
                    removable: false,
                    read_only: metadata.permissions().readonly(),
                    has_boot_areas: false,
                    in_use: None,
                    partitions: Vec::new(),
                });
            }
        }
        Ok(devices)
    }

    fn open_source(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.open(device, false, Some(self.claim(device, "opening")?))?))
    }

    fn open_shared(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.open(device, false, None)?))
    }

    fn open_target(&self, device: &DeviceName) -> Result<Box<dyn Target>> {
        Ok(Box::new(self.open(device, true, Some(self.claim(device, "opening")?))?))
    }

    fn reread_partitions(&self, device: &DeviceName) -> Result<()> {
        let claim = self.claim(device, "reading the partitions of")?;
        self.open(device, false, Some(claim)).map(drop)
    }
}

/// An open device.
struct Medium {
    name: DeviceName,
    file: File,
    len_bytes: u64,
    _claim: Option<Claim>,
}

impl Medium {
    fn failed(&self, operation: &str) -> impl Fn(std::io::Error) -> Error {
        let (operation, name) = (operation.to_owned(), self.name.to_string());
        move |error| Error::from_io(error, operation.as_str(), name.as_str())
    }

    fn read(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        if offset_bytes >= self.len_bytes {
            return Ok(0);
        }
        self.file.read_at(buffer, offset_bytes).map_err(self.failed("reading"))
    }

    /// Length of the part of a range that is on the device; an error if there is none.
    fn room(&self, offset_bytes: u64, len_bytes: u64) -> Result<u64> {
        match self.len_bytes.saturating_sub(offset_bytes).min(len_bytes) {
            room if room > 0 || len_bytes == 0 => Ok(room),
            _ => Err(Error::new(
                ErrorKind::NoSpace,
                "writing",
                self.name.as_str(),
                "past the end of the device",
            )),
        }
    }
}

impl Source for Medium {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        self.read(offset_bytes, buffer)
    }

    fn close(&mut self) -> Result<()> {
        self._claim = None;
        Ok(())
    }
}

impl Target for Medium {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize> {
        let room = self.room(offset_bytes, data.len() as u64)?;
        self.file.write_at(&data[..room as usize], offset_bytes).map_err(self.failed("writing"))
    }

    fn zero(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        let zeros = [0; 64 * 1024];
        let mut done = 0;
        while done < len_bytes {
            let len = zeros.len().min((len_bytes - done) as usize);
            io::write_target(self, offset_bytes + done, &zeros[..len])?;
            done += len as u64;
        }
        Ok(())
    }

    fn discard_unit_bytes(&self) -> Option<u64> {
        None
    }

    fn discard(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<Discarded> {
        match offset_bytes.checked_add(len_bytes).is_some_and(|end| end <= self.len_bytes) {
            true => Ok(Discarded::Unsupported),
            false => Err(Error::new(ErrorKind::NoSpace, "discarding", self.name.as_str(), "past the end")),
        }
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_all().map_err(self.failed("syncing"))
    }

    fn begin_verify(&mut self) -> Result<CacheBypass> {
        Target::sync(self)?;
        posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
            .map_err(|errno| self.failed("dropping the page cache of")(errno.into()))?;
        Ok(CacheBypass::Dropped)
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        self.read(offset_bytes, buffer)
    }

    fn close(&mut self) -> Result<()> {
        Target::sync(self)?;
        self._claim = None;
        Ok(())
    }
}

impl FileSystems for Directory {
    fn identify(&self, region: &Region) -> Result<Option<FileSystem>> {
        let found = self.tree(region).is_some_and(|(_, tree)| tree.is_dir());
        let kind = FileSystemKind::Ext4;
        Ok(found.then_some(FileSystem {
            kind,
            label: None,
            uuid: None,
            len_bytes: None,
            needs_recovery: false,
        }))
    }

    fn fsck(&self, region: &Region) -> Result<Fsck> {
        self.claimed_tree(region, "checking")?;
        Ok(Fsck { outcome: FsckOutcome::Clean, output: String::new() })
    }

    /// The shape, label and UUID of the new file system are not stored: a directory has none.
    fn format(&self, region: &Region, _format: &Format) -> Result<()> {
        let (_claim, tree) = self.claimed_tree(region, "formatting")?;
        let failed = |error| Error::from_io(error, "formatting", region.to_string());
        if tree.exists() {
            fs::remove_dir_all(&tree).map_err(failed)?;
        }
        fs::create_dir(&tree).map_err(failed)
    }

    fn grow(&self, region: &Region) -> Result<()> {
        self.claimed_tree(region, "growing").map(drop)
    }

    fn used_map(&self, _region: &Region) -> Result<Option<UsedMap>> {
        Ok(None)
    }

    fn can_mount(&self, kind: &FileSystemKind) -> Result<bool> {
        Ok(*kind == FileSystemKind::Ext4)
    }

    fn mount(&self, region: &Region, access: Access) -> Result<Box<dyn Volume>> {
        let (claim, tree) = self.claimed_tree(region, "mounting")?;
        let (id, tree) = self.volumes.add(Tree::new(tree, None)?.with_access(access)?);
        Ok(Box::new(TreeVolume::new(id, tree, Mounted(Mutex::new(Some(claim))))))
    }

    fn mount_subvolume(&self, region: &Region, _: &RelativePath, _: Access) -> Result<Box<dyn Volume>> {
        Err(unsupported("mounting a subvolume of", region.to_string()))
    }
}

struct Mounted(Mutex<Option<Claim>>);

impl Mount for Mounted {
    fn remount(&self, _access: Access) -> Result<()> {
        Ok(())
    }

    fn unmount(&self) -> Result<()> {
        self.abandon();
        Ok(())
    }

    fn abandon(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// No bootloader, no registers, no updaters.
impl Firmware for Directory {
    fn bootloader_areas(&self) -> Result<Vec<BootloaderArea>> {
        Ok(Vec::new())
    }

    fn open_bootloader_area(&self, area: &DeviceName, _access: Access) -> Result<Box<dyn Target>> {
        Err(Error::new(ErrorKind::NotFound, "opening", area.as_str(), "this board has no such area"))
    }

    fn register(&self, address: u64) -> Result<u32> {
        Err(unsupported("reading the register", format!("{address:#x}")))
    }

    fn run_updater(&self, _updater: &Updater) -> Result<HookEnd> {
        Err(unsupported("running", "an updater"))
    }
}

/// LEDs as lines of text. They do not detect an expired lease.
struct PrintedLeds(Mutex<Status>);

impl Leds for PrintedLeds {
    fn show(&self, status: Status) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown == Status::Running {
            *shown = status;
            eprintln!("LEDs: {status}");
        }
    }

    fn renew(&self, _lease: Duration) {}

    fn set_at_risk(&self, _at_risk: bool) {}

    fn lease_expired(&self) -> bool {
        false
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("sda"), vec![0; 1 << 20])?;
    let board = board(directory.path());
    for device in board.devices.list()? {
        let region = Region {
            holder: Holder::Device(device.name.clone()),
            offset_bytes: 0,
            len_bytes: device.len_bytes,
        };
        board.file_systems.format(&region, &Format::default())?;
        let volume = board.file_systems.mount(&region, Access::ReadWrite)?;
        let path = RelativePath::parse("hello")?;
        let mut file = volume.create_new(&path, 0o644)?;
        io::write_file(&mut *file, 0, b"hello")?;
        file.close()?;
        volume.unmount()?;
        println!("{}: {} bytes, with a file system", device.name, device.len_bytes);
    }
    board.leds.show(Status::Success);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use replicator_hal::contract::block::DeviceFixture;

    #[test]
    fn the_example_succeeds() {
        main().unwrap();
    }

    struct Bench {
        directory: tempfile::TempDir,
        board: Board,
    }

    impl Bench {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("sda"), vec![0x5a; 1 << 20]).unwrap();
            Self { board: board(directory.path()), directory }
        }
    }

    impl DeviceFixture for Bench {
        fn devices(&self) -> &dyn BlockDevices {
            &*self.board.devices
        }

        fn device(&self) -> DeviceName {
            DeviceName::parse("sda").unwrap()
        }

        fn medium_bytes(&self) -> Vec<u8> {
            fs::read(self.directory.path().join("sda")).unwrap()
        }

        fn corrupt_medium(&self, offset_bytes: u64, data: &[u8]) -> bool {
            let file = OpenOptions::new().write(true).open(self.directory.path().join("sda")).unwrap();
            file.write_all_at(data, offset_bytes).unwrap();
            true
        }
    }

    replicator_hal::contract_tests! {
        block_on_a_directory: block = || Some(Bench::new());
    }
}
