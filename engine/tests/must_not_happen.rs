//! The boot sequence never makes certain calls: a mock panics at a call without an expectation.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use replicator_engine::boot::{self, Request};
use replicator_engine::drive::DriveChoice;
use replicator_engine::profile::{BoardChoice, Profile};
use replicator_engine::report::Report;
use replicator_engine::tuning::Tuning;
use replicator_hal::{
    Access, BlockDevice, Board, Capabilities, Compute, DeviceKind, DeviceName, DirectoryEntry, Error,
    ErrorKind, FileKind, FileSystem, FileSystemKind, Leds, MockBlockDevices, MockClock, MockFileSystems,
    MockFirmware, MockRecords, MockSystem, MockTasks, MockVolume, Partition, Status, TaskEnd,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PROFILE: &str = r#"
name = "test"
match = ["test,board"]
[[medium]]
name = "sd"
kind = "sd"
device = "mmcblk0"
"#;

#[derive(Default)]
struct StatusLog(Mutex<Vec<Status>>);

impl Leds for StatusLog {
    fn show(&self, status: Status) {
        self.0.lock().unwrap().push(status);
    }

    fn renew(&self, _lease: Duration) {}

    fn set_at_risk(&self, _at_risk: bool) {}

    fn lease_expired(&self) -> bool {
        false
    }
}

fn request() -> Request {
    Request {
        board: BoardChoice::Discover(vec![Profile::parse(PROFILE, "test.toml").unwrap()]),
        firmware_names: vec!["SPL".to_owned()],
        drive: DriveChoice::Discover,
        media: None,
        tuning: Tuning::default(),
        version: "test".into(),
    }
}

fn device(name: &str, kind: DeviceKind) -> BlockDevice {
    BlockDevice {
        name: DeviceName::parse(name).unwrap(),
        kind,
        controller_path: name.into(),
        identity: Some(format!("serial of {name}")),
        len_bytes: 64 << 20,
        sector_len_bytes: 512,
        removable: true,
        read_only: false,
        has_boot_areas: false,
        in_use: None,
        partitions: vec![],
    }
}

fn drive() -> BlockDevice {
    let mut drive = device("sda", DeviceKind::Usb);
    drive.partitions.push(Partition {
        name: DeviceName::parse("sda1").unwrap(),
        number: 1,
        start_bytes: 1 << 20,
        len_bytes: 63 << 20,
    });
    drive
}

/// A drive that can only be listed and unmounted: every change is a panic.
fn read_only_volume(names: &[&str]) -> MockVolume {
    let entries: Vec<_> = names
        .iter()
        .map(|name| DirectoryEntry { name: name.as_bytes().to_vec(), kind: FileKind::File })
        .collect();
    let mut volume = MockVolume::new();
    volume.expect_list().returning(move |_| Ok(entries.clone()));
    volume.expect_capabilities().return_const(Capabilities {
        file_system: FileSystemKind::Vfat,
        unix: false,
        sparse: false,
        case_insensitive: true,
        atomic_replace: false,
        file_len_max_bytes: u64::from(u32::MAX),
    });
    volume
        .expect_metadata()
        .returning(|path| Err(Error::new(ErrorKind::NotFound, "looking at", path.to_string(), "")));
    volume.expect_unmount().times(1).returning(|| Ok(()));
    volume
}

struct Fixture {
    devices: MockBlockDevices,
    file_systems: MockFileSystems,
    leds: Arc<StatusLog>,
}

impl Fixture {
    fn new(found: Vec<BlockDevice>) -> Self {
        let mut devices = MockBlockDevices::new();
        devices.expect_list().returning(move || Ok(found.clone()));
        Self { devices, file_systems: MockFileSystems::new(), leds: Arc::default() }
    }

    /// With a drive whose volume is made by `volume` when it is mounted, read-only and once.
    fn with_drive(volume: impl Fn() -> MockVolume + Send + 'static) -> Self {
        let mut fixture = Self::new(vec![drive(), device("mmcblk0", DeviceKind::Sd)]);
        fixture.file_systems.expect_identify().returning(|_| {
            Ok(Some(FileSystem {
                kind: FileSystemKind::Vfat,
                label: Some("REPLICATOR".into()),
                uuid: None,
                len_bytes: None,
                needs_recovery: false,
            }))
        });
        fixture
            .file_systems
            .expect_mount()
            .withf(|_, access| *access == Access::ReadOnly)
            .times(1)
            .returning(move |_, _| Ok(Box::new(volume())));
        // The drive's partition table is read to find out whether the drive can grow; a blank one cannot.
        fixture.devices.expect_open_shared().withf(|name| name.as_str() == "sda").returning(|_| {
            let mut source = replicator_hal::MockSource::new();
            source.expect_len_bytes().return_const(64_u64 << 20);
            source.expect_read_at().returning(|offset_bytes, buffer| {
                let len = buffer.len().min((64_u64 << 20).saturating_sub(offset_bytes) as usize);
                buffer[..len].fill(0);
                Ok(len)
            });
            source.expect_close().returning(|| Ok(()));
            Ok(Box::new(source))
        });
        fixture
    }

    fn run(self) -> (Report, Vec<Status>) {
        let millis = AtomicU64::new(0);
        let mut clock = MockClock::new();
        clock
            .expect_monotonic()
            .returning(move || Duration::from_millis(millis.fetch_add(500, Ordering::Relaxed)));
        clock.expect_sleep().returning(|_| ());
        clock.expect_wall().returning(Default::default);
        let mut system = MockSystem::new();
        system.expect_compatible().returning(|| Ok(vec!["test,board".into()]));
        system.expect_memory_bytes().return_const(None);
        let mut tasks = MockTasks::new();
        tasks.expect_compute().return_const(Compute::Inline);
        tasks.expect_run().returning(|tasks| {
            tasks
                .into_iter()
                .map(|task| {
                    (task.body)();
                    TaskEnd::Finished
                })
                .collect()
        });
        let mut records = MockRecords::new();
        records.expect_console().return_const(());
        records.expect_progress().return_const(());
        records.expect_log().return_const(());
        records.expect_report().times(1).return_const(());
        let board = Board {
            devices: Arc::new(self.devices),
            file_systems: Arc::new(self.file_systems),
            leds: self.leds.clone(),
            clock: Arc::new(clock),
            tasks: Arc::new(tasks),
            system: Arc::new(system),
            firmware: Arc::new(MockFirmware::new()),
            records: Arc::new(records),
        };
        let report = boot::run(&board, &request());
        let statuses = self.leds.0.lock().unwrap().clone();
        (report, statuses)
    }
}

#[test]
fn without_a_drive_no_medium_is_opened_and_the_end_is_failure() {
    let (report, statuses) = Fixture::new(vec![device("mmcblk0", DeviceKind::Sd)]).run();
    assert_eq!(report.failure.unwrap().code(), "R-NODRIVE");
    assert_eq!(statuses, [Status::Running, Status::Failure]);
}

#[test]
fn with_a_misspelt_name_nothing_is_opened_for_writing_and_the_drive_stays_read_only() {
    let (report, statuses) = Fixture::with_drive(|| read_only_volume(&["SDIMAGE.TAR.XZ"])).run();
    let failure = report.failure.unwrap();
    assert_eq!(failure.code(), "R-NAMES");
    assert!(failure.to_string().contains("SDIMAGE.TAR.XZ"), "{failure}");
    assert_eq!(statuses, [Status::Running, Status::Failure]);
}

#[test]
fn a_bootloader_alone_starts_no_capture() {
    let (report, _) = Fixture::with_drive(|| read_only_volume(&["SPL"])).run();
    assert_eq!(report.failure.unwrap().code(), "R-NAMES");
}

#[test]
fn shell_only_opens_no_medium() {
    let (report, statuses) = Fixture::with_drive(|| read_only_volume(&["IR_SHELL_ONLY"])).run();
    assert_eq!(report.failure.unwrap().code(), "R-SHELL");
    assert_eq!(statuses, [Status::Running, Status::Failure]);
}

#[test]
fn an_image_that_cannot_be_opened_leaves_its_medium_alone() {
    let fixture = Fixture::with_drive(|| {
        let mut volume = read_only_volume(&["sdimage.dd.xz"]);
        volume.expect_resolve().returning(|path| Ok(path.clone()));
        volume
            .expect_open()
            .returning(|path| Err(Error::new(ErrorKind::Io, "opening", path.to_string(), "unreadable")));
        volume
    });
    let (report, statuses) = fixture.run();
    assert!(!report.succeeded());
    assert_eq!(statuses, [Status::Running, Status::Failure]);
}
