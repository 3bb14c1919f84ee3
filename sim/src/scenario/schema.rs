//! A scenario in its TOML file: what is plugged in, what fails, and what must hold at the end.
//!
//! Unknown keys are errors with file, line and a hint. By default nothing is special. Only the data is here; its
//! meaning is in `content` (media and images) and in `run`.

pub use super::boot_spec::{BootSpec, CutSpec, SurvivalSpec};
use super::check;
pub use super::composition::{FateSpec, Gap, Holds, PartFile, PartitionSpec, Scheme};
pub use super::container::Container;
pub use super::expectation_spec::{ErrorCode, Expectation, MediumEnd, Mode, WaveFormSpec};
pub use super::fault_spec::{Bytes, Fault, FaultKind, FaultSpec};
pub use super::firmware_spec::{
    FirmwareFileSpec, FirmwareKind, FirmwareSpec, ImxTypeLayout, MicrocontrollerSpec,
};
pub use super::index_spec::IndexSpec;
pub use super::map_spec::MapSpec;
pub use super::overlay::OverlayEntry;
pub use super::tarball_spec::TarballSpec;
pub use crate::model::bytes::size::Size;
pub use crate::model::hardware::firmware::UpdaterBehaviour;
pub use crate::model::hardware::identity::Discard;
use crate::model::hardware::simfs::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The scenario in one sentence.
    pub about: String,
    /// The wall clock, in seconds since 1970; by default that of a board with a battery.
    pub wall_clock: Option<i64>,
    /// Root of all randomness: latencies, survival subsets, contents.
    #[serde(default)]
    pub seed: u64,
    /// The drive; `absent = true` for none.
    #[serde(default)]
    pub drive: DriveSpec,
    /// Media by generic name, in the board's order of names.
    #[serde(default)]
    pub media: BTreeMap<String, MediumSpec>,
    /// Bootloader, microcontroller and FPGA; by default the board takes no firmware.
    pub firmware: Option<FirmwareSpec>,
    /// The device tree's `compatible` strings; empty for a board without one. By default that of the simulated board.
    pub compatible: Option<Vec<String>>,
    /// Kinds of file systems that the board's kernel cannot mount, such as `["btrfs", "f2fs"]`.
    #[serde(default)]
    pub kernel_lacks: Vec<Kind>,
    /// The faults, in all boots.
    #[serde(default, rename = "fault")]
    pub faults: Vec<FaultSpec>,
    /// Boots, each on what the previous one left; by default one undisturbed boot.
    #[serde(default, rename = "boot")]
    pub boots: Vec<BootSpec>,
    /// What must hold after the last boot.
    pub expect: Expectation,
}

/// The drive.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriveSpec {
    /// No drive is plugged in.
    pub absent: bool,
    /// Profile of its file system.
    pub file_system: DriveFileSystem,
    /// Length of its partition, such as `"16 MiB"`.
    pub len: Size,
    /// Length of the whole device, if it is longer than the partition needs.
    pub disk_len: Option<Size>,
    /// Volume label; empty for none.
    pub label: String,
    /// The files in its root.
    #[serde(rename = "file")]
    pub files: Vec<FileSpec>,
}

impl Default for DriveSpec {
    fn default() -> Self {
        Self {
            absent: false,
            file_system: DriveFileSystem::Ext4,
            len: Size(16 << 20),
            disk_len: None,
            label: "REPLICATOR".into(),
            files: Vec::new(),
        }
    }
}

/// File system profiles of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriveFileSystem {
    /// Journalled, with all features of a Linux file system.
    Ext4,
    /// FAT: unordered, without links, owners or holes.
    Vfat,
    /// exFAT: as FAT, with long files.
    Exfat,
}

