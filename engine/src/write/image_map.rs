//! The block map beside a disk image: how it is found, and how the image is compared with it.
//!
//! A map decides only which zeros of the image are not read back. Bytes that are not zeros are written and compared even if
//! the map leaves them out, so a map of another image never costs data.

use super::image::Image;
use crate::error::{Error, Refusal, Result};
use crate::formats::block_map::{BlockMap, LIMIT_BYTES};
use crate::formats::digest::Hasher;
use crate::names::block_maps;
use crate::operation::Operation;
use crate::sidecars::Sidecars;
use crate::size::Size;
use replicator_hal::{ReadTree, RelativePath};

/// A block map on the drive.
#[derive(Debug, Clone)]
pub(crate) struct ImageMap {
    /// The name of its file.
    pub(super) name: String,
    /// Its content.
    pub(super) map: BlockMap,
}

/// The map of `image`, by the names that bmaptool uses: that of the file, then without one extension after the other. If the
/// image is a symlink, the map may also lie beside the file that it points to.
///
/// # Errors
/// `BadMap`, `BadSidecar`; those of the drive.
pub(super) fn find(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    image: &Image,
) -> Result<Option<ImageMap>> {
    let own = image.name.to_string();
    let lookup = Sidecars::new(operation, drive, &own, &image.path);
    let beside = lookup.target_name.iter().map(|target| (lookup.directory.clone(), target.as_str()));
    for (directory, label) in std::iter::once((RelativePath::root(), own.as_str())).chain(beside) {
        for name in block_maps(label) {
            let Some((name, bytes)) = lookup.read_up_to(&directory, &name, LIMIT_BYTES)? else { continue };
            let map = BlockMap::parse(&bytes)
                .map_err(|error| Error::refused(Refusal::BadMap, format!("{name}: {error}")))?;
            match map {
                Some(map) => return Ok(Some(ImageMap { name, map })),
                None => {
                    operation.short_step(&format!("{name} has no checksums: all of the image is written"))
                }
            }
        }
    }
    Ok(None)
}

impl ImageMap {
    /// Refuses a map of an image of another length.
    ///
    /// # Errors
    /// `BadMap`.
    pub(super) fn check_len(&self, image: &str, len_bytes: u64) -> Result<()> {
        if self.map.image_len_bytes == len_bytes {
            return Ok(());
        }
        let (announced, found) = (Size(self.map.image_len_bytes), Size(len_bytes));
        let what = format!("{} is for an image of {announced:#}, but {image} holds {found:#}", self.name);
        Err(Error::refused(Refusal::BadMap, what))
    }
}

/// Compares the ranges of a map with the image, whose bytes pass from front to back.
pub(super) struct MapCheck<'a> {
    map: &'a ImageMap,
    image: &'a str,
    /// The range that ends next.
    next: usize,
    /// Of the bytes of this range, as soon as there are any.
    hasher: Option<Hasher>,
}

impl<'a> MapCheck<'a> {
    pub(super) fn new(map: &'a ImageMap, image: &'a str) -> Self {
        Self { map, image, next: 0, hasher: None }
    }

    /// The bytes of the image from `offset_bytes` on.
    ///
    /// # Errors
    /// [`Error::Digest`] at the end of a range that differs.
    pub(super) fn pass(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        let end_bytes = offset_bytes + bytes.len() as u64;
        while let Some(mapped) = self.map.map.mapped.get(self.next) {
            let (start, end) = (mapped.range.start.max(offset_bytes), mapped.range.end.min(end_bytes));
            if start >= end {
                break;
            }
            let mut hasher = self.hasher.take().unwrap_or_else(|| Hasher::new(mapped.digest.algorithm()));
            // Both lie in `bytes`.
            hasher.update(&bytes[(start - offset_bytes) as usize..(end - offset_bytes) as usize]);
            if mapped.range.end > end_bytes {
                self.hasher = Some(hasher);
                break;
            }
            let (found, expected) = (hasher.finish(), &mapped.digest);
            if found != *expected {
                let range = &mapped.range;
                return Err(Error::Digest {
                    file: format!("{}, bytes {} to {},", self.image, range.start, range.end),
                    sidecar: self.map.name.clone(),
                    expected: expected.to_string(),
                    actual: found.to_string(),
                });
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Ends the image.
    ///
    /// # Errors
    /// `Internal` if it did not have all ranges; its length was checked before.
    pub(super) fn finish(self) -> Result<()> {
        if self.next == self.map.map.mapped.len() {
            return Ok(());
        }
        Err(Error::Internal {
            detail: format!("{} ended before the ranges of {}", self.image, self.map.name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::block_map::MapMaker;
    use std::ops::Range;

    fn map(image: &[u8], unused: &[Range<u64>]) -> ImageMap {
        let mut maker = MapMaker::new(unused);
        maker.pass(image);
        ImageMap { name: "sdimage.dd.bmap".into(), map: maker.finish() }
    }

    fn check(map: &ImageMap, image: &[u8], chunk_len: usize) -> Result<()> {
        let mut check = MapCheck::new(map, "sdimage.dd");
        for (index, chunk) in image.chunks(chunk_len).enumerate() {
            check.pass((index * chunk_len) as u64, chunk)?;
        }
        check.finish()
    }

    #[test]
    fn every_mapped_byte_counts_and_no_other() {
        let image: Vec<u8> = (0..30_000_u32).map(|at| (at % 251) as u8).collect();
        let map = map(&image, &[4096..8192, 16_384..20_480]);
        for chunk_len in [1, 1000, 4096, 5000, 30_000] {
            check(&map, &image, chunk_len).unwrap();
            for (at, is_mapped) in
                [(0, true), (4095, true), (4096, false), (8192, true), (20_479, false), (29_999, true)]
            {
                let mut changed = image.clone();
                changed[at] ^= 1;
                let result = check(&map, &changed, chunk_len);
                assert_eq!(result.is_err(), is_mapped, "byte {at} in chunks of {chunk_len}");
            }
        }
        assert_eq!(check(&map, &image[..29_000], 1000).unwrap_err().code(), "X-INTERNAL");
        let refused = map.check_len("sdimage.dd", 30_001).unwrap_err();
        assert_eq!(refused.code(), "R-MAP");
    }
}
