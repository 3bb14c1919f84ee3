//! The check of an archive whose entries come in order (`formats::tar::in_order`), without a list of them.
//!
//! Kept are the directories above the current entry, the upper part of the tree, and the files with inode flags or with hard
//! links. If these take more memory than a list may, or if an entry is not in order, a list is made after all.

use super::{Archive, Check, Counted, Looked, Pass, Space, Way};
use crate::error::{Error, Refusal, Result};
use crate::formats::tar::in_order::InOrder;
use crate::formats::tar::{Entry, EntryKind, Reader, ReaderLimits, Skip};
use crate::write::extract::cannot_be_extracted;
use crate::write::tar_limits::{self, Needs};
use crate::write::tar_room::Directory;
use crate::write::tar_room::in_order::InOrderCounter;
use crate::write::tar_rootfs;
use crate::write::tar_tree::Shape;
use replicator_hal::RelativePath;
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64;

/// Directories and links up to this depth are in the tree: those that make a root file system.
const TREE_DEPTH: usize = 2;

/// The first names of files with hard links, as hashes, and how many names each has.
#[derive(Default)]
pub(super) struct Links {
    names: BTreeMap<u64, u64>,
}

impl Links {
    /// Whether there are none.
    pub(super) fn are_none(&self) -> bool {
        self.names.is_empty()
    }
}

fn hash(path: &RelativePath) -> u64 {
    xxh3_64(path.as_bytes())
}

impl Check<'_> {
    /// Counts without a list.
    pub(super) fn count_in_order(&self, content: &mut dyn Skip) -> Result<Pass<(Counted, Links)>> {
        let (name, tuning) = (self.name, self.operation.tuning);
        let mut reader = Reader::collecting_names(content, ReaderLimits::default()).skipping();
        let mut looked = Looked::default();
        let mut needs = Needs::without_list();
        let mut space = InOrderCounter::new(self.destination.flavour);
        let mut tree = Shape::default();
        let mut links = Links::default();
        let mut order = InOrder::new(Directory::default());
        let mut kept_bytes = 0_u64;
        let refused = |why: String| Error::refused(Refusal::CannotHold, format!("{name}: {why}"));
        while let Some(entry) = reader.next_entry().map_err(Error::format(name))? {
            needs.add(name, &entry, tuning, self.destination.medium_len_bytes)?;
            let mut ended = Vec::new();
            if order.go_to(&entry.path, |closed| ended.push(closed)).is_err() {
                return Ok(Pass::Again(Way::List));
            }
            for closed in &ended {
                space.close(closed).map_err(refused)?;
            }
            let parent = if entry.path.is_root() { None } else { order.innermost() };
            space.add(&entry, parent).map_err(self.cannot_hold(&entry))?;
            if entry.kind == EntryKind::Directory {
                order.open(entry.path.clone(), Directory::default());
            }
            if let EntryKind::HardLink { existing } = &entry.kind {
                *links.names.entry(hash(existing)).or_insert(1) += 1;
            }
            if is_in_tree(&entry) {
                tree.add(&entry).map_err(|why| cannot_be_extracted(name, &entry.path, &why))?;
            }
            if is_in_tree(&entry) || is_kept(&entry) {
                kept_bytes = kept_bytes.saturating_add(tar_limits::memory_bytes(&entry));
            }
            if kept_bytes > tuning.tar_list_bytes {
                return Ok(Pass::Again(Way::List));
            }
            looked.look(&entry, entry.path.clone(), &mut reader).map_err(Error::format(name))?;
        }
        while let Some(closed) = order.close() {
            space.close(&closed).map_err(refused)?;
        }
        if links.names.values().any(|names| *names > space.names_max()) {
            // The list says which file it is.
            return Ok(Pass::Again(Way::List));
        }
        // What is missing here may be in the whole tree.
        let Ok(looked) = looked.finish(name, &tree, &reader) else { return Ok(Pass::Again(Way::List)) };
        if tar_rootfs::refusal(name, &tree)?.is_some() {
            return Ok(Pass::Again(Way::List));
        }
        let headers_hash = reader.headers_hash();
        let counted = Counted { headers_hash, needs, space: Space::InOrder(space.finish()), tree, looked };
        Ok(Pass::Done((counted, links)))
    }

    /// Whether the first name of every hard link comes before it, and is the first name of a file that may have several.
    pub(super) fn has_targets(&self, links: Links, archive: Archive) -> Result<bool> {
        let name = self.name;
        let (pass, _) = self.read("checking the hard links", Some(archive), |content| {
            let mut reader = Reader::collecting_names(content, ReaderLimits::default()).skipping();
            let mut seen = BTreeSet::new();
            while let Some(entry) = reader.next_entry().map_err(Error::format(name))? {
                match &entry.kind {
                    EntryKind::Directory => {}
                    EntryKind::HardLink { existing } if !seen.contains(&hash(existing)) => {
                        return Ok(Pass::Again(Way::List));
                    }
                    EntryKind::HardLink { .. } => {}
                    _ => {
                        let hash = hash(&entry.path);
                        if links.names.contains_key(&hash) {
                            seen.insert(hash);
                        }
                    }
                }
            }
            Ok(Pass::Done(()))
        })?;
        Ok(matches!(pass, Pass::Done(())))
    }
}

/// Whether the tree needs the entry: to find the root file system, and its lists of users and groups.
fn is_in_tree(entry: &Entry) -> bool {
    let is_upper = entry.path.components().count() <= TREE_DEPTH
        && matches!(entry.kind, EntryKind::Directory | EntryKind::Symlink { .. });
    let is_hard_link = matches!(entry.kind, EntryKind::HardLink { .. });
    is_upper || !is_hard_link && matches!(entry.path.file_name(), Some(b"passwd" | b"group"))
}

/// Whether something is remembered of the entry until it is verified.
fn is_kept(entry: &Entry) -> bool {
    !entry.flags.is_empty() || matches!(entry.kind, EntryKind::HardLink { .. })
}
