//! The proofs that a success needs: bytes that were read to their end and compared.
//!
//! [`Verified`] is an image, [`Kept`] a medium, [`Installed`] firmware, and [`CapturedBefore`] the work of an earlier boot.
//! Only this module makes them, by a check. `report::Done`, and the step that gives a captured image its name, take them.

mod captured_before;
mod extents;
mod image_reader;
mod in_order;
mod installed;
mod kept;
mod readers;
mod times;
mod tree;

pub(crate) use extents::{Compared, Extents, Written};
pub(crate) use image_reader::{Announced, ContentHash, Expected, ImageReader, Packed, Source};
pub(crate) use in_order::{Again, verify as tree_in_order};
pub(crate) use installed::Installed;
pub(crate) use kept::Kept;
pub(crate) use times::Times;
pub(crate) use tree::{ExpectedFile, Manifest, verify as tree};

pub(crate) use captured_before::CapturedBefore;
pub(crate) use image_reader::Verified;
