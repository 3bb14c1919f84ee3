//! Switching the two LEDs: the interface between the LED thread and the ways to reach an LED.

use crate::{Led, Result};

/// Switches the two LEDs. A call may be slow, for example on an I2C expander. Only the LED thread calls it.
pub(super) trait LedLines: Send {
    /// Switches one LED.
    ///
    /// # Errors
    /// If the LED does not exist or cannot be switched.
    fn set(&mut self, led: Led, on: bool) -> Result<()>;
}

/// A board without LEDs, or one whose LEDs are not used.
pub(super) struct NoLines;

impl LedLines for NoLines {
    fn set(&mut self, _led: Led, _on: bool) -> Result<()> {
        Ok(())
    }
}
