//! Contract of [`Firmware`]: bootloader areas with their write protection, registers, and updaters.

use super::system::{Script, shell_program};
use super::{kind, path, pattern, skipped};
use crate::{
    Access, Argument, BlockDevices, DeviceName, ErrorKind, Firmware, Updater, UpdaterProgram, Volume, io,
};
use std::time::Duration;

/// Firmware to test, with a bootloader area of at least 128 KiB and a volume for programs, mounted read-write.
pub trait FirmwareFixture {
    /// The firmware.
    fn firmware(&self) -> &dyn Firmware;

    /// The block devices of the same board.
    fn devices(&self) -> &dyn BlockDevices;

    /// The area; `None` if this host cannot have one.
    fn area(&self) -> Option<DeviceName>;

    /// The bytes that are stored in the area.
    fn area_bytes(&self) -> Vec<u8>;

    /// Whether the area's write protection is on; `None` if it has none.
    fn is_protected(&self) -> Option<bool>;

    /// The address and value of a register that can be read.
    fn register(&self) -> Option<(u64, u32)>;

    /// The volume with the programs, as on a drive.
    fn volume(&self) -> &dyn Volume;

    /// A program with this behaviour; `None` if no program of this backend can have it.
    fn program(&self, script: &Script<'_>) -> Option<Vec<u8>> {
        Some(shell_program(script))
    }

    /// Whether updaters are run, so that they can read their files.
    fn runs_programs(&self) -> bool {
        true
    }
}

const PATIENT: Duration = Duration::from_secs(60);

/// The area; prints that the case is skipped if there is none.
fn area(fixture: &dyn FirmwareFixture, case: &str) -> Option<DeviceName> {
    let area = fixture.area();
    if area.is_none() {
        skipped(case, "no bootloader area here");
    }
    area
}

fn install(fixture: &dyn FirmwareFixture, name: &str, content: &[u8], mode: u32) {
    let mut file = fixture.volume().create_new(&path(name), mode).unwrap();
    io::write_file(file.as_mut(), 0, content).unwrap();
    file.close().unwrap();
}

fn updater(fixture: &dyn FirmwareFixture, name: &str, timeout: Duration) -> Updater {
    let program = UpdaterProgram::File { volume: fixture.volume().id(), path: path(name) };
    Updater { program, arguments: Vec::new(), timeout }
}

/// An area is in the list of areas, and not in the list of media.
pub fn an_area_is_not_a_medium(fixture: &dyn FirmwareFixture) {
    let Some(name) = area(fixture, "an_area_is_not_a_medium") else { return };
    let areas = fixture.firmware().bootloader_areas().unwrap();
    let found = areas.iter().find(|area| area.name == name).unwrap();
    assert_eq!(found.len_bytes, fixture.area_bytes().len() as u64);
    assert!(!found.read_only);
    assert!(!fixture.devices().list().unwrap().iter().any(|device| device.name == name));
}

/// An area has the written bytes, and their neighbours are unchanged.
pub fn an_area_keeps_what_is_written(fixture: &dyn FirmwareFixture) {
    let Some(name) = area(fixture, "an_area_keeps_what_is_written") else { return };
    let mut wanted = fixture.area_bytes();
    let data = pattern(7, 70_001);
    wanted[1024..1024 + data.len()].copy_from_slice(&data);
    let mut target = fixture.firmware().open_bootloader_area(&name, Access::ReadWrite).unwrap();
    assert_eq!(target.len_bytes(), wanted.len() as u64);
    io::write_target(target.as_mut(), 1024, &data).unwrap();
    target.begin_verify().unwrap();
    let mut found = vec![0; wanted.len()];
    assert_eq!(io::read_target(target.as_mut(), 0, &mut found).unwrap(), wanted.len());
    assert!(found == wanted, "read back");
    target.close().unwrap();
    assert!(fixture.area_bytes() == wanted, "stored");
}

/// The write protection is off while an area is open, and on again after the close.
pub fn closing_an_area_protects_it(fixture: &dyn FirmwareFixture) {
    let Some(name) = area(fixture, "closing_an_area_protects_it") else { return };
    let Some(before) = fixture.is_protected() else {
        return skipped("closing_an_area_protects_it", "this area has no protection");
    };
    assert!(before);
    let mut target = fixture.firmware().open_bootloader_area(&name, Access::ReadWrite).unwrap();
    assert_eq!(fixture.is_protected(), Some(false));
    target.close().unwrap();
    assert_eq!(fixture.is_protected(), Some(true));
}

/// Dropping an area protects it too, and it can be opened again.
pub fn dropping_an_area_protects_it(fixture: &dyn FirmwareFixture) {
    let Some(name) = area(fixture, "dropping_an_area_protects_it") else { return };
    for _ in 0..2 {
        let mut target = fixture.firmware().open_bootloader_area(&name, Access::ReadWrite).unwrap();
        io::write_target(target.as_mut(), 0, &[1, 2, 3]).unwrap();
        drop(target);
        assert_ne!(fixture.is_protected(), Some(false));
    }
}

