//! The mounted volumes: finds the tree of a [`VolumeId`].

use super::Tree;
use crate::{Error, ErrorKind, Result, VolumeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The mounted volumes of a backend. A volume is found while its tree exists and is open.
#[derive(Debug, Default)]
pub struct Volumes {
    trees: Mutex<(u64, BTreeMap<VolumeId, Weak<Tree>>)>,
}

impl Volumes {
    /// Adds a tree and returns its new id. Ids are never used again.
    pub fn add(&self, tree: Tree) -> (VolumeId, Arc<Tree>) {
        let tree = Arc::new(tree);
        let mut guard = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, trees) = &mut *guard;
        trees.retain(|_, tree| tree.strong_count() > 0);
        *last += 1;
        let id = VolumeId(*last);
        trees.insert(id, Arc::downgrade(&tree));
        (id, tree)
    }

    /// The tree of a mounted volume.
    ///
    /// # Errors
    /// `NotFound` if it is not mounted.
    pub fn tree(&self, id: VolumeId) -> Result<Arc<Tree>> {
        let guard = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        let tree = guard.1.get(&id).and_then(Weak::upgrade).filter(|tree| tree.access().is_some());
        tree.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "looking for", format!("volume {}", id.0), "it is not mounted")
        })
    }

    /// Opens every directory of every volume anew from now on: another program may have changed them.
    pub(crate) fn forget_directories(&self) {
        let guard = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        for tree in guard.1.values().filter_map(Weak::upgrade) {
            tree.forget_directories();
        }
    }
}
