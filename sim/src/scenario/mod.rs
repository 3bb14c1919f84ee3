//! Scenarios as data: what a user does, what goes wrong, and the bytes that it begins with.
//!
//! `schema` is the file format (`boot_spec`, `composition`, `expectation_spec`, `fault_spec` and `firmware_spec` are parts
//! of it), `check` refuses what makes no sense in it, `content` is what media hold, `image` and `firmware` the files on the
//! drive, `boards` the boards, `media` what follows from the text about media, `builtin` the scenarios that are part of the
//! program, `catalogue` which of them reach which fault. A scenario knows no run: [`crate::run`] runs it, and
//! [`crate::judge`] judges what is left.

pub mod boards;
mod boot_spec;
pub mod builtin;
pub mod catalogue;
pub mod check;
pub mod check_faults;
pub mod composition;
pub mod container;
pub mod content;
mod dialect;
mod expectation_spec;
pub mod fault_spec;
pub mod firmware;
mod firmware_spec;
pub mod guid;
pub mod image;
pub mod media;
mod overlay;
mod remember;
pub mod schema;
pub mod tarball_spec;
mod toml_text;
mod trailer;
