//! A pointer to a part of a board is that part, and a layer changes only the methods that it has.
//!
//! The compiler finds a missing method: `part!` takes no default bodies.

#![cfg(all(feature = "host", feature = "contract"))]
// Helpers are test code, but outside test functions.
#![allow(clippy::unwrap_used)]

use replicator_hal::contract::NoMount;
use replicator_hal::host::{Tree, TreeVolume};
use replicator_hal::{
    ErrorKind, Layer, Layered, ReadTree, ReadTreeLayer, RelativePath, Result, SetAttributesLayer, Volume,
    VolumeFile, VolumeId, VolumeLayer, WriteTree, WriteTreeLayer, io,
};
use std::sync::Arc;

fn volume() -> (tempfile::TempDir, TreeVolume<NoMount>) {
    let directory = tempfile::tempdir().unwrap();
    let tree = Arc::new(Tree::new(directory.path(), None).unwrap());
    (directory, TreeVolume::new(VolumeId(7), tree, NoMount))
}

fn use_it(volume: impl Volume) {
    let path = RelativePath::parse("file").unwrap();
    let mut file: Box<dyn VolumeFile> = volume.create_new(&path, 0o640).unwrap();
    io::write_file(&mut file, 0, b"content").unwrap();
    file.close().unwrap();
    assert_eq!(volume.id(), VolumeId(7));
    assert_eq!(volume.metadata(&path).unwrap().len_bytes, 7);
    assert_eq!(volume.not_copyable(&path).unwrap(), None);
    volume.remove_file(&path).unwrap();
    assert_eq!(volume.metadata(&path).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn pointers_to_a_volume_are_volumes() {
    let (_directory, volume) = volume();
    use_it(&volume);
    use_it(&&volume as &dyn Volume);
    let shared = Arc::new(volume);
    use_it(Arc::clone(&shared));
    use_it(shared as Arc<dyn Volume>);
    let (_directory, volume) = self::volume();
    use_it(Box::new(volume) as Box<dyn Volume>);
}

#[test]
fn a_reference_to_a_pointer_to_a_volume_is_each_of_its_parts() {
    fn count(tree: &dyn ReadTree) -> usize {
        tree.list(&RelativePath::root()).unwrap().len()
    }

    fn make(tree: &dyn WriteTree) {
        tree.create_dir(&RelativePath::parse("directory").unwrap(), 0o700).unwrap();
    }

    let (_directory, volume) = volume();
    let volume: &dyn Volume = &volume;
    make(&volume);
    assert_eq!(count(&volume), 1);
    let volume: Box<dyn Volume> = Box::new(volume);
    assert_eq!(count(&volume), 1);
}

struct Undeletable<V>(V);

impl<V: Volume> Layer for Undeletable<V> {
    type Below = V;

    fn below(&self) -> &V {
        &self.0
    }
}

impl<V: Volume> WriteTreeLayer for Undeletable<V> {
    fn remove_file(&self, _: &RelativePath) -> Result<()> {
        Ok(())
    }
}

impl<V: Volume> ReadTreeLayer for Undeletable<V> {}
impl<V: Volume> SetAttributesLayer for Undeletable<V> {}
impl<V: Volume> VolumeLayer for Undeletable<V> {}

#[test]
fn a_layer_changes_what_it_writes_and_nothing_else() {
    let (_directory, volume) = volume();
    let path = RelativePath::parse("file").unwrap();
    let layered = Layered(Undeletable(&volume));
    layered.create_new(&path, 0o600).unwrap().close().unwrap();
    layered.remove_file(&path).unwrap();
    assert_eq!(layered.metadata(&path).unwrap().mode, 0o600, "it is still there");
    volume.remove_file(&path).unwrap();
    assert_eq!(layered.metadata(&path).unwrap_err().kind(), ErrorKind::NotFound);
}
