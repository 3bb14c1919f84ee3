//! The contract suite on the host backend. No root needed, but for cases that print that they need it.

#![cfg(all(feature = "host", feature = "contract"))]
// Fixtures are test code, but outside test functions.
#![allow(clippy::unwrap_used)]

use replicator_hal::contract::{
    NoMount, block, clock, file_systems, firmware, leds, records, system, tasks, volume,
};
use replicator_hal::host::{
    FileRecords, HostArea, HostBoard, HostClock, HostDevice, Mount, RecordingLeds, ThreadTasks, Tree,
    TreeVolume,
};
use replicator_hal::{
    Access, AreaKind, BlockDevices, Board, Clock, DeviceKind, DeviceName, FileSystems, Firmware, Flavour,
    Format, Holder, Leds, Records, Region, Status, System, Tasks, Volume, VolumeId,
};
use std::any::Any;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

fn named(name: &str) -> DeviceName {
    DeviceName::parse(name).unwrap()
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

struct DirectoryVolume {
    volume: TreeVolume<NoMount>,
    _directory: TempDir,
}

impl DirectoryVolume {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tree = Arc::new(Tree::new(directory.path(), None).unwrap());
        Self { volume: TreeVolume::new(VolumeId(1), tree, NoMount), _directory: directory }
    }
}

impl volume::VolumeFixture for DirectoryVolume {
    fn volume(&self) -> &dyn Volume {
        &self.volume
    }

    fn privileged(&self) -> bool {
        is_root()
    }

    fn may_be_filled(&self) -> bool {
        false
    }
}

/// A small tmpfs, so that a volume can be filled, remounted and unmounted.
struct Tmpfs {
    volume: TreeVolume<TmpfsMount>,
    _directory: TempDir,
}

struct TmpfsMount(std::path::PathBuf);

impl Mount for TmpfsMount {
    fn remount(&self, access: Access) -> replicator_hal::Result<()> {
        use nix::mount::{MsFlags, mount};
        let read_only = if access == Access::ReadOnly { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        mount(None::<&str>, &self.0, None::<&str>, MsFlags::MS_REMOUNT | read_only, None::<&str>)
            .map_err(|errno| replicator_hal::Error::from_io(errno.into(), "remounting", "tmpfs"))
    }

    fn unmount(&self) -> replicator_hal::Result<()> {
        nix::mount::umount(&self.0)
            .map_err(|errno| replicator_hal::Error::from_io(errno.into(), "unmounting", "tmpfs"))
    }

    fn abandon(&self) {
        nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

impl Tmpfs {
    fn if_root() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let flags = nix::mount::MsFlags::empty();
        match nix::mount::mount(Some("tmpfs"), directory.path(), Some("tmpfs"), flags, Some("size=8m")) {
            Ok(()) => {}
            // Root in a container without the right to mount.
            Err(nix::errno::Errno::EPERM) => return None,
            Err(errno) => panic!("mounting a tmpfs: {errno}"),
        }
        let mount = TmpfsMount(directory.path().to_owned());
        let tree = Arc::new(Tree::new(directory.path(), None).unwrap());
        Some(Self { volume: TreeVolume::new(VolumeId(1), tree, mount), _directory: directory })
    }
}

impl volume::VolumeFixture for Tmpfs {
    fn volume(&self) -> &dyn Volume {
        &self.volume
    }

    fn privileged(&self) -> bool {
        true
    }

    fn may_be_filled(&self) -> bool {
        true
    }
}

/// Disk images: one to use, one that is read-only, one that is missing.
struct Disks {
    host: HostBoard,
    directory: TempDir,
}

impl Disks {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let host = HostBoard::new(directory.path());
        for (name, kind) in [("mmcblk0", DeviceKind::Emmc), ("mmcblk1", DeviceKind::Sd)] {
            let file = directory.path().join(name);
            std::fs::write(&file, vec![0x5c; 1 << 20]).unwrap();
            host.devices.register(HostDevice {
                read_only: name == "mmcblk1",
                ..HostDevice::new(named(name), file, kind)
            });
        }
        host.devices.register(HostDevice::new(
            named("mmcblk2"),
            directory.path().join("none"),
            DeviceKind::Sd,
        ));
        Self { host, directory }
    }
}

impl block::DeviceFixture for Disks {
    fn devices(&self) -> &dyn BlockDevices {
        &*self.host.devices
    }

