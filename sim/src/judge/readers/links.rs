//! Resolves a path and every symlink in it, see path_resolution(7), with a volume as the root.
//!
//! Written separately from the simulated file system: a fault of both would not be found.

use crate::model::bytes::tree::Tree;
use crate::model::hardware::found::FoundFiles;
use replicator_hal::{FileKind, RelativePath};

/// How many links the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// Names with their kinds.
pub trait Names {
    /// Kind, and the text of a symlink.
    fn look(&self, path: &RelativePath) -> Option<(FileKind, &[u8])>;
}

impl Names for FoundFiles {
    fn look(&self, path: &RelativePath) -> Option<(FileKind, &[u8])> {
        self.get(path).map(|file| (file.inode.kind, file.inode.text.as_slice()))
    }
}

impl Names for Tree {
    fn look(&self, path: &RelativePath) -> Option<(FileKind, &[u8])> {
        self.get(path).map(|node| (node.kind, node.text.as_slice()))
    }
}

/// The path without links to which `path` leads, or `None`: a missing name, a file on the way, or too many links. An
/// absolute link starts at the root; a leading `mount_point` is removed.
pub fn follow(names: &impl Names, path: &[u8], mount_point: Option<&str>) -> Option<RelativePath> {
    let parts = |text: &[u8]| text.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (mut rest, mut here, mut links) = (parts(path), RelativePath::root(), 0);
    while let Some(name) = rest.pop() {
        // An empty name is a slash at the end, or a double slash: the part before it must be a directory, as with
        // `.`.
        if !here.is_root() && names.look(&here)?.0 != FileKind::Directory {
            return None;
        }
        match name.as_slice() {
            b"" | b"." => {}
            b".." => here = here.parent().unwrap_or_default(),
            name => {
                let next = here.join(name).ok()?;
                match names.look(&next)? {
                    (FileKind::Symlink, text) => {
                        links += 1;
                        if links > LINKS_MAX || text.is_empty() {
                            return None;
                        }
                        if text.starts_with(b"/") {
                            here = RelativePath::root();
                        }
                        rest.extend(parts(below(text, mount_point)));
                    }
                    _ => here = next,
                }
            }
        }
    }
    Some(here)
}

/// The rest of an absolute link behind a mount point; the whole text if it does not start with that.
fn below<'a>(text: &'a [u8], mount_point: Option<&str>) -> &'a [u8] {
    let rest = mount_point.and_then(|point| text.strip_prefix(point.as_bytes()));
    rest.filter(|rest| rest.is_empty() || rest.starts_with(b"/")).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bytes::pages::Pages;
    use crate::model::hardware::content::{Entry, FileSystemContent};
    use crate::model::hardware::found::files_in;
    use crate::model::hardware::simfs::Kind;

    fn tree() -> FoundFiles {
        let mut entries = vec![
            Entry::file("images/new/sd.tar", "x"),
            Entry::symlink("latest", "images/new"),
            Entry::symlink("up", "images/../images/./new//sd.tar"),
            Entry::symlink("through", "latest/sd.tar"),
            Entry::symlink("images/back", "../latest/../../images/new/sd.tar"),
            Entry::symlink("above", "../../images/new/sd.tar"),
            Entry::symlink("mounted", "/mnt/usb/images/new/sd.tar"),
            Entry::symlink("not-mounted", "/mnt/usbstick/images/new/sd.tar"),
            Entry::symlink("absolute", "/images/new/sd.tar"),
            Entry::symlink("through-a-file", "images/new/sd.tar/../sd.tar"),
            Entry::symlink("slash", "images/new/sd.tar/"),
            Entry::symlink("loop", "loop"),
        ];
        entries.extend(
            (1..41).map(|number| Entry::symlink(&format!("chain{number}"), &format!("chain{}", number - 1))),
        );
        entries.push(Entry::symlink("chain0", "images/new/sd.tar"));
        let mut pages = Pages::zeros(1 << 20);
        FileSystemContent::new(Kind::Ext4, entries).build(&mut pages, 0, 1 << 20).unwrap();
        files_in(&pages, 0, 1 << 20).unwrap()
    }

    #[test]
    fn a_path_leads_to_the_same_file_as_in_the_kernel() {
        let tree = tree();
        let leads = |path: &str| follow(&tree, path.as_bytes(), Some("/mnt/usb"));
        let file = RelativePath::parse("images/new/sd.tar").ok();
        for path in
            ["up", "through", "images/back", "above", "mounted", "absolute", "chain39", "latest/sd.tar"]
        {
            assert_eq!(leads(path), file, "{path}");
        }
        for path in ["not-mounted", "through-a-file", "slash", "loop", "chain40", "nothing", "latest/nothing"]
        {
            assert_eq!(leads(path), None, "{path}");
        }
    }
}
