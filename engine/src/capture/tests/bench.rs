//! A board for tests: media in memory, the drive and the root file systems in temporary directories.
//!
//! File systems inside of a medium are directories here, identified by their start. A call that would change a source or
//! open a target panics.

use crate::context::Context;
use crate::media::Medium;
use crate::options::{Options, Settings};
use crate::profile::{MediumProfile, Profile};
use crate::tuning::Tuning;
use replicator_hal::host::{Mount, Tree, TreeVolume, Volumes};
use replicator_hal::{
    Access, BlockDevice, BlockDevices, Board, Clock, Compute, DeviceKind, DeviceName, Error, ErrorKind,
    FileSystem, FileSystemKind, FileSystems, Format, Fsck, FsckOutcome, Holder, Hook, HookEnd, Leds, Records,
    Region, RelativePath, Result, Source, Status, System, Target, Task, TaskEnd, Tasks, Timestamp, UsedMap,
    Volume,
};
use std::collections::BTreeMap;
use std::fs;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

type OnLog = Box<dyn FnMut(&str) + Send>;

/// Everything that a test can set and examine.
pub(super) struct Bench {
    pub(super) world: Arc<World>,
    pub(super) board: Board,
    pub(super) tuning: Tuning,
    pub(super) options: Options,
    profile: Profile,
    pub(super) media: Vec<Medium>,
    pub(super) drive: Box<dyn Volume>,
    pub(super) drive_path: PathBuf,
    _directory: TempDir,
}

#[derive(Default)]
pub(super) struct World {
    volumes: Volumes,
    /// Content of each device.
    sources: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The devices as they are listed.
    listed: Mutex<Vec<BlockDevice>>,
    /// First byte of a source that cannot be read.
    pub(super) bad_from: Mutex<BTreeMap<String, u64>>,
    /// File systems by where they start.
    file_systems: Mutex<BTreeMap<u64, FakeFileSystem>>,
    /// Called with each line of a log.
    pub(super) on_log: Mutex<Option<OnLog>>,
    pub(super) lines: Mutex<Vec<String>>,
    /// File systems for which the kernel of this board has no driver.
    pub(super) unmountable: Mutex<Vec<FileSystemKind>>,
    pub(super) hooks: Mutex<Vec<Hook>>,
    pub(super) hook_status: Mutex<Option<i32>>,
    pub(super) mounted: AtomicUsize,
    pub(super) open_sources: AtomicUsize,
    pub(super) is_hung: AtomicBool,
}

#[derive(Clone)]
pub(super) struct FakeFileSystem {
    /// Its files.
    pub(super) tree: PathBuf,
    pub(super) kind: FileSystemKind,
    pub(super) label: Option<String>,
    pub(super) len_bytes: u64,
    pub(super) used: Option<Vec<Range<u64>>>,
    pub(super) fsck: std::result::Result<FsckOutcome, ErrorKind>,
}

