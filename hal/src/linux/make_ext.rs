//! The arguments for mke2fs(8): all features, and every number that its configuration could choose.
//!
//! A file system that is made here is the same on every host, whatever its `/etc/mke2fs.conf` and its version of
//! e2fsprogs, because a boot loader of 2015 has to read a file system that a host of 2030 makes.

use crate::{EXT_INODE_LEN_BYTES, ExtShape, Flavour};

/// The features of every file system that is made. Linux and U-Boot have supported them since long before extents.
const BASE_FEATURES: [&str; 6] =
    ["ext_attr", "resize_inode", "dir_index", "filetype", "sparse_super", "large_file"];
/// The features of both kinds of ext4, in addition to these and the journal. Linux supports them since 2.6.28, U-Boot
/// (`fs/ext4`) since 2012.
const EXT4_FEATURES: [&str; 5] = ["extent", "flex_bg", "huge_file", "dir_nlink", "extra_isize"];
/// The features of ext4 only. U-Boot up to v2016.07 takes the descriptors of `64bit` for shorter ones and reads outside
/// the partition. U-Boot still does not update the checksums when it writes. Linux supports the checksums since 3.18.
const NEW_FEATURES: [&str; 2] = ["64bit", "metadata_csum"];

/// The features are set completely: `none` is first, so that features of a later mke2fs or of its configuration are not
/// added.
fn features(flavour: Flavour, shape: &ExtShape) -> String {
    let mut features = vec!["none"];
    features.extend(BASE_FEATURES);
    if flavour != Flavour::Ext2 {
        features.push("has_journal");
    }
    if flavour.has_extents() {
        features.extend(EXT4_FEATURES);
    }
    if flavour == Flavour::Ext4 {
        features.extend(NEW_FEATURES);
    }
    if shape.large_attributes {
        features.push("ea_inode");
    }
    if shape.large_directories {
        features.push("large_dir");
    }
    features.join(",")
}

