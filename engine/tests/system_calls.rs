//! The number of system calls for each file of a tarball, on the host backend: a bound that does not depend on the speed
//! of the machine.
//!
//! A test starts its own program again under strace, once with few files and once with many. The difference is what the
//! additional files cost. Without strace the tests report that they are skipped.

// Tests on a real host need calls that the engine must not use.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use replicator_engine::boot::{self, Request};
use replicator_engine::drive::DriveChoice;
use replicator_engine::profile::{BoardChoice, Profile};
use replicator_engine::tuning::Tuning;
use replicator_hal::host::{HostBoard, HostDevice};
use replicator_hal::{
    DeviceKind, DeviceName, FileSystem, FileSystemKind, Holder, Region, RelativePath, Status, VolumeId,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tells the program, when it is started again, in which directory it works.
const DIRECTORY: &str = "REPLICATOR_COUNTED_DIRECTORY";
const FEW: usize = 100;
const MANY: usize = 1100;
const FILES_IN_DIRECTORY: usize = 20;
const MEDIUM_LEN_BYTES: u64 = 256 << 20;
const PARTITION_START_BYTES: u64 = 1 << 20;

/// Makes `count` small files in nested directories. Some have two names.
fn make_tree(root: &Path, count: usize) {
    fs::create_dir_all(root.join("etc")).unwrap();
    for number in 0..count {
        let directory = root.join(format!("usr/share/d{}/inside", number / FILES_IN_DIRECTORY));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join(format!("file-{number}"));
        fs::write(&file, format!("content of file {number}\n").repeat(number % 50 + 1)).unwrap();
    }
}

fn has_strace() -> bool {
    let found = Command::new("strace").arg("-V").output().is_ok();
    if !found {
        println!("skipped: needs strace");
    }
    found
}

/// The system calls of `test`, which is a test of this program, when it works in `directory`.
fn count(test: &str, directory: &Path) -> BTreeMap<String, u64> {
    let table = directory.join("strace");
    let ended = Command::new("strace")
        .args(["-f", "-c", "-U", "calls,name", "-o"])
        .arg(&table)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIRECTORY, directory)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let text = fs::read_to_string(&table).unwrap();
    let numbers = text.lines().filter_map(|line| {
        let (calls, name) = line.trim().split_once(' ')?;
        Some((name.trim().to_owned(), calls.parse().ok()?))
    });
    numbers.filter(|(name, _)| name != "total").collect()
}

/// Calls for each file: of all kinds, and a text with each.
fn calls_per_file(test: &str, prepare: impl Fn(&Path, usize)) -> (f64, String) {
    let counts = [FEW, MANY].map(|files| {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path(), files);
        count(test, directory.path())
    });
    let [few, many] = &counts;
    // Threads that wait for each other, and a check of the standard library in builds with debug assertions.
    let not_counted = ["futex", "sched_yield", "restart_syscall", "clock_nanosleep", "fcntl"];
    let mut all = 0.0;
    let mut text = String::new();
    for (name, calls) in many.iter().filter(|(name, _)| !not_counted.contains(&name.as_str())) {
        let more = *calls as f64 - few.get(name).copied().unwrap_or(0) as f64;
        let of_each = more / (MANY - FEW) as f64;
        all += of_each;
        if of_each >= 0.02 {
            text.push_str(&format!("{name} {of_each:.2}, "));
        }
    }
    (all, text)
}

fn name(text: &str) -> DeviceName {
    DeviceName::parse(text).unwrap()
}

