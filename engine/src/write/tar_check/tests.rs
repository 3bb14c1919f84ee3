//! The check of an archive by its index finds the same as the check that decodes it.

// The drive of a test is a directory on this host.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use super::*;
use crate::formats::codec::Compression;
use crate::formats::tar::{Index, IndexWriter, Writer};
use crate::names::{self, Extension, ImageName};
use crate::tuning::Tuning;
use proptest::collection::vec;
use proptest::prelude::*;
use replicator_hal::host::{HostBoard, HostDevice};
use replicator_hal::{
    Access, Board, DeviceKind, DeviceName, FileSystem, FileSystemKind, FileSystems, Holder, InodeFlags,
    Owner, Region, Timestamp, Volume, Xattr,
};
use std::fs;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_128;

const FSTAB: &[u8] = b"UUID=0f0e0d0c-0b0a-4908-8706-050403020100 / ext4 defaults 0 1\n";

/// A board with a drive in a directory.
struct Bench {
    board: Board,
    drive: Box<dyn Volume>,
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let host = HostBoard::new(directory.path());
        let drive = directory.path().join("drive");
        fs::create_dir(&drive).unwrap();
        let name = DeviceName::parse("sda1").unwrap();
        let file = directory.path().join("sda1.img");
        fs::write(&file, vec![0; 1 << 20]).unwrap();
        host.devices.register(HostDevice::new(name.clone(), file, DeviceKind::Usb));
        let region = Region { holder: Holder::Device(name), offset_bytes: 0, len_bytes: 1 << 20 };
        let file_system = FileSystem {
            kind: FileSystemKind::Ext4,
            label: None,
            uuid: None,
            len_bytes: None,
            needs_recovery: false,
        };
        host.file_systems.register(&region, drive, file_system);
        let drive = host.file_systems.mount(&region, Access::ReadOnly).unwrap();
        Self { board: host.board(&[], ""), drive, directory }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.directory.path().join("drive").join(name), bytes).unwrap();
    }
}

/// The data of a file: that of a known name has a meaning.
fn data_of(entry: &Entry, len_bytes: u64) -> Vec<u8> {
    let text = match entry.path.file_name() {
        Some(b"fstab") => FSTAB,
        Some(b"passwd") => b"root:x:0:0\nann:x:1000:1000\n",
        _ => &b"data"[..],
    };
    text.iter().copied().cycle().take(usize::try_from(len_bytes).unwrap()).collect()
}

fn is_kept(entry: &Entry) -> bool {
    let EntryKind::File { len_bytes, .. } = entry.kind else { return false };
    Names::may_be_in(&entry.path, len_bytes) || root_names::is_of_interest(&entry.path)
}

/// The archive of these entries and its index.
fn pack(entries: &[Entry], is_kept: fn(&Entry) -> bool) -> (Vec<u8>, Index) {
    let mut writer = Writer::with_index(Vec::new(), IndexWriter::new(is_kept, 1 << 24).unwrap());
    for entry in entries {
        // What the format cannot hold is left out.
        if writer.append(entry).is_ok() {
            if let EntryKind::File { data, .. } = &entry.kind {
                let len_bytes = data.iter().map(|range| range.end - range.start).sum();
                writer.write_data(&data_of(entry, len_bytes)).unwrap();
            }
        }
    }
    let (archive, index) = writer.finish_with_index().unwrap();
    (archive, index.unwrap())
}

