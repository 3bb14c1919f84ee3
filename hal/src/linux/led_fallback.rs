//! LEDs in the LED class or, if they are not there, on GPIO lines; each LED separately.
//!
//! Both are tried until one works, because drivers are loaded late. Once a line is requested, the LED stays on it.

use super::gpio_lines::GpioLines;
use super::led_class::LedClass;
use super::led_lines::LedLines;
use crate::{ErrorKind, GpioLine, Led, LedName, Result};
use std::path::PathBuf;

/// Where an LED may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedSource {
    /// Its possible names in the LED class, in order of preference.
    pub names: Vec<LedName>,
    /// Its GPIO line, for kernels whose LED driver does not use the line.
    pub line: Option<GpioLine>,
}

/// Both LEDs.
pub(super) struct LedFallback {
    class: LedClass,
    red: Option<Place>,
    green: Option<Place>,
}

struct Place {
    line: GpioLines,
    /// The line is requested: the LED class can no longer get it.
    is_used: bool,
}

impl LedFallback {
    /// LEDs in `directory` (`/sys/class/leds`), or on GPIO lines.
    pub(super) fn new(directory: PathBuf, red: LedSource, green: LedSource) -> Self {
        let class = LedClass::new(directory, &red.names, &green.names);
        let place = |line| Place { line: GpioLines::one(line), is_used: false };
        Self { class, red: red.line.map(place), green: green.line.map(place) }
    }
}

impl LedLines for LedFallback {
    fn set(&mut self, led: Led, on: bool) -> Result<()> {
        let place = match led {
            Led::Red => &mut self.red,
            Led::Green => &mut self.green,
        };
        let Some(place) = place else { return self.class.set(led, on) };
        if !place.is_used {
            match self.class.set(led, on) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                result => return result,
            }
        }
        place.line.set(led, on)?;
        place.is_used = true;
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
    fn an_led_of_the_class_is_preferred_to_a_line() {
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
        // The driver of this LED is loaded late.
        let led = directory.path().join("green:power");
        std::fs::create_dir(&led).unwrap();
        std::fs::write(led.join("brightness"), "0").unwrap();
        leds.set(Led::Green, true).unwrap();
    }

    #[test]
    fn without_a_line_the_error_has_the_names() {
        let directory = tempfile::tempdir().unwrap();
        let mut leds =
            LedFallback::new(directory.path().to_owned(), source("red:status", None), source("x", None));
        let error = leds.set(Led::Red, true).unwrap_err();
        assert!(error.to_string().contains("red:status"), "{error}");
    }
}
