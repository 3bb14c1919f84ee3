//! An emulated board: QEMU with disks, a console log, a monitor and LED lines. Input to the console is in `keyboard`.

use super::keyboard::Keyboard;
use super::leds::{Pattern, Wiring};
use super::qmp::{Event, Qmp};
use super::qtest::{Edge, Recorder};
use super::stage::{self, Stage};
use serde_json::json;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time limit for the next expected event of an emulated board on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(420);
const POLL: Duration = Duration::from_millis(50);

/// The emulated boards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Q35,
    VirtArm64,
    /// With a newer QEMU, which has an eMMC.
    VirtArm64Newer,
    VirtArmv7,
    Sabrelite,
}

impl Kind {
    /// Name of the drive for this board.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Q35 => "qemu-q35",
            Self::VirtArm64 | Self::VirtArm64Newer => "qemu-virt-arm64",
            Self::VirtArmv7 => "qemu-virt-armv7",
            Self::Sabrelite => "qemu-sabrelite",
        }
    }

    /// Debian's name of the architecture.
    pub(crate) fn debian_architecture(self) -> &'static str {
        match self {
            Self::Q35 => "amd64",
            Self::VirtArm64 | Self::VirtArm64Newer => "arm64",
            Self::VirtArmv7 | Self::Sabrelite => "armhf",
        }
    }

    /// The emulator.
    pub(crate) fn program(self) -> PathBuf {
        match self {
            Self::Q35 => "qemu-system-x86_64".into(),
            Self::VirtArm64 => "qemu-system-aarch64".into(),
            Self::VirtArm64Newer => stage::prepared("newer/qemu-system-aarch64"),
            Self::VirtArmv7 | Self::Sabrelite => "qemu-system-arm".into(),
        }
    }

    fn kernel(self) -> &'static str {
        match self {
            Self::Q35 => "bzImage",
            Self::VirtArm64 | Self::VirtArm64Newer => "Image",
            Self::VirtArmv7 | Self::Sabrelite => "zImage",
        }
    }

    /// Without high memory, a 32-bit kernel can use PCI; without ACPI, the LEDs are on the PL061. Hardware virtualisation is
    /// never used.
    pub(crate) fn machine(self) -> &'static [&'static str] {
        match self {
            Self::Q35 => &["-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "512"],
            Self::VirtArm64 | Self::VirtArm64Newer => {
                &["-machine", "virt,accel=tcg,acpi=off", "-cpu", "cortex-a53", "-smp", "2", "-m", "512"]
            }
            Self::VirtArmv7 => {
                &["-machine", "virt,accel=tcg,highmem=off", "-cpu", "cortex-a15", "-smp", "2", "-m", "512"]
            }
            Self::Sabrelite => &["-machine", "sabrelite,accel=tcg", "-m", "1G", "-serial", "null"],
        }
    }

    /// `nohlt`, because an idle processor would stop the timers of the sabrelite for seconds.
    fn command_line(self) -> &'static str {
        match self {
            Self::Q35 => "console=ttyS0 replicator.board=qemu-q35",
            Self::VirtArm64 | Self::VirtArm64Newer | Self::VirtArmv7 => "console=ttyAMA0",
            Self::Sabrelite => "console=ttymxc1,115200 nohlt",
        }
    }

    /// The lines of the GPIO controller with the LEDs, as in the profile.
    pub(crate) fn wiring(self) -> Option<Wiring> {
        match self {
            Self::Q35 => None,
            Self::Sabrelite => Some(Wiring { red: 11, green: 10 }),
            _ => Some(Wiring { red: 1, green: 0 }),
        }
    }
}

/// The bus of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bus {
    Usb,
    Sd,
    Sata,
    Nvme,
    /// With two boot areas of a MiB each.
    Emmc,
}

impl Bus {
    /// Controller and device for the `index`-th drive of the machine.
    fn devices(self, kind: Kind, index: usize, serial: &str) -> Vec<String> {
        let mut devices = match (self, kind) {
            (_, Kind::Sabrelite) => vec![],
            (Self::Usb, _) => vec!["qemu-xhci,id=usb,addr=0x4".to_owned()],
            (Self::Sd, _) => vec!["sdhci-pci,id=sd,addr=0x5".to_owned()],
            (Self::Sata, _) => vec!["ahci,id=sata,addr=0x6".to_owned()],
            (Self::Nvme, _) => vec![],
            (Self::Emmc, _) => vec!["sdhci-pci,id=mmc,addr=0x8".to_owned()],
        };
        let usb_bus = if kind == Kind::Sabrelite { "usb-bus.1" } else { "usb.0" };
        devices.push(match self {
            Self::Usb => format!("usb-storage,id=stick,bus={usb_bus},removable=on,drive=disk{index}"),
            Self::Sd => format!("sd-card,drive=disk{index}"),
            Self::Sata => format!("ide-hd,bus=sata.0,drive=disk{index},serial={serial}"),
            Self::Emmc => format!("emmc,drive=disk{index},boot-partition-size=1048576"),
            Self::Nvme => format!("nvme,addr=0x7,drive=disk{index},serial={serial}"),
        });
        devices
    }
}

