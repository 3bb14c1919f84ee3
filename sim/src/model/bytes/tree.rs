//! A tree of files in one form, independent of its source, and the differences between two trees.
//!
//! Verified: kinds, modes, owners, times to the nanosecond, device numbers, link texts, attributes, inode flags, content, hard links.
//! Not verified: access and change times, and where a file's holes are on the medium.

use replicator_hal::{FileKind, Owner, RelativePath, Timestamp};
use std::collections::BTreeMap;

/// What is recorded for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its kind.
    pub kind: FileKind,
    /// Permission bits; 0 for symlinks, which have no mode of their own.
    pub mode: u32,
    /// Owner.
    pub owner: Owner,
    /// Last change.
    pub modified: Timestamp,
    /// Major and minor number.
    pub device: (u32, u32),
    /// Text of a symlink.
    pub text: Vec<u8>,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Inode flags, with the kernel's numbers.
    pub flags: u32,
    /// Content of a regular file.
    pub bytes: Vec<u8>,
    /// The first of its names, if it has several.
    pub first_name: Option<RelativePath>,
}

/// A tree by path, without its root.
pub type Tree = BTreeMap<RelativePath, Node>;

/// How `found` differs from `expected`, one line per name.
///
/// `may_be_newer` lists directories whose time may differ, because something in them was changed on purpose.
pub fn differences(expected: &Tree, found: &Tree, may_be_newer: &[RelativePath]) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, wanted) in expected {
        match found.get(path) {
            None => lines.push(format!("/{path} is missing")),
            Some(node) => {
                let mut node = node.clone();
                if may_be_newer.contains(path) {
                    node.modified = wanted.modified;
                }
                if let Some(how) = difference(wanted, &node) {
                    lines.push(format!("/{path}: {how}"));
                }
            }
        }
    }
    for path in found.keys().filter(|path| !expected.contains_key(*path)) {
        lines.push(format!("/{path} should not be there"));
    }
    lines
}

fn difference(wanted: &Node, found: &Node) -> Option<String> {
    if wanted == found {
        return None;
    }
    let mut parts = Vec::new();
    let mut compare = |what: &str, same: bool, wanted: String, found: String| {
        if !same {
            parts.push(format!("{what} is {found}, not {wanted}"));
        }
    };
    macro_rules! compare {
        ($($field:ident),*) => {
            $(compare(
                stringify!($field),
                wanted.$field == found.$field,
                format!("{:?}", wanted.$field),
                format!("{:?}", found.$field),
            );)*
        };
    }
    compare!(kind, mode, owner, modified, device, text, xattrs, flags, first_name);
    if wanted.bytes != found.bytes {
        let same = wanted.bytes.iter().zip(&found.bytes).take_while(|(one, other)| one == other).count();
        let lens = (wanted.bytes.len(), found.bytes.len());
        parts.push(format!("content differs from byte {same} on ({} bytes, not {})", lens.1, lens.0));
    }
    Some(parts.join(", "))
}
