//! The board's block devices in sysfs.
//!
//! Only whole devices that can be media are listed: no RAM disks, no eMMC boot areas, no flash chips, no mappings over
//! other devices, and no loop device without a backing. Names such as `sda` can change from boot to boot; the
//! controller path does not. What uses a device is found in [`super::usage`].

use super::roots::{KernelRoots, attribute, number};
use super::usage::Usage;
use crate::{BlockDevice, DeviceKind, DeviceName, Error, Partition, Result};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Sizes and offsets in sysfs are in units of 512 bytes, whatever the sector size
/// (`Documentation/ABI/stable/sysfs-block`).
pub(super) const SYSFS_UNIT_BYTES: u64 = 512;

/// All whole block devices that can be media. `read_only` is the kernel's flag, even if a killed run left it behind.
///
/// # Errors
/// If `/sys/block` or the mount table cannot be read. A device that is removed meanwhile is left out.
pub(super) fn list(roots: &KernelRoots) -> Result<Vec<BlockDevice>> {
    let directory = roots.sys.join("block");
    let failed = |error| Error::from_io(error, "listing", directory.display().to_string());
    let usage = Usage::read(roots)?;
    let mut devices = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(name) = name.to_str() else { continue };
        let Ok(path) = std::fs::canonicalize(directory.join(name)) else { continue };
        if is_medium(name, &path) {
            devices.push(device(roots, &usage, name, &path)?);
        }
    }
    Ok(devices)
}

fn is_medium(name: &str, path: &Path) -> bool {
    const NOT_MEDIA: [&str; 8] = ["ram", "zram", "dm-", "md", "sr", "fd", "nbd", "mtdblock"];
    let numbered = |prefix: &&str| {
        name.strip_prefix(*prefix).is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
    };
    let boot_area = name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
    let empty_loop = name.starts_with("loop") && attribute(path, "loop/backing_file").is_none();
    // NVMe multipath shows each path as a hidden device beside the real one.
    let hidden = number(path, "hidden") == Some(1);
    !NOT_MEDIA.iter().any(numbered) && !boot_area && !empty_loop && !hidden
}

fn device(roots: &KernelRoots, usage: &Usage, name: &str, path: &Path) -> Result<BlockDevice> {
    let kind = kind(name, path);
    let partitions = partitions(path);
    Ok(BlockDevice {
        name: DeviceName::parse(name)?,
        kind,
        controller_path: controller_path(roots, path),
        identity: identity(kind, path),
        len_bytes: number(path, "size").unwrap_or(0).saturating_mul(SYSFS_UNIT_BYTES),
        sector_len_bytes: number(path, "queue/logical_block_size")
            .and_then(|len| u32::try_from(len).ok())
            .unwrap_or(512),
        // This attribute is the RMB bit of SCSI only: 0 for SD cards and for most USB sticks.
        removable: number(path, "removable") == Some(1) || matches!(kind, DeviceKind::Sd | DeviceKind::Usb),
        read_only: number(path, "ro") == Some(1),
        has_boot_areas: roots.sys.join("block").join(format!("{name}boot0")).exists(),
        in_use: usage.of(path, &partitions),
        partitions,
    })
}

/// The erase group of a card with the sysfs directory `path`, or the unit of discards of another device.
pub(super) fn erase_group_bytes(path: &Path) -> Option<u64> {
    let units = ["device/preferred_erase_size", "queue/discard_granularity"];
    units.into_iter().filter_map(|name| number(path, name)).find(|unit| *unit > 0)
}

/// The unit of discards of the device with the sysfs directory `path`; `None` if it does not support them. Cards have an
/// erase group, which the kernel may not have in `discard_granularity`.
pub(super) fn discard_unit_bytes(path: &Path, sector_len_bytes: u32) -> Option<u64> {
    number(path, "queue/discard_max_bytes").filter(|max| *max > 0)?;
    let units = ["queue/discard_granularity", "device/preferred_erase_size"];
    let units = units.into_iter().filter_map(|name| number(path, name));
    let unit = units.fold(u64::from(sector_len_bytes), u64::max);
    // Without a power of two, no range is known to be whole units.
    Some(unit).filter(|unit| unit.is_power_of_two())
}

