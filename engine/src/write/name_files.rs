//! Collects `etc/passwd` and `etc/group` of the root file system in an archive, at any position in it. They give the
//! numbers of the users and groups that ACLs only name.

use super::tar_tree::{self, Shape};
use crate::error::{Error, Result};
use crate::formats::FormatError;
use crate::formats::tar::{Entry, EntryKind, Names, Reader};
use replicator_hal::RelativePath;
use std::collections::BTreeMap;
use std::io::Read;

/// How many files of these names are kept; a system has a few copies of them.
const FILES_MAX: usize = 32;

/// Content of all files with these names, by path. Of several entries for a path the last is used, as in extraction.
#[derive(Debug, Default)]
pub(super) struct NameFiles {
    files: BTreeMap<RelativePath, Vec<u8>>,
}

impl NameFiles {
    /// Takes the file at which `reader` is, if it may be one of them. `path` is where it is extracted.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn add<R: Read>(
        &mut self,
        entry: &Entry,
        path: RelativePath,
        reader: &mut Reader<R>,
    ) -> std::result::Result<(), FormatError> {
        let is_one = matches!(path.file_name(), Some(b"passwd" | b"group"));
        let EntryKind::File { len_bytes, .. } = entry.kind else {
            if is_one {
                self.files.remove(&path);
            }
            return Ok(());
        };
        let has_room = self.files.len() < FILES_MAX || self.files.contains_key(&path);
        if !has_room || !Names::may_be_in(&path, len_bytes) {
            return Ok(());
        }
        let mut content = Vec::new();
        let mut buffer = [0; 4096];
        while let Some((_, len)) = reader.read_data(&mut buffer)? {
            content.extend_from_slice(&buffer[..len]);
        }
        self.files.insert(path, content);
        Ok(())
    }

    /// The numbers of the names that `reader` found in the archive.
    ///
    /// # Errors
    /// `Unsupported` for a name that is in neither file, before anything is erased.
    pub(super) fn resolve<R: Read>(&self, name: &str, shape: &Shape, reader: &Reader<R>) -> Result<Names> {
        let wanted = reader.wanted();
        if wanted.is_empty() {
            return Ok(Names::default());
        }
        let content = |path: &str| -> &[u8] {
            let path = RelativePath::parse(path).ok().and_then(|path| tar_tree::file_at(shape, &path));
            path.and_then(|path| self.files.get(&path)).map_or(&[], Vec::as_slice)
        };
        let names = Names::parse(content("etc/passwd"), content("etc/group"));
        for one in wanted {
            one.check(&names).map_err(Error::format(name))?;
        }
        Ok(names)
    }
}
