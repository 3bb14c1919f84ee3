//! Extracts an archive whose entries come in order (`formats::tar::in_order`), without a list of them: a directory gets its
//! attributes after its last entry, and only files with inode flags are remembered.

use super::{Expectation, Extract, Extracted, Extraction, apply, cannot_be_extracted};
use crate::error::{Error, Result};
use crate::formats::tar::in_order::{Closed, InOrder};
use crate::formats::tar::{Entry, EntryKind, Reader, ReaderLimits};
use crate::write::tar_limits::Needs;
use crate::write::tar_times;
use replicator_hal::{InodeFlags, RelativePath};
use std::collections::BTreeMap;
use std::io::Read;

impl Extract<'_> {
    /// The same as [`Extract::listed`] for an archive that the check found to be in order.
    ///
    /// # Errors
    /// Errors of the archive and of the medium.
    pub(in crate::write) fn in_order(&self, content: &mut dyn Read) -> Result<Extracted> {
        let name = self.name;
        let mut extraction = Extraction::new(self, Needs::without_list());
        let mut reader = Reader::with_names(content, ReaderLimits::default(), self.names.clone());
        let mut order = InOrder::new(None);
        let mut flags = BTreeMap::new();
        while let Some(mut entry) = reader.next_entry().map_err(Error::format(name))? {
            entry.modified = tar_times::nearest(entry.modified);
            extraction.count(&entry)?;
            let mut ended = Vec::new();
            order
                .go_to(&entry.path, |closed| ended.push(closed))
                .map_err(|_| cannot_be_extracted(name, &entry.path, "is not in the order of the check"))?;
            for closed in &ended {
                extraction.finish_directory(closed)?;
            }
            extraction.in_order(entry, &mut order, &mut flags, &mut reader)?;
        }
        extraction.needs.check_not_empty(name)?;
        while let Some(closed) = order.close() {
            extraction.finish_directory(&closed)?;
        }
        let mut remarks = reader.remarks().clone();
        for (path, flags) in flags.iter_mut().rev() {
            extraction.set_flags_of(path, flags, &mut remarks)?;
        }
        Ok(Extracted {
            expectation: Expectation::InOrder(flags),
            notes: remarks.lines(),
            headers_hash: reader.headers_hash(),
        })
    }
}

impl Extraction<'_> {
    /// Extracts one entry. Its directory is there, and nothing else has its name.
    fn in_order(
        &mut self,
        entry: Entry,
        order: &mut InOrder<Option<Entry>>,
        flags: &mut BTreeMap<RelativePath, InodeFlags>,
        reader: &mut Reader<&mut dyn Read>,
    ) -> Result<()> {
        let path = entry.path.clone();
        if !entry.flags.is_empty() && !matches!(entry.kind, EntryKind::HardLink { .. }) {
            flags.insert(path.clone(), entry.flags);
        }
        match &entry.kind {
            EntryKind::Directory => {
                self.directory(&path)?;
                order.open(path, Some(entry));
                return Ok(());
            }
            EntryKind::File { .. } => {
                self.file(&path, &entry, reader)?;
                return Ok(());
            }
            EntryKind::HardLink { existing } => {
                return self.create(&path, |volume| volume.hard_link(existing, &path));
            }
            EntryKind::Symlink { text } => self.create(&path, |volume| volume.symlink(&path, text))?,
            EntryKind::Node(node) => {
                self.create(&path, |volume| volume.make_node(&path, *node, entry.mode))?
            }
        }
        apply(self.volume, &path, &entry).map_err(self.failed(&path))
    }

    /// Sets the attributes of a directory after its last entry.
    fn finish_directory(&self, closed: &Closed<Option<Entry>>) -> Result<()> {
        let Some(entry) = &closed.data else { return Ok(()) };
        apply(self.volume, &closed.path, entry).map_err(self.failed(&closed.path))?;
        self.operation.renew(self.operation.tuning.io_lease);
        Ok(())
    }
}
