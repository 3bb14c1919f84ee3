//! Writes the bootloader: checks it, writes it while the old one is kept in memory, reads it back, and restores the old
//! one if that fails.
//!
//! If power fails between the first and the last byte, the board may not boot, and that cannot be prevented. So
//! everything is checked first, the drive is not read during the write, and the file that the boot ROM loads first is
//! written last. Before every read-back the area is closed and opened again: the kernel's MTD block driver keeps the last
//! erase block in its own memory until then.

use super::file::{FirmwareFile, check_len};
use super::imx_type::{self, ImxType};
use super::step::{self, Name, Step};
use super::{formats, region};
use crate::context::Context;
use crate::error::{Error, Refusal, Result};
use crate::operation::Operation;
use crate::profile::{BoardCheck, BootloaderFile, BootloaderProfile, CheckKind, is_for};
use crate::report::{Done, End, Outcome};
use crate::verify::Installed;
use replicator_hal::{self as hal, Access, AreaKind, BootloaderArea, Target};

const BOOTLOADER: Name = Name { label: "bootloader", log: "u-boot-writeimage" };
/// The state if the program fails during the write.
const UNKNOWN: &str = "the content of the bootloader's area is unknown";
/// The detail if the area does not hold what was written.
const NOT_KEPT: &str = "it reads back other bytes than were written";
/// How often restoring the old bootloader is tried.
const RESTORE_ATTEMPTS: usize = 3;

/// How much of an area is kept in memory, three times, during the write.
const KEPT_LEN_MAX_BYTES: u64 = 8 << 20;

/// A bootloader that passed its check.
#[derive(Debug)]
pub(crate) struct Checked {
    area: BootloaderArea,
    files: Vec<(BootloaderFile, FirmwareFile)>,
}

/// Checks the bootloader that is on the drive.
pub(super) fn step(context: &Context<'_>, profile: &BootloaderProfile) -> Step<Checked> {
    let files: Vec<_> = profile.files.iter().map(|file| file.name.as_str()).collect();
    Step::check(context, &BOOTLOADER, files.join(", "), |operation| check(operation, context, profile))
}

impl Step<Checked> {
    /// Writes the bootloader if it passed its check and there is no reason to `stop`.
    pub(crate) fn run(self, context: &Context<'_>, stop: Option<&str>) -> Outcome {
        let area = self.checked.as_ref().ok().map(|checked| checked.area.name.to_string());
        let (end, elapsed) = match (self.checked, stop) {
            (Err(error), _) => (End::Failed(error), self.checking),
            (_, Some(reason)) => (End::Skipped(reason.to_owned()), self.checking),
            (Ok(checked), None) => {
                let write = |operation: &Operation<'_>| write(operation, &checked);
                let (end, elapsed) = step::write(context, self.name, UNKNOWN, write);
                (end, self.checking + elapsed)
            }
        };
        self.name.outcome(area, &self.files, end, elapsed)
    }
}

/// Checks files, area and board; nothing is opened for writing.
///
/// # Errors
/// Refusals; errors of the drive.
fn check(operation: &Operation<'_>, context: &Context<'_>, profile: &BootloaderProfile) -> Result<Checked> {
    let area = find_area(operation, context, profile)?;
    let mut files = Vec::new();
    for file in &profile.files {
        let read = FirmwareFile::read(operation, &context.drive, &file.name, file.len_max_bytes)?;
        // The area may be shorter than the profile's place.
        let room = area.len_bytes.saturating_sub(file.region().start);
        check_len(&file.name, read.len_bytes(), room)?;
        if let Some(format) = file.format {
            formats::check(format, &read.content)
                .map_err(|what| Error::refused(Refusal::WrongFirmware, format!("{} {what}", file.name)))?;
        }
        files.push((file.clone(), read));
    }
    // On a system that is not a board of the profile, all checks are made, because it is not known which apply.
    let strange = !context.profile.fits(context.compatible);
    for check in profile.checks.iter().filter(|check| strange || is_for(&check.only, context.compatible)) {
        check_board(operation, check, &files)?;
    }
    Ok(Checked { area, files })
}

fn find_area(
    operation: &Operation<'_>,
    context: &Context<'_>,
    profile: &BootloaderProfile,
) -> Result<BootloaderArea> {
    let unfit = |what: String| Err(Error::refused(Refusal::AreaUnfit, what));
    let wanted = match (&profile.area.medium, profile.area.boot_area, &profile.area.device) {
        (Some(name), Some(number), _) => {
            let medium = context.media.iter().find(|medium| medium.name() == name);
            let Some(device) = medium.and_then(|medium| medium.device.as_ref()) else {
                return unfit(format!(
                    "the bootloader is in a boot area of {name}, and {name} is not present"
                ));
            };
            Wanted::BootArea { device: device.name.as_str(), number }
        }
        (_, _, Some(device)) => Wanted::Device(device.strip_prefix("/dev/").unwrap_or(device)),
        _ => return unfit("the profile does not name the place of the bootloader".into()),
    };
    let areas =
        operation.board.firmware.bootloader_areas().map_err(Error::hal("listing the bootloader areas"))?;
    let Some(area) = areas.iter().find(|area| wanted.is(area)) else {
        let known: Vec<_> = areas.iter().map(|area| area.name.as_str()).collect();
        return unfit(format!("{} was not found; the board has {known:?}", wanted.text()));
    };
    if area.read_only {
        return unfit(format!("{} is write-protected", area.name));
    }
    Ok(area.clone())
}

