//! The common tars restore archives of the writer. Each test needs its tool on `PATH`, root, and extended attributes; if
//! one is missing, it reports that and checks nothing. The other tests cover the format itself.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "other programs restore archives into a directory of this machine"
)]

use replicator_engine::formats::tar::{Entry, EntryKind, Writer};
use replicator_hal::{NodeKind, Owner, RelativePath, Timestamp, Xattr};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: u64 = 1 << 20;

fn entry(path: &[u8], kind: EntryKind, mode: u32) -> Entry {
    Entry {
        path: RelativePath::parse(path).unwrap(),
        kind,
        mode,
        owner: Owner { uid: 1234, gid: 4321 },
        modified: Timestamp { seconds: 1_700_000_000, nanos: 0 },
        xattrs: Vec::new(),
        flags: replicator_hal::InodeFlags::none(),
    }
}

fn file(len_bytes: u64) -> EntryKind {
    EntryKind::File {
        len_bytes,
        data: std::iter::once(0..len_bytes).filter(|range| !range.is_empty()).collect(),
    }
}

fn xattr(name: &[u8], value: &[u8]) -> Xattr {
    Xattr { name: name.to_vec(), value: value.to_vec() }
}

fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0];
    for (tag, rights, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&rights.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// Names and numbers that need every kind of record.
fn plain_entries() -> Vec<Entry> {
    let time = |seconds, nanos| Timestamp { seconds, nanos };
    let existing = RelativePath::parse("dir/file").unwrap();
    let split = format!("{}/{}", "d".repeat(90), "n".repeat(90));
    let split_dir = format!("{}/", "d".repeat(90));
    let long_dir = format!("{}/", "l".repeat(200));
    let long = format!("{}/{}", "l".repeat(200), "\u{e4}".repeat(100));
    vec![
        Entry {
            owner: Owner { uid: 0, gid: 0 },
            modified: time(1_600_000_000, 5),
            ..entry(b"", EntryKind::Directory, 0o755)
        },
        Entry { modified: time(1_500_000_000, 7), ..entry(b"dir", EntryKind::Directory, 0o1777) },
        Entry { modified: time(1_700_000_001, 123_456_789), ..entry(b"dir/file", file(6_000), 0o6755) },
        entry(b"dir/empty", file(0), 0o600),
        Entry {
            modified: time(1_700_000_001, 123_456_789),
            ..entry(b"hard", EntryKind::HardLink { existing }, 0o6755)
        },
        Entry { modified: time(-6, 750_000_000), ..entry(b"before1970", file(1), 0o644) },
        Entry { modified: time(10_000_000_000, 1), ..entry(b"far", file(1), 0o644) },
        Entry {
            owner: Owner { uid: 3_000_000_000, gid: 4_000_000_000 },
            ..entry(b"bigids", file(1), 0o4711)
        },
        entry(b"link", EntryKind::Symlink { text: b"/dir/../\xff to".to_vec() }, 0o777),
        entry(b"longlink", EntryKind::Symlink { text: [&[b'y'; 150][..], b"\xff"].concat() }, 0o777),
        entry(b"new\nline \\ \"quoted\" = %41", file(10), 0o644),
        entry(b"raw \xff\xfe", file(10), 0o644),
        entry(split_dir.as_bytes(), EntryKind::Directory, 0o700),
        entry(split.as_bytes(), file(10), 0o644),
        entry(long_dir.as_bytes(), EntryKind::Directory, 0o750),
        entry(long.as_bytes(), file(10), 0o644),
        entry(&[long_dir.as_bytes(), b"\xff\n"].concat(), file(10), 0o644),
        entry(b"char", EntryKind::Node(NodeKind::CharDevice { major: 4_000, minor: 1_000_000 }), 0o620),
        entry(b"block", EntryKind::Node(NodeKind::BlockDevice { major: 8, minor: 1 }), 0o660),
        entry(b"fifo", EntryKind::Node(NodeKind::Fifo), 0o600),
    ]
}

fn sparse_entries() -> Vec<Entry> {
    let sparse = |len_bytes, data| EntryKind::File { len_bytes, data };
    let many = (0..300).map(|at| at * 8_192..at * 8_192 + 4_096).collect();
    let name = [&b"sparse-"[..], &[b's'; 140], b"\xff"].concat();
    vec![
        entry(b"hole", sparse(MIB, vec![]), 0o644),
        entry(b"middle", sparse(MIB, std::iter::once(65_536..69_632).collect()), 0o644),
        entry(b"ends", sparse(MIB, vec![0..4_096, MIB - 4_096..MIB]), 0o644),
        entry(b"odd", sparse(1_000_001, vec![4_096..8_192, 999_424..1_000_001]), 0o644),
        entry(b"many", sparse(300 * 8_192, many), 0o644),
        entry(&name, sparse(MIB, vec![0..4_096, 65_536..69_632]), 0o644),
        entry(b"far-out", sparse(1 << 40, std::iter::once(1 << 39..(1 << 39) + 4_096).collect()), 0o644),
    ]
}

fn attribute_entries() -> Vec<Entry> {
    const NOBODY: u32 = u32::MAX;
    let access =
        [(1, 6, NOBODY), (2, 6, 2570), (4, 4, NOBODY), (8, 4, 70_000), (16, 6, NOBODY), (32, 4, NOBODY)];
    let default = [(1, 7, NOBODY), (2, 7, 2570), (4, 5, NOBODY), (16, 7, NOBODY), (32, 5, NOBODY)];
    let with = |entry, xattrs| Entry { xattrs, ..entry };
    vec![
        with(
            entry(b"withdefault", EntryKind::Directory, 0o755),
            vec![xattr(b"system.posix_acl_default", &acl(&default))],
        ),
        with(
            entry(b"caps", file(10), 0o755),
            vec![
                xattr(b"security.capability", b"\x01\0\0\x02\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
                xattr(b"trusted.t", b"\n\n"),
                xattr(b"user.a=b%25", b"v=w"),
                xattr(b"user.empty", b""),
                xattr(b"user.note", b"l1\nl2\0\xff"),
            ],
        ),
        with(
            entry(b"acl", file(10), 0o664),
            vec![xattr(b"system.posix_acl_access", &acl(&access)), xattr(b"user.after", b"1")],
        ),
        with(
            entry(b"link", EntryKind::Symlink { text: b"acl".to_vec() }, 0o777),
            vec![xattr(b"trusted.onlink", b"x\ny")],
        ),
    ]
}

fn byte_at(offset: u64) -> u8 {
    (offset % 251) as u8 | 1
}

fn pack(entries: &[Entry], path: &Path) {
    let mut writer = Writer::new(std::io::BufWriter::new(std::fs::File::create(path).unwrap()));
    for entry in entries {
        writer.append(entry).unwrap();
        if let EntryKind::File { data, .. } = &entry.kind {
            for range in data {
                writer.write_data(&range.clone().map(byte_at).collect::<Vec<u8>>()).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner().unwrap();
}

/// Whether a test can run here. Prints a line if not.
fn usable(tool: &str, is: &str) -> bool {
    let output = Command::new(tool).arg("--version").output();
    let found = output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(is));
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let probe = tempfile::NamedTempFile::new().unwrap();
    let attributes = xattr::set(probe.path(), "user.probe", b"").is_ok();
    if !found || !root || !attributes {
        eprintln!(
            "not checked: {tool} ({is}), root, or attributes in the directory for temporary files are missing"
        );
    }
    found && root && attributes
}

/// Runs a tool that must print no error.
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.is_empty(), "{command:?}: {} {printed}", output.status);
    output.stdout
}

/// Packs `entries` and lets `unpack` restore them, given archive and directory.
fn restore(entries: &[Entry], unpack: impl Fn(&Path, &Path)) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (archive, root) = (directory.path().join("a.tar"), directory.path().join("root"));
    pack(entries, &archive);
    std::fs::create_dir(&root).unwrap();
    unpack(&archive, &root);
    (directory, root)
}

/// GNU tar reads names as bytes, and warns about the record that marks them.
fn gnu_tar(archive: &Path, root: &Path) {
    run(Command::new("tar")
        .args([
            "--xattrs",
            "--warning=no-timestamp",
            "--warning=no-unknown-keyword",
            "--xattrs-include=*",
            "--numeric-owner",
            "-xpf",
        ])
        .arg(archive)
        .arg("-C")
        .arg(root));
}

fn check_restored(root: &Path, entries: &[Entry]) {
    for entry in entries {
        let path = root.join(OsStr::from_bytes(entry.path.as_bytes()));
        let found =
            std::fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", entry.path));
        let kind = found.file_type();
        match &entry.kind {
            EntryKind::File { len_bytes, data } => check_file(&path, &found, *len_bytes, data),
            EntryKind::Directory => assert!(kind.is_dir(), "{}", entry.path),
            EntryKind::Symlink { text } => {
                assert_eq!(std::fs::read_link(&path).unwrap().as_os_str().as_bytes(), text, "{}", entry.path);
            }
            EntryKind::HardLink { existing } => {
                let existing =
                    std::fs::symlink_metadata(root.join(OsStr::from_bytes(existing.as_bytes()))).unwrap();
                assert_eq!((found.ino(), found.nlink()), (existing.ino(), 2), "{}", entry.path);
            }
            EntryKind::Node(NodeKind::Fifo) => assert!(kind.is_fifo(), "{}", entry.path),
            EntryKind::Node(NodeKind::CharDevice { major, minor }) => {
                assert!(kind.is_char_device(), "{}", entry.path);
                assert_eq!(device(found.rdev()), (*major, *minor), "{}", entry.path);
            }
            EntryKind::Node(NodeKind::BlockDevice { major, minor }) => {
                assert!(kind.is_block_device(), "{}", entry.path);
                assert_eq!(device(found.rdev()), (*major, *minor), "{}", entry.path);
            }
        }
        assert_eq!(found.mode() & 0o7777, entry.mode, "{}", entry.path);
        assert_eq!((found.uid(), found.gid()), (entry.owner.uid, entry.owner.gid), "{}", entry.path);
        let modified =
            Timestamp { seconds: found.mtime(), nanos: u32::try_from(found.mtime_nsec()).unwrap() };
        assert_eq!(modified, entry.modified, "{}", entry.path);
        let mut xattrs: Vec<_> = xattr::list(&path)
            .unwrap()
            .map(|name| xattr(name.as_bytes(), &xattr::get(&path, &name).unwrap().unwrap_or_default()))
            .filter(|xattr| xattr.name != b"security.selinux")
            .collect();
        xattrs.sort();
        assert_eq!(xattrs, entry.xattrs, "{}", entry.path);
    }
}

fn check_file(path: &Path, found: &std::fs::Metadata, len_bytes: u64, data: &[std::ops::Range<u64>]) {
    use std::os::unix::fs::FileExt;
    assert!(found.is_file(), "{path:?}");
    assert_eq!(found.len(), len_bytes, "{path:?}");
    let data_bytes: u64 = data.iter().map(|range| range.end - range.start).sum();
    // The restored file has holes; an extent may share its first and last block with a hole.
    assert!(
        found.blocks() * 512 <= data_bytes + (data.len() as u64 + 1) * 8_192,
        "{path:?}: {}",
        found.blocks()
    );
    let file = std::fs::File::open(path).unwrap();
    let mut hole_start = 0;
    for range in data.iter().cloned().chain(std::iter::once(len_bytes..len_bytes)) {
        // Only the last bytes of a hole, which may have terabytes.
        let seen = (range.start - hole_start).min(8_192);
        let mut zeros = vec![1; usize::try_from(seen).unwrap()];
        file.read_exact_at(&mut zeros, range.start - seen).unwrap();
        assert!(zeros.iter().all(|byte| *byte == 0), "{path:?} before {}", range.start);
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
        file.read_exact_at(&mut bytes, range.start).unwrap();
        assert!(
            bytes.iter().zip(range.clone()).all(|(byte, at)| *byte == byte_at(at)),
            "{path:?} at {range:?}"
        );
        hole_start = range.end;
    }
}

/// Major and minor number, as glibc's `gnu_dev_major` and `gnu_dev_minor` take them apart.
fn device(number: u64) -> (u32, u32) {
    let major = (number >> 8) & 0xfff | (number >> 32) & 0xffff_f000;
    let minor = number & 0xff | (number >> 12) & 0xffff_ff00;
    (u32::try_from(major).unwrap(), u32::try_from(minor).unwrap())
}

#[test]
fn gnu_tar_restores_everything() {
    if !usable("tar", "GNU tar") {
        return;
    }
    for entries in [plain_entries(), sparse_entries(), attribute_entries()] {
        let (_directory, root) = restore(&entries, gnu_tar);
        check_restored(&root, &entries);
    }
}

#[test]
fn gnu_tar_lists_all_packed_entries() {
    if !usable("tar", "GNU tar") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("a.tar");
    let wanted = [&b"dir"[..], b"dir/file", b"hard", b"bigids", b"link", b"char"];
    let entries: Vec<_> =
        plain_entries().into_iter().filter(|entry| wanted.contains(&entry.path.as_bytes())).collect();
    pack(&entries, &archive);
    let listing =
        run(Command::new("tar").args(["-tvv", "--numeric-owner", "--full-time", "-f"]).arg(&archive));
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = String::from_utf8(listing).unwrap().lines().map(squeezed).collect();
    assert_eq!(
        lines,
        [
            "drwxrwxrwt 1234/4321 0 2017-07-14 02:40:00.000000007 dir/",
            "-rwsr-sr-x 1234/4321 6000 2023-11-14 22:13:21.123456789 dir/file",
            "hrwsr-sr-x 1234/4321 0 2023-11-14 22:13:21.123456789 hard link to dir/file",
            "-rws--x--x 3000000000/4000000000 1 2023-11-14 22:13:20 bigids",
            "lrwxrwxrwx 1234/4321 0 2023-11-14 22:13:20 link -> /dir/../\\377 to",
            "crw--w---- 1234/4321 4000,1000000 2023-11-14 22:13:20 char",
        ]
    );
}

#[test]
fn bsdtar_restores_everything_but_acls() {
    if !usable("bsdtar", "libarchive") {
        return;
    }
    for mut entries in [plain_entries(), sparse_entries(), attribute_entries()] {
        // It adds the fraction of a negative time in the wrong direction.
        for entry in entries.iter_mut().filter(|entry| entry.modified.seconds < 0) {
            entry.modified.nanos = 0;
        }
        // It does not undo GNU tar's escapes in the names of attributes.
        for xattr in entries.iter_mut().flat_map(|entry| &mut entry.xattrs) {
            xattr.name.retain(|byte| !b"=%".contains(byte));
        }
        let (_directory, root) = restore(&entries, |archive, root| {
            run(Command::new("bsdtar")
                .args(["--xattrs", "--acls", "--numeric-owner", "-xpPf"])
                .arg(archive)
                .arg("-C")
                .arg(root));
        });
        // It reads ACLs from its own records only, and does not change the directory into which it restores.
        for entry in &mut entries {
            entry.xattrs.retain(|xattr| !xattr.name.starts_with(b"system."));
        }
        let below: Vec<_> = entries.into_iter().filter(|entry| !entry.path.is_root()).collect();
        check_restored(&root, &below);
    }
}

#[test]
fn python_reads_all_packed_entries() {
    const SCRIPT: &str = r#"
import os, sys, tarfile
with tarfile.open(sys.argv[1], encoding="utf-8", errors="surrogateescape") as archive:
    for member in archive:
        name, link = (os.fsencode(text).hex() for text in (member.name, member.linkname))
        print(name, member.type.decode(), member.issparse(), oct(member.mode)[2:], member.uid, member.gid, member.size, link or "-")
"#;
    if !usable("python3", "Python") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("a.tar");
    let entries: Vec<_> =
        plain_entries().into_iter().chain(sparse_entries()).chain(attribute_entries()).collect();
    pack(&entries, &archive);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let expected = entries.iter().map(|entry| {
        let (kind, size, link) = match &entry.kind {
            EntryKind::File { len_bytes, data } => {
                let stored: u64 = data.iter().map(|range| range.end - range.start).sum();
                (if stored == *len_bytes { "0 False" } else { "0 True" }, *len_bytes, "-".to_owned())
            }
            EntryKind::Directory => ("5 False", 0, "-".to_owned()),
            EntryKind::Symlink { text } => ("2 False", 0, hex(text)),
            EntryKind::HardLink { existing } => ("1 False", 0, hex(existing.as_bytes())),
            EntryKind::Node(NodeKind::CharDevice { .. }) => ("3 False", 0, "-".to_owned()),
            EntryKind::Node(NodeKind::BlockDevice { .. }) => ("4 False", 0, "-".to_owned()),
            EntryKind::Node(NodeKind::Fifo) => ("6 False", 0, "-".to_owned()),
        };
        let name = if entry.path.is_root() { hex(b".") } else { hex(entry.path.as_bytes()) };
        let Owner { uid, gid } = entry.owner;
        format!("{name} {kind} {:o} {uid} {gid} {size} {link}", entry.mode)
    });
    let found = run(Command::new("python3").args(["-c", SCRIPT]).arg(&archive));
    let found = String::from_utf8(found).unwrap();
    for (found, expected) in found.lines().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), entries.len());
}
