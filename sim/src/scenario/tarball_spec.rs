//! Special properties of the tree in a tarball.

use super::dialect::with_acls_by_name;
use crate::model::bytes::tree::{Node, Tree};
use replicator_hal::{FileKind, Owner, RelativePath, Timestamp};
use serde::{Deserialize, Serialize};

/// How a tarball was packed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TarballSpec {
    /// All entries are below this directory.
    pub below: Option<String>,
    /// It contains only this file, with some bytes.
    pub only: Option<String>,
    /// Number of further small files, in `srv/many`.
    #[serde(default)]
    pub many: u32,
    /// ACLs are text, with names that only the archive's own `etc/passwd` resolves: `tar --acls`.
    #[serde(default)]
    pub acls_by_name: bool,
    /// Attributes are repeated for every further name of a file: `tar --xattrs`, `bsdtar`.
    #[serde(default)]
    pub attributes_on_links: bool,
}

/// The users in the ACLs of the golden tree, with their names.
const NAMED: [(u32, &str); 1] = [(1000, "operator")];

impl TarballSpec {
    /// Whether a board cannot boot from its content.
    pub fn is_not_a_rootfs(&self) -> bool {
        self.below.is_some() || self.only.is_some()
    }

    /// The tree that is packed instead of `tree`.
    ///
    /// # Errors
    /// If a name is not valid.
    pub fn apply(&self, tree: Tree) -> Result<Tree, String> {
        let parse = |name: &str| RelativePath::parse(name).map_err(|error| format!("{name}: {error}"));
        if let Some(only) = &self.only {
            return Ok(Tree::from([(parse(only)?, node(FileKind::File, vec![7; 5000]))]));
        }
        let mut tree = tree;
        if self.acls_by_name {
            let passwd = tree.get_mut(&parse("etc/passwd")?).ok_or("there is no etc/passwd")?;
            for (number, name) in NAMED {
                let line = format!("{name}:x:{number}:{number}::/home/user:/bin/sh\n");
                passwd.bytes.extend_from_slice(line.as_bytes());
            }
        }
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

impl TarballSpec {
    /// The archive in the requested dialect.
    ///
    /// # Errors
    /// If it cannot be rewritten.
    pub(super) fn dialect(&self, archive: Vec<u8>) -> Result<Vec<u8>, String> {
        if self.acls_by_name { with_acls_by_name(&archive, &NAMED) } else { Ok(archive) }
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