/// One file on the drive. Exactly one of `text`, `link`, `directory`, `device_node`, `image`, `partition`, `firmware`
/// gives its kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Path on the drive.
    pub name: String,
    /// A block device node.
    #[serde(default)]
    pub device_node: bool,
    /// A regular file with this text.
    pub text: Option<String>,
    /// A symlink with this text.
    pub link: Option<String>,
    /// A directory.
    #[serde(default)]
    pub directory: bool,
    /// An image of a medium with this content, packed and compressed as its name says.
    pub image: Option<Content>,
    /// A firmware file.
    pub firmware: Option<FirmwareFileSpec>,
    /// Length of the medium in the image (disk images).
    pub image_len: Option<Size>,
    /// Entries appended to a finished tarball.
    #[serde(default)]
    pub overlay: Vec<OverlayEntry>,
    /// How the tarball was packed; by default with the root file system at its root.
    #[serde(default)]
    pub tarball: TarballSpec,
    /// A packing that differs from the name: `"tar"`, `"dd"`.
    pub packing: Option<String>,
    /// A compression that differs from the name: `"xz"`, `"bz2"`, `"gz"`, `"zst"`, `"none"`.
    pub compression: Option<String>,
    /// Damage of the file.
    pub damage: Option<ImageDamage>,
    /// Sidecars beside it.
    #[serde(default)]
    pub sidecar: SidecarSpec,
    /// The block map beside a disk image, under the image's name without compression.
    pub map: Option<MapSpec>,
    /// What replaces or wraps the image, compressed as the name says.
    pub inside: Option<Container>,
    /// What the image's builder appended to it.
    pub trailer: Option<Trailer>,
    /// The medium that its `.source` record names, with that medium's identity.
    pub captured_from: Option<String>,
    /// The index beside a tarball that is `captured_from` a medium.
    pub index: Option<IndexSpec>,
    /// Kind of partition table, if partitions are listed.
    #[serde(default)]
    pub scheme: Scheme,
    /// Identity of the disk in the table: 8 hex digits (MBR) or a GUID (GPT).
    pub disk_id: Option<String>,
    /// The bytes before the first partition.
    #[serde(default)]
    pub gap: Gap,
    /// The sector at this place of the medium in a disk image is not zeros.
    pub data_at: Option<Size>,
    /// The partitions, instead of `image`.
    #[serde(default, rename = "partition")]
    pub partitions: Vec<PartitionSpec>,
}

/// Data behind the image in its file that is not damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trailer {
    /// Metadata and a signature, as written by OpenWrt's `fwtool`.
    Openwrt,
    /// The index of files that `pixz` appends to an archive, in its own xz stream.
    Pixz,
}

/// Damage of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageDamage {
    /// The last quarter of the file is missing.
    Truncated,
    /// The last quarter of the medium was missing before the compression.
    CutBefore,
    /// The last byte is missing.
    OneByteShort,
    /// One bit in the middle of the file is flipped.
    BitFlipped,
    /// The file is empty.
    Empty,
    /// The file is stored twice, one after the other: valid for xz, gzip, bzip2 and zstd.
    Concatenated,
    /// Bytes without a format follow.
    TrailingGarbage,
    /// The index of an xz file does not fit its blocks, but its own CRC is right.
    IndexMismatch,
    /// The check of an xz block is wrong, and everything else is right.
    CrcMismatch,
    /// A small file that decodes to much more than any medium of the scenario holds.
    Bomb,
    /// A tar without its end mark and its last entries, compressed without an error.
    TarCutAtMember,
    /// The last logical partition ends behind the end of the medium in the image, but its extended partition does
    /// not.
    LogicalPastEnd,
}

/// The sidecars of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SidecarSpec {
    /// None.
    #[default]
    None,
    /// The right md5 of the uncompressed image.
    Content,
    /// The right md5 of the file itself.
    File,
    /// Both.
    Both,
    /// A right sha256 of the uncompressed image.
    Sha256,
    /// An md5 of something else, for the uncompressed image.
    Wrong,
    /// An md5 of something else, for the file itself.
    WrongFile,
    /// Text without a digest.
    Malformed,
    /// Right, but with another file name in it.
    OtherName,
    /// Right, written by an editor for Windows, with a `*` before the name.
    Crlf,
}

/// Content of a medium, or of an image of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Zeros.
    #[default]
    Blank,
    /// Every sector has its medium, number and generation in it: no partition table, no file system.
    Stamped,
    /// MBR, one ext4 partition with the golden rootfs.
    Single,
    /// The same with GPT.
    SingleGpt,
    /// MBR: a FAT boot partition, then the rootfs as partition 2.
    BootAndRoot,
    /// MBR: the rootfs, then an ext4 data partition.
    RootAndData,
    /// GPT: a FAT boot partition, then the rootfs.
    Gpt,
    /// MBR with an extended partition: the rootfs is logical partition 5, data is 6.
    Logical,
    /// One ext4 partition that holds data only.
    Data,
    /// The golden rootfs as a tree, for tarballs.
    Rootfs,
}

