//! `MockVolume`. `mockall` cannot derive a mock of a trait with supertraits, so the methods are listed here. A missing
//! method does not compile.

use super::*;
use crate::{InodeFlags, RelativePath, Timestamp};

mockall::mock! {
    /// A volume with expectations for each method.
    pub Volume {}

    impl ReadTree for Volume {
        fn capabilities(&self) -> Capabilities;
        fn list(&self, directory: &RelativePath) -> Result<Vec<DirectoryEntry>>;
        fn metadata(&self, path: &RelativePath) -> Result<Metadata>;
        fn resolve(&self, path: &RelativePath) -> Result<RelativePath>;
        fn read_link(&self, path: &RelativePath) -> Result<Vec<u8>>;
        fn open(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>>;
        fn read_ahead(&self, paths: &[RelativePath]);
        fn xattrs(&self, path: &RelativePath) -> Result<Vec<Xattr>>;
        fn flags(&self, path: &RelativePath) -> Result<InodeFlags>;
        fn not_copyable(&self, path: &RelativePath) -> Result<Option<&'static str>>;
    }

    impl WriteTree for Volume {
        fn open_write(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>>;
        fn create_new(&self, path: &RelativePath, mode: u32) -> Result<Box<dyn VolumeFile>>;
        fn create_dir(&self, path: &RelativePath, mode: u32) -> Result<()>;
        fn symlink(&self, path: &RelativePath, text: &[u8]) -> Result<()>;
        fn hard_link(&self, existing: &RelativePath, path: &RelativePath) -> Result<()>;
        fn make_node(&self, path: &RelativePath, kind: NodeKind, mode: u32) -> Result<()>;
        fn rename(&self, from: &RelativePath, to: &RelativePath) -> Result<()>;
        fn remove_file(&self, path: &RelativePath) -> Result<()>;
        fn remove_dir(&self, path: &RelativePath) -> Result<()>;
        fn sync_dir(&self, directory: &RelativePath) -> Result<()>;
    }

    impl SetAttributes for Volume {
        fn set_owner(&self, path: &RelativePath, owner: Owner) -> Result<()>;
        fn set_mode(&self, path: &RelativePath, mode: u32) -> Result<()>;
        fn set_modified(&self, path: &RelativePath, modified: Timestamp) -> Result<()>;
        fn set_xattr(&self, path: &RelativePath, xattr: &Xattr) -> Result<()>;
        fn set_flags(&self, path: &RelativePath, flags: InodeFlags) -> Result<()>;
    }

    impl Volume for Volume {
        fn id(&self) -> VolumeId;
        fn space(&self) -> Result<Space>;
        fn sync(&self) -> Result<()>;
        fn remount(&self, access: Access) -> Result<()>;
        fn unmount(&self) -> Result<()>;
    }
}
