//! From the live to the durable state: sync of a file, of a directory, of everything; growing.

use super::{Backing, DURABLE, Inode, Inodes, LIVE, NameChange, Outcome, SimFs, refuse};
use replicator_hal::{ErrorKind, FileKind};
use std::collections::BTreeMap;
use std::sync::Arc;

impl SimFs {
    /// Replaces one durable inode and updates the claims on blocks.
    pub(super) fn set_durable(&mut self, number: u64, inode: Option<Arc<Inode>>) {
        let new_blocks: Vec<u32> = inode.iter().flat_map(|inode| inode.blocks.values().copied()).collect();
        let old = match inode {
            Some(inode) => self.durable.insert(number, inode),
            None => self.durable.remove(&number),
        };
        for block in old.iter().flat_map(|old| old.blocks.values()) {
            self.set_claim(*block, DURABLE, false);
        }
        for block in new_blocks {
            self.set_claim(block, DURABLE, true);
        }
    }

    /// Writes the data of one inode to the medium; a flush is still needed.
    fn write_data(&mut self, backing: &mut dyn Backing, blocks: &[u32]) -> Outcome<()> {
        let block_len = u64::from(self.superblock.block_len);
        for block in blocks {
            if let Some(bytes) = self.unwritten.get(block) {
                backing.write(u64::from(*block) * block_len, bytes)?;
                if let Some(bytes) = self.unwritten.remove(block) {
                    self.cached.insert(*block, bytes);
                }
            }
        }
        Ok(())
    }

    /// Drops unflushed data of a file as the kernel does after a failed sync: the cache still returns it.
    pub fn lose_unwritten(&mut self, number: u64) {
        let blocks: Vec<u32> =
            self.inode(number).iter().flat_map(|node| node.blocks.values().copied()).collect();
        for block in blocks {
            if let Some(bytes) = self.unwritten.remove(&block) {
                self.cached.insert(block, bytes);
            }
        }
    }

    /// Lets reads of a file come from the medium.
    ///
    /// # Errors
    /// Those of [`SimFs::sync_file`].
    pub fn drop_cache(&mut self, backing: &mut dyn Backing, number: u64) -> Outcome<()> {
        self.sync_file(backing, number)?;
        self.forget_cached(number)
    }

    /// Drops the clean pages of a file.
    ///
    /// # Errors
    /// `NotFound` if the file is gone.
    pub fn forget_cached(&mut self, number: u64) -> Outcome<()> {
        let blocks: Vec<u32> = self.live_inode(number)?.blocks.values().copied().collect();
        for block in blocks {
            self.cached.remove(&block);
        }
        Ok(())
    }

    /// Makes content, length and attributes of a file durable, but none of its names.
    ///
    /// # Errors
    /// Those of the backing.
    pub fn sync_file(&mut self, backing: &mut dyn Backing, number: u64) -> Outcome<()> {
        let Some(inode) = self.live.get(&number).cloned() else {
            return refuse(ErrorKind::NotFound, "the file is gone");
        };
        let blocks: Vec<u32> = inode.blocks.values().copied().collect();
        let known = self.durable.get(&number).is_some_and(|durable| Arc::ptr_eq(durable, &inode));
        if known && !blocks.iter().any(|block| self.unwritten.contains_key(block)) {
            return Ok(backing.flush()?);
        }
        self.write_data(backing, &blocks)?;
        if inode.links > 0 {
            self.set_durable(number, Some(inode));
            self.commit(backing)?;
        }
        Ok(())
    }

    /// Makes the names in a directory durable; with a journal, also all earlier changes of names.
    ///
    /// # Errors
    /// Those of the backing.
    pub fn sync_dir(&mut self, backing: &mut dyn Backing, directory: u64) -> Outcome<()> {
        let pending = std::mem::take(&mut self.pending);
        let journalled = self.superblock.kind.journalled();
        for operation in pending {
            if journalled || operation.iter().all(|change| change.directory == directory) {
                self.apply_names(&operation);
            } else {
                self.pending.push_back(operation);
            }
        }
        self.take_attributes(directory);
        self.drop_unnamed();
        self.commit(backing)
    }

    /// Makes a synced directory's own attributes durable.
    fn take_attributes(&mut self, number: u64) {
        let (Some(live), Some(durable)) = (self.live.get(&number), self.durable.get(&number)) else {
            return;
        };
        let mut inode = Inode::clone(live);
        inode.entries.clone_from(&durable.entries);
        self.durable.insert(number, Arc::new(inode));
    }

