//! The board as the engine sees it: adapters from the HAL's traits to the model, and the world that a board is part
//! of.
//!
//! An adapter names the call for faults and traces, passes the scheduler, and hands the work to the model. It decides
//! nothing.

mod clock;
mod devices;
mod file;
mod file_systems;
mod firmware;
mod handle;
pub mod inspect;
mod leds;
mod records;
mod system;
pub(crate) mod tasks;
mod volume;
pub mod world;
