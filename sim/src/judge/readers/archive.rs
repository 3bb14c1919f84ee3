//! Reads a tar archive for the checkers.
//!
//! Verified: header checksums, order, sizes, the end mark, and that nothing follows. It is written separately from
//! the engine's reader on purpose, and only for what a capture may write: POSIX ustar and pax headers, sparse files
//! in form 1.0.

use super::acl_text;
use crate::model::bytes::tree::{Node, Tree};
use replicator_hal::{FileKind, Owner, RelativePath, Timestamp};
use std::collections::BTreeMap;

const BLOCK: usize = 512;

struct Archive<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Records = BTreeMap<String, Vec<u8>>;

/// One member of an archive.
pub(in crate::judge) enum Member {
    /// A new node.
    Node(Node),
    /// A further name of an earlier one.
    Link(RelativePath),
}

/// The tree in an archive without duplicate names, as a capture makes it.
///
/// # Errors
/// The error in the archive.
pub fn read(bytes: &[u8]) -> Result<Tree, String> {
    let mut tree = Tree::new();
    for (path, member) in members(bytes)? {
        let node = match member {
            Member::Node(node) => node,
            Member::Link(existing) => link(&mut tree, &path, existing)?,
        };
        if !path.is_root() && tree.insert(path.clone(), node).is_some() {
            return Err(format!("/{path} is in the archive twice"));
        }
    }
    Ok(tree)
}

/// The node of a further name of `existing`.
pub(in crate::judge) fn link(
    tree: &mut Tree,
    path: &RelativePath,
    existing: RelativePath,
) -> Result<Node, String> {
    let node = tree.get_mut(&existing).ok_or_else(|| format!("/{path} links to a missing file"))?;
    node.first_name.get_or_insert(existing);
    Ok(node.clone())
}

/// All members, in the order of the archive.
///
/// # Errors
/// The error in the archive.
pub(in crate::judge) fn members(bytes: &[u8]) -> Result<Vec<(RelativePath, Member)>, String> {
    let mut archive = Archive { bytes, at: 0 };
    let mut members = Vec::new();
    let mut records = Records::new();
    loop {
        let header = archive.take(BLOCK)?;
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        check_sum(header)?;
        let len = match records.get("size") {
            Some(text) => number(text)? as usize,
            None => octal(&header[124..136])? as usize,
        };
        let stored = archive.take(len)?;
        archive.take((BLOCK - len % BLOCK) % BLOCK)?;
        if header[156] == b'x' {
            records = parse_records(stored)?;
            continue;
        }
        members.push(member(header, stored, &std::mem::take(&mut records))?);
    }
    if archive.bytes[archive.at..].iter().any(|byte| *byte != 0) || archive.bytes.len() < archive.at + BLOCK {
        return Err("the end mark is incomplete, or something follows it".into());
    }
    Ok(members)
}

impl<'a> Archive<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let piece = self.at.checked_add(len).and_then(|end| self.bytes.get(self.at..end));
        let piece = piece.ok_or_else(|| format!("the archive ends before byte {}", self.at + len))?;
        self.at += len;
        Ok(piece)
    }
}

fn member(header: &[u8], stored: &[u8], records: &Records) -> Result<(RelativePath, Member), String> {
    let raw_path = records.get("GNU.sparse.name").or(records.get("path")).cloned();
    let raw_path = raw_path.unwrap_or_else(|| ustar_path(header));
    let path = relative(&raw_path)?;
    let link = records.get("linkpath").cloned().unwrap_or_else(|| text(&header[157..257]).to_vec());
    if header[156] == b'1' {
        return Ok((path, Member::Link(relative(&link)?)));
    }
    let kind = match header[156] {
        b'0' | 0 => FileKind::File,
        b'2' => FileKind::Symlink,
        b'3' => FileKind::CharDevice,
        b'4' => FileKind::BlockDevice,
        b'5' => FileKind::Directory,
        b'6' => FileKind::Fifo,
        other => return Err(format!("/{path} has the unknown type {other}")),
    };
    let sparse = records.contains_key("GNU.sparse.major");
    let is_node = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
    let node = Node {
        kind,
        mode: if kind == FileKind::Symlink { 0 } else { octal(&header[100..108])? as u32 },
        owner: Owner {
            uid: id(records, "uid", &header[108..116])?,
            gid: id(records, "gid", &header[116..124])?,
        },
        modified: modified(records, &header[136..148])?,
        device: if is_node {
            (octal(&header[329..337])? as u32, octal(&header[337..345])? as u32)
        } else {
            (0, 0)
        },
        text: if kind == FileKind::Symlink { link } else { Vec::new() },
        xattrs: xattrs(records),
        flags: flags(records)?,
        bytes: if sparse { unfold(stored, records)? } else { stored.to_vec() },
        first_name: None,
    };
    Ok((path, Member::Node(node)))
}

fn relative(raw: &[u8]) -> Result<RelativePath, String> {
    RelativePath::parse(raw).map_err(|error| error.to_string())
}

