//! Recognises the format of a file by its first bytes. Names are not used here.

use super::{bzip2, gzip, xz, zstd};

/// How many first bytes [`content`] needs; a shorter file has fewer.
pub(crate) const SNIFF_BYTES: usize = 512;

/// The format of a file, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The file is empty.
    Empty,
    /// An xz stream.
    Xz,
    /// A bzip2 stream.
    Bzip2,
    /// A gzip member.
    Gzip,
    /// A zstd frame.
    Zstd,
    /// A tar archive, of any kind; but one without entries is only zero bytes, so [`Content::Other`].
    Tar,
    /// None of these, a disk image for instance.
    Other,
}

/// The format of a file that starts with `first_bytes` ([`SNIFF_BYTES`] or the whole file).
pub(crate) fn content(first_bytes: &[u8]) -> Content {
    if first_bytes.is_empty() {
        Content::Empty
    } else if first_bytes.starts_with(&xz::HEADER_MAGIC) {
        Content::Xz
    } else if is_bzip2(first_bytes) {
        Content::Bzip2
    } else if first_bytes.starts_with(&gzip::MAGIC) {
        Content::Gzip
    } else if first_bytes.len() >= 4 && zstd::starts_frame(first_bytes) {
        Content::Zstd
    } else if is_tar(first_bytes) {
        Content::Tar
    } else {
        Content::Other
    }
}

/// Whether it is a stream header and, if there is more, the magic of a block or of the stream's end.
fn is_bzip2(bytes: &[u8]) -> bool {
    const BLOCK: [u8; 6] = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
    const END: [u8; 6] = [0x17, 0x72, 0x45, 0x38, 0x50, 0x90];
    let Some(rest) = bytes.strip_prefix(&bzip2::MAGIC) else { return false };
    let Some((level, rest)) = rest.split_first() else { return false };
    let rest = &rest[..rest.len().min(BLOCK.len())];
    (b'1'..=b'9').contains(level) && (BLOCK.starts_with(rest) || END.starts_with(rest))
}

/// "ustar" as POSIX and GNU have it, or a header whose checksum is right, as in archives older than that.
fn is_tar(bytes: &[u8]) -> bool {
    const USTAR_AT: usize = 257;
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    if bytes.get(USTAR_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return true;
    }
    let Some(header) = bytes.get(..SNIFF_BYTES) else { return false };
    let Some(stored) = octal(&header[CHECKSUM]) else { return false };
    // The checksum field counts as spaces. Some old programs added signed bytes.
    let counted = |at: usize, byte: u8| if CHECKSUM.contains(&at) { b' ' } else { byte };
    let unsigned: i64 = header.iter().enumerate().map(|(at, &byte)| i64::from(counted(at, byte))).sum();
    let signed: i64 = header.iter().enumerate().map(|(at, &byte)| i64::from(counted(at, byte) as i8)).sum();
    header[0] != 0 && (stored == unsigned || stored == signed)
}

/// An octal number between optional spaces and a space or zero byte.
fn octal(field: &[u8]) -> Option<i64> {
    let digits: Vec<u8> = field
        .iter()
        .copied()
        .skip_while(|&byte| byte == b' ')
        .take_while(|&byte| byte != b' ' && byte != 0)
        .collect();
    let text = std::str::from_utf8(&digits).ok()?;
    // `from_str_radix` would take a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    i64::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old_tar_header(sum_of: fn(&[u8]) -> i64) -> [u8; 512] {
        let mut header = [0; 512];
        header[..10].copy_from_slice("caf\u{e9}/rc.d".as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(b"00000000000\0");
        header[148..156].copy_from_slice(b"        ");
        let sum = sum_of(&header);
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    }

    #[test]
    fn magic_bytes() {
        let table: [(&[u8], Content); 14] = [
            (b"", Content::Empty),
            (b"\xfd7zXZ\0\0\x04", Content::Xz),
            (b"\xfd7zXZ", Content::Other),
            (b"BZh91AY&SYrest", Content::Bzip2),
            (b"BZh1\x17\x72\x45\x38\x50\x90", Content::Bzip2),
            (b"BZh9", Content::Bzip2),
            (b"BZh01AY&SY", Content::Other),
            (b"BZh9 is how it starts", Content::Other),
            (b"\x1f\x8b\x08\0", Content::Gzip),
            (b"\x1f\x8b", Content::Other),
            (b"\x28\xb5\x2f\xfd", Content::Zstd),
            (b"\x5f\x2a\x4d\x18", Content::Zstd),
            (b"\x28\xb5\x2f", Content::Other),
            (&[0; 1024], Content::Other),
        ];
        for (bytes, expected) in table {
            assert_eq!(content(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn tar_archives_of_all_versions_are_recognised() {
        let mut ustar = tar::Header::new_ustar();
        ustar.set_path("etc/fstab").unwrap();
        ustar.set_cksum();
        assert_eq!(content(ustar.as_bytes()), Content::Tar);
        let mut gnu = tar::Header::new_gnu();
        gnu.set_path("etc/fstab").unwrap();
        gnu.set_cksum();
        assert_eq!(content(gnu.as_bytes()), Content::Tar);

        let unsigned = old_tar_header(|bytes| bytes.iter().map(|&byte| i64::from(byte)).sum());
        assert_eq!(content(&unsigned), Content::Tar);
        let signed = old_tar_header(|bytes| bytes.iter().map(|&byte| i64::from(byte as i8)).sum());
        assert_ne!(signed, unsigned);
        assert_eq!(content(&signed), Content::Tar);

        let mut wrong = unsigned;
        wrong[3] ^= 1;
        assert_eq!(content(&wrong), Content::Other);
        assert_eq!(content(&unsigned[..511]), Content::Other);
    }

    #[test]
    fn a_boot_sector_is_not_a_tar() {
        let mut sector = [0xeb; 512];
        sector[510] = 0x55;
        sector[511] = 0xaa;
        assert_eq!(content(&sector), Content::Other);
    }
}