/// How a board loads its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The emulator loads kernel and initramfs.
    Direct,
    /// The bootloader loads them from the drive.
    Bootloader,
}

/// The parts of a board, before it is switched on.
pub(crate) struct Board<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) start: Start,
    /// Disks by bus; the file name is the serial number, if the disk has one.
    pub(crate) disks: Vec<(Bus, &'a Path)>,
    /// Replaces the device tree of the machine.
    pub(crate) device_tree: Option<&'a Path>,
    /// Whether the board has a watchdog on its PCI bus, which resets the board if it is not fed.
    pub(crate) watchdog: bool,
    /// More words for the kernel command line.
    pub(crate) words: &'a str,
    /// Another size of its memory, in MiB.
    pub(crate) memory_mib: Option<u32>,
}

impl<'a> Board<'a> {
    /// A board with these disks, whose kernel the emulator loads.
    pub(crate) fn new(stage: &'a Stage, disks: Vec<(Bus, &'a Path)>) -> Self {
        Self {
            stage,
            start: Start::Direct,
            disks,
            device_tree: None,
            watchdog: false,
            words: "",
            memory_mib: None,
        }
    }

    /// Switches the board on; `boot` is the name of its console log.
    pub(crate) fn switch_on(&self, boot: &str) -> Machine {
        Machine::start(self, boot)
    }

    fn arguments(&self, console: &Path, sockets: &Path) -> Vec<String> {
        let kind = self.stage.kind;
        let mut words: Vec<String> = kind.machine().iter().map(|word| (*word).to_owned()).collect();
        let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
        let sockets = sockets.display();
        let options = format!("path={sockets}/console,server=on,wait=off,logfile={}", console.display());
        add("-chardev", format!("socket,id=console,{options}"));
        add("-serial", "chardev:console".into());
        add("-qmp", format!("unix:{sockets}/qmp,server=on,wait=off"));
        add("-qtest", format!("unix:{sockets}/qtest,server=on,wait=off"));
        add("-qtest-log", "none".into());
        for (index, (bus, file)) in self.disks.iter().enumerate() {
            let file_name = file.file_stem().unwrap().to_string_lossy();
            // All data that the guest has written is in the file, flushed or not, even if QEMU is killed.
            add("-drive", format!("if=none,id=disk{index},format=raw,cache=unsafe,file={}", file.display()));
            for device in bus.devices(kind, index, &file_name) {
                add("-device", device);
            }
        }
        if let Some(memory_mib) = self.memory_mib {
            // The last one of several options holds.
            add("-m", memory_mib.to_string());
        }
        if self.watchdog {
            add("-device", "i6300esb,addr=0x9".into());
        }
        match self.start {
            Start::Direct => {
                add("-kernel", self.stage.drive_file(kind.kernel()).display().to_string());
                add("-initrd", self.stage.drive_file("initramfs").display().to_string());
                let line = format!("{} loglevel=4 panic=-1 {}", kind.command_line(), self.words);
                add("-append", line.trim().to_owned());
            }
            Start::Bootloader => {
                // The address to which the boot ROM of the i.MX6 would load it, and its entry point.
                let loader = self.stage.debian("u-boot/usr/lib/u-boot/mx6qsabrelite/u-boot-dtb.imx");
                add("-device", format!("loader,file={},addr=0x177ff400,force-raw=on", loader.display()));
                add("-device", "loader,addr=0x17800000,cpu-num=0".into());
            }
        }
        if let Some(tree) = self.device_tree {
            add("-dtb", tree.display().to_string());
        }
        let switches = ["-nodefaults", "-display", "none", "-no-reboot", "-net", "none", "-S"];
        words.extend(switches.map(str::to_owned));
        words
    }
}

/// A running board. On drop it is killed, like in a power cut.
pub(crate) struct Machine {
    child: Child,
    console: PathBuf,
    pub(super) keyboard: Keyboard,
    qmp: Qmp,
    wiring: Option<Wiring>,
    recorder: Option<Recorder>,
}

