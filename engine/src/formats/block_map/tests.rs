//! Tests of block maps: what is read, what is refused, and what is written.

use super::*;
use proptest::prelude::*;

const BLOCK: usize = BLOCK_LEN_BYTES as usize;

fn map_of(image: &[u8], unused: &[Range<u64>], chunk_len: usize) -> BlockMap {
    let mut maker = MapMaker::new(unused);
    image.chunks(chunk_len).for_each(|chunk| maker.pass(chunk));
    maker.finish()
}

fn sample() -> (Vec<u8>, BlockMap) {
    let image: Vec<u8> = (0..10 * BLOCK + 100).map(|at| (at % 251) as u8).collect();
    let map = map_of(&image, &[100..2 * BLOCK_LEN_BYTES, 3 * BLOCK_LEN_BYTES..7 * BLOCK_LEN_BYTES + 1], 1000);
    (image, map)
}

#[test]
fn a_map_leaves_out_whole_unused_blocks_and_has_a_checksum_of_each_range() {
    let (image, map) = sample();
    let block = BLOCK_LEN_BYTES;
    let ranges: Vec<_> = map.mapped.iter().map(|mapped| mapped.range.clone()).collect();
    assert_eq!(ranges, [0..block, 2 * block..3 * block, 7 * block..10 * block + 100]);
    for mapped in &map.mapped {
        let bytes = &image[mapped.range.start as usize..mapped.range.end as usize];
        assert_eq!(mapped.digest, Digest::of(Algorithm::Sha256, bytes));
    }
    assert!(map.leaves_out(&(block..2 * block)) && map.leaves_out(&(3 * block..7 * block)));
    for range in [0..1, block..2 * block + 1, 6 * block..8 * block, 10 * block + 99..10 * block + 100] {
        assert!(!map.leaves_out(&range), "{range:?}");
    }
    assert!(map.leaves_out(&(10 * block + 100..11 * block)));
}

#[test]
fn a_written_map_reads_back() {
    let (_, map) = sample();
    let text = map.to_xml();
    assert_eq!(BlockMap::parse(&text).unwrap().as_ref(), Some(&map));
    // As bmaptool reads it: a single block has no dash.
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("> 0 </Range>") && text.contains("> 7-10 </Range>"), "{text}");
    assert!(text.contains("<MappedBlocksCount> 6 </MappedBlocksCount>"), "{text}");
}

/// The text of a map with `change`, and with a right checksum of its own.
fn changed(change: impl Fn(String) -> String) -> Vec<u8> {
    let text = String::from_utf8(sample().1.to_xml()).unwrap();
    let start = text.find("<BmapFileChecksum> ").unwrap() + "<BmapFileChecksum> ".len();
    let zeros = "0".repeat(64);
    let text = change(text.replace(&text[start..start + 64], &zeros));
    let own = Digest::of(Algorithm::Sha256, text.as_bytes()).to_string();
    text.replacen(&zeros, &own, 1).into_bytes()
}

#[test]
fn a_map_that_is_not_valid_is_refused_with_its_reason() {
    let (_, map) = sample();
    assert_eq!(BlockMap::parse(&changed(|text| text)).unwrap().as_ref(), Some(&map));
    type Change = fn(String) -> String;
    let table: [(&str, Change, &str); 16] = [
        ("F-UNSUPPORTED", |text| text.replace("version=\"2.0\"", "version=\"3.0\""), "version \"3.0\""),
        ("F-DAMAGED", |text| text.replace("version=\"2.0\"", "version=\"1.3\""), "own checksum is missing"),
        ("F-UNSUPPORTED", |text| text.replace("version=\"2.0\"", ""), "version \"\""),
        ("F-UNSUPPORTED", |text| text.replace(" sha256 ", " sha512 "), "\"sha512\""),
        ("F-DAMAGED", |text| text.replace("<ImageSize> 41060 ", "<ImageSize> 4106000 "), "are not 11 blocks"),
        ("F-DAMAGED", |text| text.replace(" 41060 ", " -1 "), "is not a number"),
        ("F-DAMAGED", |text| text.replace("ImageSize", "Image"), "no ImageSize"),
        ("F-DAMAGED", |text| text.replace("<BlockSize> 4096 ", "<BlockSize> 0 "), "blocks have 0 bytes"),
        ("F-DAMAGED", |text| text.replace("> 2 </Range>", "> 0 </Range>"), "out of order"),
        ("F-DAMAGED", |text| text.replace("> 7-10 </Range>", "> 7-11 </Range>"), "out of order or behind"),
        ("F-DAMAGED", |text| text.replace("> 7-10 </Range>", "> 10-7 </Range>"), "out of order"),
        ("F-DAMAGED", |text| text.replace("> 7-10 </Range>", "> x </Range>"), "is not a range"),
        ("F-DAMAGED", |text| text.replace("chksum", "sum"), "has no sha256"),
        ("F-DAMAGED", |text| text.replace("> 7-10 </Range>", "> 7-9 </Range>"), "announces another number"),
        ("F-DAMAGED", |text| text.replace("</bmap>", ""), "ends too early"),
        ("F-DAMAGED", |text| text.replace("</BlockMap>", "</Block>"), "before byte"),
    ];
    for (code, change, expected) in table {
        let error = BlockMap::parse(&changed(change)).unwrap_err();
        assert!(error.code() == code && error.to_string().contains(expected), "{error} for {expected}");
    }
    let mut text = map.to_xml();
    let at = text.windows(4).position(|window| window == b"7-10").unwrap();
    text[at + 3] = b'9';
    assert!(BlockMap::parse(&text).unwrap_err().to_string().contains("its own checksum"));
    let long = vec![b' '; LIMIT_BYTES + 1];
    assert_eq!(BlockMap::parse(&long).unwrap_err().code(), "F-MEMORY");
}

