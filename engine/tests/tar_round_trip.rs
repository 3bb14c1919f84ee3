//! The reader returns every entry of the writer unchanged, in pieces of any size.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use replicator_engine::formats::tar::{Entry, EntryKind, Reader, ReaderLimits, Writer};
use replicator_hal::{InodeFlags, NodeKind, Owner, RelativePath, Timestamp, Xattr};
use std::io;
use std::ops::Range;

/// The data of a file: a byte depends on its offset, so that data at a wrong offset is found.
fn byte_at(offset: u64) -> u8 {
    (offset % 251) as u8 ^ (offset / 251 % 241) as u8
}

fn pack(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new());
    for entry in entries {
        writer.append(entry)?;
        if let EntryKind::File { data, .. } = &entry.kind {
            for range in data {
                let bytes: Vec<u8> = range.clone().map(byte_at).collect();
                let (front, back) = bytes.split_at(bytes.len() / 3);
                writer.write_data(front)?;
                writer.write_data(back)?;
            }
        }
    }
    writer.finish()
}

/// Reads all of `archive`, and checks that the offsets of the data are those of the entry.
fn unpack(archive: &[u8], piece_bytes: usize) -> Vec<Entry> {
    let mut reader = Reader::new(archive, ReaderLimits::default());
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut expected: Vec<Range<u64>> = match &entry.kind {
            EntryKind::File { data, .. } => data.clone(),
            _ => Vec::new(),
        };
        expected.reverse();
        let mut buffer = vec![0; piece_bytes];
        while let Some((offset, len)) = reader.read_data(&mut buffer).unwrap() {
            let range = expected.last_mut().expect("no data beyond the ranges");
            assert_eq!(offset, range.start);
            assert!(len > 0 && offset + len as u64 <= range.end, "a piece crosses a hole");
            assert!(buffer[..len].iter().zip(offset..).all(|(byte, at)| *byte == byte_at(at)));
            range.start += len as u64;
            if range.is_empty() {
                expected.pop();
            }
        }
        assert!(expected.is_empty(), "data left out");
        entries.push(entry);
    }
    assert!(reader.next_entry().unwrap().is_none());
    entries
}

fn component() -> impl Strategy<Value = Vec<u8>> {
    let odd =
        prop_oneof![Just(b'\n'), Just(b' '), Just(b'\\'), Just(0xff), Just(b'='), Just(b'.'), 1_u8..=255];
    let long = (90_usize..=255).prop_map(|len| vec![b'n'; len]);
    let umlauts = (1_usize..=127).prop_map(|len| "\u{e4}".repeat(len).into_bytes());
    prop_oneof![4 => vec(odd, 1..40), 1 => long, 1 => umlauts]
        .prop_map(|name| {
            name.into_iter().map(|byte| if byte == b'/' { b'_' } else { byte }).collect::<Vec<u8>>()
        })
        .prop_filter("a name of its own", |name| name != b"." && name != b"..")
}

fn path() -> impl Strategy<Value = RelativePath> {
    vec(component(), 1..5).prop_map(|parts| RelativePath::parse(parts.join(&b'/')).unwrap())
}

/// Extents that are not adjacent, and perhaps a hole at the end.
fn file() -> impl Strategy<Value = EntryKind> {
    let pieces = vec((1_u64..3_000, 1_u64..3_000), 0..60);
    (any::<bool>(), pieces, 0_u64..5_000, any::<bool>()).prop_map(|(starts_with_data, pieces, tail, far)| {
        let mut at = if far { 1 << 40 } else { 0 };
        let mut data: Vec<Range<u64>> = Vec::new();
        for (hole, len) in pieces {
            if !(data.is_empty() && starts_with_data) {
                at += hole;
            }
            data.push(at..at + len);
            at += len;
        }
        EntryKind::File { len_bytes: at + tail, data }
    })
}

