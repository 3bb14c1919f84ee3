//! A tree of files with every attribute, read without any code of the replicator, and the difference of two.

use super::devices::fingerprint;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Holes shorter than this may be filled or made by any tool.
const HOLE_MIN_BYTES: u64 = 256 << 10;

/// One file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Type and permission bits, as in `st_mode`.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
    /// Of files and symlinks.
    pub(crate) len_bytes: u64,
    /// Of device nodes.
    pub(crate) device: u64,
    pub(crate) link_target: Option<OsString>,
    pub(crate) content: Option<u128>,
    /// Start and length of the long holes.
    pub(crate) holes: Vec<(u64, u64)>,
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
    /// The first name of the same file, if this is not it.
    pub(crate) hard_link_to: Option<PathBuf>,
}

/// All files below a directory, by path; the directory itself is the empty path.
pub(crate) type Tree = BTreeMap<PathBuf, Entry>;

/// Reads the tree below `root`. `lost+found` of the root is left out: it belongs to the file system.
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut first_names = BTreeMap::new();
    walk(root, Path::new(""), &mut first_names, &mut tree);
    tree
}

fn walk(root: &Path, path: &Path, first_names: &mut BTreeMap<u64, PathBuf>, tree: &mut Tree) {
    let full = root.join(path);
    let metadata = fs::symlink_metadata(&full).unwrap();
    tree.insert(path.to_owned(), entry(&full, path, &metadata, first_names));
    if !metadata.is_dir() {
        return;
    }
    let mut names: Vec<OsString> =
        fs::read_dir(&full).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        if path.as_os_str().is_empty() && name == "lost+found" {
            continue;
        }
        walk(root, &path.join(name), first_names, tree);
    }
}

fn entry(full: &Path, path: &Path, metadata: &Metadata, first_names: &mut BTreeMap<u64, PathBuf>) -> Entry {
    let kind = metadata.file_type();
    let first = first_names.entry(metadata.ino()).or_insert_with(|| path.to_owned());
    Entry {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        len_bytes: if kind.is_dir() { 0 } else { metadata.len() },
        device: if kind.is_char_device() || kind.is_block_device() { metadata.rdev() } else { 0 },
        link_target: kind.is_symlink().then(|| fs::read_link(full).unwrap().into_os_string()),
        content: kind.is_file().then(|| fingerprint(full)),
        holes: if kind.is_file() { holes(full, metadata.len()) } else { Vec::new() },
        xattrs: xattr::list(full)
            .unwrap()
            .map(|name| {
                let value = xattr::get(full, &name).unwrap().unwrap();
                (name, value)
            })
            .collect(),
        hard_link_to: (first != path).then(|| first.clone()),
    }
}

/// The long holes of a file, by `SEEK_HOLE`.
fn holes(path: &Path, len_bytes: u64) -> Vec<(u64, u64)> {
    use nix::errno::Errno;
    use nix::unistd::{Whence, lseek};
    let file = File::open(path).unwrap();
    let mut found = Vec::new();
    let mut at = 0;
    while at < len_bytes {
        let hole = lseek(&file, at as i64, Whence::SeekHole).unwrap() as u64;
        if hole >= len_bytes {
            break;
        }
        let data = match lseek(&file, hole as i64, Whence::SeekData) {
            Ok(data) => data as u64,
            Err(Errno::ENXIO) => len_bytes,
            Err(error) => panic!("{}: {error}", path.display()),
        };
        if data - hole >= HOLE_MIN_BYTES {
            found.push((hole, data - hole));
        }
        at = data;
    }
    found
}

/// What differs, a line each; empty if nothing does.
pub(crate) fn differences(wanted: &Tree, found: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, want) in wanted {
        match found.get(path) {
            None => lines.push(format!("{path:?} is missing")),
            Some(have) => lines.extend(difference(path, want, have)),
        }
    }
    lines.extend(
        found.keys().filter(|path| !wanted.contains_key(*path)).map(|path| format!("{path:?} is too much")),
    );
    lines
}

fn difference(path: &Path, want: &Entry, have: &Entry) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, same: bool, values: String| {
        if !same {
            lines.push(format!("{path:?}: {what} differs: {values}"));
        }
    };
    compare("mode", want.mode == have.mode, format!("{:o}, {:o}", want.mode, have.mode));
    compare("owner", want.owner == have.owner, format!("{:?}, {:?}", want.owner, have.owner));
    compare("time", want.modified == have.modified, format!("{:?}, {:?}", want.modified, have.modified));
    compare("length", want.len_bytes == have.len_bytes, format!("{}, {}", want.len_bytes, have.len_bytes));
    compare("device", want.device == have.device, format!("{:#x}, {:#x}", want.device, have.device));
    compare(
        "link",
        want.link_target == have.link_target,
        format!("{:?}, {:?}", want.link_target, have.link_target),
    );
    compare("content", want.content == have.content, String::new());
    // More holes are welcome, fewer are not.
    let kept = want.holes.iter().all(|hole| have.holes.iter().any(|other| covers(*other, *hole)));
    compare("holes", kept, format!("{:?}, {:?}", want.holes, have.holes));
    compare("xattrs", want.xattrs == have.xattrs, format!("{:?}, {:?}", want.xattrs, have.xattrs));
    compare(
        "hard link",
        want.hard_link_to == have.hard_link_to,
        format!("{:?}, {:?}", want.hard_link_to, have.hard_link_to),
    );
    lines
}

fn covers(outer: (u64, u64), inner: (u64, u64)) -> bool {
    // A hole may lose a block at either end to another alignment.
    let slack = 64 << 10;
    outer.0 <= inner.0 + slack && outer.0 + outer.1 + slack >= inner.0 + inner.1
}

/// A path of arbitrary bytes.
pub(crate) fn path_of_bytes(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

#[test]
fn every_attribute_that_differs_is_told() {
    let entry = Entry {
        mode: 0o100_644,
        owner: (1, 2),
        modified: (3, 4),
        len_bytes: 5 << 20,
        device: 0,
        link_target: None,
        content: Some(6),
        holes: vec![(0, 4 << 20)],
        xattrs: BTreeMap::new(),
        hard_link_to: None,
    };
    type Change = fn(&mut Entry);
    let changes: [(&str, Change); 10] = [
        ("mode", |entry| entry.mode |= 0o4000),
        ("owner", |entry| entry.owner.1 += 1),
        ("time", |entry| entry.modified.1 += 1),
        ("length", |entry| entry.len_bytes -= 1),
        ("device", |entry| entry.device += 1),
        ("link", |entry| entry.link_target = Some("x".into())),
        ("content", |entry| entry.content = Some(7)),
        ("holes", |entry| entry.holes = vec![(0, 3 << 20)]),
        ("xattrs", |entry| drop(entry.xattrs.insert("user.x".into(), vec![]))),
        ("hard link", |entry| entry.hard_link_to = Some("y".into())),
    ];
    let wanted = Tree::from([("a".into(), entry.clone())]);
    assert_eq!(differences(&wanted, &wanted), Vec::<String>::new());
    for (what, change) in changes {
        let mut found = wanted.clone();
        change(found.get_mut(Path::new("a")).unwrap());
        let lines = differences(&wanted, &found);
        assert!(lines.len() == 1 && lines[0].contains(&format!("{what} differs")), "{what}: {lines:?}");
    }
    assert!(differences(&wanted, &Tree::new())[0].contains("missing"));
    assert!(differences(&Tree::new(), &wanted)[0].contains("too much"));
}
