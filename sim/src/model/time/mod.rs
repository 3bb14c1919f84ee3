//! The order of calls: the scheduler that lets one task run at a time, the trace, and reproducible random numbers.
//!
//! What a call does to the hardware is decided in `hardware`.

pub mod cause;
pub mod cores;
pub(crate) mod fibre;
pub mod op;
pub mod op_name;
pub mod random;
pub mod scheduler;
pub(crate) mod trace;
mod watchdog;