fn kind() -> impl Strategy<Value = EntryKind> {
    let number = 0_u32..=0o7_777_777;
    prop_oneof![
        4 => file(),
        2 => (0_u64..2_000).prop_map(|len_bytes| EntryKind::File {
            len_bytes,
            data: std::iter::once(0..len_bytes).filter(|range| !range.is_empty()).collect(),
        }),
        2 => Just(EntryKind::Directory),
        2 => vec(1_u8..=255, 1..300).prop_map(|text| EntryKind::Symlink { text }),
        2 => path().prop_map(|existing| EntryKind::HardLink { existing }),
        1 => (number.clone(), number.clone())
            .prop_map(|(major, minor)| EntryKind::Node(NodeKind::CharDevice { major, minor })),
        1 => (number.clone(), number)
            .prop_map(|(major, minor)| EntryKind::Node(NodeKind::BlockDevice { major, minor })),
        1 => Just(EntryKind::Node(NodeKind::Fifo)),
    ]
}

fn xattrs() -> impl Strategy<Value = Vec<Xattr>> {
    let name = vec(prop_oneof![Just(b'='), Just(b'%'), Just(b'\n'), 1_u8..=255], 1..20);
    let value = vec(prop_oneof![Just(b'\n'), Just(0), any::<u8>()], 0..200);
    btree_map(name, value, 0..4).prop_map(|pairs| {
        pairs.into_iter().map(|(name, value)| Xattr { name: [b"user.", &name[..]].concat(), value }).collect()
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let id = prop_oneof![0_u32..70_000, 0_u32..u32::MAX];
    let owner = (id.clone(), id).prop_map(|(uid, gid)| Owner { uid, gid });
    let seconds = prop_oneof![0_i64..1 << 33, -10_i64..10, any::<i64>()];
    let nanos = prop_oneof![Just(0_u32), 0_u32..1_000_000_000];
    let modified = (seconds, nanos).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos });
    let flags = prop_oneof![Just(0_u32), any::<u32>()].prop_map(|bits| {
        let unsupported = InodeFlags::NO_COMPRESS.with(InodeFlags::DIRECT_ACCESS);
        InodeFlags::from_bits(bits).without(unsupported)
    });
    (path(), kind(), 0_u32..=0o7777, owner, modified, xattrs(), flags)
        .prop_map(|(path, kind, mode, owner, modified, xattrs, flags)| Entry {
            path,
            kind,
            mode,
            owner,
            modified,
            xattrs,
            flags,
        })
        .prop_filter(
            "no link to itself",
            |entry| !matches!(&entry.kind, EntryKind::HardLink { existing } if *existing == entry.path),
        )
}

proptest! {
    #[test]
    fn entries_come_back_as_they_were(entries in vec(entry(), 0..8), piece_bytes in 1_usize..3_000) {
        let archive = pack(&entries).unwrap();
        prop_assert_eq!(archive.len() % 10_240, 0);
        prop_assert_eq!(unpack(&archive, piece_bytes), entries.clone());
        prop_assert_eq!(pack(&entries).unwrap(), archive, "not the same bytes twice");
    }

    #[test]
    fn unread_data_is_skipped(entries in vec(entry(), 0..8)) {
        let archive = pack(&entries).unwrap();
        let mut reader = Reader::new(&archive[..], ReaderLimits::default());
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            reader.read_data(&mut [0; 100]).unwrap();
            found.push(entry);
        }
        prop_assert_eq!(found, entries);
    }
}

fn plain(path: &str, kind: EntryKind) -> Entry {
    Entry {
        path: RelativePath::parse(path).unwrap(),
        kind,
        mode: 0o644,
        owner: Owner { uid: 0, gid: 0 },
        modified: Timestamp { seconds: 1_700_000_000, nanos: 0 },
        xattrs: Vec::new(),
        flags: InodeFlags::none(),
    }
}

fn file_of(len_bytes: u64) -> EntryKind {
    EntryKind::File { len_bytes, data: std::iter::once(0..len_bytes).collect() }
}

#[test]
fn the_root_is_a_directory_with_a_name_for_every_tar() {
    let root = plain("", EntryKind::Directory);
    let archive = pack(std::slice::from_ref(&root)).unwrap();
    assert_eq!(&archive[..3], b"./\0");
    assert_eq!(unpack(&archive, 100), [root]);
}

#[test]
fn an_entry_that_fits_into_a_plain_header_gets_no_extended_one() {
    let split = format!("{}/{}", "p".repeat(155), "n".repeat(100));
    for path in ["a", "\u{e4}", &"n".repeat(100), &split] {
        let archive = pack(&[plain(path, EntryKind::Directory)]).unwrap();
        assert_eq!(archive.len(), 10_240);
        let extended = path.len() == 100 || path.len() == 256;
        // The slash of a directory makes these a byte too long.
        assert_eq!(archive[156], if extended { b'x' } else { b'5' }, "{path}");
        let archive = pack(&[plain(path, EntryKind::Node(NodeKind::Fifo))]).unwrap();
        assert_eq!(archive[156], b'6', "{path}");
    }
}

