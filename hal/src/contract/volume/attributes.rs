//! Modes, times, owners, extended attributes, device nodes.

use super::fixture::{VolumeFixture, has_unix, is_privileged};
use crate::contract::{kind, path, skipped, write_new};
use crate::{ErrorKind, FileKind, NodeKind, Owner, RelativePath, Timestamp, Volume, Xattr};

const MODES: [u32; 8] = [0o000, 0o644, 0o666, 0o777, 0o4755, 0o2711, 0o1777, 0o7777];

#[track_caller]
fn mode(volume: &dyn Volume, at: &RelativePath) -> u32 {
    volume.metadata(at).unwrap().mode
}

/// A new file has exactly its mode, including setuid and sticky, whatever the umask.
pub fn modes_are_exact(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "modes_are_exact") {
        return;
    }
    let volume = fixture.volume();
    for asked in MODES {
        let at = path(format!("file-{asked:o}"));
        volume.create_new(&at, asked).unwrap().close().unwrap();
        assert_eq!(mode(volume, &at), asked, "created with {asked:o}");
    }
    write_new(volume, &path("changed"), b"");
    for asked in MODES {
        volume.set_mode(&path("changed"), asked).unwrap();
        assert_eq!(mode(volume, &path("changed")), asked, "set to {asked:o}");
    }
    assert_eq!(kind(volume.set_mode(&path("none"), 0o644)), ErrorKind::NotFound);
}

/// The same for directories and fifos.
pub fn directories_and_fifos_have_exact_modes(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "directories_and_fifos_have_exact_modes") {
        return;
    }
    let volume = fixture.volume();
    for asked in MODES {
        let (directory, fifo) = (path(format!("dir-{asked:o}")), path(format!("fifo-{asked:o}")));
        volume.create_dir(&directory, asked).unwrap();
        assert_eq!(mode(volume, &directory), asked, "directory with {asked:o}");
        volume.set_mode(&directory, asked ^ 0o1070).unwrap();
        assert_eq!(mode(volume, &directory), asked ^ 0o1070);
        volume.make_node(&fifo, NodeKind::Fifo, asked).unwrap();
        assert_eq!(mode(volume, &fifo), asked, "fifo with {asked:o}");
        volume.set_mode(&fifo, 0o640).unwrap();
        let metadata = volume.metadata(&fifo).unwrap();
        assert_eq!((metadata.kind, metadata.mode), (FileKind::Fifo, 0o640));
    }
    volume.set_mode(&RelativePath::root(), 0o751).unwrap();
    assert_eq!(mode(volume, &RelativePath::root()), 0o751);
}

/// Setting the mode of a symlink must not change its target.
pub fn a_symlink_has_no_mode(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "a_symlink_has_no_mode") {
        return;
    }
    let volume = fixture.volume();
    write_new(volume, &path("target"), b"");
    volume.symlink(&path("link"), b"target").unwrap();
    assert_eq!(kind(volume.set_mode(&path("link"), 0o777)), ErrorKind::SymlinkInPath);
    assert_eq!(mode(volume, &path("target")), 0o644);
}

/// Times have nanoseconds if the file system supports them, and each entry has its own.
pub fn times_are_kept_for_the_entry_itself(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    write_new(volume, &path("file"), b"content");
    volume.create_dir(&path("dir"), 0o755).unwrap();
    let odd = Timestamp { seconds: 1_234_567_891, nanos: 123_456_789 };
    let even = Timestamp { seconds: 1_600_000_000, nanos: 0 };
    if !volume.capabilities().unix {
        volume.set_modified(&path("file"), even).unwrap();
        assert_eq!(volume.metadata(&path("file")).unwrap().modified.seconds, even.seconds);
        return skipped("times_are_kept_for_the_entry_itself, nanoseconds", "FAT has steps of two seconds");
    }
    volume.symlink(&path("link"), b"file").unwrap();
    let before_1970 = Timestamp { seconds: -1, nanos: 5 };
    let past_2038 = Timestamp { seconds: 2_211_854_706, nanos: 7 };
    for time in [odd, even, before_1970, past_2038, Timestamp::default()] {
        for name in ["file", "dir"] {
            volume.set_modified(&path(name), time).unwrap();
            assert_eq!(volume.metadata(&path(name)).unwrap().modified, time, "{name}");
        }
    }
    volume.set_modified(&path("link"), odd).unwrap();
    assert_eq!(volume.metadata(&path("link")).unwrap().modified, odd);
    assert_eq!(volume.metadata(&path("file")).unwrap().modified, Timestamp::default());
    assert_eq!(kind(volume.set_modified(&path("none"), odd)), ErrorKind::NotFound);
    volume.set_modified(&path("file"), Timestamp { seconds: 0, nanos: 1_000_000_000 }).unwrap_err();
}

