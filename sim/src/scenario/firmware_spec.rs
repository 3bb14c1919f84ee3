//! The firmware of a scenario: its board, its state, and the firmware files on the drive.

use super::schema::Size;
use crate::model::hardware::firmware::UpdaterBehaviour;
use serde::{Deserialize, Serialize};

/// The firmware of the scenario's board.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirmwareSpec {
    /// The profile whose firmware it is, such as `ts7250v3`.
    pub board: String,
    /// The `compatible` string of the unit; by default the profile's first one.
    pub compatible: Option<String>,
    /// The kernel's command line.
    #[serde(default)]
    pub command_line: String,
    /// Length of the bootloader's area.
    #[serde(default = "FirmwareSpec::default_area_len")]
    pub area_len: Size,
    /// The kernel has no such area.
    #[serde(default)]
    pub area_absent: bool,
    /// The area always refuses writes.
    #[serde(default)]
    pub area_locked: bool,
    /// The installed bootloader is already the one on the drive.
    #[serde(default)]
    pub area_is_new: bool,
    /// Another process holds the area open all the time, so that its page cache stays.
    #[serde(default)]
    pub area_held_open: bool,
    /// The board's revision, with the profile's name for it; by default no register can be read.
    pub revision: Option<String>,
    /// The microcontroller; by default none answers.
    pub microcontroller: Option<MicrocontrollerSpec>,
}

impl FirmwareSpec {
    fn default_area_len() -> Size {
        Size(2 << 20)
    }
}

/// A microcontroller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MicrocontrollerSpec {
    /// Its revision.
    pub revision: u16,
    /// Its model; one without a model installs an update at once.
    pub model: Option<u16>,
    /// What its updater does.
    #[serde(default)]
    pub updater: UpdaterBehaviour,
}

/// A firmware file on the drive.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirmwareFileSpec {
    /// Its kind.
    pub kind: FirmwareKind,
    /// Its length; of a microcontroller update, that of its payload.
    #[serde(default = "FirmwareFileSpec::default_len")]
    pub len: Size,
    /// The board variant in its environment.
    pub imx_type: Option<String>,
    /// Form of the variant in the environment.
    #[serde(default)]
    pub layout: ImxTypeLayout,
    /// The revision of a microcontroller update.
    #[serde(default)]
    pub revision: u16,
    /// Its model.
    #[serde(default)]
    pub model: u16,
    /// The lines of a program.
    #[serde(default)]
    pub script: String,
    /// A program that is not executable.
    #[serde(default)]
    pub not_executable: bool,
}

impl FirmwareFileSpec {
    fn default_len() -> Size {
        Size(8 << 10)
    }
}

/// Kinds of firmware files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirmwareKind {
    /// Bytes without any header.
    Raw,
    /// An i.MX6 image.
    Imx,
    /// An i.MX93 container.
    Imx93,
    /// A Marvell kwbimage.
    Kwb,
    /// A microcontroller update without a model.
    MicroV0,
    /// A microcontroller update with one.
    MicroV1,
    /// A program.
    Program,
}

/// The form of a board variant in a bootloader's environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImxTypeLayout {
    /// `imx_type=value`.
    #[default]
    Assigned,
    /// The value, then the name.
    ValueFirst,
    /// The name, then the value.
    NameFirst,
}