/// The arguments for a file system of this flavour and shape, with this number of inodes, without the device.
pub(super) fn arguments(flavour: Flavour, shape: &ExtShape, inodes: u64) -> Vec<String> {
    // The kernel must not continue in the background after the first mount: what was verified must not change.
    let mut arguments: Vec<String> =
        ["-F", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-e", "continue", "-m", "5"]
            .map(str::to_owned)
            .into();
    let kind = match flavour {
        Flavour::Ext2 => "ext2",
        Flavour::Ext3 => "ext3",
        Flavour::Ext4 | Flavour::Ext4Compat => "ext4",
    };
    arguments.extend(["-t".to_owned(), kind.to_owned(), "-O".to_owned(), features(flavour, shape)]);
    if flavour.has_extents() {
        arguments.extend(["-G".to_owned(), "16".to_owned()]);
    }
    let mut number = |option: &str, value: u64| arguments.extend([option.to_owned(), value.to_string()]);
    number("-I", EXT_INODE_LEN_BYTES);
    number("-b", shape.block_len_bytes.into());
    number("-N", inodes);
    if flavour != Flavour::Ext2 {
        let journal_len_bytes = shape.journal_blocks * u64::from(shape.block_len_bytes);
        arguments.extend(["-J".to_owned(), format!("size={}", journal_len_bytes.div_ceil(1 << 20))]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::super::test_images::{Image, have_tool};
    use super::super::tools::Tools;
    use super::*;
    use crate::Format;

    const EXT2: &str = "ext_attr resize_inode dir_index filetype sparse_super large_file";
    const EXT3: &str = "has_journal ext_attr resize_inode dir_index filetype sparse_super large_file";
    const EXT4: &str = "has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super \
                        large_file huge_file dir_nlink extra_isize metadata_csum";
    const COMPAT: &str = "has_journal ext_attr resize_inode dir_index filetype extent flex_bg sparse_super large_file \
                          huge_file dir_nlink extra_isize";

    struct Made {
        image: Image,
        text: String,
    }

    impl Made {
        fn new(len_bytes: u64, format: &Format) -> Self {
            let image = Image::empty(len_bytes);
            Tools::default().make(image.path(), len_bytes, 512, format).unwrap();
            let text = image.run("dumpe2fs", &["-h"]);
            Self { image, text }
        }

        fn field(&self, name: &str) -> String {
            let of_name = |line: &&str| line.split_once(':').is_some_and(|(found, _)| found == name);
            let line = self.text.lines().find(of_name).unwrap_or_else(|| panic!("{name}: {}", self.text));
            line.split_once(':').unwrap().1.trim().to_owned()
        }

        fn number(&self, name: &str) -> u64 {
            self.field(name).parse().unwrap()
        }
    }

    fn format(flavour: Flavour) -> Format {
        Format { flavour, label: Some("rootfs".to_owned()), ..Format::default() }
    }

    #[test]
    fn flavours_have_exactly_the_listed_features() {
        if !have_tool("mke2fs") || !have_tool("dumpe2fs") {
            return;
        }
        for (len_bytes, block) in [(32 << 20, "1024"), (96 << 20, "4096")] {
            for (flavour, features) in [
                (Flavour::Ext2, EXT2),
                (Flavour::Ext3, EXT3),
                (Flavour::Ext4, EXT4),
                (Flavour::Ext4Compat, COMPAT),
            ] {
                let made = Made::new(len_bytes, &format(flavour));
                assert_eq!(made.field("Filesystem features"), features, "{flavour:?}");
                assert_eq!(made.field("Block size"), block, "{flavour:?}");
                for (name, value) in [
                    ("Filesystem volume name", "rootfs"),
                    ("Inode size", "256"),
                    ("Default mount options", "user_xattr acl"),
                    ("Errors behavior", "Continue"),
                    ("Check interval", "0 (<none>)"),
                ] {
                    assert_eq!(made.field(name), value, "{flavour:?}");
                }
            }
        }
        let shape = ExtShape {
            large_attributes: true,
            large_directories: true,
            ..ExtShape::usual(Flavour::Ext4, 96 << 20, 512)
        };
        let made = Made::new(96 << 20, &Format { shape: Some(shape), ..format(Flavour::Ext4) });
        let found = made.field("Filesystem features");
        assert!(found.contains("ea_inode") && found.contains("large_dir"), "{found}");
    }

    /// The engine checks the room before anything is erased, so it must be what mke2fs leaves.
    #[test]
    fn the_computed_room_is_what_mke2fs_leaves() {
        if !have_tool("mke2fs") || !have_tool("dumpe2fs") {
            return;
        }
        let mib = 1 << 20;
        let flavours = [Flavour::Ext2, Flavour::Ext3, Flavour::Ext4, Flavour::Ext4Compat];
        let mut tried = 0;
        for (at, len_bytes) in [
            3 * mib,
            4 * mib,
            9 * mib + 4096,
            60 * mib,
            127 * mib,
            129 * mib,
            257 * mib,
            1021 * mib,
            4096 * mib,
        ]
        .into_iter()
        .enumerate()
        {
            for (block_len_bytes, inodes, journal) in [
                (1024, None, None),
                (4096, None, None),
                (4096, Some(7), Some(1)),
                (1024, Some(3), Some(2)),
                (2048, Some(2), Some(4)),
            ] {
                let flavour = flavours[(tried + at) % 4];
                tried += 1;
                let usual = ExtShape::with_blocks_of(flavour, len_bytes, block_len_bytes);
                let shape = ExtShape {
                    inodes: inodes.map_or(usual.inodes, |part| len_bytes / (part << 10)),
                    journal_blocks: journal.map_or(usual.journal_blocks, |part| 1024 * part),
                    ..usual
                };
                let Some(room) = shape.room(flavour, len_bytes) else {
                    continue;
                };
                let made = Made::new(len_bytes, &Format { shape: Some(shape), ..format(flavour) });
                let what = format!("{flavour:?} of {len_bytes} as {shape:?}");
                assert_eq!(made.number("Block count"), room.blocks, "{what}");
                assert_eq!(made.number("Inode count"), room.inodes, "{what}");
                assert_eq!(made.number("Free inodes"), room.free_inodes, "{what}");
                assert!(room.inodes >= shape.inodes, "{what}");
                assert_eq!(made.number("Free blocks"), room.free_blocks, "{what}");
                drop(made.image);
            }
        }
    }
}
