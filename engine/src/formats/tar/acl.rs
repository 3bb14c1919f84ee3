//! POSIX ACLs: converts the text in `SCHILY.acl.*` records to the bytes of the kernel's attribute.
//!
//! Text: entries `tag:qualifier:permissions[:number]`, separated by newlines (GNU tar) or commas (star, libarchive).
//! Bytes: `linux/posix_acl_xattr.h`, version 2, little endian.

use super::names::Who;
use super::{FormatError, damaged, printable};

const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// An ACL's entries as tag, id, permissions.
type Entries = Vec<(u16, u32, u16)>;

/// Finds the number for the name of a user or group.
pub(super) type Number<'a> = dyn FnMut(Who, &[u8]) -> Result<u32, FormatError> + 'a;

/// From the text to the attribute's bytes.
pub(super) type Convert = fn(&[u8], &mut Number<'_>) -> Result<Option<Vec<u8>>, FormatError>;

/// The bytes of `system.posix_acl_access`. `None` if it has no more information than the file mode; the kernel would not
/// store it.
///
/// # Errors
/// Those of `number`; `Damaged` if the text is not an ACL.
pub(super) fn access(text: &[u8], number: &mut Number<'_>) -> Result<Option<Vec<u8>>, FormatError> {
    let entries = parse(text, number)?;
    Ok((entries.len() > 3).then(|| encode(&entries)))
}

/// The bytes of `system.posix_acl_default`; `None` if there is none.
///
/// # Errors
/// As [`access`].
pub(super) fn default(text: &[u8], number: &mut Number<'_>) -> Result<Option<Vec<u8>>, FormatError> {
    let entries = parse(text, number)?;
    Ok((!entries.is_empty()).then(|| encode(&entries)))
}

fn parse(text: &[u8], number: &mut Number<'_>) -> Result<Entries, FormatError> {
    let mut entries = Entries::new();
    for entry in text.split(|byte| matches!(byte, b'\n' | b',')) {
        // GNU tar may add effective rights after a hash sign.
        let entry = entry.split(|byte| *byte == b'#').next().unwrap_or(&[]).trim_ascii();
        if !entry.is_empty() {
            entries.push(parse_entry(entry, number)?);
        }
    }
    entries.sort_unstable();
    check(&entries)?;
    Ok(entries)
}

fn parse_entry(entry: &[u8], number_of: &mut Number<'_>) -> Result<(u16, u32, u16), FormatError> {
    let bad = || damaged(format!("an ACL with the entry '{}'", printable(entry)));
    let fields: Vec<&[u8]> = entry.split(|byte| *byte == b':').collect();
    let (tag, qualifier, rights, number) = match fields[..] {
        [tag, qualifier, rights] => (tag, qualifier, rights, None),
        [tag, qualifier, rights, number] => (tag, qualifier, rights, Some(number)),
        _ => return Err(bad()),
    };
    let (plain, named) = match tag {
        b"user" | b"u" => (USER_OBJ, Some(USER)),
        b"group" | b"g" => (GROUP_OBJ, Some(GROUP)),
        b"mask" | b"m" => (MASK, None),
        b"other" | b"o" => (OTHER, None),
        _ => return Err(bad()),
    };
    let rights = permissions(rights).ok_or_else(bad)?;
    if qualifier.is_empty() {
        return Ok((plain, NO_ID, rights));
    }
    let tag = named.ok_or_else(bad)?;
    let who = if tag == USER { Who::User } else { Who::Group };
    let id = match super::records::decimal(number.unwrap_or(qualifier)) {
        Some(id) => id,
        None => number_of(who, qualifier)?.into(),
    };
    let id = u32::try_from(id).ok().filter(|id| *id != NO_ID).ok_or_else(bad)?;
    Ok((tag, id, rights))
}

fn permissions(text: &[u8]) -> Option<u16> {
    text.iter().try_fold(0, |rights, letter| match letter {
        b'r' => Some(rights | 4),
        b'w' => Some(rights | 2),
        b'x' => Some(rights | 1),
        b'-' => Some(rights),
        _ => None,
    })
}

/// The kernel's rules for an ACL. An empty list is no ACL.
fn check(entries: &Entries) -> Result<(), FormatError> {
    let count = |tag: u16| entries.iter().filter(|entry| entry.0 == tag).count();
    let once = [USER_OBJ, GROUP_OBJ, OTHER].iter().all(|tag| count(*tag) == 1);
    let names = count(USER) + count(GROUP);
    let repeated = entries.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[0].1 == pair[1].1);
    let mask = count(MASK) == 1 || (count(MASK) == 0 && names == 0);
    if entries.is_empty() || (once && mask && !repeated) {
        return Ok(());
    }
    Err(damaged("an ACL with missing or doubled entries"))
}

