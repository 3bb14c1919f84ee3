//! The contract suite on loop devices, on ext4, on a separate `/proc`, and on LEDs of the LED class.

use replicator_hal::contract::loop_media::{Bench, MIB, Medium};
use replicator_hal::contract::{NoMount, block, file_systems, leds, system, volume};
use replicator_hal::host::{Tree, TreeVolume, Volumes};
use replicator_hal::linux::{KernelRoots, LedConfig, LedThread, LinuxSystem};
use replicator_hal::{
    Access, BlockDevices, DeviceName, FileSystems, Flavour, LedName, Leds, Region, Status, System, Volume,
};
use std::any::Any;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;
use std::time::Duration;

struct LoopMedium {
    medium: Medium,
    read_only: Medium,
    empty: Medium,
    bench: Bench,
}

impl LoopMedium {
    fn if_root() -> Option<Self> {
        let bench = Bench::new("contract of block devices")?;
        let medium = bench.medium("sd", 8 * MIB);
        let protected = bench.directory.path().join("protected");
        File::create(&protected).unwrap().set_len(MIB).unwrap();
        let read_only = bench.attach(&protected, &["-r"]);
        let empty = bench.medium("empty", 0);
        Some(Self { medium, read_only, empty, bench })
    }
}

impl block::DeviceFixture for LoopMedium {
    fn devices(&self) -> &dyn BlockDevices {
        &self.bench.devices
    }

    fn device(&self) -> DeviceName {
        self.medium.name.clone()
    }

    fn medium_bytes(&self) -> Vec<u8> {
        std::fs::read(&self.medium.image).unwrap()
    }

    fn corrupt_medium(&self, offset_bytes: u64, data: &[u8]) -> bool {
        let image = File::options().write(true).open(&self.medium.image).unwrap();
        image.write_all_at(data, offset_bytes).unwrap();
        true
    }

    fn other_opener(&self) -> Option<Box<dyn Any>> {
        Some(Box::new(File::open(&self.medium.node).unwrap()))
    }

    fn other_holder(&self) -> Option<Box<dyn Any>> {
        let exclusive = File::options().read(true).custom_flags(nix::libc::O_EXCL).open(&self.medium.node);
        Some(Box::new(exclusive.unwrap()))
    }

    fn read_only_device(&self) -> Option<DeviceName> {
        Some(self.read_only.name.clone())
    }

    fn empty_slot(&self) -> Option<DeviceName> {
        Some(self.empty.name.clone())
    }
}

/// A file system on a medium: on all of it, or on a partition that is not in the kernel's table.
struct LoopFileSystem {
    region: Region,
    larger: Option<Region>,
    flavour: Flavour,
    medium: Medium,
    bench: Bench,
}

impl LoopFileSystem {
    fn whole(flavour: Flavour) -> Option<Self> {
        let bench = Bench::new("contract of file systems")?;
        let medium = bench.medium("sd", 64 * MIB);
        let region = medium.whole();
        Some(Self { region, larger: None, flavour, medium, bench })
    }

    fn partition(flavour: Flavour) -> Option<Self> {
        let whole = Self::whole(flavour)?;
        let region = whole.medium.region(4 * MIB, 32 * MIB);
        let larger = Some(whole.medium.region(4 * MIB, 60 * MIB));
        Some(Self { region, larger, ..whole })
    }
}

impl file_systems::FileSystemsFixture for LoopFileSystem {
    fn file_systems(&self) -> &dyn FileSystems {
        &self.bench.file_systems
    }

    fn devices(&self) -> &dyn BlockDevices {
        &self.bench.devices
    }

    fn region(&self) -> Region {
        self.region.clone()
    }

    fn region_bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; self.region.len_bytes as usize];
        let image = File::open(&self.medium.image).unwrap();
        image.read_exact_at(&mut bytes, self.region.offset_bytes).unwrap();
        Some(bytes)
    }

    fn larger_region(&self) -> Option<Region> {
        self.larger.clone()
    }

    /// A copy of the medium now is what a power cut would leave.
    fn cut(&self) -> Option<Box<dyn file_systems::FileSystemsFixture>> {
        let bench = Bench::new("contract of file systems")?;
        let image = bench.directory.path().join("after-a-cut");
        std::fs::copy(&self.medium.image, &image).unwrap();
        let medium = bench.attach(&image, &[]);
        let here = |region: &Region| medium.region(region.offset_bytes, region.len_bytes);
        let (region, larger) = (here(&self.region), self.larger.as_ref().map(here));
        Some(Box::new(Self { region, larger, flavour: self.flavour, medium, bench }))
    }

    fn flavour(&self) -> Flavour {
        self.flavour
    }
}

/// A mounted volume. Fields are dropped in order: unmounted, then detached.
struct MountedVolume {
    volume: Box<dyn Volume>,
    _medium: Medium,
    _bench: Bench,
}

