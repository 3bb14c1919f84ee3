//! Devices that are verified from the page cache: reads return what was written, whatever the medium holds.

use replicator_hal::{
    BlockDevices, BlockDevicesLayer, Board, CacheBypass, DeviceName, Layer, LayerMut, Layered, Result,
    Target, TargetLayer,
};
use std::sync::Arc;

/// The devices of `board` with that fault.
pub(crate) fn devices(board: &Board) -> Arc<dyn BlockDevices> {
    Arc::new(Layered(CachedDevices(Arc::clone(&board.devices))))
}

/// Devices whose read-back never gets past the page cache.
struct CachedDevices(Arc<dyn BlockDevices>);

impl Layer for CachedDevices {
    type Below = dyn BlockDevices;

    fn below(&self) -> &Self::Below {
        &*self.0
    }
}

impl BlockDevicesLayer for CachedDevices {
    fn open_target(&self, device: &DeviceName) -> Result<Box<dyn Target>> {
        Ok(Box::new(Layered(CachedTarget(self.0.open_target(device)?))))
    }
}

struct CachedTarget(Box<dyn Target>);

impl Layer for CachedTarget {
    type Below = dyn Target;

    fn below(&self) -> &Self::Below {
        &*self.0
    }
}

impl LayerMut for CachedTarget {
    fn below_mut(&mut self) -> &mut Self::Below {
        &mut *self.0
    }
}

impl TargetLayer for CachedTarget {
    fn begin_verify(&mut self) -> Result<CacheBypass> {
        self.0.sync()?;
        Ok(CacheBypass::Direct)
    }
}
