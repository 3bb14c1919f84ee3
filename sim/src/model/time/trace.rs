//! The HAL calls of a run, one line each: the last ones always, all of them on request, and a hash over all.
//!
//! Tests of determinism compare the hash: same scenario, same hash. The columns of a line are: number, virtual time,
//! task, operation, place, object, offset and length, error code.

use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::time::op::Op;
use replicator_hal::ErrorKind;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How many calls are kept if not all are requested.
const RING_LEN: usize = 64;

/// One completed HAL call.
#[derive(Debug, Clone)]
pub struct Event {
    /// Number of the call in the run, from 1.
    pub number: u64,
    /// Virtual time at which it had its effect.
    pub time: Duration,
    /// The task that called.
    pub task: Arc<str>,
    /// The call.
    pub op: Op,
    /// Its error.
    pub error: Option<ErrorKind>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, time, task, op, error } = self;
        write!(f, "{number:>6} {:>11.3} ms  {task:<8} {op}", time.as_secs_f64() * 1000.0)?;
        match error {
            Some(kind) => write!(f, "  {}", kind.code()),
            None => Ok(()),
        }
    }
}

/// The calls of a run.
#[derive(Debug, Clone)]
pub struct Trace {
    keep_all: bool,
    events: VecDeque<Event>,
    hash: u64,
}

impl Trace {
    /// An empty trace that keeps all calls or only the last ones.
    pub(crate) fn new(keep_all: bool) -> Self {
        Self { keep_all, events: VecDeque::new(), hash: FOLD_START }
    }

    pub(crate) fn add(&mut self, event: Event) {
        let mut hash = fold(self.hash, event.task.as_bytes());
        hash = fold(hash, event.op.name.word().as_bytes());
        hash = fold(hash, event.op.object.as_bytes());
        hash = fold(hash, &event.op.offset_bytes.to_le_bytes());
        hash = fold(hash, &event.time.as_nanos().to_le_bytes());
        self.hash = fold(hash, event.error.map_or("", ErrorKind::code).as_bytes());
        if !self.keep_all && self.events.len() == RING_LEN {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The calls that were kept, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// Hash over task, operation, object, offset, time and outcome of every call so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
