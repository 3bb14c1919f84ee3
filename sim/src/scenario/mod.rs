//! Scenarios as data: what a user does, what fails, and the bytes at the beginning.
//!
//! `schema` is the file format (`boot_spec`, `composition`, `expectation_spec`, `fault_spec` and `firmware_spec` are
//! parts of it), `check` refuses invalid scenarios, `content` makes the content of media, `image` and `firmware` the
//! files on the drive, `boards` has the boards, `media` the facts about media, `builtin` the scenarios that are
//! compiled in, `catalogue` the scenarios that reach each fault. Running is not here: [`crate::run`] runs a scenario,
//! and [`crate::judge`] judges the result.

pub mod boards;
mod boot_spec;
pub mod builtin;
mod cache;
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
mod index_spec;
mod map_spec;
pub mod media;
mod overlay;
pub mod schema;
pub mod tarball_spec;
mod toml_text;
mod trailer;