/// The area that a profile names.
enum Wanted<'a> {
    BootArea { device: &'a str, number: u8 },
    Device(&'a str),
}

impl Wanted<'_> {
    fn is(&self, area: &BootloaderArea) -> bool {
        match (self, &area.kind) {
            (Self::BootArea { device, number }, AreaKind::EmmcBoot { device: of, number: found }) => {
                of.as_str() == *device && found == number
            }
            (Self::Device(name), AreaKind::Flash) => area.name.as_str() == *name,
            _ => false,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::BootArea { device, number } => format!("boot area {number} of {device}"),
            Self::Device(name) => format!("flash {name}"),
        }
    }
}

fn check_board(
    operation: &Operation<'_>,
    check: &BoardCheck,
    files: &[(BootloaderFile, FirmwareFile)],
) -> Result<()> {
    let CheckKind::ImxType = check.kind;
    let line = operation
        .board
        .system
        .kernel_command_line()
        .map_err(Error::hal("reading the kernel's command line"))?;
    let content = files.iter().find(|(file, _)| file.name == check.file).map(|(_, read)| &read.content[..]);
    let refuse = |what: String| Err(Error::refused(Refusal::WrongVariant, what));
    match (imx_type::of_command_line(&line), imx_type::of_bootloader(content.unwrap_or_default())) {
        (ImxType::Known(board), ImxType::Known(file)) if board == file => Ok(()),
        (ImxType::Known(board), ImxType::Known(file)) => {
            refuse(format!("{} is for {file}, this board is {board}", check.file))
        }
        (ImxType::Unknown { reason }, _) => refuse(format!("the board's variant is unknown: {reason}")),
        (_, ImxType::Unknown { reason }) => {
            refuse(format!("the variant of {} is unknown: {reason}", check.file))
        }
    }
}

impl Checked {
    /// What the step will do, in words.
    pub(super) fn text(&self) -> String {
        let sidecars = self.sidecars();
        let sidecars = if sidecars.is_empty() { "no sidecar".into() } else { sidecars.join(", ") };
        format!("{} fit for {}, {sidecars}", self.names(), self.area.name)
    }

    /// Names of the files.
    fn names(&self) -> String {
        let names: Vec<_> = self.files.iter().map(|(file, _)| file.name.as_str()).collect();
        names.join(", ")
    }

    /// The sidecars of the files.
    fn sidecars(&self) -> Vec<&str> {
        self.files.iter().flat_map(|(_, read)| &read.sidecars).map(String::as_str).collect()
    }

    fn len_bytes(&self) -> u64 {
        self.files.iter().map(|(_, read)| read.len_bytes()).sum()
    }

    /// How much of the area is kept and compared: all of it, or of a very long one at least the files' places. Other data
    /// in the area, such as the environment, must not change.
    fn kept_len_bytes(&self) -> u64 {
        let place_end = |(file, read): &(BootloaderFile, FirmwareFile)| {
            file.region().end.max(file.region().start + read.len_bytes())
        };
        self.files.iter().map(place_end).fold(KEPT_LEN_MAX_BYTES, u64::max).min(self.area.len_bytes)
    }

    /// The expected content of the area: the old content with the files in their places.
    fn expected_content(&self, old: &[u8]) -> Vec<u8> {
        let mut wanted = old.to_vec();
        for (file, read) in &self.files {
            let start = file.region().start as usize;
            wanted[start..start + read.content.len()].copy_from_slice(&read.content);
        }
        wanted
    }
}

/// Writes a bootloader that was checked, unless it is in place already.
///
/// # Errors
/// Those of the area before the first byte is written; then [`Error::BootloaderRestored`] or [`Error::Unbootable`].
fn write(operation: &Operation<'_>, checked: &Checked) -> Result<Done> {
    let old = look(operation, checked)?;
    let wanted = checked.expected_content(&old.content);
    if let Ok(installed) = region::compare(&checked.area.name, &wanted, &old, NOT_KEPT) {
        operation.step("the bootloader is in place already: nothing is written");
        let notes = vec!["identical, nothing was written".to_owned()];
        return Ok(Done::firmware(checked.len_bytes(), &installed, notes));
    }
    // It may have to be restored, and misread bytes would break it.
    let again = look(operation, checked)?;
    let meaning = "two reads returned different bytes; nothing was written";
    region::compare(&checked.area.name, &old.content, &again, meaning)?;
    operation.step(&format!("writing {}: do not remove power", checked.names()));
    let target = open(operation, checked, Access::ReadWrite)?;
    // From the first byte on, until the new bootloader or the old one is verified.
    operation.board.leds.set_at_risk(true);
    match put(operation, checked, target, &wanted) {
        Ok((installed, mut target)) => {
            // It is in place and verified: the board boots it, even if closing the area fails.
            operation.board.leds.set_at_risk(false);
            target.close().map_err(closing(checked))?;
            Ok(Done::firmware(checked.len_bytes(), &installed, Vec::new()))
        }
        Err(error) => Err(restore_after(operation, checked, &old.content, error)),
    }
}

