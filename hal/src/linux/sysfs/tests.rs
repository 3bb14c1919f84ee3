//! A board's sysfs in a temporary directory, with the layout of kernels 6.1 and 6.6.

use super::*;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

struct FakeBoard {
    root: tempfile::TempDir,
}

impl FakeBoard {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for directory in ["sys/block", "sys/class/block", "sys/devices", "proc/thread-self", "dev"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let board = Self { root };
        board.write("proc/thread-self/mountinfo", "1 1 0:2 / / rw - rootfs rootfs rw\n");
        board
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Adds a block device at `path` in `/sys/devices` with these attributes.
    fn device(&self, path: &str, attributes: &[(&str, &str)]) {
        let name = path.rsplit('/').next().unwrap();
        let directory = PathBuf::from("sys/devices").join(path);
        for (attribute, value) in attributes {
            self.write(directory.join(attribute).to_str().unwrap(), format!("{value}\n"));
        }
        symlink(self.root.path().join(&directory), self.root.path().join("sys/block").join(name)).unwrap();
    }

    fn roots(&self) -> KernelRoots {
        let root = self.root.path();
        KernelRoots { sys: root.join("sys"), proc: root.join("proc"), ..KernelRoots::default() }
    }

    fn list(&self) -> Vec<BlockDevice> {
        let mut devices = list(&self.roots()).unwrap();
        devices.sort_by(|a, b| a.name.cmp(&b.name));
        devices
    }

    fn one(&self, name: &str) -> BlockDevice {
        self.list().into_iter().find(|device| device.name.as_str() == name).unwrap()
    }
}

const SIZE: (&str, &str) = ("size", "2048");

#[test]
fn kind_path_and_identity_depend_on_the_bus() {
    let board = FakeBoard::new();
    let emmc = "soc/2100000.bus/2194000.mmc/mmc_host/mmc1/mmc1:0001";
    board.device(
        &format!("{emmc}/block/mmcblk1"),
        &[
            ("size", "7471104"),
            ("device/type", "MMC"),
            ("device/cid", "1501004d"),
            ("queue/logical_block_size", "512"),
        ],
    );
    board.device(&format!("{emmc}/block/mmcblk1boot0"), &[SIZE]);
    board.device(&format!("{emmc}/block/mmcblk1rpmb"), &[SIZE]);
    board.device(
        "soc/2190000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0",
        &[SIZE, ("device/type", "SD"), ("device/cid", "0353")],
    );
    board.device(
        "pci0000:00/0000:00:1f.2/ata1/host2/target2:0:0/2:0:0:0/block/sda",
        &[SIZE, ("device/wwid", "t10.ATA QEMU"), ("device/vpd_pg80", "\0\u{1}\0\u{4}  QM01 ")],
    );
    let stick = "soc/2184200.usb/ci_hdrc.1/usb2/2-1";
    board.write(&format!("sys/devices/{stick}/idVendor"), "0951\n");
    board.write(&format!("sys/devices/{stick}/idProduct"), "1666\n");
    board.write(&format!("sys/devices/{stick}/serial"), "E0D55EA\n");
    let unit = format!("{stick}/2-1:1.0/host0/target0:0:0/0:0:0:1");
    board.device(&format!("{unit}/block/sdb"), &[SIZE, ("removable", "0"), ("ro", "1")]);
    symlink(
        board.root.path().join("sys/devices").join(&unit),
        board.root.path().join(format!("sys/devices/{unit}/block/sdb/device")),
    )
    .unwrap();
    board.device("pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1", &[SIZE, ("device/serial", "S4EV")]);
    board.device("platform/fpga/tssdcarda", &[SIZE]);

    let found: Vec<_> = board
        .list()
        .into_iter()
        .map(|device| (device.name.to_string(), device.kind, device.controller_path, device.identity))
        .collect();
    let expected = [
        ("mmcblk0", DeviceKind::Sd, "soc/2190000.mmc/mmc_host/mmc0/mmc0:aaaa", Some("mmc:0353")),
        ("mmcblk1", DeviceKind::Emmc, emmc, Some("mmc:1501004d")),
        ("nvme0n1", DeviceKind::Nvme, "pci0000:00/0000:00:04.0/nvme/nvme0", Some("nvme:S4EV")),
        (
            "sda",
            DeviceKind::Sata,
            "pci0000:00/0000:00:1f.2/ata1/host2/target2:0:0/2:0:0:0",
            Some("serial:QM01"),
        ),
        ("sdb", DeviceKind::Usb, unit.as_str(), Some("usb:0951:1666:E0D55EA:1")),
        ("tssdcarda", DeviceKind::Other, "platform/fpga", None),
    ]
    .map(|(name, kind, path, identity)| {
        (name.to_owned(), kind, path.to_owned(), identity.map(str::to_owned))
    });
    assert_eq!(found, expected);

    let emmc = board.one("mmcblk1");
    assert!(emmc.has_boot_areas && !emmc.removable && !emmc.read_only);
    assert_eq!((emmc.len_bytes, emmc.sector_len_bytes), (7_471_104 * 512, 512));
    assert!(board.one("mmcblk0").removable && !board.one("mmcblk0").has_boot_areas);
    assert!(board.one("sdb").removable && board.one("sdb").read_only);
}

#[test]
fn devices_that_are_not_media_are_left_out() {
    let board = FakeBoard::new();
    for name in ["ram0", "zram0", "dm-0", "md127", "sr0", "loop0"] {
        board.device(&format!("virtual/block/{name}"), &[SIZE]);
    }
    board.device("virtual/nvme-subsystem/nvme0c0n1", &[SIZE, ("hidden", "1")]);
    board.write("backing.img", "x");
    let backing = board.root.path().join("backing.img").display().to_string();
    board.device("virtual/block/loop3", &[SIZE, ("loop/backing_file", &backing)]);
    // Only whole names match those that are left out.
    board.device("platform/srdisk", &[SIZE]);
    let names: Vec<_> = board.list().iter().map(|device| device.name.to_string()).collect();
    assert_eq!(names, ["loop3", "srdisk"]);
    let file = std::fs::metadata(&backing).unwrap();
    let identity = format!("loop:{}:{}", file.dev(), file.ino());
    assert_eq!(board.one("loop3").identity, Some(identity));
}

#[test]
fn partitions_are_listed_by_number() {
    let board = FakeBoard::new();
    board.device(
        "virtual/block/vda",
        &[
            SIZE,
            ("vda10/partition", "10"),
            ("vda10/start", "1024"),
            ("vda10/size", "8"),
            ("vda2/partition", "2"),
            ("vda2/start", "8"),
            ("vda2/size", "16"),
            ("queue/logical_block_size", "4096"),
        ],
    );
    let device = board.one("vda");
    assert_eq!(device.sector_len_bytes, 4096);
    let expected = [("vda2", 2, 4096, 8192), ("vda10", 10, 524_288, 4096)].map(
        |(name, number, start_bytes, len_bytes)| Partition {
            name: DeviceName::parse(name).unwrap(),
            number,
            start_bytes,
            len_bytes,
        },
    );
    assert_eq!(device.partitions, expected);
}

#[test]
fn every_kind_of_use_is_found() {
    let part = |attributes: &[(&str, &str)]| {
        let board = FakeBoard::new();
        let mut all = vec![SIZE, ("dev", "8:0"), ("sda1/partition", "1"), ("sda1/dev", "8:1")];
        all.extend([("sda1/start", "8"), ("sda1/size", "8")]);
        all.extend(attributes);
        board.device("virtual/block/sda", &all);
        std::fs::create_dir_all(board.root.path().join("sys/block/sda/holders")).unwrap();
        std::fs::create_dir_all(board.root.path().join("sys/block/sda/sda1/holders")).unwrap();
        board
    };
    let board = part(&[]);
    assert_eq!(board.one("sda").in_use, None);
    board.write("proc/thread-self/mountinfo", "7 1 8:1 / /mnt/usb ro - ext4 /dev/root ro\n");
    assert_eq!(board.one("sda").in_use.as_deref(), Some("mounted at /mnt/usb"));

    let board = part(&[]);
    board.write("proc/thread-self/mountinfo", "7 1 0:40 / /data rw - btrfs /dev/sda rw\n");
    assert_eq!(board.one("sda").in_use.as_deref(), Some("mounted at /data"));

    let board = part(&[]);
    board.write("proc/swaps", "Filename Type Size Used Priority\n/dev/sda1 partition 1 0 -2\n");
    assert_eq!(board.one("sda").in_use.as_deref(), Some("swap"));

    let board = part(&[("sda1/holders/dm-0/name", "root")]);
    assert_eq!(board.one("sda").in_use.as_deref(), Some("held by dm-0"));

    let board = part(&[]);
    board.device("virtual/block/loop0", &[SIZE, ("loop/backing_file", "/dev/sda1")]);
    assert_eq!(board.one("sda").in_use.as_deref(), Some("behind loop0"));

    let board = part(&[]);
    std::fs::remove_file(board.root.path().join("proc/thread-self/mountinfo")).unwrap();
    assert!(list(&board.roots()).is_err(), "without a mount table no device is known to be unused");
}

#[test]
fn the_erase_group_of_a_card_is_the_unit_of_its_discards_and_writes() {
    let units = |attributes: &[(&str, &str)]| {
        let board = FakeBoard::new();
        board.device("platform/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0", attributes);
        let path = board.roots().sys.join("devices/platform/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0");
        (discard_unit_bytes(&path, 512), erase_group_bytes(&path))
    };
    let (max, granularity) = (("queue/discard_max_bytes", "1048576"), ("queue/discard_granularity", "4096"));
    let erase = |len| ("device/preferred_erase_size", len);
    assert_eq!(units(&[max, granularity, erase("4194304")]), (Some(4 << 20), Some(4 << 20)));
    assert_eq!(units(&[max, granularity]), (Some(4096), Some(4096)));
    assert_eq!(units(&[max, granularity, erase("12582912")]), (None, Some(12 << 20)));
    // Without discards it still has groups.
    assert_eq!(units(&[("queue/discard_max_bytes", "0"), erase("4194304")]), (None, Some(4 << 20)));
    assert_eq!(units(&[]), (None, None));
}
