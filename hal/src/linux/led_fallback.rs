//! LEDs by name where the kernel's LED driver has them, else by GPIO line; each LED for itself.
//!
//! Which way is open is found out again until one works: drivers are loaded late. Once a line is requested, the LED stays
//! on it.

use super::gpio_lines::GpioLines;
use super::led_class::LedClass;
use super::led_lines::LedLines;
use crate::{ErrorKind, GpioLine, Led, LedName, Result};
use std::path::PathBuf;

/// Where one LED may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedSource {
    /// The exact names it may have in the LED class, in order of preference.
    pub names: Vec<LedName>,
    /// The line it hangs on, for kernels whose LED driver does not own it.
    pub line: Option<GpioLine>,
}

/// Both LEDs, whichever way they are reached.
pub(super) struct LedFallback {
    class: LedClass,
    red: Option<Lamp>,
    green: Option<Lamp>,
}

struct Lamp {
    line: GpioLines,
    /// The line is ours: the LED class cannot have it any more.
    is_used: bool,
}

impl LedFallback {
    /// LEDs below `directory` (`/sys/class/leds`), or on GPIO lines.
    pub(super) fn new(directory: PathBuf, red: LedSource, green: LedSource) -> Self {
        let class = LedClass::new(directory, &red.names, &green.names);
        let lamp = |line| Lamp { line: GpioLines::one(line), is_used: false };
        Self { class, red: red.line.map(lamp), green: green.line.map(lamp) }
    }
}

impl LedLines for LedFallback {
    fn set(&mut self, led: Led, on: bool) -> Result<()> {
        let lamp = match led {
            Led::Red => &mut self.red,
            Led::Green => &mut self.green,
        };
        let Some(lamp) = lamp else { return self.class.set(led, on) };
        if !lamp.is_used {
            match self.class.set(led, on) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                result => return result,
            }
        }
        lamp.line.set(led, on)?;
        lamp.is_used = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GpioChip;

    fn source(name: &str, chip: Option<&str>) -> LedSource {
        let line =
            chip.map(|chip| GpioLine { chip: GpioChip::parse(chip).unwrap(), line: 3, active_low: false });
        LedSource { names: vec![LedName::parse(name).unwrap()], line }
    }

    #[test]
    fn an_led_of_the_class_is_used_whatever_lines_there_are() {
        let directory = tempfile::tempdir().unwrap();
        let led = directory.path().join("red:status");
        std::fs::create_dir(&led).unwrap();
        std::fs::write(led.join("brightness"), "0").unwrap();
        let mut leds = LedFallback::new(
            directory.path().to_owned(),
            source("red:status", Some("/dev/no-such-chip")),
            source("green:power", Some("/dev/no-such-chip")),
        );
        leds.set(Led::Red, true).unwrap();
        assert_eq!(std::fs::read_to_string(led.join("brightness")).unwrap(), "1");
        let error = leds.set(Led::Green, true).unwrap_err().to_string();
        assert!(error.contains("GPIO line 3 of /dev/no-such-chip"), "{error}");
        // Its driver comes late.
        let led = directory.path().join("green:power");
        std::fs::create_dir(&led).unwrap();
        std::fs::write(led.join("brightness"), "0").unwrap();
        leds.set(Led::Green, true).unwrap();
    }

    #[test]
    fn without_a_line_the_error_names_what_was_looked_for() {
        let directory = tempfile::tempdir().unwrap();
        let mut leds =
            LedFallback::new(directory.path().to_owned(), source("red:status", None), source("x", None));
        let error = leds.set(Led::Red, true).unwrap_err();
        assert!(error.to_string().contains("red:status"), "{error}");
    }
}