impl Machine {
    fn start(board: &Board<'_>, boot: &str) -> Self {
        let kind = board.stage.kind;
        let console = board.stage.console(boot);
        std::fs::write(&console, "").unwrap();
        let sockets = tempfile::tempdir().unwrap();
        let mut command = Command::new(kind.program());
        command.args(board.arguments(&console, sockets.path()));
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let mut qmp = Qmp::new(connect(&sockets.path().join("qmp")));
        let keyboard = Keyboard::new(connect(&sockets.path().join("console")));
        let qtest = connect(&sockets.path().join("qtest"));
        let controller = match kind {
            Kind::Q35 => None,
            Kind::Sabrelite => Some("/machine/soc/gpio1".to_owned()),
            _ => Some(qmp.path_of("/machine/unattached", |_, kind| kind == "child<pl061>")),
        };
        let recorder = controller.map(|path| Recorder::start(qtest, &path));
        qmp.command("cont", &json!({}));
        board.stage.print(&format!("{boot}: switched on"));
        Self { child, console, keyboard, qmp, wiring: kind.wiring(), recorder }
    }

    /// The console output so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.console).unwrap()).into_owned()
    }

    /// Waits until the console has printed `wanted`, and returns the whole line.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, wanted: &str) -> String {
        self.wait_until(wanted, |text| text.lines().find(|line| line.contains(wanted)).map(str::to_owned))
    }

    /// Waits until `found` returns a value for the console output; `what` describes it in errors.
    #[track_caller]
    pub(crate) fn wait_until<T>(&mut self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap();
            let text = self.text();
            if let Some(found) = found(&text) {
                return found;
            }
            assert!(ended.is_none(), "QEMU ended: {ended:?}; no {what:?} in\n{text}");
            assert!(!text.contains("Kernel panic"), "{text}");
            assert!(started.elapsed() < TIME_LIMIT, "no {what:?} in time:\n{text}");
            sleep(POLL);
        }
    }

    /// The lines of its LEDs; `None` for a board without LEDs.
    pub(crate) fn wiring(&self) -> Option<Wiring> {
        self.wiring
    }

    /// All changes of the LED lines so far.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        self.recorder.as_ref().map(Recorder::edges).unwrap_or_default()
    }

    /// The LED pattern between two moments; `None` for a board without LEDs.
    pub(crate) fn pattern(&self, from: Instant, until: Instant) -> Option<Pattern> {
        self.wiring.map(|wiring| Pattern::of(&self.edges(), wiring, from, until))
    }

    /// Records the LEDs for this time and returns the pattern.
    pub(crate) fn watch(&self, time: Duration) -> Option<Pattern> {
        let from = Instant::now();
        sleep(time);
        self.pattern(from, Instant::now())
    }

    /// Unplugs the drive.
    pub(crate) fn unplug_drive(&mut self) {
        self.qmp.command("device_del", &json!({ "id": "stick" }));
    }

    /// Stalls a disk, given by its index among the disks of the board, or lets it continue.
    pub(crate) fn stall(&mut self, index: usize, stalls: bool) {
        // One byte per second.
        let rate = u64::from(stalls);
        let mut limits = json!({ "device": format!("disk{index}") });
        for name in ["bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"] {
            limits[name] = json!(if name == "bps" { rate } else { 0 });
        }
        self.qmp.command("block_set_io_throttle", &limits);
    }

    /// Fails if the board was reset or switched off, or if its watchdog has timed out.
    #[track_caller]
    pub(crate) fn assert_still_on(&mut self) {
        let ends = ["RESET", "SHUTDOWN", "WATCHDOG"];
        let ended: Vec<&Event> =
            self.qmp.events().iter().filter(|event| ends.contains(&event.name.as_str())).collect();
        assert!(ended.is_empty(), "{ended:?}");
        assert_eq!(self.child.try_wait().unwrap(), None, "QEMU ended");
    }

    /// Waits until the board resets or switches off; returns the reason that QEMU reports, and whether the watchdog caused it.
    #[track_caller]
    pub(crate) fn wait_for_end(mut self) -> (String, bool) {
        assert!(self.qmp.wait_for("SHUTDOWN", TIME_LIMIT), "still on:\n{}", self.text());
        let started = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < TIME_LIMIT, "QEMU does not end:\n{}", self.text());
            sleep(POLL);
        }
        let events = self.qmp.events();
        let shutdown = events.iter().find(|event| event.name == "SHUTDOWN").unwrap();
        (shutdown.why.clone(), events.iter().any(|event| event.name == "WATCHDOG"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(path: &Path) -> UnixStream {
    let started = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(error) => assert!(started.elapsed() < TIME_LIMIT, "{}: {error}", path.display()),
        }
        sleep(POLL);
    }
}
