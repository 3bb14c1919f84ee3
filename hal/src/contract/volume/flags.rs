//! Inode flags.

use super::fixture::{VolumeFixture, has_unix, is_privileged};
use crate::contract::{kind, path, skipped, write_new};
use crate::{ErrorKind, InodeFlags, RelativePath, Timestamp, Xattr};

/// Whether the volume supports this flag; prints a message if not.
fn takes(fixture: &dyn VolumeFixture, flags: InodeFlags, case: &str) -> bool {
    let at = path("takes-flags");
    write_new(fixture.volume(), &at, b"");
    let taken = match fixture.volume().set_flags(&at, flags) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert_eq!(fixture.volume().flags(&at).unwrap(), InodeFlags::none(), "half of it was set");
            skipped(case, "the file system has no inode flags");
            false
        }
    };
    fixture.volume().set_flags(&at, InodeFlags::none()).unwrap();
    fixture.volume().remove_file(&at).unwrap();
    taken
}

/// Flags are set and cleared on a file and a directory. A symlink has none, nor those of its target.
pub fn inode_flags_are_kept_for_the_entry_itself(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    write_new(volume, &path("file"), b"content");
    volume.create_dir(&path("dir"), 0o755).unwrap();
    for name in ["file", "dir"] {
        assert_eq!(volume.flags(&path(name)).unwrap(), InodeFlags::none(), "{name}");
        volume.set_flags(&path(name), InodeFlags::none()).unwrap();
    }
    assert_eq!(kind(volume.flags(&path("none"))), ErrorKind::NotFound);
    assert_eq!(kind(volume.set_flags(&path("none"), InodeFlags::none())), ErrorKind::NotFound);
    let some = InodeFlags::NO_DUMP.with(InodeFlags::NO_ACCESS_TIME);
    if !volume.capabilities().unix {
        assert_eq!(kind(volume.set_flags(&path("file"), some)), ErrorKind::Unsupported);
    }
    if !takes(fixture, some, "inode_flags_are_kept_for_the_entry_itself") {
        return;
    }
    for name in ["file", "dir"] {
        volume.set_flags(&path(name), some).unwrap();
        assert_eq!(volume.flags(&path(name)).unwrap(), some, "{name}");
        volume.set_flags(&path(name), InodeFlags::NO_DUMP).unwrap();
        assert_eq!(volume.flags(&path(name)).unwrap(), InodeFlags::NO_DUMP, "{name}");
    }
    volume.symlink(&path("link"), b"file").unwrap();
    assert_eq!(volume.flags(&path("link")).unwrap(), InodeFlags::none());
    volume.set_flags(&path("link"), InodeFlags::none()).unwrap();
    assert_eq!(kind(volume.set_flags(&path("link"), some)), ErrorKind::Unsupported);
    assert_eq!(volume.flags(&path("file")).unwrap(), InodeFlags::NO_DUMP);
    let root = RelativePath::root();
    let before = volume.flags(&root).unwrap();
    volume.set_flags(&root, before.with(some)).unwrap();
    assert_eq!(volume.flags(&root).unwrap(), before.with(some));
    volume.set_flags(&root, before).unwrap();
}

/// The reason to clear flags before anything is removed, and to set them last.
pub fn a_locked_file_refuses_every_change(fixture: &dyn VolumeFixture) {
    let case = "a_locked_file_refuses_every_change";
    if !has_unix(fixture, case) || !is_privileged(fixture, case) || !takes(fixture, InodeFlags::LOCKS, case) {
        return;
    }
    let volume = fixture.volume();
    let denied = |what: &str, result: crate::Result<()>| {
        assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::PermissionDenied), "{what}");
    };
    for flag in InodeFlags::LOCKS.each() {
        write_new(volume, &path("file"), b"content");
        volume.create_dir(&path("dir"), 0o755).unwrap();
        write_new(volume, &path("dir/inside"), b"");
        for name in ["file", "dir"] {
            volume.set_flags(&path(name), flag).unwrap();
        }
        denied("remove", volume.remove_file(&path("file")));
        denied("remove in a directory", volume.remove_file(&path("dir/inside")));
        denied("rename", volume.rename(&path("file"), &path("other")));
        denied("link", volume.hard_link(&path("file"), &path("other")));
        denied("open", volume.open_write(&path("file")).map(drop));
        denied("mode", volume.set_mode(&path("file"), 0o600));
        denied("owner", volume.set_owner(&path("dir"), crate::Owner::default()));
        denied("time", volume.set_modified(&path("file"), Timestamp::default()));
        let xattr = Xattr { name: b"user.a".to_vec(), value: b"b".to_vec() };
        denied("attribute", volume.set_xattr(&path("file"), &xattr));
        let made = volume.create_dir(&path("dir/new"), 0o755);
        match flag {
            InodeFlags::IMMUTABLE => denied("create in a directory", made),
            _ => made.unwrap(),
        }
        volume.open(&path("file")).unwrap().close().unwrap();
        for name in ["file", "dir"] {
            assert_eq!(volume.flags(&path(name)).unwrap(), flag, "{name}");
            volume.set_flags(&path(name), InodeFlags::none()).unwrap();
        }
        volume.remove_file(&path("file")).unwrap();
        volume.remove_file(&path("dir/inside")).unwrap();
        if flag != InodeFlags::IMMUTABLE {
            volume.remove_dir(&path("dir/new")).unwrap();
        }
        volume.remove_dir(&path("dir")).unwrap();
    }
}