impl World {
    pub(super) fn change_file_system(&self, start_bytes: u64, change: impl FnOnce(&mut FakeFileSystem)) {
        change(self.file_systems.lock().unwrap().get_mut(&start_bytes).unwrap());
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let drive_path = directory.path().join("drive");
        fs::create_dir(&drive_path).unwrap();
        let world = Arc::new(World::default());
        let tree = Tree::new(&drive_path, None).unwrap().with_access(Access::ReadOnly).unwrap();
        let (id, tree) = world.volumes.add(tree);
        world.mounted.fetch_add(1, Ordering::SeqCst);
        let drive = Box::new(TreeVolume::new(id, tree, FakeMount(world.clone())));
        let board = Board {
            devices: Arc::new(Shared(world.clone())),
            file_systems: Arc::new(Shared(world.clone())),
            leds: Arc::new(Shared(world.clone())),
            clock: Arc::new(Shared(world.clone())),
            tasks: Arc::new(Shared(world.clone())),
            system: Arc::new(Shared(world.clone())),
            firmware: Arc::new(replicator_hal::MockFirmware::new()),
            records: Arc::new(Shared(world.clone())),
        };
        let tuning = Tuning { chunk_len_bytes: 64 * 1024, retry_pause: Duration::ZERO, ..Tuning::default() };
        let options = Options::new(&[], Settings::default(), &[]);
        let profile = Profile::parse("name = \"bench\"", "bench.toml").unwrap();
        Self {
            world,
            board,
            tuning,
            options,
            profile,
            media: vec![],
            drive,
            drive_path,
            _directory: directory,
        }
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            board: &self.board,
            tuning: &self.tuning,
            profile: &self.profile,
            compatible: &[],
            media: &self.media,
            drive: &*self.drive,
            options: &self.options,
            version: "1.2.3",
        }
    }

    /// Inserts a medium.
    pub(super) fn insert(&mut self, name: &str, content: Vec<u8>) {
        let device = BlockDevice {
            name: DeviceName::parse(format!("blk{name}")).unwrap(),
            kind: DeviceKind::Sd,
            controller_path: name.into(),
            identity: Some(format!("serial-{name}")),
            len_bytes: content.len() as u64,
            sector_len_bytes: 512,
            removable: true,
            read_only: false,
            has_boot_areas: false,
            in_use: None,
            partitions: vec![],
        };
        self.world.sources.lock().unwrap().insert(device.name.to_string(), content);
        self.world.listed.lock().unwrap().push(device.clone());
        self.media.push(Medium { profile: medium_profile(name), device: Some(device) });
    }

    /// Adds a file system at this range of all media, and returns the directory for its files.
    pub(super) fn file_system(&self, bytes: Range<u64>, used: Option<Vec<Range<u64>>>) -> PathBuf {
        let tree = self.drive_path.with_file_name(format!("fs-{}", bytes.start));
        fs::create_dir(&tree).unwrap();
        let file_system = FakeFileSystem {
            tree: tree.clone(),
            kind: FileSystemKind::Ext4,
            label: None,
            len_bytes: bytes.end - bytes.start,
            used,
            fsck: Ok(FsckOutcome::Clean),
        };
        self.world.file_systems.lock().unwrap().insert(bytes.start, file_system);
        tree
    }

    pub(super) fn change_file_system(&self, start_bytes: u64, change: impl FnOnce(&mut FakeFileSystem)) {
        self.world.change_file_system(start_bytes, change);
    }

    pub(super) fn source(&self, name: &str) -> Vec<u8> {
        self.world.sources.lock().unwrap()[&format!("blk{name}")].clone()
    }

    /// Names in the drive's root, sorted.
    pub(super) fn root_names(&self) -> Vec<String> {
        names(&self.drive_path)
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.drive_path.join(name)).unwrap()
    }

    /// Asserts that nothing is mounted or open except the drive, and that it is read-only.
    pub(super) fn assert_tidy(&self) {
        assert_eq!(self.world.mounted.load(Ordering::SeqCst), 1, "only the drive is mounted");
        assert_eq!(self.world.open_sources.load(Ordering::SeqCst), 0, "no source is open");
        let path = replicator_hal::RelativePath::parse("x").unwrap();
        assert_eq!(self.drive.create_dir(&path, 0o755).unwrap_err().kind(), ErrorKind::ReadOnly);
    }
}

pub(super) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub(super) fn medium_profile(name: &str) -> MediumProfile {
    let text = format!("name = \"bench\"\n[[medium]]\nname = \"{name}\"\nkind = \"any\"\n");
    Profile::parse(&text, "bench.toml").unwrap().media.remove(0)
}

/// A medium of bytes that compress badly, with an MBR of these partitions.
pub(super) fn medium(len_bytes: usize, partitions: &[Range<u64>]) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut content: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(len_bytes)
    .collect();
    content[..1024].fill(0);
    // Only the file system, as mkfs leaves it.
    if let [only] = partitions {
        content[..only.start as usize + 1024].fill(0);
        content[only.end as usize..].fill(0);
    }
    for (index, bytes) in partitions.iter().enumerate() {
        let entry = &mut content[446 + 16 * index..][..16];
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&((bytes.start / 512) as u32).to_le_bytes());
        entry[12..16].copy_from_slice(&(((bytes.end - bytes.start) / 512) as u32).to_le_bytes());
    }
    content[510..512].copy_from_slice(&[0x55, 0xaa]);
    content
}

struct FakeMount(Arc<World>);

impl Mount for FakeMount {
    fn remount(&self, _access: Access) -> Result<()> {
        Ok(())
    }

    fn unmount(&self) -> Result<()> {
        self.0.mounted.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }

    fn abandon(&self) {
        panic!("a mount was given up");
    }
}

struct FakeSource {
    world: Arc<World>,
    content: Vec<u8>,
    bad_from: Option<u64>,
    is_open: bool,
}

