//! The index of an archive: the archive without the data of most of its files, so that its entries can be read without
//! decoding the archive.
//!
//! Its file is one zstd frame. Decoded, it is [`MAGIC`], and then pieces up to the end. A piece has the number of bytes of
//! the archive that follow (4 bytes, little endian), these bytes, and how many bytes of the archive after them are left out
//! (8 bytes). Whether an index is that of an archive, and whole, is decided by those who use it.

use super::blocks::Skip;
use super::{Entry, FORMAT, FormatError, damaged, truncated};
use crate::formats::within;
use std::io::{self, Read, Write};
use xxhash_rust::xxh3::Xxh3;
use zstd::stream::write::Encoder;

/// How the decoded index begins.
const MAGIC: [u8; 8] = *b"RTARIDX1";
/// A longer piece is split.
const PIECE_LEN_BYTES: usize = 64 * 1024;
/// The names in headers repeat after a few entries, so that a short window is enough.
const WINDOW_LOG: u32 = 17;
const LEVEL: i32 = 3;

/// An index of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// The file.
    pub(crate) bytes: Vec<u8>,
    /// Its decoded length.
    pub(crate) decoded_len_bytes: u64,
    /// Its decoded content, XXH3 with 128 bits.
    pub(crate) hash: u128,
}

/// Makes an index while its archive is written, in memory.
pub(crate) struct IndexWriter {
    /// `None` after the index became too long.
    encoder: Option<Encoder<'static, Bounded>>,
    is_kept: fn(&Entry) -> bool,
    piece: Vec<u8>,
    left_out_bytes: u64,
    hash: Xxh3,
    decoded_len_bytes: u64,
}

impl IndexWriter {
    /// An index with the data of the files that `is_kept` accepts. It is given up if its file gets longer than `limit_bytes`.
    ///
    /// # Errors
    /// Too little memory.
    pub(crate) fn new(is_kept: fn(&Entry) -> bool, limit_bytes: usize) -> io::Result<Self> {
        let mut encoder = Encoder::new(Bounded { bytes: Vec::new(), limit_bytes }, LEVEL)?;
        encoder.window_log(WINDOW_LOG)?;
        encoder.include_checksum(true)?;
        let mut index = Self {
            encoder: Some(encoder),
            is_kept,
            piece: Vec::new(),
            left_out_bytes: 0,
            hash: Xxh3::new(),
            decoded_len_bytes: 0,
        };
        index.put(&MAGIC);
        Ok(index)
    }

    /// Whether the data of this entry is kept.
    pub(super) fn keeps(&self, entry: &Entry) -> bool {
        (self.is_kept)(entry)
    }

    /// The next bytes of the archive, which are kept.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if self.encoder.is_none() {
            return;
        }
        if self.left_out_bytes > 0 {
            self.end_piece();
        }
        for part in bytes.chunks(PIECE_LEN_BYTES) {
            if self.piece.len() + part.len() > PIECE_LEN_BYTES {
                self.end_piece();
            }
            self.piece.extend_from_slice(part);
        }
    }

    /// The next `len_bytes` of the archive, which are left out.
    pub(super) fn leave_out(&mut self, len_bytes: u64) {
        self.left_out_bytes += len_bytes;
    }

    /// The whole index; `None` if it is too long.
    pub(super) fn finish(mut self) -> Option<Index> {
        self.end_piece();
        let Bounded { bytes, .. } = self.encoder?.finish().ok()?;
        Some(Index { bytes, decoded_len_bytes: self.decoded_len_bytes, hash: self.hash.digest128() })
    }

    fn end_piece(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        // At most `PIECE_LEN_BYTES`.
        self.put(&(piece.len() as u32).to_le_bytes());
        self.put(&piece);
        let left_out_bytes = std::mem::take(&mut self.left_out_bytes);
        self.put(&left_out_bytes.to_le_bytes());
        self.piece = piece;
        self.piece.clear();
    }

    fn put(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.decoded_len_bytes += bytes.len() as u64;
        let is_written = self.encoder.as_mut().is_some_and(|encoder| encoder.write_all(bytes).is_ok());
        if !is_written {
            self.encoder = None;
            self.piece = Vec::new();
        }
    }
}

