//! Encodes the header of an entry as POSIX pax: a ustar header, with extended records for what does not fit into it.
//!
//! Sparse files have GNU's form 1.0, attributes `SCHILY.xattr.*`, inode flags `SCHILY.fflags`, which GNU tar, libarchive
//! and star read. There are no owner names, no access or change times and nothing of the writing process, so the same
//! entry always has the same bytes.

use super::attributes::record_key;
use super::records::{push_record, timestamp_text};
use super::{BLOCK_BYTES, Entry, EntryKind, HEADER_BYTES_MAX, SPARSE_RANGES_MAX, fflags, padding, printable};
use replicator_hal::{NodeKind, Timestamp};
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;

/// The largest numbers that fit a field of 12 and of 8 bytes.
const OCTAL_11: u64 = 0o77_777_777_777;
const OCTAL_7: u32 = 0o7_777_777;
/// Longest name, link name, and name's prefix in a header.
const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;

/// The encoded header of an entry.
pub(super) struct Encoded {
    /// Everything before the data, in whole blocks.
    pub(super) head: Vec<u8>,
    /// Length of the data that follows.
    pub(super) data_bytes: u64,
}

/// Encodes the header of `entry`.
///
/// # Errors
/// `InvalidInput` if the entry violates the rules of [`Entry`], or the format or this project's reader with its default
/// limits cannot hold it.
pub(super) fn encode(entry: &Entry) -> io::Result<Encoded> {
    check(entry)?;
    let mut header = ::tar::Header::new_ustar();
    let mut records = Vec::new();
    let mut map = Vec::new();
    let mut stored_bytes = 0;
    match &entry.kind {
        EntryKind::File { len_bytes, data } => {
            header.set_entry_type(::tar::EntryType::Regular);
            stored_bytes = data.iter().map(|range| range.end - range.start).sum();
            if stored_bytes == *len_bytes {
                put_path(&mut header, &mut records, entry.path.as_bytes());
            } else {
                put_sparse(&mut header, &mut records, entry, *len_bytes);
                map = sparse_map(*len_bytes, data);
            }
        }
        EntryKind::Directory => {
            header.set_entry_type(::tar::EntryType::Directory);
            let name = if entry.path.is_root() { b"." } else { entry.path.as_bytes() };
            put_path(&mut header, &mut records, &[name, b"/"].concat());
        }
        EntryKind::Symlink { text } => {
            header.set_entry_type(::tar::EntryType::Symlink);
            put_path(&mut header, &mut records, entry.path.as_bytes());
            put_link(&mut header, &mut records, text);
        }
        EntryKind::HardLink { existing } => {
            header.set_entry_type(::tar::EntryType::Link);
            put_path(&mut header, &mut records, entry.path.as_bytes());
            put_link(&mut header, &mut records, existing.as_bytes());
        }
        EntryKind::Node(kind) => {
            put_path(&mut header, &mut records, entry.path.as_bytes());
            put_node(&mut header, *kind)?;
        }
    }
    let data_bytes = stored_bytes;
    put_numbers(&mut header, &mut records, entry, stored_bytes + map.len() as u64);
    for xattr in &entry.xattrs {
        push_record(&mut records, &record_key(&xattr.name), &xattr.value);
    }
    let (flags, _) = fflags::text(entry.flags);
    if !flags.is_empty() {
        push_record(&mut records, fflags::KEY, flags.as_bytes());
    }
    if records.len() > HEADER_BYTES_MAX {
        return Err(invalid(
            entry,
            "its names and attributes are longer than an archive may have for one entry",
        ));
    }
    header.set_cksum();
    let mut head = Vec::new();
    if !records.is_empty() {
        head.extend_from_slice(records_header(entry, records.len() as u64).as_bytes());
        head.extend_from_slice(&records);
        fill_block(&mut head);
    }
    head.extend_from_slice(header.as_bytes());
    head.extend_from_slice(&map);
    Ok(Encoded { head, data_bytes })
}

fn invalid(entry: &Entry, reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("'{}' cannot be packed: {reason}", entry.path))
}