/// Runs the board with the directory `drive` as its drive and `medium.img` as its medium.
fn run(directory: &Path, register: impl FnOnce(&HostBoard)) {
    let path = |name: &str| -> PathBuf { directory.join(name) };
    fs::write(path("drive.img"), [0; 512]).unwrap();
    let host = HostBoard::new(directory);
    host.devices.register(HostDevice::new(name("sdz"), path("drive.img"), DeviceKind::Usb));
    host.devices.register(HostDevice::new(name("mmcblk0"), path("medium.img"), DeviceKind::Sd));
    let region = Region { holder: Holder::Device(name("sdz")), offset_bytes: 0, len_bytes: 512 };
    host.file_systems.register(&region, path("drive"), ext4());
    register(&host);
    let profile = "name = \"example\"\n[[medium]]\nname = \"sd\"\nkind = \"any\"\n";
    let request = Request {
        board: BoardChoice::Named(Box::new(Profile::parse(profile, "example.toml").unwrap())),
        firmware_names: Vec::new(),
        drive: DriveChoice::Named(name("sdz")),
        media: Some(BTreeMap::from([("sd".to_owned(), name("mmcblk0"))])),
        tuning: Tuning::default(),
        version: "counted".to_owned(),
    };
    let report = boot::run(&host.board(&[], ""), &request);
    assert_eq!(report.status, Status::Success, "{report:?}");
}

fn ext4() -> FileSystem {
    let kind = FileSystemKind::Ext4;
    FileSystem { kind, label: None, uuid: None, len_bytes: None, needs_recovery: false }
}

fn medium(directory: &Path) {
    let mut start = vec![0; 512];
    let sectors = ((MEDIUM_LEN_BYTES - PARTITION_START_BYTES) / 512) as u32;
    start[450] = 0x83;
    start[454..458].copy_from_slice(&((PARTITION_START_BYTES / 512) as u32).to_le_bytes());
    start[458..462].copy_from_slice(&sectors.to_le_bytes());
    start[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(directory.join("medium.img"), start).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(directory.join("medium.img"))
        .unwrap()
        .set_len(MEDIUM_LEN_BYTES)
        .unwrap();
    fs::create_dir(directory.join("drive")).unwrap();
}

#[test]
fn a_file_of_a_tarball_takes_few_calls_to_write_and_verify() {
    if !has_strace() {
        return;
    }
    let (calls, each) = calls_per_file("counted_write", |directory, files| {
        medium(directory);
        make_tree(&directory.join("root"), files);
        let file = fs::File::create(directory.join("drive/sdimage.tar")).unwrap();
        let mut archive = tar::Builder::new(file);
        archive.append_dir_all("", directory.join("root")).unwrap();
        archive.finish().unwrap();
    });
    println!("write and verify: {calls:.1} calls for each file: {each}");
    assert!(calls <= 18.5, "{calls:.1} calls for each file: {each}");
    assert!(each.contains("fadvise64 1.0"), "every file is read ahead: {each}");
}

#[test]
fn a_file_of_a_tarball_takes_few_calls_to_capture() {
    if !has_strace() {
        return;
    }
    let (calls, each) = calls_per_file("counted_capture", |directory, files| {
        medium(directory);
        make_tree(&directory.join("root"), files);
        fs::write(directory.join("drive/replicator.toml"), "[capture]\ncompress = false\nsanitise = false\n")
            .unwrap();
    });
    println!("capture: {calls:.1} calls for each file: {each}");
    assert!(calls <= 10.0, "{calls:.1} calls for each file: {each}");
    assert!(each.contains("fadvise64 1.0"), "every file is read ahead: {each}");
}

/// The directory in which to work, if another test has started this program under strace.
fn counted_directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// The child of the test of writes; alone it does nothing.
#[test]
fn counted_write() {
    if let Some(directory) = counted_directory() {
        run(&directory, |_| ());
    }
}

/// The child of the test of captures; alone it does nothing.
#[test]
fn counted_capture() {
    let Some(directory) = counted_directory() else { return };
    run(&directory, |host| {
        // The volume of the drive is the first one, and the file system in the working image is a directory.
        let holder =
            Holder::File { volume: VolumeId(1), path: RelativePath::parse(".capture/sd.image").unwrap() };
        let len_bytes = MEDIUM_LEN_BYTES - PARTITION_START_BYTES;
        let region = Region { holder, offset_bytes: PARTITION_START_BYTES, len_bytes };
        host.file_systems.register(&region, directory.join("root"), ext4());
    });
    assert!(directory.join("drive/sdimage.tar").exists());
}
