//! The options on the drive: option files `IR_*` and the settings file `replicator.toml`.
//!
//! Option files need no editor: an empty file in the root is enough, in upper or lower case and with any extension that
//! an operating system adds. The settings file has all other options. It is strict: an unknown key is an error, because
//! otherwise a misspelt setting would have no effect without notice. This module only parses; the effect of an option is
//! implemented where it applies.

mod compression;

use crate::from_toml;
use replicator_hal::RelativePath;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

pub use compression::CaptureCompression;

/// Longest settings file, in bytes.
const SETTINGS_LIMIT_BYTES: usize = 64 * 1024;

/// How many unknown options are named; more would make the log unreadable.
const UNKNOWN_LIMIT: usize = 32;

/// How much of an unknown option's name is shown, in characters.
const UNKNOWN_NAME_LIMIT_CHARS: usize = 64;

/// All options on a drive: option files and settings together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How captured images are compressed; `capture.compress`, and `IR_NO_COMPRESS` for not at all.
    pub compress: CaptureCompression,
    /// Media that are not captured, by their names in the profile; `IR_NO_CAPTURE_<MEDIUM>` or `capture.skip`.
    pub skip_capture: BTreeSet<String>,
    /// Do nothing except start a shell; `IR_SHELL_ONLY`.
    pub shell_only: bool,
    /// Write images back to the medium they were captured from; `IR_WRITE_BACK` or `write.write_back`.
    pub write_back: bool,
    /// Options without an effect, safe for a log: unknown `IR_*` files, media that the board does not have.
    pub unknown: Vec<String>,
    /// The settings file, or its defaults.
    pub settings: Settings,
}

/// Why the options cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The settings file is too long.
    #[error("replicator.toml has {len_bytes} bytes; the limit is {SETTINGS_LIMIT_BYTES}")]
    TooLong {
        /// Its length.
        len_bytes: usize,
    },
    /// The settings file has an error.
    #[error("replicator.toml, line {line}: {detail}")]
    Settings {
        /// Where, from 1.
        line: usize,
        /// What is wrong, with the known keys if a key is unknown.
        detail: String,
    },
}

impl Options {
    /// The options of a drive with files `names` in its root and these `settings`, for a board that has `media`.
    pub fn new(names: &[Vec<u8>], settings: Settings, media: &[String]) -> Self {
        let mut options = Self {
            compress: settings.capture.compress,
            skip_capture: BTreeSet::new(),
            shell_only: false,
            write_back: settings.write.write_back,
            unknown: Vec::new(),
            settings,
        };
        let mut unknown = BTreeSet::new();
        for medium in &options.settings.capture.skip {
            if let Some(medium) = known_medium(medium, media) {
                options.skip_capture.insert(medium);
            } else {
                unknown.insert(format!("capture.skip \"{}\"", printable(medium)));
            }
        }
        for name in names {
            let text = String::from_utf8_lossy(name);
            if !options.take_file(&text, media) {
                unknown.insert(printable(&text));
            }
        }
        let more = unknown.len().saturating_sub(UNKNOWN_LIMIT);
        options.unknown = unknown.into_iter().take(UNKNOWN_LIMIT).collect();
        if more > 0 {
            options.unknown.push(format!("and {more} more"));
        }
        options
    }

    /// Applies one file in the root; `false` if it is an unknown option.
    fn take_file(&mut self, name: &str, media: &[String]) -> bool {
        let lower = name.to_lowercase();
        let Some(rest) = lower.strip_prefix("ir_") else { return true };
        // Programs add extensions: `.txt`, `.txt.txt`, `.TXT~`.
        let option = rest.split('.').next().unwrap_or_default().trim_end();
        match option {
            "no_compress" => self.compress = CaptureCompression::None,
            "shell_only" => self.shell_only = true,
            "write_back" => self.write_back = true,
            _ => {
                let medium = option.strip_prefix("no_capture_").and_then(|name| known_medium(name, media));
                let Some(medium) = medium else { return false };
                self.skip_capture.insert(medium);
            }
        }
        true
    }
}

/// A medium's name as the board's profile spells it.
fn known_medium(name: &str, media: &[String]) -> Option<String> {
    media.iter().find(|medium| medium.eq_ignore_ascii_case(name)).cloned()
}

/// A name from the drive, safe for a terminal.
fn printable(name: &str) -> String {
    let mut text: String = name
        .chars()
        .take(UNKNOWN_NAME_LIMIT_CHARS)
        .map(|character| if character.is_control() { '?' } else { character })
        .collect();
    if name.chars().nth(UNKNOWN_NAME_LIMIT_CHARS).is_some() {
        text.push_str("...");
    }
    text
}

/// The content of `replicator.toml`. Every key may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The board profile that this drive is for; on another board nothing is done.
    pub board: Option<String>,
    /// What the board does after a success, if the replicator is its init or was started by it.
    pub after: After,
    /// `[capture]`
    pub capture: CaptureSettings,
    /// `[write]`
    pub write: WriteSettings,
    /// `[expand]`
    pub expand: ExpandSettings,
    /// `[timeouts]`
    pub timeouts: TimeoutSettings,
    /// `[limits]`
    pub limits: LimitSettings,
}

/// What follows a success. After a failure the board always waits, so that the LEDs show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum After {
    /// The LEDs show it until the power is removed.
    #[default]
    Wait,
    /// The board reboots. If the drive is still plugged in, many boards boot from it again.
    Reboot,
    /// The board switches off.
    Poweroff,
}

