//! What a power cut leaves of changes that were not durable yet.

use super::{Backing, Inode, Inodes, Outcome, SimFs};
use crate::model::time::random::Random;
use replicator_hal::FileKind;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which unflushed changes survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Survival {
    /// None of them.
    None,
    /// All of them.
    All,
    /// Names, but no data and no lengths: the result of a missing sync before a rename.
    DataLate,
    /// A random part. Journalled file systems keep the order of names and write data before lengths; the others keep
    /// any part of anything, and sectors that were not written keep their old content.
    Subset(u64),
    /// As `Subset`, and some of the sectors that were being written hold neither the old nor the new content, but
    /// garbage.
    Garbage(u64),
}

/// The choices for each piece.
struct Losses {
    random: Random,
    /// A sector that does not survive may hold garbage instead of its old content.
    torn: bool,
}

impl SimFs {
    /// Writes the surviving part to the medium. The file system stays marked as not cleanly unmounted; its state in
    /// memory is invalid afterwards.
    ///
    /// # Errors
    /// Those of the backing.
    pub fn crash(&mut self, backing: &mut dyn Backing, survival: Survival, name: &str) -> Outcome<()> {
        if !self.has_unsynced() {
            return Ok(());
        }
        let durable = self.durable.clone();
        match survival {
            Survival::None => Ok(()),
            Survival::All => self.sync(backing),
            Survival::DataLate => {
                for operation in std::mem::take(&mut self.pending) {
                    self.apply_names(&operation);
                }
                self.commit_unless(backing, &durable)
            }
            Survival::Subset(seed) | Survival::Garbage(seed) => {
                let mut random = Random::child(seed, &format!("survival:{name}"));
                self.keep_some_names(&mut random);
                let mut losses = Losses { random, torn: matches!(survival, Survival::Garbage(_)) };
                let changed: Vec<(u64, Arc<Inode>)> = self
                    .live
                    .iter()
                    .filter(|(_, inode)| inode.kind == FileKind::File && inode.links > 0)
                    .map(|(number, inode)| (*number, Arc::clone(inode)))
                    .collect();
                for (number, inode) in changed {
                    self.keep_some_data(backing, &mut losses, number, &inode)?;
                }
                self.commit_unless(backing, &durable)
            }
        }
    }

    /// Writes the durable tree if it differs from this one: unchanged metadata are not written.
    fn commit_unless(&mut self, backing: &mut dyn Backing, durable: &Inodes) -> Outcome<()> {
        let same = self.durable.len() == durable.len()
            && self
                .durable
                .iter()
                .zip(durable)
                .all(|(one, other)| one.0 == other.0 && Arc::ptr_eq(one.1, other.1));
        if same { Ok(backing.flush()?) } else { self.commit(backing) }
    }

    fn keep_some_names(&mut self, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        if self.superblock.kind.journalled() {
            let kept = random.below(pending.len() as u64 + 1) as usize;
            for operation in pending.iter().take(kept) {
                self.apply_names(operation);
            }
        } else {
            for operation in pending.iter().filter(|_| random.coin()) {
                self.apply_names(operation);
            }
        }
    }

    /// Keeps a random part of one file's unflushed content.
    fn keep_some_data(
        &mut self,
        backing: &mut dyn Backing,
        losses: &mut Losses,
        number: u64,
        live: &Inode,
    ) -> Outcome<()> {
        let durable_blocks = self.durable.get(&number).map(|inode| inode.blocks.clone()).unwrap_or_default();
        let is_new = |index: &u64, block: &u32| durable_blocks.get(index) != Some(block);
        // Blocks that the durable file already has are overwritten in place: each sector may be old or new.
        for (_, block) in live.blocks.iter().filter(|(index, block)| !is_new(index, block)) {
            self.keep_some_sectors(backing, losses, *block)?;
        }
        let new: BTreeMap<u64, u32> = live
            .blocks
            .iter()
            .filter(|(index, block)| is_new(index, block))
            .map(|(index, block)| (*index, *block))
            .collect();
        let durable_len = self.durable.get(&number).map_or(0, |inode| inode.len_bytes);
        if new.is_empty() && durable_len == live.len_bytes {
            return Ok(());
        }
        let mut survivor = live.clone();
        if self.superblock.kind.journalled() {
            // Ordered: a prefix of the new blocks, with all of their data, and no length beyond them.
            let kept = losses.random.below(new.len() as u64 + 1) as usize;
            let kept_blocks: Vec<u32> = new.values().take(kept).copied().collect();
            for block in &kept_blocks {
                if let Some(bytes) = self.unwritten.get(block) {
                    backing.write(u64::from(*block) * u64::from(self.superblock.block_len), bytes)?;
                }
            }
            if let Some(first_lost) = new.keys().nth(kept) {
                survivor
                    .blocks
                    .retain(|index, block| durable_blocks.get(index) == Some(block) || index < first_lost);
                survivor.len_bytes =
                    live.len_bytes.min(durable_len.max(first_lost * u64::from(self.superblock.block_len)));
            }
        } else {
            for block in new.values() {
                self.keep_some_sectors(backing, losses, *block)?;
            }
            if losses.random.coin() {
                return Ok(());
            }
        }
        self.set_durable(number, Some(Arc::new(survivor)));
        Ok(())
    }

    fn keep_some_sectors(&self, backing: &mut dyn Backing, losses: &mut Losses, block: u32) -> Outcome<()> {
        let Some(bytes) = self.unwritten.get(&block) else {
            return Ok(());
        };
        let start = u64::from(block) * u64::from(self.superblock.block_len);
        for (sector, data) in bytes.chunks(crate::model::bytes::pages::SECTOR_LEN).enumerate() {
            let at = start + (sector * crate::model::bytes::pages::SECTOR_LEN) as u64;
            if losses.random.coin() {
                backing.write(at, data)?;
            } else if losses.torn {
                let mut bytes = vec![0; data.len()];
                backing.read(at, &mut bytes)?;
                losses.random.tear(&mut bytes);
                backing.write(at, &bytes)?;
            }
        }
        Ok(())
    }
}
