//! Rewrites an archive of this project to the form that GNU tar writes with `--acls`: ACLs as text, with the names
//! that the system in the archive has for users, and without the raw attribute.

use std::str;

const BLOCK: usize = 512;
const RAW: &str = "SCHILY.xattr.system.posix_acl_";

/// The archive with named ACLs; `names` are those of users, by number.
///
/// # Errors
/// If the archive is not one that this project writes.
pub(super) fn with_acls_by_name(archive: &[u8], names: &[(u32, &str)]) -> Result<Vec<u8>, String> {
    let mut rewritten = Vec::new();
    let mut rest = archive;
    let mut size = None;
    while let Some(header) = rest.first_chunk::<BLOCK>().filter(|header| header[0] != 0) {
        let is_records = header[156] == b'x';
        let stored = match size.take().filter(|_| !is_records) {
            Some(size) => size,
            None => octal(&header[124..136])?,
        };
        let end = BLOCK + stored.div_ceil(BLOCK) * BLOCK;
        let data = rest.get(BLOCK..end).ok_or("an archive that is cut off")?;
        if is_records {
            let (records, stated_size) = records(&data[..stored], names)?;
            size = stated_size;
            if !records.is_empty() {
                rewritten.extend_from_slice(&resized(header, records.len()));
                rewritten.extend_from_slice(&records);
                rewritten.resize(rewritten.len().next_multiple_of(BLOCK), 0);
            }
        } else {
            rewritten.extend_from_slice(&rest[..end]);
        }
        rest = &rest[end..];
    }
    rewritten.extend_from_slice(rest);
    Ok(rewritten)
}

fn octal(field: &[u8]) -> Result<usize, String> {
    let text = str::from_utf8(field).map_err(|error| error.to_string())?;
    usize::from_str_radix(text.trim_matches(['\0', ' ']), 8).map_err(|error| error.to_string())
}

/// The header of records of another length.
fn resized(header: &[u8; BLOCK], len: usize) -> [u8; BLOCK] {
    let mut header = *header;
    header[124..136].copy_from_slice(format!("{len:011o}\0").as_bytes());
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// The records with ACLs as text, and the size in them.
fn records(mut rest: &[u8], names: &[(u32, &str)]) -> Result<(Vec<u8>, Option<usize>), String> {
    let (mut records, mut size) = (Vec::new(), None);
    while !rest.is_empty() {
        let number = |bytes: &[u8]| str::from_utf8(bytes).ok().and_then(|text| text.parse::<usize>().ok());
        let space = rest.iter().position(|byte| *byte == b' ').ok_or("a record without a length")?;
        let len = number(&rest[..space]).ok_or("a record without a length")?;
        let (record, after) = rest.split_at_checked(len).ok_or("a record that is cut off")?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or("a record without a value")?;
        let (key, value) = (&record[space + 1..equals], &record[equals + 1..record.len() - 1]);
        if key == b"size" {
            size = number(value);
        }
        match str::from_utf8(key).ok().and_then(|key| key.strip_prefix(RAW)) {
            Some(which) => push(&mut records, &format!("SCHILY.acl.{which}"), &text(value, names)?),
            None => records.extend_from_slice(record),
        }
        rest = after;
    }
    Ok((records, size))
}

fn push(records: &mut Vec<u8>, key: &str, value: &str) {
    let body = format!(" {key}={value}\n");
    // The length counts its own digits.
    let digits = (1..8).find(|digits| (body.len() + digits).to_string().len() == *digits).unwrap_or(1);
    records.extend_from_slice(format!("{}{body}", body.len() + digits).as_bytes());
}

/// Entries of 8 bytes behind a version (`linux/posix_acl_xattr.h`), as getfacl shows them.
fn text(value: &[u8], names: &[(u32, &str)]) -> Result<String, String> {
    let mut lines = String::new();
    for entry in value.get(4..).unwrap_or_default().chunks_exact(8) {
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let name = names.iter().find(|(number, _)| *number == id).map(|(_, name)| (*name).to_owned());
        let (tag, who) = match entry[0] {
            0x01 => ("user", String::new()),
            0x02 => ("user", name.unwrap_or_else(|| id.to_string())),
            0x04 => ("group", String::new()),
            0x08 => ("group", id.to_string()),
            0x10 => ("mask", String::new()),
            0x20 => ("other", String::new()),
            other => return Err(format!("an ACL with the tag {other}")),
        };
        let rights = [(4, 'r'), (2, 'w'), (1, 'x')];
        let rights: String =
            rights.iter().map(|(bit, letter)| if entry[2] & bit != 0 { *letter } else { '-' }).collect();
        lines.push_str(&format!("{tag}:{who}:{rights}\n"));
    }
    Ok(lines)
}
