//! Who acts when: calls, the scheduler that lets one task run at a time, the trace of it, and random numbers that repeat.
//!
//! What a call does to the hardware is not decided here.

pub mod cause;
pub mod cores;
pub mod op;
pub mod op_name;
pub mod random;
pub mod scheduler;
pub(crate) mod trace;
