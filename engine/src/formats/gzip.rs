//! Gzip (RFC 1952): a sequence of members. Header check, CRC-32 and length of each are verified.
//!
//! Zero bytes may follow the last member up to the end of the file, as tapes and `dd` leave them, or OpenWrt's metadata
//! (see `fwtool`), if a member ends exactly where it begins. Any other data is an error. A file that was cut exactly
//! between two members cannot be distinguished from a complete one.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::FormatError;
use super::pump::{PushDecoder, Step};

const FORMAT: &str = "gzip";
/// The start of each member: identification and the only defined compression method.
pub(super) const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

/// The decoder. It takes about 100 KiB of memory for any file.
pub(super) struct GzipDecoder {
    state: State,
    offset_bytes: u64,
    member_bytes: u64,
    first: bool,
    /// Where known metadata may begin.
    metadata_bytes: Vec<u64>,
}

enum State {
    Header(Header),
    Body(Box<Body>),
    Trailer {
        expected: [u8; 8],
        matched: usize,
    },
    /// After a member.
    Between,
    /// Zero bytes after the last member.
    Padding,
    /// Metadata after the last member.
    Metadata,
}

struct Body {
    inflate: Decompress,
    crc: Crc,
}

impl GzipDecoder {
    /// After the end of a member, data that begins at one of `metadata_bytes` is ignored, up to the end of the file.
    pub(super) fn new(metadata_bytes: Vec<u64>) -> Self {
        let state = State::Header(Header::new());
        Self { state, offset_bytes: 0, member_bytes: 0, first: true, metadata_bytes }
    }

    fn damaged(&self, detail: &str) -> FormatError {
        FormatError::Damaged { format: FORMAT, detail: format!("{detail} near byte {}", self.offset_bytes) }
    }

    fn header(&mut self, input: &[u8]) -> Result<usize, FormatError> {
        let State::Header(header) = &mut self.state else { return Ok(0) };
        for (index, &byte) in input.iter().enumerate() {
            match header.push(byte) {
                Ok(false) => {}
                Ok(true) => {
                    let body = Body { inflate: Decompress::new(false), crc: Crc::new() };
                    self.state = State::Body(Box::new(body));
                    return Ok(index + 1);
                }
                Err(HeaderFault::NotGzip) if !self.first => {
                    return Err(FormatError::TrailingData {
                        format: FORMAT,
                        offset_bytes: self.member_bytes,
                    });
                }
                Err(HeaderFault::NotGzip) => return Err(self.damaged("no gzip header")),
                Err(HeaderFault::Method) => {
                    let what = "another compression method than deflate".to_owned();
                    return Err(FormatError::Unsupported { format: FORMAT, what });
                }
                Err(HeaderFault::Reserved) => {
                    let what = "a reserved header flag".to_owned();
                    return Err(FormatError::Unsupported { format: FORMAT, what });
                }
                Err(HeaderFault::Crc) => return Err(self.damaged("wrong header checksum")),
            }
        }
        Ok(input.len())
    }

    fn body(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, FormatError> {
        let State::Body(body) = &mut self.state else { return Ok(Step::default()) };
        let before = (body.inflate.total_in(), body.inflate.total_out());
        let status = body
            .inflate
            .decompress(input, output, FlushDecompress::None)
            .map_err(|_| self.damaged("invalid deflate data"))?;
        let State::Body(body) = &mut self.state else { return Ok(Step::default()) };
        let consumed = (body.inflate.total_in() - before.0) as usize;
        let produced = (body.inflate.total_out() - before.1) as usize;
        body.crc.update(&output[..produced]);
        if status == Status::StreamEnd {
            let mut expected = [0; 8];
            expected[..4].copy_from_slice(&body.crc.sum().to_le_bytes());
            expected[4..].copy_from_slice(&body.crc.amount().to_le_bytes());
            self.state = State::Trailer { expected, matched: 0 };
        }
        Ok(Step { consumed, produced })
    }

    fn trailer(&mut self, input: &[u8]) -> Result<usize, FormatError> {
        let State::Trailer { expected, matched } = &mut self.state else { return Ok(0) };
        let len = input.len().min(expected.len() - *matched);
        if input[..len] != expected[*matched..*matched + len] {
            return Err(self.damaged("wrong checksum or length of a member"));
        }
        *matched += len;
        if *matched == expected.len() {
            self.state = State::Between;
        }
        Ok(len)
    }

    fn between(&mut self, input: &[u8]) -> Result<usize, FormatError> {
        if matches!(self.state, State::Between) {
            self.member_bytes = self.offset_bytes;
            self.first = false;
            if self.metadata_bytes.contains(&self.offset_bytes) {
                self.state = State::Metadata;
                return Ok(input.len());
            }
            if input.first().is_some_and(|&byte| byte != 0) {
                self.state = State::Header(Header::new());
                return self.header(input);
            }
            self.state = State::Padding;
        }
        if input.iter().any(|&byte| byte != 0) {
            return Err(FormatError::TrailingData { format: FORMAT, offset_bytes: self.member_bytes });
        }
        Ok(input.len())
    }
}

impl PushDecoder for GzipDecoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, FormatError> {
        let step = match self.state {
            State::Body(_) => self.body(input, output)?,
            _ if input.is_empty() => Step::default(),
            State::Header(_) => Step { consumed: self.header(input)?, produced: 0 },
            State::Trailer { .. } => Step { consumed: self.trailer(input)?, produced: 0 },
            State::Between | State::Padding => Step { consumed: self.between(input)?, produced: 0 },
            State::Metadata => Step { consumed: input.len(), produced: 0 },
        };
        self.offset_bytes += step.consumed as u64;
        Ok(step)
    }

