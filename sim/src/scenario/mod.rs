//! Scenarios: stories of what a user does and what goes wrong, as data, and the bytes that they begin with.
//!
//! `schema` is the file format (`composition`, `expectation_spec`, `fault_spec` and `firmware_spec` parts of it), `check` what in it makes no
//! sense, `content` what media hold, `image` and
//! `firmware` the files on the drive, `boards` the boards, `builtin` the stories that are part of the program. Running them
//! is [`crate::run`]'s, judging them [`crate::judge::checkers`]'.

pub mod boards;
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
