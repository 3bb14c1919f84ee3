//! Finds the device of each medium of the board.
//!
//! A medium is found by its controller, kind and boot areas; the profile's device name is the fallback, because device
//! numbers change with kernels. The disk of the drive is never a medium.

use crate::error::{Error, Refusal, Result};
use crate::operation::Operation;
use crate::profile::{MediumKind, MediumProfile, Profile, is_for};
use crate::size::Size;
use replicator_hal::{BlockDevice, DeviceKind, DeviceName};
use std::collections::BTreeMap;

/// A medium of this board, present or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// Its profile; `profile.name` is its generic name.
    pub profile: MediumProfile,
    /// The device, if one with a medium in it was found.
    pub device: Option<BlockDevice>,
}

impl Medium {
    /// The generic name, such as `sd`.
    pub fn name(&self) -> &str {
        &self.profile.name
    }

    /// Its device in words, such as `mmcblk0 (SD, 7.4 GiB)`.
    pub(crate) fn device_text(&self) -> String {
        self.device.as_ref().map_or_else(
            || "not present".to_owned(),
            |device| format!("{} ({}, {})", device.name, device.kind, Size(device.len_bytes)),
        )
    }
}

/// The board's media in the order of the profile, absent ones included. A device is at most one medium.
///
/// `named` replaces discovery: only the media in it are present. Devices on `drive_disk` are ignored.
///
/// # Errors
/// `MediumUnfit` if a named device is missing, is the drive, or is named twice; `MediumAbsent` if a named medium is not in
/// the profile.
pub fn find(
    profile: &Profile,
    compatible: &[String],
    devices: &[BlockDevice],
    drive_disk: &DeviceName,
    named: Option<&BTreeMap<String, DeviceName>>,
) -> Result<Vec<Medium>> {
    if let Some(named) = named {
        return find_named(profile, devices, drive_disk, named);
    }
    let mut media: Vec<_> =
        profile.media.iter().map(|medium| Medium { profile: medium.clone(), device: None }).collect();
    // All controllers first: a device on the controller of one medium must not be found as another by its name.
    for by_name in [false, true] {
        for index in 0..media.len() {
            let medium = &media[index].profile;
            if media[index].device.is_some() || !is_for(&medium.only, compatible) {
                continue;
            }
            let free = devices.iter().filter(|device| {
                let is_taken = |other: &Medium| other.device.as_ref().is_some_and(|d| d.name == device.name);
                device.name != *drive_disk && may_be(medium, device) && !media.iter().any(is_taken)
            });
            media[index].device =
                if by_name { named_by_profile(medium, free) } else { on_its_controller(medium, free) };
        }
    }
    Ok(media)
}

fn find_named(
    profile: &Profile,
    devices: &[BlockDevice],
    drive_disk: &DeviceName,
    named: &BTreeMap<String, DeviceName>,
) -> Result<Vec<Medium>> {
    for name in named.keys() {
        if !profile.media.iter().any(|medium| &medium.name == name) {
            let known: Vec<_> = profile.media.iter().map(|medium| medium.name.as_str()).collect();
            return Err(Error::refused(
                Refusal::MediumAbsent,
                format!("profile {} has no medium {name}; it has {}", profile.name, known.join(", ")),
            ));
        }
    }
    let mut media: Vec<Medium> = Vec::new();
    for medium in &profile.media {
        let Some(wanted) = named.get(&medium.name) else {
            media.push(Medium { profile: medium.clone(), device: None });
            continue;
        };
        if wanted == drive_disk {
            return Err(Error::refused(
                Refusal::MediumUnfit,
                format!("{}: {wanted} is the drive", medium.name),
            ));
        }
        let Some(device) = devices.iter().find(|device| &device.name == wanted) else {
            return Err(Error::refused(
                Refusal::MediumUnfit,
                format!("{}: {wanted} is not a whole block device of this board", medium.name),
            ));
        };
        if let Some(other) = named.iter().find(|(name, other)| **name != medium.name && *other == wanted) {
            return Err(Error::refused(
                Refusal::MediumUnfit,
                format!("{wanted} cannot be both {} and {}", medium.name, other.0),
            ));
        }
        let device = (device.len_bytes > 0).then(|| device.clone());
        media.push(Medium { profile: medium.clone(), device });
    }
    Ok(media)
}

