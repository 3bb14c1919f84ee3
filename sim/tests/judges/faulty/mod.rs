//! Planted faults for the judges: wrappers of a board's parts, and bytes that are changed after a run.

pub(crate) mod cached;
pub(crate) mod leds;
pub(crate) mod never_synced;
pub(crate) mod tampering;
