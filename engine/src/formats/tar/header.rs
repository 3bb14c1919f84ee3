//! One header block: its check, and its fields as bytes and numbers.

use super::number::{fitting, number};
use super::{BLOCK_BYTES, FormatError, damaged, unsupported};
use ::tar::{GnuHeader, GnuSparseHeader};
use replicator_hal::{Owner, Timestamp};
use std::ops::Range;

/// Offsets of the fields that all formats with a magic have (POSIX.1-2017, pax, "ustar Header Block"). The `tar` crate
/// shows them only for the exact version `00`; some writers leave the version blank.
const MAGIC: Range<usize> = 257..265;
const DEVICE_MAJOR: Range<usize> = 329..337;
const DEVICE_MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
const CHECKSUM: Range<usize> = 148..156;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// No magic: no device numbers, no long names.
    V7,
    Ustar,
    Gnu,
}

/// A header block with a valid checksum.
pub(super) struct Header {
    inner: ::tar::Header,
    dialect: Dialect,
}

impl Header {
    /// Decodes a block as a header.
    ///
    /// # Errors
    /// `Damaged` if the checksum is wrong.
    pub(super) fn decode(block: &[u8; BLOCK_BYTES], offset_bytes: u64) -> Result<Self, FormatError> {
        let mut inner = ::tar::Header::new_old();
        inner.as_mut_bytes().copy_from_slice(block);
        let header = Self { dialect: dialect(&block[MAGIC]), inner };
        let stored = number(&header.inner.as_old().cksum, "checksum").ok();
        // Some old writers summed the bytes as signed characters.
        let unsigned = sum(block, i128::from);
        let signed = sum(block, |byte| i128::from(byte as i8));
        if stored != Some(unsigned) && stored != Some(signed) {
            return Err(damaged(format!("no valid header at byte {offset_bytes}")));
        }
        Ok(header)
    }

    /// The type byte.
    pub(super) fn type_byte(&self) -> u8 {
        self.inner.as_old().linkflag[0]
    }

    /// The name in the header.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.inner.as_old().name);
        let prefix = match self.dialect {
            Dialect::Ustar => until_nul(&self.inner.as_bytes()[PREFIX]),
            Dialect::V7 | Dialect::Gnu => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// The link name in the header.
    pub(super) fn link_path(&self) -> Vec<u8> {
        until_nul(&self.inner.as_old().linkname).to_vec()
    }

    /// Length of the data after the header.
    pub(super) fn size(&self) -> Result<u64, FormatError> {
        fitting(&self.inner.as_old().size, "size")
    }

    /// The 12 permission bits; old writers put the file type above them.
    pub(super) fn mode(&self) -> Result<u32, FormatError> {
        Ok(fitting::<u32>(&self.inner.as_old().mode, "mode")? & 0o7777)
    }

    /// The owner; numbers of extended records replace those of the header.
    pub(super) fn owner(&self, uid: Option<u64>, gid: Option<u64>) -> Result<Owner, FormatError> {
        let old = self.inner.as_old();
        Ok(Owner {
            uid: id("uid", uid.map_or_else(|| number(&old.uid, "uid"), |uid| Ok(uid.into()))?)?,
            gid: id("gid", gid.map_or_else(|| number(&old.gid, "gid"), |gid| Ok(gid.into()))?)?,
        })
    }

    /// Modification time in whole seconds.
    pub(super) fn modified(&self) -> Result<Timestamp, FormatError> {
        Ok(Timestamp { seconds: fitting(&self.inner.as_old().mtime, "mtime")?, nanos: 0 })
    }

    /// Major and minor number.
    pub(super) fn device(&self, major: Option<u32>, minor: Option<u32>) -> Result<(u32, u32), FormatError> {
        if self.dialect == Dialect::V7 {
            return Err(damaged("a device in a header without device numbers"));
        }
        let bytes = self.inner.as_bytes();
        Ok((
            major.map_or_else(|| fitting(&bytes[DEVICE_MAJOR], "devmajor"), Ok)?,
            minor.map_or_else(|| fitting(&bytes[DEVICE_MINOR], "devminor"), Ok)?,
        ))
    }

    /// The fields of GNU's own format, if this is it.
    pub(super) fn gnu(&self) -> Option<&GnuHeader> {
        self.inner.as_gnu()
    }
}

/// Offset and length of an extent in GNU's old sparse map; `None` at its end.
pub(super) fn gnu_extent(fields: &GnuSparseHeader) -> Result<Option<(u64, u64)>, FormatError> {
    if fields.numbytes[0] == 0 {
        return Ok(None);
    }
    Ok(Some((fitting(&fields.offset, "sparse offset")?, fitting(&fields.numbytes, "sparse length")?)))
}

/// The number of a user or group. The highest one is invalid, because in system calls it means "leave unchanged".
fn id(key: &str, value: i128) -> Result<u32, FormatError> {
    let known = u32::try_from(value).ok().filter(|id| *id != u32::MAX);
    known.ok_or_else(|| unsupported(format!("the {key} {value}, which no file on Linux has")))
}

fn dialect(magic: &[u8]) -> Dialect {
    if magic == b"ustar  \0" {
        Dialect::Gnu
    } else if magic.starts_with(b"ustar\0") {
        Dialect::Ustar
    } else {
        Dialect::V7
    }
}

/// The sum of all bytes, with spaces in place of the checksum.
fn sum(block: &[u8; BLOCK_BYTES], value: impl Fn(u8) -> i128) -> i128 {
    let counted = |(at, byte): (usize, &u8)| value(if CHECKSUM.contains(&at) { b' ' } else { *byte });
    block.iter().enumerate().map(counted).sum()
}

/// A text field: to the first NUL or the field's end.
pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(&[])
}