/// Metadata has what a caller needs: kind, length, space, links, time.
pub fn metadata_has_kind_length_and_space(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    write_new(volume, &path("file"), &[1; 10_000]);
    let file = volume.metadata(&path("file")).unwrap();
    assert_eq!((file.kind, file.len_bytes, file.device), (FileKind::File, 10_000, (0, 0)));
    assert!(file.links >= 1 && file.modified.nanos < 1_000_000_000);
    let mut open = volume.open(&path("file")).unwrap();
    open.drop_cache().unwrap();
    open.close().unwrap();
    // After a sync the blocks are allocated, also with delayed allocation.
    assert!(volume.metadata(&path("file")).unwrap().allocated_bytes >= 10_000);
    volume.create_dir(&path("dir"), 0o755).unwrap();
    assert_eq!(volume.metadata(&path("dir")).unwrap().kind, FileKind::Directory);
    assert_eq!(kind(volume.metadata(&path("none"))), ErrorKind::NotFound);
    let capabilities = volume.capabilities();
    assert!(capabilities.file_len_max_bytes >= u64::from(u32::MAX));
}

/// Attributes are bytes, are sorted, and a second value replaces the first.
pub fn xattrs_are_sorted_and_binary(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "xattrs_are_sorted_and_binary") {
        return;
    }
    let volume = fixture.volume();
    write_new(volume, &path("file"), b"");
    volume.create_dir(&path("dir"), 0o755).unwrap();
    let xattr = |name: &str, value: &[u8]| Xattr { name: name.as_bytes().to_vec(), value: value.to_vec() };
    for name in ["file", "dir"] {
        let at = path(name);
        let user = || -> Vec<Xattr> {
            volume.xattrs(&at).unwrap().into_iter().filter(|xattr| xattr.name.starts_with(b"user.")).collect()
        };
        assert_eq!(user(), []);
        if let Err(error) = volume.set_xattr(&at, &xattr("user.zulu", b"\0\xff\n\0")) {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            return skipped("xattrs_are_sorted_and_binary", "the file system has no user attributes");
        }
        volume.set_xattr(&at, &xattr("user.alpha", b"first")).unwrap();
        volume.set_xattr(&at, &xattr("user.mike", b"")).unwrap();
        volume.set_xattr(&at, &xattr("user.alpha", b"second")).unwrap();
        assert_eq!(
            user(),
            [xattr("user.alpha", b"second"), xattr("user.mike", b""), xattr("user.zulu", b"\0\xff\n\0")]
        );
    }
    volume.symlink(&path("link"), b"file").unwrap();
    let through = volume.xattrs(&path("link")).unwrap();
    assert!(through.iter().all(|xattr| !xattr.name.starts_with(b"user.")), "{through:?}");
    volume.set_xattr(&path("link"), &xattr("user.link", b"x")).unwrap_err();
    assert!(volume.xattrs(&path("file")).unwrap().iter().all(|xattr| xattr.name != b"user.link"));
    assert_eq!(kind(volume.xattrs(&path("none"))), ErrorKind::NotFound);
}

/// An attribute that does not fit is refused with `NoSpace`, and the old ones stay.
pub fn an_attribute_that_is_too_long_is_refused(fixture: &dyn VolumeFixture) {
    if !has_unix(fixture, "an_attribute_that_is_too_long_is_refused") {
        return;
    }
    let volume = fixture.volume();
    write_new(volume, &path("file"), b"");
    let before = volume.xattrs(&path("file")).unwrap();
    let long = Xattr { name: b"user.long".to_vec(), value: vec![7; 70_000] };
    assert_eq!(kind(volume.set_xattr(&path("file"), &long)), ErrorKind::NoSpace);
    assert_eq!(volume.xattrs(&path("file")).unwrap(), before);
    assert_eq!(kind(volume.set_xattr(&path("none"), &long)), ErrorKind::NotFound);
}

/// Files have their owners, also owners other than root. A symlink has an owner too.
pub fn owners_are_kept_for_the_entry_itself(fixture: &dyn VolumeFixture) {
    if !is_privileged(fixture, "owners_are_kept_for_the_entry_itself") {
        return;
    }
    let volume = fixture.volume();
    write_new(volume, &path("file"), b"");
    volume.create_dir(&path("dir"), 0o755).unwrap();
    volume.symlink(&path("link"), b"file").unwrap();
    for (name, owner) in [
        ("file", Owner { uid: 1000, gid: 1001 }),
        ("dir", Owner { uid: 65_534, gid: 0 }),
        ("link", Owner { uid: 7, gid: 100_000 }),
    ] {
        volume.set_owner(&path(name), owner).unwrap();
        assert_eq!(volume.metadata(&path(name)).unwrap().owner, owner, "{name}");
    }
    assert_eq!(volume.metadata(&path("file")).unwrap().owner, Owner { uid: 1000, gid: 1001 });
    assert_eq!(kind(volume.set_owner(&path("none"), Owner::default())), ErrorKind::NotFound);
}

