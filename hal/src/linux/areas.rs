//! Bootloader areas in sysfs: the boot areas of eMMCs, and flash chips as MTD block devices.

use super::roots::{KernelRoots, attribute, number};
use super::sysfs::{SYSFS_UNIT_BYTES, controller_path};
use crate::{AreaKind, BootloaderArea, DeviceName, Error, Result};
use std::path::Path;

/// All bootloader areas.
///
/// # Errors
/// If `/sys/block` cannot be read. An area that is removed meanwhile is left out.
pub(super) fn list(roots: &KernelRoots) -> Result<Vec<BootloaderArea>> {
    let directory = roots.sys.join("block");
    let failed = |error| Error::from_io(error, "listing", directory.display().to_string());
    let mut areas = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some((name, kind)) = name.to_str().and_then(|name| Some((name, kind(name)?))) else { continue };
        let Ok(path) = std::fs::canonicalize(directory.join(name)) else { continue };
        areas.push(area(roots, name, kind, &path)?);
    }
    Ok(areas)
}

/// The kind of the area with this name; `None` for any other device.
pub(super) fn kind(name: &str) -> Option<AreaKind> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((device, area)) = name.strip_prefix("mmcblk").and_then(|rest| rest.split_once("boot")) {
        let number = area.parse().ok().filter(|_| is_number(device) && is_number(area))?;
        return Some(AreaKind::EmmcBoot {
            device: DeviceName::parse(format!("mmcblk{device}")).ok()?,
            number,
        });
    }
    name.strip_prefix("mtdblock").filter(|rest| is_number(rest)).map(|_| AreaKind::Flash)
}

fn area(roots: &KernelRoots, name: &str, kind: AreaKind, path: &Path) -> Result<BootloaderArea> {
    let refuses = number(path, "ro") == Some(1);
    let read_only = match kind {
        // `ro` shows `force_ro` too; this lock lasts until power is removed.
        AreaKind::EmmcBoot { .. } => {
            number(path, "ro_lock_until_next_power_on") == Some(1)
                || refuses && number(path, "force_ro") == Some(0)
        }
        AreaKind::Flash => refuses,
    };
    let flash = name.strip_prefix("mtdblock").map(|number| roots.sys.join(format!("class/mtd/mtd{number}")));
    Ok(BootloaderArea {
        name: DeviceName::parse(name)?,
        kind,
        controller_path: controller_path(roots, path),
        label: flash.and_then(|directory| attribute(&directory, "name")),
        len_bytes: number(path, "size").unwrap_or(0).saturating_mul(SYSFS_UNIT_BYTES),
        read_only,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn roots(directory: &Path) -> KernelRoots {
        std::fs::create_dir_all(directory.join("sys/block")).unwrap();
        std::fs::create_dir_all(directory.join("sys/devices")).unwrap();
        KernelRoots { sys: directory.join("sys"), proc: directory.join("proc"), ..KernelRoots::default() }
    }

    fn device(roots: &KernelRoots, path: &str, attributes: &[(&str, &str)]) {
        let directory = roots.sys.join("devices").join(path);
        std::fs::create_dir_all(&directory).unwrap();
        for (name, value) in attributes {
            std::fs::write(directory.join(name), format!("{value}\n")).unwrap();
        }
        symlink(&directory, roots.sys.join("block").join(path.rsplit('/').next().unwrap())).unwrap();
    }

    #[test]
    fn boot_areas_and_flash_are_listed_and_media_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(directory.path());
        let emmc = "soc/2190000.mmc/mmc_host/mmc0/mmc0:0001/block";
        device(&roots, &format!("{emmc}/mmcblk0"), &[("size", "7471104"), ("force_ro", "0")]);
        device(&roots, &format!("{emmc}/mmcblk0boot0"), &[("size", "4096"), ("force_ro", "1"), ("ro", "1")]);
        let locked = [("size", "4096"), ("force_ro", "1"), ("ro_lock_until_next_power_on", "1")];
        device(&roots, &format!("{emmc}/mmcblk0boot1"), &locked);
        device(&roots, &format!("{emmc}/mmcblk0rpmb"), &[("size", "256")]);
        device(&roots, "soc/20c8000.spi/spi0.0/mtd/mtd0/mtdblock0", &[("size", "4096"), ("ro", "0")]);
        std::fs::create_dir_all(roots.sys.join("class/mtd/mtd0")).unwrap();
        std::fs::write(roots.sys.join("class/mtd/mtd0/name"), "uboot\n").unwrap();
        let mut areas = list(&roots).unwrap();
        areas.sort_by(|one, other| one.name.cmp(&other.name));
        let names: Vec<_> = areas.iter().map(|area| (area.name.as_str(), area.read_only)).collect();
        assert_eq!(names, [("mmcblk0boot0", false), ("mmcblk0boot1", true), ("mtdblock0", false)]);
        let boot0 = AreaKind::EmmcBoot { device: DeviceName::parse("mmcblk0").unwrap(), number: 0 };
        assert_eq!((&areas[0].kind, areas[0].len_bytes), (&boot0, 2 << 20));
        assert!(areas[0].controller_path.contains("2190000.mmc"), "{}", areas[0].controller_path);
        assert_eq!((areas[2].kind.clone(), areas[2].label.as_deref()), (AreaKind::Flash, Some("uboot")));
    }

    #[test]
    fn only_whole_names_are_areas() {
        for name in
            ["mmcblk0", "mmcblk0p1", "mmcblkboot0", "mmcblk0boot", "mmcblk0boot0p1", "mtdblock", "sda"]
        {
            assert_eq!(kind(name), None, "{name}");
        }
    }

    #[test]
    fn without_sysfs_the_list_is_an_error_and_not_empty() {
        let directory = tempfile::tempdir().unwrap();
        let roots = KernelRoots { sys: directory.path().join("absent"), ..KernelRoots::default() };
        assert!(list(&roots).is_err());
    }
}