/// Whether `device` is of the right kind, with a medium in it.
fn may_be(medium: &MediumProfile, device: &BlockDevice) -> bool {
    device.kind != DeviceKind::Usb
        && device.len_bytes > 0
        && medium.kind.fits(device.kind)
        // An SD card has no boot areas; an eMMC without them is still an eMMC.
        && !(medium.kind == MediumKind::Sd && device.has_boot_areas)
}

fn on_its_controller<'a>(
    medium: &MediumProfile,
    mut devices: impl Iterator<Item = &'a BlockDevice>,
) -> Option<BlockDevice> {
    let controller = medium.controller.as_ref()?;
    devices.find(|device| on_controller(&device.controller_path, controller)).cloned()
}

fn named_by_profile<'a>(
    medium: &MediumProfile,
    mut devices: impl Iterator<Item = &'a BlockDevice>,
) -> Option<BlockDevice> {
    let name = medium.device.as_deref()?;
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    devices.find(|device| device.name.as_str() == name).cloned()
}

/// Whether one component of the path is `controller`, or starts with it up to a `.`: `f10d8000` finds `f10d8000.sdhci`.
fn on_controller(path: &str, controller: &str) -> bool {
    path.split('/').any(|component| {
        component.strip_prefix(controller).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Refuses a medium that is in use: its content may change during a capture, and a write would damage it for its user.
///
/// # Errors
/// `MediumBusy`, with the user.
pub(crate) fn check_not_in_use(label: &str, device: &BlockDevice) -> Result<()> {
    let Some(user) = &device.in_use else { return Ok(()) };
    Err(Error::refused(Refusal::MediumBusy, format!("{label}: {} is in use ({user})", device.name)))
}

/// The device with the name of the planned one, if it is still the same medium. It may be in use.
///
/// # Errors
/// `MediumUnfit`.
pub(crate) fn same_device(
    operation: &Operation<'_>,
    label: &str,
    planned: &BlockDevice,
) -> Result<BlockDevice> {
    let unfit = |detail: String| Error::refused(Refusal::MediumUnfit, format!("{label}: {detail}"));
    let devices = operation.board.devices.list().map_err(Error::hal("listing block devices"))?;
    let Some(device) = devices.into_iter().find(|device| device.name == planned.name) else {
        return Err(unfit(format!("{} was removed", planned.name)));
    };
    let same = device.identity == planned.identity
        && device.len_bytes == planned.len_bytes
        && device.kind == planned.kind
        && device.controller_path == planned.controller_path;
    if !same {
        return Err(unfit(format!("{} is not the medium that was found before", planned.name)));
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, kind: DeviceKind, path: &str) -> BlockDevice {
        BlockDevice {
            name: DeviceName::parse(name).unwrap(),
            kind,
            controller_path: path.into(),
            identity: None,
            len_bytes: 1 << 20,
            sector_len_bytes: 512,
            removable: false,
            read_only: false,
            has_boot_areas: kind == DeviceKind::Emmc,
            in_use: None,
            partitions: vec![],
        }
    }

    fn profile() -> Profile {
        Profile::parse(
            r#"
            name = "x"
            [[medium]]
            name = "sd"
            kind = "sd"
            controller = "2194000.mmc"
            device = "/dev/mmcblk1"
            [[medium]]
            name = "emmc"
            kind = "emmc"
            controller = "2198000.mmc"
            device = "/dev/mmcblk2"
            [[medium]]
            name = "sata"
            kind = "sata"
            controller = "2200000.sata"
            device = "/dev/sda"
            "#,
            "x.toml",
        )
        .unwrap()
    }

    fn names(media: &[Medium]) -> Vec<Option<&str>> {
        media.iter().map(|medium| medium.device.as_ref().map(|device| device.name.as_str())).collect()
    }

    #[test]
    fn the_controller_decides_over_the_device_number() {
        let devices = [
            device("mmcblk1", DeviceKind::Emmc, "soc/2198000.mmc/mmc_host/mmc1"),
            device("mmcblk2", DeviceKind::Sd, "soc/2194000.mmc/mmc_host/mmc2"),
            device("sda", DeviceKind::Usb, "soc/2184200.usb/ci_hdrc.1/usb2"),
            device("sdb", DeviceKind::Sata, "soc/2200000.sata/ata1/host0"),
        ];
        let media = find(&profile(), &[], &devices, &DeviceName::parse("sda").unwrap(), None).unwrap();
        assert_eq!(names(&media), [Some("mmcblk2"), Some("mmcblk1"), Some("sdb")]);
    }

    #[test]
    fn the_name_is_a_fallback_only_for_the_right_kind() {
        let devices = [
            device("mmcblk1", DeviceKind::Sd, "elsewhere/mmc0"),
            device("mmcblk2", DeviceKind::Sd, "elsewhere/mmc1"),
            device("sda", DeviceKind::Usb, "usb/1"),
        ];
        let media = find(&profile(), &[], &devices, &DeviceName::parse("sdz").unwrap(), None).unwrap();
        assert_eq!(
            names(&media),
            [Some("mmcblk1"), None, None],
            "an SD card is no eMMC, a USB disk no SATA disk"
        );
    }

    #[test]
    fn the_drive_and_empty_slots_are_not_media() {
        let mut empty = device("mmcblk2", DeviceKind::Emmc, "soc/2198000.mmc");
        empty.len_bytes = 0;
        let devices = [device("mmcblk1", DeviceKind::Sd, "soc/2194000.mmc"), empty];
        let media = find(&profile(), &[], &devices, &DeviceName::parse("mmcblk1").unwrap(), None).unwrap();
        assert_eq!(names(&media), [None, None, None]);
    }

    #[test]
    fn one_device_is_never_two_media() {
        let two_slots = Profile::parse(
            r#"
            name = "x"
            [[medium]]
            name = "sd"
            kind = "sd"
            controller = "2194000.mmc"
            device = "/dev/mmcblk0"
            [[medium]]
            name = "sd1"
            kind = "sd"
            controller = "2198000.mmc"
            device = "/dev/mmcblk1"
            "#,
            "x.toml",
        )
        .unwrap();
        let drive = DeviceName::parse("sda").unwrap();
        // The second slot is empty, and the card in the first one has the number that the second one's usually has.
        for order in [["2194000.mmc", "mmcblk1"], ["2198000.mmc", "mmcblk0"]] {
            let [controller, name] = order;
            let devices = [device(name, DeviceKind::Sd, controller)];
            let media = find(&two_slots, &[], &devices, &drive, None).unwrap();
            let expected = if controller == "2194000.mmc" { [Some(name), None] } else { [None, Some(name)] };
            assert_eq!(names(&media), expected, "{name} on {controller}");
        }
        let devices = [device("loop0", DeviceKind::Loop, "loop0")];
        let named =
            BTreeMap::from(["sd", "sd1"].map(|name| (name.to_owned(), DeviceName::parse("loop0").unwrap())));
        let error = find(&two_slots, &[], &devices, &drive, Some(&named)).unwrap_err();
        assert_eq!(error.code(), "R-MEDIUM");
    }

    #[test]
    fn named_media_replace_discovery() {
        let devices = [
            device("loop0", DeviceKind::Loop, "loop0"),
            device("mmcblk1", DeviceKind::Sd, "soc/2194000.mmc"),
        ];
        let named = BTreeMap::from([("emmc".to_owned(), DeviceName::parse("loop0").unwrap())]);
        let media =
            find(&profile(), &[], &devices, &DeviceName::parse("sda").unwrap(), Some(&named)).unwrap();
        assert_eq!(names(&media), [None, Some("loop0"), None]);
        let drive = DeviceName::parse("loop0").unwrap();
        assert_eq!(find(&profile(), &[], &devices, &drive, Some(&named)).unwrap_err().code(), "R-MEDIUM");
        let unknown = BTreeMap::from([("nvme".to_owned(), DeviceName::parse("loop0").unwrap())]);
        let error =
            find(&profile(), &[], &devices, &DeviceName::parse("sda").unwrap(), Some(&unknown)).unwrap_err();
        assert_eq!(error.code(), "R-ABSENT");
    }
}