/// A map as bmaptool 2 made it, before the checksums had general names.
fn of_version_1_3() -> (BlockMap, Vec<u8>) {
    let (image, mut map) = sample();
    for mapped in &mut map.mapped {
        let bytes = &image[mapped.range.start as usize..mapped.range.end as usize];
        mapped.digest = Digest::of(Algorithm::Sha1, bytes);
    }
    let text = String::from_utf8(map.to_xml()).unwrap();
    let start = text.find("<BmapFileChecksum> ").unwrap() + "<BmapFileChecksum> ".len();
    let zeros = "0".repeat(2 * Algorithm::Sha1.len_bytes());
    let text = text
        .replace(&text[start..start + 64], &zeros)
        .replace("\"2.0\"", "\"1.3\"")
        .replace("    <ChecksumType> sha256 </ChecksumType>\n", "")
        .replace("BmapFileChecksum", "BmapFileSHA1")
        .replace("chksum", "sha1");
    let own = Digest::of(Algorithm::Sha1, text.as_bytes()).to_string();
    (map, text.replacen(&zeros, &own, 1).into_bytes())
}

#[test]
fn checksums_of_version_1_3_are_held_and_older_maps_are_not_used() {
    let (map, text) = of_version_1_3();
    assert_eq!(BlockMap::parse(&text).unwrap(), Some(map.clone()));
    let mut changed = text.clone();
    let at = changed.windows(4).position(|window| window == b"7-10").unwrap();
    changed[at + 3] = b'9';
    assert!(BlockMap::parse(&changed).unwrap_err().to_string().contains("its own checksum"));
    let text = String::from_utf8(text).unwrap();
    // A checksum of another kind.
    let digest = map.mapped[0].digest.to_string();
    let other = text.replace(&digest, &Digest::of(Algorithm::Sha256, b"").to_string());
    assert!(BlockMap::parse(other.as_bytes()).is_err());
    for version in ["1.0", "1.1", "1.2"] {
        let old = text.replace("\"1.3\"", &format!("\"{version}\""));
        assert_eq!(BlockMap::parse(old.as_bytes()).unwrap(), None, "{version}");
    }
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_map_or_an_error(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text = sample().1.to_xml();
        let at = at.index(text.len());
        text[at] = byte;
        let _ = BlockMap::parse(&text);
        let _ = BlockMap::parse(&text[..cut.index(text.len())]);
    }

    #[test]
    fn every_byte_is_mapped_or_unused(
        lens in prop::collection::vec(0_u64..20_000, 0..8),
        image_len in 0_usize..100_000,
        chunk_len in 1_usize..70_000,
    ) {
        let mut at = 0;
        let unused: Vec<Range<u64>> = lens.chunks_exact(2).map(|pair| {
            let range = at + pair[0]..at + pair[0] + pair[1];
            at = range.end;
            range
        }).collect();
        let image: Vec<u8> = (0..image_len).map(|at| (at % 249) as u8).collect();
        let map = map_of(&image, &unused, chunk_len);
        prop_assert_eq!(map.image_len_bytes, image_len as u64);
        let mut end = 0;
        for mapped in &map.mapped {
            prop_assert!(mapped.range.start >= end && !mapped.range.is_empty());
            let gap = end..mapped.range.start;
            prop_assert!(gap.is_empty() || unused.iter().any(|range| range.start <= gap.start && gap.end <= range.end)
                || gap.clone().step_by(BLOCK).all(|at| unused.iter().any(|range| range.contains(&at))));
            end = mapped.range.end;
            let bytes = &image[mapped.range.start as usize..mapped.range.end as usize];
            prop_assert_eq!(mapped.digest, Digest::of(Algorithm::Sha256, bytes));
        }
        prop_assert_eq!(BlockMap::parse(&map.to_xml()).unwrap(), Some(map));
    }
}
