//! Writes an archive, entry by entry, from front to back.

use super::encode::encode;
use super::index::{Index, IndexWriter};
use super::{BLOCK_LEN, Entry, padding};
use std::io::{self, Write};

/// Archives are padded to a multiple of this, as every tar does by default.
const RECORD_BYTES: u64 = 20 * BLOCK_LEN;

/// Writes a POSIX pax archive. Only [`Writer::finish`] completes it: a dropped writer leaves it without its end mark, so
/// that a reader finds that it is cut off.
pub struct Writer<W: Write> {
    inner: W,
    written_bytes: u64,
    /// Missing data of the current entry.
    due_bytes: u64,
    padding_bytes: u64,
    broken: bool,
    index: Option<IndexWriter>,
    /// Whether the data of the current entry is in the index.
    is_indexed: bool,
}

impl<W: Write> Writer<W> {
    /// Starts an archive. `inner` should be buffered or an encoder; it is never flushed.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            written_bytes: 0,
            due_bytes: 0,
            padding_bytes: 0,
            broken: false,
            index: None,
            is_indexed: true,
        }
    }

    /// The same, and makes an index of the archive.
    pub(crate) fn with_index(inner: W, index: IndexWriter) -> Self {
        Self { index: Some(index), ..Self::new(inner) }
    }

    /// Starts an entry. The data of a file has to follow.
    ///
    /// # Errors
    /// `InvalidInput`, with nothing written, if the entry violates the rules of [`Entry`], if it has more data ranges or
    /// larger attributes than the reader's default limits allow, or if data of the previous entry is missing. Errors of
    /// `inner`; after one the archive is broken and every further call fails.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        self.check_complete()?;
        let encoded = encode(entry)?;
        self.is_indexed = true;
        self.write(&encoded.head)?;
        self.is_indexed = self.index.as_ref().is_some_and(|index| index.keeps(entry));
        self.due_bytes = encoded.data_bytes;
        self.padding_bytes = padding(encoded.data_bytes);
        Ok(())
    }

    /// Writes data of the current entry: exactly the bytes of its data ranges, in order, in pieces of any size.
    ///
    /// # Errors
    /// `InvalidInput` if this is more data than the entry has. Errors of `inner`. After both the archive is broken.
    pub fn write_data(&mut self, data: &[u8]) -> io::Result<()> {
        self.check_usable()?;
        let Some(due_bytes) = self.due_bytes.checked_sub(data.len() as u64) else {
            // The data differs from the header: no later call may complete this archive.
            self.broken = true;
            return Err(invalid("more data than the entry has"));
        };
        self.write(data)?;
        self.due_bytes = due_bytes;
        if due_bytes == 0 {
            let padding_bytes = std::mem::take(&mut self.padding_bytes);
            self.write_zeros(padding_bytes)?;
        }
        Ok(())
    }

    /// Writes the end mark and returns the output, which the caller must flush or finish.
    ///
    /// # Errors
    /// `InvalidInput` if data of the last entry is missing. Errors of `inner`.
    pub fn finish(self) -> io::Result<W> {
        self.finish_with_index().map(|(inner, _)| inner)
    }

    /// The same. Returns the index too, if one was made and did not become too long.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub(crate) fn finish_with_index(mut self) -> io::Result<(W, Option<Index>)> {
        self.check_complete()?;
        self.is_indexed = true;
        self.write_zeros(2 * BLOCK_LEN)?;
        let rest = (RECORD_BYTES - self.written_bytes % RECORD_BYTES) % RECORD_BYTES;
        self.write_zeros(rest)?;
        Ok((self.inner, self.index.and_then(IndexWriter::finish)))
    }

    fn check_usable(&self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the archive is broken by an earlier error"));
        }
        Ok(())
    }

    fn check_complete(&self) -> io::Result<()> {
        self.check_usable()?;
        if self.due_bytes > 0 {
            return Err(invalid(&format!(
                "{} bytes of the previous entry's data are missing",
                self.due_bytes
            )));
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.broken = true;
        self.inner.write_all(bytes)?;
        self.broken = false;
        self.written_bytes += bytes.len() as u64;
        match &mut self.index {
            Some(index) if self.is_indexed => index.keep(bytes),
            Some(index) => index.leave_out(bytes.len() as u64),
            None => {}
        }
        Ok(())
    }

    fn write_zeros(&mut self, len_bytes: u64) -> io::Result<()> {
        // At most a record, so the conversion cannot fail.
        let zeros = vec![0; usize::try_from(len_bytes).map_err(io::Error::other)?];
        self.write(&zeros)
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("tar: {reason}"))
}
