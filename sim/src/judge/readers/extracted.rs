//! The tree that results from extracting an archive, including overlays.
//!
//! Verified: a directory entry that meets a symlink to a directory keeps the link, entries behind a link go where the
//! link leads (inside of the root), anything else replaces the file with its name, directories without an entry are
//! made. An archive that cannot be extracted is an error here; how the engine refuses it is not verified. Written
//! separately from the engine's own rule.

use super::acl_text;
use super::archive::{Member, link, members};
use crate::model::bytes::tree::{Node, Tree};
use replicator_hal::{FileKind, Owner, RelativePath, Timestamp};

/// The tree in `bytes`.
///
/// # Errors
/// The error in the archive.
pub fn read(bytes: &[u8]) -> Result<Tree, String> {
    let mut tree = Tree::new();
    for (named, member) in members(without_index(bytes))? {
        let (Some(parent), Some(name)) = (named.parent(), named.file_name()) else { continue };
        let modified = match &member {
            Member::Node(node) => node.modified,
            Member::Link(existing) => {
                tree.get(existing).map_or_else(Timestamp::default, |node| node.modified)
            }
        };
        let mut path = below(&walk(&mut tree, parent.as_bytes(), modified, 0)?, name)?;
        let node = match member {
            Member::Node(node) => node,
            Member::Link(existing) => {
                let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
                    return Err(format!("/{named} links to the root"));
                };
                let existing = below(&walk(&mut tree, parent.as_bytes(), modified, 0)?, name)?;
                link(&mut tree, &named, existing)?
            }
        };
        if node.kind == FileKind::Directory && is(&tree, &path, FileKind::Symlink) {
            let before = tree.clone();
            match walk(&mut tree, path.as_bytes(), modified, 0) {
                // This entry made it, so it has the entry's attributes.
                Ok(end) if !before.contains_key(&end) => path = end,
                Ok(_) => continue,
                Err(_) => tree = before,
            }
        }
        let holds_something = tree.keys().any(|other| other != &path && other.starts_with(&path));
        if node.kind != FileKind::Directory && holds_something {
            return Err(format!("/{path} would replace a directory that is not empty"));
        }
        replace(&mut tree, path, node);
    }
    acl_text::resolve(&mut tree)?;
    Ok(tree)
}

/// An archive without the index that `pixz` appends: a magic number, names and offsets, and at last where it begins.
fn without_index(bytes: &[u8]) -> &[u8] {
    let magic = 0xdbae_14d6_2e32_4ca6_u64.to_le_bytes();
    let end = bytes.last_chunk::<8>().map(|end| u64::from_le_bytes(*end));
    let archive = end.and_then(|end| bytes.split_at_checked(usize::try_from(end).ok()?));
    archive.filter(|(_, index)| index.starts_with(&magic)).map_or(bytes, |(archive, _)| archive)
}

/// Puts `node` at `path`; other names of the old file stay.
fn replace(tree: &mut Tree, path: RelativePath, node: Node) {
    let Some(gone) = tree.insert(path.clone(), node) else { return };
    let Some(first) = gone.first_name.filter(|_| gone.kind != FileKind::Directory) else { return };
    let others: Vec<RelativePath> = tree
        .iter()
        .filter(|(other, node)| **other != path && node.first_name.as_ref() == Some(&first))
        .map(|(other, _)| other.clone())
        .collect();
    let name = others.first().filter(|_| others.len() > 1).cloned();
    for other in others {
        if let Some(node) = tree.get_mut(&other) {
            node.first_name = name.clone();
        }
    }
}

fn is(tree: &Tree, path: &RelativePath, kind: FileKind) -> bool {
    tree.get(path).is_some_and(|node| node.kind == kind)
}

fn below(directory: &RelativePath, name: &[u8]) -> Result<RelativePath, String> {
    directory.join(name).map_err(|error| error.to_string())
}

/// The directory that a text leads to from the root; missing directories are made.
fn walk(tree: &mut Tree, text: &[u8], modified: Timestamp, depth: usize) -> Result<RelativePath, String> {
    walk_from(tree, RelativePath::root(), text, modified, depth)
}

fn walk_from(
    tree: &mut Tree,
    start: RelativePath,
    text: &[u8],
    modified: Timestamp,
    depth: usize,
) -> Result<RelativePath, String> {
    if depth > 40 {
        return Err("links form a loop".into());
    }
    let mut at = if text.starts_with(b"/") { RelativePath::root() } else { start };
    for name in text.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => continue,
            b".." => at = at.parent().unwrap_or_default(),
            name => {
                let here = below(&at, name)?;
                at = match tree.get(&here).map(|node| (node.kind, node.text.clone())) {
                    None => {
                        tree.insert(here.clone(), implied(modified));
                        here
                    }
                    Some((FileKind::Directory, _)) => here,
                    Some((FileKind::Symlink, text)) => walk_from(tree, at, &text, modified, depth + 1)?,
                    Some(_) => return Err(format!("/{here} is not a directory")),
                };
            }
        }
    }
    Ok(at)
}

fn implied(modified: Timestamp) -> Node {
    Node {
        kind: FileKind::Directory,
        mode: 0o755,
        owner: Owner::default(),
        modified,
        device: (0, 0),
        text: Vec::new(),
        xattrs: Default::default(),
        flags: 0,
        bytes: Vec::new(),
        first_name: None,
    }
}
