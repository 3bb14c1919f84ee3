//! The options on the drive: option files `IR_*` and the settings file `replicator.toml`.
//!
//! Option files need no editor: an empty file in the root is enough, in upper or lower case and with any extension that
//! an operating system adds. The settings file has all other options. It is strict: an unknown key is an error, because
//! otherwise a misspelt setting would have no effect without notice. This module only parses; the effect of an option is
//! implemented where it applies.

use crate::from_toml;
use replicator_hal::RelativePath;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Longest settings file, in bytes.
const SETTINGS_LIMIT_BYTES: usize = 64 * 1024;

/// How many unknown options are named; more would make the log unreadable.
const UNKNOWN_LIMIT: usize = 32;

/// How much of an unknown option's name is shown, in characters.
const UNKNOWN_NAME_LIMIT_CHARS: usize = 64;

/// All options on a drive: option files and settings together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Compress captured images. Default true; `IR_NO_COMPRESS` or `capture.compress = false`.
    pub compress: bool,
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
            "no_compress" => self.compress = false,
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
    /// Compress images.
    pub compress: bool,
    /// Media not to capture.
    pub skip: Vec<String>,
    /// The xz preset, 0 to 9.
    #[serde(deserialize_with = "xz_preset")]
    pub xz_preset: u32,
    /// Another xz dictionary than the preset's, in KiB.
    ///
    /// The limit keeps the memory of the decoder small enough for the boards that write the image.
    #[serde(deserialize_with = "xz_dictionary_kib")]
    pub xz_dictionary_kib: Option<u32>,
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
            compress: true,
            skip: Vec::new(),
            xz_preset: 2,
            xz_dictionary_kib: None,
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
    /// Worker threads; as many as the board has cores otherwise.
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(names: &[&str], settings: Option<&str>) -> Result<Options, OptionsError> {
        let names: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let settings = settings.map(Settings::parse).transpose()?.unwrap_or_default();
        Ok(Options::new(&names, settings, &["sd".to_owned(), "emmc".to_owned()]))
    }

    fn skipped(options: &Options) -> Vec<&str> {
        options.skip_capture.iter().map(String::as_str).collect()
    }

    #[test]
    fn an_empty_drive_has_no_options() {
        let options = options(&["README.txt", "sdimage.dd.xz", "irish.txt"], None).unwrap();
        assert!(options.compress && !options.shell_only && !options.write_back);
        assert!(options.skip_capture.is_empty() && options.unknown.is_empty());
        assert_eq!(options.settings, Settings::default());
        assert!(options.settings.capture.sanitise && options.settings.expand.enabled);
    }

    #[test]
    fn option_files_are_read_in_any_case_and_with_any_extension() {
        for name in ["IR_NO_COMPRESS", "ir_no_compress", "Ir_No_Compress.TXT", "IR_NO_COMPRESS.txt.txt"] {
            let options = options(&[name], None).unwrap();
            assert!(!options.compress && options.unknown.is_empty(), "{name}");
        }
        let options = options(
            &["IR_SHELL_ONLY.txt", "ir_write_back", "IR_NO_CAPTURE_EMMC.rtf", "IR_NO_CAPTURE_sd"],
            None,
        )
        .unwrap();
        assert!(options.shell_only && options.write_back && options.compress);
        assert_eq!(skipped(&options), ["emmc", "sd"]);
    }

    #[test]
    fn unknown_options_and_absent_media_are_reported_and_harmless() {
        let options = options(
            &["IR_NO_COMPRES", "IR_NO_CAPTURE_SATA", "IR_", "IR_X;\u{1b}[31m", "IR_NO_CAPTURE_"],
            Some("capture.skip = [\"sata\", \"EMMC\"]"),
        )
        .unwrap();
        assert!(options.compress);
        assert_eq!(skipped(&options), ["emmc"]);
        assert_eq!(
            options.unknown,
            [
                "IR_",
                "IR_NO_CAPTURE_",
                "IR_NO_CAPTURE_SATA",
                "IR_NO_COMPRES",
                "IR_X;?[31m",
                "capture.skip \"sata\""
            ]
        );
    }

    #[test]
    fn many_unknown_options_make_a_short_list() {
        let names: Vec<String> =
            (0..1000).map(|number| format!("IR_{number:03}{}", "_".repeat(200))).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let options = options(&names, None).unwrap();
        assert_eq!(options.unknown.len(), UNKNOWN_LIMIT + 1);
        assert_eq!(options.unknown[UNKNOWN_LIMIT], "and 968 more");
        assert!(options.unknown.iter().all(|name| name.len() < 100));
    }

    #[test]
    fn a_full_settings_file() {
        let text = "\u{feff}board = \"tsimx6\"\r\nafter = \"poweroff\"\r\n[capture]\r\ncompress = false\r\nskip = [\"emmc\"]\r\nxz_preset = 0\r\n\
                    xz_dictionary_kib = 1024\r\nsanitise = false\r\nrules = \"rules/site.toml\"\r\n[write]\r\n\
                    write_back = true\r\nextent = \"all\"\r\nany_content = true\r\n[expand]\r\nenabled = false\r\n[timeouts]\r\nio_seconds = 30\r\ntool_seconds = 600\r\n";
        let options = options(&[], Some(text)).unwrap();
        assert!(!options.compress && options.write_back);
        assert_eq!(skipped(&options), ["emmc"]);
        let settings = options.settings;
        assert_eq!((settings.board.as_deref(), settings.after), (Some("tsimx6"), After::Poweroff));
        assert_eq!((settings.capture.xz_preset, settings.capture.xz_dictionary_kib), (0, Some(1024)));
        assert_eq!((settings.capture.sanitise, settings.expand.enabled), (false, false));
        assert!(settings.write.any_content);
        assert_eq!(settings.write.extent, WriteExtent::All);
        assert_eq!(settings.capture.rules.as_deref(), Some("rules/site.toml"));
        assert_eq!((settings.timeouts.io_seconds, settings.timeouts.tool_seconds), (Some(30), Some(600)));
    }

    #[test]
    fn faults_name_the_line_and_the_known_keys() {
        let table: [(&str, usize, &[&str]); 11] = [
            ("[capture]\n\ncompres = true\n", 3, &["compres", "compress", "xz_preset"]),
            ("[captur]\n", 1, &["captur", "timeouts"]),
            ("board = \"a\"\n[capture]\nxz_preset = 10\n", 3, &["10", "0 to 9"]),
            ("[capture]\nxz_dictionary_kib = 3\n", 2, &["4 to 65536"]),
            ("[timeouts]\nio_seconds = -1\n", 2, &["-1", "1 to 86400"]),
            ("[capture]\nrules = \"../x\"\n", 2, &[".."]),
            ("[capture]\nrules = \"/\"\n", 2, &["name of a file"]),
            ("[capture]\ncompress = \"no\"\n", 2, &["boolean"]),
            ("board = \"a\"\nboard = \"b\"\n", 2, &["duplicate"]),
            ("after = \"halt\"\n", 1, &["halt", "wait", "reboot", "poweroff"]),
            ("\n\n= 3\n", 3, &["key"]),
        ];
        for (text, expected_line, words) in table {
            match options(&[], Some(text)) {
                Err(OptionsError::Settings { line, detail }) => {
                    assert_eq!(line, expected_line, "{text:?}: {detail}");
                    assert!(words.iter().all(|word| detail.contains(word)), "{text:?}: {detail}");
                    assert!(!detail.contains('\n'));
                }
                other => panic!("{text:?} gives {other:?}"),
            }
        }
    }

    #[test]
    fn a_huge_settings_file_is_not_parsed() {
        let text = " ".repeat(SETTINGS_LIMIT_BYTES + 1);
        assert_eq!(options(&[], Some(&text)), Err(OptionsError::TooLong { len_bytes: text.len() }));
        assert!(options(&[], Some(&text[1..])).is_ok());
        // Deep nesting must not exhaust the stack.
        let text = format!("board = {}", "[".repeat(SETTINGS_LIMIT_BYTES - 100));
        assert!(matches!(options(&[], Some(&text)), Err(OptionsError::Settings { .. })));
    }

    proptest! {
        #[test]
        fn any_text_and_any_names_end_in_options_or_an_error(
            text in "[\\[\\]a-z_=\"0-9.\\n ]{0,200}",
            name in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let with_prefix = [b"IR_".to_vec(), name.clone()].concat();
            let names = [name, with_prefix];
            if let Ok(settings) = Settings::parse(&text) {
                let options = Options::new(&names, settings, &["sd".to_owned()]);
                prop_assert!(options.unknown.iter().all(|name| !name.chars().any(char::is_control)));
            }
        }
    }
}
