//! Captures a medium to an image, and writes the image to another medium: on the host backend, in a temporary directory.

#![allow(
    clippy::disallowed_methods,
    reason = "the engine reaches files through the HAL only; the host's user does not"
)]

use replicator_engine::boot::{self, Request};
use replicator_engine::drive::DriveChoice;
use replicator_engine::profile::{BoardChoice, Profile};
use replicator_engine::tuning::Tuning;
use replicator_hal::host::{HostBoard, HostDevice};
use replicator_hal::{DeviceKind, DeviceName, FileSystem, FileSystemKind, Holder, Region, Status};
use std::{collections::BTreeMap, error::Error, fs};

const LEN_BYTES: usize = 8 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    let (drive, sd) = (DeviceName::parse("sdz")?, DeviceName::parse("mmcblk0")?);

    // The golden medium has an MBR with one partition of 4 MiB, and data in it. The other medium is blank.
    let mut golden = vec![0; LEN_BYTES];
    golden[450..462].copy_from_slice(&[0x83, 0, 0, 0, 0, 8, 0, 0, 0, 32, 0, 0]);
    golden[510..512].copy_from_slice(&[0x55, 0xaa]);
    golden[1 << 20..(1 << 20) + 5].copy_from_slice(b"hello");
    fs::write(path("golden.img"), &golden)?;
    fs::write(path("clone.img"), vec![0; LEN_BYTES])?;

    // The drive is a directory.
    fs::create_dir(path("drive"))?;
    fs::write(path("drive/replicator.toml"), "[capture]\nsanitise = false\n")?;
    fs::write(path("drive.img"), [0; 512])?;
    let host = HostBoard::new(directory.path());
    host.devices.register(HostDevice::new(drive.clone(), path("drive.img"), DeviceKind::Usb));
    let region = Region { holder: Holder::Device(drive.clone()), offset_bytes: 0, len_bytes: 512 };
    let kind = FileSystemKind::Ext4;
    let found = FileSystem { kind, label: None, uuid: None, len_bytes: None, needs_recovery: false };
    host.file_systems.register(&region, path("drive"), found);

    let profile = "name = \"example\"\n[[medium]]\nname = \"sd\"\nkind = \"any\"\n";
    let request = Request {
        board: BoardChoice::Named(Box::new(Profile::parse(profile, "example.toml")?)),
        firmware_names: Vec::new(),
        drive: DriveChoice::Named(drive),
        media: Some(BTreeMap::from([("sd".to_owned(), sd.clone())])),
        tuning: Tuning::default(),
        version: "example".to_owned(),
    };
    // The first run finds no image and captures; the second finds one and writes it to the medium that is in the slot
    // now.
    for medium in ["golden.img", "clone.img"] {
        let device = HostDevice::new(sd.clone(), path(medium), DeviceKind::Sd);
        host.devices.register(HostDevice { identity: Some(medium.to_owned()), ..device });
        let report = boot::run(&host.board(&[], ""), &request);
        assert_eq!((report.status, host.leds.shown()), (Status::Success, Some(Status::Success)));
    }
    assert!(path("drive/sdimage.dd.xz").exists());
    assert!(fs::read(path("clone.img"))? == golden, "the clone differs from the golden medium");
    Ok(())
}
