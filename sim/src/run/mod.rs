//! Runs a scenario: builds its world, boots it as often as the scenario requires, and keeps the evidence for judges.
//!
//! What must hold afterwards is in [`crate::judge`].

pub mod boots;
pub mod costs;
mod drives;
pub mod estimate;
pub mod evidence;
mod probe;
pub(crate) mod setup;

pub use drives::Drives;
pub use evidence::{Boot, Evidence, Snapshot};
pub use probe::{Probed, probe};
pub use setup::COMPATIBLE;

use replicator_hal::Board;

/// A change of the board before the engine gets it, to prove that judges detect faults.
pub type Change<'a> = &'a (dyn Fn(Board) -> Board + Sync);

/// No change.
pub fn unchanged(board: Board) -> Board {
    board
}
