//! The board's clock: virtual, advanced by calls alone. The wall clock starts where the scenario says, 1970 included.

use crate::machine::{Machine, wall_time};
use crate::turnstile::Turnstile;
use replicator_hal::{Clock, Timestamp};
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct SimClock {
    pub(crate) turnstile: Arc<Turnstile<Machine>>,
}

impl Clock for SimClock {
    fn monotonic(&self) -> Duration {
        self.turnstile.peek(|_, schedule| {
            schedule.count_call_after_end();
            schedule.now
        })
    }

    fn wall(&self) -> Timestamp {
        self.turnstile.peek(|machine, schedule| wall_time(machine.wall_start, schedule.now))
    }

    fn sleep(&self, duration: Duration) {
        self.turnstile.sleep(duration);
    }
}
