//! LEDs in the kernel's LED class, `/sys/class/leds`.
//!
//! Names must match exactly, because device trees also contain other things as LEDs, such as the power switch of the
//! USB port of the drive.

use super::led_lines::LedLines;
use super::roots::number;
use crate::{Error, ErrorKind, Led, LedName, Result};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// LEDs of the LED class. Each is the first of its names that exists.
pub(super) struct LedClass {
    directory: PathBuf,
    red: Place,
    green: Place,
}

struct Place {
    names: Vec<LedName>,
    found: Option<FoundLed>,
}

struct FoundLed {
    path: PathBuf,
    max_brightness: u64,
}

impl LedClass {
    /// LEDs in `directory` (`/sys/class/leds`), with their possible names in order of preference.
    pub(super) fn new(directory: PathBuf, red: &[LedName], green: &[LedName]) -> Self {
        let place = |names: &[LedName]| Place { names: names.to_vec(), found: None };
        Self { directory, red: place(red), green: place(green) }
    }
}

impl Place {
    /// Searches until it is found: the driver may be loaded late.
    fn find(&mut self, directory: &Path) -> Result<&FoundLed> {
        if self.found.is_none() {
            let mut paths = self.names.iter().map(|name| directory.join(name.as_str()));
            let Some(path) = paths.find(|path| path.join("brightness").exists()) else {
                let names = self.names.iter().map(LedName::as_str).collect::<Vec<_>>().join(", ");
                return Err(Error::new(
                    ErrorKind::NotFound,
                    "looking for",
                    "an LED",
                    format!("none of: {names}"),
                ));
            };
            // A trigger would continue to switch it. Not every LED driver has triggers.
            if path.join("trigger").exists() {
                write(&path.join("trigger"), "none")?;
            }
            let max_brightness = number(&path, "max_brightness").unwrap_or(1);
            self.found = Some(FoundLed { path, max_brightness });
        }
        self.found
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "looking for", "an LED", "it was removed"))
    }
}

impl LedLines for LedClass {
    fn set(&mut self, led: Led, on: bool) -> Result<()> {
        let place = match led {
            Led::Red => &mut self.red,
            Led::Green => &mut self.green,
        };
        let found = place.find(&self.directory)?;
        let brightness = if on { found.max_brightness } else { 0 };
        let result = write(&found.path.join("brightness"), &brightness.to_string());
        if result.is_err() {
            // Its driver may have been loaded again.
            place.found = None;
        }
        result
    }
}

/// Writes an attribute that must exist.
fn write(path: &Path, value: &str) -> Result<()> {
    let opened = OpenOptions::new().write(true).open(path);
    opened
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|error| Error::from_io(error, "setting", path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leds(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            let led = directory.path().join(name);
            std::fs::create_dir(&led).unwrap();
            std::fs::write(led.join("trigger"), "[heartbeat] none").unwrap();
            std::fs::write(led.join("max_brightness"), "255\n").unwrap();
            std::fs::write(led.join("brightness"), "7\n").unwrap();
        }
        directory
    }

    fn names(names: &[&str]) -> Vec<LedName> {
        names.iter().map(|name| LedName::parse(*name).unwrap()).collect()
    }

    fn read(directory: &tempfile::TempDir, path: &str) -> String {
        // The fake attributes keep the end of a longer old value.
        std::fs::read_to_string(directory.path().join(path)).unwrap()
    }

    #[test]
    fn the_first_name_that_exists_is_used_and_no_other_is_touched() {
        let directory = leds(&["red:indicator", "red-led", "green:power", "en-usb-5v"]);
        let mut lines = LedClass::new(
            directory.path().to_owned(),
            &names(&["red:status", "red:indicator", "red-led"]),
            &names(&["green:power"]),
        );
        lines.set(Led::Red, true).unwrap();
        lines.set(Led::Green, false).unwrap();
        assert_eq!(read(&directory, "red:indicator/brightness"), "255");
        assert!(read(&directory, "red:indicator/trigger").starts_with("none"));
        assert!(read(&directory, "green:power/brightness").starts_with('0'));
        for untouched in ["red-led", "en-usb-5v"] {
            assert_eq!(read(&directory, &format!("{untouched}/brightness")), "7\n");
            assert!(read(&directory, &format!("{untouched}/trigger")).starts_with("[heartbeat]"));
        }
    }

    #[test]
    fn a_missing_led_is_an_error_until_it_appears() {
        let directory = leds(&[]);
        let mut lines =
            LedClass::new(directory.path().to_owned(), &names(&["red:indicator", "red:status"]), &names(&[]));
        assert_eq!(lines.set(Led::Red, true).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(lines.set(Led::Green, true).unwrap_err().kind(), ErrorKind::NotFound);
        let led = directory.path().join("red:status");
        std::fs::create_dir(&led).unwrap();
        std::fs::write(led.join("brightness"), "0").unwrap();
        lines.set(Led::Red, true).unwrap();
        assert_eq!(read(&directory, "red:status/brightness"), "1");
    }
}
