//! The board of a scenario: its profile, its media, its drive, and the engine's tuning for a small world.

use crate::board::world::WorldBuilder;
use crate::model::hardware::content::{Content, FileSystemContent, PartitionContent};
use crate::model::hardware::medium::Medium;
use crate::model::hardware::simfs::Kind;
use crate::scenario::content::{self, Owner};
use crate::scenario::media::{DRIVE, identity_of, kinds, media_names, wall_clock};
use crate::scenario::schema::{DriveFileSystem, DriveSpec, MediumSpec, Scenario};
use crate::scenario::{boards, firmware, image};
use replicator_engine::boot::Request;
use replicator_engine::drive::DriveChoice;
use replicator_engine::formats::codec::{XzSettings, ZstdSettings};
use replicator_engine::profile::{self, BoardChoice, FileSystemFlavour, MediumProfile, Profile};
use replicator_engine::tuning::Tuning;
use replicator_hal::DeviceKind;
use std::collections::BTreeMap;

/// The board's `compatible` string.
pub const COMPATIBLE: &str = "sim,board";
/// Where the drive's partition starts.
const DRIVE_START_BYTES: u64 = 32 << 10;

/// The engine's request for a scenario.
///
/// # Errors
/// If a medium is invalid.
pub(super) fn request(scenario: &Scenario) -> Result<Request, String> {
    let mut media = Vec::new();
    for name in media_names(scenario) {
        let spec = &scenario.media[&name];
        media.push(MediumProfile {
            kind: kinds(&name, spec)?.0,
            controller: Some(format!("{name}-controller")),
            device: None,
            file_system: flavour(spec)?,
            rootfs_partition: spec.rootfs_partition.unwrap_or(1),
            bootloader_in_gap: spec.bootloader_in_gap,
            only: Vec::new(),
            name,
        });
    }
    let text = format!("name = \"sim\"\nmatch = [\"{COMPATIBLE}\"]");
    let mut profile = Profile::parse(&text, "sim").map_err(|error| error.to_string())?;
    profile.media = media;
    if let Some(spec) = &scenario.firmware {
        let board = boards::profile(&spec.board)?.clone();
        profile.matches = board.matches;
        (profile.revision, profile.bootloader) = (board.revision, board.bootloader);
        (profile.microcontroller, profile.fpga) = (board.microcontroller, board.fpga);
    }
    Ok(Request {
        board: BoardChoice::Discover(vec![profile]),
        firmware_names: profile::firmware_names(boards::all()),
        drive: DriveChoice::Discover,
        media: None,
        tuning: tuning(),
        version: "0.1.0".into(),
    })
}

fn flavour(spec: &MediumSpec) -> Result<FileSystemFlavour, String> {
    match spec.file_system.as_deref() {
        None => Ok(FileSystemFlavour::default()),
        Some("ext2") => Ok(FileSystemFlavour::Ext2),
        Some("ext3") => Ok(FileSystemFlavour::Ext3),
        Some("ext4") => Ok(FileSystemFlavour::Ext4),
        Some("ext4compat") => Ok(FileSystemFlavour::Ext4Compat),
        Some("ext4gpt") => Ok(FileSystemFlavour::Ext4Gpt),
        Some(other) => Err(format!("unknown file system {other:?}")),
    }
}

/// Small pieces, so that a small medium takes many steps, and a fast encoder.
fn tuning() -> Tuning {
    Tuning {
        chunk_len_bytes: 64 << 10,
        xz: XzSettings { preset: 0, dictionary_len_bytes: Some(64 << 10), block_len_bytes: 1 << 20 },
        zstd: ZstdSettings { level: 1, frame_len_bytes: 1 << 20 },
        tar_list_bytes: 64 << 10,
        ..Tuning::default()
    }
}