/// By the buses on the path: the subsystem of a SCSI disk is "scsi" for SATA and for USB.
fn kind(name: &str, path: &Path) -> DeviceKind {
    if name.starts_with("loop") {
        DeviceKind::Loop
    } else if is_on_usb(path) {
        DeviceKind::Usb
    } else if passes(path, "ata") {
        DeviceKind::Sata
    } else if passes(path, "nvme") {
        DeviceKind::Nvme
    } else {
        match attribute(path, "device/type").as_deref() {
            Some("MMC") => DeviceKind::Emmc,
            Some("SD") => DeviceKind::Sd,
            _ => DeviceKind::Other,
        }
    }
}

/// Whether the device or partition with the sysfs directory `path` is attached by USB.
pub(super) fn is_on_usb(path: &Path) -> bool {
    passes(path, "usb")
}

/// Whether the name of a directory on the path is `prefix` and a number.
fn passes(path: &Path, prefix: &str) -> bool {
    path.components().any(|component| {
        let component = component.as_os_str().to_string_lossy();
        component
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|digit| digit.is_ascii_digit()))
    })
}

/// The path in `/sys/devices` without the block device itself.
pub(super) fn controller_path(roots: &KernelRoots, path: &Path) -> String {
    let devices =
        std::fs::canonicalize(roots.sys.join("devices")).unwrap_or_else(|_| roots.sys.join("devices"));
    let below = path.strip_prefix(&devices).unwrap_or(path);
    let parent = below.parent().unwrap_or(below);
    let parent = if parent.ends_with("block") { parent.parent().unwrap_or(parent) } else { parent };
    parent.display().to_string()
}

/// Identifies this unit. The prefix separates numbers of different origin.
fn identity(kind: DeviceKind, path: &Path) -> Option<String> {
    match kind {
        DeviceKind::Sd | DeviceKind::Emmc => attribute(path, "device/cid").map(|cid| format!("mmc:{cid}")),
        DeviceKind::Nvme => {
            let serial = attribute(path, "device/serial").or_else(|| attribute(path, "wwid"))?;
            Some(format!("nvme:{serial}"))
        }
        DeviceKind::Usb => usb_identity(path).or_else(|| scsi_identity(path)),
        DeviceKind::Loop => {
            // Two loop devices over one file are one medium.
            let file = std::fs::metadata(attribute(path, "loop/backing_file")?).ok()?;
            Some(format!("loop:{}:{}", file.dev(), file.ino()))
        }
        _ => {
            scsi_identity(path).or_else(|| attribute(path, "serial").map(|serial| format!("serial:{serial}")))
        }
    }
}

fn scsi_identity(path: &Path) -> Option<String> {
    // Vital product data page 0x80: a header of four bytes, then the serial number (SPC-4, 7.8.18).
    let page = std::fs::read(path.join("device/vpd_pg80")).unwrap_or_default();
    let serial = String::from_utf8_lossy(page.get(4..).unwrap_or_default());
    let serial = serial.trim_matches(|character: char| character.is_whitespace() || character == '\0');
    if !serial.is_empty() {
        return Some(format!("serial:{serial}"));
    }
    let wwid = attribute(path, "device/wwid").map(|wwid| format!("wwid:{wwid}"));
    wwid.or_else(|| attribute(path, "device/serial").map(|serial| format!("serial:{serial}")))
}

/// The serial number of the USB device of the disk, with the logical unit number: a card reader has several units.
fn usb_identity(path: &Path) -> Option<String> {
    let usb = path.ancestors().find(|ancestor| ancestor.join("idVendor").exists())?;
    let serial = attribute(usb, "serial")?;
    let (vendor, product) = (attribute(usb, "idVendor")?, attribute(usb, "idProduct")?);
    let unit = std::fs::canonicalize(path.join("device"))
        .ok()
        .and_then(|device| device.file_name()?.to_str()?.rsplit(':').next().map(str::to_owned))
        .unwrap_or_else(|| "0".to_owned());
    Some(format!("usb:{vendor}:{product}:{serial}:{unit}"))
}

/// The partitions of the whole device whose sysfs directory is `path`, by number.
pub(super) fn partitions(path: &Path) -> Vec<Partition> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let mut partitions: Vec<Partition> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number_in_table = u32::try_from(number(&entry.path(), "partition")?).ok()?;
            Some(Partition {
                name: DeviceName::parse(entry.file_name().to_str()?).ok()?,
                number: number_in_table,
                start_bytes: number(&entry.path(), "start")?.saturating_mul(SYSFS_UNIT_BYTES),
                len_bytes: number(&entry.path(), "size")?.saturating_mul(SYSFS_UNIT_BYTES),
            })
        })
        .collect();
    partitions.sort_by_key(|partition| partition.number);
    partitions
}

#[cfg(test)]
mod tests;
