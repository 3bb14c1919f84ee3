//! Symlinks, hard links, and never leaving the root.

use super::fixture::{VolumeFixture, has_unix};
use crate::contract::{kind, path, read_all, skipped, write_new};
use crate::{ErrorKind, FileKind, Metadata, NodeKind, Owner, RelativePath, Timestamp, Volume, Xattr};

/// A symlink has exactly its text, whether or not the target exists.
pub fn a_symlink_keeps_its_text(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "a_symlink_keeps_its_text") {
        return;
    }
    let volume = fixture.volume();
    let long = [b'x'; 3000];
    for (name, text) in [
        ("plain", &b"target"[..]),
        ("slashes", b"../..//a/./b/"),
        ("bytes", b"\xff\n "),
        ("absolute", b"/etc/passwd"),
        ("long", &long),
    ] {
        volume.symlink(&path(name), text).unwrap();
        assert_eq!(volume.read_link(&path(name)).unwrap(), text, "{name}");
        let metadata = volume.metadata(&path(name)).unwrap();
        assert_eq!((metadata.kind, metadata.len_bytes), (FileKind::Symlink, text.len() as u64));
    }
    assert_eq!(kind(volume.symlink(&path("plain"), b"other")), ErrorKind::AlreadyExists);
    write_new(volume, &path("file"), b"");
    assert_eq!(kind(volume.read_link(&path("file"))), ErrorKind::InvalidInput);
    assert_eq!(kind(volume.read_link(&path("none"))), ErrorKind::NotFound);
    let listed = volume.list(&RelativePath::root()).unwrap();
    assert!(listed.iter().any(|entry| entry.name == b"long" && entry.kind == FileKind::Symlink));
}

/// A symlink in the last component is reported and not followed, except by `resolve`.
pub fn no_call_follows_a_symlink_at_the_end(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "no_call_follows_a_symlink_at_the_end") {
        return;
    }
    let volume = fixture.volume();
    write_new(volume, &path("file"), b"content");
    volume.create_dir(&path("dir"), 0o755).unwrap();
    volume.symlink(&path("to-file"), b"file").unwrap();
    volume.symlink(&path("to-dir"), b"dir").unwrap();
    volume.symlink(&path("to-nothing"), b"nothing").unwrap();
    assert_eq!(kind(volume.open(&path("to-file"))), ErrorKind::SymlinkInPath);
    assert_eq!(kind(volume.open_write(&path("to-file"))), ErrorKind::SymlinkInPath);
    assert_eq!(kind(volume.open(&path("to-nothing"))), ErrorKind::SymlinkInPath);
    assert_eq!(kind(volume.list(&path("to-dir"))), ErrorKind::SymlinkInPath);
    assert_eq!(kind(volume.sync_dir(&path("to-dir"))), ErrorKind::SymlinkInPath);
    assert_eq!(kind(volume.set_mode(&path("to-file"), 0o600)), ErrorKind::SymlinkInPath);
    assert_eq!(kind(volume.create_new(&path("to-nothing"), 0o644)), ErrorKind::AlreadyExists);
    assert_eq!(kind(volume.remove_dir(&path("to-dir"))), ErrorKind::NotADirectory);
    assert_eq!(volume.metadata(&path("to-dir")).unwrap().kind, FileKind::Symlink);
    assert_eq!(kind(volume.metadata(&path("nothing"))), ErrorKind::NotFound);
    write_new(volume, &path("new"), b"new");
    volume.rename(&path("new"), &path("to-file")).unwrap();
    assert_eq!(read_all(volume, &path("to-file")), b"new");
    assert_eq!(read_all(volume, &path("file")), b"content");
}

