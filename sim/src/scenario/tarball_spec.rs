//! What is odd about the tree that a tarball was packed of.

use crate::checkers::tree::{Node, Tree};
use replicator_hal::{FileKind, Owner, RelativePath, Timestamp};
use serde::{Deserialize, Serialize};

/// How a tarball was packed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TarballSpec {
    /// Everything is below this directory.
    pub below: Option<String>,
    /// It holds only this file, with some bytes.
    pub only: Option<String>,
    /// So many files of a few bytes beside the rest, in `srv/many`.
    #[serde(default)]
    pub many: u32,
}

impl TarballSpec {
    /// Whether a board cannot boot from what is in it.
    pub fn is_no_rootfs(&self) -> bool {
        self.below.is_some() || self.only.is_some()
    }

    /// The tree that is packed instead of `tree`.
    ///
    /// # Errors
    /// If a name makes no sense, in words.
    pub fn apply(&self, tree: Tree) -> Result<Tree, String> {
        let parse = |name: &str| RelativePath::parse(name).map_err(|error| format!("{name}: {error}"));
        if let Some(only) = &self.only {
            return Ok(Tree::from([(parse(only)?, node(FileKind::File, vec![7; 5000]))]));
        }
        let mut tree = tree;
        if self.many > 0 {
            tree.insert(parse("srv/many")?, node(FileKind::Directory, Vec::new()));
        }
        for number in 0..self.many {
            tree.insert(parse(&format!("srv/many/{number}"))?, node(FileKind::File, b"few".to_vec()));
        }
        let Some(top) = &self.below else { return Ok(tree) };
        let top = parse(top)?;
        let mut below = Tree::from([(top.clone(), node(FileKind::Directory, Vec::new()))]);
        for (path, mut node) in tree {
            node.first_name = node.first_name.map(|first| top.join_path(&first));
            below.insert(top.join_path(&path), node);
        }
        Ok(below)
    }
}

fn node(kind: FileKind, bytes: Vec<u8>) -> Node {
    Node {
        kind,
        mode: if kind == FileKind::Directory { 0o755 } else { 0o644 },
        owner: Owner::default(),
        modified: Timestamp { seconds: 1_700_000_000, nanos: 0 },
        device: (0, 0),
        text: Vec::new(),
        xattrs: Default::default(),
        flags: 0,
        bytes,
        first_name: None,
    }
}
