//! Runs a story: builds its world, boots it as often as it says, and keeps everything that judges may want to see.
//!
//! What must hold afterwards is not decided here, but in [`crate::judge`].

pub mod boots;
pub mod evidence;
mod faults;
pub(crate) mod setup;

pub use evidence::{Boot, Evidence, Snapshot};
pub use setup::{COMPATIBLE, identity_of, media_names, wall_clock};
