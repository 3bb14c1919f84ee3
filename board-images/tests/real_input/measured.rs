//! The file system that is made for a tarball has room for it, or the tarball is refused before anything is erased.

use super::devices::Medium;
use super::tree;
use super::workshop::{MIB, Workshop};
use std::fs;
use std::io::Write;
use std::path::Path;

/// The tree below `usr`, which sanitising does not change.
fn kept(root: &Path) -> tree::Tree {
    let mut tree = tree::read(root);
    tree.retain(|path, _| path.starts_with("usr"));
    tree
}

/// Captures a golden medium and writes it to media of the same length with each of these flavours. Returns the golden medium.
#[track_caller]
fn clone_to_same_size(
    workshop: &Workshop,
    len_bytes: u64,
    flavours: &[&str],
    mkfs: &[&str],
    fill: impl FnOnce(&Path),
) -> Medium {
    let mut wanted = tree::Tree::new();
    let golden = workshop.golden(len_bytes, mkfs, |root| {
        fill(root);
        wanted = kept(root);
    });
    workshop.clear("");
    workshop.run("ext4", &golden).assert_success();
    assert!(workshop.has_tarball());
    for flavour in flavours {
        let mut medium = workshop.used(len_bytes);
        workshop.run(flavour, &medium).assert_success();
        let found = workshop.with_written(&mut medium, |root, _| kept(root));
        let differences = tree::differences(&wanted, &found);
        assert!(differences.is_empty(), "{flavour}: {}", differences.join("\n"));
    }
    // A medium with the same loop device would be recognised as the golden one.
    golden
}

#[test]
fn media_with_many_small_files_are_written_to_media_of_their_size() {
    let Some(workshop) = Workshop::new(128 * MIB) else { return };
    let all = ["ext4compat", "ext4", "ext3", "ext2"];
    for (len_bytes, mkfs, flavours) in
        [(64 * MIB, &["-b1024", "-N24000"][..], &all[..]), (256 * MIB, &["-N24000"], &all[..1])]
    {
        clone_to_same_size(&workshop, len_bytes, flavours, mkfs, |root| {
            for directory in 0..20 {
                let directory = root.join(format!("usr/share/{directory}"));
                fs::create_dir_all(&directory).unwrap();
                for file in 0..1000 {
                    fs::write(directory.join(format!("{file}")), "abc").unwrap();
                }
            }
        });
    }
}

#[test]
fn full_media_are_written_to_media_of_their_size() {
    let Some(workshop) = Workshop::new(256 * MIB) else { return };
    for (len_bytes, mkfs) in [(60 * MIB, &["-m0"][..]), (60 * MIB, &["-b4096", "-m1"]), (100 * MIB, &["-m5"])]
    {
        clone_to_same_size(&workshop, len_bytes, &["ext4compat", "ext4"], mkfs, |root| {
            // Until not one more byte fits.
            for number in 0_u32.. {
                let chunk = (number + 1).to_le_bytes().repeat(64 << 10);
                let mut file = fs::File::create(root.join(format!("usr/{number}"))).unwrap();
                let written = file.write_all(&chunk).and_then(|()| file.sync_all());
                if let Err(error) = written {
                    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
                    // Sanitising needs a little space for the files that it adds.
                    for last in [number - 1, number] {
                        fs::remove_file(root.join(format!("usr/{last}"))).unwrap();
                    }
                    break;
                }
            }
        });
    }
}

#[test]
fn names_of_one_file_are_counted_before_anything_is_erased() {
    let Some(workshop) = Workshop::new(256 * MIB) else { return };
    for (flavour, most) in [("ext4", 65_000), ("ext4compat", 65_000), ("ext3", 32_000), ("ext2", 32_000)] {
        let script = |names: u64| {
            format!(
                "add('usr/one', data=b'x')\nfor n in range({names} - 1): add('usr/%d' % n, b'1', linkname='usr/one')"
            )
        };
        workshop.clear("");
        workshop.pack_with_python(&script(most));
        let mut medium = workshop.used(64 * MIB);
        workshop.run(flavour, &medium).assert_success();
        let links = workshop.with_written(&mut medium, |root, _| {
            std::os::unix::fs::MetadataExt::nlink(&fs::metadata(root.join("usr/one")).unwrap())
        });
        assert_eq!(links, most, "{flavour}");
        workshop.pack_with_python(&script(most + 1));
        let words = [format!("has {} names, but a file can have {most}", most + 1)];
        workshop.assert_refused(flavour, &medium, "R-CANNOTHOLD", &[&words[0]]);
    }
}

#[test]
fn directories_of_ext3_are_counted_before_anything_is_erased() {
    let Some(workshop) = Workshop::new(256 * MIB) else { return };
    let script = |count: u64| format!("for n in range({count}): add('usr/%d' % n, b'5')");
    workshop.clear("");
    workshop.pack_with_python(&script(31_998));
    let medium = workshop.used(256 * MIB);
    workshop.run("ext3", &medium).assert_success();
    workshop.pack_with_python(&script(31_999));
    workshop.assert_refused("ext3", &medium, "R-CANNOTHOLD", &["\"usr\" holds 31999 directories"]);
    // ext4 has no such limit.
    workshop.run("ext4compat", &medium).assert_success();
}

#[test]
fn long_names_and_large_attributes_get_a_file_system_that_can_store_them() {
    let Some(workshop) = Workshop::new(128 * MIB) else { return };
    let fill = |root: &Path| {
        let long = "n".repeat(255);
        let mut deep = root.join("usr");
        for _ in 0..10 {
            deep.push(&long);
            // Longer than the limit of a system call.
            fs::create_dir(&deep).unwrap();
        }
        fs::write(deep.join("file"), "deep").unwrap();
        std::os::unix::fs::symlink("t".repeat(1022), root.join("usr/long-link")).unwrap();
    };
    clone_to_same_size(&workshop, 64 * MIB, &["ext4", "ext4compat", "ext3", "ext2"], &[], fill);

    let attributes = |root: &Path| {
        let file = root.join("usr/large");
        fs::write(&file, "x").unwrap();
        xattr::set(&file, "user.large", &[7; 20_000]).unwrap();
        for number in 0..30 {
            let file = root.join(format!("usr/several-{number}"));
            fs::write(&file, "x").unwrap();
            xattr::set(&file, "user.a", &[number; 3000]).unwrap();
            xattr::set(&file, "trusted.b", &[number; 3000]).unwrap();
        }
    };
    let _golden = clone_to_same_size(&workshop, 64 * MIB, &["ext4"], &["-Oea_inode", "-b4096"], attributes);
    for flavour in ["ext4compat", "ext3", "ext2"] {
        let medium = workshop.used(64 * MIB);
        let words = ["\"usr/large\" has attributes that take more than a block"];
        workshop.assert_refused(flavour, &medium, "R-CANNOTHOLD", &words);
    }
}
