//! Which rules of a write the drive's owner switched off.

use crate::error::{Error, Result};
use crate::options::Options;

/// What is allowed beyond the rules of a write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    /// A medium may be written from images that were captured from it.
    pub write_back: bool,
    /// An image may hold anything that can be decoded: `[write] any_content`.
    pub any_content: bool,
    /// A clone need not find its root: `[write] any_root`.
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

    /// What becomes of an image whose content was found unfit: a refusal, or with `any_content` a note in the result.
    ///
    /// Only for what can still be written as it is. What cannot be decoded, or has no room, stays an error.
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
