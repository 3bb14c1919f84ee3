//! Names: creating, listing, renaming, removing.

use super::fixture::VolumeFixture;
use crate::contract::{kind, path, read_all, read_rest, skipped, write_new};
use crate::{ErrorKind, FileKind, RelativePath, Volume, io};
use std::collections::BTreeSet;

fn names(volume: &dyn Volume, directory: &RelativePath) -> BTreeSet<Vec<u8>> {
    volume.list(directory).unwrap().into_iter().map(|entry| entry.name).collect()
}

/// An existing file is never overwritten by a new one.
pub fn create_new_never_replaces(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    write_new(volume, &path("sdimage.dd"), b"good");
    assert_eq!(kind(volume.create_new(&path("sdimage.dd"), 0o644)), ErrorKind::AlreadyExists);
    assert_eq!(kind(volume.create_dir(&path("sdimage.dd"), 0o755)), ErrorKind::AlreadyExists);
    assert_eq!(read_all(volume, &path("sdimage.dd")), b"good");
    volume.create_dir(&path("dir"), 0o755).unwrap();
    assert_eq!(kind(volume.create_new(&path("dir"), 0o644)), ErrorKind::AlreadyExists);
    assert_eq!(kind(volume.create_dir(&path("dir"), 0o755)), ErrorKind::AlreadyExists);
}

/// Missing parent directories are not created.
pub fn a_new_name_needs_its_directory(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    assert_eq!(kind(volume.create_new(&path("no/file"), 0o644)), ErrorKind::NotFound);
    assert_eq!(kind(volume.create_dir(&path("no/dir"), 0o755)), ErrorKind::NotFound);
    assert_eq!(kind(volume.metadata(&path("no"))), ErrorKind::NotFound);
    write_new(volume, &path("file"), b"");
    assert_eq!(kind(volume.create_new(&path("file/below"), 0o644)), ErrorKind::NotADirectory);
    assert_eq!(kind(volume.metadata(&path("file/below"))), ErrorKind::NotADirectory);
    assert_eq!(kind(volume.open(&path("no"))), ErrorKind::NotFound);
    assert_eq!(kind(volume.open_write(&path("no"))), ErrorKind::NotFound);
}

/// A path below a directory that was renamed, removed or replaced is not the old one.
pub fn a_replaced_directory_is_looked_up_anew(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let (top, file) = (path("top"), path("top/inside/file"));
    volume.create_dir(&top, 0o755).unwrap();
    volume.create_dir(&path("top/inside"), 0o755).unwrap();
    write_new(volume, &file, b"old");
    assert_eq!(read_all(volume, &file), b"old");
    volume.rename(&top, &path("moved")).unwrap();
    assert_eq!(kind(volume.metadata(&file)), ErrorKind::NotFound);
    assert_eq!(kind(volume.create_new(&file, 0o644)), ErrorKind::NotFound);
    assert_eq!(read_all(volume, &path("moved/inside/file")), b"old");
    write_new(volume, &top, b"");
    assert_eq!(kind(volume.metadata(&file)), ErrorKind::NotADirectory);
    volume.remove_file(&top).unwrap();
    volume.create_dir(&top, 0o755).unwrap();
    assert_eq!(kind(volume.list(&path("top/inside"))), ErrorKind::NotFound);
    volume.create_dir(&path("top/inside"), 0o755).unwrap();
    assert_eq!(volume.list(&path("top/inside")).unwrap(), []);
    volume.remove_dir(&path("top/inside")).unwrap();
    assert_eq!(kind(volume.create_new(&file, 0o644)), ErrorKind::NotFound);
    volume.create_dir(&path("top/inside"), 0o755).unwrap();
    write_new(volume, &file, b"new");
    assert_eq!(read_all(volume, &file), b"new");
    assert_eq!(read_all(volume, &path("moved/inside/file")), b"old");
    if volume.capabilities().unix {
        volume.remove_file(&file).unwrap();
        volume.remove_dir(&path("top/inside")).unwrap();
        volume.symlink(&path("top/inside"), b"../moved/inside").unwrap();
        assert_eq!(kind(volume.open(&file)), ErrorKind::SymlinkInPath);
        assert_eq!(kind(volume.create_new(&path("top/inside/other"), 0o644)), ErrorKind::SymlinkInPath);
    }
}

