//! The memory that a capture and a write take stays below a bound for each number of threads and each budget.
//!
//! The codecs are C code with an allocator of their own, so the kernel counts: the largest resident memory of a process that
//! does one job on the host backend, less what it had before. With the smallest budget, 24 MiB, it is the budget that is
//! held; it counts all memory of a run: codecs, buffers, lists, the pages of code that the job is the first to use. It does
//! not count what the process had before, and the kernel's own memory. With larger budgets and at most one worker, bounds are
//! about a tenth above what was measured. How many blocks several workers hold at a time depends on the scheduler of the
//! machine, so there the bound is what the budget counts for them. A change that needs more memory raises a bound here, with a
//! reason in its commit.
//!
//! The media have 64 MiB. Memory does not grow with the medium: blocks of up to 8 MiB are in work, one or two for each
//! thread. Nor does it grow with the files of a tarball of a capture: one test has so many that a list of them would take more
//! than the budget.

// Tests on a real host need calls that the engine must not use.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use replicator_engine::boot::{self, Request};
use replicator_engine::drive::DriveChoice;
use replicator_engine::profile::{BoardChoice, Profile};
use replicator_engine::tuning::Tuning;
use replicator_hal::host::{HostBoard, HostDevice, ThreadTasks};
use replicator_hal::linux::return_freed_buffers;
use replicator_hal::{
    Compute, DeviceKind, DeviceName, FileSystem, FileSystemKind, Holder, Region, RelativePath, Status, Task,
    TaskEnd, Tasks, VolumeId,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const MIB: usize = 1 << 20;
const MEDIUM_LEN_BYTES: usize = 64 * MIB;
const TARBALL_MEDIUM_LEN_BYTES: u64 = 1 << 30;
const PARTITION_START_BYTES: usize = MIB;
/// Set for a child process: the job, the packing, the threads, and the directory with drive and media.
const JOB: &str = "REPLICATOR_PEAK_MEMORY_JOB";
/// What a child process prints before its result, in KiB.
const MARK: &str = "peak memory in KiB: ";

/// What is captured and written, and how it is compressed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Image {
    is_tarball: bool,
    compress: &'static str,
}

const DISK_XZ: Image = Image { is_tarball: false, compress: "xz" };
const DISK_ZSTD: Image = Image { is_tarball: false, compress: "zstd" };
const TAR_XZ: Image = Image { is_tarball: true, compress: "xz" };
const TAR_ZSTD: Image = Image { is_tarball: true, compress: "zstd" };

impl Image {
    fn name(self) -> String {
        let packing = if self.is_tarball { "tar" } else { "dd" };
        let extension = if self.compress == "xz" { "xz" } else { "zst" };
        format!("emmcimage.{packing}.{extension}")
    }
}

/// Threads (0: no worker), the setting `memory_mib`, and the bounds of a capture and a write in MiB, for a disk image with xz.
/// For several threads: 4 MiB for the buffers, 48 MiB for each encoder; 27 MiB for each decoder and 17 for the block that is read.
const BOUNDS_MIB: [(usize, u64, u64, u64); 4] = [
    (0, 512, 38, 30),
    (1, 512, 48, 49),
    (2, 512, 4 + 2 * 48, 4 + 2 * 27 + 17),
    (4, 512, 4 + 4 * 48, 4 + 4 * 27 + 17),
];

#[test]
fn a_capture_and_a_write_take_no_more_memory_than_their_bounds() {
    if is_child() {
        return;
    }
    let jobs = BOUNDS_MIB
        .map(|(threads, memory_mib, capture, write)| (DISK_XZ, threads, memory_mib, capture, write));
    compare(&jobs);
}

#[test]
fn every_image_is_captured_and_written_in_24_mib() {
    let threads = [1, 2, 4, 16].into_iter();
    let jobs: Vec<_> = threads
        .flat_map(|threads| [DISK_XZ, DISK_ZSTD, TAR_XZ, TAR_ZSTD].map(|image| (image, threads, 24, 24, 24)))
        .collect();
    compare(&jobs);
}

