//! Decodes text files on the drive as editors save them: settings, profiles, rules, sidecars and records.
//!
//! Windows programs put a byte order mark before UTF-8, or save UTF-16 ("Unicode") or a national encoding. All text files
//! of the drive are decoded here, so that all get the same errors.

use std::borrow::Cow;

/// Why bytes cannot be read as text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TextError {
    /// The encoding has two bytes per character.
    #[error("the file is UTF-16 (Windows calls it \"Unicode\"): save it as UTF-8")]
    Utf16,
    /// A byte is invalid in UTF-8 at this place.
    #[error("line {line} holds a byte that is not UTF-8 (0x{byte:02x}): save the file as UTF-8")]
    NotUtf8 {
        /// The line, from 1.
        line: usize,
        /// The byte.
        byte: u8,
    },
}

/// The text without a byte order mark.
///
/// # Errors
/// [`TextError`].
pub(crate) fn decode(bytes: &[u8]) -> Result<&str, TextError> {
    if utf16_order(bytes).is_some() {
        return Err(TextError::Utf16);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        TextError::NotUtf8 { line, byte: bytes.get(at).copied().unwrap_or_default() }
    })
}

/// The bytes of the text in UTF-8 without a byte order mark; UTF-16 is converted. For files in which only ASCII matters:
/// other bytes stay as they are.
pub(crate) fn lenient(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some(order) = utf16_order(bytes) else {
        return Cow::Borrowed(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    };
    let unit = |pair: &[u8]| match order {
        Order::Little => u16::from_le_bytes([pair[0], pair[1]]),
        Order::Big => u16::from_be_bytes([pair[0], pair[1]]),
    };
    let units = bytes.chunks_exact(2).map(unit).filter(|unit| *unit != 0xfeff);
    let text: String =
        char::decode_utf16(units).map(|found| found.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    Cow::Owned(text.into_bytes())
}

enum Order {
    Little,
    Big,
}

/// The byte order of UTF-16, by its mark, or by ASCII characters with a zero byte each.
fn utf16_order(bytes: &[u8]) -> Option<Order> {
    match bytes {
        [0xff, 0xfe, ..] => Some(Order::Little),
        [0xfe, 0xff, ..] => Some(Order::Big),
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => Some(Order::Little),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => Some(Order::Big),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, order: fn(u16) -> [u8; 2], mark: bool) -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        mark.into_iter().chain(text.encode_utf16()).flat_map(order).collect()
    }

    #[test]
    fn every_encoding_of_windows_is_recognised() {
        assert_eq!(decode(b"board = \"x\"\r\n"), Ok("board = \"x\"\r\n"));
        assert_eq!(decode(b"\xef\xbb\xbfboard"), Ok("board"));
        assert_eq!(decode(b""), Ok(""));
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            for mark in [true, false] {
                let bytes = utf16("board = \u{fc}\n", order, mark);
                assert_eq!(decode(&bytes), Err(TextError::Utf16), "{bytes:?}");
                assert_eq!(lenient(&bytes), "board = \u{fc}\n".as_bytes(), "{bytes:?}");
            }
        }
        let latin = decode(b"# one\n# M\xfcller\n");
        assert_eq!(latin, Err(TextError::NotUtf8 { line: 2, byte: 0xfc }));
        assert!(latin.unwrap_err().to_string().contains("line 2 holds a byte that is not UTF-8 (0xfc)"));
        assert_eq!(lenient(b"\xef\xbb\xbfM\xfcller"), &b"M\xfcller"[..]);
    }
}
