//! Identifies the file system in a region: reads what [`crate::signature`] needs.

use super::byte_range::ReadAt;
use crate::{FileSystem, FileSystemKind, Result, signature};

/// Identifies the content of the region; `None` if it is unknown.
///
/// # Errors
/// If the region cannot be read.
pub(super) fn identify(region: &mut dyn ReadAt) -> Result<Option<FileSystem>> {
    const ZFS_LABEL_LEN_BYTES: usize = 256 * 1024;
    let mut head = vec![0; signature::HEAD_LEN_BYTES];
    region.read_padded(0, &mut head)?;
    let mut found = signature::by_head(&head);
    if found.as_ref().is_none_or(|found| found.kind.is_linux()) {
        let len = signature::TAIL_LEN_BYTES.min(usize::try_from(region.len_bytes()).unwrap_or(usize::MAX));
        let mut tail = vec![0; len];
        region.read_padded(region.len_bytes() - len as u64, &mut tail)?;
        found = signature::raid_by_tail(&tail, region.len_bytes()).or(found);
    }
    if found.is_none() {
        head.resize(ZFS_LABEL_LEN_BYTES, 0);
        region.read_padded(0, &mut head)?;
        found = signature::by_head(&head);
    }
    match found {
        Some(found) if matches!(found.kind, FileSystemKind::Vfat | FileSystemKind::Exfat) => {
            with_label_of_root(region, &head, found).map(Some)
        }
        found => Ok(found),
    }
}

/// The number of devices of the btrfs in the region.
pub(super) fn btrfs_devices(region: &mut dyn ReadAt) -> Result<u64> {
    let mut superblock = [0; 4096];
    region.read_padded(0x1_0000, &mut superblock)?;
    Ok(signature::le64(&superblock, 0x88))
}