/// `REPLICATOR_PEAK_MEMORY_FILES` is another number of files; 990000 are about as many as an archive may have.
#[test]
fn a_tarball_with_many_files_is_captured_and_written_in_24_mib() {
    let files = std::env::var("REPLICATOR_PEAK_MEMORY_FILES").map_or(100_000, |text| text.parse().unwrap());
    compare_with(&[(TAR_ZSTD, 2, 24, 24, 24)], |root| {
        make_tree(root);
        for directory in 0..files / 1000 {
            let directory = root.join(format!("usr/share/directory-{directory:04}"));
            fs::create_dir(&directory).unwrap();
            for file in 0..1000 {
                fs::write(directory.join(format!("one-of-many-files-{file:03}")), "").unwrap();
            }
        }
    });
}

/// Whether this process is a child of a test, and has done its job now.
fn is_child() -> bool {
    let Ok(job) = std::env::var(JOB) else { return false };
    let words: Vec<&str> = job.splitn(4, ' ').collect();
    work(words[0], words[1] == "tar", words[2].parse().unwrap(), Path::new(words[3]));
    true
}

/// Does the jobs in children: image, threads, `memory_mib`, and the bounds of capture and write in MiB.
fn compare(jobs: &[(Image, usize, u64, u64, u64)]) {
    compare_with(jobs, make_tree);
}

/// The same with another root file system.
fn compare_with(jobs: &[(Image, usize, u64, u64, u64)], make_tree: impl FnOnce(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("golden.img"), golden()).unwrap();
    make_tree(&directory.path().join("root"));
    let mut table = String::new();
    let mut within = true;
    for (image, threads, memory_mib, capture_mib, write_mib) in jobs {
        // The capture begins with an empty drive, and the write uses its image.
        let drive = directory.path().join("drive");
        let _ = fs::remove_dir_all(&drive);
        fs::create_dir(&drive).unwrap();
        let (compress, name) = (image.compress, image.name());
        let settings = format!(
            "[capture]\nsanitise = false\ncompress = \"{compress}\"\n[limits]\nmemory_mib = {memory_mib}\n"
        );
        fs::write(drive.join("replicator.toml"), settings).unwrap();
        for (job, bound_mib) in [("capture", capture_mib), ("write", write_mib)] {
            let used_kib = in_a_child(job, *image, *threads, directory.path());
            within &= used_kib <= bound_mib * 1024;
            writeln!(
                table,
                "{name}, {threads} threads, memory_mib = {memory_mib}, {job}: {:.1} MiB, bound {bound_mib}",
                used_kib as f64 / 1024.0
            )
            .unwrap();
        }
        assert!(drive.join(name).exists());
    }
    print!("{table}");
    assert!(within, "more memory than the bound:\n{table}");
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..len / 8).flat_map(|_| random().to_le_bytes()).collect()
}

/// Bytes that compress well, and take the encoder little time.
fn text(len: usize) -> Vec<u8> {
    let line = b"a line of text that compresses well, and takes the encoder little time\n";
    line.iter().copied().cycle().take(len).collect()
}

