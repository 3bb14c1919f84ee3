//! Loop devices and mounts that end with their values, and whether anything still holds them.

use super::tools::{partition, run};
use nix::errno::Errno;
use nix::mount::umount;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// A sparse file as a block device.
pub(crate) struct Medium {
    /// The file.
    pub(crate) file: PathBuf,
    /// The device, such as `/dev/loop3`.
    pub(crate) device: PathBuf,
    partitions: bool,
}

impl Medium {
    /// A new medium of `len_bytes` that reads as zeros.
    pub(crate) fn blank(file: &Path, len_bytes: u64) -> Self {
        File::create(file).unwrap().set_len(len_bytes).unwrap();
        Self::attach(file)
    }

    /// A new medium with the partitions of an sfdisk script, which are shown and hold nothing.
    pub(crate) fn partitioned(file: &Path, len_bytes: u64, script: &str) -> Self {
        let mut medium = Self::blank(file, len_bytes);
        partition(&medium.device, script);
        medium.show_partitions();
        medium
    }

    /// A new medium with old data at its start, in its middle and at its end: what a used card looks like.
    pub(crate) fn used(file: &Path, len_bytes: u64) -> Self {
        let mut old = File::create(file).unwrap();
        old.set_len(len_bytes).unwrap();
        let noise: Vec<u8> =
            (0..1_u32 << 18).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for at in [0, len_bytes / 2, len_bytes - noise.len() as u64] {
            old.seek(SeekFrom::Start(at)).unwrap();
            old.write_all(&noise).unwrap();
        }
        Self::attach(file)
    }

    /// A new medium that reads as zeros, with logical sectors of `sector_len_bytes`.
    pub(crate) fn with_sectors(file: &Path, len_bytes: u64, sector_len_bytes: u32) -> Self {
        File::create(file).unwrap().set_len(len_bytes).unwrap();
        Self::attach_as(file, &["--sector-size", &sector_len_bytes.to_string()])
    }

    /// The device of an existing file.
    pub(crate) fn attach(file: &Path) -> Self {
        Self::attach_as(file, &[])
    }

    fn attach_as(file: &Path, options: &[&str]) -> Self {
        let arguments = ["-f", "--show"].iter().chain(options).map(AsRef::as_ref).chain([file.as_os_str()]);
        let device = run("losetup", arguments).trim().into();
        let mut medium = Self { file: file.to_owned(), device, partitions: false };
        medium.allow_writes();
        // Those of an earlier file stay with the device if they were in use when it was detached.
        if medium.partition(1).exists() {
            medium.hide_partitions();
        }
        medium
    }

    /// A killed capture leaves the kernel's write protection on, which a loop device keeps for its next file.
    pub(crate) fn allow_writes(&self) {
        run("blockdev", ["--setrw".as_ref(), self.device.as_os_str()]);
    }

    /// Makes the kernel see the partitions: many kernels scan loop devices only when told to.
    pub(crate) fn show_partitions(&mut self) {
        run("partx", ["-a".as_ref(), self.device.as_os_str()]);
        self.partitions = true;
    }

    /// Makes the kernel forget the partitions.
    pub(crate) fn hide_partitions(&mut self) {
        run("partx", ["-d".as_ref(), self.device.as_os_str()]);
        self.partitions = false;
    }

    /// The device of a partition.
    pub(crate) fn partition(&self, number: u32) -> PathBuf {
        PathBuf::from(format!("{}p{number}", self.device.display()))
    }

    /// Everything written has to be in the file.
    pub(crate) fn flush(&self) {
        File::open(&self.device).unwrap().sync_all().unwrap();
    }

    /// Fingerprint of all of its bytes.
    pub(crate) fn fingerprint(&self) -> u128 {
        self.flush();
        fingerprint(&self.file)
    }

    /// Major and minor number of the device, as `8:1`.
    pub(crate) fn number(&self) -> String {
        let name = self.device.file_name().unwrap();
        let number = std::fs::read_to_string(Path::new("/sys/class/block").join(name).join("dev")).unwrap();
        number.trim().to_owned()
    }

    /// Whether no mount, loop device or process holds the device.
    pub(crate) fn is_free(&self) -> bool {
        OpenOptions::new().read(true).custom_flags(nix::libc::O_EXCL).open(&self.device).is_ok()
    }

    /// Fails if a mount, a loop device or a process still holds the device.
    #[track_caller]
    pub(crate) fn assert_free(&self) {
        let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_EXCL).open(&self.device);
        assert!(opened.is_ok(), "{} is still held: {opened:?}", self.device.display());
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        if self.partitions {
            quietly("partx", &["-d".as_ref(), &self.device]);
        }
        quietly("blockdev", &["--setrw".as_ref(), &self.device]);
        quietly("losetup", &["-d".as_ref(), &self.device]);
        drop(std::fs::remove_file(&self.file));
    }
}

/// A mounted device; unmounted at the end.
pub(crate) struct Mount {
    /// Where.
    pub(crate) path: PathBuf,
}

impl Mount {
    /// Mounts `device` at `path`, read-write.
    #[track_caller]
    pub(crate) fn new(device: &Path, path: &Path) -> Self {
        Self::with_options(device, path, "rw")
    }

    /// Mounts `device` at `path`, so that not even a journal is replayed.
    #[track_caller]
    pub(crate) fn read_only(device: &Path, path: &Path) -> Self {
        Self::with_options(device, path, "ro,noload")
    }

    /// The same for a file system that may have no journal: the kernel's driver for ext2 does not know the option.
    #[track_caller]
    pub(crate) fn without_journal(device: &Path, path: &Path) -> Self {
        Self::with_options(device, path, "ro")
    }

    #[track_caller]
    fn with_options(device: &Path, path: &Path, options: &str) -> Self {
        std::fs::create_dir_all(path).unwrap();
        run("mount", ["-o".as_ref(), options.as_ref(), device.as_os_str(), path.as_os_str()]);
        Self { path: path.to_owned() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A program that another thread is just starting has a copy of this process's open files for a moment.
        let mut tries = 0;
        while umount(&self.path) == Err(Errno::EBUSY) && tries < 100 {
            tries += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        if tries == 100 {
            eprintln!("{} stays mounted", self.path.display());
        }
    }
}

/// Cleans up: a failure shows by what is left behind, and must not hide the failure that led here.
fn quietly(program: &str, arguments: &[&Path]) {
    if let Err(error) = Command::new(program).args(arguments).status() {
        eprintln!("{program}: {error}");
    }
}

/// Fingerprint of a file's content.
pub(crate) fn fingerprint(path: &Path) -> u128 {
    let mut file = File::open(path).unwrap();
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let len = file.read(&mut buffer).unwrap();
        if len == 0 {
            return hash.digest128();
        }
        hash.update(&buffer[..len]);
    }
}