    /// Applies changes of names to the durable state. A file that was never synced appears empty.
    pub(super) fn apply_names(&mut self, changes: &[NameChange]) {
        for change in changes {
            if let Some(entry) = &change.entry {
                self.make_durable_inode(entry.inode);
            }
            self.make_durable_inode(change.directory);
            let Some(directory) = self.durable.get_mut(&change.directory) else {
                continue;
            };
            let entries = &mut Arc::make_mut(directory).entries;
            match change.entry.clone() {
                Some(entry) => entries.insert(change.name.clone(), entry),
                None => entries.remove(&change.name),
            };
        }
    }

    fn make_durable_inode(&mut self, number: u64) {
        if self.durable.contains_key(&number) {
            return;
        }
        if let Some(live) = self.live.get(&number) {
            let mut inode = Inode::clone(live);
            inode.entries.clear();
            inode.blocks.clear();
            inode.len_bytes = 0;
            self.set_durable(number, Some(Arc::new(inode)));
        }
    }

    /// Frees durable inodes that are not in the live tree and have no durable name any more.
    fn drop_unnamed(&mut self) {
        let mut named: BTreeMap<u64, ()> = BTreeMap::new();
        for inode in self.durable.values() {
            named.extend(inode.entries.values().map(|entry| (entry.inode, ())));
        }
        let gone: Vec<u64> = self
            .durable
            .keys()
            .filter(|number| {
                **number != super::ROOT && !named.contains_key(number) && !self.live.contains_key(number)
            })
            .copied()
            .collect();
        for number in gone {
            self.set_durable(number, None);
        }
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// Those of the backing.
    pub fn sync(&mut self, backing: &mut dyn Backing) -> Outcome<()> {
        let named: Inodes = self
            .live
            .iter()
            .filter(|(_, inode)| inode.links > 0 || inode.kind == FileKind::Directory)
            .map(|(number, inode)| (*number, Arc::clone(inode)))
            .collect();
        let unchanged = self.pending.is_empty()
            && self.unwritten.is_empty()
            && named.len() == self.durable.len()
            && named.iter().zip(&self.durable).all(|(one, two)| one.0 == two.0 && Arc::ptr_eq(one.1, two.1));
        if unchanged {
            return Ok(backing.flush()?);
        }
        let blocks: Vec<u32> = self.unwritten.keys().copied().collect();
        self.write_data(backing, &blocks)?;
        self.pending.clear();
        let stale: Vec<u64> =
            self.durable.keys().filter(|number| !named.contains_key(number)).copied().collect();
        for number in stale {
            self.set_durable(number, None);
        }
        for (number, inode) in named {
            if !self.durable.get(&number).is_some_and(|durable| Arc::ptr_eq(durable, &inode)) {
                self.set_durable(number, Some(inode));
            }
        }
        self.commit(backing)
    }

    /// Whether a power cut would lose something.
    pub fn has_unsynced(&self) -> bool {
        !self.pending.is_empty()
            || !self.unwritten.is_empty()
            || self.live.iter().any(|(number, inode)| {
                inode.links > 0 && !self.durable.get(number).is_some_and(|durable| durable == inode)
            })
    }

    /// Marks the file system on the medium as mounted for writing, or as cleanly unmounted.
    ///
    /// # Errors
    /// Those of the backing.
    pub fn mark_dirty(&mut self, backing: &mut dyn Backing, dirty: bool) -> Outcome<()> {
        self.superblock.dirty = dirty;
        let superblock = self.superblock.clone();
        superblock.store(backing)
    }

    /// Extends the file system to the length.
    ///
    /// # Errors
    /// `NoSpace` if the region is smaller than the file system; those of the backing.
    pub fn grow(&mut self, backing: &mut dyn Backing, len_bytes: u64) -> Outcome<()> {
        let block_len = u64::from(self.superblock.block_len);
        let len_bytes = len_bytes / block_len * block_len;
        if len_bytes < self.superblock.len_bytes {
            return refuse(ErrorKind::NoSpace, "the region is smaller than the file system");
        }
        self.superblock.len_bytes = len_bytes;
        let count = self.superblock.block_count() as usize;
        let added = count - self.claims.len();
        Arc::make_mut(&mut self.claims).resize(count, 0);
        self.free_blocks += added as u32;
        debug_assert_eq!(
            self.free_blocks as usize,
            self.claims.iter().filter(|claim| **claim & (LIVE | DURABLE | super::FIXED) == 0).count()
        );
        self.superblock.clone().store(backing)
    }
}