fn check(entry: &Entry) -> io::Result<()> {
    let refuse = |reason| Err(invalid(entry, reason));
    if entry.mode & !0o7777 != 0 {
        return refuse("its mode has more than 12 bits");
    }
    if entry.modified.nanos >= 1_000_000_000 {
        return refuse("its time is none");
    }
    if entry.owner.uid == u32::MAX || entry.owner.gid == u32::MAX {
        return refuse("its owner is none");
    }
    let mut names = BTreeSet::new();
    for xattr in &entry.xattrs {
        if xattr.name.is_empty() || xattr.name.contains(&0) || !names.insert(&xattr.name) {
            return refuse("it has an attribute without a proper name of its own");
        }
    }
    match &entry.kind {
        EntryKind::Directory => Ok(()),
        _ if entry.path.is_root() => refuse("the root is a directory"),
        EntryKind::File { len_bytes, data } => check_data(entry, *len_bytes, data),
        EntryKind::Symlink { text } if text.is_empty() || text.contains(&0) => {
            refuse("a symlink needs a text")
        }
        EntryKind::HardLink { existing } if existing.is_root() || *existing == entry.path => {
            refuse("a hard link needs another name")
        }
        _ => Ok(()),
    }
}

fn check_data(entry: &Entry, len_bytes: u64, data: &[Range<u64>]) -> io::Result<()> {
    let sorted = data.windows(2).all(|pair| pair[0].end <= pair[1].start);
    let real = data.iter().all(|range| range.start < range.end);
    let within = data.last().is_none_or(|last| last.end <= len_bytes);
    // No file system has longer files, and with this limit the lengths of map and padding cannot overflow.
    if !sorted || !real || !within || i64::try_from(len_bytes).is_err() {
        return Err(invalid(entry, "its data ranges are not in order"));
    }
    if data.len() > SPARSE_RANGES_MAX {
        return Err(invalid(entry, "it has too many holes"));
    }
    Ok(())
}

/// Puts a name into the header if it fits, whole or split at a slash; otherwise into a record, and its start into the
/// header for readers without support of records.
fn put_path(header: &mut ::tar::Header, records: &mut Vec<u8>, path: &[u8]) {
    if let Some((prefix, name)) = split_path(path) {
        copy_start(&mut header.as_old_mut().name, name);
        if let Some(ustar) = header.as_ustar_mut() {
            copy_start(&mut ustar.prefix, prefix);
        }
        return;
    }
    copy_start(&mut header.as_old_mut().name, path);
    push_name_record(records, b"path", path);
}

/// Prefix and name for ustar; `None` if the path is too long.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= NAME_BYTES {
        return Some((b"", path));
    }
    // The slash between both is not stored; the name must not be empty, and keeps a directory's slash.
    let earliest = path.len().checked_sub(NAME_BYTES + 1)?;
    let latest = PREFIX_BYTES.min(path.len() - 2);
    let at = (earliest.max(1)..=latest).find(|at| path[*at] == b'/')?;
    Some((&path[..at], &path[at + 1..]))
}

fn put_link(header: &mut ::tar::Header, records: &mut Vec<u8>, text: &[u8]) {
    copy_start(&mut header.as_old_mut().linkname, text);
    if text.len() > NAME_BYTES {
        push_name_record(records, b"linkpath", text);
    }
}

/// Names are bytes. If they are not UTF-8, which pax requires, a record of libarchive marks that; GNU tar and Python
/// accept the bytes in any case.
fn push_name_record(records: &mut Vec<u8>, key: &[u8], name: &[u8]) {
    if std::str::from_utf8(name).is_err() {
        push_record(records, b"hdrcharset", b"BINARY");
    }
    push_record(records, key, name);
}

fn put_sparse(header: &mut ::tar::Header, records: &mut Vec<u8>, entry: &Entry, len_bytes: u64) {
    let made_up = [b"GNUSparseFile.0/", entry.path.file_name().unwrap_or(b"")].concat();
    copy_start(&mut header.as_old_mut().name, &made_up);
    push_record(records, b"GNU.sparse.major", b"1");
    push_record(records, b"GNU.sparse.minor", b"0");
    push_name_record(records, b"GNU.sparse.name", entry.path.as_bytes());
    push_record(records, b"GNU.sparse.realsize", len_bytes.to_string().as_bytes());
}

/// The map of form 1.0, in whole blocks. A hole at the end is an empty piece; without it GNU tar would restore a shorter
/// file.
fn sparse_map(len_bytes: u64, data: &[Range<u64>]) -> Vec<u8> {
    let ends_in_hole = data.last().is_none_or(|last| last.end < len_bytes);
    let mut map = format!("{}\n", data.len() + usize::from(ends_in_hole)).into_bytes();
    for range in data {
        map.extend_from_slice(format!("{}\n{}\n", range.start, range.end - range.start).as_bytes());
    }
    if ends_in_hole {
        map.extend_from_slice(format!("{len_bytes}\n0\n").as_bytes());
    }
    fill_block(&mut map);
    map
}