/// A list has every name once, without `.` and `..`.
pub fn a_list_is_complete_whatever_its_order(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let directory = path("many");
    volume.create_dir(&directory, 0o755).unwrap();
    assert_eq!(volume.list(&directory).unwrap(), []);
    let mut expected = BTreeSet::new();
    for number in 0..300 {
        let name = format!("entry number {number}").into_bytes();
        let at = directory.join(&name).unwrap();
        if number % 7 == 0 {
            volume.create_dir(&at, 0o755).unwrap();
        } else {
            write_new(volume, &at, b"");
        }
        expected.insert(name);
    }
    let entries = volume.list(&directory).unwrap();
    assert_eq!(entries.len(), expected.len());
    assert_eq!(names(volume, &directory), expected);
    assert_eq!(entries.iter().filter(|entry| entry.kind == FileKind::Directory).count(), 43);
    assert_eq!(entries.iter().filter(|entry| entry.kind == FileKind::File).count(), 257);
    assert_eq!(kind(volume.list(&path("none"))), ErrorKind::NotFound);
    assert_eq!(kind(volume.list(&path("many/entry number 1"))), ErrorKind::NotADirectory);
}

/// The root is a directory like others, but has no name that could be changed.
pub fn the_root_can_be_listed_and_described(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let root = RelativePath::root();
    write_new(volume, &path("in-root"), b"");
    assert!(names(volume, &root).contains(&b"in-root"[..]));
    assert_eq!(volume.metadata(&root).unwrap().kind, FileKind::Directory);
    assert_eq!(volume.resolve(&root).unwrap(), root);
    volume.sync_dir(&root).unwrap();
    assert_eq!(kind(volume.open(&root)), ErrorKind::IsADirectory);
    for refused in [
        volume.create_dir(&root, 0o755),
        volume.remove_dir(&root),
        volume.remove_file(&root),
        volume.rename(&root, &path("elsewhere")),
        volume.rename(&path("in-root"), &root),
    ] {
        refused.unwrap_err();
    }
    assert!(names(volume, &root).contains(&b"in-root"[..]));
}

/// Names are returned exactly as given: no encoding, no normalisation.
pub fn names_are_bytes(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    volume.create_dir(&path("odd"), 0o755).unwrap();
    let mut odd: BTreeSet<Vec<u8>> =
        [&b" leading"[..], b"a;b", b"-rf", b"UPPER and lower"].map(<[u8]>::to_vec).into();
    if volume.capabilities().unix {
        // FAT supports neither control characters nor names that end with a dot, and stores Unicode.
        odd.extend(
            [&b"..."[..], b"new\nline", b"\xff\xfe not utf-8", b"tab\there", b"back\\slash", b"\x01", b"*"]
                .map(<[u8]>::to_vec),
        );
    }
    for name in &odd {
        write_new(volume, &path("odd").join(name).unwrap(), name);
    }
    assert_eq!(names(volume, &path("odd")), odd);
    for name in &odd {
        assert_eq!(&read_all(volume, &path("odd").join(name).unwrap()), name);
    }
}

/// The longest name works. A longer one is refused and not truncated.
pub fn a_name_of_255_bytes_fits_and_one_more_does_not(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let longest = path([b'n'; 255]);
    write_new(volume, &longest, b"x");
    assert_eq!(read_all(volume, &longest), b"x");
    assert!(names(volume, &RelativePath::root()).contains(&[b'n'; 255][..]));
    let too_long = path([b'm'; 256]);
    volume.create_new(&too_long, 0o644).map(drop).unwrap_err();
    volume.metadata(&too_long).unwrap_err();
    assert!(names(volume, &RelativePath::root()).iter().all(|name| !name.starts_with(b"mmm")));
}

/// A rename gives a finished file its valid name, also over an older one.
pub fn rename_replaces_a_file(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    volume.create_dir(&path("work"), 0o755).unwrap();
    write_new(volume, &path("work/new"), b"new");
    write_new(volume, &path("image"), b"old, and longer");
    volume.rename(&path("work/new"), &path("image")).unwrap();
    assert_eq!(read_all(volume, &path("image")), b"new");
    assert_eq!(kind(volume.metadata(&path("work/new"))), ErrorKind::NotFound);
    volume.rename(&path("image"), &path("image")).unwrap();
    assert_eq!(read_all(volume, &path("image")), b"new");
    volume.rename(&path("work"), &path("moved")).unwrap();
    assert_eq!(volume.metadata(&path("moved")).unwrap().kind, FileKind::Directory);
    assert_eq!(kind(volume.rename(&path("work"), &path("x"))), ErrorKind::NotFound);
    assert_eq!(kind(volume.rename(&path("image"), &path("none/x"))), ErrorKind::NotFound);
    assert_eq!(read_all(volume, &path("image")), b"new");
}

/// An open file stays open when it is renamed.
pub fn rename_keeps_an_open_file_readable(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let mut open = volume.create_new(&path("before"), 0o644).unwrap();
    io::write_file(open.as_mut(), 0, b"content").unwrap();
    volume.rename(&path("before"), &path("after")).unwrap();
    io::write_file(open.as_mut(), 7, b" and more").unwrap();
    assert_eq!(open.len_bytes().unwrap(), 16);
    open.close().unwrap();
    assert_eq!(read_all(volume, &path("after")), b"content and more");
    assert_eq!(kind(volume.metadata(&path("before"))), ErrorKind::NotFound);
}