fn encode(entries: &Entries) -> Vec<u8> {
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, id, rights) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&rights.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// The nine permission bits that a file with this `system.posix_acl_access` has: the kernel shows the mask as the group's
/// bits. `None` if the bytes are not an ACL.
pub(super) fn permission_bits(value: &[u8]) -> Option<u32> {
    let entries = value.strip_prefix(&VERSION.to_le_bytes())?.chunks_exact(8);
    if !entries.remainder().is_empty() {
        return None;
    }
    let rights = |wanted: u16| {
        let mut tagged = entries.clone().filter(|entry| entry[..2] == wanted.to_le_bytes());
        tagged.next().map(|entry| u32::from(entry[2] & 7))
    };
    Some(rights(USER_OBJ)? << 6 | rights(MASK).or_else(|| rights(GROUP_OBJ))? << 3 | rights(OTHER)?)
}

#[cfg(test)]
mod tests {
    use super::super::unsupported;
    use super::*;

    fn access(text: &[u8]) -> Result<Option<Vec<u8>>, FormatError> {
        super::access(text, &mut number)
    }

    fn default(text: &[u8]) -> Result<Option<Vec<u8>>, FormatError> {
        super::default(text, &mut number)
    }

    fn number(who: Who, name: &[u8]) -> Result<u32, FormatError> {
        match (who, name) {
            (Who::User, b"operator") => Ok(2570),
            _ => Err(unsupported(format!("the name {}", printable(name)))),
        }
    }

    /// The kernel's attribute after `setfacl -m u:2570:r` on a file of mode 0644.
    const NUMERIC: &[u8] =
        b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x0a\x0a\0\0\x04\0\x04\0\xff\xff\xff\xff\
        \x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";

    #[test]
    fn both_ways_of_writing_give_the_kernels_bytes() {
        for text in [
            "user::rw-\nuser:2570:r--\ngroup::r--\nmask::r--\nother::r--\n",
            "user::rw-,group::r--,other::r--,user:2570:r--,mask::r--",
            "u::rw,g::r,o::r,u:somebody:r:2570,m::r\t#effective:r--",
            "u::rw,g::r,o::r,u:operator:r,m::r",
        ] {
            assert_eq!(access(text.as_bytes()).unwrap().as_deref(), Some(NUMERIC), "{text}");
            assert_eq!(default(text.as_bytes()).unwrap().as_deref(), Some(NUMERIC), "{text}");
        }
    }

    #[test]
    fn the_mask_shows_as_the_groups_rights() {
        let text = b"user::rwx,user:2570:rw-,group::r--,mask::rw-,other::--x";
        assert_eq!(permission_bits(&access(text).unwrap().unwrap()), Some(0o761));
        for bad in [&NUMERIC[..NUMERIC.len() - 1], &NUMERIC[..12], b"\x01\0\0\0", b""] {
            assert_eq!(permission_bits(bad), None);
        }
    }

    #[test]
    fn an_acl_equal_to_the_mode_is_none() {
        assert_eq!(access(b"user::rw-\ngroup::r--\nother::r--\n").unwrap(), None);
        assert_eq!(default(b"").unwrap(), None);
        assert!(default(b"user::rw-\ngroup::r--\nother::r--\n").unwrap().is_some());
    }

    #[test]
    fn unknown_names_and_broken_lists_are_refused() {
        let named = access(b"user::rw-,user:alice:r--,group::r--,mask::r--,other::r--").unwrap_err();
        assert_eq!(named.code(), "F-UNSUPPORTED");
        assert!(named.to_string().contains("alice"));
        for bad in [
            "user::rw-",
            "user::rwz,group::r--,other::r--",
            "user::rw-,user:1:r--,group::r--,other::r--",
            "user::rw-,user:1:r--,user:1:rw-,group::r--,mask::r--,other::r--",
            "user::rw-,user:4294967295:r--,group::r--,mask::r--,other::r--",
            "user::rw-,group::r--,other:1:r--",
            "everyone@:rwx:allow",
        ] {
            assert_eq!(access(bad.as_bytes()).unwrap_err().code(), "F-DAMAGED", "{bad}");
        }
    }
}