/// Bytes up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    limit_bytes: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit_bytes {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if self.bytes.capacity() - self.bytes.len() < bytes.len() {
            // In small steps, so that the memory is not much more than the index.
            let more = (self.bytes.len() / 8).max(bytes.len());
            self.bytes.try_reserve_exact(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The archive of a decoded index. Bytes that are left out can be skipped; reading them is an error.
pub(crate) struct IndexReader<R> {
    inner: R,
    part: Part,
}

/// What of the index is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Magic,
    /// The length of a piece.
    Piece,
    /// So many more bytes of a piece.
    Kept(u64),
    /// So many more bytes that are left out.
    LeftOut(u64),
    End,
}

impl<R: Read> IndexReader<R> {
    /// `inner` is the decoded index. It should be buffered.
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, part: Part::Magic }
    }

    /// Goes on to bytes that are kept or left out, or to the end.
    fn next_part(&mut self) -> io::Result<Part> {
        loop {
            self.part = match self.part {
                Part::Magic => {
                    let mut magic = [0; MAGIC.len()];
                    self.fill(&mut magic)?;
                    if magic != MAGIC {
                        return Err(damaged("the index begins with other bytes").into());
                    }
                    Part::Piece
                }
                Part::Piece => {
                    let mut len = [0; 4];
                    match self.inner.read(&mut len[..1])? {
                        0 => Part::End,
                        _ => {
                            self.fill(&mut len[1..])?;
                            Part::Kept(u32::from_le_bytes(len).into())
                        }
                    }
                }
                Part::Kept(0) => {
                    let mut len = [0; 8];
                    self.fill(&mut len)?;
                    Part::LeftOut(u64::from_le_bytes(len))
                }
                Part::LeftOut(0) => Part::Piece,
                part @ (Part::Kept(_) | Part::LeftOut(_) | Part::End) => return Ok(part),
            };
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => truncated("the index ends within a piece").into(),
            _ => error,
        })
    }
}

impl<R: Read> Read for IndexReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.next_part()? {
            Part::Kept(left) => {
                let wanted = within(buffer.len(), left);
                let len = self.inner.read(&mut buffer[..wanted])?;
                if len == 0 && wanted > 0 {
                    return Err(truncated("the index ends within a piece").into());
                }
                self.part = Part::Kept(left - len as u64);
                Ok(len)
            }
            Part::LeftOut(_) if !buffer.is_empty() => {
                let what = "the data of this file in an index".to_owned();
                Err(FormatError::Unsupported { format: FORMAT, what }.into())
            }
            _ => Ok(0),
        }
    }
}

