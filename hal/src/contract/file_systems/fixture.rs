//! What a backend brings for the cases about file systems, and what they do with it.

use crate::{Access, BlockDevices, FileSystems, Flavour, Format, Region, RelativePath, Volume};

/// A region to test. Its content may be anything and is lost.
pub trait FileSystemsFixture {
    /// The file systems.
    fn file_systems(&self) -> &dyn FileSystems;

    /// The devices of the same board.
    fn devices(&self) -> &dyn BlockDevices;

    /// A region that can be formatted, of 8 MiB to 256 MiB, and starts without a known file system. What holds it is a
    /// whole device.
    fn region(&self) -> Region;

    /// The bytes of [`FileSystemsFixture::region`] on its medium; `None` if the backend keeps files in another way.
    fn region_bytes(&self) -> Option<Vec<u8>>;

    /// The same region after its partition was made larger; `None` if that cannot be done here.
    fn larger_region(&self) -> Option<Region> {
        None
    }

    /// The same board booted again after a power cut at this moment; `None` if that cannot be had here. Volumes of this
    /// fixture may still be mounted then, and are dropped later.
    fn cut(&self) -> Option<Box<dyn FileSystemsFixture>> {
        None
    }

    /// The flavour to make.
    fn flavour(&self) -> Flavour {
        Flavour::Ext4
    }
}

pub(super) fn format(fixture: &dyn FileSystemsFixture) {
    let format = Format { flavour: fixture.flavour(), label: Some("rootfs".to_owned()), ..Format::default() };
    fixture.file_systems().format(&fixture.region(), &format).unwrap();
}

pub(super) fn mount(fixture: &dyn FileSystemsFixture, access: Access) -> Box<dyn Volume> {
    fixture.file_systems().mount(&fixture.region(), access).unwrap()
}

pub(super) fn own_names(volume: &dyn Volume) -> Vec<Vec<u8>> {
    let names = volume.list(&RelativePath::root()).unwrap().into_iter().map(|entry| entry.name);
    names.filter(|name| name != b"lost+found").collect()
}
