//! LEDs that show something else than they are told.

use replicator_hal::{Board, Leds, Status};
use std::sync::Arc;
use std::time::Duration;

struct LyingLeds<F> {
    inner: Arc<dyn Leds>,
    shows: F,
}

impl<F: Fn(Status) -> Option<Status> + Send + Sync> Leds for LyingLeds<F> {
    fn show(&self, status: Status) {
        if let Some(status) = (self.shows)(status) {
            self.inner.show(status);
        }
    }

    fn renew(&self, lease: Duration) {
        self.inner.renew(lease);
    }

    fn set_at_risk(&self, at_risk: bool) {
        self.inner.set_at_risk(at_risk);
    }

    fn lease_expired(&self) -> bool {
        self.inner.lease_expired()
    }
}

/// A board whose LEDs show what `shows` makes of what they are told; nothing new where that is nothing.
pub(crate) fn that_show<F>(shows: F) -> impl Fn(Board) -> Board
where
    F: Fn(Status) -> Option<Status> + Copy + Send + Sync + 'static,
{
    move |board| Board { leds: Arc::new(LyingLeds { inner: Arc::clone(&board.leds), shows }), ..board }
}