/// A symlink in another component stops every call, so that no path of a captured system leaves its tree.
pub fn no_call_goes_through_a_symlink(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "no_call_goes_through_a_symlink") {
        return;
    }
    let volume = fixture.volume();
    volume.create_dir(&path("real"), 0o755).unwrap();
    write_new(volume, &path("real/file"), b"content");
    write_new(volume, &path("plain"), b"");
    volume.symlink(&path("link"), b"real").unwrap();
    let inside = path("link/file");
    let new = path("link/new");
    let attribute = Xattr { name: b"user.a".to_vec(), value: b"b".to_vec() };
    for (call, result) in [
        ("list", volume.list(&path("link/file")).map(drop)),
        ("metadata", volume.metadata(&inside).map(drop)),
        ("read_link", volume.read_link(&inside).map(drop)),
        ("open", volume.open(&inside).map(drop)),
        ("open_write", volume.open_write(&inside).map(drop)),
        ("create_new", volume.create_new(&new, 0o644).map(drop)),
        ("create_dir", volume.create_dir(&new, 0o755)),
        ("symlink", volume.symlink(&new, b"x")),
        ("hard_link from", volume.hard_link(&inside, &path("other"))),
        ("hard_link to", volume.hard_link(&path("plain"), &new)),
        ("make_node", volume.make_node(&new, NodeKind::Fifo, 0o644)),
        ("set_owner", volume.set_owner(&inside, Owner::default())),
        ("set_mode", volume.set_mode(&inside, 0o600)),
        ("set_modified", volume.set_modified(&inside, Timestamp::default())),
        ("xattrs", volume.xattrs(&inside).map(drop)),
        ("set_xattr", volume.set_xattr(&inside, &attribute)),
        ("rename from", volume.rename(&inside, &path("other"))),
        ("rename to", volume.rename(&path("plain"), &new)),
        ("remove_file", volume.remove_file(&inside)),
        ("remove_dir", volume.remove_dir(&inside)),
        ("sync_dir", volume.sync_dir(&inside)),
    ] {
        match result {
            Ok(()) => panic!("{call} went through the symlink"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::SymlinkInPath, "{call}: {error}"),
        }
    }
    assert_eq!(volume.list(&path("real")).unwrap().len(), 1);
    assert_eq!(read_all(volume, &path("real/file")), b"content");
}

/// Removing a symlink leaves its target.
pub fn removing_a_symlink_leaves_its_target(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "removing_a_symlink_leaves_its_target") {
        return;
    }
    let volume = fixture.volume();
    write_new(volume, &path("target"), b"content");
    volume.symlink(&path("link"), b"target").unwrap();
    volume.remove_file(&path("link")).unwrap();
    assert_eq!(kind(volume.metadata(&path("link"))), ErrorKind::NotFound);
    assert_eq!(read_all(volume, &path("target")), b"content");
}

fn linked_tree(volume: &dyn Volume) {
    for directory in ["images", "images/old", "deep", "deep/er"] {
        volume.create_dir(&path(directory), 0o755).unwrap();
    }
    write_new(volume, &path("images/old/sd.dd.xz"), b"image");
    for (name, text) in [
        ("sdimage.dd.xz", "images/latest/sd.dd.xz"),
        ("images/latest", "old"),
        ("deep/er/up", "../../images/./old//"),
        ("absolute", "/images/old/sd.dd.xz"),
        ("deep/er/absolute", "/images/latest"),
        ("above", "../../../../images/old"),
        ("dot", "."),
        ("dangling", "images/none"),
        ("in-dangling", "images/none/file"),
        ("through-file", "images/old/sd.dd.xz/x"),
        ("self", "self"),
        ("ping", "pong"),
        ("pong", "ping"),
        ("outside", "../etc/passwd"),
    ] {
        volume.symlink(&path(name), text.as_bytes()).unwrap();
    }
}

/// `resolve` follows links in every component, and its result has none.
pub fn resolve_returns_the_path_without_links(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    if !volume.capabilities().unix {
        write_new(volume, &path("a"), b"");
        assert_eq!(volume.resolve(&path("a")).unwrap(), path("a"));
        return skipped("resolve_returns_the_path_without_links, links", "the file system has none");
    }
    linked_tree(volume);
    let image = "images/old/sd.dd.xz";
    for (asked, expected) in [
        (image, image),
        ("sdimage.dd.xz", image),
        ("images/latest", "images/old"),
        ("images/latest/sd.dd.xz", image),
        ("deep/er/up", "images/old"),
        ("deep/er/up/sd.dd.xz", image),
        ("dot/dot/dot/sdimage.dd.xz", image),
        ("dot", ""),
    ] {
        assert_eq!(volume.resolve(&path(asked)).unwrap(), path(expected), "{asked}");
    }
    assert_eq!(read_all(volume, &volume.resolve(&path("sdimage.dd.xz")).unwrap()), b"image");
}