/// The world at the beginning of the scenario, without faults.
///
/// # Errors
/// If the scenario is invalid or something does not fit.
pub(crate) fn world(scenario: &Scenario) -> Result<WorldBuilder, String> {
    let mut builder =
        WorldBuilder::new().seed(scenario.seed).wall_clock(wall_clock(scenario)).keep_trace(true);
    builder = builder.kernel_lacks(&scenario.kernel_lacks);
    for text in compatible(scenario)? {
        builder = builder.compatible(&text);
    }
    if let Some(spec) = &scenario.firmware {
        let state = firmware::state(spec, boards::profile(&spec.board)?)?;
        builder = builder.firmware(state).kernel_command_line(&spec.command_line);
    }
    if !scenario.drive.absent {
        builder = builder.medium(drive(scenario)?);
    }
    let mut devices: BTreeMap<String, String> = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in media_names(scenario) {
        let spec = &scenario.media[&name];
        let device_kind = kinds(&name, spec)?.1;
        let prefix = match device_kind {
            DeviceKind::Sd | DeviceKind::Emmc => "mmcblk",
            DeviceKind::Nvme => "nvme",
            _ => "sd",
        };
        let count = counts.entry(prefix).or_default();
        let device = match prefix {
            "mmcblk" => format!("mmcblk{count}"),
            "nvme" => format!("nvme{count}n1"),
            // `sda` is the drive.
            _ => format!("sd{}", char::from(b'b' + *count as u8)),
        };
        *count += 1;
        builder = builder.medium(medium(scenario, &name, &device, device_kind)?);
        if !spec.absent {
            devices.insert(name, device);
        }
    }
    if let Some(area) = firmware::area(scenario, |medium| devices.get(medium).cloned())? {
        builder = builder.medium(area);
    }
    Ok(builder)
}

/// The `compatible` strings of the device tree.
fn compatible(scenario: &Scenario) -> Result<Vec<String>, String> {
    if let Some(given) = &scenario.compatible {
        return Ok(given.clone());
    }
    let Some(spec) = &scenario.firmware else { return Ok(vec![COMPATIBLE.to_owned()]) };
    let first = || boards::profile(&spec.board).map(|board| board.matches.first().cloned());
    let board = spec.compatible.clone().map_or_else(first, |given| Ok(Some(given)))?;
    Ok(board.into_iter().collect())
}

fn medium(scenario: &Scenario, name: &str, device: &str, kind: DeviceKind) -> Result<Medium, String> {
    let spec = &scenario.media[name];
    let len_bytes = if spec.absent { 0 } else { spec.len.0 };
    let mut medium = Medium::new(name, device, kind, len_bytes).with(|identity| {
        identity.another_holder = spec.held_open;
        identity.held_elsewhere = spec.held_elsewhere;
        identity.write_cache = spec.write_cache;
        identity.discard = spec.discard;
        identity.serial = (!spec.no_identity).then(|| identity_of(name));
    });
    if !spec.absent {
        let owner = Owner::in_scenario(scenario, name, 0);
        let pages = content::medium(spec, &owner).map_err(|error| format!("media.{name}: {error}"))?;
        medium = medium.content(Content::Pages(pages));
    }
    Ok(medium)
}

fn drive(scenario: &Scenario) -> Result<Medium, String> {
    let spec: &DriveSpec = &scenario.drive;
    let kind = match spec.file_system {
        DriveFileSystem::Ext4 => Kind::Ext4,
        DriveFileSystem::Vfat => Kind::Vfat,
        DriveFileSystem::Exfat => Kind::Exfat,
    };
    let mut entries = Vec::new();
    for file in &spec.files {
        entries.extend(image::entries(scenario, file)?);
    }
    let mut file_system = FileSystemContent::new(kind, entries);
    file_system.label = Some(spec.label.clone()).filter(|label| !label.is_empty());
    let partition = PartitionContent {
        mbr_type: if kind.unix() { 0x83 } else { 0x0c },
        start_bytes: DRIVE_START_BYTES,
        len_bytes: spec.len.0,
        file_system: Some(file_system),
    };
    let len_bytes = spec.disk_len.map_or(spec.len.0, |len| len.0) + DRIVE_START_BYTES;
    Ok(Medium::new(DRIVE, "sda", DeviceKind::Usb, len_bytes)
        .content(Content::Partitions("drive".to_owned(), vec![partition])))
}
