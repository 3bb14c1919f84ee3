//! The fixture of the cases about file systems, and their helpers.

use crate::{Access, BlockDevices, FileSystems, Flavour, Format, Region, RelativePath, Volume};

/// A region to test. Its content is lost.
pub trait FileSystemsFixture {
    /// The file systems.
    fn file_systems(&self) -> &dyn FileSystems;

    /// The devices of the same board.
    fn devices(&self) -> &dyn BlockDevices;

    /// A region that can be formatted, of 8 MiB to 256 MiB, without a known file system at the start. Its holder is a
    /// whole device.
    fn region(&self) -> Region;

    /// The bytes of [`FileSystemsFixture::region`] on its medium; `None` if the backend stores files in another way.
    fn region_bytes(&self) -> Option<Vec<u8>>;

    /// The same region after its partition was enlarged; `None` if that cannot be done here.
    fn larger_region(&self) -> Option<Region> {
        None
    }

    /// The same board, booted again after a power cut now; `None` if that is not possible here. Volumes of this fixture
    /// may still be mounted, and are dropped later.
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
