//! Reads an archive, entry by entry, from front to back.
//!
//! Understood: v7, ustar, GNU (long names, sparse files, base-256 numbers), pax with the extensions of GNU tar, star
//! and libarchive. Decisions where readers differ:
//! - Names: leading `/` and `./` are dropped, `..` is `Damaged`. A plain file whose name ends in `/` is a directory.
//! - A pax record overrides a GNU long name, which overrides the header; two of a kind for one entry are `Damaged`.
//! - The length of a file is the record `size`, else the header's; that of an extended header is only its own header's.
//! - Only files have data. A length elsewhere is `Unsupported` (some writers store a hard link's data a second time,
//!   others only its length, and a wrong guess reads file content as headers).
//! - The mode of a file with an ACL is what the kernel shows for that ACL.
//! - Unknown types, and parts of multi-volume or incremental archives, are `Unsupported`. Volume labels are ignored.
//! - Users and groups in ACLs that have no number: see [`Reader::collecting_names`].
//! - Extended attributes and inode flags that Linux does not have are left out and reported.
//! - Two zero blocks end the archive. After them, only zeros or the index that pixz makes are allowed, never entries.
//!   They are read to the end of the input, so that the decoder checks its trailer.

use super::blocks::{Blocks, Skip};
use super::extended::{Extended, Globals};
use super::header::{Header, until_nul};
use super::names::{Names, Source, Wanted};
use super::remarks::Remarks;
use super::{
    BLOCK_BYTES, Entry, EntryKind, FORMAT, FormatError, HEADER_BYTES_MAX, SPARSE_RANGES_MAX, acl, damaged,
    fflags, in_entry, padding, printable, sparse, unsupported,
};
use replicator_hal::{NodeKind, RelativePath, Xattr};
use std::io::Read;
use std::ops::Range;

/// Bounds on the memory that one entry may take.
#[derive(Debug, Clone, Copy)]
pub struct ReaderLimits {
    /// Bytes of all extended headers and long names of one entry.
    pub header_bytes: usize,
    /// Data extents of one sparse file.
    pub sparse_ranges: usize,
}

impl Default for ReaderLimits {
    fn default() -> Self {
        Self { header_bytes: HEADER_BYTES_MAX, sparse_ranges: SPARSE_RANGES_MAX }
    }
}

/// Reads an archive from front to back.
pub struct Reader<R> {
    blocks: Blocks<R>,
    limits: ReaderLimits,
    globals: Globals,
    names: Source,
    remarks: Remarks,
    body: Body,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Failed,
}

/// The rest of the current entry's data.
#[derive(Default)]
struct Body {
    ranges: Vec<Range<u64>>,
    next_range: usize,
    stored_bytes: u64,
    padding_bytes: u64,
}

/// Headers before the entry to which they belong.
struct Pending {
    records: Option<Vec<u8>>,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    bytes_left: usize,
}

impl<R: Read> Reader<R> {
    /// Reads from the current place of `inner`, which should be buffered or a decoder.
    pub fn new(inner: R, limits: ReaderLimits) -> Self {
        Self::with_source(inner, limits, Source::Known(Names::default()))
    }

    /// As [`Reader::new`], for an archive with names of users and groups in ACLs.
    pub fn with_names(inner: R, limits: ReaderLimits, names: Names) -> Self {
        Self::with_source(inner, limits, Source::Known(names))
    }

    /// As [`Reader::new`], for a first pass: names are collected for [`Reader::wanted`], and ACLs have placeholder
    /// numbers.
    pub fn collecting_names(inner: R, limits: ReaderLimits) -> Self {
        Self::with_source(inner, limits, Source::Collecting(Vec::new()))
    }

    /// The names that need a number, after the first pass.
    pub fn wanted(&self) -> &[Wanted] {
        match &self.names {
            Source::Known(_) => &[],
            Source::Collecting(wanted) => wanted,
        }
    }

    /// The same for an input with its own way to pass over bytes.
    #[must_use]
    pub(crate) fn skipping(self) -> Self
    where
        R: Skip,
    {
        Self { blocks: self.blocks.skipping(), ..self }
    }

