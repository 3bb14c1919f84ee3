//! The simulated board passes the HAL's contract suite with every kind of file system, and with a file system in a
//! file.

// Fixtures are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_hal::contract::{block, clock, file_systems, firmware, leds, records, system, tasks, volume};
use replicator_hal::{
    Access, AreaKind, BlockDevices, Board, Clock, DeviceKind, DeviceName, FileSystems, Firmware, Flavour,
    Holder, Leds, Records, Region, RelativePath, Status, System, Tasks, Volume, io,
};
use replicator_sim::model::hardware::content::{Content, FileSystemContent};
use replicator_sim::model::hardware::firmware::FirmwareState;
use replicator_sim::model::hardware::simfs::Kind;
use replicator_sim::{Medium, Survival, World, WorldBuilder};
use std::any::Any;
use std::time::Duration;

const MIB: u64 = 1 << 20;

struct Fixture {
    world: World,
    board: Board,
    flavour: Flavour,
    volume: Option<Box<dyn Volume>>,
    /// Keeps the outer volume of a nested one mounted.
    _outer: Option<Box<dyn Volume>>,
}

fn whole(device: &str, len_bytes: u64) -> Region {
    Region { holder: Holder::Device(DeviceName::parse(device).unwrap()), offset_bytes: 0, len_bytes }
}

impl Fixture {
    fn new(builder: WorldBuilder) -> Self {
        Self::of(builder.build().unwrap())
    }

    fn of(world: World) -> Self {
        let board = world.board();
        Self { world, board, flavour: Flavour::Ext4, volume: None, _outer: None }
    }

    fn board() -> Self {
        let mut locked = Medium::new("sd", "mmcblk1", DeviceKind::Sd, MIB);
        locked.read_only = true;
        Self::new(
            WorldBuilder::new()
                .medium(
                    Medium::new("emmc", "mmcblk0", DeviceKind::Emmc, MIB)
                        .content(Content::Stamped("emmc".into(), 0))
                        .with(|identity| identity.write_cache = true),
                )
                .medium(locked)
                .medium(Medium::new("sd1", "mmcblk2", DeviceKind::Sd, 0))
                .medium(Medium::new("sata", "sdb", DeviceKind::Sata, 48 * MIB)),
        )
    }

    fn mounted(kind: Kind) -> Self {
        let content = Content::FileSystem(FileSystemContent::new(kind, vec![]));
        let medium = Medium::new("sd", "mmcblk0", DeviceKind::Sd, 7 * MIB).content(content);
        let mut fixture = Self::new(WorldBuilder::new().medium(medium));
        let mounted =
            fixture.board.file_systems.mount(&whole("mmcblk0", 7 * MIB), Access::ReadWrite).unwrap();
        fixture.volume = Some(mounted);
        fixture
    }

    fn nested() -> Self {
        let mut fixture = Self::mounted(Kind::Vfat);
        let outer = fixture.volume.take().unwrap();
        let path = RelativePath::parse("sd.img").unwrap();
        let mut image = outer.create_new(&path, 0o644).unwrap();
        io::write_file(image.as_mut(), 0, &vec![0; 2 * MIB as usize]).unwrap();
        image.close().unwrap();
        let region = Region {
            holder: Holder::File { volume: outer.id(), path },
            offset_bytes: 65_536,
            len_bytes: 2 * MIB - 65_536,
        };
        let format = replicator_hal::Format {
            flavour: replicator_hal::Flavour::Ext4,
            ..replicator_hal::Format::default()
        };
        fixture.board.file_systems.format(&region, &format).unwrap();
        fixture.volume = Some(fixture.board.file_systems.mount(&region, Access::ReadWrite).unwrap());
        fixture._outer = Some(outer);
        fixture
    }
}

impl block::DeviceFixture for Fixture {
    fn devices(&self) -> &dyn BlockDevices {
        &*self.board.devices
    }

    fn device(&self) -> DeviceName {
        DeviceName::parse("mmcblk0").unwrap()
    }

    fn medium_bytes(&self) -> Vec<u8> {
        self.world.medium_bytes("emmc").unwrap().to_vec()
    }

    fn corrupt_medium(&self, offset_bytes: u64, data: &[u8]) -> bool {
        self.world.change_medium("emmc", |disk| disk.media.write(offset_bytes, data));
        true
    }

    fn other_opener(&self) -> Option<Box<dyn Any>> {
        self.world.change_medium("emmc", |disk| disk.identity.another_holder = true);
        Some(Box::new(()))
    }

