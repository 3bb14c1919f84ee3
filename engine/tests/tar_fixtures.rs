//! Archives of the common tars (see `fixtures/tar/generate`) are read with all that was packed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]
#![allow(clippy::disallowed_methods, reason = "fixtures are files")]

use replicator_engine::formats::tar::{EntryKind, Reader, ReaderLimits};
use replicator_hal::{NodeKind, Owner, Timestamp, Xattr};
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

/// An entry with its content.
#[derive(Debug, Clone, PartialEq)]
struct Packed {
    kind: EntryKind,
    mode: u32,
    owner: Owner,
    modified: Timestamp,
    xattrs: Vec<Xattr>,
    content: Vec<u8>,
}

type Tree = BTreeMap<Vec<u8>, Packed>;

fn read_fixture(name: &str) -> Tree {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tar");
    let bytes = std::fs::read(fixtures.join(format!("{name}.tar.xz"))).unwrap();
    let mut archive = Vec::new();
    xz2::read::XzDecoder::new(&bytes[..]).read_to_end(&mut archive).unwrap();
    let mut reader = Reader::new(&archive[..], ReaderLimits::default());
    let mut tree = Tree::new();
    while let Some(entry) = reader.next_entry().unwrap_or_else(|error| panic!("{name}: {error}")) {
        let len = match entry.kind {
            EntryKind::File { len_bytes, .. } => usize::try_from(len_bytes).unwrap(),
            _ => 0,
        };
        let mut content = vec![0; len];
        let mut buffer = [0; 700];
        while let Some((offset, len)) = reader.read_data(&mut buffer).unwrap() {
            let start = usize::try_from(offset).unwrap();
            content[start..start + len].copy_from_slice(&buffer[..len]);
        }
        let packed = Packed {
            kind: entry.kind,
            mode: entry.mode,
            owner: entry.owner,
            modified: entry.modified,
            xattrs: entry.xattrs,
            content,
        };
        assert_eq!(tree.insert(entry.path.as_bytes().to_vec(), packed), None, "{name}: {} twice", entry.path);
    }
    tree
}

/// Which properties of the packed tree a format keeps.
#[derive(Clone, Copy)]
struct Keeps {
    nanos: bool,
    /// Python keeps times as binary floating point.
    rounded_nanos: bool,
    negative_time: bool,
    holes: bool,
    /// Busybox truncates numbers to the field's width.
    cut_ids: bool,
}

const ALL: Keeps =
    Keeps { nanos: true, rounded_nanos: false, negative_time: true, holes: true, cut_ids: false };
const SECONDS: Keeps = Keeps { nanos: false, ..ALL };

const SOME_TIME: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 0 };

fn packed(kind: EntryKind, mode: u32) -> Packed {
    let owner = Owner { uid: 0, gid: 0 };
    Packed { kind, mode, owner, modified: SOME_TIME, xattrs: Vec::new(), content: Vec::new() }
}

fn file(mode: u32, content: &[u8]) -> Packed {
    sparse_file(
        mode,
        content,
        std::iter::once(0..content.len() as u64).filter(|range| range.end > 0).collect(),
    )
}

fn sparse_file(mode: u32, content: &[u8], data: Vec<Range<u64>>) -> Packed {
    let kind = EntryKind::File { len_bytes: content.len() as u64, data };
    Packed { content: content.to_vec(), ..packed(kind, mode) }
}

fn owned(packed: Packed, uid: u32, gid: u32) -> Packed {
    Packed { owner: Owner { uid, gid }, ..packed }
}

fn plain_tree(keeps: Keeps) -> Tree {
    let nanos = match (keeps.nanos, keeps.rounded_nanos) {
        (false, _) => 0,
        (true, false) => 123_456_789,
        (true, true) => 123_456_700,
    };
    let odd_time = |packed| Packed { modified: Timestamp { seconds: 1_700_000_001, nanos }, ..packed };
    let mut tree = Tree::new();
    let mut add = |name: &str, packed| tree.insert(name.as_bytes().to_vec(), packed);
    add("t", packed(EntryKind::Directory, 0o755));
    add("t/dir", odd_time(owned(packed(EntryKind::Directory, 0o1777), 1234, 4321)));
    let (first, second) = ("t/dir/file", "t/hard");
    let content = odd_time(owned(file(0o4755, b"hello\n"), 1234, 4321));
    let existing = replicator_hal::RelativePath::parse(first).unwrap();
    add(second, Packed { kind: EntryKind::HardLink { existing }, content: Vec::new(), ..content.clone() });
    add(first, content);
    add("t/dir/empty", file(0o600, b""));
    add("t/x1000", file(0o600, &[b'x'; 1000]));
    add("t/link", odd_time(owned(packed(EntryKind::Symlink { text: b"dir/file".to_vec() }, 0o777), 77, 88)));
    tree
}

