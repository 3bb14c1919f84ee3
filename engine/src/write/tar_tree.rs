//! Decides where an entry of an archive goes in the tree that the entries before it make.
//!
//! If a directory entry has the name of a symlink to a directory, the link is kept (`lib -> usr/lib`, later `lib/`, as in
//! an overlay on a merged-usr root), and entries below it go to the target, as with dpkg, busybox and `tar
//! --keep-directory-symlink`. The target keeps its own owner, mode and time. If the target does not exist yet, it is
//! made, so that the order of the entries does not matter. Any other entry replaces an entry of its name, except a
//! directory that is not empty.
//!
//! Links are followed inside of the archive's tree only and cannot leave its root, so the resulting paths have no links.
//! Checking and extracting an archive both use this module, so an archive that cannot be extracted is refused before
//! anything is erased.

use crate::formats::tar::{Entry, EntryKind};
use crate::printable;
use crate::verify::{ExpectedFile, Manifest};
use replicator_hal::RelativePath;
use std::collections::{BTreeMap, VecDeque};

/// How many symlinks one path may go through: the kernel's own limit (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// What is at a path of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There<'a> {
    /// A directory.
    Directory,
    /// A symlink with this text.
    Link(&'a [u8]),
    /// Something else.
    Other,
}

/// The tree made so far.
pub(super) trait Tree {
    /// What is at `path`, which has no links in its directories.
    fn at(&self, path: &RelativePath) -> Option<There<'_>>;

    /// Any name below a directory.
    fn below(&self, directory: &RelativePath) -> Option<&RelativePath>;
}

/// Where an entry goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Directories to make first, the outermost first.
    pub(super) missing: Vec<RelativePath>,
    /// The path, without links in its directories.
    pub(super) path: RelativePath,
    /// The entry is a directory and `path` is a link to one, which stays as it is.
    pub(super) keeps_link: bool,
}

/// Where `entry` goes.
///
/// # Errors
/// Why there is no place for it, as a text that follows the entry's name.
pub(super) fn place(tree: &impl Tree, entry: &Entry) -> Result<Place, String> {
    let (Some(parent), Some(name)) = (entry.path.parent(), entry.path.file_name()) else {
        return Ok(Place { missing: Vec::new(), path: RelativePath::root(), keeps_link: false });
    };
    let parent = follow(tree, &parent)?;
    let path = parent.path.join(name).map_err(|error| error.to_string())?;
    let missing = parent.missing;
    let here = Place { missing, path, keeps_link: false };
    match (tree.at(&here.path), &entry.kind) {
        (Some(There::Link(_)), EntryKind::Directory) => Ok(match follow(tree, &here.path) {
            // The target does not exist yet, so this entry makes it.
            Ok(mut end) if end.missing.last() == Some(&end.path) => {
                end.missing.pop();
                end
            }
            Ok(end) => Place { keeps_link: true, ..end },
            // A link to a file, or a loop.
            Err(_) => here,
        }),
        (Some(There::Directory), kind) if *kind != EntryKind::Directory => match tree.below(&here.path) {
            None => Ok(here),
            Some(below) => Err(format!("would replace a directory that holds {}", shown(below))),
        },
        _ => Ok(here),
    }
}

/// The resolved path of the file that a hard link names.
///
/// # Errors
/// As [`place`].
pub(super) fn linked(tree: &impl Tree, existing: &RelativePath) -> Result<RelativePath, String> {
    let missing = || format!("is a hard link to {}, which is not in the archive before it", shown(existing));
    let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
        return Err(missing());
    };
    let parent = follow(tree, &parent)?;
    let path = parent.path.join(name).map_err(|error| error.to_string())?;
    match tree.at(&path) {
        Some(There::Link(_) | There::Other) if parent.missing.is_empty() => Ok(path),
        _ => Err(missing()),
    }
}

