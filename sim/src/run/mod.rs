//! Runs a scenario: builds its world, boots it as often as it says, and keeps everything that judges may want to see.
//!
//! What must hold afterwards is not decided here, but in [`crate::judge`].

pub mod boots;
mod drives;
pub mod evidence;
mod probe;
pub(crate) mod setup;

pub use drives::Drives;
pub use evidence::{Boot, Evidence, Snapshot};
pub use probe::{Probed, probe};
pub use setup::COMPATIBLE;

use replicator_hal::Board;

/// What is done to the board before the engine gets it; for proofs that what is wrong is found.
pub type Change<'a> = &'a (dyn Fn(Board) -> Board + Sync);

/// Leaves the board as it is.
pub fn unchanged(board: Board) -> Board {
    board
}
