//! Counts the space of an archive whose entries come in order (`formats::tar::in_order`), without a list of them.

use super::{Counter, Directory, NAMES_MAX, Room, SHARERS_OF_ATTRIBUTES, SUBDIRECTORIES_MAX, shown};
use crate::formats::tar::in_order::Closed;
use crate::formats::tar::{Entry, EntryKind};
use replicator_hal::Flavour;
use std::collections::BTreeMap;

/// How many different sets of attributes are counted with the files that share them. A further one is counted for each file.
const SETS_MAX: usize = 1 << 14;

/// Adds up the entries one after the other.
pub(in crate::write) struct InOrderCounter {
    counter: Counter,
    room: Room,
    /// How many files have each set of attributes.
    attributes: BTreeMap<u64, u64>,
    /// Files with the sets beyond [`SETS_MAX`].
    more_sets: u64,
}

impl InOrderCounter {
    /// For a file system of this flavour.
    pub(in crate::write) fn new(flavour: Flavour) -> Self {
        let counter = Counter::new(flavour);
        let room = counter.empty_room();
        Self { counter, room, attributes: BTreeMap::new(), more_sets: 0 }
    }

    /// Counts an entry. `parent` is its directory; the root has none.
    ///
    /// # Errors
    /// Why no file system of the flavour holds it, in words that follow the entry's name.
    pub(in crate::write) fn add(
        &mut self,
        entry: &Entry,
        parent: Option<&mut Directory>,
    ) -> Result<(), String> {
        let held = self.counter.held_by(entry)?;
        if let (Some(parent), Some(name)) = (parent, entry.path.file_name()) {
            parent.add(name, entry.kind == EntryKind::Directory);
        }
        if matches!(entry.kind, EntryKind::HardLink { .. }) {
            return Ok(());
        }
        self.room.inodes += u64::from(!entry.path.is_root());
        self.room.take(&held, &mut self.attributes);
        if self.attributes.len() > SETS_MAX {
            self.more_sets += self.attributes.pop_last().map_or(0, |(_, count)| count);
        }
        Ok(())
    }

    /// Counts a directory after its last entry.
    ///
    /// # Errors
    /// Why no file system of the flavour holds it, in words.
    pub(in crate::write) fn close(&mut self, closed: &Closed<Directory>) -> Result<(), String> {
        let directory = &closed.data;
        if !self.counter.flavour.has_extents() && directory.subdirectories > SUBDIRECTORIES_MAX {
            return Err(format!(
                "{} holds {} directories, but a directory can hold {SUBDIRECTORIES_MAX}",
                shown(&closed.path),
                directory.subdirectories
            ));
        }
        self.room.add_directory(directory);
        Ok(())
    }

    /// The most names of one file.
    pub(in crate::write) fn names_max(&self) -> u64 {
        NAMES_MAX[usize::from(self.counter.flavour.has_extents())]
    }

    /// The space of all entries.
    pub(in crate::write) fn finish(self) -> Room {
        let mut room = self.room;
        room.obstacles = self.counter.obstacles;
        room.large_attributes = self.counter.large_attributes;
        let shared = self.attributes.values().map(|count| count.div_ceil(SHARERS_OF_ATTRIBUTES)).sum::<u64>();
        room.blocks = room.blocks.map(|blocks| blocks + shared + self.more_sets);
        room.reserve_for_fragments();
        room
    }
}
