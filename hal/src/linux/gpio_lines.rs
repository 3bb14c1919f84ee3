//! LEDs on GPIO lines, with `gpio-cdev`, for kernels whose LED driver does not use the lines.

use super::led_lines::LedLines;
use crate::{Error, ErrorKind, GpioLine, Led, Result};
use gpio_cdev::{Chip, LineHandle, LineRequestFlags};

/// Both LEDs as GPIO lines.
pub(super) struct GpioLines {
    red: Place,
    green: Place,
}

struct Place {
    line: GpioLine,
    /// Dropping the handle would release the line.
    handle: Option<LineHandle>,
}

impl GpioLines {
    pub(super) fn new(red: GpioLine, green: GpioLine) -> Self {
        let place = |line| Place { line, handle: None };
        Self { red: place(red), green: place(green) }
    }

    /// The same line for both LEDs. For an LED whose line is known.
    pub(super) fn one(line: GpioLine) -> Self {
        Self::new(line.clone(), line)
    }
}

impl LedLines for GpioLines {
    fn set(&mut self, led: Led, on: bool) -> Result<()> {
        let place = match led {
            Led::Red => &mut self.red,
            Led::Green => &mut self.green,
        };
        let failed = |error| chip_error(&place.line, "switching", error);
        if let Some(handle) = &place.handle {
            return handle.set_value(u8::from(on)).map_err(failed);
        }
        place.handle = Some(request(&place.line, on)?);
        Ok(())
    }
}

fn request(line: &GpioLine, on: bool) -> Result<LineHandle> {
    let failed = |error| chip_error(line, "requesting", error);
    let requested = find_chip(line)?.get_line(line.line).map_err(failed)?;
    let info = requested.info().map_err(failed)?;
    if info.is_kernel() {
        let owner = info.consumer().unwrap_or("the kernel");
        return Err(line_error(line, "requesting", &format!("it is in use by {owner}")));
    }
    let mut flags = LineRequestFlags::OUTPUT;
    if line.active_low {
        flags |= LineRequestFlags::ACTIVE_LOW;
    }
    requested.request(flags, u8::from(on), "replicator").map_err(failed)
}

fn find_chip(line: &GpioLine) -> Result<Chip> {
    if line.chip.is_path() {
        return Chip::new(line.chip.as_str()).map_err(|error| chip_error(line, "opening", error));
    }
    let chips = gpio_cdev::chips().map_err(|error| chip_error(line, "listing", error))?;
    chips
        .filter_map(std::result::Result::ok)
        .find(|chip| [chip.name(), chip.label()].contains(&line.chip.as_str()))
        .ok_or_else(|| line_error(line, "looking for", "there is no such chip"))
}

fn line_error(line: &GpioLine, operation: &str, detail: &str) -> Error {
    Error::new(ErrorKind::Other, operation, object(line), detail)
}

fn chip_error(line: &GpioLine, operation: &str, error: gpio_cdev::Error) -> Error {
    Error::caused_by(ErrorKind::Other, operation, object(line), error)
}

fn object(line: &GpioLine) -> String {
    format!("GPIO line {} of {}", line.line, line.chip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GpioChip;

    #[test]
    fn an_absent_chip_is_named_in_the_error() {
        for chip in ["no-such-label", "/dev/no-such-chip"] {
            let line =
                |number| GpioLine { chip: GpioChip::parse(chip).unwrap(), line: number, active_low: true };
            let error = GpioLines::new(line(3), line(4)).set(Led::Green, true).unwrap_err();
            assert!(error.to_string().contains(&format!("GPIO line 4 of {chip}")), "{error}");
        }
    }
}
