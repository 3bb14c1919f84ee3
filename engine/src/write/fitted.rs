//! Changes an image during the write so that it fits its medium: other bytes in some places, and a shorter end.

use super::decode_whole::{first_data, no_room};
use super::disk_check::DiskFacts;
use crate::error::Result;
use crate::formats::partition::Patch;

/// How much of `chunk`, which lies at `offset_bytes` of the image, is written to a medium of `medium_len_bytes`. The rest
/// must hold no data, as when the image was checked.
///
/// # Errors
/// `ImageTooLarge`.
pub(super) fn keep(
    disk: &DiskFacts,
    name: &str,
    offset_bytes: u64,
    chunk: &[u8],
    medium_len_bytes: u64,
) -> Result<usize> {
    let end_bytes = offset_bytes + chunk.len() as u64;
    if end_bytes <= medium_len_bytes {
        return Ok(chunk.len());
    }
    let data = first_data(chunk, offset_bytes, medium_len_bytes, &disk.spared);
    match data.or((disk.len_bytes <= medium_len_bytes).then_some(medium_len_bytes)) {
        Some(at_bytes) => Err(no_room(name, medium_len_bytes, at_bytes)),
        // Less than the chunk.
        None => Ok(medium_len_bytes.saturating_sub(offset_bytes) as usize),
    }
}

/// Copies the bytes of the patches that lie in `chunk`, which begins at `offset_bytes`, into it. Where patches overlap,
/// the last one is used.
pub(super) fn overlay(patches: &[Patch], offset_bytes: u64, chunk: &mut [u8]) {
    let end_bytes = offset_bytes + chunk.len() as u64;
    for patch in patches {
        let patch_end = patch.offset_bytes + patch.bytes.len() as u64;
        let (start, end) = (patch.offset_bytes.max(offset_bytes), patch_end.min(end_bytes));
        if start < end {
            // Both lie in the chunk and in the patch.
            let from =
                &patch.bytes[(start - patch.offset_bytes) as usize..(end - patch.offset_bytes) as usize];
            chunk[(start - offset_bytes) as usize..(end - offset_bytes) as usize].copy_from_slice(from);
        }
    }
}

/// The parts of the patches behind the end of the image, which is at `end_bytes`.
pub(super) fn behind(patches: &[Patch], end_bytes: u64) -> impl Iterator<Item = (u64, &[u8])> {
    patches.iter().filter_map(move |patch| {
        let skipped = usize::try_from(end_bytes.saturating_sub(patch.offset_bytes)).ok()?;
        let bytes = patch.bytes.get(skipped..).filter(|bytes| !bytes.is_empty())?;
        Some((patch.offset_bytes + skipped as u64, bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(offset_bytes: u64, bytes: &[u8]) -> Patch {
        Patch { offset_bytes, bytes: bytes.to_vec() }
    }

    #[test]
    fn patches_are_applied_for_every_length_of_chunks_and_also_behind_the_image() {
        let patches = [patch(4, b"aaaa"), patch(6, b"bbbb"), patch(14, b"cccc")];
        let expected = b"....aabbbb....cc";
        for chunk_len in 1..=16 {
            let mut image = *b"................";
            for (index, chunk) in image.chunks_mut(chunk_len).enumerate() {
                overlay(&patches, (index * chunk_len) as u64, chunk);
            }
            assert_eq!(&image, expected, "{chunk_len}");
        }
        assert_eq!(behind(&patches, 16).collect::<Vec<_>>(), [(16, &b"cc"[..])]);
        assert_eq!(behind(&patches, 10).collect::<Vec<_>>(), [(14, &b"cccc"[..])]);
        assert_eq!(behind(&patches, 18).count(), 0);
    }

    #[test]
    fn only_zeros_and_the_spared_are_left_out() {
        let disk = DiskFacts { len_bytes: 100, spared: vec![90..95], ..DiskFacts::default() };
        let mut chunk = [0; 40];
        assert_eq!(keep(&disk, "x", 0, &chunk, 40).unwrap(), 40);
        assert_eq!(keep(&disk, "x", 60, &chunk, 80).unwrap(), 20);
        assert_eq!(keep(&disk, "x", 60, &chunk, 60).unwrap(), 0);
        assert_eq!(keep(&disk, "x", 60, &chunk, 10).unwrap(), 0);
        chunk[19] = 1; // Byte 79, which has room.
        chunk[30] = 1; // Byte 90, which is spared.
        assert_eq!(keep(&disk, "x", 60, &chunk, 80).unwrap(), 20);
        assert_eq!(keep(&disk, "x", 60, &chunk, 79).unwrap_err().code(), "R-TOOLARGE");
        chunk[35] = 1; // The first byte after it.
        assert_eq!(keep(&disk, "x", 60, &chunk, 80).unwrap_err().code(), "R-TOOLARGE");
        // The check found that the image fits, and now it does not.
        let disk = DiskFacts { len_bytes: 80, ..DiskFacts::default() };
        assert_eq!(keep(&disk, "x", 60, &[0; 21], 80).unwrap_err().code(), "R-TOOLARGE");
    }
}