/// The resolved path of the file at `path`; `None` if there is none.
pub(super) fn file_at(tree: &impl Tree, path: &RelativePath) -> Option<RelativePath> {
    let mut parent = follow(tree, &path.parent()?).ok()?;
    let mut name = path.file_name()?.to_vec();
    for _ in 0..LINKS_MAX {
        let here = parent.path.join(&name).ok()?;
        match tree.at(&here)? {
            There::Other => return Some(here),
            There::Directory => return None,
            There::Link(text) => {
                let split = text.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
                name = text[split..].to_vec();
                parent = follow_from(tree, parent.path, &text[..split]).ok()?;
            }
        }
    }
    None
}

/// The directory at `path`, with all links followed.
fn follow(tree: &impl Tree, path: &RelativePath) -> Result<Place, String> {
    follow_from(tree, RelativePath::root(), path.as_bytes())
}

/// The same for a text, from the directory `start`.
fn follow_from(tree: &impl Tree, start: RelativePath, text: &[u8]) -> Result<Place, String> {
    let start = if text.starts_with(b"/") { RelativePath::root() } else { start };
    let mut end = Place { path: start, ..Place::default() };
    let mut pending: VecDeque<Vec<u8>> = text.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
    let mut links = 0;
    while let Some(name) = pending.pop_front() {
        match &name[..] {
            b"" | b"." => continue,
            b".." => {
                end.path = end.path.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let here = end.path.join(&name).map_err(|error| error.to_string())?;
        match tree.at(&here) {
            Some(There::Directory) => {}
            Some(There::Other) => {
                return Err(format!("lies below {}, which is not a directory", shown(&here)));
            }
            Some(There::Link(text)) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(format!("lies below {}, which is part of a loop of links", shown(&here)));
                }
                if text.starts_with(b"/") {
                    end.path = RelativePath::root();
                }
                for part in text.split(|byte| *byte == b'/').rev() {
                    pending.push_front(part.to_vec());
                }
                continue;
            }
            None if end.missing.contains(&here) => {}
            None => end.missing.push(here.clone()),
        }
        end.path = here;
    }
    Ok(end)
}

/// Whether `path` is a directory or a link to one.
pub(super) fn leads_to_directory(tree: &impl Tree, path: &RelativePath) -> bool {
    follow(tree, path).is_ok_and(|end| end.missing.is_empty())
}

fn shown(path: &RelativePath) -> String {
    format!("\"{}\"", printable::line(&path.to_string()))
}

impl Default for Place {
    /// The root.
    fn default() -> Self {
        Self { missing: Vec::new(), path: RelativePath::root(), keeps_link: false }
    }
}

/// The first path below `directory` in a sorted map: no name sorts before the byte 1.
fn first_below<'a, V>(
    map: &'a BTreeMap<RelativePath, V>,
    directory: &RelativePath,
) -> Option<&'a RelativePath> {
    let start = directory.join([1]).ok()?;
    map.range(start..).next().map(|(path, _)| path).filter(|path| path.starts_with(directory))
}

impl Tree for Manifest {
    fn at(&self, path: &RelativePath) -> Option<There<'_>> {
        if path.is_root() {
            return Some(There::Directory);
        }
        let kind = |expected: &'_ ExpectedFile| match &expected.entry.kind {
            // The first name of a file is never a hard link itself.
            EntryKind::HardLink { existing } => self.get(existing).map(|first| &first.entry.kind),
            _ => None,
        };
        let expected = self.get(path)?;
        Some(match kind(expected).unwrap_or(&expected.entry.kind) {
            EntryKind::Directory => There::Directory,
            EntryKind::Symlink { text } => There::Link(text),
            _ => There::Other,
        })
    }

    fn below(&self, directory: &RelativePath) -> Option<&RelativePath> {
        first_below(self, directory)
    }
}

/// A tree that has only the kinds of its entries.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// What is at each path, and the number of the entry that made it; a directory without an entry has none.
    kinds: BTreeMap<RelativePath, (Kind, Option<usize>)>,
}

