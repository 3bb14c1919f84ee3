//! The files on the drives of one run: read once, and shared between snapshots.
//!
//! Judges look at many snapshots that differ in a page or two. A file that is equal in two snapshots is one object in
//! both, together with cached results, so that it is decoded and judged once.

use crate::model::bytes::pages::Pages;
use crate::model::bytes::partitions::read_partitions;
use crate::model::hardware::found::{FoundFiles, files_in};
use replicator_hal::Result;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// How many drives are kept; judges request those of one run repeatedly.
const KEPT: usize = 8;

/// A drive, and its files.
type Read = (Pages, Arc<FoundFiles>);

/// The drives that were read last. Cloning is cheap; clones share the drives.
#[derive(Clone, Default)]
pub struct Drives(Arc<Mutex<VecDeque<Read>>>);

impl Drives {
    /// The files of a drive; none if it cannot be read.
    pub(super) fn files(&self, drive: &Pages) -> Arc<FoundFiles> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(pages, _)| pages.is_shared_with(drive)) {
            // The most recently used one is first.
            kept.make_contiguous()[..=at].rotate_right(1);
            return Arc::clone(&kept[0].1);
        }
        let mut files = read(drive).unwrap_or_default();
        share(&mut files, kept.iter().map(|(_, files)| &**files));
        let files = Arc::new(files);
        kept.truncate(KEPT - 1);
        kept.push_front((drive.clone(), Arc::clone(&files)));
        files
    }
}

/// The files of a drive.
///
/// # Errors
/// If its file system cannot be read.
pub(super) fn read(drive: &Pages) -> Result<FoundFiles> {
    match read_partitions("drive", drive).first() {
        Some(first) => files_in(drive, first.start_bytes, first.len_bytes),
        None => Ok(FoundFiles::new()),
    }
}

/// Replaces files by equal ones of the kept drives.
fn share<'a>(files: &mut FoundFiles, kept: impl Iterator<Item = &'a FoundFiles> + Clone) {
    for file in files.values_mut() {
        let mut others = kept.clone().flat_map(|files| files.values());
        let same = others.find(|other| other.number == file.number && other.bytes.is_same(&file.bytes));
        if let Some(same) = same {
            file.bytes = same.bytes.clone();
        }
    }
}
