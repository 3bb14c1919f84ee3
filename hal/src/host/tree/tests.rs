//! Tests that need a tree over a real directory; the others are in the contract suite.

use super::*;
use crate::{FileKind, VolumeFile};
use std::os::unix::fs::symlink;
use std::sync::atomic::Ordering;

fn path(text: impl AsRef<[u8]>) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

fn tree() -> (tempfile::TempDir, Tree) {
    let directory = tempfile::tempdir().unwrap();
    let tree = Tree::new(directory.path(), Some("/run/replicator/drive".into())).unwrap();
    (directory, tree)
}

#[test]
fn a_file_written_through_the_tree_is_found_on_the_host() {
    let (directory, tree) = tree();
    let mut file = tree.create_file(&path("a.img"), 0o640).unwrap();
    assert_eq!(file.write_at(3, b"xyz").unwrap(), 3);
    file.sync().unwrap();
    file.close().unwrap();
    assert_eq!(std::fs::read(directory.path().join("a.img")).unwrap(), b"\0\0\0xyz");
    assert_eq!(tree.metadata(&path("a.img")).unwrap().mode, 0o640);
}

#[test]
fn links_with_the_mount_point_stay_on_the_volume() {
    let (directory, tree) = tree();
    std::fs::create_dir(directory.path().join("old")).unwrap();
    std::fs::write(directory.path().join("old/sd.dd"), b"x").unwrap();
    for (name, text) in [
        ("usb", "/mnt/usb/old/sd.dd"),
        ("private", "/run/replicator/drive/old/sd.dd"),
        ("slashes", "//mnt///usb/./old/sd.dd"),
        ("absolute", "/old/sd.dd"),
        ("above", "../../../old/sd.dd"),
    ] {
        symlink(text, directory.path().join(name)).unwrap();
        assert_eq!(tree.resolve(&path(name)).unwrap(), path("old/sd.dd"), "{name}");
    }
    symlink("/mnt/usbstick/old/sd.dd", directory.path().join("other")).unwrap();
    assert_eq!(tree.resolve(&path("other")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn nothing_outside_of_the_root_is_reached() {
    for has_no_openat2 in [false, true] {
        reach_outside(has_no_openat2);
    }
}

fn reach_outside(has_no_openat2: bool) {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), b"secret").unwrap();
    let (directory, tree) = tree();
    tree.has_no_openat2.store(has_no_openat2, Ordering::Relaxed);
    // The directory that holds the links is open from here on.
    tree.create_dir(&path("d"), 0o755).unwrap();
    tree.create_file(&path("d/file"), 0o600).unwrap().close().unwrap();
    symlink(outside.path(), directory.path().join("d/way")).unwrap();
    symlink("..", directory.path().join("d/up")).unwrap();
    for below in ["d/way/secret", "d/up/d/file"] {
        let error = tree.open_file(&path(below), Access::ReadOnly).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SymlinkInPath, "{below}");
    }
    symlink(outside.path(), directory.path().join("way")).unwrap();
    symlink(outside.path().join("secret"), directory.path().join("link")).unwrap();
    let kind = |result: Result<()>| result.unwrap_err().kind();
    assert_eq!(
        kind(tree.open_file(&path("way/secret"), Access::ReadOnly).map(drop)),
        ErrorKind::SymlinkInPath
    );
    assert_eq!(kind(tree.open_file(&path("link"), Access::ReadWrite).map(drop)), ErrorKind::SymlinkInPath);
    assert_eq!(kind(tree.list(&path("way")).map(drop)), ErrorKind::SymlinkInPath);
    assert_eq!(kind(tree.remove_file(&path("way/secret"))), ErrorKind::SymlinkInPath);
    assert_eq!(kind(tree.resolve(&path("link")).map(drop)), ErrorKind::NotFound);
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn paths_longer_than_one_system_call_takes_work() {
    let (_directory, tree) = tree();
    let name = [b'd'; 200];
    let mut deep = RelativePath::root();
    for _ in 0..30 {
        deep = deep.join(name).unwrap();
        tree.create_dir(&deep, 0o755).unwrap();
    }
    let file = deep.join("end").unwrap();
    tree.create_file(&file, 0o600).unwrap().close().unwrap();
    assert_eq!(tree.metadata(&file).unwrap().kind, FileKind::File);
    assert_eq!(tree.resolve(&file).unwrap(), file);
    symlink("/", tree.root_path().join("link")).unwrap();
    let through = path("link").join_path(&file);
    assert_eq!(tree.metadata(&through).unwrap_err().kind(), ErrorKind::SymlinkInPath);
}

#[test]
fn a_directory_that_a_program_replaced_is_looked_up_anew() {
    let (directory, tree) = tree();
    tree.create_dir(&path("d"), 0o755).unwrap();
    tree.create_file(&path("d/old"), 0o600).unwrap().close().unwrap();
    std::fs::rename(directory.path().join("d"), directory.path().join("moved")).unwrap();
    std::fs::create_dir(directory.path().join("d")).unwrap();
    tree.forget_directories();
    assert_eq!(tree.metadata(&path("d/old")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_closed_tree_has_no_open_directories() {
    let (directory, tree) = tree();
    tree.create_dir(&path("d"), 0o755).unwrap();
    tree.create_file(&path("d/file"), 0o600).unwrap().close().unwrap();
    let inside = directory.path().join("d");
    let is_open = || {
        let open = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| entry.ok()?.path().read_link().ok());
        open.into_iter().any(|path| path == inside)
    };
    assert!(is_open());
    tree.close().unwrap();
    assert!(!is_open());
}

#[test]
fn a_fifo_is_refused_and_does_not_hang() {
    let (_directory, tree) = tree();
    tree.make_node(&path("pipe"), crate::NodeKind::Fifo, 0o622).unwrap();
    let metadata = tree.metadata(&path("pipe")).unwrap();
    assert_eq!((metadata.kind, metadata.mode), (FileKind::Fifo, 0o622));
    let error = tree.open_file(&path("pipe"), Access::ReadOnly).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_closed_tree_is_not_found_until_it_is_reopened() {
    let (_directory, tree) = tree();
    let mut file = tree.create_file(&path("a"), 0o600).unwrap();
    assert_eq!(tree.close().unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(tree.set_access(Access::ReadOnly).unwrap_err().kind(), ErrorKind::Busy);
    file.close().unwrap();
    tree.close().unwrap();
    assert_eq!(tree.list(&RelativePath::root()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(tree.close().unwrap_err().kind(), ErrorKind::NotFound);
    tree.reopen(Access::ReadOnly).unwrap();
    assert_eq!(tree.list(&RelativePath::root()).unwrap().len(), 1);
    assert_eq!(tree.remove_file(&path("a")).unwrap_err().kind(), ErrorKind::ReadOnly);
}

#[test]
fn errors_name_the_operation_and_the_path() {
    let (_directory, tree) = tree();
    let text = tree.remove_file(&path("boot/zImage")).unwrap_err().to_string();
    assert!(text.starts_with("removing boot/zImage: No such file"), "{text}");
}

#[test]
fn a_tree_of_kind_fat_has_names_and_content_only() {
    let (_directory, tree) = tree();
    let tree = tree.with_kind(FileSystemKind::Vfat);
    tree.create_file(&path("a"), 0o4755).unwrap().close().unwrap();
    let kind = |result: Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(tree.symlink(&path("l"), b"a")), ErrorKind::Unsupported);
    assert_eq!(kind(tree.hard_link(&path("a"), &path("l"))), ErrorKind::Unsupported);
    assert_eq!(kind(tree.set_mode(&path("a"), 0o600)), ErrorKind::Unsupported);
    assert_eq!(kind(tree.set_owner(&path("a"), crate::Owner::default())), ErrorKind::Unsupported);
    tree.set_modified(&path("a"), crate::Timestamp { seconds: 1_000_000_000, nanos: 0 }).unwrap();
    assert_eq!(tree.capabilities().file_len_max_bytes, u64::from(u32::MAX));
}

mod against_the_kernel {
    //! The kernel can follow links inside a root too; both must end at the same file or with the same error.

    use super::*;
    use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
    use proptest::prelude::*;
    use std::os::unix::fs::MetadataExt;

    #[derive(Debug, Clone)]
    enum Made {
        Directory,
        File,
        Link(String),
    }

    fn component() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "c", "d", "..", ".", ""])
    }

    fn text() -> impl Strategy<Value = String> {
        (any::<bool>(), prop::collection::vec(component(), 1..5)).prop_map(|(absolute, components)| {
            let text = format!("{}{}", if absolute { "/" } else { "" }, components.join("/"));
            if text.is_empty() { ".".to_owned() } else { text }
        })
    }

    fn made() -> impl Strategy<Value = Made> {
        prop_oneof![Just(Made::Directory), Just(Made::File), text().prop_map(Made::Link)]
    }

    fn name_path() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d"]), 1..4)
            .prop_map(|components| components.join("/"))
    }

    fn by_the_kernel(tree: &Tree, asked: &str) -> std::result::Result<u64, ErrorKind> {
        let root = File::open(tree.root_path()).unwrap();
        let how =
            OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        match openat2(&root, asked, how) {
            Ok(file) => {
                let status = File::from(file).metadata().unwrap();
                Ok(status.ino())
            }
            Err(errno) => Err(ErrorKind::from_errno(errno as i32)),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(300), failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn resolving_ends_at_the_same_file_as_in_the_kernel(
            entries in prop::collection::vec((name_path(), made()), 1..14),
            asked in prop::collection::vec(name_path(), 1..8),
        ) {
            let (_directory, tree) = tree();
            for (at, made) in &entries {
                let at = path(at);
                // An entry without a parent, or whose name exists, is left out: any tree will do.
                let result = match made {
                    Made::Directory => tree.create_dir(&at, 0o755),
                    Made::File => tree.create_file(&at, 0o644).map(drop),
                    Made::Link(text) => tree.symlink(&at, text.as_bytes()),
                };
                drop(result);
            }
            for asked in &asked {
                let ours = tree.resolve(&path(asked));
                let found = match &ours {
                    Ok(resolved) => Ok(tree.metadata(resolved).unwrap().inode),
                    Err(error) => Err(error.kind()),
                };
                prop_assert_eq!(found, by_the_kernel(&tree, asked), "{} gave {:?}", asked, ours);
            }
        }
    }
}

/// The numbers of open files of this process that are below `directory`.
fn open_below(directory: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|target| target.starts_with(directory) && target.is_file()).count()
}

#[test]
fn announced_files_are_open_until_they_are_taken_or_the_tree_is_closed() {
    let (directory, tree) = tree();
    let names: Vec<_> = (0..ahead::FILES_MAX + 3).map(|number| path(number.to_string())).collect();
    for name in &names {
        std::fs::write(directory.path().join(name.to_string()), name.to_string()).unwrap();
    }
    tree.read_ahead(&names[..1]);
    assert_eq!(open_below(directory.path()), 0, "the tree can be changed");
    let tree = tree.with_access(Access::ReadOnly).unwrap();
    tree.read_ahead(&names);
    tree.read_ahead(&names[3..]);
    assert_eq!(open_below(directory.path()), ahead::FILES_MAX);
    // It is the file that was opened ahead, also if its name is removed by others.
    std::fs::remove_file(directory.path().join("10")).unwrap();
    let mut file = tree.open_file(&names[10], Access::ReadOnly).unwrap();
    let mut content = [0; 4];
    assert_eq!((file.read_at(0, &mut content).unwrap(), &content), (2, b"10\0\0"));
    assert_eq!(file.metadata().unwrap().len_bytes, 2);
    file.close().unwrap();
    assert_eq!(open_below(directory.path()), ahead::FILES_MAX - 1);
    assert_eq!(tree.open_file(&names[10], Access::ReadOnly).unwrap_err().kind(), ErrorKind::NotFound);
    // They do not keep it busy.
    tree.set_access(Access::ReadWrite).unwrap();
    assert_eq!(open_below(directory.path()), 0);
    tree.set_access(Access::ReadOnly).unwrap();
    tree.read_ahead(&names);
    tree.close().unwrap();
    assert_eq!(open_below(directory.path()), 0);
}

#[test]
fn an_open_file_has_its_new_status_once_the_tree_can_be_changed() {
    let (directory, tree) = tree();
    std::fs::write(directory.path().join("a"), "old").unwrap();
    let tree = tree.with_access(Access::ReadOnly).unwrap();
    let file = tree.open_file(&path("a"), Access::ReadOnly).unwrap();
    tree.set_access(Access::ReadWrite).unwrap();
    let mut writer = tree.open_file(&path("a"), Access::ReadWrite).unwrap();
    writer.write_at(3, b" and longer").unwrap();
    assert_eq!(file.metadata().unwrap().len_bytes, 14);
    assert_eq!(file.len_bytes().unwrap(), 14);
}