fn ustar_path(header: &[u8]) -> Vec<u8> {
    let (name, prefix) = (text(&header[..100]), text(&header[345..500]));
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn check_sum(header: &[u8]) -> Result<(), String> {
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
        .sum();
    if octal(&header[148..156])? == sum { Ok(()) } else { Err("a header's checksum is wrong".into()) }
}

fn octal(field: &[u8]) -> Result<u64, String> {
    let digits: Vec<u8> = field.iter().copied().filter(|byte| *byte != 0 && *byte != b' ').collect();
    if digits.is_empty() {
        return Ok(0);
    }
    let text = std::str::from_utf8(&digits).map_err(|error| error.to_string())?;
    u64::from_str_radix(text, 8).map_err(|error| format!("{text:?}: {error}"))
}

fn number(text: &[u8]) -> Result<u64, String> {
    let text = String::from_utf8_lossy(text);
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

fn id(records: &Records, key: &str, field: &[u8]) -> Result<u32, String> {
    let value = match records.get(key) {
        Some(text) => number(text)?,
        None => octal(field)?,
    };
    u32::try_from(value).map_err(|error| error.to_string())
}

fn modified(records: &Records, field: &[u8]) -> Result<Timestamp, String> {
    let Some(text) = records.get("mtime") else {
        return Ok(Timestamp { seconds: octal(field)? as i64, nanos: 0 });
    };
    let text = String::from_utf8_lossy(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let seconds: i64 = whole.parse().map_err(|error| format!("{text:?}: {error}"))?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().map_err(|error| format!("{text:?}: {error}"))?;
    // A fraction of a negative number counts downwards.
    if whole.starts_with('-') && nanos > 0 {
        return Ok(Timestamp { seconds: seconds - 1, nanos: 1_000_000_000 - nanos });
    }
    Ok(Timestamp { seconds, nanos })
}

fn xattrs(records: &Records) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let named = records.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix("SCHILY.xattr.").or_else(|| acl_text::is_key(key).then_some(key))?;
        Some((name.as_bytes().to_vec(), value.clone()))
    });
    named.collect()
}

/// Inode flags: numbers of `linux/fs.h`, names of libarchive's documentation.
fn flags(records: &Records) -> Result<u32, String> {
    let names = records.get("SCHILY.fflags").map(|text| String::from_utf8_lossy(text).into_owned());
    let names = names.iter().flat_map(|names| names.split(',')).filter(|name| !name.is_empty());
    names
        .map(|name| match name {
            "sappnd" => Ok(0x20),
            "schg" => Ok(0x10),
            "nodump" => Ok(0x40),
            "noatime" => Ok(0x80),
            "sync" => Ok(0x8),
            other => Err(format!("the inode flag {other:?} is set by no scenario")),
        })
        .try_fold(0, |all, flag| flag.map(|flag: u32| all | flag))
}

fn parse_records(mut rest: &[u8]) -> Result<Records, String> {
    let mut records = Records::new();
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or("a record without a length")?;
        let len = number(&rest[..space])? as usize;
        let record = rest.get(space + 1..len.saturating_sub(1)).ok_or("a record that is cut off")?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or("a record without a value")?;
        let key = String::from_utf8_lossy(&record[..equals]).into_owned();
        records.insert(key, record[equals + 1..].to_vec());
        rest = &rest[len..];
    }
    Ok(records)
}

/// The bytes of a sparse file, from its map and its data.
fn unfold(stored: &[u8], records: &Records) -> Result<Vec<u8>, String> {
    let len = number(records.get("GNU.sparse.realsize").ok_or("a sparse file without a length")?)? as usize;
    let mut at = 0;
    let mut next = || {
        let end =
            stored[at..].iter().position(|byte| *byte == b'\n').ok_or("a sparse map that is cut off")?;
        let value = number(&stored[at..at + end]);
        at += end + 1;
        value.map(|value| value as usize)
    };
    let count = next()?;
    let ranges = (0..count).map(|_| Ok((next()?, next()?))).collect::<Result<Vec<_>, String>>()?;
    let mut data = &stored[at.div_ceil(BLOCK) * BLOCK..];
    let mut bytes = vec![0; len];
    for (start, piece) in ranges {
        let (head, tail) = data.split_at_checked(piece).ok_or("a sparse file without its data")?;
        bytes.get_mut(start..start + piece).ok_or("sparse data past the end")?.copy_from_slice(head);
        data = tail;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bytes::tree::differences;
    use crate::scenario::content::Owner;
    use crate::scenario::image::{member_border, rootfs_tree, tarball};

    fn owner() -> Owner<'static> {
        Owner { medium: "sd", seed: 7, generation: 1 }
    }

    #[test]
    fn the_checkers_reader_returns_the_tree_of_the_tarball() {
        let packed = rootfs_tree(&owner()).unwrap();
        let found = read(&tarball(&packed).unwrap()).unwrap();
        assert_eq!(differences(&packed, &found, &[]), Vec::<String>::new());
        assert!(packed.len() > 80);
    }

    #[test]
    fn a_cut_at_a_member_leaves_whole_members_only() {
        let mut plain = tarball(&rootfs_tree(&owner()).unwrap()).unwrap();
        let border = member_border(&plain);
        assert!(border > plain.len() / 4 && border < plain.len() - 2048 && border % 512 == 0);
        plain.truncate(border);
        plain.extend_from_slice(&[0; 1024]);
        read(&plain).unwrap();
    }
}
