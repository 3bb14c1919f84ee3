//! Tests of fitting GPTs to media of other lengths, with the reader of tables.

use super::fit::{Fit, GptCopy, fit_gpt};
use super::layout::Layout;
use super::{FormatError, Scheme, Shown, read, shown, single_partition};

const MIB: u64 = 1 << 20;
const IMAGE_LEN_BYTES: u64 = 8 * MIB;

/// An image with a GPT whose only partition ends `free_bytes` before the image does.
fn image(sector_len_bytes: u32, free_bytes: u64) -> Vec<u8> {
    let small = IMAGE_LEN_BYTES - free_bytes;
    let layout =
        single_partition(&super::Identity::fresh(Scheme::Gpt, [7; 32]), small, sector_len_bytes).unwrap();
    let mut bytes = vec![0; small as usize];
    apply(&mut bytes, &layout);
    if free_bytes > 0 {
        // Made for a smaller medium, and moved to the image's end by code that is tested elsewhere with real tools.
        let fit = fit_gpt(&mut bytes.as_slice(), sector_len_bytes, IMAGE_LEN_BYTES).unwrap().unwrap();
        bytes.resize(IMAGE_LEN_BYTES as usize, 0);
        put(&mut bytes, &fit);
    }
    bytes
}

fn apply(bytes: &mut [u8], layout: &Layout) {
    for patch in &layout.patches {
        bytes[patch.offset_bytes as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
}

fn put(bytes: &mut [u8], fit: &Fit) {
    for patch in &fit.patches {
        bytes[patch.offset_bytes as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
}

fn fitted(image: &[u8], sector_len_bytes: u32, medium_len_bytes: u64) -> (Vec<u8>, Fit) {
    let fit = fit_gpt(&mut &*image, sector_len_bytes, medium_len_bytes).unwrap().unwrap();
    let mut medium = image.to_vec();
    medium.resize(medium_len_bytes as usize, 0);
    put(&mut medium, &fit);
    (medium, fit)
}

/// Both copies are intact and at their places, the partitions are those of the image, and there is no third header.
fn assert_at_its_places(medium: &[u8], image: &[u8], sector_len_bytes: u32) {
    let sector = sector_len_bytes as usize;
    let partitions = |mut bytes: &[u8]| read(&mut bytes, sector_len_bytes).unwrap().unwrap().partitions;
    assert_eq!(partitions(medium), partitions(image));
    // Without the front, the copy at the end is read.
    let mut without_front = medium.to_vec();
    without_front[sector..2 * sector].fill(0);
    assert_eq!(partitions(&without_front), partitions(image));
    let headers: Vec<usize> = medium
        .chunks(sector)
        .enumerate()
        .filter(|(_, chunk)| chunk.starts_with(b"EFI PART"))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(headers, [1, medium.len() / sector - 1]);
    assert!(fit_gpt(&mut &*medium, sector_len_bytes, medium.len() as u64).unwrap().is_none());
    let Shown::Table(extent) = shown(&medium[..medium.len() / 2], sector_len_bytes).unwrap() else {
        panic!("no table")
    };
    assert_eq!(extent.backup.map(|backup| backup.end), Some(medium.len() as u64));
}

#[test]
fn the_second_copy_moves_to_the_end_of_any_medium() {
    for sector_len_bytes in [512, 4096] {
        let image = image(sector_len_bytes, MIB);
        let sector = u64::from(sector_len_bytes);
        for more in [sector, 16 * sector, 33 * sector, 40 * sector, 4 * MIB] {
            let (medium, fit) = fitted(&image, sector_len_bytes, IMAGE_LEN_BYTES + more);
            assert_eq!((fit.moved, fit.damaged), (true, None));
            assert_at_its_places(&medium, &image, sector_len_bytes);
        }
        for less in [sector, 16 * sector, 64 * sector, MIB] {
            let fit =
                fit_gpt(&mut image.as_slice(), sector_len_bytes, IMAGE_LEN_BYTES - less).unwrap().unwrap();
            let mut medium = image.clone();
            let zeros = &fit.patches[0];
            medium[zeros.offset_bytes as usize..][..zeros.bytes.len()].fill(0);
            medium.truncate((IMAGE_LEN_BYTES - less) as usize);
            for patch in &fit.patches[1..] {
                medium[patch.offset_bytes as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
            }
            assert_at_its_places(&medium, &image, sector_len_bytes);
        }
        // One sector less has no room for the partition and the copy.
        let error =
            fit_gpt(&mut image.as_slice(), sector_len_bytes, IMAGE_LEN_BYTES - MIB - 4096).unwrap_err();
        assert!(matches!(error, FormatError::Unsupported { .. }), "{error}");
    }
}

#[test]
fn a_gpt_at_its_places_or_no_gpt_stays_unchanged() {
    let image = image(512, 0);
    assert_eq!(fit_gpt(&mut image.as_slice(), 512, IMAGE_LEN_BYTES).unwrap(), None);
    assert_eq!(fit_gpt(&mut vec![0; 1 << 20].as_slice(), 512, 2 * MIB).unwrap(), None);
    let mut mbr = vec![0; IMAGE_LEN_BYTES as usize];
    apply(
        &mut mbr,
        &single_partition(&super::Identity::fresh(Scheme::Mbr, [7; 32]), IMAGE_LEN_BYTES, 512).unwrap(),
    );
    assert_eq!(fit_gpt(&mut mbr.as_slice(), 512, 2 * IMAGE_LEN_BYTES).unwrap(), None);
}

#[test]
fn a_damaged_copy_is_made_again_from_the_other() {
    let good = image(512, 0);
    let last = good.len() - 512;
    for (at, expected) in [(512 + 56, GptCopy::Front), (1024, GptCopy::Front), (last + 56, GptCopy::End)] {
        let mut image = good.clone();
        image[at] ^= 1;
        for len_bytes in [IMAGE_LEN_BYTES, IMAGE_LEN_BYTES + MIB] {
            let (medium, fit) = fitted(&image, 512, len_bytes);
            assert_eq!((fit.moved, fit.damaged), (len_bytes > IMAGE_LEN_BYTES, Some(expected)), "{at}");
            assert_at_its_places(&medium, &good, 512);
        }
        image[last + 56] ^= 2;
        image[512 + 56] ^= 2;
        assert!(matches!(
            fit_gpt(&mut image.as_slice(), 512, IMAGE_LEN_BYTES),
            Err(FormatError::Damaged { .. })
        ));
    }
}