/// `[capture]`: how media become images.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureSettings {
    /// How images are compressed.
    pub compress: CaptureCompression,
    /// Media not to capture.
    pub skip: Vec<String>,
    /// The xz preset, 0 to 9.
    #[serde(deserialize_with = "xz_preset")]
    pub xz_preset: u32,
    /// Another xz dictionary than 2 MiB, or 8 MiB for presets above 2, in KiB. A shorter one takes less memory.
    ///
    /// The limit keeps the memory of the decoder small enough for the boards that write the image.
    #[serde(deserialize_with = "xz_dictionary_kib")]
    pub xz_dictionary_kib: Option<u32>,
    /// The zstd level, 1 to 19.
    #[serde(deserialize_with = "zstd_level")]
    pub zstd_level: u32,
    /// Remove what must not be cloned. Without it, the images hold the keys and identities of this unit.
    pub sanitise: bool,
    /// A rule file on the drive that replaces the default rules.
    #[serde(deserialize_with = "path_on_drive")]
    pub rules: Option<String>,
    /// How a clone gets new ssh host keys.
    pub host_keys: HostKeys,
}

/// How a clone gets new ssh host keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeys {
    /// By the means of the captured system; the report has a line if none is known.
    #[default]
    System,
    /// A script that is added to the image and runs once, at the first boot of a clone.
    FirstBoot,
}

impl Default for CaptureSettings {
    fn default() -> Self {
        Self {
            compress: CaptureCompression::default(),
            skip: Vec::new(),
            xz_preset: 1,
            xz_dictionary_kib: None,
            zstd_level: 3,
            sanitise: true,
            rules: None,
            host_keys: HostKeys::default(),
        }
    }
}

/// How much of a disk image is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteExtent {
    /// What the medium does not hold anyway: zeros are not written to a medium that was discarded and reads as zeros.
    #[default]
    Used,
    /// Every byte. The medium is not discarded.
    All,
}

/// `[write]`: how images are written to media.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriteSettings {
    /// How much of a disk image is written.
    pub extent: WriteExtent,
    /// Write images back to the medium they were captured from.
    pub write_back: bool,
    /// Write what does not look like an image of its kind: no partition table, no root file system.
    pub any_content: bool,
    /// Write a tarball whose files name a root file system that the clone will not have.
    pub any_root: bool,
}

/// `[expand]`: growing the drive's own partition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpandSettings {
    /// Grow the drive's last partition and its file system at start.
    pub enabled: bool,
}

impl Default for ExpandSettings {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// `[timeouts]`: after how long without progress an operation is considered hung. The defaults are those of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutSettings {
    /// For one read, write or sync, in seconds.
    #[serde(deserialize_with = "timeout_seconds")]
    pub io_seconds: Option<u64>,
    /// For one run of a file system tool or hook, in seconds.
    #[serde(deserialize_with = "timeout_seconds")]
    pub tool_seconds: Option<u64>,
}

/// `[limits]`: what a run may take of the board.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Memory for workers and buffers, in MiB; a quarter of the board's memory otherwise.
    #[serde(deserialize_with = "memory_mib")]
    pub memory_mib: Option<u64>,
    /// Threads that compute, and readers of a tree that is verified; as many workers as the board has cores otherwise.
    #[serde(deserialize_with = "threads")]
    pub threads: Option<usize>,
}

impl Settings {
    /// Parses the text of a settings file.
    ///
    /// # Errors
    /// If it is too long, not TOML, has unknown keys or values out of range.
    pub fn parse(text: &str) -> Result<Self, OptionsError> {
        if text.len() > SETTINGS_LIMIT_BYTES {
            return Err(OptionsError::TooLong { len_bytes: text.len() });
        }
        // Windows editors put a byte order mark in front.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        from_toml::parse(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
            OptionsError::Settings { line, detail: error.message().trim().replace('\n', "; ") }
        })
    }
}

fn in_range<'de, D: Deserializer<'de>>(deserializer: D, range: RangeInclusive<u64>) -> Result<u64, D::Error> {
    let value = i64::deserialize(deserializer)?;
    u64::try_from(value).ok().filter(|value| range.contains(value)).ok_or_else(|| {
        de::Error::custom(format!("{value} is not within {} to {}", range.start(), range.end()))
    })
}

fn in_range_u32<'de, D: Deserializer<'de>>(
    deserializer: D,
    range: RangeInclusive<u32>,
) -> Result<u32, D::Error> {
    let value = in_range(deserializer, u64::from(*range.start())..=u64::from(*range.end()))?;
    u32::try_from(value).map_err(de::Error::custom)
}

fn xz_preset<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    in_range_u32(deserializer, 0..=9)
}

fn xz_dictionary_kib<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    in_range_u32(deserializer, 4..=65_536).map(Some)
}

fn zstd_level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    in_range_u32(deserializer, 1..=19)
}

fn timeout_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    in_range(deserializer, 1..=86_400).map(Some)
}

fn memory_mib<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    in_range(deserializer, 24..=1_048_576).map(Some)
}

fn threads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let value = in_range(deserializer, 1..=32)?;
    usize::try_from(value).map(Some).map_err(de::Error::custom)
}

fn path_on_drive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let path = String::deserialize(deserializer)?;
    match RelativePath::parse(&path) {
        Ok(parsed) if !parsed.is_root() => Ok(Some(path)),
        Ok(_) => Err(de::Error::custom("the name of a file on the drive is expected")),
        Err(error) => Err(de::Error::custom(error)),
    }
}

#[cfg(test)]
mod tests;
