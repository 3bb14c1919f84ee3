//! The mke2fs.conf(5) of the host has no effect on the new file systems.

use super::devices::Medium;
use super::tools::{run, shell};
use super::workshop::{MIB, Workshop};
use std::fs;

/// A configuration whose file systems no board of the last ten years can read.
const INCOMPATIBLE: &str = "[defaults]
    base_features = sparse_super2,ext_attr,filetype,bigalloc,inline_data,casefold
    default_mntopts = journal_data
    enable_periodic_fsck = 1
    blocksize = 2048
    inode_size = 512
    inode_ratio = 1048576
    reserved_ratio = 30
    lazy_itable_init = 1
    hash_alg = tea
    errors = panic
[fs_types]
    ext2 = {
        features = has_journal,quota
    }
    ext3 = {
        features = extent,quota
    }
    ext4 = {
        features = orphan_file,metadata_csum_seed,stable_inodes,encrypt,verity,quota,project,mmp
        auto_64-bit_support = 0
    }
    small = {
        blocksize = 2048
        inode_size = 512
    }
";

/// The properties of a file system that the configuration can change.
fn facts(medium: &mut Medium) -> String {
    medium.show_partitions();
    let device = medium.partition(1);
    run("e2fsck", ["-fn".as_ref(), device.as_os_str()]);
    // Without values that always differ: times, UUIDs, and the amount of data.
    let facts = shell(
        "dumpe2fs -h \"$1\" | grep -Ev '^(Filesystem UUID|Directory Hash Seed|Last|Filesystem created|Lifetime writes|Mount count|\
         Journal (sequence|start|checksum)|Checksum:)'",
        [&device],
    );
    medium.hide_partitions();
    facts
}

#[test]
fn the_mke2fs_conf_of_the_host_has_no_effect() {
    let Some(workshop) = Workshop::new(64 * MIB) else { return };
    let conf = workshop.stage.path("mke2fs.conf");
    fs::write(&conf, INCOMPATIBLE).unwrap();
    // Check first that mke2fs reads this configuration.
    let probe = workshop.stage.path("probe");
    shell(
        "truncate -s 32M \"$1\" && MKE2FS_CONFIG=\"$2\" mke2fs -q -F -t ext3 \"$1\" && dumpe2fs -h \"$1\" 2>/dev/null | grep extent",
        [&probe, &conf],
    );
    workshop.clear("");
    workshop.pack_with_python("add('usr/file', data=b'x' * 100000)");
    for flavour in ["ext4", "ext4compat", "ext3", "ext2"] {
        let mut found = Vec::new();
        for etc in [None, Some(&conf)] {
            let mut medium = workshop.used(96 * MIB);
            let run = match etc {
                None => workshop.run(flavour, &medium),
                Some(conf) => workshop.run_with_mke2fs_conf(flavour, &medium, conf),
            };
            run.assert_success();
            found.push(facts(&mut medium));
        }
        assert_eq!(found[0], found[1], "{flavour}");
        assert!(found[0].lines().count() > 25, "{}", found[0]);
    }
}