/// The facts of the whole archive and of its index.
fn both(bench: &Bench, archive: &[u8], index: &Index, tuning: &Tuning) -> [Result<TarFacts>; 2] {
    let name = ImageName { medium: "sd".into(), extension: Extension::Tar, compression: Compression::None };
    bench.put("sdimage.tar", archive);
    let index_name = names::archive_index(&name);
    bench.put(&index_name, &index.bytes);
    let image = Image {
        name,
        path: RelativePath::parse("sdimage.tar").unwrap(),
        file_len_bytes: archive.len() as u64,
        content: Vec::new(),
        file: Vec::new(),
        metadata_bytes: None,
        captured_from: None,
    };
    let operation = Operation::new(&bench.board, tuning, "sd", "sd-writefs");
    let index = TarIndex::new(
        index_name,
        ContentHash { len_bytes: index.decoded_len_bytes, hash: index.hash },
        ContentHash { len_bytes: archive.len() as u64, hash: xxh3_128(archive) },
    );
    let destination = Destination {
        medium_len_bytes: 64 << 20,
        len_bytes: 63 << 20,
        sector_len_bytes: 512,
        flavour: Flavour::Ext4,
    };
    let whole = Check {
        operation: &operation,
        drive: &bench.drive,
        image: &image,
        name: "sdimage.tar",
        announced_len_bytes: None,
        destination: &destination,
        index: None,
    };
    let allowed = Allowed { any_content: true, ..Allowed::default() };
    [whole.facts(allowed), Check { index: Some(&index), ..whole }.facts(allowed)]
}

fn assert_same(found: [Result<TarFacts>; 2]) {
    match found {
        [Ok(whole), Ok(by_index)] => {
            assert!(whole.index.is_none() && by_index.index.is_some());
            // Without a record, only the index is of a captured archive.
            let by_index = TarFacts { index: None, is_recorded: whole.is_recorded, ..by_index };
            assert_eq!(whole, by_index);
        }
        [Err(whole), Err(by_index)] => {
            let text = by_index.to_string().replace("sdimage.tar.index", "sdimage.tar");
            assert_eq!((whole.code(), whole.to_string()), (by_index.code(), text));
        }
        [whole, by_index] => panic!("{whole:?}\n{by_index:?}"),
    }
}

fn path() -> impl Strategy<Value = RelativePath> {
    let name = prop_oneof![
        4 => "[a-d]",
        1 => Just("etc".to_owned()),
        1 => Just("usr".to_owned()),
        1 => Just("boot".to_owned()),
        1 => Just("fstab".to_owned()),
        1 => Just("passwd".to_owned()),
        1 => Just("group".to_owned()),
        1 => Just("cmdline.txt".to_owned()),
        1 => (90_usize..255).prop_map(|len| "n".repeat(len)),
    ];
    vec(name, 1..4).prop_map(|parts| RelativePath::parse(parts.join("/")).unwrap())
}

fn kind() -> impl Strategy<Value = EntryKind> {
    let whole = |len_bytes: u64| EntryKind::File {
        len_bytes,
        data: std::iter::once(0..len_bytes).filter(|range| !range.is_empty()).collect(),
    };
    let sparse = vec((1_u64..9_000, 1_u64..9_000), 0..5).prop_map(|pieces| {
        let (mut at, mut data) = (0, Vec::new());
        for (hole, len) in pieces {
            data.push(at + hole..at + hole + len);
            at += hole + len;
        }
        EntryKind::File { len_bytes: at + 100, data }
    });
    prop_oneof![
        4 => (0_u64..3_000).prop_map(whole),
        1 => Just(whole(200_000)),
        2 => sparse,
        4 => Just(EntryKind::Directory),
        1 => path().prop_map(|path| EntryKind::Symlink { text: path.as_bytes().to_vec() }),
        2 => path().prop_map(|existing| EntryKind::HardLink { existing }),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    // Of version 2: the owner, one named user, the group, the mask, others.
    let acl = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff\
                \x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff"
        .to_vec();
    let xattrs = prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(vec![Xattr { name: b"system.posix_acl_access".to_vec(), value: acl }]),
        1 => vec(any::<u8>(), 0..300)
            .prop_map(|value| vec![Xattr { name: b"security.capability".to_vec(), value }]),
    ];
    let flags = prop_oneof![4 => Just(InodeFlags::none()), 1 => Just(InodeFlags::IMMUTABLE)];
    let modified = prop_oneof![Just(0_i64), -(1_i64 << 40)..1 << 40];
    (path(), kind(), 0_u32..0o7777, xattrs, flags, modified).prop_map(
        |(path, kind, mode, xattrs, flags, seconds)| Entry {
            path,
            kind,
            mode,
            owner: Owner::default(),
            modified: Timestamp { seconds, nanos: 5 },
            xattrs,
            flags,
        },
    )
}

