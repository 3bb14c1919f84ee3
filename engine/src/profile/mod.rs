//! Board profiles: how a board is recognised, which media it has, how each is found and formatted, and which firmware it
//! has.
//!
//! Profiles are TOML files. They are built into the boot binary, on the drive, or anywhere. The engine does not use the
//! LEDs of a profile; the backend that controls the LEDs does. The table `[drive]` of the same file is for the builder of
//! drives.

mod choice;
mod firmware;
mod leds;

pub use choice::{BoardChoice, choose, joined};
pub(crate) use firmware::is_for;
pub use firmware::{
    AreaProfile, BoardCheck, BootloaderFile, BootloaderProfile, CheckKind, FirmwareFormat, Footer,
    FpgaProfile, MicrocontrollerProfile, RevisionProfile, firmware_names,
};
pub use leds::{LedLine, LedProfile};

use crate::formats::partition::Scheme;
use crate::from_toml;
use replicator_hal::{DeviceKind, Flavour};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// One board family.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name of the profile, such as `tsimx6`.
    pub name: String,
    /// Products it covers, for people.
    #[serde(default)]
    pub products: Vec<String>,
    /// Whole `compatible` strings of the device tree; empty for a profile that is chosen by name only.
    #[serde(default, rename = "match")]
    pub matches: Vec<String>,
    /// Media in the order in which they are captured.
    #[serde(default, rename = "medium")]
    pub media: Vec<MediumProfile>,
    /// The LEDs; several where the boards of the profile differ.
    #[serde(default)]
    pub leds: Vec<LedProfile>,
    /// Where the board's revision is read.
    #[serde(default)]
    pub revision: Option<RevisionProfile>,
    /// Its bootloader, if it can be written.
    #[serde(default)]
    pub bootloader: Option<BootloaderProfile>,
    /// Its microcontroller, if it has one that can be updated.
    #[serde(default)]
    pub microcontroller: Option<MicrocontrollerProfile>,
    /// Updaters of its FPGA, one per revision of the board.
    #[serde(default)]
    pub fpga: Vec<FpgaProfile>,
    /// How a drive that boots the board is made. The builder of drives reads it; it is skipped here, so that a board
    /// needs only one file.
    #[serde(default, deserialize_with = "skip")]
    pub drive: (),
}

fn skip<'de, D: Deserializer<'de>>(table: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(table).map(|_| ())
}

/// One medium of a board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediumProfile {
    /// Generic name, which image names and options use: `sd`, `sd1`, `emmc`, `sata`, ...
    pub name: String,
    /// How it is attached.
    pub kind: MediumKind,
    /// Part of the controller path in sysfs that identifies its slot, such as `2194000.mmc`.
    #[serde(default)]
    pub controller: Option<String>,
    /// Kernel device name, used only if no device is found by its controller.
    #[serde(default)]
    pub device: Option<String>,
    /// The file system that is made for a tarball.
    #[serde(default)]
    pub file_system: FileSystemFlavour,
    /// Partition that holds the rootfs if several could, from 1.
    #[serde(default = "first_partition")]
    pub rootfs_partition: u32,
    /// Whether the board boots from bytes between the partition table and the first partition of this medium. If missing,
    /// a capture assumes that data there is a bootloader and keeps it.
    #[serde(default)]
    pub bootloader_in_gap: Option<bool>,
    /// `compatible` strings of the boards that have this medium; empty if all of the profile have it.
    #[serde(default)]
    pub only: Vec<String>,
}

fn first_partition() -> u32 {
    1
}

/// How a medium is attached, as profiles name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum MediumKind {
    /// An SD card.
    Sd,
    /// An eMMC.
    Emmc,
    /// A SATA disk.
    Sata,
    /// An NVMe disk.
    Nvme,
    /// By a driver of its own; found by the device name only.
    Other,
    /// The device that is named on the command line.
    Any,
}

impl MediumKind {
    /// Whether a device of `kind` can be this medium.
    pub fn fits(self, kind: DeviceKind) -> bool {
        match self {
            Self::Sd => kind == DeviceKind::Sd,
            Self::Emmc => kind == DeviceKind::Emmc,
            Self::Sata => kind == DeviceKind::Sata,
            Self::Nvme => kind == DeviceKind::Nvme,
            Self::Other => kind == DeviceKind::Other,
            Self::Any => true,
        }
    }
}

/// File system and partition table of a medium that is written from a tarball.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum FileSystemFlavour {
    /// MBR, ext2.
    Ext2,
    /// MBR, ext3.
    Ext3,
    /// MBR, ext4 with the default features of mke2fs.
    Ext4,
    /// MBR, ext4 without `metadata_csum` and `64bit`.
    #[default]
    Ext4Compat,
    /// GPT, ext4 with the default features of mke2fs.
    Ext4Gpt,
}

