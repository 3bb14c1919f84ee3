//! Reads the headers of frames and blocks of a zstd file, without decoding.

use super::{FORMAT, MAGIC_BYTES, damaged, not_a_frame, starts_frame};
use crate::formats::{FormatError, ReadAt};

/// Bytes read at once: block headers of well compressed files lie close to each other.
const WINDOW_BYTES: usize = 4096;
/// `Block_Maximum_Size` of RFC 8878.
const MAX_BLOCK_BYTES: u64 = 128 * 1024;

/// The longest header of a frame, with its magic number.
pub(super) const HEADER_MAX_BYTES: usize = 18;

/// What a frame is by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// It has no content.
    Skippable,
    /// It has content, of this length if it is stated.
    Frame { content_len: Option<u64> },
}

/// The sum of the frames' content sizes, or `None` if one of them has none. Reads all headers to the end of the file.
///
/// # Errors
/// If the lengths in the headers do not add up to that of the file; those of the input.
pub(in crate::formats) fn decoded_len(input: &mut dyn ReadAt) -> Result<Option<u64>, FormatError> {
    let mut sum = Some(Some(0_u64));
    walk(input, &mut |_, _, header| {
        let len = match header {
            Header::Skippable => Some(0),
            Header::Frame { content_len } => content_len,
        };
        if let (Some(Some(before)), Some(len)) = (sum, len) {
            sum = before.checked_add(len).map(Some);
        } else if len.is_none() && sum.is_some() {
            sum = Some(None);
        }
        true
    })?;
    sum.ok_or_else(|| damaged("impossible content sizes"))
}

/// Calls `found` with the start, the stored length and the header of each frame, as long as it returns true.
///
/// # Errors
/// As [`decoded_len`].
pub(super) fn walk(
    input: &mut dyn ReadAt,
    found: &mut dyn FnMut(u64, u64, Header) -> bool,
) -> Result<(), FormatError> {
    let mut walk = Walk::new(input);
    if walk.len_bytes == 0 {
        return Err(FormatError::Truncated { format: FORMAT, detail: "the file is empty".to_owned() });
    }
    while walk.at < walk.len_bytes {
        let start = walk.at;
        let header = walk.frame()?;
        if !found(start, walk.at - start, header) {
            break;
        }
    }
    Ok(())
}

/// The header at the start of `input`.
///
/// # Errors
/// As [`decoded_len`].
pub(super) fn header(input: &mut dyn ReadAt) -> Result<Header, FormatError> {
    Ok(match Walk::new(input).head()? {
        Head::Skippable { .. } => Header::Skippable,
        Head::Frame { content_len, .. } => Header::Frame { content_len },
    })
}

/// A header with what is needed to skip the frame.
enum Head {
    Skippable { len: u64 },
    Frame { content_len: Option<u64>, has_checksum: bool },
}

struct Walk<'a> {
    input: &'a mut dyn ReadAt,
    len_bytes: u64,
    at: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Walk<'a> {
    fn new(input: &'a mut dyn ReadAt) -> Self {
        Self { len_bytes: input.len_bytes(), input, at: 0, window: Vec::new(), window_at: 0 }
    }

    /// Skips a frame.
    fn frame(&mut self) -> Result<Header, FormatError> {
        match self.head()? {
            Head::Skippable { len } => {
                self.skip(len, "a skippable frame")?;
                Ok(Header::Skippable)
            }
            Head::Frame { content_len, has_checksum } => {
                while !self.block()? {}
                if has_checksum {
                    self.skip(4, "a frame's checksum")?;
                }
                Ok(Header::Frame { content_len })
            }
        }
    }

    /// Reads the header of a frame.
    fn head(&mut self) -> Result<Head, FormatError> {
        let start = self.at;
        let rest = self.len_bytes - start;
        let head_len = rest.min(MAGIC_BYTES as u64) as usize;
        let mut magic = [0; MAGIC_BYTES];
        self.copy(&mut magic[..head_len])?;
        if !starts_frame(&magic[..head_len]) {
            return Err(not_a_frame(start == 0, start));
        }
        if head_len < MAGIC_BYTES {
            return Err(self.truncated("a frame header"));
        }
        if magic[3] == 0x18 {
            return Ok(Head::Skippable { len: self.little_endian(4)? });
        }
        let descriptor = self.little_endian(1)?;
        self.frame_header(descriptor)
    }

    fn frame_header(&mut self, descriptor: u64) -> Result<Head, FormatError> {
        if descriptor & 0x08 != 0 {
            let what = "a reserved header flag".to_owned();
            return Err(FormatError::Unsupported { format: FORMAT, what });
        }
        let single_segment = descriptor & 0x20 != 0;
        if !single_segment {
            self.skip(1, "a frame header")?;
        }
        let dictionary_id = self.little_endian([0, 1, 2, 4][(descriptor & 3) as usize])?;
        if dictionary_id != 0 {
            return Err(FormatError::Unsupported { format: FORMAT, what: "a dictionary".to_owned() });
        }
        let content_len = match descriptor >> 6 {
            0 if single_segment => Some(self.little_endian(1)?),
            0 => None,
            // A size of two bytes begins at 256.
            1 => Some(self.little_endian(2)? + 256),
            2 => Some(self.little_endian(4)?),
            _ => Some(self.little_endian(8)?),
        };
        Ok(Head::Frame { content_len, has_checksum: descriptor & 0x04 != 0 })
    }

    /// Skips a block. Returns whether it is the frame's last one.
    fn block(&mut self) -> Result<bool, FormatError> {
        let header = self.little_endian(3)?;
        let len = header >> 3;
        if len > MAX_BLOCK_BYTES {
            return Err(damaged(&format!("a block that is too large near byte {}", self.at)));
        }
        let stored_len = match (header >> 1) & 3 {
            0 | 2 => len,
            1 => 1,
            _ => return Err(damaged(&format!("a block of unknown type near byte {}", self.at))),
        };
        self.skip(stored_len, "a block")?;
        Ok(header & 1 != 0)
    }

    fn skip(&mut self, len_bytes: u64, what: &str) -> Result<(), FormatError> {
        if len_bytes > self.len_bytes - self.at {
            return Err(self.truncated(what));
        }
        self.at += len_bytes;
        Ok(())
    }

    fn little_endian(&mut self, len: usize) -> Result<u64, FormatError> {
        let mut bytes = [0; 8];
        self.copy(&mut bytes[..len])?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The next bytes, from the window if they are in it.
    fn copy(&mut self, bytes: &mut [u8]) -> Result<(), FormatError> {
        let len = bytes.len() as u64;
        if len > self.len_bytes - self.at {
            return Err(self.truncated("a header"));
        }
        let known = self.at >= self.window_at && self.at + len <= self.window_at + self.window.len() as u64;
        if !known {
            let want = (self.len_bytes - self.at).min(WINDOW_BYTES as u64) as usize;
            self.window.clear();
            self.window.resize(want, 0);
            self.input.read_exact_at(self.at, &mut self.window)?;
            self.window_at = self.at;
        }
        let start = (self.at - self.window_at) as usize;
        bytes.copy_from_slice(&self.window[start..start + bytes.len()]);
        self.at += len;
        Ok(())
    }

    fn truncated(&self, what: &str) -> FormatError {
        let detail = format!("it ends within {what} that starts before byte {}", self.at);
        FormatError::Truncated { format: FORMAT, detail }
    }
}
