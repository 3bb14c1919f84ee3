//! Decodes a whole disk image before anything is erased: to find a length that is not announced, to check the sidecars,
//! and to check that the part that does not fit on the medium holds no data.

use super::image::Image;
use super::places::Places;
use crate::error::{Error, Refusal, Result};
use crate::operation::Operation;
use crate::size::Size;
use crate::verify::{Announced, Expected, ImageReader};
use replicator_hal::ReadTree;
use std::ops::Range;

/// How much of an image's end is kept in memory: the second copy of a GPT, trailers of containers.
pub(super) const TAIL_LEN_BYTES: usize = 128 * 1024;

/// What is examined while an image is decoded, and what was found.
pub(super) struct Watch {
    /// Decoding ends with a refusal as soon as the image is longer than this.
    limit_bytes: u64,
    /// All bytes behind this must be zeros, ...
    room_bytes: u64,
    /// ... except these.
    spared: Vec<Range<u64>>,
    places: Places,
    tail: Vec<u8>,
    len_bytes: u64,
}

/// What was found.
pub(super) struct Seen {
    /// Length of the image.
    pub(super) len_bytes: u64,
    /// The file systems in its partitions.
    pub(super) places: Places,
    /// The last [`TAIL_LEN_BYTES`], or all of a shorter image.
    pub(super) tail: Vec<u8>,
}

impl Watch {
    /// For an image of up to `limit_bytes`.
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            room_bytes: u64::MAX,
            spared: Vec::new(),
            places: Places::default(),
            tail: Vec::new(),
            len_bytes: 0,
        }
    }

    /// All bytes behind `room_bytes` must be zeros, except `spared`.
    pub(super) fn room(self, room_bytes: u64, spared: Vec<Range<u64>>) -> Self {
        Self { room_bytes, spared, ..self }
    }

    /// Examines these places.
    pub(super) fn places(self, places: Places) -> Self {
        Self { places, ..self }
    }

    fn pass(&mut self, name: &str, chunk: &[u8]) -> Result<()> {
        let start = self.len_bytes;
        let end = start + chunk.len() as u64;
        self.len_bytes = end;
        if end > self.limit_bytes {
            let what = format!(
                "{name} holds more than the {:#} of the medium",
                Size(self.room_bytes.min(self.limit_bytes))
            );
            return Err(Error::refused(Refusal::ImageTooLarge, what));
        }
        if let Some(at) = first_data(chunk, start, self.room_bytes, &self.spared) {
            return Err(no_room(name, self.room_bytes, at));
        }
        self.places.pass(start, chunk);
        let keep = chunk.len().min(TAIL_LEN_BYTES);
        let surplus = (self.tail.len() + keep).saturating_sub(TAIL_LEN_BYTES);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend_from_slice(&chunk[chunk.len() - keep..]);
        Ok(())
    }
}

/// The refusal of an image whose data does not fit on the medium.
pub(super) fn no_room(name: &str, room_bytes: u64, at_bytes: u64) -> Error {
    let what = format!(
        "{name} holds more than the {:#} of the medium, and data at byte {at_bytes}, behind its partitions",
        Size(room_bytes)
    );
    Error::refused(Refusal::ImageTooLarge, what)
}

/// The first byte of `chunk`, which lies at `start_bytes` of an image, that is not zero, lies at or behind `room_bytes`, and
/// is not `spared`.
pub(super) fn first_data(
    chunk: &[u8],
    start_bytes: u64,
    room_bytes: u64,
    spared: &[Range<u64>],
) -> Option<u64> {
    let end_bytes = start_bytes + chunk.len() as u64;
    if end_bytes <= room_bytes {
        return None;
    }
    // Less than the chunk's length.
    let skipped = room_bytes.saturating_sub(start_bytes) as usize;
    let behind = (start_bytes + skipped as u64..).zip(&chunk[skipped..]);
    behind
        .filter(|(_, byte)| **byte != 0)
        .map(|(at, _)| at)
        .find(|at| !spared.iter().any(|range| range.contains(at)))
}

/// Decodes the whole image, for its length, its sidecars and `watch`.
///
/// # Errors
/// `ImageTooLarge` as soon as the image is too long, because a few bytes can decode to very many; `Digest`; errors of the
/// drive and the codec.
pub(super) fn decode_whole(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    image: &Image,
    mut watch: Watch,
    announced_bytes: Option<u64>,
) -> Result<Seen> {
    let name = image.name.to_string();
    let mut reader = ImageReader::open(operation, drive, image.source())?;
    let expected =
        Announced { len_bytes: announced_bytes, digests: &image.content, md5: false, again: false };
    let mut content = reader.content("checking the image", Expected::Announced(expected))?;
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes];
    loop {
        let len = content.read_chunk(&mut buffer)?;
        if len == 0 {
            break;
        }
        watch.pass(&name, &buffer[..len])?;
    }
    drop(content);
    reader.finish()?;
    watch.places.end(watch.len_bytes);
    Ok(Seen { len_bytes: watch.len_bytes, places: watch.places, tail: watch.tail })
}
