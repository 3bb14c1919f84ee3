//! A board on which files and volumes are never synced, though every sync says that it worked.

use replicator_hal::{
    Access, Board, Capabilities, DirectoryEntry, FileSystem, FileSystems, Format, Fsck, InodeFlags, Metadata,
    NodeKind, Owner, Region, RelativePath, Result, Space, Timestamp, UsedMap, Volume, VolumeFile, VolumeId,
    Xattr,
};
use std::ops::Range;
use std::sync::Arc;

pub(crate) fn board(board: Board) -> Board {
    Board { file_systems: Arc::new(Forgetful(Arc::clone(&board.file_systems))), ..board }
}

struct Forgetful(Arc<dyn FileSystems>);

impl FileSystems for Forgetful {
    fn identify(&self, region: &Region) -> Result<Option<FileSystem>> {
        self.0.identify(region)
    }

    fn fsck(&self, region: &Region) -> Result<Fsck> {
        self.0.fsck(region)
    }

    fn format(&self, region: &Region, format: &Format) -> Result<()> {
        self.0.format(region, format)
    }

    fn grow(&self, region: &Region) -> Result<()> {
        self.0.grow(region)
    }

    fn used_map(&self, region: &Region) -> Result<Option<UsedMap>> {
        self.0.used_map(region)
    }

    fn mount(&self, region: &Region, access: Access) -> Result<Box<dyn Volume>> {
        Ok(Box::new(ForgetfulVolume(self.0.mount(region, access)?)))
    }
}

struct ForgetfulVolume(Box<dyn Volume>);

macro_rules! pass_on {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($argument: $kind),*) -> $result {
            self.0.$name($($argument),*)
        })*
    };
}

impl Volume for ForgetfulVolume {
    pass_on! {
        id() -> VolumeId;
        capabilities() -> Capabilities;
        space() -> Result<Space>;
        list(directory: &RelativePath) -> Result<Vec<DirectoryEntry>>;
        metadata(path: &RelativePath) -> Result<Metadata>;
        resolve(path: &RelativePath) -> Result<RelativePath>;
        read_link(path: &RelativePath) -> Result<Vec<u8>>;
        create_dir(path: &RelativePath, mode: u32) -> Result<()>;
        symlink(path: &RelativePath, text: &[u8]) -> Result<()>;
        hard_link(existing: &RelativePath, path: &RelativePath) -> Result<()>;
        make_node(path: &RelativePath, kind: NodeKind, mode: u32) -> Result<()>;
        set_owner(path: &RelativePath, owner: Owner) -> Result<()>;
        set_mode(path: &RelativePath, mode: u32) -> Result<()>;
        set_modified(path: &RelativePath, modified: Timestamp) -> Result<()>;
        xattrs(path: &RelativePath) -> Result<Vec<Xattr>>;
        set_xattr(path: &RelativePath, xattr: &Xattr) -> Result<()>;
        flags(path: &RelativePath) -> Result<InodeFlags>;
        set_flags(path: &RelativePath, flags: InodeFlags) -> Result<()>;
        rename(from: &RelativePath, to: &RelativePath) -> Result<()>;
        remove_file(path: &RelativePath) -> Result<()>;
        remove_dir(path: &RelativePath) -> Result<()>;
        remount(access: Access) -> Result<()>;
        unmount() -> Result<()>;
    }

    fn open(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>> {
        Ok(Box::new(ForgetfulFile(self.0.open(path)?)))
    }

    fn open_write(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>> {
        Ok(Box::new(ForgetfulFile(self.0.open_write(path)?)))
    }

    fn create_new(&self, path: &RelativePath, mode: u32) -> Result<Box<dyn VolumeFile>> {
        Ok(Box::new(ForgetfulFile(self.0.create_new(path, mode)?)))
    }

    fn sync_dir(&self, _: &RelativePath) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

struct ForgetfulFile(Box<dyn VolumeFile>);

impl VolumeFile for ForgetfulFile {
    fn len_bytes(&self) -> Result<u64> {
        self.0.len_bytes()
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        self.0.read_at(offset_bytes, buffer)
    }

    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize> {
        self.0.write_at(offset_bytes, data)
    }

    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        self.0.set_len(len_bytes)
    }

    fn next_data(&mut self, offset_bytes: u64) -> Result<Option<Range<u64>>> {
        self.0.next_data(offset_bytes)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn drop_cache(&mut self) -> Result<()> {
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.0.close()
    }
}