/// Absolute links begin at the root of the volume, and `..` stops there.
pub fn resolve_stays_in_the_root(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "resolve_stays_in_the_root") {
        return;
    }
    let volume = fixture.volume();
    linked_tree(volume);
    assert_eq!(volume.resolve(&path("absolute")).unwrap(), path("images/old/sd.dd.xz"));
    assert_eq!(volume.resolve(&path("deep/er/absolute/sd.dd.xz")).unwrap(), path("images/old/sd.dd.xz"));
    assert_eq!(volume.resolve(&path("above/sd.dd.xz")).unwrap(), path("images/old/sd.dd.xz"));
    assert_eq!(kind(volume.resolve(&path("outside"))), ErrorKind::NotFound);
}

/// A dangling link and a loop have different errors.
pub fn resolve_distinguishes_loops_from_dangling_links(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "resolve_distinguishes_loops_from_dangling_links") {
        return;
    }
    let volume = fixture.volume();
    linked_tree(volume);
    for looping in ["self", "ping", "pong", "self/below"] {
        assert_eq!(kind(volume.resolve(&path(looping))), ErrorKind::SymlinkInPath, "{looping}");
    }
    for dangling in ["dangling", "in-dangling", "dangling/below", "none"] {
        assert_eq!(kind(volume.resolve(&path(dangling))), ErrorKind::NotFound, "{dangling}");
    }
    assert_eq!(kind(volume.resolve(&path("through-file"))), ErrorKind::NotADirectory);
}

fn identity(metadata: &Metadata) -> (u64, u64, u64) {
    (metadata.inode, metadata.links, metadata.len_bytes)
}

/// Two names of one file share its inode, its link count and its content.
pub fn hard_links_share_one_file(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "hard_links_share_one_file") {
        return;
    }
    let volume = fixture.volume();
    write_new(volume, &path("one"), b"content");
    volume.create_dir(&path("dir"), 0o755).unwrap();
    assert_eq!(volume.metadata(&path("one")).unwrap().links, 1);
    volume.hard_link(&path("one"), &path("dir/two")).unwrap();
    let (one, two) = (volume.metadata(&path("one")).unwrap(), volume.metadata(&path("dir/two")).unwrap());
    assert_eq!(identity(&one), identity(&two));
    assert_eq!(one.links, 2);
    let mut file = volume.open_write(&path("dir/two")).unwrap();
    assert_eq!(file.write_at(0, b"C").unwrap(), 1);
    file.close().unwrap();
    assert_eq!(read_all(volume, &path("one")), b"Content");
    volume.remove_file(&path("one")).unwrap();
    assert_eq!(volume.metadata(&path("dir/two")).unwrap().links, 1);
    assert_eq!(read_all(volume, &path("dir/two")), b"Content");
    write_new(volume, &path("three"), b"");
    assert_ne!(volume.metadata(&path("three")).unwrap().inode, two.inode);
    assert_eq!(kind(volume.hard_link(&path("three"), &path("dir/two"))), ErrorKind::AlreadyExists);
    assert_eq!(kind(volume.hard_link(&path("none"), &path("four"))), ErrorKind::NotFound);
    volume.hard_link(&path("dir"), &path("five")).unwrap_err();
}

/// A hard link to a symlink is a second name of the symlink.
pub fn a_hard_link_of_a_symlink_is_the_symlink(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "a_hard_link_of_a_symlink_is_the_symlink") {
        return;
    }
    let volume = fixture.volume();
    write_new(volume, &path("target"), b"content");
    volume.symlink(&path("link"), b"target").unwrap();
    volume.hard_link(&path("link"), &path("again")).unwrap();
    assert_eq!(volume.read_link(&path("again")).unwrap(), b"target");
    assert_eq!(volume.metadata(&path("again")).unwrap().inode, volume.metadata(&path("link")).unwrap().inode);
    assert_eq!(volume.metadata(&path("target")).unwrap().links, 1);
}

/// A file system without links refuses them, and creates nothing else instead.
pub fn without_unix_there_are_no_links(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    if volume.capabilities().unix {
        return skipped("without_unix_there_are_no_links", "the file system has them");
    }
    write_new(volume, &path("file"), b"");
    assert_eq!(kind(volume.symlink(&path("link"), b"file")), ErrorKind::Unsupported);
    assert_eq!(kind(volume.hard_link(&path("file"), &path("link"))), ErrorKind::Unsupported);
    assert_eq!(kind(volume.make_node(&path("link"), NodeKind::Fifo, 0o644)), ErrorKind::Unsupported);
    assert_eq!(kind(volume.metadata(&path("link"))), ErrorKind::NotFound);
    assert_eq!(volume.xattrs(&path("file")).unwrap(), []);
}