fn closing(checked: &Checked) -> impl FnOnce(hal::Error) -> Error {
    Error::hal(format!("protecting {} again", checked.area.name))
}

/// Reads the area. Its write protection stays on, which is removed for writing only.
fn look(operation: &Operation<'_>, checked: &Checked) -> Result<region::Found> {
    let mut target = open(operation, checked, Access::ReadOnly)?;
    let found =
        region::read(operation, &mut *target, checked.kept_len_bytes(), "reading the old bootloader")?;
    target.close().map_err(Error::hal(format!("closing {}", checked.area.name)))?;
    Ok(found)
}

/// Opens the area, if it is still the one that was checked.
fn open(operation: &Operation<'_>, checked: &Checked, access: Access) -> Result<Box<dyn Target>> {
    let firmware = &operation.board.firmware;
    let name = &checked.area.name;
    let areas = firmware.bootloader_areas().map_err(Error::hal("listing the bootloader areas"))?;
    if !areas.contains(&checked.area) {
        let what = format!("{name} is not the bootloader area that was checked");
        return Err(Error::refused(Refusal::AreaUnfit, what));
    }
    let target =
        firmware.open_bootloader_area(name, access).map_err(Error::hal(format!("opening {name}")))?;
    if target.len_bytes() < checked.kept_len_bytes() {
        return Err(Error::refused(
            Refusal::AreaUnfit,
            format!("{name} has only {} bytes", target.len_bytes()),
        ));
    }
    Ok(target)
}

/// Writes the files, the one at the lowest address last, and compares the area with `wanted`.
fn put(
    operation: &Operation<'_>,
    checked: &Checked,
    mut target: Box<dyn Target>,
    wanted: &[u8],
) -> Result<(Installed, Box<dyn Target>)> {
    let mut files: Vec<_> = checked.files.iter().collect();
    files.sort_by_key(|(file, _)| std::cmp::Reverse(file.block));
    for (file, read) in files {
        let doing = format!("writing {}", file.name);
        region::write(operation, &mut *target, file.region().start, &read.content, &doing)?;
    }
    target.close().map_err(Error::hal(format!("closing {}", checked.area.name)))?;
    drop(target);
    let mut target = open(operation, checked, Access::ReadWrite)?;
    let found = region::read(operation, &mut *target, wanted.len() as u64, "verifying the bootloader")?;
    let installed = region::compare(&checked.area.name, wanted, &found, NOT_KEPT)?;
    Ok((installed, target))
}

/// Restores the old bootloader after `error`. Returns the error with the state of the board.
fn restore_after(operation: &Operation<'_>, checked: &Checked, old: &[u8], error: Error) -> Error {
    let source = Box::new(error);
    operation.step(&format!("{source}: restoring the old bootloader, do not remove power"));
    let mut state = String::new();
    for _ in 0..RESTORE_ATTEMPTS {
        match restore(operation, checked, old) {
            Ok(()) => {
                operation.board.leds.set_at_risk(false);
                return Error::BootloaderRestored { source };
            }
            Err(error) => {
                operation.log(&format!("restoring it: {error}"));
                state = format!("the old bootloader could not be restored: {error}");
            }
        }
        operation.board.clock.sleep(operation.tuning.retry_pause);
    }
    Error::Unbootable { source, state }
}

/// One attempt: writes all ranges that differ, and compares the whole area. It opens the area again, because a handle
/// whose sync has failed cannot be used any more.
fn restore(operation: &Operation<'_>, checked: &Checked, old: &[u8]) -> Result<()> {
    let mut target = open(operation, checked, Access::ReadWrite)?;
    for range in region::different(operation, &mut *target, old)? {
        let doing = "restoring the old bootloader";
        region::write(operation, &mut *target, range.start as u64, &old[range.clone()], doing)?;
    }
    target.close().map_err(Error::hal(format!("closing {}", checked.area.name)))?;
    drop(target);
    let mut target = open(operation, checked, Access::ReadWrite)?;
    let found = region::read(operation, &mut *target, old.len() as u64, "verifying the old bootloader")?;
    region::compare(&checked.area.name, old, &found, NOT_KEPT)?;
    target.close().map_err(closing(checked))
}