/// The reason to set the mode after the owner.
pub fn a_new_owner_clears_setuid(fixture: &dyn VolumeFixture) {
    if !is_privileged(fixture, "a_new_owner_clears_setuid") {
        return;
    }
    let volume = fixture.volume();
    volume.create_new(&path("su"), 0o4755).unwrap().close().unwrap();
    volume.set_owner(&path("su"), Owner { uid: 1000, gid: 1000 }).unwrap();
    assert_eq!(mode(volume, &path("su")), 0o755);
    volume.set_mode(&path("su"), 0o4755).unwrap();
    assert_eq!(mode(volume, &path("su")), 0o4755);
    assert_eq!(volume.metadata(&path("su")).unwrap().owner.uid, 1000);
}

/// Attributes that are set or read through an open file are those of the file.
pub fn an_open_file_has_the_attributes_of_the_file(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let at = path("file");
    write_new(volume, &at, b"content");
    let time = Timestamp { seconds: 1_600_000_000, nanos: 0 };
    let mut open = volume.open_write(&at).unwrap();
    open.set_modified(time).unwrap();
    assert_eq!(volume.metadata(&at).unwrap().modified.seconds, time.seconds);
    open.set_modified(Timestamp { seconds: 0, nanos: 1_000_000_000 }).unwrap_err();
    assert_eq!(open.metadata().unwrap(), volume.metadata(&at).unwrap());
    if !volume.capabilities().unix {
        assert_eq!(kind(open.set_mode(0o600)), ErrorKind::Unsupported);
        assert_eq!(kind(open.set_owner(Owner::default())), ErrorKind::Unsupported);
        open.close().unwrap();
        return;
    }
    let own = volume.metadata(&at).unwrap().owner;
    open.set_owner(own).unwrap();
    open.set_mode(0o4751).unwrap();
    assert_eq!(mode(volume, &at), 0o4751);
    // As with a path, a new owner clears the bit that a program runs as its owner.
    open.set_owner(own).unwrap();
    assert_eq!(mode(volume, &at), 0o751);
    let xattr = Xattr { name: b"user.one".to_vec(), value: b"\0\xff".to_vec() };
    match open.set_xattr(&xattr) {
        Ok(()) => assert!(volume.xattrs(&at).unwrap().contains(&xattr)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
    let long = Xattr { name: b"user.long".to_vec(), value: vec![7; 70_000] };
    assert_eq!(kind(open.set_xattr(&long)), ErrorKind::NoSpace);
    assert_eq!(open.xattrs().unwrap(), volume.xattrs(&at).unwrap());
    assert_eq!(open.flags().unwrap(), volume.flags(&at).unwrap());
    open.set_modified(time).unwrap();
    assert_eq!(open.metadata().unwrap(), volume.metadata(&at).unwrap());
    // The attributes belong to the file, whatever its name is.
    volume.rename(&at, &path("renamed")).unwrap();
    open.set_mode(0o640).unwrap();
    assert_eq!(mode(volume, &path("renamed")), 0o640);
    open.close().unwrap();
    let mut open = volume.open(&path("renamed")).unwrap();
    assert_eq!(open.metadata().unwrap(), volume.metadata(&path("renamed")).unwrap());
    assert_eq!(open.xattrs().unwrap(), volume.xattrs(&path("renamed")).unwrap());
    open.set_mode(0o600).unwrap_err();
    open.set_owner(own).unwrap_err();
    open.set_modified(time).unwrap_err();
    open.set_xattr(&xattr).unwrap_err();
    assert_eq!(mode(volume, &path("renamed")), 0o640);
    open.close().unwrap();
}

/// Device nodes can be created, and are never opened.
pub fn device_nodes_are_made_and_never_opened(fixture: &dyn VolumeFixture) {
    if !is_privileged(fixture, "device_nodes_are_made_and_never_opened") {
        return;
    }
    let volume = fixture.volume();
    for (name, node, kind_made, device) in [
        ("null", NodeKind::CharDevice { major: 1, minor: 3 }, FileKind::CharDevice, (1, 3)),
        ("ttymxc0", NodeKind::CharDevice { major: 207, minor: 300 }, FileKind::CharDevice, (207, 300)),
        ("mmcblk0", NodeKind::BlockDevice { major: 179, minor: 0 }, FileKind::BlockDevice, (179, 0)),
    ] {
        let at = path(name);
        volume.make_node(&at, node, 0o660).unwrap();
        let metadata = volume.metadata(&at).unwrap();
        assert_eq!((metadata.kind, metadata.device, metadata.mode), (kind_made, device, 0o660), "{name}");
        assert_eq!(kind(volume.open(&at)), ErrorKind::InvalidInput);
        assert_eq!(kind(volume.open_write(&at)), ErrorKind::InvalidInput);
        assert_eq!(kind(volume.make_node(&at, node, 0o660)), ErrorKind::AlreadyExists);
        assert!(volume.xattrs(&at).unwrap().iter().all(|xattr| !xattr.name.starts_with(b"user.")));
    }
}
