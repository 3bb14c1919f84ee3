//! What a success rests on: bytes that were read to their end and are what they must be.
//!
//! [`Verified`] is an image, [`Kept`] a medium. Only this room can make one, by a comparison;
//! what ends a medium with success, and what gives a captured image its name, takes them.

mod extents;
mod image_reader;
mod kept;
mod tree;

pub(crate) use extents::{Extents, Written};
pub(crate) use image_reader::{Announced, Expected, ImageReader, Packed, Source};
pub(crate) use kept::Kept;
pub(crate) use tree::{ExpectedFile, Manifest, verify as tree};

pub use image_reader::Verified;
