//! The files of a file system in bytes, as another computer would find them.

use crate::model::bytes::file_bytes::FileBytes;
use crate::model::bytes::pages::Pages;
use crate::model::bytes::tree::{Node, Tree};
use crate::model::hardware::content::PagesBacking;
use crate::model::hardware::simfs::{Inode, ROOT, SimFs};
use replicator_hal::{Error, ErrorKind, FileKind, RelativePath, Result};
use std::collections::BTreeMap;
use std::ops::Range;

/// A file, directory, link or node as found on a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Its metadata.
    pub inode: Inode,
    /// Number that hard links share.
    pub number: u64,
    /// Content of a regular file.
    pub bytes: FileBytes,
}

/// The files of a file system, by path.
pub type FoundFiles = BTreeMap<RelativePath, FoundFile>;

/// All files in an extent of bytes, as another computer would find them.
///
/// # Errors
/// `Unsupported` if there is no simulated file system, `Corrupt` if it cannot be read.
pub fn files_in(pages: &Pages, start_bytes: u64, len_bytes: u64) -> Result<FoundFiles> {
    let mut copy = pages.clone();
    let mut backing = PagesBacking { pages: &mut copy, start_bytes };
    let fs =
        SimFs::load(&mut backing, len_bytes).map_err(|refusal| refusal.into_error("reading", "a medium"))?;
    let mut found = FoundFiles::new();
    let mut queue = vec![(RelativePath::root(), ROOT)];
    while let Some((path, number)) = queue.pop() {
        let Some(inode) = fs.inode(number).cloned() else {
            continue;
        };
        // A damaged tree may have a directory below itself. A path cannot be longer than this.
        if path.as_bytes().len() > 4096 {
            return Err(Error::new(ErrorKind::Corrupt, "reading", "a medium", "directories form a loop"));
        }
        for entry in inode.entries.values() {
            if let Ok(child) = path.join(&entry.name) {
                queue.push((child, entry.inode));
            }
        }
        let bytes = match inode.kind {
            FileKind::File => content(pages, start_bytes, fs.superblock().block_len, &inode),
            _ => FileBytes::default(),
        };
        if !path.is_root() {
            found.insert(path, FoundFile { inode, number, bytes });
        }
    }
    Ok(found)
}

fn content(pages: &Pages, start_bytes: u64, block_len: u32, inode: &Inode) -> FileBytes {
    let block_len = u64::from(block_len);
    let mut pieces: Vec<(usize, Range<u64>)> = Vec::new();
    for (index, block) in &inode.blocks {
        let Ok(start) = usize::try_from(index.saturating_mul(block_len)) else { break };
        let at = start_bytes + u64::from(*block) * block_len;
        match pieces.last_mut() {
            Some((first, range))
                if range.end == at && *first + (range.end - range.start) as usize == start =>
            {
                range.end += block_len;
            }
            _ => pieces.push((start, at..at + block_len)),
        }
    }
    FileBytes::new(pages, pieces, usize::try_from(inode.len_bytes).unwrap_or(0))
}

/// The tree of a file system that was found on a medium.
pub fn tree_of(found: &FoundFiles) -> Tree {
    let mut names: BTreeMap<u64, Vec<&RelativePath>> = BTreeMap::new();
    for (path, file) in found {
        names.entry(file.number).or_default().push(path);
    }
    let node = |file: &FoundFile| {
        let names = names.get(&file.number).map(Vec::as_slice).unwrap_or_default();
        let inode = &file.inode;
        Node {
            kind: inode.kind,
            mode: if inode.kind == FileKind::Symlink { 0 } else { inode.mode },
            owner: inode.owner,
            modified: inode.modified,
            device: inode.device,
            text: inode.text.clone(),
            xattrs: inode.xattrs.clone(),
            flags: inode.flags,
            bytes: file.bytes.to_vec(),
            first_name: names.first().filter(|_| names.len() > 1).map(|path| (*path).clone()),
        }
    };
    found.iter().map(|(path, file)| (path.clone(), node(file))).collect()
}
