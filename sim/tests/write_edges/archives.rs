//! Archives with unusual entries are restored as other tars do and verified, or refused.

use super::*;

const TIME: Timestamp = Timestamp { seconds: 1_500_000_000, nanos: 123_456_789 };

/// An entry and its content.
type Packed = (TarEntry, &'static [u8]);

fn entry(name: &str, kind: EntryKind) -> TarEntry {
    let mode = if kind == EntryKind::Directory { 0o750 } else { 0o640 };
    let owner = Owner { uid: 7, gid: 8 };
    TarEntry {
        path: path(name),
        kind,
        mode,
        owner,
        modified: TIME,
        xattrs: Vec::new(),
        flags: replicator_hal::InodeFlags::none(),
    }
}

fn file(name: &str, content: &'static str) -> Packed {
    let len_bytes = content.len() as u64;
    (entry(name, EntryKind::File { len_bytes, data: vec![0..len_bytes] }), content.as_bytes())
}

fn directory(name: &str) -> Packed {
    (entry(name, EntryKind::Directory), b"")
}

fn symlink(name: &str, text: &str) -> Packed {
    (entry(name, EntryKind::Symlink { text: text.into() }), b"")
}

fn link(name: &str, existing: &str) -> Packed {
    (entry(name, EntryKind::HardLink { existing: path(existing) }), b"")
}

fn archive(entries: Vec<Packed>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    // The first two make it a root file system.
    for (entry, content) in [directory("etc"), directory("bin")].into_iter().chain(entries) {
        writer.append(&entry).unwrap();
        if !content.is_empty() {
            writer.write_data(content).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// An archive with one entry of every kind.
pub(super) fn small_archive() -> Vec<u8> {
    let content = "x".repeat(100_000).leak();
    archive(vec![directory("d"), file("d/a", content), symlink("s", "d"), link("h", "d/a"), file("s/b", "b")])
}

fn write(entries: Vec<Packed>) -> (World, Report) {
    let image = Entry::file("sdimage.tar", archive(entries));
    run(WorldBuilder::new().medium(drive(vec![image])).medium(medium("sd")))
}

/// Writes it, and returns the content of every file by path.
fn restored(entries: Vec<Packed>) -> (World, Vec<(String, String)>) {
    let (world, report) = write(entries);
    assert_eq!(end_of(&report, "sd"), "ok", "{:?}", report.lines());
    assert!(looks_bootable(&world, "sd"));
    let files = written_files(&world, "sd")
        .into_iter()
        .filter(|(_, found)| !found.bytes.is_empty())
        .map(|(path, found)| (path.to_string(), String::from_utf8(found.bytes.to_vec()).unwrap()))
        .collect();
    (world, files)
}

fn texts(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    for (entries, expected) in [
        (vec![file("a", "old"), file("a", "new")], &[("a", "new")][..]),
        (vec![file("a", "old"), symlink("a", "b"), file("b", "b")], &[("b", "b")]),
        (vec![file("a", "old"), directory("a"), file("a/b", "b")], &[("a/b", "b")]),
        (vec![directory("a"), file("a", "new")], &[("a", "new")]),
        (
            vec![file("f", "f"), symlink("a", "f"), directory("a"), file("a/b", "b")],
            &[("a/b", "b"), ("f", "f")],
        ),
        (vec![directory("lost+found"), file("lost+found/a", "a")], &[("lost+found/a", "a")]),
    ] {
        let names: Vec<String> = entries.iter().map(|(entry, _)| entry.path.to_string()).collect();
        assert_eq!(restored(entries).1, texts(expected), "{names:?}");
    }
}

#[test]
fn replacing_one_name_of_a_file_leaves_its_other_names() {
    let entries = vec![
        file("a", "old"),
        link("b", "a"),
        link("c", "b"),
        file("a", "new"),
        link("d", "c"),
        file("b", "newer"),
        link("c", "d"),
    ];
    let (world, files) = restored(entries);
    assert_eq!(files, texts(&[("a", "new"), ("b", "newer"), ("c", "old"), ("d", "old")]));
    let files = written_files(&world, "sd");
    assert_eq!(files[&path("c")].number, files[&path("d")].number);
}

#[test]
fn parents_that_are_links_are_followed_inside_of_the_medium() {
    let entries = vec![
        directory("usr"),
        directory("usr/lib"),
        symlink("lib", "usr/lib"),
        symlink("abs", "/usr/lib"),
        symlink("out", "../../../usr"),
        file("lib/x", "x"),
        file("abs/y", "y"),
        file("out/lib/z", "z"),
        link("w", "lib/x"),
    ];
    let (_, files) = restored(entries);
    assert_eq!(files, texts(&[("usr/lib/x", "x"), ("usr/lib/y", "y"), ("usr/lib/z", "z"), ("w", "x")]));
}

#[test]
fn implied_directories_are_the_same_every_time() {
    let (world, _) = restored(vec![file("srv/www/index", "hello")]);
    let files = written_files(&world, "sd");
    for name in ["srv", "srv/www"] {
        let inode = &files[&path(name)].inode;
        assert_eq!((inode.mode, inode.owner, inode.modified), (0o755, Owner::default(), TIME), "{name}");
    }
    // An explicit entry gives the directory the attributes of the archive.
    let (world, _) = restored(vec![file("srv/www/index", "hello"), directory("srv")]);
    assert_eq!(written_files(&world, "sd")[&path("srv")].inode.mode, 0o750);
}

#[test]
fn a_directory_that_meets_a_link_to_one_keeps_it() {
    let usr = || vec![directory("usr"), directory("usr/lib"), file("usr/lib/ld.so", "ld")];
    for text in ["usr/lib", "/usr/lib", "../../usr/lib", "usr/../usr/lib", "there"] {
        let mut entries = usr();
        entries.extend([symlink("there", "usr/lib/."), symlink("lib", text)]);
        entries.extend([(TarEntry { mode: 0o700, ..directory("lib").0 }, &b""[..]), file("lib/a.ko", "a")]);
        let (world, files) = restored(entries);
        assert_eq!(files, texts(&[("usr/lib/a.ko", "a"), ("usr/lib/ld.so", "ld")]), "{text}");
        let files = written_files(&world, "sd");
        assert_eq!(files[&path("lib")].inode.text, text.as_bytes());
        // The target of the link has the attributes of its own entry.
        assert_eq!(files[&path("usr/lib")].inode.mode, 0o750, "{text}");
    }
}

#[test]
fn a_link_may_come_before_its_directory() {
    for entries in [
        vec![
            symlink("lib", "usr/lib"),
            directory("lib"),
            file("lib/a", "a"),
            directory("usr"),
            directory("usr/lib"),
        ],
        vec![symlink("lib", "/usr/lib"), file("lib/a", "a"), directory("usr/lib")],
        vec![symlink("lib", "usr/lib"), directory("lib"), file("usr/lib/a", "a")],
    ] {
        let (world, files) = restored(entries);
        assert_eq!(files, texts(&[("usr/lib/a", "a")]));
        let files = written_files(&world, "sd");
        assert_eq!(
            (files[&path("lib")].inode.kind, files[&path("usr/lib")].inode.mode),
            (FileKind::Symlink, 0o750)
        );
    }
}

#[test]
fn an_archive_that_cannot_be_restored_is_refused_before_the_medium_is_touched() {
    for entries in [
        vec![link("b", "a"), file("a", "late")],
        vec![directory("d"), link("b", "d")],
        vec![file("d/a", "a"), file("d", "in the way")],
        vec![file("lib/a", "a"), symlink("lib", "usr/lib")],
        vec![symlink("a", "b"), symlink("b", "a"), file("a/c", "c")],
        vec![file("a", "a"), file("a/b", "b")],
        vec![file("a", "a"), symlink("l", "a"), file("l/b", "b")],
    ] {
        let names: Vec<String> = entries.iter().map(|(entry, _)| entry.path.to_string()).collect();
        let (world, report) = write(entries);
        assert_eq!(end_of(&report, "sd"), "F-DAMAGED", "{names:?}: {:?}", report.lines());
        assert_eq!(world.medium_bytes("sd").unwrap().bytes(0, 1), b"[", "{names:?}: the medium was touched");
    }
}

#[test]
fn directories_without_an_entry_take_memory_too() {
    let deep = |first: usize| format!("{first}/{}f", "d/".repeat(1000));
    let (world, report) = write((0..100).map(|first| file(&deep(first), "x")).collect());
    assert_eq!(end_of(&report, "sd"), "R-TOOLARGE", "{:?}", report.lines());
    assert_eq!(world.medium_bytes("sd").unwrap().bytes(0, 1), b"[", "the medium was touched");
}

#[test]
fn a_path_that_is_too_deep_is_refused_before_the_medium_is_touched() {
    let name = "d/".repeat(200_000) + "f";
    let (world, report) = write(vec![file(&name, "deep")]);
    assert_eq!(end_of(&report, "sd"), "F-UNSUPPORTED");
    assert_eq!(world.medium_bytes("sd").unwrap().bytes(0, 1), b"[", "the medium was touched");
    let longest = report.lines().iter().map(String::len).max();
    assert!(longest < Some(500_000), "{longest:?}");
    let longest_line = world.records().console.iter().map(|line| line.len()).max();
    assert!(longest_line < Some(10_000), "the console was flooded: {longest_line:?}");
}

#[test]
fn a_card_that_drops_writes_is_detected_although_another_holder_keeps_its_pages() {
    for another_holder in [false, true] {
        let content = "x".repeat(300_000).leak();
        let image = Entry::file("sdimage.tar", archive(vec![file("a", content)]));
        let start_bytes = PARTITION_BYTES + (64 << 10);
        let dead = Fault::DropWrites { range: ByteRange::new(start_bytes..u64::MAX) };
        let medium = medium("sd").with(|identity| identity.another_holder = another_holder);
        let (world, report) = run(WorldBuilder::new()
            .medium(drive(vec![image]))
            .medium(medium)
            .fault(fault("sd", dead, Trigger::always())));
        assert_eq!(report.status, Status::Failure, "{:?}", report.lines());
        assert!(!looks_bootable(&world, "sd"));
    }
}