    fn device(&self) -> DeviceName {
        named("mmcblk0")
    }

    fn medium_bytes(&self) -> Vec<u8> {
        std::fs::read(self.directory.path().join("mmcblk0")).unwrap()
    }

    fn corrupt_medium(&self, offset_bytes: u64, data: &[u8]) -> bool {
        let file =
            std::fs::OpenOptions::new().write(true).open(self.directory.path().join("mmcblk0")).unwrap();
        file.write_all_at(data, offset_bytes).unwrap();
        true
    }

    fn other_opener(&self) -> Option<Box<dyn Any>> {
        Some(Box::new(std::fs::File::open(self.directory.path().join("mmcblk0")).unwrap()))
    }

    fn read_only_device(&self) -> Option<DeviceName> {
        Some(named("mmcblk1"))
    }

    fn empty_slot(&self) -> Option<DeviceName> {
        Some(named("mmcblk2"))
    }
}

impl file_systems::FileSystemsFixture for Disks {
    fn file_systems(&self) -> &dyn FileSystems {
        &*self.host.file_systems
    }

    fn devices(&self) -> &dyn BlockDevices {
        &*self.host.devices
    }

    fn region(&self) -> Region {
        Region { holder: Holder::Device(named("mmcblk0")), offset_bytes: 4 << 20, len_bytes: 16 << 20 }
    }

    fn region_bytes(&self) -> Option<Vec<u8>> {
        None
    }

    fn larger_region(&self) -> Option<Region> {
        Some(Region { len_bytes: 32 << 20, ..self.region() })
    }
}

/// A drive and a root file system, both directories.
struct Booted {
    board: Board,
    drive: Box<dyn Volume>,
    rootfs: Box<dyn Volume>,
    _disks: Disks,
}

impl Booted {
    fn new() -> Self {
        let disks = Disks::new();
        let board = disks.host.board(&["technologic,imx6q-ts7970", "fsl,imx6q"], "console=ttymxc0");
        let mount = |offset_bytes| {
            let region =
                Region { holder: Holder::Device(named("mmcblk0")), offset_bytes, len_bytes: 16 << 20 };
            let format = Format { flavour: Flavour::Ext4, ..Format::default() };
            board.file_systems.format(&region, &format).unwrap();
            board.file_systems.mount(&region, Access::ReadWrite).unwrap()
        };
        Self { drive: mount(0), rootfs: mount(16 << 20), board, _disks: disks }
    }
}

impl system::SystemFixture for Booted {
    fn system(&self) -> &dyn System {
        &*self.board.system
    }

    fn compatible(&self) -> Vec<String> {
        vec!["technologic,imx6q-ts7970".to_owned(), "fsl,imx6q".to_owned()]
    }

    fn kernel_command_line(&self) -> String {
        "console=ttymxc0".to_owned()
    }

    fn program_volume(&self) -> &dyn Volume {
        &*self.drive
    }

    fn tree(&self) -> &dyn Volume {
        &*self.rootfs
    }

    fn program(&self, script: &system::Script<'_>) -> Option<Vec<u8>> {
        Some(system::shell_program(script))
    }
}

struct HostLeds(RecordingLeds);

impl leds::LedsFixture for HostLeds {
    fn leds(&self) -> &dyn Leds {
        &self.0
    }

    fn shown(&self) -> Option<Status> {
        self.0.shown()
    }