/// Opening an area for reading leaves its protection on, and nothing can be written.
pub fn reading_an_area_leaves_it_protected(fixture: &dyn FirmwareFixture) {
    let Some(name) = area(fixture, "reading_an_area_leaves_it_protected") else { return };
    let before = fixture.area_bytes();
    let mut target = fixture.firmware().open_bootloader_area(&name, Access::ReadOnly).unwrap();
    assert_ne!(fixture.is_protected(), Some(false), "opened");
    assert_eq!(target.len_bytes(), before.len() as u64);
    target.begin_verify().unwrap();
    let mut found = vec![0; before.len()];
    assert_eq!(io::read_target(target.as_mut(), 0, &mut found).unwrap(), before.len());
    assert!(found == before);
    assert_eq!(kind(target.write_at(0, &[1; 512])), ErrorKind::ReadOnly);
    assert_eq!(kind(target.zero(0, 512)), ErrorKind::ReadOnly);
    let second = fixture.firmware().open_bootloader_area(&name, Access::ReadWrite);
    assert_eq!(kind(second), ErrorKind::Busy);
    assert_ne!(fixture.is_protected(), Some(false), "after a writer was refused");
    target.close().unwrap();
    assert_ne!(fixture.is_protected(), Some(false), "closed");
    assert!(fixture.area_bytes() == before);
}

/// A second open is refused, and does not set the protection of the first one.
pub fn an_area_is_exclusive(fixture: &dyn FirmwareFixture) {
    let Some(name) = area(fixture, "an_area_is_exclusive") else { return };
    let mut target = fixture.firmware().open_bootloader_area(&name, Access::ReadWrite).unwrap();
    assert_eq!(kind(fixture.firmware().open_bootloader_area(&name, Access::ReadWrite)), ErrorKind::Busy);
    assert_ne!(fixture.is_protected(), Some(true), "the first target still writes");
    io::write_target(target.as_mut(), 0, &[9; 512]).unwrap();
    target.close().unwrap();
    assert_eq!(fixture.area_bytes()[..512], [9; 512]);
    assert_ne!(fixture.is_protected(), Some(false));
}

/// Names that are not those of areas are refused.
pub fn only_areas_can_be_opened(fixture: &dyn FirmwareFixture) {
    let refused = [ErrorKind::NotFound, ErrorKind::WrongDevice];
    for name in ["mmcblk99boot0", "no-such-device"] {
        let found = kind(
            fixture.firmware().open_bootloader_area(&DeviceName::parse(name).unwrap(), Access::ReadWrite),
        );
        assert!(refused.contains(&found), "{name:?}: {found:?}");
    }
    for medium in fixture.devices().list().unwrap() {
        let found = kind(fixture.firmware().open_bootloader_area(&medium.name, Access::ReadWrite));
        assert!(refused.contains(&found), "{}: {found:?}", medium.name);
    }
}

/// A register has a value. An unaligned address is refused.
pub fn a_register_returns_its_value(fixture: &dyn FirmwareFixture) {
    let odd = kind(fixture.firmware().register(2));
    assert_eq!(odd, ErrorKind::InvalidInput);
    let Some((address, value)) = fixture.register() else {
        return skipped("a_register_returns_its_value", "no register here");
    };
    assert_eq!(fixture.firmware().register(address), Ok(value));
}

/// The exit status and the output of an updater are returned.
pub fn an_updater_returns_status_and_output(fixture: &dyn FirmwareFixture) {
    for status in [0, 3] {
        let Some(content) = fixture.program(&Script::Print("flashed", status)) else { return };
        let name = format!("updater-{status}");
        install(fixture, &name, &content, 0o755);
        let end = fixture.firmware().run_updater(&updater(fixture, &name, PATIENT)).unwrap();
        assert_eq!((end.exit_status, end.output.trim()), (Some(status), "flashed"));
    }
}

/// A signal is not a status, and a hanging updater is killed.
pub fn an_updater_that_dies_or_hangs_is_reported(fixture: &dyn FirmwareFixture) {
    if let Some(content) = fixture.program(&Script::Signal) {
        install(fixture, "dies", &content, 0o755);
        let end = fixture.firmware().run_updater(&updater(fixture, "dies", PATIENT)).unwrap();
        assert_eq!(end.exit_status, None);
    }
    if let Some(content) = fixture.program(&Script::Hang) {
        install(fixture, "hangs", &content, 0o755);
        let hang = updater(fixture, "hangs", Duration::from_millis(200));
        assert_eq!(kind(fixture.firmware().run_updater(&hang)), ErrorKind::TimedOut);
    }
}

/// A missing program, or a file that is not a program, cannot be started.
pub fn a_missing_updater_is_not_found(fixture: &dyn FirmwareFixture) {
    let run = |updater: &Updater| kind(fixture.firmware().run_updater(updater));
    assert_eq!(run(&updater(fixture, "absent", PATIENT)), ErrorKind::NotFound);
    let program = UpdaterProgram::System("no-such-updater-anywhere".into());
    let missing = Updater { program, arguments: Vec::new(), timeout: PATIENT };
    assert_eq!(run(&missing), ErrorKind::NotFound);
    install(fixture, "garbage", b"\x7fELF, and nothing more", 0o755);
    assert_eq!(run(&updater(fixture, "garbage", PATIENT)), ErrorKind::ToolFailed);
}

/// A program of the system gets the path of a file, which it can open.
pub fn an_updater_can_read_its_file(fixture: &dyn FirmwareFixture) {
    if !fixture.runs_programs() {
        return skipped("an_updater_can_read_its_file", "programs are scripts here");
    }
    install(fixture, "update.bin", b"what is to be flashed\n", 0o644);
    let file = |name: &str| Argument::File { volume: fixture.volume().id(), path: path(name) };
    let cat = |file: Argument| Updater {
        program: UpdaterProgram::System("cat".into()),
        arguments: vec![Argument::Text("--".into()), file],
        timeout: PATIENT,
    };
    let end = fixture.firmware().run_updater(&cat(file("update.bin"))).unwrap();
    assert_eq!((end.exit_status, end.output.as_str()), (Some(0), "what is to be flashed\n"));
    assert_eq!(kind(fixture.firmware().run_updater(&cat(file("absent")))), ErrorKind::NotFound);
}