    /// The hash of all headers that were read so far, extended ones and the end mark among them. Data is not in it.
    pub(crate) fn headers_hash(&self) -> u128 {
        self.blocks.headers_hash()
    }

    /// What was left out or ignored so far.
    pub fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    fn with_source(inner: R, limits: ReaderLimits, names: Source) -> Self {
        Self {
            blocks: Blocks::new(inner),
            limits,
            globals: Globals::default(),
            names,
            remarks: Remarks::default(),
            body: Body::default(),
            state: State::Reading,
        }
    }

    /// The next entry. Unread data of the previous one is skipped. `None` after the end mark, with the input read to its
    /// end. An archive without entries is valid.
    ///
    /// # Errors
    /// `Truncated`, also if only the end mark is missing; `Damaged`; `Unsupported`; `MemoryLimit`; `TrailingData` if
    /// anything but zeros follows the end mark; `Io`. After an error, all further calls fail.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, FormatError> {
        self.check_usable()?;
        if self.state == State::Ended {
            return Ok(None);
        }
        let result = self.advance();
        match &result {
            Ok(Some(_)) => {}
            Ok(None) => self.state = State::Ended,
            Err(_) => self.state = State::Failed,
        }
        result
    }

    /// The next piece of the current entry's data: its offset in the file and its length. Never crosses a hole. `None`
    /// at the end of the data. `buffer` must not be empty.
    ///
    /// # Errors
    /// `Truncated` if the archive ends first; `Io`.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<Option<(u64, usize)>, FormatError> {
        self.check_usable()?;
        let Some(range) = self.body.ranges.get_mut(self.body.next_range) else {
            return Ok(None);
        };
        let want = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(buffer.len());
        let result = self.blocks.read(&mut buffer[..want]);
        let len = match result {
            Ok(0) if want > 0 => {
                self.state = State::Failed;
                return Err(self.blocks.cut_off("the data of a file"));
            }
            Ok(len) => len,
            Err(error) => {
                self.state = State::Failed;
                return Err(error);
            }
        };
        let offset_bytes = range.start;
        range.start += len as u64;
        self.body.stored_bytes -= len as u64;
        if range.start == range.end {
            self.body.next_range += 1;
        }
        Ok(Some((offset_bytes, len)))
    }

    fn check_usable(&self) -> Result<(), FormatError> {
        if self.state == State::Failed {
            return Err(damaged("the archive cannot be read after an error"));
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Entry>, FormatError> {
        let body = std::mem::take(&mut self.body);
        self.blocks.skip(body.stored_bytes, "the data of a file")?;
        self.blocks.skip(body.padding_bytes, "the padding of a file")?;
        let mut pending = Pending::new(self.limits.header_bytes);
        loop {
            let offset_bytes = self.blocks.offset_bytes();
            let block = self.blocks.expect_block("the end mark or an entry")?;
            if is_zero(&block) {
                pending.check_none()?;
                return self.end().map(|()| None);
            }
            let header = Header::decode(&block, offset_bytes)?;
            match header.type_byte() {
                b'x' => set_once(&mut pending.records, self.payload(&header, &mut pending.bytes_left)?)?,
                b'L' => {
                    let name = self.long_name(&header, &mut pending.bytes_left)?;
                    set_once(&mut pending.long_path, name)?;
                }
                b'K' => {
                    let name = self.long_name(&header, &mut pending.bytes_left)?;
                    set_once(&mut pending.long_link, name)?;
                }
                b'g' => {
                    let mut bytes_left = self.limits.header_bytes;
                    let records = self.payload(&header, &mut bytes_left)?;
                    self.globals.apply(&records)?;
                }
                b'V' => {
                    pending.check_none()?;
                    let len_bytes = header.size()?;
                    self.blocks.skip(len_bytes, "a volume label")?;
                    self.blocks.skip(padding(len_bytes), "a volume label")?;
                }
                _ => return self.entry(&header, pending).map(Some),
            }
        }
    }

    /// Reads the second block of the end mark and everything after it.
    fn end(&mut self) -> Result<(), FormatError> {
        let offset_bytes = self.blocks.offset_bytes();
        if !is_zero(&self.blocks.expect_block("the second half of the end mark")?) {
            return Err(damaged(format!(
                "a single zero block before byte {offset_bytes} is not an end mark"
            )));
        }
        if self.blocks.drain()? {
            self.remarks.add("ignored the index of files that pixz put behind the archive");
        }
        Ok(())
    }

    /// The bytes of an extended header, within the remaining limit of this entry.
    fn payload(&mut self, header: &Header, bytes_left: &mut usize) -> Result<Vec<u8>, FormatError> {
        let claimed = header.size()?;
        let fitting = usize::try_from(claimed).ok().filter(|len_bytes| len_bytes <= bytes_left);
        let Some(len_bytes) = fitting else {
            return Err(FormatError::MemoryLimit {
                format: FORMAT,
                limit_bytes: self.limits.header_bytes as u64,
                detail: format!(
                    "extended header of {claimed} bytes before byte {}",
                    self.blocks.offset_bytes()
                ),
            });
        };
        *bytes_left -= len_bytes;
        self.blocks.payload(len_bytes, "an extended header")
    }

    fn long_name(&mut self, header: &Header, bytes_left: &mut usize) -> Result<Vec<u8>, FormatError> {
        let payload = self.payload(header, bytes_left)?;
        let name = until_nul(&payload);
        if name.is_empty() {
            return Err(damaged("an empty long name"));
        }
        Ok(name.to_vec())
    }

    fn entry(&mut self, header: &Header, pending: Pending) -> Result<Entry, FormatError> {
        let header_path = pending.long_path.unwrap_or_else(|| header.path());
        let mut extended = Extended::read(&self.globals, pending.records.as_deref().unwrap_or(&[]))
            .map_err(|error| in_entry(error, &header_path))?;
        let pax_path = extended.path.take();
        let raw_path = extended.sparse.name.clone().or(pax_path).unwrap_or(header_path);
        let link_path = extended.link_path.take().or(pending.long_link);
        let raw_link = link_path.unwrap_or_else(|| header.link_path());
        self.named_entry(header, extended, &raw_path, raw_link).map_err(|error| in_entry(error, &raw_path))
    }

    fn named_entry(
        &mut self,
        header: &Header,
        extended: Extended,
        raw_path: &[u8],
        raw_link: Vec<u8>,
    ) -> Result<Entry, FormatError> {
        let path = parse_path(raw_path)?;
        let owner = header.owner(extended.uid(), extended.gid())?;
        let mode = header.mode()?;
        let modified = extended.modified().map_or_else(|| header.modified(), Ok)?;
        let kind = self.kind(header, &extended, raw_path, raw_link)?;
        if path.is_root() && kind != EntryKind::Directory {
            return Err(damaged("the root must be a directory"));
        }
        if matches!(&kind, EntryKind::HardLink { existing } if *existing == path) {
            return Err(damaged("a hard link to itself"));
        }
        let (names, remarks) = (&mut self.names, &mut self.remarks);
        let xattrs =
            extended.attributes.into_xattrs(&mut |who, name| names.number(who, name, raw_path), |name| {
                remarks.left_out("extended attributes that Linux does not have", || {
                    format!("{} of {}", printable(name), printable(raw_path))
                });
            })?;
        let flags = fflags::parse(&extended.flags, |flag| {
            remarks.left_out("inode flags that Linux does not have", || {
                format!("{} of {}", printable(flag), printable(raw_path))
            });
        });
        Ok(Entry { path, kind, mode: mode_with_acl(mode, &xattrs), owner, modified, xattrs, flags })
    }

    fn kind(
        &mut self,
        header: &Header,
        extended: &Extended,
        raw_path: &[u8],
        raw_link: Vec<u8>,
    ) -> Result<EntryKind, FormatError> {
        let as_directory = raw_path.last() == Some(&b'/');
        let kind = match header.type_byte() {
            b'0' | 0 | b'7' | b'S' if !as_directory => return self.file(header, extended),
            b'5' | b'0' | 0 | b'7' => EntryKind::Directory,
            b'1' => EntryKind::HardLink { existing: parse_path(&raw_link).map_err(link_error)? },
            b'2' if raw_link.is_empty() || raw_link.contains(&0) => {
                return Err(damaged("a symlink without a proper text"));
            }
            b'2' => EntryKind::Symlink { text: raw_link },
            b'3' | b'4' => {
                let (major, minor) = header.device(extended.device_major, extended.device_minor)?;
                EntryKind::Node(match header.type_byte() {
                    b'3' => NodeKind::CharDevice { major, minor },
                    _ => NodeKind::BlockDevice { major, minor },
                })
            }
            b'6' => EntryKind::Node(NodeKind::Fifo),
            b'D' | b'M' | b'N' => {
                return Err(unsupported("a part of an incremental or multi-volume archive"));
            }
            other => return Err(unsupported(format!("an entry of type '{}'", printable(&[other])))),
        };
        let len_bytes = extended.size.map_or_else(|| header.size(), Ok)?;
        if len_bytes != 0 || extended.sparse.used() {
            return Err(unsupported(format!(
                "an entry of type '{}' with data",
                printable(&[header.type_byte()])
            )));
        }
        Ok(kind)
    }

    fn file(&mut self, header: &Header, extended: &Extended) -> Result<EntryKind, FormatError> {
        let mut stored_bytes = extended.size.map_or_else(|| header.size(), Ok)?;
        let padding_bytes = padding(stored_bytes);
        let ranges_max = self.limits.sparse_ranges;
        let (len_bytes, ranges) = match (header.type_byte() == b'S', extended.sparse.used()) {
            (false, false) if stored_bytes == 0 => (0, Vec::new()),
            (false, false) => (stored_bytes, std::iter::once(0..stored_bytes).collect()),
            (false, true) => extended.sparse.map(&mut self.blocks, &mut stored_bytes, ranges_max)?,
            (true, false) => sparse::old_gnu_map(header, &mut self.blocks, stored_bytes, ranges_max)?,
            (true, true) => return Err(damaged("a sparse file with two maps")),
        };
        self.body = Body { ranges: ranges.clone(), next_range: 0, stored_bytes, padding_bytes };
        Ok(EntryKind::File { len_bytes, data: ranges })
    }
}

impl Pending {
    fn new(header_bytes: usize) -> Self {
        Self { records: None, long_path: None, long_link: None, bytes_left: header_bytes }
    }

    fn check_none(&self) -> Result<(), FormatError> {
        if self.records.is_some() || self.long_path.is_some() || self.long_link.is_some() {
            return Err(damaged("an extended header without an entry"));
        }
        Ok(())
    }
}

/// libarchive stores the rights of the group in the mode; the kernel shows those of the ACL's mask.
fn mode_with_acl(mode: u32, xattrs: &[Xattr]) -> u32 {
    let acl = xattrs.iter().find(|xattr| xattr.name == b"system.posix_acl_access");
    match acl.and_then(|xattr| acl::permission_bits(&xattr.value)) {
        Some(bits) => mode & !0o777 | bits,
        None => mode,
    }
}

/// Refuses a second value: readers disagree on which of two is valid.
fn set_once(slot: &mut Option<Vec<u8>>, value: Vec<u8>) -> Result<(), FormatError> {
    if slot.replace(value).is_some() {
        return Err(damaged("two extended headers of a kind for one entry"));
    }
    Ok(())
}

fn parse_path(raw: &[u8]) -> Result<RelativePath, FormatError> {
    if raw.is_empty() {
        return Err(damaged("an empty name"));
    }
    RelativePath::parse(raw).map_err(|error| damaged(error.to_string()))
}

fn link_error(error: FormatError) -> FormatError {
    damaged(format!("the target of the link: {error}"))
}

fn is_zero(block: &[u8; BLOCK_BYTES]) -> bool {
    block.iter().all(|byte| *byte == 0)
}