    fn fast_forward(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

struct Host(HostClock);

impl clock::ClockFixture for Host {
    fn clock(&self) -> &dyn Clock {
        &self.0
    }
}

impl tasks::TasksFixture for Host {
    fn tasks(&self) -> &dyn Tasks {
        &ThreadTasks
    }

    fn clock(&self) -> &dyn Clock {
        &self.0
    }
}

#[derive(Clone, Default)]
struct Console(Arc<Mutex<Vec<u8>>>);

impl Write for Console {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Logs {
    records: FileRecords,
    console: Console,
    directory: TempDir,
}

impl Logs {
    fn new() -> Self {
        let (directory, console) = (tempfile::tempdir().unwrap(), Console::default());
        let records = FileRecords::new(directory.path(), Box::new(console.clone()), true);
        Self { records, console, directory }
    }
}

impl records::RecordsFixture for Logs {
    fn records(&self) -> &dyn Records {
        &self.records
    }

    fn console_text(&self) -> String {
        String::from_utf8(self.console.0.lock().unwrap().clone()).unwrap()
    }

    fn log_text(&self, operation: &str) -> Option<String> {
        std::fs::read_to_string(self.directory.path().join(operation)).ok()
    }

    fn report_text(&self) -> Option<String> {
        std::fs::read_to_string(self.directory.path().join("report.json")).ok()
    }
}

/// An area in a file, and a drive that is a directory.
struct Flashed {
    host: HostBoard,
    board: Board,
    drive: Box<dyn Volume>,
    area: std::path::PathBuf,
    _directory: TempDir,
}

const AREA: &str = "mmcblk0boot0";
const REGISTER: (u64, u32) = (0x5000_4008, 0x1234_5678);

impl Flashed {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let host = HostBoard::new(directory.path());
        let file = |name: &str, len: u64| {
            let path = directory.path().join(name);
            std::fs::File::create(&path).unwrap().set_len(len).unwrap();
            path
        };
        let (area, drive) = (file("area", 256 << 10), file("drive", 1 << 20));
        host.firmware.register_area(HostArea {
            name: named(AREA),
            file: area.clone(),
            kind: AreaKind::EmmcBoot { device: named("mmcblk0"), number: 0 },
            label: None,
        });
        host.firmware.set_register(REGISTER.0, REGISTER.1);
        host.devices.register(HostDevice::new(named("drive"), drive, DeviceKind::Usb));
        let board = host.board(&[], "");
        let holder = Holder::Device(named("drive"));
        let region = Region { holder, offset_bytes: 0, len_bytes: 1 << 20 };
        board.file_systems.format(&region, &Format { flavour: Flavour::Ext4, ..Format::default() }).unwrap();
        let drive = board.file_systems.mount(&region, Access::ReadWrite).unwrap();
        Self { host, board, drive, area, _directory: directory }
    }
}

impl firmware::FirmwareFixture for Flashed {
    fn firmware(&self) -> &dyn Firmware {
        &*self.board.firmware
    }

    fn devices(&self) -> &dyn BlockDevices {
        &*self.board.devices
    }

    fn area(&self) -> Option<DeviceName> {
        Some(named(AREA))
    }

    fn area_bytes(&self) -> Vec<u8> {
        std::fs::read(&self.area).unwrap()
    }

    fn is_protected(&self) -> Option<bool> {
        self.host.firmware.is_protected(&named(AREA))
    }

    fn register(&self) -> Option<(u64, u32)> {
        Some(REGISTER)
    }

    fn volume(&self) -> &dyn Volume {
        &*self.drive
    }
}

replicator_hal::contract_tests! {
    volume_in_a_directory: volume = || Some(DirectoryVolume::new());
    volume_on_tmpfs: volume = Tmpfs::if_root;
    block_on_files: block = || Some(Disks::new());
    file_systems_in_directories: file_systems = || Some(Disks::new());
    system_of_given_answers: system = || Some(Booted::new());
    leds_that_record: leds = || {
        let clock = Arc::new(HostClock::new());
        Some(HostLeds(RecordingLeds::new(clock)))
    };
    clock_of_the_host: clock = || Some(Host(HostClock::new()));
    tasks_as_threads: tasks = || Some(Host(HostClock::new()));
    records_in_files: records = || Some(Logs::new());
    firmware_in_files: firmware = || Some(Flashed::new());
}