    fn end(&mut self) -> Result<(), FormatError> {
        let detail = match self.state {
            State::Between | State::Padding | State::Metadata => return Ok(()),
            State::Header(_) if self.offset_bytes == 0 => "the file is empty".to_owned(),
            State::Header(_) => "it ends in a member's header".to_owned(),
            State::Body(_) => "it ends in a member's data".to_owned(),
            State::Trailer { .. } => "it ends in a member's checksum".to_owned(),
        };
        Err(FormatError::Truncated { format: FORMAT, detail })
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}

/// A parser of a member's header, byte by byte. It keeps none of the fields, so they may have any length.
struct Header {
    field: Field,
    flags: u8,
    crc: Crc,
}

#[derive(Clone, Copy)]
enum Field {
    /// The ten fixed bytes: how many were read.
    Fixed(u8),
    ExtraLenLow,
    ExtraLenHigh(u8),
    Extra(u16),
    Name,
    Comment,
    CrcLow,
    CrcHigh,
    Done,
}

enum HeaderFault {
    NotGzip,
    Method,
    Reserved,
    Crc,
}

impl Header {
    fn new() -> Self {
        Self { field: Field::Fixed(0), flags: 0, crc: Crc::new() }
    }

    /// Takes the next byte; true if it was the last one.
    fn push(&mut self, byte: u8) -> Result<bool, HeaderFault> {
        let crc = self.crc.sum().to_le_bytes();
        self.crc.update(&[byte]);
        self.field = match self.field {
            Field::Fixed(seen) => {
                match seen {
                    0 | 1 if byte != MAGIC[usize::from(seen)] => return Err(HeaderFault::NotGzip),
                    2 if byte != MAGIC[2] => return Err(HeaderFault::Method),
                    3 if byte & FLAGS_RESERVED != 0 => return Err(HeaderFault::Reserved),
                    3 => self.flags = byte,
                    _ => {}
                }
                if seen < 9 { Field::Fixed(seen + 1) } else { self.after(0) }
            }
            Field::ExtraLenLow => Field::ExtraLenHigh(byte),
            Field::ExtraLenHigh(low) => match u16::from_le_bytes([low, byte]) {
                0 => self.after(FLAG_EXTRA),
                len => Field::Extra(len),
            },
            Field::Extra(1) => self.after(FLAG_EXTRA),
            Field::Extra(left) => Field::Extra(left - 1),
            Field::Name if byte == 0 => self.after(FLAG_NAME),
            Field::Comment if byte == 0 => self.after(FLAG_COMMENT),
            field @ (Field::Name | Field::Comment | Field::Done) => field,
            Field::CrcLow if byte == crc[0] => {
                // The checksum does not cover its own first byte, so the second byte is compared with the same sum.
                self.crc = Crc::new();
                self.flags = crc[1];
                Field::CrcHigh
            }
            Field::CrcHigh if byte == self.flags => Field::Done,
            Field::CrcLow | Field::CrcHigh => return Err(HeaderFault::Crc),
        };
        Ok(matches!(self.field, Field::Done))
    }

    /// The field after the one of `flag`; the fields come in this order.
    fn after(&self, flag: u8) -> Field {
        let next = [
            (FLAG_EXTRA, 1, Field::ExtraLenLow),
            (FLAG_NAME, 2, Field::Name),
            (FLAG_COMMENT, 3, Field::Comment),
            (FLAG_HEADER_CRC, 4, Field::CrcLow),
        ];
        let rank = next.iter().find(|entry| entry.0 == flag).map_or(0, |entry| entry.1);
        next.iter()
            .find(|entry| entry.1 > rank && self.flags & entry.0 != 0)
            .map_or(Field::Done, |entry| entry.2)
    }
}