fn nodes_tree() -> Tree {
    let mut tree = Tree::new();
    let mut add = |name: &str, packed| tree.insert(name.as_bytes().to_vec(), packed);
    add("n", packed(EntryKind::Directory, 0o755));
    add("n/char", packed(EntryKind::Node(NodeKind::CharDevice { major: 4, minor: 64 }), 0o640));
    add("n/block", packed(EntryKind::Node(NodeKind::BlockDevice { major: 8, minor: 1 }), 0o640));
    add("n/fifo", packed(EntryKind::Node(NodeKind::Fifo), 0o640));
    let (outer, inner) = ("d".repeat(60), "e".repeat(60));
    add(&format!("n/{outer}"), packed(EntryKind::Directory, 0o755));
    add(&format!("n/{outer}/{inner}"), file(0o644, b"long\n"));
    tree
}

fn odd_tree(keeps: Keeps) -> Tree {
    let mut tree = Tree::new();
    let mut add = |name: &[u8], packed| tree.insert(name.to_vec(), packed);
    add(b"m", packed(EntryKind::Directory, 0o755));
    let (outer, inner) = ("v".repeat(120), "w".repeat(140));
    add(format!("m/{outer}").as_bytes(), packed(EntryKind::Directory, 0o755));
    add(format!("m/{outer}/{inner}").as_bytes(), file(0o644, b"very long\n"));
    add(b"m/longlink", packed(EntryKind::Symlink { text: vec![b'l'; 150] }, 0o777));
    add(b"m/new\nline", file(0o644, b"nl\n"));
    add(b"m/\xff\xfe", file(0o644, b"raw\n"));
    let kept = if keeps.cut_ids { 0o77_777_777 } else { u32::MAX };
    add(b"m/bigids", owned(file(0o644, b"big\n"), 3_000_000_000 & kept, 3_000_000_001 & kept));
    let at = |seconds, packed| Packed { modified: Timestamp { seconds, nanos: 0 }, ..packed };
    add(b"m/before1970", at(if keeps.negative_time { -5 } else { 0 }, file(0o644, b"old\n")));
    add(b"m/far", at(5_000_000_000, file(0o644, b"far\n")));
    tree
}

fn sparse_tree(keeps: Keeps) -> Tree {
    const MIB: usize = 1 << 20;
    let mut tree = Tree::new();
    let mut add = |name: &str, len: usize, pieces: &[(usize, String)]| {
        let mut content = vec![0; len];
        let mut data = Vec::new();
        for (page, text) in pieces {
            content[page * 4096..][..text.len()].copy_from_slice(text.as_bytes());
            data.push(*page as u64 * 4096..(page + 1) as u64 * 4096);
        }
        let whole = file(0o644, &content);
        let sparse = sparse_file(0o644, &content, data);
        tree.insert(name.as_bytes().to_vec(), if keeps.holes { sparse } else { whole })
    };
    add("s/middle", MIB, &[(16, "M".to_owned())]);
    add("s/tail", MIB, &[(255, "T".to_owned())]);
    add("s/hole", MIB, &[]);
    let many: Vec<_> = (0..=252).step_by(4).map(|at| (at, at.to_string())).collect();
    add("s/many", MIB, &many);
    add("s/odd", 1_000_001, &[(0, "O".to_owned())]);
    tree.insert(b"s".to_vec(), packed(EntryKind::Directory, 0o755));
    tree
}