/// Sorted as a capture packs them, each after its directories, without repeated names.
fn in_order(entries: Vec<Entry>) -> Vec<Entry> {
    let mut found: BTreeMap<Vec<Vec<u8>>, Entry> = BTreeMap::new();
    for entry in entries {
        let parts: Vec<Vec<u8>> = entry.path.components().map(<[u8]>::to_vec).collect();
        for len in 1..parts.len() {
            let path = RelativePath::parse(parts[..len].join(&b'/')).unwrap();
            let directory = Entry { path, kind: EntryKind::Directory, ..Entry::sketched("x/") };
            found.insert(parts[..len].to_vec(), directory);
        }
        found.entry(parts).or_insert(entry);
    }
    found.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 96 } else { 256 }))]

    #[test]
    fn an_index_gives_the_facts_of_its_archive(
        entries in vec(entry(), 0..30),
        is_in_order in any::<bool>(),
        list_bytes in prop_oneof![Just(0_u64), Just(4_000), Just(1 << 20)],
    ) {
        let entries = if is_in_order { in_order(entries) } else { entries };
        let bench = Bench::new();
        let (archive, index) = pack(&entries, is_kept);
        let tuning = Tuning { tar_list_bytes: list_bytes, ..Tuning::default() };
        assert_same(both(&bench, &archive, &index, &tuning));
    }
}

/// The generated archives are rarely root file systems with hard links that are checked without a list.
#[test]
fn an_index_gives_the_facts_of_a_root_file_system_with_and_without_a_list() {
    let fstab = EntryKind::File { len_bytes: FSTAB.len() as u64, data: vec![0..FSTAB.len() as u64] };
    let mut entries =
        vec![Entry::sketched("bin>usr/bin"), Entry::sketched("etc/"), Entry::plain("etc/fstab", fstab)];
    entries.extend(["usr/", "usr/bin/", "usr/bin/a", "usr/bin/b=usr/bin/a"].map(Entry::sketched));
    entries.extend((100..150).map(|number| Entry::sketched(&format!("usr/bin/c{number}"))));
    let (archive, index) = pack(&entries, is_kept);
    let bench = Bench::new();
    // The first limit is more than the directories and links take, and less than all entries do.
    for (list_bytes, is_listed) in [(8_000, false), (1 << 20, true)] {
        let tuning = Tuning { tar_list_bytes: list_bytes, ..Tuning::default() };
        let found = both(&bench, &archive, &index, &tuning);
        let facts = found[0].as_ref().unwrap();
        assert_eq!((facts.in_order.is_none(), facts.references.len()), (is_listed, 1));
        assert_same(found);
    }
}

#[test]
fn an_index_without_the_data_that_the_check_reads_is_not_used() {
    let fstab = EntryKind::File { len_bytes: FSTAB.len() as u64, data: vec![0..FSTAB.len() as u64] };
    let entries = [Entry::sketched("etc/"), Entry::plain("etc/fstab", fstab), Entry::sketched("usr/")];
    let (archive, index) = pack(&entries, |_| false);
    let [whole, by_index] = both(&Bench::new(), &archive, &index, &Tuning::default());
    assert!(whole.is_ok());
    assert_eq!(by_index.unwrap_err().code(), "F-UNSUPPORTED");
}

#[test]
fn an_index_that_is_not_that_of_the_record_is_not_used() {
    let entries = [Entry::sketched("etc/"), Entry::sketched("usr/")];
    let (archive, index) = pack(&entries, is_kept);
    let (_, other) = pack(&entries[1..], is_kept);
    let changed = Index { bytes: other.bytes, ..index };
    let [whole, by_index] = both(&Bench::new(), &archive, &changed, &Tuning::default());
    assert!(whole.is_ok());
    assert_eq!(by_index.unwrap_err().code(), "V-DRIVE");
}
