//! Finds the drive, mounts it, and reads its profiles and settings.
//!
//! The drive is the first partition on USB that is labelled `REPLICATOR` or has a `replicator.toml` in its root. It is
//! mounted read-only here; a step that writes to it remounts it.

use crate::drive_file::read_small;
use crate::error::{Error, Refusal, Result};
use crate::formats::text;
use crate::operation::Operation;
use crate::options::Settings;
use crate::profile::Profile;
use replicator_hal::{
    Access, BlockDevice, DeviceKind, DeviceName, ErrorKind, FileSystem, Holder, ReadTree, Region,
    RelativePath, Volume,
};

/// Label of the drive's partition.
pub(crate) const LABEL: &str = "REPLICATOR";
/// Settings file in the drive's root. A partition with this file is a drive, too.
pub(crate) const SETTINGS: &str = "replicator.toml";

/// Directory of further board profiles.
pub(crate) const PROFILES: &str = "boards";

const PROFILES_MAX: usize = 200;
const SETTINGS_LIMIT_BYTES: usize = 64 << 10;
const ROOT_NAMES_MAX: usize = 100_000;

/// Which device is the drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriveChoice {
    /// Look for it on USB.
    Discover,
    /// This partition or whole device.
    Named(DeviceName),
}

/// Where the drive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The whole device.
    pub disk: BlockDevice,
    /// Number of the partition; `None` if the file system lies on the whole device.
    pub partition: Option<u32>,
    /// The partition or device.
    pub region: Region,
    /// The file system found there.
    pub file_system: FileSystem,
}

/// The drive, mounted.
pub(crate) struct Drive {
    /// Where it is.
    pub place: Place,
    /// Its files.
    pub volume: Box<dyn Volume>,
}

/// Waits for the drive and mounts it read-only.
///
/// # Errors
/// `NoDrive` if none appears in time; the message has the last obstacle.
pub(crate) fn find(operation: &Operation<'_>, choice: &DriveChoice) -> Result<Drive> {
    let started = operation.board.clock.monotonic();
    let mut obstacle = String::new();
    loop {
        match look(operation, choice, &mut obstacle) {
            Ok(Some(drive)) => return Ok(drive),
            Ok(None) => {}
            Err(error) => obstacle = error.to_string(),
        }
        let waited = operation.board.clock.monotonic().saturating_sub(started);
        if waited >= operation.tuning.drive_wait {
            let mut what = match choice {
                DriveChoice::Discover => "no drive was found on USB".to_owned(),
                DriveChoice::Named(name) => format!("{name} cannot be used as the drive"),
            };
            if !obstacle.is_empty() {
                what.push_str(&format!(" ({obstacle})"));
            }
            return Err(Error::refused(Refusal::NoDrive, what));
        }
        operation.board.leds.renew(operation.tuning.io_lease);
        operation.board.clock.sleep(operation.tuning.drive_poll);
    }
}

fn look(operation: &Operation<'_>, choice: &DriveChoice, obstacle: &mut String) -> Result<Option<Drive>> {
    let mut devices = operation.board.devices.list().map_err(Error::hal("listing block devices"))?;
    devices.sort_by(|one, other| one.name.cmp(&other.name));
    for disk in devices {
        for (partition, region, certain) in candidates(&disk, choice) {
            match try_mount(operation, &disk, partition, region, certain) {
                Ok(Some(drive)) => return Ok(Some(drive)),
                Ok(None) => {}
                Err(error) => {
                    operation.log(&format!("not the drive: {error}"));
                    *obstacle = error.to_string();
                }
            }
        }
    }
    Ok(None)
}

/// Places on `disk` that may be the drive; `true` if the user named this place.
fn candidates(disk: &BlockDevice, choice: &DriveChoice) -> Vec<(Option<u32>, Region, bool)> {
    if disk.len_bytes == 0 {
        return Vec::new();
    }
    let whole =
        || Region { holder: Holder::Device(disk.name.clone()), offset_bytes: 0, len_bytes: disk.len_bytes };
    let parts = || {
        let mut partitions: Vec<_> = disk.partitions.iter().collect();
        partitions.sort_by_key(|partition| partition.number);
        partitions
    };
    let region = |partition: &replicator_hal::Partition| Region {
        holder: Holder::Device(partition.name.clone()),
        offset_bytes: 0,
        len_bytes: partition.len_bytes,
    };
    match choice {
        DriveChoice::Discover if disk.kind != DeviceKind::Usb => Vec::new(),
        DriveChoice::Named(name) if name == &disk.name && disk.partitions.is_empty() => {
            vec![(None, whole(), true)]
        }
        DriveChoice::Named(name) if name != &disk.name => parts()
            .into_iter()
            .filter(|partition| &partition.name == name)
            .map(|partition| (Some(partition.number), region(partition), true))
            .collect(),
        _ if disk.partitions.is_empty() => vec![(None, whole(), false)],
        _ => {
            parts().into_iter().map(|partition| (Some(partition.number), region(partition), false)).collect()
        }
    }
}