/// A medium with a table of two partitions, blocks that do not compress, text, and zeros.
fn golden() -> Vec<u8> {
    let mut bytes = [noise(20 * MIB), text(16 * MIB)].concat();
    bytes.resize(MEDIUM_LEN_BYTES - 16 * MIB, 0);
    bytes.extend_from_slice(&text(8 * MIB));
    bytes.resize(MEDIUM_LEN_BYTES, b'x');
    // An MBR with two partitions of an unknown type.
    bytes[..512].fill(0);
    bytes[450..462].copy_from_slice(&[0xda, 0, 0, 0, 0, 8, 0, 0, 0, 120, 0, 0]);
    bytes[466..478].copy_from_slice(&[0xda, 0, 0, 0, 0, 128, 0, 0, 0, 0x70, 1, 0]);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// The same medium with one partition, whose files are in the directory of [`make_tree`].
fn with_one_partition(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[450] = 0x83;
    bytes[458..462]
        .copy_from_slice(&(((MEDIUM_LEN_BYTES - PARTITION_START_BYTES) / 512) as u32).to_le_bytes());
    bytes[466..478].fill(0);
    // A bootloader before the partition or in it would make it a disk image.
    bytes[512..PARTITION_START_BYTES + MIB].fill(0);
    bytes
}

/// A root file system.
fn make_tree(root: &Path) {
    for directory in ["etc", "usr/share"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("usr/noise"), noise(20 * MIB)).unwrap();
    fs::write(root.join("usr/text"), text(16 * MIB)).unwrap();
    for number in 0..1000 {
        fs::write(root.join(format!("usr/share/{number}")), text(number)).unwrap();
    }
}

/// The memory of a process that does one job, in KiB.
fn in_a_child(job: &str, image: Image, threads: usize, directory: &Path) -> u64 {
    let name = "a_capture_and_a_write_take_no_more_memory_than_their_bounds";
    let packing = if image.is_tarball { "tar" } else { "dd" };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(JOB, format!("{job} {packing} {threads} {}", directory.display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let (_, rest) = text.split_once(MARK).unwrap();
    rest.lines().next().unwrap().trim().parse().unwrap()
}

/// In the child: one boot on the host backend.
fn work(job: &str, is_tarball: bool, threads: usize, directory: &Path) {
    // As the boot binary does.
    assert!(return_freed_buffers());
    let path = |name: &str| directory.join(name);
    let (drive, emmc) = (DeviceName::parse("sdz").unwrap(), DeviceName::parse("mmcblk0").unwrap());
    fs::write(path("drive.img"), [0; 512]).unwrap();
    let medium = match (job, is_tarball) {
        ("capture", false) => "golden.img",
        ("capture", true) => "golden-root.img",
        _ => "clone.img",
    };
    if job == "capture" && is_tarball {
        fs::write(path(medium), with_one_partition(fs::read(path("golden.img")).unwrap())).unwrap();
    } else if job == "write" {
        fs::write(path("clone.img"), vec![0xff; MEDIUM_LEN_BYTES]).unwrap();
        if is_tarball {
            // With room for a million inodes.
            let clone = fs::OpenOptions::new().write(true).open(path("clone.img")).unwrap();
            clone.set_len(TARBALL_MEDIUM_LEN_BYTES).unwrap();
        }
    }
    let host = HostBoard::new(directory);
    host.devices.register(HostDevice::new(drive.clone(), path("drive.img"), DeviceKind::Usb));
    let device = HostDevice::new(emmc.clone(), path(medium), DeviceKind::Emmc);
    host.devices.register(HostDevice { identity: Some(medium.to_owned()), ..device });
    let region = Region { holder: Holder::Device(drive.clone()), offset_bytes: 0, len_bytes: 512 };
    let kind = FileSystemKind::Ext4;
    let found = FileSystem { kind, label: None, uuid: None, len_bytes: None, needs_recovery: false };
    host.file_systems.register(&region, path("drive"), found.clone());
    if job == "capture" && is_tarball {
        // The volume of the drive is the first one, and the file system in the working image is a directory.
        let holder =
            Holder::File { volume: VolumeId(1), path: RelativePath::parse(".capture/emmc.image").unwrap() };
        let len_bytes = (MEDIUM_LEN_BYTES - PARTITION_START_BYTES) as u64;
        let region = Region { holder, offset_bytes: PARTITION_START_BYTES as u64, len_bytes };
        host.file_systems.register(&region, path("root"), found);
    }
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
    match (job, is_tarball) {
        ("write", false) => {
            assert!(fs::read(path("golden.img")).unwrap() == fs::read(path("clone.img")).unwrap());
        }
        ("write", true) => {
            let clone = path("file-systems/file-system-2");
            for name in ["usr/noise", "usr/text", "usr/share/999"] {
                let [wanted, found] = [&path("root"), &clone].map(|root| fs::read(root.join(name)).unwrap());
                assert!(wanted == found, "{name}");
            }
            fs::remove_dir_all(clone).unwrap();
        }
        _ => {}
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
