//! Where an LED is, parsed at the input: from a board file or a command line.
//!
//! A [`LedName`] is one plain name, so a backend can join it to `/sys/class/leds` without another check. A [`GpioChip`]
//! that is a path is below `/dev`.

use std::fmt;
use std::str::FromStr;

/// The name of an LED in the kernel's LED class, such as `red:status`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedName(String);

/// A GPIO chip: a path such as `/dev/gpiochip0`, a name such as `gpiochip0`, or a label such as `209c000.gpio`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GpioChip(String);

/// A line of a GPIO chip that switches an LED.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpioLine {
    /// The chip.
    pub chip: GpioChip,
    /// The line's number on the chip.
    pub line: u32,
    /// Whether a low level lights the LED. The kernel does not apply the device tree's flag to a line that is used this way.
    pub active_low: bool,
}

/// Why text is not a valid [`LedName`] or [`GpioChip`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of {object}: {reason}")]
pub struct InvalidLedPlace {
    text: String,
    object: &'static str,
    reason: &'static str,
}

impl LedName {
    /// An LED called `name`.
    ///
    /// # Errors
    /// If `name` is empty, starts with a dot, or contains a slash or a NUL byte.
    pub fn parse(name: impl Into<String>) -> Result<Self, InvalidLedPlace> {
        let name = name.into();
        let reason = match name.as_str() {
            "" => "it is empty",
            text if text.starts_with('.') => "it starts with a dot",
            text if text.contains('/') => "it contains a slash",
            text if text.contains('\0') => "it contains a NUL byte",
            _ => return Ok(Self(name)),
        };
        Err(InvalidLedPlace { text: name, object: "an LED", reason })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl GpioChip {
    /// The chip with this path, name or label.
    ///
    /// # Errors
    /// If `chip` is empty, contains a NUL byte, or is a path outside `/dev`.
    pub fn parse(chip: impl Into<String>) -> Result<Self, InvalidLedPlace> {
        let chip = chip.into();
        let is_outside = |path: &str| {
            path.strip_prefix("/dev/")
                .is_none_or(|rest| rest.split('/').any(|part| part == ".." || part.is_empty()))
        };
        let reason = match chip.as_str() {
            "" => "it is empty",
            text if text.contains('\0') => "it contains a NUL byte",
            text if text.starts_with('/') && is_outside(text) => "it is not a path below /dev",
            _ => return Ok(Self(chip)),
        };
        Err(InvalidLedPlace { text: chip, object: "a GPIO chip", reason })
    }

    /// The path, name or label.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is given by a path.
    pub fn is_path(&self) -> bool {
        self.0.starts_with('/')
    }
}

impl FromStr for LedName {
    type Err = InvalidLedPlace;

    fn from_str(text: &str) -> Result<Self, InvalidLedPlace> {
        Self::parse(text)
    }
}

impl FromStr for GpioChip {
    type Err = InvalidLedPlace;

    fn from_str(text: &str) -> Result<Self, InvalidLedPlace> {
        Self::parse(text)
    }
}

impl fmt::Display for LedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for GpioChip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_led_name_is_one_plain_name() {
        for good in ["red:status", "red-led", "red:", "mmc0::"] {
            assert_eq!(LedName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "../red", "a/b", "/sys/class/leds/red", "red\0"] {
            let error = LedName::parse(bad).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{bad:?} is not the name of an LED: it ")), "{error}");
        }
    }

    #[test]
    fn a_gpio_chip_is_a_path_below_dev_or_a_name() {
        for (good, is_path) in [("/dev/gpiochip0", true), ("gpiochip0", false), ("209c000.gpio", false)] {
            let chip = GpioChip::parse(good).unwrap();
            assert_eq!((chip.as_str(), chip.is_path()), (good, is_path));
        }
        for bad in ["", "/", "/dev", "/dev/", "/dev/../etc/shadow", "/etc/shadow", "chip\0"] {
            let error = GpioChip::parse(bad).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{bad:?} is not the name of a GPIO chip: it ")), "{error}");
        }
    }
}
