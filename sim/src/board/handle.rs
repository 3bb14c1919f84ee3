//! What all parts of a board share: a handle on the scheduler and the machine behind it.

use crate::model::hardware::machine::Machine;
use crate::model::time::op::Moment;
use crate::model::time::scheduler::Scheduler;
use std::sync::Arc;

/// A handle on the machine. Every call of the HAL goes through it.
pub(crate) type Handle = Arc<Scheduler<Machine>>;

/// The length, limited to what a fault allows.
pub(crate) fn limited(len: usize, moment: Moment) -> usize {
    len.min(moment.limit_bytes.map_or(len, |limit| usize::try_from(limit).unwrap_or(len)))
}
