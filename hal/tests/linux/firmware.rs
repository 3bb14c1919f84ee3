//! The contract of firmware on a boot area that is a loop device, with a separate sysfs and `/dev/mem`.

use replicator_hal::contract::firmware;
use replicator_hal::contract::loop_media::{Bench, Medium};
use replicator_hal::host::{Mount, Tree, TreeVolume, Volumes};
use replicator_hal::linux::{KernelRoots, LinuxDevices, LinuxFirmware};
use replicator_hal::{Access, BlockDevices, DeviceName, Firmware, Volume};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

const AREA: &str = "mmcblk0boot0";
const LEN_BYTES: u64 = 256 << 10;
const REGISTER: (u64, u32) = (0x4008, 0x1234_5678);

/// A tree without a mount.
struct Plain;

impl Mount for Plain {
    fn remount(&self, _access: Access) -> replicator_hal::Result<()> {
        Ok(())
    }

    fn unmount(&self) -> replicator_hal::Result<()> {
        Ok(())
    }

    fn abandon(&self) {}
}

struct Flashed {
    devices: Arc<LinuxDevices>,
    firmware: LinuxFirmware,
    drive: TreeVolume<Plain>,
    force_ro: PathBuf,
    medium: Medium,
    _bench: Bench,
}

impl Flashed {
    fn if_root() -> Option<Self> {
        let bench = Bench::new("contract of firmware")?;
        let medium = bench.medium("boot0", LEN_BYTES);
        let root = bench.directory.path().join("kernel");
        let (sys, dev) = (root.join("sys"), root.join("dev"));
        let path = "devices/soc/2190000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0boot0";
        for directory in ["block", "class/block", path] {
            std::fs::create_dir_all(sys.join(directory)).unwrap();
        }
        let size = (LEN_BYTES / 512).to_string();
        for (name, value) in [("size", size.as_str()), ("force_ro", "1"), ("ro", "1")] {
            std::fs::write(sys.join(path).join(name), format!("{value}\n")).unwrap();
        }
        symlink(sys.join(path), sys.join("block").join(AREA)).unwrap();
        symlink(sys.join(path), sys.join("class/block").join(AREA)).unwrap();
        std::fs::create_dir(&dev).unwrap();
        symlink(&medium.node, dev.join(AREA)).unwrap();
        let mut memory = vec![0; 0x1_0000];
        memory[REGISTER.0 as usize..][..4].copy_from_slice(&REGISTER.1.to_ne_bytes());
        std::fs::write(dev.join("mem"), memory).unwrap();
        let devices =
            Arc::new(LinuxDevices::new(KernelRoots { dev, sys: sys.clone(), ..KernelRoots::default() }));
        let volumes = Arc::<Volumes>::default();
        let drive = root.join("drive");
        std::fs::create_dir(&drive).unwrap();
        let (id, tree) = volumes.add(Tree::new(&drive, None).unwrap());
        Some(Self {
            firmware: LinuxFirmware::new(Arc::clone(&devices), volumes),
            devices,
            drive: TreeVolume::new(id, tree, Plain),
            force_ro: sys.join(path).join("force_ro"),
            medium,
            _bench: bench,
        })
    }
}

impl firmware::FirmwareFixture for Flashed {
    fn firmware(&self) -> &dyn Firmware {
        &self.firmware
    }

    fn devices(&self) -> &dyn BlockDevices {
        &*self.devices
    }

    fn area(&self) -> Option<DeviceName> {
        Some(DeviceName::parse(AREA).unwrap())
    }

    fn area_bytes(&self) -> Vec<u8> {
        std::fs::read(&self.medium.image).unwrap()
    }

    fn is_protected(&self) -> Option<bool> {
        Some(std::fs::read_to_string(&self.force_ro).unwrap().trim() == "1")
    }

    fn register(&self) -> Option<(u64, u32)> {
        Some(REGISTER)
    }

    fn volume(&self) -> &dyn Volume {
        &self.drive
    }
}

replicator_hal::contract_tests! {
    firmware_on_a_loop_device: firmware = Flashed::if_root;
}

/// An interrupted program that hangs leaves no area unprotected.
#[test]
fn an_interrupted_program_protects_the_area() {
    let Some(flashed) = Flashed::if_root() else { return };
    let protected = || firmware::FirmwareFixture::is_protected(&flashed);
    let mut target =
        flashed.firmware.open_bootloader_area(&DeviceName::parse(AREA).unwrap(), Access::ReadWrite).unwrap();
    assert_eq!(protected(), Some(false));
    std::thread::scope(|scope| {
        let end = scope.spawn(|| flashed.devices.end_write_protection());
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!end.is_finished(), "the write was finished first");
        target.close().unwrap();
        end.join().unwrap().unwrap();
    });
    assert_eq!(protected(), Some(true));
}