fn put_node(header: &mut ::tar::Header, kind: NodeKind) -> io::Result<()> {
    let (entry_type, major, minor) = match kind {
        NodeKind::CharDevice { major, minor } => (::tar::EntryType::Char, major, minor),
        NodeKind::BlockDevice { major, minor } => (::tar::EntryType::Block, major, minor),
        NodeKind::Fifo => (::tar::EntryType::Fifo, 0, 0),
    };
    if major > OCTAL_7 || minor > OCTAL_7 {
        let reason = format!("the device number {major}:{minor} is out of range");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    header.set_entry_type(entry_type);
    header.set_device_major(major)?;
    header.set_device_minor(minor)
}

fn put_numbers(header: &mut ::tar::Header, records: &mut Vec<u8>, entry: &Entry, size: u64) {
    header.set_mode(entry.mode);
    if size > OCTAL_11 {
        push_record(records, b"size", size.to_string().as_bytes());
    }
    header.set_size(if size > OCTAL_11 { 0 } else { size });
    for (key, id) in [("uid", entry.owner.uid), ("gid", entry.owner.gid)] {
        if id > OCTAL_7 {
            push_record(records, key.as_bytes(), id.to_string().as_bytes());
        }
    }
    header.set_uid(entry.owner.uid.min(OCTAL_7).into());
    header.set_gid(entry.owner.gid.min(OCTAL_7).into());
    let Timestamp { seconds, nanos } = entry.modified;
    let rounded = u64::try_from(seconds).unwrap_or(0).min(OCTAL_11);
    header.set_mtime(rounded);
    if nanos != 0 || i64::try_from(rounded) != Ok(seconds) {
        push_record(records, b"mtime", timestamp_text(entry.modified).as_bytes());
    }
}

/// The header before the records.
fn records_header(entry: &Entry, len_bytes: u64) -> ::tar::Header {
    let mut header = ::tar::Header::new_ustar();
    header.set_entry_type(::tar::EntryType::XHeader);
    let name = printable(entry.path.file_name().unwrap_or(b"."));
    copy_start(&mut header.as_old_mut().name, &[b"PaxHeaders/", name.as_bytes()].concat());
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(len_bytes);
    header.set_cksum();
    header
}

/// Copies as much as fits; a field that is not full ends with a NUL.
fn copy_start(field: &mut [u8], text: &[u8]) {
    let len = text.len().min(field.len());
    field[..len].copy_from_slice(&text[..len]);
}

fn fill_block(bytes: &mut Vec<u8>) {
    let rest = padding(bytes.len() as u64);
    bytes.extend((0..rest).map(|_| 0));
    debug_assert_eq!(bytes.len() % BLOCK_BYTES, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_only_where_both_parts_fit() {
        let path = |parts: &[usize]| parts.iter().map(|len| "x".repeat(*len)).collect::<Vec<_>>().join("/");
        let lens = |path: &str| split_path(path.as_bytes()).map(|(prefix, name)| (prefix.len(), name.len()));
        assert_eq!(lens(&path(&[100])), Some((0, 100)));
        assert_eq!(lens(&path(&[101])), None);
        assert_eq!(lens(&path(&[155, 100])), Some((155, 100)));
        assert_eq!(lens(&path(&[155, 101])), None);
        assert_eq!(lens(&path(&[156, 99])), None);
        assert_eq!(lens(&path(&[50, 60])), Some((50, 60)));
        assert_eq!(lens(&(path(&[99, 99]) + "/")), Some((99, 100)));
        assert_eq!(lens(&(path(&[101]) + "/")), None);
    }

    #[test]
    fn a_map_has_the_end_of_a_file_with_a_hole_at_its_end() {
        let text = |len, data: &[Range<u64>]| {
            let map = sparse_map(len, data);
            assert_eq!(map.len(), BLOCK_BYTES);
            String::from_utf8(map).unwrap().trim_end_matches('\0').to_owned()
        };
        assert_eq!(text(10, &[]), "1\n10\n0\n");
        assert_eq!(text(10, &[2..4, 6..7]), "3\n2\n2\n6\n1\n10\n0\n");
        assert_eq!(text(10, &[0..1, 9..10]), "2\n0\n1\n9\n1\n");
    }
}
