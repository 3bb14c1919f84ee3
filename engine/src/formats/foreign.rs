//! Recognises files that are not disk images although they have the name of one: archives, containers of virtual machines
//! and flash tools, firmware, programs, web pages.
//!
//! Each is recognised by its first bytes, and has a text that explains how to get a disk image from it. The supported
//! compressions are in [`super::sniff`]; partition tables and file systems are elsewhere.

/// A file that is not a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// With its article, such as "a zip archive".
    pub what: &'static str,
    /// How to get a disk image out of it.
    pub remedy: &'static str,
}

/// Magic bytes at an offset.
struct Row(usize, &'static [u8], &'static str, &'static str);

const UNPACK: &str = "unpack it on a PC and copy the image in it to the drive";
const NO_IMAGE: &str = "copy the image of a whole medium to the drive instead";
const QEMU: &str = "convert it with `qemu-img convert -O raw`";
const FIRMWARE: &str = "it is not for a whole medium: copy an image of the whole medium instead";
const FLASH: &str =
    "it is for raw flash, written with its vendor's tool: copy an image of the whole medium instead";
const COMPRESSED: &str = "unpack it on a PC, and compress the image with xz, bzip2, gzip or zstd if at all";
const TWICE: &str = "it was compressed twice: unpack it once and copy the result to the drive";

const ROWS: &[Row] = &[
    Row(0, b"PK\x03\x04", "a zip archive", "unpack it with `unzip` and copy the image in it to the drive"),
    Row(0, b"PK\x05\x06", "an empty zip archive", NO_IMAGE),
    Row(0, b"PK\x07\x08", "a part of a zip archive", UNPACK),
    Row(
        0,
        b"7z\xbc\xaf\x27\x1c",
        "a 7z archive",
        "unpack it with `7z x` and copy the image in it to the drive",
    ),
    Row(
        0,
        b"Rar!\x1a\x07",
        "a RAR archive",
        "unpack it with `unrar x` and copy the image in it to the drive",
    ),
    Row(0, b"MSCF\0\0\0\0", "a cabinet archive", UNPACK),
    Row(0, b"xar!", "a xar archive", UNPACK),
    Row(0, b"!<arch>\ndebian", "a Debian package", NO_IMAGE),
    Row(0, b"!<arch>\n", "an ar archive", UNPACK),
    Row(0, b"\xed\xab\xee\xdb", "an RPM package", NO_IMAGE),
    Row(0, b"070701", "a cpio archive", "unpack it with `cpio -i` and copy the image in it to the drive"),
    Row(
        0,
        b"070702",
        "a cpio archive or an SWUpdate file",
        "unpack it with `cpio -i` and copy the image in it to the drive",
    ),
    Row(0, b"070707", "a cpio archive", "unpack it with `cpio -i` and copy the image in it to the drive"),
    Row(0, b"\xc7\x71", "a cpio archive", "unpack it with `cpio -i` and copy the image in it to the drive"),
    Row(0, b"QFI\xfb", "a qcow2 image", QEMU),
    Row(0, b"QED\0", "a QED image", QEMU),
    Row(0, b"KDMV", "a VMDK image", QEMU),
    Row(0, b"COWD", "a VMDK image", QEMU),
    Row(0, b"# Disk DescriptorFile", "the description of a VMDK image, without its data", QEMU),
    Row(64, b"\x7f\x10\xda\xbe", "a VDI image", QEMU),
    Row(0, b"conectix", "a VHD image", QEMU),
    Row(0, b"vhdxfile", "a VHDX image", QEMU),
    Row(0, b"WithoutFreeSpace", "a Parallels image", QEMU),
    Row(0, b"WithouFreSpacExt", "a Parallels image", QEMU),
    Row(0, b"Bochs Virtual HD Image", "a Bochs image", QEMU),
    Row(0, b"EVF\x09\x0d\x0a\xff\0", "an EWF (Expert Witness) image", "convert it with `ewfexport`"),
    Row(0, b"AFF", "an AFF image", "convert it to a raw image"),
    Row(
        0,
        b"partclone-image",
        "a partclone image of one partition",
        "restore it with `partclone.restore` first",
    ),
    Row(0, b"MSWIM\0\0\0", "a Windows image (WIM)", NO_IMAGE),
    Row(0, b"\x3a\xff\x26\xed", "an Android sparse image", "convert it with `simg2img`"),
    Row(0, b"ANDROID!", "an Android boot image", FIRMWARE),
    Row(0, b"VNDRBOOT", "an Android boot image", FIRMWARE),
    Row(0, b"CrAU", "an Android update payload", UNPACK),
    Row(0, b"RKFW", "a Rockchip firmware package", FLASH),
    Row(0, b"RKAF", "a Rockchip firmware package", FLASH),
    Row(8, b"\x56\x19\xb5\x27", "an Amlogic burning image", FLASH),
    Row(0, b"IMAGEWTY", "an Allwinner firmware package", FLASH),
    Row(4, b"eGON.BT", "an Allwinner bootloader", FIRMWARE),
    Row(4, b"TOC0.GLH", "an Allwinner bootloader", FIRMWARE),
    Row(0, b"UBI#", "an image for raw flash (UBI)", FLASH),
    Row(0, b"\x31\x18\x10\x06", "an image for raw flash (UBIFS)", FLASH),
    Row(0, b"\x85\x19\x01\xe0", "an image for raw flash (JFFS2)", FLASH),
    Row(0, b"\x85\x19\x02\xe0", "an image for raw flash (JFFS2)", FLASH),
    Row(0, b"\x85\x19\x03\x20", "an image for raw flash (JFFS2)", FLASH),
    Row(0, b"\x19\x85\xe0\x01", "an image for raw flash (JFFS2)", FLASH),
    Row(0, b"\x27\x05\x19\x56", "a U-Boot image (uImage)", FIRMWARE),
    Row(0, b"\xd0\x0d\xfe\xed", "a device tree or a U-Boot FIT image", FIRMWARE),
    Row(0, b"\xd1\x00\x20\x40", "an i.MX bootloader", FIRMWARE),
    Row(0, b"\xd1\x00\x20\x41", "an i.MX bootloader", FIRMWARE),
    Row(0, b"\xd1\x00\x20\x43", "an i.MX bootloader", FIRMWARE),
    Row(0, b"DfuSe", "a DFU file", FIRMWARE),
    Row(0, b"UF2\n", "a UF2 file", FIRMWARE),
    Row(0, b"\x7fELF", "an ELF program", FIRMWARE),
    Row(0, b"\xfd7zXZ\0", "xz data", TWICE),
    Row(0, b"BZh91AY&SY", "bzip2 data", TWICE),
    Row(0, b"\x1f\x8b\x08", "gzip data", TWICE),
    Row(0, b"\x28\xb5\x2f\xfd", "zstd data", TWICE),
    Row(0, b"\x04\x22\x4d\x18", "lz4 data", COMPRESSED),
    Row(0, b"\x02\x21\x4c\x18", "lz4 data", COMPRESSED),
    Row(0, b"\x89LZO\0\r\n\x1a\n", "lzop data", COMPRESSED),
    Row(0, b"LZIP\x01", "lzip data", COMPRESSED),
    Row(0, b"LRZI", "lrzip data", COMPRESSED),
    Row(0, b"\x1f\x9d", "compress (.Z) data", COMPRESSED),
    Row(0, b"\xce\xb2\xcf\x81", "brotli data", COMPRESSED),
    Row(0, b"\xff\x06\0\0sNaPpY", "snappy data", COMPRESSED),
    Row(0, b"%PDF-", "a PDF document", NO_IMAGE),
    Row(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document or installer", NO_IMAGE),
    Row(0, b"\x89PNG\r\n\x1a\n", "a picture", NO_IMAGE),
    Row(0, b"\xff\xd8\xff", "a picture", NO_IMAGE),
    Row(0, b"GIF8", "a picture", NO_IMAGE),
    Row(0, b"SQLite format 3\0", "a database", NO_IMAGE),
    Row(0, b"MDMP\x93\xa7", "a crash dump", NO_IMAGE),
];

/// Shortest content that is recognised as text.
const TEXT_MIN_BYTES: usize = 16;
/// How many bytes are examined to recognise text.
const TEXT_LEN_BYTES: usize = 512;

/// The kind of a file that begins with `head`, if it is known not to be a disk image. 512 bytes are enough.
pub(crate) fn by_head(head: &[u8]) -> Option<Foreign> {
    let row = ROWS.iter().find(|row| head.get(row.0..).is_some_and(|rest| rest.starts_with(row.1)));
    row.map(|row| Foreign { what: row.2, remedy: row.3 })
        .or_else(|| is_lzma(head).then_some(Foreign { what: "lzma data", remedy: COMPRESSED }))
        .or_else(|| text(head))
}

/// Recognises a program. Only for files without a partition table, because the boot code of a disk image may begin in the
/// same way.
pub(crate) fn program(head: &[u8]) -> Option<Foreign> {
    head.starts_with(b"MZ")
        .then_some(Foreign { what: "a Windows or EFI program, or a kernel", remedy: FIRMWARE })
}

/// The kind of a container that is recognised by its last 512 bytes.
pub(crate) fn by_tail(last: &[u8]) -> Option<Foreign> {
    let block = last.get(last.len().checked_sub(512)?..)?;
    if block.starts_with(b"koly") {
        let remedy = "convert it with `dmg2img` or `hdiutil convert -format UDTO`";
        return Some(Foreign { what: "an Apple disk image (dmg)", remedy });
    }
    (block[504..507] == *b"UFD" && block[507] >= 16)
        .then_some(Foreign { what: "a file for DFU programming", remedy: FIRMWARE })
}

/// Whether it is a header of the format before xz: properties, dictionary, decoded length.
fn is_lzma(head: &[u8]) -> bool {
    let Some(head) = head.first_chunk::<14>() else { return false };
    let dictionary = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    // Encoders make dictionaries of 2^n or 2^n + 2^(n-1) bytes; the first byte of the coded data is always 0.
    let usual =
        dictionary >= 4096 && (dictionary.is_power_of_two() || (dictionary / 3 * 2).is_power_of_two());
    let len = u64::from_le_bytes([head[5], head[6], head[7], head[8], head[9], head[10], head[11], head[12]]);
    head[0] == 0x5d && usual && (len == u64::MAX || len < 1 << 40) && head[13] == 0
}

/// Recognises a file that begins with text only: a web page, a list of checksums, an error message.
fn text(head: &[u8]) -> Option<Foreign> {
    let head = &head[..head.len().min(TEXT_LEN_BYTES)];
    if is_utf16(head) {
        return Some(Foreign { what: "text", remedy: NO_IMAGE });
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let visible = head.iter().position(|byte| *byte == 0).unwrap_or(head.len());
    // A short text may be padded to whole sectors.
    if visible < TEXT_MIN_BYTES || !head[visible..].iter().all(|byte| *byte == 0) {
        return None;
    }
    let text = &head[..visible];
    let valid = match std::str::from_utf8(text) {
        Ok(text) => text.bytes().all(is_text),
        // The end of the examined bytes may cut a character.
        Err(error) => error.error_len().is_none() && text[..error.valid_up_to()].iter().copied().all(is_text),
    };
    if !valid {
        return None;
    }
    let lower = text.trim_ascii_start().to_ascii_lowercase();
    let starts = |start: &str| lower.starts_with(start.as_bytes());
    let (what, remedy) = if starts("<!doctype html") || starts("<html") || starts("<head") {
        (
            "a web page",
            "download the image itself: the server may need a login, or the link is to a page about it",
        )
    } else if starts("<?xml") {
        ("an XML document", "download the image itself; a .bmap file is only a description of one")
    } else if starts("version https://git-lfs") {
        ("a pointer of Git LFS", "get the image itself with `git lfs pull`")
    } else if starts(":") && lower[1..].iter().take(10).all(u8::is_ascii_hexdigit) {
        ("an Intel HEX file", FIRMWARE)
    } else if starts("s0") && lower[2..].iter().take(10).all(u8::is_ascii_hexdigit) {
        ("a Motorola S-record file", FIRMWARE)
    } else {
        ("text", NO_IMAGE)
    };
    Some(Foreign { what, remedy })
}

/// Whether it is text in UTF-16 with ASCII characters, as Windows editors write it; it may be padded to whole sectors.
fn is_utf16(head: &[u8]) -> bool {
    let Some(rest) = head.strip_prefix(&[0xff, 0xfe]) else { return false };
    let units: Vec<&[u8]> = rest.chunks_exact(2).collect();
    let text: Vec<_> =
        units.iter().take_while(|unit| unit[1] == 0 && unit[0] != 0 && is_text(unit[0])).collect();
    text.len() >= TEXT_MIN_BYTES / 2
        && units[text.len()..].iter().all(|unit| unit.iter().all(|byte| *byte == 0))
}

fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b | 0x20..=0x7e | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(head: &[u8]) -> Option<&'static str> {
        by_head(head).map(|found| found.what)
    }

    #[test]
    fn files_that_users_mistake_for_images_are_recognised() {
        let page = |start: &str| format!("{start}<head><title>x</title></head>").repeat(40).into_bytes();
        let table: [(&[u8], &str); 12] = [
            (b"PK\x03\x04\x14\0\0\0\x08\0", "a zip archive"),
            (b"QFI\xfb\0\0\0\x03", "a qcow2 image"),
            (b"\x3a\xff\x26\xed\x01\0\0\0", "an Android sparse image"),
            (b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0rest", "lzma data"),
            (b"\x5d\0\0\x80\0\0\0\x10\0\0\0\0\0\0rest", "lzma data"),
            (&page("\n <!DOCTYPE HTML>"), "a web page"),
            (&page("\u{feff}<html lang=\"\u{e9}\">"), "a web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a pointer of Git LFS"),
            (b":10010000214601360121470136007EFE09D2190140\n", "an Intel HEX file"),
            (b"S00F000068656C6C6F202020202000003C\n", "a Motorola S-record file"),
            (b"{\"error\": \"rate limit exceeded\"}", "text"),
            (b"\xff\xfen\0o\0t\0 \0f\0o\0u\0n\0d\0 \0 \0 \0 \0", "text"),
        ];
        for (head, expected) in table {
            assert_eq!(what(head), Some(expected), "{head:?}");
            // Padded to sectors, as some downloads are.
            let mut padded = head.to_vec();
            padded.resize(padded.len().next_multiple_of(512), 0);
            assert_eq!(what(&padded), Some(expected), "{head:?}");
        }
    }

    #[test]
    fn the_start_of_a_medium_is_not_recognised_as_one_of_these() {
        let mut mbr = [0; 512];
        mbr[510..].copy_from_slice(&[0x55, 0xaa]);
        let mut fat = mbr;
        fat[..11].copy_from_slice(b"\xeb\x58\x90mkfs.fat");
        let mut grub = mbr;
        grub[..4].copy_from_slice(b"\xeb\x63\x90\x10");
        let hybrid = [&b"\x45\x52\x08\0\0\0\x90\x90"[..], &[0; 502], &[0x55, 0xaa]].concat();
        for head in [&mbr[..], &fat, &grub, &hybrid, &[0; 512], b"", b"short", b"\x5d\0\0\x80\0"] {
            assert_eq!(what(head), None, "{head:?}");
        }
        assert!(program(b"MZ").is_some() && program(&mbr).is_none());
    }

    #[test]
    fn trailers() {
        let mut last = vec![0; 1024];
        assert_eq!(by_tail(&last), None);
        last[512..516].copy_from_slice(b"koly");
        assert!(by_tail(&last).is_some_and(|found| found.remedy.contains("dmg2img")));
        let mut dfu = vec![0; 512];
        dfu[504..508].copy_from_slice(b"UFD\x10");
        assert!(by_tail(&dfu).is_some());
        assert_eq!(by_tail(&dfu[1..]), None);
    }

    #[test]
    fn no_row_hides_another() {
        for (index, row) in ROWS.iter().enumerate() {
            let head = [vec![0; row.0], row.1.to_vec()].concat();
            let found = ROWS.iter().position(|row| head[row.0.min(head.len())..].starts_with(row.1));
            assert_eq!(found, Some(index), "{}", row.2);
        }
    }
}