fn try_mount(
    operation: &Operation<'_>,
    disk: &BlockDevice,
    partition: Option<u32>,
    region: Region,
    certain: bool,
) -> Result<Option<Drive>> {
    let file_systems = &operation.board.file_systems;
    let Some(file_system) = operation
        .retry(|| file_systems.identify(&region))
        .map_err(Error::hal(format!("looking at {region}")))?
    else {
        return Ok(None);
    };
    let volume = file_systems
        .mount(&region, Access::ReadOnly)
        .map_err(Error::hal(format!("mounting {region} as the drive")))?;
    let place = Place { disk: disk.clone(), partition, region, file_system };
    let is_drive = if certain || place.file_system.label.as_deref() == Some(LABEL) {
        Ok(true)
    } else {
        has_settings(&volume)
    };
    if matches!(is_drive, Ok(true)) {
        return Ok(Some(Drive { place, volume }));
    }
    // Nothing was written there, so trying again is safe; without it, it would stay mounted.
    let unmounted =
        operation.retry(|| volume.unmount()).map_err(Error::hal(format!("unmounting {}", place.region)));
    is_drive.and(unmounted).map(|()| None)
}

fn has_settings(volume: &dyn ReadTree) -> Result<bool> {
    Ok(root_names(volume)?.iter().any(|name| name == SETTINGS.as_bytes()))
}

/// Checks and repairs a drive that was not unmounted cleanly, before anything on it is used: its journal may hold the
/// session of an unfinished capture, which a read-only mount does not show.
///
/// # Errors
/// Those of the check, except if there is no tool for the file system.
pub(crate) fn recover(operation: &Operation<'_>, drive: &mut Drive) -> Result<()> {
    let region = &drive.place.region;
    if !drive.place.file_system.needs_recovery {
        return Ok(());
    }
    operation.step("the drive was not unmounted cleanly: checking it");
    drive.volume.unmount().map_err(Error::hal("unmounting the drive to check it"))?;
    match operation.board.file_systems.fsck(region) {
        Ok(fsck) => operation.log(&fsck.output),
        Err(error) if error.kind() == ErrorKind::Unsupported && !drive.place.file_system.kind.is_ext() => {
            operation.log(&error.to_string());
        }
        Err(error) => return Err(Error::hal(format!("checking the drive {region}"))(error)),
    }
    drive.volume = operation
        .board
        .file_systems
        .mount(region, Access::ReadOnly)
        .map_err(Error::hal("mounting the drive after its check"))?;
    Ok(())
}

/// The names in the drive's root, sorted.
///
/// # Errors
/// If the directory cannot be read, or has too many names.
pub(crate) fn root_names(volume: &dyn ReadTree) -> Result<Vec<Vec<u8>>> {
    let entries = volume.list(&RelativePath::root()).map_err(Error::hal("listing the drive"))?;
    if entries.len() > ROOT_NAMES_MAX {
        return Err(Error::refused(
            Refusal::MisspeltNames,
            format!("the drive's root holds {} files", entries.len()),
        ));
    }
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
    names.sort();
    Ok(names)
}

/// The board profiles on the drive, `boards/*.toml`, in the order of their names.
///
/// # Errors
/// `WrongBoard` if one cannot be used, because it may be this board's.
pub(crate) fn read_profiles(volume: &dyn ReadTree, names: &[Vec<u8>]) -> Result<Vec<Profile>> {
    if !names.iter().any(|name| name == PROFILES.as_bytes()) {
        return Ok(Vec::new());
    }
    let refuse = |file: &str, detail: String| {
        Error::refused(Refusal::WrongBoard, format!("{PROFILES}/{file}: {detail}"))
    };
    let directory = RelativePath::parse(PROFILES).map_err(|error| refuse("", error.to_string()))?;
    let entries = volume.list(&directory).map_err(Error::hal(format!("listing {PROFILES} on the drive")))?;
    let is_profile = |name: &&str| name.ends_with(".toml") && !name.starts_with('.');
    let found = entries.iter().filter_map(|entry| std::str::from_utf8(&entry.name).ok()).filter(is_profile);
    let mut files: Vec<&str> = found.collect();
    files.sort_unstable();
    if files.len() > PROFILES_MAX {
        return Err(refuse("", format!("{} profiles are too many", files.len())));
    }
    let read = |file: &str| {
        let refuse = |detail: String| refuse(file, detail);
        let path = directory.join(file).map_err(|error| refuse(error.to_string()))?;
        let bytes =
            read_small(volume, &path, SETTINGS_LIMIT_BYTES).map_err(|error| refuse(error.to_string()))?;
        let text = text::decode(&bytes).map_err(|error| refuse(error.to_string()))?;
        Profile::parse(text, file).map_err(|error| refuse(error.to_string()))
    };
    files.into_iter().map(read).collect()
}

/// The settings in the drive's `replicator.toml`; the defaults if there is none.
///
/// # Errors
/// `BadOptions`.
pub(crate) fn read_settings(volume: &dyn ReadTree, names: &[Vec<u8>]) -> Result<Settings> {
    if !names.iter().any(|name| name == SETTINGS.as_bytes()) {
        return Ok(Settings::default());
    }
    let refuse = |detail: String| Error::refused(Refusal::BadOptions, format!("{SETTINGS}: {detail}"));
    let path = RelativePath::parse(SETTINGS).map_err(|error| refuse(error.to_string()))?;
    let bytes = read_small(volume, &path, SETTINGS_LIMIT_BYTES).map_err(|error| refuse(error.to_string()))?;
    let text = text::decode(&bytes).map_err(|error| refuse(error.to_string()))?;
    Settings::parse(text).map_err(|error| Error::refused(Refusal::BadOptions, error.to_string()))
}
