//! The memory that a capture and a write take stays below a bound for each number of threads and each budget.
//!
//! The codecs are C code with an allocator of their own, so the kernel counts: the largest resident memory of a process that
//! does one job on the host backend, less what it had before. It varies by a few percent, and the bounds are about a tenth
//! above it. A change that needs more memory raises a bound here, with a reason in its commit.
//!
//! The medium is a disk image of 64 MiB. Memory does not grow with the medium: blocks of 4 MiB are in work, one or two for
//! each thread. Tarballs, whose list of entries does grow, are not measured here.

// Tests on a real host need calls that the engine must not use.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use replicator_engine::boot::{self, Request};
use replicator_engine::drive::DriveChoice;
use replicator_engine::profile::{BoardChoice, Profile};
use replicator_engine::tuning::Tuning;
use replicator_hal::host::{HostBoard, HostDevice, ThreadTasks};
use replicator_hal::{
    Compute, DeviceKind, DeviceName, FileSystem, FileSystemKind, Holder, Region, Status, Task, TaskEnd, Tasks,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const MIB: usize = 1 << 20;
const MEDIUM_LEN_BYTES: usize = 64 * MIB;
/// Set for a child process: the job, the threads, and the directory with drive and media.
const JOB: &str = "REPLICATOR_PEAK_MEMORY_JOB";
/// What a child process prints before its result, in KiB.
const MARK: &str = "peak memory in KiB: ";

/// Threads (0: no worker), the setting `memory_mib`, and the bounds of a capture and a write in MB.
const BOUNDS_MB: [(usize, u64, u64, u64); 5] =
    [(0, 512, 29, 15), (1, 512, 42, 15), (2, 512, 61, 42), (4, 512, 81, 75), (4, 24, 42, 15)];

#[test]
fn a_capture_and_a_write_take_no_more_memory_than_their_bounds() {
    if let Ok(job) = std::env::var(JOB) {
        let words: Vec<&str> = job.splitn(3, ' ').collect();
        work(words[0], words[1].parse().unwrap(), Path::new(words[2]));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("golden.img"), golden()).unwrap();
    let mut table = String::new();
    let mut within = true;
    for (threads, memory_mib, capture_mb, write_mb) in BOUNDS_MB {
        // The capture begins with an empty drive, and the write uses its image.
        let drive = directory.path().join("drive");
        let _ = fs::remove_dir_all(&drive);
        fs::create_dir(&drive).unwrap();
        let settings = format!("[capture]\nsanitise = false\n[limits]\nmemory_mib = {memory_mib}\n");
        fs::write(drive.join("replicator.toml"), settings).unwrap();
        for (job, bound_mb) in [("capture", capture_mb), ("write", write_mb)] {
            let used_mb = in_a_child(job, threads, directory.path());
            within &= used_mb <= bound_mb;
            writeln!(
                table,
                "{threads} threads, memory_mib = {memory_mib}, {job}: {used_mb} MB, bound {bound_mb} MB"
            )
            .unwrap();
        }
        assert!(drive.join("emmcimage.dd.xz").exists());
    }
    print!("{table}");
    assert!(within, "more memory than the bound:\n{table}");
}

/// A medium with a table of two partitions, one block that does not compress, text, and zeros. More bytes that do not
/// compress would take the encoder much time, and change its memory little.
fn golden() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let noise: Vec<u8> = (0..MIB / 2).flat_map(|_| random().to_le_bytes()).collect();
    let line = b"a line of text that compresses well, and takes the encoder little time\n";
    let text: Vec<u8> = line.iter().copied().cycle().take(8 * MIB).collect();
    let mut bytes = [&noise[..], &text[..], &text[..]].concat();
    bytes.resize(MEDIUM_LEN_BYTES - 16 * MIB, 0);
    bytes.extend_from_slice(&text);
    bytes.resize(MEDIUM_LEN_BYTES, b'x');
    // An MBR with two partitions of an unknown type.
    bytes[..512].fill(0);
    bytes[450..462].copy_from_slice(&[0xda, 0, 0, 0, 0, 8, 0, 0, 0, 120, 0, 0]);
    bytes[466..478].copy_from_slice(&[0xda, 0, 0, 0, 0, 128, 0, 0, 0, 0x70, 1, 0]);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// The memory of a process that does one job, in MB.
fn in_a_child(job: &str, threads: usize, directory: &Path) -> u64 {
    let name = "a_capture_and_a_write_take_no_more_memory_than_their_bounds";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(JOB, format!("{job} {threads} {}", directory.display()))
        // By default glibc raises the threshold when a large buffer is freed, and then keeps freed buffers in an arena for each
        // thread: how many depends on the order in which the threads run. The bounds are for what the program holds.
        .env("MALLOC_MMAP_THRESHOLD_", "131072")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let (_, rest) = text.split_once(MARK).unwrap();
    rest.lines().next().unwrap().trim().parse::<u64>().unwrap().div_ceil(1000)
}

/// In the child: one boot on the host backend.
fn work(job: &str, threads: usize, directory: &Path) {
    let path = |name: &str| directory.join(name);
    let (drive, emmc) = (DeviceName::parse("sdz").unwrap(), DeviceName::parse("mmcblk0").unwrap());
    fs::write(path("drive.img"), [0; 512]).unwrap();
    let medium = if job == "capture" { "golden.img" } else { "clone.img" };
    if job == "write" {
        fs::write(path("clone.img"), vec![0xff; MEDIUM_LEN_BYTES]).unwrap();
    }
    let host = HostBoard::new(directory);
    host.devices.register(HostDevice::new(drive.clone(), path("drive.img"), DeviceKind::Usb));
    let device = HostDevice::new(emmc.clone(), path(medium), DeviceKind::Emmc);
    host.devices.register(HostDevice { identity: Some(medium.to_owned()), ..device });
    let region = Region { holder: Holder::Device(drive.clone()), offset_bytes: 0, len_bytes: 512 };
    let kind = FileSystemKind::Ext4;
    let found = FileSystem { kind, label: None, uuid: None, len_bytes: None, needs_recovery: false };
    host.file_systems.register(&region, path("drive"), found);
    let profile = "name = \"peak\"\n[[medium]]\nname = \"emmc\"\nkind = \"any\"\n";
    let request = Request {
        board: BoardChoice::Named(Box::new(Profile::parse(profile, "peak.toml").unwrap())),
        firmware_names: Vec::new(),
        drive: DriveChoice::Named(drive),
        media: Some(BTreeMap::from([("emmc".to_owned(), emmc)])),
        tuning: Tuning::default(),
        version: "peak".to_owned(),
    };
    let mut board = host.board(&[], "");
    board.tasks = Arc::new(SomeThreads(threads));
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory_kib("VmHWM:");
    let report = boot::run(&board, &request);
    let peak = memory_kib("VmHWM:").saturating_sub(before);
    assert_eq!(report.status, Status::Success);
    if job == "write" {
        assert!(fs::read(path("golden.img")).unwrap() == fs::read(path("clone.img")).unwrap());
    }
    println!("{MARK}{peak}");
}

/// A line of the kernel about this process.
fn memory_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Threads for tasks, and a given number of workers for computing.
struct SomeThreads(usize);

impl Tasks for SomeThreads {
    fn run<'a>(&self, tasks: Vec<Task<'a>>) -> Vec<TaskEnd> {
        ThreadTasks.run(tasks)
    }

    fn compute(&self) -> Compute {
        match self.0 {
            0 => Compute::Inline,
            threads => Compute::Threads(threads),
        }
    }
}
