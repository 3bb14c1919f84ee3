//! A small golden unit, and the expected content of its images.

use super::copy::fingerprint;
use super::devices::{Medium, Mount};
use super::rootfs;
use super::stage::Stage;
use super::tools::{partition, run, shell};
use super::tree::{self, Tree};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const SD_LEN_BYTES: u64 = 20 * MIB;
const EMMC_LEN_BYTES: u64 = 24 * MIB;
/// The eMMC has a bootloader and a boot partition before it.
const EMMC_ROOT_START_BYTES: u64 = 6 * MIB;
/// All golden files are older than this, in seconds.
const OLD_SECONDS: i64 = 1_600_000_000;

/// An SD card with one partition, whose image is a tarball, and an eMMC with two.
pub(crate) struct Golden {
    pub(crate) sd: Medium,
    pub(crate) emmc: Medium,
}

impl Golden {
    pub(crate) fn new(stage: &Stage) -> Self {
        let mut sd = Medium::blank(&stage.path("golden-sd"), SD_LEN_BYTES);
        partition(&sd.device, "label: dos\nstart=4MiB, type=83, bootable");
        make_root(stage, &mut sd, 1, 250);
        let mut emmc = Medium::blank(&stage.path("golden-emmc"), EMMC_LEN_BYTES);
        partition(&emmc.device, "label: dos\nstart=4MiB, size=2MiB, type=c, bootable\nstart=6MiB, type=83");
        let bootloader: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
        let device = File::options().write(true).open(&emmc.device).unwrap();
        device.write_all_at(&bootloader, 1024).unwrap();
        device.write_all_at(&bootloader, 4 * MIB).unwrap();
        drop(device);
        make_root(stage, &mut emmc, 2, 150);
        Self { sd, emmc }
    }

    /// The media with the names of the board profile.
    pub(crate) fn media(&self) -> Vec<(&'static str, &Medium)> {
        vec![("sd", &self.sd), ("emmc", &self.emmc)]
    }

    pub(crate) fn fingerprints(&self) -> [u128; 2] {
        [&self.sd, &self.emmc].map(|medium| {
            medium.flush();
            fingerprint(&medium.file)
        })
    }

    /// The same unit for a parallel worker: other loop devices of the same files.
    pub(crate) fn again(&self, stage: &Stage) -> Self {
        let again = |medium: &Medium, name: &str| {
            let link = stage.path(name);
            fs::hard_link(&medium.file, &link).unwrap();
            Medium::attach(&link)
        };
        Self { sd: again(&self.sd, "golden-sd"), emmc: again(&self.emmc, "golden-emmc") }
    }
}

fn make_root(stage: &Stage, medium: &mut Medium, number: u32, files: u32) {
    medium.show_partitions();
    run("mkfs.ext4", ["-q".as_ref(), medium.partition(number).as_os_str()]);
    let mount = Mount::new(&medium.partition(number), &stage.path("golden"));
    rootfs::small(&mount.path, 600_000);
    shell(
        "cd \"$1\"; mkdir -p usr/lib usr/share/doc
         for n in $(seq \"$2\"); do head -c $((n * 37)) /dev/urandom > usr/lib/file-$n; done
         ln usr/lib/file-1 usr/lib/again; ln -s usr/lib lib; chmod 4755 bin/sh; mkfifo usr/fifo
         find . -exec touch -h -d @1500000000 {} +",
        [mount.path.as_os_str(), files.to_string().as_ref()],
    );
    drop(mount);
    medium.hide_partitions();
    medium.flush();
}

/// The content of the images on a drive after decompression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Images {
    /// The SD image, unpacked by GNU tar.
    pub(crate) sd: Tree,
    /// Root file system of the eMMC.
    pub(crate) emmc: Tree,
    /// Fingerprint of all bytes before it.
    emmc_start: u128,
}

impl Images {
    /// Reads the images on a drive with independent tools. Fails if an image is missing, a sidecar is wrong, or a session is left.
    #[track_caller]
    pub(crate) fn read(stage: &Stage, drive: &Medium) -> Self {
        let mount = Mount::read_only(&drive.device, &stage.path("drive-files"));
        let root = stage.path("unpacked-sd");
        let disk = stage.path("unpacked-emmc");
        fs::create_dir(&root).unwrap();
        shell(
            "cd \"$1\"; test ! -e .capture
             md5sum -c --quiet --strict sdimage.tar.xz.md5 emmcimage.dd.xz.md5
             test \"$(xz -dc sdimage.tar.xz | md5sum)\" = \"$(sed 's/ .*/  -/' sdimage.tar.md5)\"
             test \"$(xz -dc emmcimage.dd.xz | md5sum)\" = \"$(sed 's/ .*/  -/' emmcimage.dd.md5)\"
             xz -dc sdimage.tar.xz | tar --numeric-owner --warning=no-timestamp -C \"$2\" -xpf -
             xz -dc emmcimage.dd.xz > \"$3\"",
            [&mount.path, &root, &disk],
        );
        drop(mount);
        let sd = without_new_times(tree::read(&root));
        fs::remove_dir_all(root).unwrap();
        let (emmc, emmc_start) = read_disk(stage, Medium::attach(&disk));
        Self { sd, emmc, emmc_start }
    }

    #[track_caller]
    pub(crate) fn assert_equal(&self, other: &Self, what: &str) {
        let mut differences = tree::differences(&self.sd, &other.sd);
        differences.extend(tree::differences(&self.emmc, &other.emmc));
        assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
        assert_eq!(self.emmc_start, other.emmc_start, "{what}: bootloader or boot partition differ");
    }
}

/// The root file system of an eMMC, which must be clean, and a fingerprint of all bytes before it.
#[track_caller]
pub(crate) fn read_disk(stage: &Stage, mut medium: Medium) -> (Tree, u128) {
    let start = stage.path("start-of-disk");
    shell(
        "head -c \"$3\" \"$1\" > \"$2\"",
        [medium.file.as_os_str(), start.as_os_str(), EMMC_ROOT_START_BYTES.to_string().as_ref()],
    );
    medium.show_partitions();
    (read_partition(stage, &medium.partition(2)), fingerprint(&start))
}

/// The files of a partition, whose file system must be clean.
#[track_caller]
pub(crate) fn read_partition(stage: &Stage, partition: &Path) -> Tree {
    run("e2fsck", ["-fn".as_ref(), partition.as_os_str()]);
    let mount = Mount::read_only(partition, &stage.path("partition"));
    without_new_times(tree::read(&mount.path))
}

/// Clears times and contents that depend on the time of the capture: files that sanitising adds or changes have that time, and
/// two of them contain it.
fn without_new_times(mut tree: Tree) -> Tree {
    for name in ["root.version-cust", "md5sums.txt"] {
        tree.get_mut(Path::new(name)).expect("a sanitised tree").content = None;
    }
    for entry in tree.values_mut().filter(|entry| entry.modified.0 > OLD_SECONDS) {
        entry.modified = (0, 0);
    }
    tree
}

/// The disk image on a drive, unpacked, as a file that the caller removes.
pub(crate) fn unpack_disk(stage: &Stage, drive: &Medium) -> PathBuf {
    let disk = stage.path("disk-image");
    let mount = Mount::read_only(&drive.device, &stage.path("drive-files"));
    shell("xz -dc \"$1/emmcimage.dd.xz\" > \"$2\"", [&mount.path, &disk]);
    disk
}
