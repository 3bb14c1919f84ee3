//! A board on which files and volumes are never synced, although every sync returns success.

use replicator_hal::{
    Access, Board, FileSystems, FileSystemsLayer, Layer, LayerMut, Layered, ReadTreeLayer, Region,
    RelativePath, Result, SetAttributesLayer, Volume, VolumeFile, VolumeFileLayer, VolumeLayer,
    WriteTreeLayer,
};
use std::sync::Arc;

pub(crate) fn board(board: Board) -> Board {
    Board { file_systems: Arc::new(Layered(Unsynced(Arc::clone(&board.file_systems)))), ..board }
}

struct Unsynced(Arc<dyn FileSystems>);

impl Layer for Unsynced {
    type Below = dyn FileSystems;

    fn below(&self) -> &Self::Below {
        &*self.0
    }
}

impl FileSystemsLayer for Unsynced {
    fn mount(&self, region: &Region, access: Access) -> Result<Box<dyn Volume>> {
        Ok(never_synced(self.0.mount(region, access)?))
    }

    fn mount_subvolume(&self, region: &Region, of: &RelativePath, access: Access) -> Result<Box<dyn Volume>> {
        Ok(never_synced(self.0.mount_subvolume(region, of, access)?))
    }
}

fn never_synced(volume: Box<dyn Volume>) -> Box<dyn Volume> {
    Box::new(Layered(UnsyncedVolume(volume)))
}

struct UnsyncedVolume(Box<dyn Volume>);

impl Layer for UnsyncedVolume {
    type Below = dyn Volume;

    fn below(&self) -> &Self::Below {
        &*self.0
    }
}

impl ReadTreeLayer for UnsyncedVolume {
    fn open(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>> {
        Ok(Box::new(Layered(UnsyncedFile(self.0.open(path)?))))
    }
}

impl WriteTreeLayer for UnsyncedVolume {
    fn open_write(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>> {
        Ok(Box::new(Layered(UnsyncedFile(self.0.open_write(path)?))))
    }

    fn create_new(&self, path: &RelativePath, mode: u32) -> Result<Box<dyn VolumeFile>> {
        Ok(Box::new(Layered(UnsyncedFile(self.0.create_new(path, mode)?))))
    }

    fn sync_dir(&self, _: &RelativePath) -> Result<()> {
        Ok(())
    }
}

impl SetAttributesLayer for UnsyncedVolume {}

impl VolumeLayer for UnsyncedVolume {
    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

struct UnsyncedFile(Box<dyn VolumeFile>);

impl Layer for UnsyncedFile {
    type Below = dyn VolumeFile;

    fn below(&self) -> &Self::Below {
        &*self.0
    }
}

impl LayerMut for UnsyncedFile {
    fn below_mut(&mut self) -> &mut Self::Below {
        &mut *self.0
    }
}

impl VolumeFileLayer for UnsyncedFile {
    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn drop_cache(&mut self) -> Result<()> {
        Ok(())
    }
}