impl FileSystemFlavour {
    /// The flavour for mkfs.
    pub fn flavour(self) -> Flavour {
        match self {
            Self::Ext2 => Flavour::Ext2,
            Self::Ext3 => Flavour::Ext3,
            Self::Ext4 | Self::Ext4Gpt => Flavour::Ext4,
            Self::Ext4Compat => Flavour::Ext4Compat,
        }
    }

    /// The partition table.
    pub fn scheme(self) -> Scheme {
        match self {
            Self::Ext4Gpt => Scheme::Gpt,
            _ => Scheme::Mbr,
        }
    }
}

/// Why a profile is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML, an unknown key, or a value of the wrong kind; the text names line and column.
    #[error("profile {file}: {detail}")]
    Syntax {
        /// Where it came from.
        file: String,
        /// What is wrong, with its place.
        detail: String,
    },
    /// The parts are inconsistent.
    #[error("profile {name}: {detail}")]
    Content {
        /// The profile.
        name: String,
        /// What is wrong.
        detail: String,
    },
}

impl Profile {
    /// Reads a profile from TOML; `file` names it in errors.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn parse(text: &str, file: &str) -> Result<Self, ProfileError> {
        let profile: Self = from_toml::parse(text).map_err(|error| ProfileError::Syntax {
            file: file.to_owned(),
            detail: error.to_string().trim_end().to_owned(),
        })?;
        profile.check()?;
        Ok(profile)
    }

    fn check(&self) -> Result<(), ProfileError> {
        let bad = |detail: String| Err(ProfileError::Content { name: self.name.clone(), detail });
        for (index, medium) in self.media.iter().enumerate() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            if medium.name.is_empty() || !medium.name.chars().all(plain) {
                return bad(format!("medium name {:?} must be lower-case letters and digits", medium.name));
            }
            if firmware::LABELS.contains(&medium.name.as_str()) {
                return bad(format!("a medium cannot be called {}", medium.name));
            }
            if self.media[..index].iter().any(|other| other.name == medium.name) {
                return bad(format!("medium {} exists twice", medium.name));
            }
            if medium.rootfs_partition == 0 {
                return bad(format!("medium {}: partitions are counted from 1", medium.name));
            }
            if medium.controller.is_none() && medium.device.is_none() && medium.kind != MediumKind::Any {
                return bad(format!("medium {} needs a controller or a device", medium.name));
            }
        }
        firmware::fault(self).map_or(Ok(()), bad)
    }

    /// Whether one of the board's `compatible` strings is one of the profile's, as a whole.
    pub fn fits(&self, compatible: &[String]) -> bool {
        self.matches.iter().any(|wanted| compatible.contains(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let error = Profile::parse("name = \"x\"\nmedai = []\n", "x.toml").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("medai"), "{error}");
    }

    #[test]
    fn parts_must_fit_together() {
        let medium = |extra: &str| {
            Profile::parse(&format!("name = \"x\"\n[[medium]]\nkind = \"sd\"\n{extra}"), "x.toml")
                .unwrap_err()
                .to_string()
        };
        assert!(medium("name = \"SD\"\ndevice = \"mmcblk0\"").contains("lower-case"));
        assert!(medium("name = \"sd\"").contains("needs a controller or a device"));
        assert!(medium("name = \"sd\"\ndevice = \"mmcblk0\"\nrootfs_partition = 0").contains("from 1"));
    }

    #[test]
    fn the_table_for_the_builder_of_drives_is_skipped() {
        let drive =
            "[drive]\nkernel = \"zImage\"\nmodules = [\"ext4\"]\n[drive.variant.a]\nsize = { mib = 3 }\n";
        let bare = Profile::parse("name = \"x\"", "x.toml").unwrap();
        assert_eq!(Profile::parse(&format!("name = \"x\"\n{drive}"), "x.toml").unwrap(), bare);
        let error = Profile::parse(&format!("name = \"x\"\n{drive}[drives]\n"), "x.toml").unwrap_err();
        assert!(error.to_string().contains("drives"), "{error}");
    }

    #[test]
    fn compatible_strings_match_as_a_whole() {
        let profile = Profile::parse("name = \"x\"\nmatch = [\"technologic,ts7100\"]", "x.toml").unwrap();
        assert!(profile.fits(&["technologic,ts7100".into(), "fsl,imx6ul".into()]));
        assert!(!profile.fits(&["technologic,ts7100z".into()]));
    }
}
