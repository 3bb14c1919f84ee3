//! Two lamps that can be switched: what the LED thread needs of a backend.

use crate::{Led, Result};

/// A way to switch the two LEDs. A call may be slow, as some hang on an I2C expander; it is made by the LED thread only.
pub(super) trait LedLines: Send {
    /// Switches one LED.
    ///
    /// # Errors
    /// If there is no such LED, or it cannot be switched.
    fn set(&mut self, led: Led, on: bool) -> Result<()>;
}

/// A board without LEDs, or one that is told not to use them.
pub(super) struct NoLines;

impl LedLines for NoLines {
    fn set(&mut self, _led: Led, _on: bool) -> Result<()> {
        Ok(())
    }
}