impl<R: Read> Skip for IndexReader<R> {
    fn skip(&mut self, len_bytes: u64) -> io::Result<u64> {
        match self.next_part()? {
            Part::LeftOut(left) => {
                let skipped = left.min(len_bytes);
                self.part = Part::LeftOut(left - skipped);
                Ok(skipped)
            }
            _ => super::blocks::skip_by_reading(self, len_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EntryKind, Reader, ReaderLimits, Writer};
    use super::*;

    fn file(path: &str, len_bytes: u64) -> Entry {
        let data = std::iter::once(0..len_bytes).filter(|range| !range.is_empty()).collect();
        Entry::plain(path, EntryKind::File { len_bytes, data })
    }

    fn is_kept(entry: &Entry) -> bool {
        entry.path.as_bytes().starts_with(b"kept")
    }

    /// Entries of every kind with extended headers, holes, and data before and after kept data.
    fn entries() -> Vec<Entry> {
        let sparse = EntryKind::File { len_bytes: 9_000, data: vec![512..1024, 4096..4097] };
        let long = format!("{0}/{0}/kept", "d".repeat(120));
        let mut all = vec![file("a", 0), file("b", 1), file("kept-1", 700), file("kept-2", 512)];
        all.extend([Entry::plain("sparse", sparse.clone()), Entry::plain("kept-sparse", sparse)]);
        all.extend([Entry::sketched("d/"), Entry::sketched("l>x"), Entry::sketched("h=b")]);
        all.extend([file(&long, 100_000), file("kept-long", 200_000), file("z", 512)]);
        all
    }

    fn packed(entries: &[Entry], limit_bytes: usize) -> (Vec<u8>, Option<Index>) {
        let index = IndexWriter::new(is_kept, limit_bytes).unwrap();
        let mut writer = Writer::with_index(Vec::new(), index);
        for entry in entries {
            writer.append(entry).unwrap();
            if let EntryKind::File { data, .. } = &entry.kind {
                for range in data {
                    let bytes: Vec<u8> = range.clone().map(|at| (at % 251) as u8).collect();
                    bytes.chunks(333).for_each(|piece| writer.write_data(piece).unwrap());
                }
            }
        }
        writer.finish_with_index().unwrap()
    }

    fn decoded(index: &Index) -> Vec<u8> {
        zstd::stream::decode_all(&index.bytes[..]).unwrap()
    }

    /// Entries, each with its data if that is kept, and the hash of the headers.
    type Found = (Vec<(Entry, Vec<u8>)>, u128);

    /// Reads all of an archive.
    fn read<R: Read>(mut reader: Reader<R>) -> Result<Found, FormatError> {
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            let mut data = Vec::new();
            let mut buffer = [0; 1000];
            if is_kept(&entry) {
                while let Some((_, len)) = reader.read_data(&mut buffer)? {
                    data.extend_from_slice(&buffer[..len]);
                }
            }
            found.push((entry, data));
        }
        Ok((found, reader.headers_hash()))
    }

    #[test]
    fn an_index_reads_as_its_archive() {
        for entries in [entries(), Vec::new(), vec![file("kept-1", 70_000)]] {
            let (archive, index) = packed(&entries, 1 << 20);
            let index = index.unwrap();
            let decoded = decoded(&index);
            assert_eq!(index.decoded_len_bytes, decoded.len() as u64);
            assert_eq!(index.hash, xxhash_rust::xxh3::xxh3_128(&decoded));
            let whole = read(Reader::new(&archive[..], ReaderLimits::default())).unwrap();
            let limits = ReaderLimits::default();
            let of_index = read(Reader::new(IndexReader::new(&decoded[..]), limits).skipping()).unwrap();
            assert_eq!(whole.0.len(), entries.len());
            assert!(whole == of_index);
        }
    }

    #[test]
    fn headers_are_hashed_and_data_is_not() {
        let hash = |entries: &[Entry], change: &dyn Fn(&mut Vec<u8>)| {
            let mut archive = packed(entries, 1 << 20).0;
            change(&mut archive);
            read(Reader::new(&archive[..], ReaderLimits::default())).unwrap().1
        };
        let all = entries();
        let whole = hash(&all, &|_| ());
        let data_of_b = 2 * 512;
        assert_eq!(hash(&all, &|archive| archive[data_of_b] ^= 1), whole);
        for changed in 0..all.len() {
            let mut other = all.clone();
            other[changed].mode ^= 1;
            assert_ne!(hash(&other, &|_| ()), whole, "{changed}");
        }
        assert_ne!(hash(&all[1..], &|_| ()), whole);
    }

    #[test]
    fn data_that_is_left_out_is_not_read_as_other_bytes() {
        let (_, index) = packed(&entries(), 1 << 20);
        let decoded = decoded(&index.unwrap());
        let mut reader = Reader::new(IndexReader::new(&decoded[..]), ReaderLimits::default()).skipping();
        let entry = std::iter::from_fn(|| reader.next_entry().unwrap()).nth(1).unwrap();
        assert_eq!(entry.path.as_bytes(), b"b");
        assert_eq!(reader.read_data(&mut [0; 10]).unwrap_err().code(), "F-UNSUPPORTED");
    }

    #[test]
    fn a_damaged_index_is_an_error_or_another_index() {
        let (_, index) = packed(&entries(), 1 << 20);
        let decoded = decoded(&index.unwrap());
        let of =
            |bytes: &[u8]| read(Reader::new(IndexReader::new(bytes), ReaderLimits::default()).skipping());
        let whole = of(&decoded).unwrap();
        // The last piece has the end mark and no more: without its tail the archive is still whole.
        for len in (0..decoded.len() - 12).step_by(97) {
            assert!(of(&decoded[..len]).is_err(), "cut to {len} bytes");
        }
        for at in (0..decoded.len()).step_by(61) {
            let mut damaged = decoded.clone();
            damaged[at] ^= 0x21;
            // The user compares the hash of the decoded index. Here it must only not panic or loop.
            let _ = of(&damaged);
        }
        assert!(of(&decoded).unwrap() == whole);
    }

    #[test]
    fn an_index_that_is_too_long_is_given_up() {
        let (archive, index) = packed(&entries(), 100);
        assert_eq!(index, None);
        assert!(archive == packed(&entries(), 1 << 20).0);
    }
}
