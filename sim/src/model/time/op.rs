//! A HAL call as the scheduler, traces and faults see it, and what faults may do to it.

use crate::model::time::op_name::OpName;
use replicator_hal::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A HAL call: what, on what, where.
#[derive(Debug, Clone)]
pub struct Op {
    /// The operation.
    pub name: OpName,
    /// The medium, `drive`, `image` or part of the board that it goes to.
    pub on: Arc<str>,
    /// The file or device.
    pub object: String,
    /// Where in the object.
    pub offset_bytes: u64,
    /// How many bytes.
    pub len_bytes: u64,
    /// Whether it may change something that outlives a power cut.
    pub mutates: bool,
    /// The block device whose speed decides the cost.
    pub device: Option<Arc<str>>,
}

impl Op {
    /// A call that changes nothing, on no object and no device.
    pub fn new(name: OpName, on: impl Into<Arc<str>>) -> Self {
        Self {
            name,
            on: on.into(),
            object: String::new(),
            offset_bytes: 0,
            len_bytes: 0,
            mutates: false,
            device: None,
        }
    }
}

impl Op {
    /// The bytes of the object that the call covers.
    pub(crate) fn bytes(&self) -> Range<u64> {
        self.offset_bytes..self.offset_bytes.saturating_add(self.len_bytes)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<17} {:<6} {}", self.name, self.on, self.object)?;
        if self.len_bytes > 0 {
            write!(f, " @{}+{}", self.offset_bytes, self.len_bytes)?;
        }
        Ok(())
    }
}

/// Whether the power fails before or after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timing {
    /// The call has no effect.
    Before,
    /// The call has its effect, but does not return.
    After,
}

/// What the faults do to one call.
#[derive(Debug, Default)]
pub struct Due {
    /// The call fails without an effect.
    pub error: Option<Error>,
    /// The call does not return for this long; `Duration::MAX` means never.
    pub hang: Option<Duration>,
    /// The power fails.
    pub cut: Option<Timing>,
    /// The call moves at most so many bytes.
    pub limit_bytes: Option<u64>,
    /// Bits of one byte change in transfer.
    pub flip: Option<Flip>,
}

/// A byte of an object whose bits are inverted while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flip {
    /// Which byte of the object.
    pub at_bytes: u64,
    /// Which bits.
    pub mask: u8,
}

/// The conditions under which a call has its effect.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Virtual time.
    pub now: Duration,
    /// Number of the call, from 1.
    pub number: u64,
    /// At most so many bytes may be moved.
    pub limit_bytes: Option<u64>,
    /// Bits of one byte change in transfer.
    pub flip: Option<Flip>,
}

impl Moment {
    /// Applies the flip to bytes that were read at `offset_bytes`.
    pub(crate) fn flip_in(&self, offset_bytes: u64, bytes: &mut [u8]) {
        let Some(flip) = self.flip else { return };
        let index = flip.at_bytes.checked_sub(offset_bytes).and_then(|index| usize::try_from(index).ok());
        if let Some(byte) = index.and_then(|index| bytes.get_mut(index)) {
            *byte ^= flip.mask;
        }
    }
}

/// What the scheduler requires from the world behind it.
pub trait Model: Send + 'static {
    /// How long a call takes, without jitter.
    fn cost(&self, op: &Op) -> Duration;
    /// What faults do to a call, determined just before it has its effect.
    fn due(&mut self, op: &Op, moment: Moment) -> Due;
    /// Reports the result of a call: some faults change a state, and become visible in errors of later calls.
    fn done(&mut self, _op: &Op, _error: Option<&Error>) {}
}
