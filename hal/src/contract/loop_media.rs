//! Media for tests of real block devices: image files behind loop devices, which are removed at the end of the test in
//! all cases. They are here because several crates compare with the Linux backend.

use crate::host::Volumes;
use crate::linux::{FileSystemsConfig, KernelRoots, LinuxDevices, LinuxFileSystems, Tools};
use crate::{DeviceName, Holder, Region};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

/// A mebibyte.
pub const MIB: u64 = 1 << 20;

/// Runs a program, which must succeed, and returns its output.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Prints that a test is skipped, once for each name. Not through the test harness, which shows nothing of a test that
/// passes.
fn say_skipped(test: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(test.to_owned()) {
        let line = format!("skipped: {test}: needs root and loop devices, and e2fsprogs\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

/// Devices, file systems, and a directory for image files.
pub struct Bench {
    /// The devices of this host.
    pub devices: LinuxDevices,
    /// The file systems of this host, mounted below `directory`.
    pub file_systems: LinuxFileSystems,
    /// The directory of the image files.
    pub directory: tempfile::TempDir,
    mount_base: PathBuf,
}

impl Bench {
    /// `None`, with a message, if the test cannot run here.
    pub fn new(test: &str) -> Option<Self> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        let tools = ["losetup", "mke2fs", "e2fsck"].iter().all(|tool| {
            ["/usr/sbin", "/sbin"].iter().any(|directory| Path::new(directory).join(tool).exists())
        });
        if !root || !tools || !Path::new("/dev/loop-control").exists() {
            say_skipped(test);
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let mount_base = directory.path().join("mounts");
        let config = FileSystemsConfig {
            roots: KernelRoots::default(),
            drive_mount_point: None,
            mount_base: Some(mount_base.clone()),
            tools: Tools::default(),
        };
        let file_systems = LinuxFileSystems::new(config, Arc::<Volumes>::default());
        Some(Self { devices: LinuxDevices::default(), file_systems, directory, mount_base })
    }

    /// A medium of `len_bytes` zeros.
    pub fn medium(&self, name: &str, len_bytes: u64) -> Medium {
        let image = self.directory.path().join(name);
        std::fs::File::create(&image).unwrap().set_len(len_bytes).unwrap();
        self.attach(&image, &[])
    }

    /// A medium over an existing image file.
    pub fn attach(&self, image: &Path, options: &[&str]) -> Medium {
        let mut arguments = vec!["-f", "--show"];
        arguments.extend(options);
        arguments.push(image.to_str().unwrap());
        let node = PathBuf::from(run("losetup", &arguments));
        Medium { image: image.to_owned(), name: self.devices.by_path(&node).unwrap(), node }
    }

    /// Asserts that nothing is mounted, and that no loop device is attached to files of this bench, but for those of
    /// `media`.
    pub fn assert_clean(&self, media: &[&Medium]) {
        let left: Vec<_> = std::fs::read_dir(&self.mount_base).map(Iterator::collect).unwrap_or_default();
        assert!(left.is_empty(), "mount points left: {left:?}");
        let directory = self.directory.path().to_str().unwrap();
        let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert!(!mounts.contains(directory), "mounts left");
        let loops = run("losetup", &["-a", "-O", "NAME,BACK-FILE", "-n"]);
        for line in loops.lines() {
            let name = line.split_whitespace().next().unwrap();
            let expected = media.iter().any(|medium| medium.node == Path::new(name));
            let over_medium = media.iter().any(|medium| line.ends_with(medium.node.to_str().unwrap()));
            assert!(expected || !(line.contains(directory) || over_medium), "left: {line}");
        }
    }
}

/// A loop device over an image file, detached when dropped.
#[derive(Debug)]
pub struct Medium {
    /// The image file.
    pub image: PathBuf,
    /// The loop device's node.
    pub node: PathBuf,
    /// The loop device's name.
    pub name: DeviceName,
}

impl Medium {
    /// The path of the node, for command lines.
    pub fn node(&self) -> &str {
        self.node.to_str().unwrap()
    }

    /// A range of the medium.
    pub fn region(&self, offset_bytes: u64, len_bytes: u64) -> Region {
        Region { holder: Holder::Device(self.name.clone()), offset_bytes, len_bytes }
    }

    /// The whole medium.
    pub fn whole(&self) -> Region {
        self.region(0, std::fs::metadata(&self.image).unwrap().len())
    }

    /// Makes an ext file system on the whole medium with mke2fs.
    pub fn mkfs(&self, options: &[&str]) {
        let mut arguments = vec!["-q", "-F"];
        arguments.extend(options);
        arguments.push(self.node());
        run("mke2fs", &arguments);
    }

    /// Adds one partition to the kernel's table.
    pub fn partition(&self, start_bytes: u64, len_bytes: u64) {
        let (start, len) = ((start_bytes / 512).to_string(), (len_bytes / 512).to_string());
        run("addpart", &[self.node(), "1", &start, &len]);
    }
}

impl Drop for Medium {
    #[allow(clippy::print_stderr)] // The harness captures the output.
    fn drop(&mut self) {
        // Errors are ignored, also during a panic: first the partitions, the read-only flag, then the device itself.
        let partitions = Command::new("partx").arg("-d").arg(&self.node).output();
        let writable = Command::new("blockdev").arg("--setrw").arg(&self.node).output();
        let detached = Command::new("losetup").arg("-d").arg(&self.node).output();
        if partitions.is_err() || writable.is_err() || !detached.is_ok_and(|output| output.status.success()) {
            eprintln!("{}: could not be detached", self.node.display());
        }
    }
}
