//! UUIDs in the text forms of `blkid` and in their binary forms on media.

/// The bytes of a UUID, a FAT serial number (`1234-ABCD`) or any other string of hex digits, in the order of the
/// text, filled up with zeros to 16 bytes.
pub fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    if digits.is_empty() || digits.len() > 32 || digits.len() % 2 != 0 {
        return None;
    }
    let mut bytes = [0; 16];
    for (place, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *place = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// The binary form of a GUID in a GPT: the first three fields are little-endian.
pub fn parse_gpt(text: &str) -> Option<[u8; 16]> {
    let mut bytes = parse(text).filter(|_| text.len() == 36)?;
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    Some(bytes)
}

/// The text of 16 bytes in their order.
pub fn text(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_read_and_written_as_in_blkid() {
        let uuid = "0f0e0d0c-0b0a-0908-0706-050403020100";
        let bytes = parse(uuid).unwrap();
        assert_eq!((bytes[0], bytes[15], text(&bytes).as_str()), (0x0f, 0, uuid));
        assert_eq!(parse_gpt(uuid).unwrap()[..8], [0x0c, 0x0d, 0x0e, 0x0f, 0x0a, 0x0b, 0x08, 0x09]);
        assert_eq!(parse("1234-ABCD").unwrap()[..5], [0x12, 0x34, 0xab, 0xcd, 0]);
        assert_eq!((parse("12345"), parse("xy"), parse_gpt("1234")), (None, None, None));
    }
}
