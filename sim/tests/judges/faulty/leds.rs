//! LEDs that show another status than requested.

use replicator_hal::{Board, Layer, Layered, Leds, LedsLayer, Status};
use std::sync::Arc;

struct FaultyLeds<F> {
    inner: Arc<dyn Leds>,
    shows: F,
}

impl<F> Layer for FaultyLeds<F> {
    type Below = dyn Leds;

    fn below(&self) -> &Self::Below {
        &*self.inner
    }
}

impl<F: Fn(Status) -> Option<Status> + Send + Sync> LedsLayer for FaultyLeds<F> {
    fn show(&self, status: Status) {
        if let Some(status) = (self.shows)(status) {
            self.inner.show(status);
        }
    }
}

/// A board whose LEDs show the status that `shows` returns; `None` leaves them unchanged.
pub(crate) fn that_show<F>(shows: F) -> impl Fn(Board) -> Board
where
    F: Fn(Status) -> Option<Status> + Copy + Send + Sync + 'static,
{
    move |board| Board {
        leds: Arc::new(Layered(FaultyLeds { inner: Arc::clone(&board.leds), shows })),
        ..board
    }
}
