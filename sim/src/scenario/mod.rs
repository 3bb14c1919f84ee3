//! Scenarios: stories of what a user does and what goes wrong, as data, and the bytes that they begin with.
//!
//! `schema` is the file format (`fault_spec` that of faults), `content` what media hold, `image` the image files on the drive, `builtin` the stories
//! that are part of the program. Running them is [`crate::runner`]'s, judging them [`crate::checkers`]'.

pub mod boards;
pub mod builtin;
pub mod content;
pub mod fault_spec;
pub mod firmware;
mod firmware_spec;
pub mod image;
pub mod schema;
mod size;
mod toml_text;
