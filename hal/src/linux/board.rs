//! The Linux backend as a [`Board`].

use super::devices::LinuxDevices;
use super::file_systems::{FileSystemsConfig, LinuxFileSystems};
use super::firmware::LinuxFirmware;
use super::gpio_lines::GpioLines;
use super::led_class::LedClass;
use super::led_fallback::{LedFallback, LedSource};
use super::led_lines::{LedLines, NoLines};
use super::leds::LedThread;
use super::roots::KernelRoots;
use super::system::LinuxSystem;
use super::tools::Tools;
use crate::host::{FileRecords, HostClock, ThreadTasks, Volumes};
use crate::{Board, Error, GpioLine, LedName, Records, Result};
use std::path::PathBuf;
use std::sync::Arc;

/// Which LEDs show the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedConfig {
    /// No LEDs.
    None,
    /// In the LED class; for each LED its possible names, in order of preference.
    Class {
        /// Names of the red one.
        red: Vec<LedName>,
        /// Names of the green one.
        green: Vec<LedName>,
    },
    /// On GPIO lines that no LED driver uses.
    Gpio {
        /// The red one.
        red: GpioLine,
        /// The green one.
        green: GpioLine,
    },
    /// In the LED class or, if an LED is not there, on a GPIO line.
    Fallback {
        /// The red one.
        red: LedSource,
        /// The green one.
        green: LedSource,
    },
}

impl LedConfig {
    /// Starts the thread that switches these LEDs. `note` is called with the first error of each LED.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(self, roots: &KernelRoots, note: impl Fn(&Error) + Send + 'static) -> Result<LedThread> {
        let lines: Box<dyn LedLines> = match self {
            Self::None => Box::new(NoLines),
            Self::Class { red, green } => Box::new(LedClass::new(roots.sys.join("class/leds"), &red, &green)),
            Self::Gpio { red, green } => Box::new(GpioLines::new(red, green)),
            Self::Fallback { red, green } => {
                Box::new(LedFallback::new(roots.sys.join("class/leds"), red, green))
            }
        };
        LedThread::start(lines, note).map_err(|error| Error::from_io(error, "starting", "the LED thread"))
    }
}

/// Parameters of a Linux board.
#[derive(Debug, Clone)]
pub struct LinuxBoardConfig {
    /// Where `/dev`, `/sys` and `/proc` are.
    pub roots: KernelRoots,
    /// The mount point of the USB drive; `None` for a private directory.
    pub drive_mount_point: Option<PathBuf>,
    /// Where private mount points are created; see [`FileSystemsConfig::mount_base`].
    pub mount_base: Option<PathBuf>,
    /// Where logs and the report go.
    pub log_dir: PathBuf,
    /// The LEDs.
    pub leds: LedConfig,
    /// The file-system tools.
    pub tools: Tools,
}

impl LinuxBoardConfig {
    /// The running system without LEDs, with private mounts, and logs in `log_dir`.
    pub fn new(log_dir: impl Into<PathBuf>) -> Self {
        Self {
            roots: KernelRoots::default(),
            drive_mount_point: None,
            mount_base: None,
            log_dir: log_dir.into(),
            leds: LedConfig::None,
            tools: Tools::default(),
        }
    }
}

/// A board, with those of its parts that have more methods than their traits.
pub struct LinuxBoard {
    /// The board for the engine.
    pub board: Board,
    /// The LEDs of the board, which also return what they show.
    pub leds: Arc<LedThread>,
    /// Looks up devices by path.
    pub devices: Arc<LinuxDevices>,
    /// Mounted volumes.
    pub volumes: Arc<Volumes>,
}

impl LinuxBoard {
    /// Creates the board. It opens and mounts nothing and switches no LED yet.
    ///
    /// # Errors
    /// If the LED thread cannot be started.
    pub fn new(config: LinuxBoardConfig) -> Result<Self> {
        let records: Arc<dyn Records> = Arc::new(FileRecords::on_stderr(config.log_dir));
        let led_records = Arc::clone(&records);
        let note = move |error: &Error| led_records.console(&format!("LED: {error}"));
        let leds = Arc::new(config.leds.start(&config.roots, note)?);
        let volumes = Arc::<Volumes>::default();
        let devices = Arc::new(LinuxDevices::new(config.roots.clone()));
        let system = LinuxSystem::new(&config.roots, Arc::clone(&volumes));
        let file_systems = LinuxFileSystems::new(
            FileSystemsConfig {
                roots: config.roots,
                drive_mount_point: config.drive_mount_point,
                mount_base: config.mount_base,
                tools: config.tools,
            },
            Arc::clone(&volumes),
        )
        .beside(&devices);
        let board = Board {
            devices: Arc::<LinuxDevices>::clone(&devices),
            file_systems: Arc::new(file_systems),
            leds: Arc::<LedThread>::clone(&leds),
            clock: Arc::new(HostClock::new()),
            tasks: Arc::new(ThreadTasks),
            system: Arc::new(system),
            firmware: Arc::new(LinuxFirmware::new(Arc::clone(&devices), Arc::clone(&volumes))),
            records,
        };
        Ok(Self { board, leds, devices, volumes })
    }
}
