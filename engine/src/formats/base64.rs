//! Base64 (RFC 4648, section 4), with or without its padding: attributes in archives, keys of ssh.

/// Decodes the whole `text`; `None` if it is not base64.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let text = &text[..end];
    // A single last character has less than a byte.
    let is_whole = text.len() % 4 != 1 && text.iter().all(|letter| value(*letter).is_some());
    is_whole.then(|| bytes(text.iter().copied()))
}

/// Decodes the start of `text`, as far as it is base64. Line ends are ignored.
pub(crate) fn decode_start(text: &[u8]) -> Vec<u8> {
    bytes(text.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')))
}

/// The complete bytes of these characters, up to the first invalid one.
fn bytes(letters: impl Iterator<Item = u8>) -> Vec<u8> {
    let (mut bytes, mut bits, mut bit_count) = (Vec::new(), 0_u32, 0);
    for six in letters.map_while(value) {
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push((bits >> bit_count) as u8);
        }
    }
    bytes
}

fn value(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for (text, value) in [
            ("", &b""[..]),
            ("dg", b"v"),
            ("dg==", b"v"),
            ("dmE", b"va"),
            ("dmFs", b"val"),
            ("/+8A", b"\xff\xef\0"),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(value), "{text}");
        }
        assert_eq!(decode(b"d"), None);
        assert_eq!(decode(b"d g"), None);
    }

    #[test]
    fn the_start_of_a_text_in_lines_is_decoded() {
        assert_eq!(decode_start(b"\ndm\r\nFs\nd"), b"val");
        assert_eq!(decode_start(b"dmFsdg==\n-----END"), b"valv");
        assert_eq!(decode_start(b"-----"), b"");
    }
}