    fn other_holder(&self) -> Option<Box<dyn Any>> {
        struct Holder(World);
        impl Drop for Holder {
            fn drop(&mut self) {
                self.0.change_medium("emmc", |disk| disk.identity.held_elsewhere = false);
            }
        }
        self.world.change_medium("emmc", |disk| disk.identity.held_elsewhere = true);
        Some(Box::new(Holder(self.world.clone())))
    }

    fn read_only_device(&self) -> Option<DeviceName> {
        Some(DeviceName::parse("mmcblk1").unwrap())
    }

    fn empty_slot(&self) -> Option<DeviceName> {
        Some(DeviceName::parse("mmcblk2").unwrap())
    }
}

impl file_systems::FileSystemsFixture for Fixture {
    fn file_systems(&self) -> &dyn FileSystems {
        &*self.board.file_systems
    }

    fn devices(&self) -> &dyn BlockDevices {
        &*self.board.devices
    }

    fn region(&self) -> Region {
        Region { offset_bytes: 4 * MIB, ..whole("sdb", 16 * MIB) }
    }

    fn region_bytes(&self) -> Option<Vec<u8>> {
        Some(self.world.medium_bytes("sata").unwrap().bytes(4 * MIB, 16 * MIB as usize))
    }

    fn larger_region(&self) -> Option<Region> {
        Some(Region { len_bytes: 32 * MIB, ..self.region() })
    }

    fn cut(&self) -> Option<Box<dyn file_systems::FileSystemsFixture>> {
        Some(Box::new(Self { flavour: self.flavour, ..Self::of(self.world.reboot(Survival::None)) }))
    }

    fn flavour(&self) -> Flavour {
        self.flavour
    }
}

impl volume::VolumeFixture for Fixture {
    fn volume(&self) -> &dyn Volume {
        &**self.volume.as_ref().unwrap()
    }

    fn privileged(&self) -> bool {
        true
    }

    fn may_be_filled(&self) -> bool {
        true
    }
}

impl leds::LedsFixture for Fixture {
    fn leds(&self) -> &dyn Leds {
        &*self.board.leds
    }

    fn shown(&self) -> Option<Status> {
        // A query of the lease lets an expired one take effect.
        self.board.leds.lease_expired();
        self.world.leds().final_status()
    }

    fn fast_forward(&self, duration: Duration) {
        self.board.clock.sleep(duration);
    }
}

impl clock::ClockFixture for Fixture {
    fn clock(&self) -> &dyn Clock {
        &*self.board.clock
    }
}

impl tasks::TasksFixture for Fixture {
    fn tasks(&self) -> &dyn Tasks {
        &*self.board.tasks
    }

    fn clock(&self) -> &dyn Clock {
        &*self.board.clock
    }
}

impl records::RecordsFixture for Fixture {
    fn records(&self) -> &dyn Records {
        &*self.board.records
    }

    fn console_text(&self) -> String {
        self.world.records().console.join("\n")
    }

    fn log_text(&self, operation: &str) -> Option<String> {
        self.world.records().logs.get(operation).map(|lines| lines.join("\n"))
    }

    fn report_text(&self) -> Option<String> {
        self.world.records().report
    }
}

/// A board with a drive and a medium that holds a root file system, both mounted.
struct Booted {
    system: std::sync::Arc<dyn System>,
    drive: Box<dyn Volume>,
    rootfs: Box<dyn Volume>,
}

impl Booted {
    fn new() -> Self {
        let medium = |name: &str, device: &str, kind: Kind| {
            let content = Content::FileSystem(FileSystemContent::new(kind, vec![]));
            Medium::new(name, device, DeviceKind::Sd, 7 * MIB).content(content)
        };
        let builder = WorldBuilder::new()
            .medium(medium("drive", "sda", Kind::Vfat))
            .medium(medium("sd", "mmcblk0", Kind::Ext4))
            .compatible("technologic,imx6q-ts7970")
            .compatible("fsl,imx6q")
            .kernel_command_line("console=ttymxc0 imx_type=ts7970");
        let board = builder.build().unwrap().board();
        let mount = |device| board.file_systems.mount(&whole(device, 7 * MIB), Access::ReadWrite).unwrap();
        Self { drive: mount("sda"), rootfs: mount("mmcblk0"), system: board.system }
    }
}

impl system::SystemFixture for Booted {
    fn system(&self) -> &dyn System {
        &*self.system
    }

    fn compatible(&self) -> Vec<String> {
        vec!["technologic,imx6q-ts7970".to_owned(), "fsl,imx6q".to_owned()]
    }

