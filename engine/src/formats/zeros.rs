//! Finds zeros in the content of disk images.

use std::ops::Range;

/// Bytes that are examined at once.
const BLOCK_LEN: usize = 64;

/// Whether all bytes are zero.
pub(crate) fn only_zeros(bytes: &[u8]) -> bool {
    let blocks = bytes.chunks_exact(BLOCK_LEN);
    let rest = blocks.remainder();
    let mut words = blocks.map(|block| {
        let words = block.chunks_exact(8).map(|word| word.try_into().map_or(u64::MAX, u64::from_ne_bytes));
        words.fold(0, |all, word| all | word)
    });
    words.all(|block| block == 0) && rest.iter().all(|byte| *byte == 0)
}

/// Splits `chunk`, which begins at `offset_bytes` of an image, at multiples of `piece_len_bytes` of the image, and returns
/// for each part of it whether it holds only zeros. Neighbours that are alike are one part.
pub(crate) fn parts(chunk: &[u8], offset_bytes: u64, piece_len_bytes: u64) -> Vec<(Range<usize>, bool)> {
    let mut parts: Vec<(Range<usize>, bool)> = Vec::new();
    let mut start = 0;
    while start < chunk.len() {
        let at = offset_bytes + start as u64;
        // At most the length of the chunk.
        let len = (piece_len_bytes - at % piece_len_bytes).min((chunk.len() - start) as u64) as usize;
        let is_zeros = only_zeros(&chunk[start..start + len]);
        match parts.last_mut() {
            Some((range, last)) if *last == is_zeros => range.end = start + len,
            _ => parts.push((start..start + len, is_zeros)),
        }
        start += len;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_anywhere_is_found() {
        for len in [0, 1, 7, 8, 63, 64, 65, 200, 4096] {
            let mut bytes = vec![0; len];
            assert!(only_zeros(&bytes), "{len}");
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!only_zeros(&bytes), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn parts_begin_and_end_at_pieces_of_the_image() {
        let mut chunk = vec![0; 100];
        chunk[15] = 1;
        assert_eq!(parts(&chunk, 0, 16), [(0..16, false), (16..100, true)]);
        assert_eq!(parts(&chunk, 8, 16), [(0..8, true), (8..24, false), (24..100, true)]);
        chunk[99] = 1;
        assert_eq!(parts(&chunk, 4, 64), [(0..100, false)]);
        assert_eq!(parts(&[], 4, 64), []);
    }
}