/// ACLs in the kernel's form, `acl_ea_entry` by `acl_ea_entry`.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0];
    for (tag, rights, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&rights.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

fn attributes_tree() -> Tree {
    const NOBODY: u32 = u32::MAX;
    let xattr = |name: &str, value: &[u8]| Xattr { name: name.as_bytes().to_vec(), value: value.to_vec() };
    let mut tree = Tree::new();
    let mut add =
        |name: &str, packed, xattrs| tree.insert(name.as_bytes().to_vec(), Packed { xattrs, ..packed });
    add("a", packed(EntryKind::Directory, 0o755), vec![]);
    let caps = vec![
        xattr("security.capability", b"\x01\0\0\x02\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        xattr("user.a=b%25", b"v"),
        xattr("user.empty", b""),
        xattr("user.note", b"l1\nl2\0\xff"),
    ];
    add("a/caps", file(0o644, b"caps\n"), caps);
    let access =
        [(1, 6, NOBODY), (2, 6, 2570), (4, 4, NOBODY), (8, 4, 70000), (16, 6, NOBODY), (32, 4, NOBODY)];
    let access = vec![xattr("system.posix_acl_access", &acl(&access)), xattr("user.after", b"1")];
    add("a/acl", file(0o664, b"acl\n"), access);
    let default = [(1, 7, NOBODY), (2, 7, 2570), (4, 5, NOBODY), (16, 7, NOBODY), (32, 5, NOBODY)];
    let default = vec![xattr("system.posix_acl_default", &acl(&default))];
    add("a/withdefault", packed(EntryKind::Directory, 0o755), default);
    tree
}

fn check(fixture: &str, trees: &[Tree]) {
    let mut expected: Tree = trees.iter().flat_map(Clone::clone).collect();
    let found = read_fixture(fixture);
    for (name, packed) in &found {
        let shown = String::from_utf8_lossy(name);
        let wanted = expected.remove(name).unwrap_or_else(|| panic!("{fixture}: unexpected {shown}"));
        assert_eq!(*packed, wanted, "{fixture}: {shown}");
    }
    assert!(expected.is_empty(), "{fixture}: missing {:?}", expected.keys());
}

#[test]
fn archives_of_gnu_tar_are_read_in_all_its_formats() {
    let oldest = [plain_tree(SECONDS)];
    check("gnu-v7", &oldest);
    check("gnu-gnu-label", &oldest);
    check("gnu-absolute", &oldest);
    check("gnu-ustar", &[plain_tree(SECONDS), nodes_tree()]);
    for fixture in ["gnu-oldgnu", "gnu-gnu"] {
        check(fixture, &[plain_tree(SECONDS), nodes_tree(), odd_tree(SECONDS), sparse_tree(SECONDS)]);
    }
    for version in ["0.0", "0.1", "1.0"] {
        let fixture = format!("gnu-posix-sparse-{version}");
        check(&fixture, &[plain_tree(ALL), nodes_tree(), odd_tree(ALL), sparse_tree(ALL)]);
    }
    check("gnu-posix-label", &[plain_tree(ALL)]);
}

#[test]
fn attributes_acls_and_capabilities_are_read_in_every_form() {
    for fixture in ["gnu-posix-xattrs", "gnu-posix-acls", "bsd-pax-xattrs"] {
        check(fixture, &[plain_tree(ALL), attributes_tree()]);
    }
}

#[test]
fn archives_of_bsdtar_are_read() {
    check("bsd-pax", &[plain_tree(ALL), nodes_tree(), odd_tree(ALL), sparse_tree(ALL)]);
    check("bsd-ustar", &[plain_tree(SECONDS), nodes_tree()]);
    let keeps = Keeps { negative_time: false, ..SECONDS };
    check("bsd-gnutar", &[plain_tree(keeps), nodes_tree(), odd_tree(keeps)]);
}

#[test]
fn archives_of_busybox_are_read() {
    let keeps = Keeps { cut_ids: true, negative_time: false, ..SECONDS };
    check("busybox", &[plain_tree(keeps), nodes_tree(), odd_tree(keeps)]);
}

#[test]
fn archives_of_python_are_read() {
    check("python-ustar", &[plain_tree(SECONDS), nodes_tree()]);
    check("python-gnu", &[plain_tree(SECONDS), nodes_tree(), odd_tree(SECONDS)]);
    let rounded = Keeps { rounded_nanos: true, ..ALL };
    check("python-pax", &[plain_tree(rounded), nodes_tree(), odd_tree(rounded)]);
}