impl MountedVolume {
    fn ext4() -> Option<Self> {
        let bench = Bench::new("contract of volumes")?;
        let medium = bench.medium("sd", 32 * MIB);
        // The text of a symlink must fit into one block, and the suite tries a long one.
        medium.mkfs(&["-t", "ext4", "-b", "4096"]);
        let volume = bench.file_systems.mount(&medium.whole(), Access::ReadWrite).unwrap();
        Some(Self { volume, _medium: medium, _bench: bench })
    }

    fn vfat() -> Option<Self> {
        let drivers = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let maker = std::path::Path::new("/usr/sbin/mkfs.vfat").exists();
        if !maker || !drivers.split_whitespace().any(|driver| driver == "vfat") {
            return None;
        }
        let bench = Bench::new("contract of volumes")?;
        let medium = bench.medium("usb", 40 * MIB);
        replicator_hal::contract::loop_media::run("mkfs.vfat", &[medium.node()]);
        let volume = bench.file_systems.mount(&medium.whole(), Access::ReadWrite).unwrap();
        Some(Self { volume, _medium: medium, _bench: bench })
    }
}

impl volume::VolumeFixture for MountedVolume {
    fn volume(&self) -> &dyn Volume {
        &*self.volume
    }

    fn privileged(&self) -> bool {
        true
    }

    fn may_be_filled(&self) -> bool {
        true
    }
}

/// A drive and a root file system as plain directories, and a `/proc` with the identity of a board.
struct Booted {
    system: LinuxSystem,
    drive: TreeVolume<NoMount>,
    rootfs: TreeVolume<NoMount>,
    _directory: tempfile::TempDir,
}

impl Booted {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let volumes = Arc::<Volumes>::default();
        let volume = |name: &str| {
            let root = directory.path().join(name);
            std::fs::create_dir(&root).unwrap();
            let (id, tree) = volumes.add(Tree::new(&root, None).unwrap());
            TreeVolume::new(id, tree, NoMount)
        };
        let (drive, rootfs) = (volume("drive"), volume("rootfs"));
        let proc = directory.path().join("proc");
        std::fs::create_dir_all(proc.join("device-tree")).unwrap();
        std::fs::write(proc.join("device-tree/compatible"), b"technologic,imx6q-ts7970\0fsl,imx6q\0")
            .unwrap();
        std::fs::write(proc.join("cmdline"), "console=ttymxc0\n").unwrap();
        let roots = KernelRoots { proc, ..KernelRoots::default() };
        Self { system: LinuxSystem::new(&roots, volumes.clone()), drive, rootfs, _directory: directory }
    }
}

impl system::SystemFixture for Booted {
    fn system(&self) -> &dyn System {
        &self.system
    }

    fn compatible(&self) -> Vec<String> {
        vec!["technologic,imx6q-ts7970".to_owned(), "fsl,imx6q".to_owned()]
    }

    fn kernel_command_line(&self) -> String {
        "console=ttymxc0".to_owned()
    }

    fn program_volume(&self) -> &dyn Volume {
        &self.drive
    }

    fn tree(&self) -> &dyn Volume {
        &self.rootfs
    }

    fn program(&self, script: &system::Script<'_>) -> Option<Vec<u8>> {
        Some(system::shell_program(script))
    }
}

struct ClassLeds(LedThread, #[allow(dead_code)] tempfile::TempDir);

impl ClassLeds {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["red:status", "green:power"] {
            let led = directory.path().join("class/leds").join(name);
            std::fs::create_dir_all(&led).unwrap();
            std::fs::write(led.join("brightness"), "0").unwrap();
        }
        let roots = KernelRoots { sys: directory.path().to_owned(), ..KernelRoots::default() };
        let config = LedConfig::Class {
            red: vec![LedName::parse("red:status").unwrap()],
            green: vec![LedName::parse("green:power").unwrap()],
        };
        // The directory is removed while the thread may still run. An error of that is not one of the case.
        Self(config.start(&roots, |error| eprintln!("{error}")).unwrap(), directory)
    }
}

impl leds::LedsFixture for ClassLeds {
    fn leds(&self) -> &dyn Leds {
        &self.0
    }

    fn shown(&self) -> Option<Status> {
        self.0.shown()
    }

    fn fast_forward(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

replicator_hal::contract_tests! {
    block_on_a_loop_device: block = LoopMedium::if_root;
    file_systems_on_a_whole_device: file_systems = || LoopFileSystem::whole(Flavour::Ext4);
    file_systems_on_a_partition: file_systems = || LoopFileSystem::partition(Flavour::Ext4Compat);
    file_systems_without_extents: file_systems = || LoopFileSystem::partition(Flavour::Ext3);
    file_systems_without_a_journal: file_systems = || LoopFileSystem::whole(Flavour::Ext2);
    volume_on_ext4: volume = MountedVolume::ext4;
    volume_on_vfat: volume = MountedVolume::vfat;
    system_below_a_proc: system = || Some(Booted::new());
    leds_of_the_led_class: leds = || Some(ClassLeds::new());
}
