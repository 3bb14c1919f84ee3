//! Firmware files and bootloader areas as bytes, made from a scenario.

use super::boards;
use super::firmware_spec::{FirmwareFileSpec, FirmwareKind, FirmwareSpec, ImxTypeLayout};
use super::schema::Scenario;
use crate::model::bytes::pages::{Pages, SECTOR_LEN};
use crate::model::hardware::firmware::{FirmwareState, Microcontroller};
use crate::model::hardware::medium::Medium;
use replicator_engine::profile::Profile;
use replicator_hal::{AreaKind, DeviceKind, DeviceName};

const MAGIC: &[u8] = b"TS_UC_RA4M2";
/// Offset of the environment in a bootloader, behind its header.
const ENVIRONMENT_AT: usize = 1024;
/// Of a kwbimage.
const KWB_HEADER_LEN: usize = 64;
const KWB_CHECKSUM: usize = 31;

/// The bytes of a firmware file.
pub fn file(spec: &FirmwareFileSpec) -> Vec<u8> {
    let len = spec.len.0 as usize;
    match spec.kind {
        FirmwareKind::Program => format!("#!/bin/sh\n{}\n", spec.script).into_bytes(),
        FirmwareKind::MicroV0 => update(spec, len, &[]),
        FirmwareKind::MicroV1 => update(spec, len, &spec.model.to_le_bytes()),
        _ => bootloader(spec, len),
    }
}

fn update(spec: &FirmwareFileSpec, len: usize, model: &[u8]) -> Vec<u8> {
    let mut bytes = stamped("update", len);
    bytes.extend((len as u32).to_le_bytes());
    bytes.extend(model);
    let revision = spec.revision.to_le_bytes();
    bytes.extend(if model.is_empty() { &revision[..1] } else { &revision[..] });
    bytes.extend([0, 0, u8::from(!model.is_empty())]);
    bytes.extend(MAGIC);
    bytes
}

fn bootloader(spec: &FirmwareFileSpec, len: usize) -> Vec<u8> {
    let mut bytes = stamped("new", len);
    let mut put = |at: usize, data: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + data.len()) {
            place.copy_from_slice(data);
        }
    };
    match spec.kind {
        FirmwareKind::Imx => put(0, &[0xd1, 0, 0x20, 0x40]),
        FirmwareKind::Imx93 => put(0, &[0, 0x10, 2, 0x87]),
        FirmwareKind::Kwb => {
            put(0, &[0; KWB_HEADER_LEN]);
            put(0, &[0xae]);
            put(8, &[1, 0, KWB_HEADER_LEN as u8]);
            put(KWB_CHECKSUM, &[0xae_u8.wrapping_add(1).wrapping_add(KWB_HEADER_LEN as u8)]);
        }
        _ => {}
    }
    if let Some(value) = &spec.imx_type {
        let text = match spec.layout {
            ImxTypeLayout::Assigned => format!("\0baudrate=115200\0imx_type={value}\0"),
            ImxTypeLayout::ValueFirst => format!("\0uImage\0{value}\0imx_type\0115200\0"),
            ImxTypeLayout::NameFirst => format!("\0uImage\0imx_type\0{value}\0115200\0"),
        };
        put(ENVIRONMENT_AT, text.as_bytes());
    }
    bytes
}

/// Bytes with the owner's name in every sector.
fn stamped(whose: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0x11; len];
    for (number, sector) in bytes.chunks_mut(SECTOR_LEN).enumerate() {
        let text = format!("{whose} sector {number}");
        let len = text.len().min(sector.len());
        sector[..len].copy_from_slice(&text.as_bytes()[..len]);
    }
    bytes
}

/// The name of the scenario's bootloader area: `emmc-boot0` or `flash`.
///
/// # Errors
/// If the scenario's board is not known.
pub fn area_name(spec: &FirmwareSpec) -> Result<Option<String>, String> {
    let bootloader = boards::profile(&spec.board)?.bootloader.as_ref();
    Ok(bootloader.map(|bootloader| match (&bootloader.area.medium, bootloader.area.boot_area) {
        (Some(medium), Some(number)) => format!("{medium}-boot{number}"),
        _ => "flash".to_owned(),
    }))
}

/// The bootloader area, or `None`. `device` is the kernel's name of a medium.
///
/// # Errors
/// If the scenario is invalid.
pub fn area(scenario: &Scenario, device: impl Fn(&str) -> Option<String>) -> Result<Option<Medium>, String> {
    let Some(spec) = scenario.firmware.as_ref().filter(|spec| !spec.area_absent) else { return Ok(None) };
    let Some(bootloader) = &boards::profile(&spec.board)?.bootloader else { return Ok(None) };
    let (kind, name) = match (&bootloader.area.medium, bootloader.area.boot_area, &bootloader.area.device) {
        (Some(medium), Some(number), _) => {
            let Some(device) = device(medium) else { return Ok(None) };
            let name = format!("{device}boot{number}");
            let device = DeviceName::parse(device).map_err(|error| error.to_string())?;
            (AreaKind::EmmcBoot { device, number }, name)
        }
        (_, _, device) => (AreaKind::Flash, device.clone().unwrap_or_default()),
    };
    let mut pages = Pages::zeros(spec.area_len.0);
    pages.write(0, &stamped("old", spec.area_len.0 as usize));
    for file in bootloader.files.iter().filter(|_| spec.area_is_new) {
        let on_drive = scenario.drive.files.iter().find(|found| found.name == file.name);
        if let Some(new) = on_drive.and_then(|found| found.firmware.as_ref()) {
            pages.write(file.block * 512, &self::file(new));
        }
    }
    let called = area_name(spec)?.unwrap_or_default();
    let mut medium = Medium::new(&called, &name, DeviceKind::Emmc, spec.area_len.0)
        .content(crate::model::hardware::content::Content::Pages(pages))
        .with(|identity| identity.another_holder = spec.area_held_open);
    medium.read_only = spec.area_locked;
    medium.area = Some(kind);
    Ok(Some(medium))
}

/// Registers and microcontroller at the beginning of the scenario.
///
/// # Errors
/// If the board has no such revision.
pub fn state(spec: &FirmwareSpec, profile: &Profile) -> Result<FirmwareState, String> {
    let mut state = FirmwareState::default();
    if let Some(wanted) = &spec.revision {
        let register = profile.revision.as_ref().ok_or("the board reports no revision")?;
        let value = if *wanted == register.set {
            1 << register.bit
        } else if *wanted == register.clear {
            !(1 << register.bit)
        } else {
            return Err(format!("firmware.revision: {wanted:?} is not a revision of the board"));
        };
        state.registers.insert(register.register, value);
    }
    state.microcontroller = spec.microcontroller.as_ref().map(|micro| Microcontroller {
        model: micro.model,
        revision: micro.revision,
        staged: None,
        answers: true,
        updater: micro.updater,
    });
    Ok(state)
}