#[derive(Debug, Clone)]
enum Kind {
    Directory,
    Link(Vec<u8>),
    Other,
}

impl Shape {
    /// Adds the next entry, and returns where it goes.
    ///
    /// # Errors
    /// As [`place`] and [`linked`].
    pub(super) fn add(&mut self, entry: &Entry) -> Result<Place, String> {
        self.add_as(entry, 0)
    }

    /// The same with a number for what the entry makes, see [`Shape::files`].
    ///
    /// # Errors
    /// As [`place`] and [`linked`].
    pub(super) fn add_as(&mut self, entry: &Entry, number: usize) -> Result<Place, String> {
        let place = place(self, entry)?;
        let mut number = Some(number);
        let kind = match &entry.kind {
            EntryKind::Directory => Kind::Directory,
            EntryKind::Symlink { text } => Kind::Link(text.clone()),
            EntryKind::HardLink { existing } => {
                let existing = linked(self, existing)?;
                number = self.kinds.get(&existing).and_then(|(_, number)| *number);
                match self.at(&existing) {
                    Some(There::Link(text)) => Kind::Link(text.to_vec()),
                    _ => Kind::Other,
                }
            }
            EntryKind::File { .. } | EntryKind::Node(_) => Kind::Other,
        };
        for path in &place.missing {
            self.kinds.insert(path.clone(), (Kind::Directory, None));
        }
        if !place.path.is_root() && !place.keeps_link {
            self.kinds.insert(place.path.clone(), (kind, number));
        }
        Ok(place)
    }
}

impl Shape {
    /// All paths, and whether each is a directory, in the order of their bytes.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&RelativePath, bool)> {
        self.files().map(|(path, is_directory, _)| (path, is_directory))
    }

    /// The same with the number of each; all names of one file have the same number.
    pub(super) fn files(&self) -> impl Iterator<Item = (&RelativePath, bool, Option<usize>)> {
        self.kinds.iter().map(|(path, (kind, number))| (path, matches!(kind, Kind::Directory), *number))
    }
}

