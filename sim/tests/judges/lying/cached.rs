//! Devices that are verified from the page cache: what was written is read back, whatever the medium holds.

use replicator_hal::{BlockDevice, BlockDevices, Board, CacheBypass, DeviceName, Result, Source, Target};
use std::sync::Arc;

/// Those of `board`.
pub(crate) fn devices(board: &Board) -> Arc<dyn BlockDevices> {
    Arc::new(CachedDevices(Arc::clone(&board.devices)))
}

/// Devices whose read-back never gets past the page cache.
struct CachedDevices(Arc<dyn BlockDevices>);

struct CachedTarget(Box<dyn Target>);

impl BlockDevices for CachedDevices {
    fn list(&self) -> Result<Vec<BlockDevice>> {
        self.0.list()
    }

    fn open_source(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        self.0.open_source(device)
    }

    fn open_shared(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        self.0.open_shared(device)
    }

    fn open_target(&self, device: &DeviceName) -> Result<Box<dyn Target>> {
        Ok(Box::new(CachedTarget(self.0.open_target(device)?)))
    }

    fn reread_partitions(&self, device: &DeviceName) -> Result<()> {
        self.0.reread_partitions(device)
    }
}

impl Target for CachedTarget {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize> {
        self.0.write_at(offset_bytes, data)
    }

    fn zero(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        self.0.zero(offset_bytes, len_bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.0.sync()
    }

    fn begin_verify(&mut self) -> Result<CacheBypass> {
        self.0.sync()?;
        Ok(CacheBypass::Direct)
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        self.0.read_at(offset_bytes, buffer)
    }

    fn close(&mut self) -> Result<()> {
        self.0.close()
    }
}
