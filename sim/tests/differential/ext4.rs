//! The simulated ext4 behaves like the kernel's, on a loop device.

use crate::calls::{Sharing, any_call, observe};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use replicator_hal::contract::loop_media::{Bench, MIB};
use replicator_hal::{Access, FileKind, FileSystems, RelativePath, Volume};

#[test]
fn simulated_and_mounted_volumes_agree() {
    let Some(bench) = Bench::new("simulated_and_mounted_volumes_agree") else { return };
    let medium = bench.medium("sd", 16 * MIB);
    medium.mkfs(&["-t", "ext4", "-b", "4096", "-I", "256"]);
    let ext4 = bench.file_systems.mount(&medium.whole(), Access::ReadWrite).unwrap();
    let mut runner = TestRunner::new(crate::cases(200));
    let ended = runner.run(&prop::collection::vec(any_call(), 1..40), |calls| {
        // One file system for all sequences, because making one takes longer than all calls of a sequence.
        ext4.remount(Access::ReadWrite).unwrap();
        remove_all(&*ext4, &RelativePath::root());
        let (_world, sim) = crate::simulated(2 * MIB);
        crate::begin_equal(&*ext4);
        // The HAL has no call that removes an attribute of the root.
        for call in calls.iter().filter(|call| !call.sets_xattr_of_root()) {
            prop_assert_eq!(
                observe(&*ext4, call, Sharing::Own),
                observe(&*sim, call, Sharing::Own),
                "{:?}",
                call
            );
        }
        Ok(())
    });
    ext4.unmount().unwrap();
    replicator_hal::contract::loop_media::run("e2fsck", &["-fn", medium.node()]);
    bench.assert_clean(&[&medium]);
    ended.unwrap();
}

fn remove_all(volume: &dyn Volume, directory: &RelativePath) {
    for entry in volume.list(directory).unwrap() {
        let path = directory.join(&entry.name).unwrap();
        if entry.kind == FileKind::Directory {
            remove_all(volume, &path);
            volume.remove_dir(&path).unwrap();
        } else {
            volume.remove_file(&path).unwrap();
        }
    }
}