#[test]
fn the_length_of_a_file_beyond_the_octal_field_is_in_a_record() {
    let entry = plain("big", file_of(9 << 30));
    let mut head = Vec::new();
    Writer::new(&mut head).append(&entry).unwrap();
    assert!(head.windows(15).any(|bytes| bytes == b"size=9663676416"));
    let mut reader = Reader::new(&head[..], ReaderLimits::default());
    assert_eq!(reader.next_entry().unwrap(), Some(entry));
    assert_eq!(reader.next_entry().unwrap_err().code(), "F-TRUNCATED");
}

#[test]
fn an_unfinished_archive_is_never_whole() {
    let mut bytes = Vec::new();
    {
        let mut writer = Writer::new(&mut bytes);
        writer.append(&plain("a", EntryKind::Directory)).unwrap();
    }
    assert_eq!(bytes.len(), 512);

    let mut writer = Writer::new(Vec::new());
    writer.append(&plain("short", file_of(5))).unwrap();
    writer.write_data(b"four").unwrap();
    assert_eq!(
        writer.append(&plain("b", EntryKind::Directory)).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
    assert_eq!(writer.finish().unwrap_err().kind(), io::ErrorKind::InvalidInput);

    let mut writer = Writer::new(Vec::new());
    writer.append(&plain("over", file_of(5))).unwrap();
    assert_eq!(writer.write_data(b"sixsix").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert!(writer.write_data(b"fives").is_err());
    assert!(writer.finish().is_err());
}

#[test]
fn a_failed_write_breaks_the_archive() {
    struct FullAfter(usize);
    impl io::Write for FullAfter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.0);
            self.0 -= len;
            if len == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(len) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer::new(FullAfter(600));
    writer.append(&plain("a", file_of(200))).unwrap();
    assert_eq!(writer.write_data(&[1; 200]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(writer.append(&plain("b", EntryKind::Directory)).is_err());
    assert!(writer.finish().is_err());
}

#[test]
fn improper_entries_are_refused_before_anything_is_written() {
    let xattr = |name: &[u8]| Xattr { name: name.to_vec(), value: vec![] };
    let base = || plain("a", EntryKind::Directory);
    let ranges =
        |len_bytes, data: &[Range<u64>]| plain("a", EntryKind::File { len_bytes, data: data.to_vec() });
    let bad = [
        plain("", file_of(1)),
        Entry { mode: 0o40755, ..base() },
        Entry { modified: Timestamp { seconds: 0, nanos: 1_000_000_000 }, ..base() },
        Entry { owner: Owner { uid: u32::MAX, gid: 0 }, ..base() },
        Entry { xattrs: vec![xattr(b"")], ..base() },
        Entry { xattrs: vec![xattr(b"user.a\0b")], ..base() },
        Entry { xattrs: vec![xattr(b"user.a"), xattr(b"user.a")], ..base() },
        Entry { xattrs: vec![Xattr { name: b"user.a".to_vec(), value: vec![0; 2 << 20] }], ..base() },
        ranges(10, &[5..7, 2..3]),
        ranges(10, &[2..7, 6..8]),
        ranges(10, &[2..2, 6..8]),
        ranges(10, &[2..3, 6..11]),
        ranges(u64::MAX, &[2..3, 6..11]),
        plain("a", EntryKind::Symlink { text: vec![] }),
        plain("a", EntryKind::Symlink { text: b"x\0".to_vec() }),
        plain("a", EntryKind::HardLink { existing: RelativePath::root() }),
        plain("a", EntryKind::HardLink { existing: RelativePath::parse("a").unwrap() }),
        plain("a", EntryKind::Node(NodeKind::CharDevice { major: 1 << 21, minor: 0 })),
    ];
    let mut writer = Writer::new(Vec::new());
    for entry in &bad {
        assert_eq!(writer.append(entry).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{entry:?}");
    }
    assert!(writer.finish().unwrap().iter().all(|byte| *byte == 0));
}