fn with_label_of_root(region: &mut dyn ReadAt, head: &[u8], mut found: FileSystem) -> Result<FileSystem> {
    if let Some(range) = signature::fat::root_directory(head) {
        let mut root = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
        region.read_padded(range.start, &mut root)?;
        found.label = signature::fat::label(&found.kind, &root).or(found.label);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::test_images::{Image, have_tool};
    use super::*;

    #[test]
    fn kinds_of_ext_differ_by_their_features() {
        if !have_tool("mke2fs") {
            return;
        }
        for (kind, options) in [
            (FileSystemKind::Ext2, &["-t", "ext2"][..]),
            (FileSystemKind::Ext3, &["-t", "ext3"]),
            (FileSystemKind::Ext4, &["-t", "ext4"]),
            (FileSystemKind::Ext4, &["-t", "ext4", "-O", "^has_journal"]),
        ] {
            let mut all = vec!["-L", "rootfs", "-U", "01234567-89ab-cdef-0123-456789abcdef", "-b", "4096"];
            all.extend(options);
            let image = Image::ext(16 << 20, &all);
            let found = identify(&mut image.range()).unwrap().unwrap();
            let expected = FileSystem {
                kind,
                label: Some("rootfs".to_owned()),
                uuid: Some("01234567-89ab-cdef-0123-456789abcdef".to_owned()),
                len_bytes: Some(16 << 20),
                needs_recovery: false,
            };
            assert_eq!(found, expected, "{options:?}");
        }
    }

    #[test]
    fn a_file_system_that_needs_recovery_is_reported() {
        let with = |at: usize, byte: u8| {
            let mut bytes = vec![0; 2048];
            bytes[1024 + 0x38..1024 + 0x3b].copy_from_slice(&[0x53, 0xef, 0x1]);
            bytes[1024 + at] = byte;
            identify(&mut Image::of(&bytes).range()).unwrap().unwrap().needs_recovery
        };
        assert!(!with(0, 0));
        assert!(with(0x60, 0x4), "a journal to be replayed");
        assert!(with(0x66, 0x1), "an orphan file in use");
        assert!(with(0xe8, 12), "an orphan list");
        assert!(with(0x3a, 0), "not unmounted, without a journal");
        assert!(with(0x3a, 0x3), "errors that the kernel found");
    }

    #[test]
    fn fat_shows_label_serial_and_length() {
        if !have_tool("mkfs.vfat") {
            return;
        }
        for (bits, len) in [("12", 1 << 20), ("16", 16 << 20), ("32", 64 << 20)] {
            let image = Image::empty(len);
            image.run("mkfs.vfat", &["-F", bits, "-s", "1", "-n", "REPLICATOR", "-i", "12345678"]);
            let found = identify(&mut image.range()).unwrap().unwrap();
            assert_eq!(found.kind, FileSystemKind::Vfat, "FAT{bits}");
            assert_eq!(found.label.as_deref(), Some("REPLICATOR"), "FAT{bits}");
            assert_eq!(found.uuid.as_deref(), Some("1234-5678"), "FAT{bits}");
            assert_eq!(found.len_bytes, Some(image.len_bytes()), "FAT{bits}");
        }
    }

    #[test]
    fn exfat_label_is_read_from_the_root_directory() {
        let mut bytes = vec![0; 1 << 20];
        bytes[3..11].copy_from_slice(b"EXFAT   ");
        bytes[72..80].copy_from_slice(&2048u64.to_le_bytes());
        bytes[88..92].copy_from_slice(&256u32.to_le_bytes());
        bytes[96..100].copy_from_slice(&4u32.to_le_bytes());
        bytes[100..104].copy_from_slice(&0xcafe_0123_u32.to_le_bytes());
        bytes[108..110].copy_from_slice(&[9, 3]);
        let root = 256 * 512 + 2 * 4096;
        bytes[root] = 0x83;
        bytes[root + 1] = 3;
        bytes[root + 2..root + 8].copy_from_slice(b"D\0r\0v\0");
        let found = identify(&mut Image::of(&bytes).range()).unwrap().unwrap();
        assert_eq!(found.kind, FileSystemKind::Exfat);
        assert_eq!(found.label.as_deref(), Some("Drv"));
        assert_eq!(found.uuid.as_deref(), Some("CAFE-0123"));
        assert_eq!(found.len_bytes, Some(1 << 20));
    }

    /// The output of blkid for an image: type, label and UUID.
    fn by_blkid(image: &Image) -> (String, Option<String>, Option<String>) {
        let output = image.run("blkid", &["-p", "-o", "export"]);
        let value = |name: &str| {
            output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        (value("TYPE").unwrap_or_default(), value("LABEL"), value("UUID"))
    }

    /// A program, its options, blkid's name of the result, and ours.
    type Made = (&'static str, &'static [&'static str], &'static str, FileSystemKind);

    #[test]
    fn the_result_is_the_same_as_that_of_blkid() {
        let made: [Made; 11] = [
            ("mkfs.btrfs", &["-q", "-L", "rootfs"], "btrfs", FileSystemKind::Btrfs),
            ("mkfs.f2fs", &["-q", "-l", "rootfs"], "f2fs", FileSystemKind::F2fs),
            ("mkfs.xfs", &["-q", "-L", "rootfs"], "xfs", FileSystemKind::Xfs),
            ("mkswap", &["-q", "-L", "swap"], "swap", FileSystemKind::Swap),
            ("mkswap", &["-q", "-p", "65536", "-L", "swap"], "swap", FileSystemKind::Swap),
            ("mkfs.ntfs", &["-q", "-F", "-L", "data"], "ntfs", FileSystemKind::Ntfs),
            ("mkfs.exfat", &["-L", "data"], "exfat", FileSystemKind::Exfat),
            ("mkfs.vfat", &["-n", "BOOT"], "vfat", FileSystemKind::Vfat),
            ("mkfs.ext4", &["-q", "-F", "-L", "rootfs"], "ext4", FileSystemKind::Ext4),
            ("mkfs.ext4", &["-q", "-F", "-b", "1024", "-L", "rootfs"], "ext4", FileSystemKind::Ext4),
            ("mkfs.ext2", &["-q", "-F"], "ext2", FileSystemKind::Ext2),
        ];
        for (tool, options, name, kind) in made {
            if !have_tool(tool) || !have_tool("blkid") {
                continue;
            }
            let image = Image::empty(320 << 20);
            image.run(tool, options);
            let found = identify(&mut image.range()).unwrap().unwrap();
            let (blkid_name, label, uuid) = by_blkid(&image);
            assert_eq!((blkid_name.as_str(), &found.kind), (name, &kind), "{tool}");
            // The label of NTFS is in a file, not in a header.
            if kind != FileSystemKind::Ntfs {
                assert_eq!(found.label, label, "{tool}");
            }
            assert_eq!(found.uuid, uuid, "{tool}");
            let len = found.len_bytes.unwrap();
            assert!(len <= image.len_bytes() && len > image.len_bytes() - (8 << 20), "{tool}: {len}");
        }
    }

    #[test]
    fn containers_have_priority_over_older_file_systems_in_them() {
        for version in ["luks1", "luks2"] {
            if !have_tool("cryptsetup") || !have_tool("blkid") {
                continue;
            }
            // The header is where an older file system was.
            let image = Image::ext(64 << 20, &["-t", "ext4", "-L", "old"]);
            let key = Image::of(b"a key");
            let key = ["--key-file", key.path().to_str().unwrap()];
            let fast = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "-q"];
            let options = [&["luksFormat", "--type", version][..], &key, &fast].concat();
            image.run("cryptsetup", &options);
            let found = identify(&mut image.range()).unwrap().unwrap();
            assert_eq!(found.kind, FileSystemKind::Luks);
            assert_eq!(found.uuid, by_blkid(&image).2, "{version}");
        }
        if have_tool("lvm") && have_tool("blkid") {
            let image = Image::empty(64 << 20);
            let id = "abcdef-0123-4567-89AB-CDEF-GHIJ-KLMNOP";
            let mut bytes = vec![0; 4096];
            bytes[512..520].copy_from_slice(b"LABELONE");
            bytes[532..536].copy_from_slice(&32u32.to_le_bytes());
            bytes[536..544].copy_from_slice(b"LVM2 001");
            bytes[544..576].copy_from_slice(id.replace('-', "").as_bytes());
            std::fs::write(image.path(), &bytes).unwrap();
            let found = identify(&mut image.range()).unwrap().unwrap();
            assert_eq!((found.kind, found.uuid.as_deref()), (FileSystemKind::Lvm, Some(id)));
        }
    }

    #[test]
    fn a_raid_member_is_identified_at_both_ends() {
        for (at, version) in [(0u64, 1u32), (4096, 1), ((64 << 20) - 65536, 0), ((64 << 20) - 8192, 1)] {
            if !have_tool("mke2fs") {
                return;
            }
            let image = Image::ext(64 << 20, &["-t", "ext4"]);
            let mut superblock = vec![0; 256];
            superblock[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
            superblock[4..8].copy_from_slice(&version.to_le_bytes());
            image.write_at(at, &superblock);
            let found = identify(&mut image.range()).unwrap().unwrap();
            assert_eq!(found.kind, FileSystemKind::MdRaid, "at {at}");
        }
    }

    #[test]
    fn others_have_a_name_and_zeros_have_none() {
        for (at, magic, name) in [
            (0, &b"hsqs"[..], "squashfs"),
            (0, b"LUKS\xba\xbe", "LUKS"),
            (1024, b"H+\x00\x04", "hfsplus"),
            (4086, b"SWAPSPACE2", "swap"),
            (0x8000, b"JFS1", "jfs"),
            (0x8001, b"CD001", "iso9660"),
            (0x1_0034, b"ReIsEr2Fs", "reiserfs"),
            (0x1_0040, b"_BHRfS_M", "btrfs"),
        ] {
            let mut bytes = vec![0; 128 * 1024];
            bytes[at..at + magic.len()].copy_from_slice(magic);
            let found = identify(&mut Image::of(&bytes).range()).unwrap().unwrap();
            assert_eq!(found.kind.to_string(), name);
        }
        let mut zfs = vec![0; 512 * 1024];
        for uberblock in 128..132 {
            zfs[uberblock * 1024..uberblock * 1024 + 4].copy_from_slice(&0x00ba_b10c_u32.to_le_bytes());
        }
        assert_eq!(identify(&mut Image::of(&zfs).range()).unwrap().unwrap().kind, FileSystemKind::Zfs);
        assert_eq!(identify(&mut Image::empty(1 << 20).range()).unwrap(), None);
        assert_eq!(identify(&mut Image::of(&[0x53, 0xef]).range()).unwrap(), None);
    }

    #[test]
    fn a_crafted_first_block_does_not_panic() {
        // All bytes are 0xff around the fields that are shifted, multiplied or used as lengths.
        for magic_at_3 in [&b"EXFAT   "[..], b"MSDOS5.0"] {
            let mut bytes = vec![0xff; 8192];
            bytes[0] = 0xeb;
            bytes[3..11].copy_from_slice(magic_at_3);
            bytes[11..17].copy_from_slice(&[0, 16, 128, 255, 255, 2]);
            bytes[82..90].copy_from_slice(b"FAT32   ");
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
            bytes[1024 + 0x38..1024 + 0x3a].fill(0);
            let found = identify(&mut Image::of(&bytes).range()).unwrap().unwrap();
            assert!(matches!(found.kind, FileSystemKind::Exfat | FileSystemKind::Vfat));
        }
    }
}