/// A medium of the board.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediumSpec {
    /// `sd`, `emmc`, `sata`, `nvme`; by default derived from the name.
    pub kind: Option<String>,
    /// The slot is empty.
    pub absent: bool,
    /// Capacity.
    pub len: Size,
    /// Its content.
    pub content: Content,
    /// Damage of its partition table.
    pub table: Option<TableDamage>,
    /// The device has a write cache of its own, which a power cut empties.
    pub write_cache: bool,
    /// What the device does with a discard.
    pub discard: Discard,
    /// The rootfs was not unmounted: its journal is dirty.
    pub dirty: bool,
    /// The rootfs is damaged.
    pub damage: Option<FileSystemDamage>,
    /// `/var/log` of the rootfs is a symlink with this text.
    pub var_log_link: Option<String>,
    /// The kind of file system for a tarball: `ext2`, `ext3`, `ext4`, `ext4compat`, `ext4gpt`.
    pub file_system: Option<String>,
    /// The profile's `rootfs_partition`.
    pub rootfs_partition: Option<u32>,
    /// The profile's `bootloader_in_gap`: whether the board boots from the gap before the first partition.
    pub bootloader_in_gap: Option<bool>,
    /// It has no serial number that the kernel can read.
    pub no_identity: bool,
    /// Another process holds the device open all the time, so that its page cache stays.
    pub held_open: bool,
    /// The device is held for writing by something in no table of this system: a mount in another mount namespace.
    pub held_elsewhere: bool,
    /// Kind of partition table, if partitions are listed.
    pub scheme: Scheme,
    /// Identity of the disk in the table: 8 hex digits (MBR) or a GUID (GPT).
    pub disk_id: Option<String>,
    /// The bytes before the first partition.
    pub gap: Gap,
    /// The partitions, instead of `content`.
    #[serde(rename = "partition")]
    pub partitions: Vec<PartitionSpec>,
}

impl Default for MediumSpec {
    fn default() -> Self {
        Self {
            kind: None,
            absent: false,
            len: Size(8 << 20),
            content: Content::Blank,
            table: None,
            write_cache: false,
            discard: Discard::default(),
            dirty: false,
            damage: None,
            var_log_link: None,
            file_system: None,
            rootfs_partition: None,
            bootloader_in_gap: None,
            no_identity: false,
            held_open: false,
            held_elsewhere: false,
            scheme: Scheme::default(),
            disk_id: None,
            gap: Gap::default(),
            partitions: Vec::new(),
        }
    }
}

/// Damage of a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableDamage {
    /// The second partition starts inside of the first (MBR).
    Overlapping,
    /// The last partition ends far behind the medium (MBR).
    PastEnd,
    /// A GPT whose MBR has an entry for the rootfs, too.
    Hybrid,
    /// The protective MBR of a GPT without the GPT.
    ProtectiveOnly,
}

/// Damage of a rootfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystemDamage {
    /// fsck repairs it.
    Repairable,
    /// fsck cannot repair it.
    Fatal,
}

/// LED statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatusSpec {
    /// Green blinks.
    Success,
    /// Red blinks.
    Failure,
    /// Red flickers.
    Critical,
    /// Still running.
    Running,
    /// Nothing was ever shown.
    Dark,
}

/// Why a scenario file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {detail}")]
pub struct ScenarioError {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The error, with a hint.
    pub detail: String,
}

impl Scenario {
    /// The scenario as the text of a file, without defaults.
    ///
    /// # Errors
    /// If it cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, String> {
        super::toml_text::write(self)
    }

    /// Reads a scenario; `file` names it in errors.
    ///
    /// # Errors
    /// [`ScenarioError`] with the line.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text[..start].matches('\n').count() + 1;
            let detail = error.message().trim().to_owned();
            ScenarioError { file: file.to_owned(), line: check::line_of_key(text, line, &detail), detail }
        })?;
        match check::check(&scenario) {
            Ok(()) => Ok(scenario),
            Err(wrong) => Err(ScenarioError {
                file: file.to_owned(),
                line: wrong.place.line(text),
                detail: wrong.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_file_line_and_what_is_known() {
        let text = "about = \"x\"\n[drive]\nlenght = \"1 MiB\"\n[expect]\nstatus = \"success\"\n";
        let error = Scenario::parse(text, "x.toml").unwrap_err().to_string();
        assert!(
            error.starts_with("x.toml:3: ") && error.contains("lenght") && error.contains("len"),
            "{error}"
        );
    }
}
