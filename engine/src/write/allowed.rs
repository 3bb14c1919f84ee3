//! Which checks of a write the drive's settings switch off.

use crate::error::{Error, Result};
use crate::options::Options;

/// What the settings allow in spite of these checks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    /// A medium may be written from images that were captured from it.
    pub write_back: bool,
    /// An image may hold anything that can be decoded: `[write] any_content`.
    pub any_content: bool,
    /// A clone may be unable to find its root: `[write] any_root`.
    pub any_root: bool,
}

impl Allowed {
    /// What the drive's options allow.
    pub(super) fn by(options: &Options) -> Self {
        Self {
            write_back: options.write_back,
            any_content: options.settings.write.any_content,
            any_root: options.settings.write.any_root,
        }
    }

    /// Handles an image with unfit content: returns the refusal, or with `any_content` adds a note to the result.
    ///
    /// Only for an image that can be written as it is. An image that cannot be decoded, or does not fit, is always
    /// refused.
    ///
    /// # Errors
    /// `refusal`.
    pub(super) fn content(self, refusal: Error, notes: &mut Vec<String>) -> Result<()> {
        if !self.any_content {
            return Err(refusal);
        }
        notes.push(format!("written because of any_content, although {refusal}"));
        Ok(())
    }

    /// The same for a clone that would not find its root, with `any_root`.
    ///
    /// # Errors
    /// `refusal`.
    pub(super) fn root(self, refusal: Error, notes: &mut Vec<String>) -> Result<()> {
        if !self.any_root {
            return Err(refusal);
        }
        notes.push(format!("written because of any_root, although {refusal}"));
        Ok(())
    }
}