impl FakeSource {
    fn end(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.world.open_sources.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for FakeSource {
    fn drop(&mut self) {
        self.end();
    }
}

impl Source for FakeSource {
    fn len_bytes(&self) -> u64 {
        self.content.len() as u64
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        let start = (offset_bytes as usize).min(self.content.len());
        let len = buffer.len().min(self.content.len() - start).min(10_000);
        if self.bad_from.is_some_and(|bad| offset_bytes + len as u64 > bad) {
            return Err(Error::new(ErrorKind::Io, "reading", "the source", "bad sector"));
        }
        buffer[..len].copy_from_slice(&self.content[start..start + len]);
        Ok(len)
    }

    fn close(&mut self) -> Result<()> {
        self.end();
        Ok(())
    }
}

/// The backend of the HAL for the world.
struct Shared(Arc<World>);

impl Deref for Shared {
    type Target = Arc<World>;

    fn deref(&self) -> &Arc<World> {
        &self.0
    }
}

impl BlockDevices for Shared {
    fn list(&self) -> Result<Vec<BlockDevice>> {
        Ok(self.listed.lock().unwrap().clone())
    }

    fn open_source(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        self.open_sources.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(FakeSource {
            world: self.0.clone(),
            content: self.sources.lock().unwrap()[device.as_str()].clone(),
            bad_from: self.bad_from.lock().unwrap().get(device.as_str()).copied(),
            is_open: true,
        }))
    }

    fn open_shared(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        panic!("a capture opened {device} without a claim");
    }

    fn open_target(&self, device: &DeviceName) -> Result<Box<dyn Target>> {
        panic!("a capture opened {device} for writing");
    }

    fn reread_partitions(&self, device: &DeviceName) -> Result<()> {
        panic!("a capture had the partitions of {device} read again");
    }
}

impl World {
    fn find(&self, region: &Region) -> Option<FakeFileSystem> {
        self.file_systems.lock().unwrap().get(&region.offset_bytes).cloned()
    }

    fn in_image(&self, region: &Region) -> FakeFileSystem {
        assert!(matches!(region.holder, Holder::File { .. }), "only the image may be changed, not {region}");
        assert_eq!(self.open_sources.load(Ordering::SeqCst), 0, "the source is closed by then");
        self.find(region).unwrap()
    }
}

impl FileSystems for Shared {
    fn identify(&self, region: &Region) -> Result<Option<FileSystem>> {
        Ok(self.find(region).map(|found| FileSystem {
            kind: found.kind,
            label: found.label,
            uuid: None,
            len_bytes: Some(found.len_bytes),
            needs_recovery: false,
        }))
    }

    fn fsck(&self, region: &Region) -> Result<Fsck> {
        let outcome = self
            .in_image(region)
            .fsck
            .map_err(|kind| Error::new(kind, "checking", "the file system", "bad"))?;
        Ok(Fsck { outcome, output: "checked".into() })
    }

    fn format(&self, region: &Region, _format: &Format) -> Result<()> {
        panic!("a capture formatted {region}");
    }

    fn grow(&self, region: &Region) -> Result<()> {
        panic!("a capture grew {region}");
    }

    fn used_map(&self, region: &Region) -> Result<Option<UsedMap>> {
        Ok(self.find(region).and_then(|found| found.used).map(|used| UsedMap { used }))
    }

    fn mount_subvolume(&self, region: &Region, _: &RelativePath, _: Access) -> Result<Box<dyn Volume>> {
        panic!("{region} has no subvolumes");
    }

    fn can_mount(&self, kind: &FileSystemKind) -> Result<bool> {
        Ok(!self.unmountable.lock().unwrap().contains(kind))
    }

    fn mount(&self, region: &Region, access: Access) -> Result<Box<dyn Volume>> {
        let found = self.in_image(region);
        let tree = Tree::new(found.tree, None)?.with_access(access)?;
        let (id, tree) = self.volumes.add(tree);
        self.mounted.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(TreeVolume::new(id, tree, FakeMount(self.0.clone()))))
    }
}

impl Leds for Shared {
    fn show(&self, _status: Status) {}

    fn renew(&self, _lease: Duration) {}

    fn set_at_risk(&self, _at_risk: bool) {}

    fn lease_expired(&self) -> bool {
        self.is_hung.load(Ordering::SeqCst)
    }
}

impl Clock for Shared {
    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn wall(&self) -> Timestamp {
        Timestamp { seconds: 1_767_323_045, nanos: 999 }
    }

    fn sleep(&self, _duration: Duration) {}
}

impl Tasks for Shared {
    fn run<'a>(&self, _tasks: Vec<Task<'a>>) -> Vec<TaskEnd> {
        panic!("a capture runs no tasks in parallel");
    }

    fn compute(&self) -> Compute {
        Compute::Inline
    }
}

impl System for Shared {
    fn compatible(&self) -> Result<Vec<String>> {
        Ok(vec![])
    }

    fn kernel_command_line(&self) -> Result<String> {
        Ok(String::new())
    }

    fn memory_bytes(&self) -> Option<u64> {
        None
    }

    fn run_hook(&self, hook: &Hook) -> Result<HookEnd> {
        self.hooks.lock().unwrap().push(hook.clone());
        Ok(HookEnd { exit_status: *self.hook_status.lock().unwrap(), output: "from the hook".into() })
    }
}

impl Records for Shared {
    fn console(&self, _line: &str) {}

    fn progress(&self, _line: &str) {}

    fn log(&self, operation: &str, line: &str) {
        self.lines.lock().unwrap().push(format!("{operation}: {line}"));
        if let Some(on_log) = &mut *self.on_log.lock().unwrap() {
            on_log(line);
        }
    }

    fn report(&self, _json: &str) {}
}