/// An open file can still be read when another file takes its name.
pub fn rename_over_an_open_file_leaves_it_readable(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    write_new(volume, &path("image"), b"older");
    write_new(volume, &path("new"), b"newer, and longer");
    let mut older = volume.open(&path("image")).unwrap();
    volume.rename(&path("new"), &path("image")).unwrap();
    assert_eq!(read_rest(older.as_mut()), b"older");
    older.close().unwrap();
    assert_eq!(read_all(volume, &path("image")), b"newer, and longer");
}

/// A directory is not replaced.
pub fn rename_refuses_directories_in_the_way(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    write_new(volume, &path("file"), b"x");
    volume.create_dir(&path("full"), 0o755).unwrap();
    write_new(volume, &path("full/inside"), b"y");
    volume.create_dir(&path("dir"), 0o755).unwrap();
    assert_eq!(kind(volume.rename(&path("file"), &path("full"))), ErrorKind::IsADirectory);
    assert_eq!(kind(volume.rename(&path("dir"), &path("full"))), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind(volume.rename(&path("dir"), &path("file"))), ErrorKind::NotADirectory);
    volume.rename(&path("full"), &path("full/below-itself")).unwrap_err();
    assert_eq!(read_all(volume, &path("full/inside")), b"y");
    assert_eq!(read_all(volume, &path("file")), b"x");
}

/// A removed file can be read while it is open.
pub fn remove_keeps_an_open_file_readable(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    write_new(volume, &path("gone"), b"content");
    let mut open = volume.open(&path("gone")).unwrap();
    volume.remove_file(&path("gone")).unwrap();
    assert_eq!(kind(volume.metadata(&path("gone"))), ErrorKind::NotFound);
    let mut buffer = [0; 7];
    assert_eq!(io::read_file(open.as_mut(), 0, &mut buffer).unwrap(), 7);
    assert_eq!(&buffer, b"content");
    open.close().unwrap();
    write_new(volume, &path("gone"), b"another");
    assert_eq!(read_all(volume, &path("gone")), b"another");
}

/// Files and directories have separate calls to remove them, and only empty directories are removed.
pub fn each_remove_is_for_its_kind(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    volume.create_dir(&path("dir"), 0o755).unwrap();
    write_new(volume, &path("dir/file"), b"");
    assert_eq!(kind(volume.remove_file(&path("dir"))), ErrorKind::IsADirectory);
    assert_eq!(kind(volume.remove_dir(&path("dir"))), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind(volume.remove_dir(&path("dir/file"))), ErrorKind::NotADirectory);
    assert_eq!(kind(volume.remove_file(&path("none"))), ErrorKind::NotFound);
    assert_eq!(kind(volume.remove_dir(&path("none"))), ErrorKind::NotFound);
    volume.remove_file(&path("dir/file")).unwrap();
    volume.remove_dir(&path("dir")).unwrap();
    assert_eq!(kind(volume.metadata(&path("dir"))), ErrorKind::NotFound);
}

/// On FAT, `SDIMAGE.DD` is the same name as `sdimage.dd`.
pub fn a_case_insensitive_volume_has_one_name(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    if !volume.capabilities().case_insensitive {
        return skipped("a_case_insensitive_volume_has_one_name", "the file system is case-sensitive");
    }
    write_new(volume, &path("SdImage.dd"), b"x");
    assert_eq!(kind(volume.create_new(&path("sdimage.DD"), 0o644)), ErrorKind::AlreadyExists);
    assert_eq!(read_all(volume, &path("SDIMAGE.dd")), b"x");
    let listed = names(volume, &RelativePath::root());
    assert_eq!(listed.iter().filter(|name| name.eq_ignore_ascii_case(b"sdimage.dd")).count(), 1);
    assert!(listed.contains(&b"SdImage.dd"[..]), "the case it was made with is kept");
    volume.remove_file(&path("sdimage.dd")).unwrap();
    assert_eq!(kind(volume.metadata(&path("SdImage.dd"))), ErrorKind::NotFound);
}

/// On ext, they are two files.
pub fn a_case_sensitive_volume_has_two_names(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    if volume.capabilities().case_insensitive {
        return skipped("a_case_sensitive_volume_has_two_names", "the file system is case-insensitive");
    }
    write_new(volume, &path("SDIMAGE.DD"), b"upper");
    assert_eq!(kind(volume.metadata(&path("sdimage.dd"))), ErrorKind::NotFound);
    write_new(volume, &path("sdimage.dd"), b"lower");
    assert_eq!(read_all(volume, &path("SDIMAGE.DD")), b"upper");
}
