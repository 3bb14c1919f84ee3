//! Faulty boards. Each changes one behaviour of the board; the engine is not changed.

use replicator_hal::{
    Access, BlockDevices, BlockDevicesLayer, Board, DeviceName, Firmware, FirmwareLayer, Layer, Layered,
    Leds, LedsLayer, Result, Source, Status, Target,
};
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The LEDs show success instead of a failure.
pub(crate) fn failure_is_success(board: Board) -> Board {
    let shows = |status| match status {
        Status::Failure | Status::Critical => Some(Status::Success),
        other => Some(other),
    };
    with_leds(board, |inner| FaultyLeds { shows, ..unchanged(inner) })
}

/// The LEDs stay as they are when a failure is to be shown.
pub(crate) fn failure_is_dark(board: Board) -> Board {
    with_leds(board, |inner| FaultyLeds {
        shows: |status| Some(status).filter(|status| *status != Status::Failure),
        ..unchanged(inner)
    })
}

/// The LEDs are never set at risk, so they never show critical by themselves.
pub(crate) fn never_at_risk(board: Board) -> Board {
    with_leds(board, |inner| FaultyLeds { at_risk: |_| false, ..unchanged(inner) })
}

/// Every lease lasts a day.
pub(crate) fn lease_of_a_day(board: Board) -> Board {
    with_leds(board, |inner| FaultyLeds { lease: |_| DAY, ..unchanged(inner) })
}

/// Sources are opened without a claim.
pub(crate) fn nothing_is_claimed(board: Board) -> Board {
    Board { devices: Arc::new(Layered(Unclaimed(Arc::clone(&board.devices)))), ..board }
}

/// A bootloader area's write protection is lifted to read it.
pub(crate) fn always_unprotected(board: Board) -> Board {
    Board { firmware: Arc::new(Layered(Unprotected(Arc::clone(&board.firmware)))), ..board }
}

struct FaultyLeds {
    inner: Arc<dyn Leds>,
    shows: fn(Status) -> Option<Status>,
    lease: fn(Duration) -> Duration,
    at_risk: fn(bool) -> bool,
}

fn unchanged(inner: Arc<dyn Leds>) -> FaultyLeds {
    FaultyLeds { inner, shows: Some, lease: |lease| lease, at_risk: |at_risk| at_risk }
}

fn with_leds(board: Board, wrap: impl Fn(Arc<dyn Leds>) -> FaultyLeds) -> Board {
    Board { leds: Arc::new(Layered(wrap(Arc::clone(&board.leds)))), ..board }
}

impl Layer for FaultyLeds {
    type Below = dyn Leds;

    fn below(&self) -> &Self::Below {
        &*self.inner
    }
}

impl LedsLayer for FaultyLeds {
    fn show(&self, status: Status) {
        if let Some(status) = (self.shows)(status) {
            self.inner.show(status);
        }
    }

    fn renew(&self, lease: Duration) {
        self.inner.renew((self.lease)(lease));
    }

    fn set_at_risk(&self, at_risk: bool) {
        self.inner.set_at_risk((self.at_risk)(at_risk));
    }
}

struct Unclaimed(Arc<dyn BlockDevices>);

impl Layer for Unclaimed {
    type Below = dyn BlockDevices;

    fn below(&self) -> &Self::Below {
        &*self.0
    }
}

impl BlockDevicesLayer for Unclaimed {
    fn open_source(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        self.0.open_shared(device)
    }
}

struct Unprotected(Arc<dyn Firmware>);

impl Layer for Unprotected {
    type Below = dyn Firmware;

    fn below(&self) -> &Self::Below {
        &*self.0
    }
}

impl FirmwareLayer for Unprotected {
    fn open_bootloader_area(&self, area: &DeviceName, _: Access) -> Result<Box<dyn Target>> {
        self.0.open_bootloader_area(area, Access::ReadWrite)
    }
}
