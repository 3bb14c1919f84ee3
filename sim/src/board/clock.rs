//! The board's clock: virtual; only calls advance it. The wall clock starts at the time given by the scenario, which
//! may be 1970.

use crate::board::handle::Handle;
use crate::model::hardware::machine::wall_time;
use replicator_hal::{Clock, Timestamp};
use std::time::Duration;

pub(crate) struct SimClock {
    pub(crate) handle: Handle,
}

impl Clock for SimClock {
    fn monotonic(&self) -> Duration {
        self.handle.peek(|_, schedule| {
            schedule.count_call_after_end();
            schedule.now
        })
    }

    fn wall(&self) -> Timestamp {
        self.handle.peek(|machine, schedule| wall_time(machine.wall_start, schedule.now))
    }

    fn sleep(&self, duration: Duration) {
        self.handle.sleep(duration);
    }
}
