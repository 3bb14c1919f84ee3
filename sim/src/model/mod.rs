//! What hardware is: its state and its physics. Nothing here names a trait of the HAL, and nothing knows the engine.
//!
//! `bytes` holds bytes and their forms, `time` who acts when, and `hardware` the parts of a board and what is on its media.

pub mod bytes;
pub mod hardware;
pub mod time;
