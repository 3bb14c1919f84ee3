//! The hardware: its state and its physics. No module here uses a trait of the HAL or the engine.
//!
//! `bytes` holds bytes and their forms, `time` the order of calls, and `hardware` the parts of a board and the
//! content of its media.

pub mod bytes;
pub mod hardware;
pub mod time;
