//! The HAL's LEDs over the log of what they showed.

use crate::board::handle::Handle;
use crate::model::time::cause::Caused;
use crate::model::time::op::Op;
use crate::model::time::op_name::OpName;
use replicator_hal::{Leds, Status};
use std::time::Duration;

pub(crate) struct SimLeds {
    pub(crate) handle: Handle,
}

impl Leds for SimLeds {
    fn show(&self, status: Status) {
        let op = Op { object: status.to_string(), ..Op::new(OpName::LedShow, "leds") };
        let result = self.handle.call(op, |machine, moment| {
            machine.leds.show(moment.now, status);
            Ok(())
        });
        if result.is_err_and(|error| error.injected().is_some()) {
            // A failed LED write is recorded, but does not stop the run, as the trait requires.
            self.handle.peek(|machine, _| machine.leds.note_failed_write());
        }
    }

    fn renew(&self, lease: Duration) {
        self.handle.peek(|machine, schedule| {
            if schedule.end.is_none() {
                machine.leds.renew(schedule.now, lease);
            }
        });
    }

    fn set_at_risk(&self, at_risk: bool) {
        self.handle.peek(|machine, schedule| {
            if schedule.end.is_none() {
                machine.leds.set_at_risk(schedule.now, at_risk);
            }
        });
    }

    fn lease_expired(&self) -> bool {
        self.handle.peek(|machine, schedule| {
            machine.leds.advance(schedule.now);
            machine.leds.lease_expired()
        })
    }
}