impl Tree for Shape {
    fn at(&self, path: &RelativePath) -> Option<There<'_>> {
        if path.is_root() {
            return Some(There::Directory);
        }
        Some(match &self.kinds.get(path)?.0 {
            Kind::Directory => There::Directory,
            Kind::Link(text) => There::Link(text),
            Kind::Other => There::Other,
        })
    }

    fn below(&self, directory: &RelativePath) -> Option<&RelativePath> {
        first_below(&self.kinds, directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The tree that entries make, with `+` before directories that no entry lists; or why the last entry has no place.
    fn made(entries: &str) -> Result<String, String> {
        let mut shape = Shape::default();
        let mut implied = std::collections::BTreeSet::new();
        for text in entries.split_whitespace() {
            let place = shape.add(&Entry::sketched(text))?;
            implied.extend(place.missing);
            implied.remove(&place.path);
        }
        let lines = shape.kinds.iter().map(|(path, (kind, _))| match kind {
            Kind::Directory if implied.contains(path) => format!("+{path}/"),
            Kind::Directory => format!("{path}/"),
            Kind::Link(text) => format!("{path}>{}", String::from_utf8_lossy(text)),
            Kind::Other => path.to_string(),
        });
        Ok(lines.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_directory_entry_keeps_a_link_to_a_directory() {
        for (entries, tree) in [
            // Merged usr, and an overlay on it.
            (
                "usr/ usr/lib/ usr/lib/ld.so lib>usr/lib lib/ lib/modules/",
                "lib>usr/lib usr/ usr/lib/ usr/lib/ld.so usr/lib/modules/",
            ),
            ("usr/ usr/lib/ lib>/usr/lib lib/ lib/x", "lib>/usr/lib usr/ usr/lib/ usr/lib/x"),
            ("usr/ usr/lib/ lib>../../usr/lib lib/ lib/x", "lib>../../usr/lib usr/ usr/lib/ usr/lib/x"),
            ("usr/ usr/lib/ a>lib lib>usr/./lib/ a/ a/x", "a>lib lib>usr/./lib/ usr/ usr/lib/ usr/lib/x"),
            ("r>/ r/ r/x/", "r>/ x/"),
            // The link first: its target is made, and gets the attributes of its entry.
            ("lib>usr/lib lib/ usr/ usr/lib/ usr/lib/x", "lib>usr/lib usr/ usr/lib/ usr/lib/x"),
            ("lib>usr/lib lib/x usr/lib/y", "lib>usr/lib +usr/ +usr/lib/ usr/lib/x usr/lib/y"),
            ("lib>usr/lib lib/", "lib>usr/lib +usr/ usr/lib/"),
            ("d/ l>no/../d l/ l/x", "d/ d/x l>no/../d +no/"),
            // A link to a file, a loop, another entry: replaced, as by every tar.
            ("f l>f l/ l/x", "f l/ l/x"),
            ("l>l l/ l/x", "l/ l/x"),
            ("d/ l>d l", "d/ l"),
            ("d/ l>d l>e", "d/ l>e"),
            ("d/ d", "d"),
            ("d/ d>e", "d>e"),
            ("f f/ f/x", "f/ f/x"),
            ("s>d h=s d/ h/ h/x", "d/ d/x h>d s>d"),
            ("d/ d-x d/e", "d/ d-x d/e"),
        ] {
            assert_eq!(made(entries).as_deref(), Ok(tree), "{entries}");
        }
    }

    #[test]
    fn an_entry_without_a_place_is_refused_with_its_reason() {
        for (entries, why) in [
            ("lib/modules/ lib>usr/lib", "would replace a directory that holds \"lib/modules\""),
            ("d/x d", "would replace a directory that holds"),
            ("f f/x", "lies below \"f\", which is not a directory"),
            ("f l>f l/x", "lies below \"f\""),
            ("l>l l/x", "part of a loop of links"),
            ("a>b b>a a/x", "part of a loop of links"),
            ("h=f f", "is a hard link to \"f\", which is not in the archive before it"),
            ("d/ h=d", "is a hard link to \"d\""),
            ("l>no h=l/f", "is a hard link to \"l/f\""),
        ] {
            let error = made(entries).unwrap_err();
            assert!(error.contains(why), "{entries}: {error}");
        }
    }

    #[test]
    fn a_file_is_found_through_links() {
        let mut shape = Shape::default();
        for text in
            "usr/lib/passwd etc/passwd>../usr/lib/passwd etc/group>/usr/lib/g usr/lib/g>passwd a>a b>c"
                .split(' ')
        {
            shape.add(&Entry::sketched(text)).unwrap();
        }
        let at =
            |path: &str| file_at(&shape, &RelativePath::parse(path).unwrap()).map(|path| path.to_string());
        for path in ["usr/lib/passwd", "etc/passwd", "etc/group"] {
            assert_eq!(at(path).as_deref(), Some("usr/lib/passwd"), "{path}");
        }
        for path in ["a", "b", "c", "etc", "etc/none", ""] {
            assert_eq!(at(path), None, "{path}");
        }
    }

    proptest! {
        /// No parent of a resulting path is a link or a file, for any entries.
        #[test]
        fn no_place_is_behind_a_link(
            entries in prop::collection::vec("[ab](/[ab]){0,2}(/|>(/|\\.\\./)?[abc](/[ab]|/\\.\\.){0,2})?", 1..12)
        ) {
            let mut shape = Shape::default();
            for text in entries {
                let Ok(place) = shape.add(&Entry::sketched(&text)) else { continue };
                for path in place.missing.iter().chain([&place.path]) {
                    let mut above = path.clone();
                    while let Some(parent) = above.parent() {
                        prop_assert_eq!(shape.at(&parent), Some(There::Directory), "{} at {}", text, path);
                        above = parent;
                    }
                }
            }
        }
    }
}
