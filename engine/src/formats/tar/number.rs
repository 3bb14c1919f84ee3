//! Reads numbers in header fields: octal text, or base-256 as GNU tar, star and libarchive write it.
//!
//! The `tar` crate's own functions are not used: they drop the upper bytes of a long base-256 number and read a negative
//! one as a huge one.

use super::{FormatError, damaged};

/// Reads a field of 8 or 12 bytes. A blank field is 0, because several old writers leave unused fields blank.
///
/// # Errors
/// `Damaged` if it is neither octal digits between spaces, ended by a NUL or the field's end, nor base-256.
pub(super) fn number(field: &[u8], what: &str) -> Result<i128, FormatError> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => Ok(base_256(*first, &field[1..])),
        _ => octal(field).ok_or_else(|| damaged(format!("the field '{what}' is not a number"))),
    }
}

/// Two's complement. The top bit is the mark and not part of the number. 12 bytes cannot overflow 128 bits.
fn base_256(first: u8, rest: &[u8]) -> i128 {
    let head = i128::from(first & 0x3f) - if first & 0x40 != 0 { 0x40 } else { 0 };
    rest.iter().fold(head, |number, byte| (number << 8) | i128::from(*byte))
}

fn octal(field: &[u8]) -> Option<i128> {
    let text = field.split(|byte| *byte == 0).next().unwrap_or(&[]).trim_ascii();
    text.iter().try_fold(0_i128, |number, byte| match byte {
        b'0'..=b'7' => Some((number << 3) | i128::from(byte - b'0')),
        _ => None,
    })
}

/// Reads a field that must fit `T`.
///
/// # Errors
/// As [`number`]; `Damaged` if the number does not fit.
pub(super) fn fitting<T: TryFrom<i128>>(field: &[u8], what: &str) -> Result<T, FormatError> {
    let value = number(field, what)?;
    T::try_from(value).map_err(|_| damaged(format!("{value} in the field '{what}' is out of range")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields_of_all_writers_are_read() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"000644 \0", 0o644),
            (b"   644 \0", 0o644),
            (b"77777777", 0o77_777_777),
            (b"644\0junk", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
            (b"777777777777", 0o777_777_777_777),
        ] {
            assert_eq!(number(field, "x").unwrap(), value, "{field:?}");
        }
        for bad in [
            &b"0000648\0"[..],
            b"-000001\0",
            b"+000001\0",
            b"00 0001\0",
            b"0x12\0\0\0\0",
            b"\x7f\0\0\0\0\0\0\0",
        ] {
            assert!(number(bad, "x").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn base_256_keeps_sign_and_all_bytes() {
        assert_eq!(number(b"\x80\0\0\0\xb2\xd0\x5e\0", "uid").unwrap(), 3_000_000_000);
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfb", "mtime").unwrap(), -5);
        assert_eq!(number(b"\x80\0\0\x01\0\0\0\0\0\0\0\0", "size").unwrap(), 1 << 64);
        assert_eq!(number(b"\xc0\0\0\0\0\0\0\0\0\0\0\0", "size").unwrap(), -(1 << 94));
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused() {
        assert!(fitting::<u64>(b"\x80\0\0\x01\0\0\0\0\0\0\0\0", "size").is_err());
        assert!(fitting::<u64>(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "size").is_err());
        assert!(fitting::<u32>(b"777777777777", "uid").is_err());
        assert_eq!(fitting::<u64>(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", "size").unwrap(), u64::MAX);
    }
}