    fn kernel_command_line(&self) -> String {
        "console=ttymxc0 imx_type=ts7970".to_owned()
    }

    fn program_volume(&self) -> &dyn Volume {
        &*self.drive
    }

    fn tree(&self) -> &dyn Volume {
        &*self.rootfs
    }

    fn program(&self, script: &system::Script<'_>) -> Option<Vec<u8>> {
        let commands = match script {
            system::Script::Print(line, exit_status) => format!("print {line}\nexit {exit_status}\n"),
            system::Script::Write(name, text) => format!("write {name} {text}\n"),
            system::Script::Signal => "signal\n".to_owned(),
            system::Script::Hang => "hang\n".to_owned(),
            // Its hooks have no variables, and print little.
            system::Script::PrintVariable(_) | system::Script::PrintTooMuch(_) => return None,
        };
        Some(commands.into_bytes())
    }
}

/// A board with a bootloader area, a register and a drive.
struct Flashed {
    world: World,
    board: Board,
    drive: Box<dyn Volume>,
}

const AREA: &str = "mmcblk0boot0";
const REGISTER: (u64, u32) = (0x5000_4008, 0x1234_5678);

impl Flashed {
    fn new() -> Self {
        let content = Content::FileSystem(FileSystemContent::new(Kind::Ext4, vec![]));
        let drive = Medium::new("drive", "sda", DeviceKind::Usb, 7 * MIB).content(content);
        let mut area = Medium::new("emmc-boot0", AREA, DeviceKind::Emmc, MIB);
        area.area = Some(AreaKind::EmmcBoot { device: DeviceName::parse("mmcblk0").unwrap(), number: 0 });
        let mut firmware = FirmwareState::default();
        firmware.registers.insert(REGISTER.0, REGISTER.1);
        let builder = WorldBuilder::new()
            .medium(drive)
            .medium(Medium::new("emmc", "mmcblk0", DeviceKind::Emmc, MIB))
            .medium(area)
            .firmware(firmware);
        let world = builder.build().unwrap();
        let board = world.board();
        let drive = board.file_systems.mount(&whole("sda", 7 * MIB), Access::ReadWrite).unwrap();
        Self { world, board, drive }
    }
}

impl firmware::FirmwareFixture for Flashed {
    fn firmware(&self) -> &dyn Firmware {
        &*self.board.firmware
    }

    fn devices(&self) -> &dyn BlockDevices {
        &*self.board.devices
    }

    fn area(&self) -> Option<DeviceName> {
        Some(DeviceName::parse(AREA).unwrap())
    }

    fn area_bytes(&self) -> Vec<u8> {
        self.world.medium_bytes("emmc-boot0").unwrap().to_vec()
    }

    fn is_protected(&self) -> Option<bool> {
        Some(self.world.unprotected_areas().is_empty())
    }

    fn register(&self) -> Option<(u64, u32)> {
        Some(REGISTER)
    }

    fn volume(&self) -> &dyn Volume {
        &*self.drive
    }

    fn program(&self, script: &system::Script<'_>) -> Option<Vec<u8>> {
        let commands = match script {
            system::Script::Print(line, exit_status) => format!("print {line}\nexit {exit_status}\n"),
            system::Script::Signal => "signal\n".to_owned(),
            system::Script::Hang => "hang\n".to_owned(),
            _ => return None,
        };
        Some(commands.into_bytes())
    }

    fn runs_programs(&self) -> bool {
        false
    }
}

replicator_hal::contract_tests! {
    system_with_scripts: system = || Some(Booted::new());
    block_devices: block = || Some(Fixture::board());
    file_systems_on_a_disk: file_systems = || Some(Fixture::board());
    file_systems_without_a_journal: file_systems = || Some(Fixture {
        flavour: Flavour::Ext2,
        ..Fixture::board()
    });
    volume_on_ext4: volume = || Some(Fixture::mounted(Kind::Ext4));
    volume_on_ext2: volume = || Some(Fixture::mounted(Kind::Ext2));
    volume_on_vfat: volume = || Some(Fixture::mounted(Kind::Vfat));
    volume_on_exfat: volume = || Some(Fixture::mounted(Kind::Exfat));
    volume_in_an_image_file: volume = || Some(Fixture::nested());
    leds_in_virtual_time: leds = || Some(Fixture::board());
    clock_in_virtual_time: clock = || Some(Fixture::board());
    tasks_on_the_turnstile: tasks = || Some(Fixture::board());
    records_in_memory: records = || Some(Fixture::board());
    firmware_with_scripts: firmware = || Some(Flashed::new());
}
