//! Random calls on a volume, and their results.
//!
//! Properties that differ for good reasons are left out: lengths and times of directories, inode numbers, allocated
//! space.

use proptest::prelude::*;
use replicator_hal::{
    Access, ErrorKind, FileKind, NodeKind, Owner, RelativePath, Result, Timestamp, Volume, Xattr, io,
};

/// A call on a volume.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Create(RelativePath, Vec<u8>),
    Write(RelativePath, u64, Vec<u8>),
    SetLen(RelativePath, u64),
    Read(RelativePath),
    CreateDir(RelativePath),
    Symlink(RelativePath, &'static str),
    HardLink(RelativePath, RelativePath),
    Append(RelativePath, Vec<u8>),
    Node(RelativePath, NodeKind),
    SetXattr(RelativePath, &'static str, Vec<u8>),
    Xattrs(RelativePath),
    SyncDir(RelativePath),
    Sync,
    Remount(Access),
    SetMode(RelativePath, u32),
    SetOwner(RelativePath, u32),
    SetModified(RelativePath, i64),
    Rename(RelativePath, RelativePath),
    RemoveFile(RelativePath),
    RemoveDir(RelativePath),
    List(RelativePath),
    ReadLink(RelativePath),
    Resolve(RelativePath),
    Metadata(RelativePath),
}

impl Call {
    /// Whether it leaves an attribute on the root directory.
    pub(crate) fn sets_xattr_of_root(&self) -> bool {
        matches!(self, Self::SetXattr(path, ..) if path.is_root())
    }
}

fn any_path() -> impl Strategy<Value = RelativePath> {
    let names = ["", "a", "b", "d", "e", "l", "d/a", "d/b", "d/l", "d/e", "d/e/a", "l/a", "l/e/a", "a/x"];
    prop::sample::select(names.to_vec()).prop_map(|text| RelativePath::parse(text).unwrap())
}

fn any_node() -> impl Strategy<Value = NodeKind> {
    let devices = if is_root() { 2 } else { 0 };
    prop_oneof![
        1 => Just(NodeKind::Fifo),
        devices => (0..300_u32, 0..300_u32).prop_map(|(major, minor)| NodeKind::CharDevice { major, minor }),
        devices => (0..300_u32, 0..300_u32).prop_map(|(major, minor)| NodeKind::BlockDevice { major, minor }),
    ]
}

fn any_xattr() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let value = prop_oneof![4 => 0_usize..300, 1 => prop::sample::select(vec![3000, 5000, 70_000])];
    (prop::sample::select(vec!["user.a", "user.b"]), value.prop_map(|len| vec![7; len]))
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    (0_usize..6000, any::<u8>()).prop_map(|(len, byte)| (0..len).map(|at| (at % 251) as u8 ^ byte).collect())
}

/// Any call.
pub(crate) fn any_call() -> impl Strategy<Value = Call> {
    let text = || prop::sample::select(vec!["a", "d", "/d/a", "../b", "l", "d/l", "nowhere", "./d//e", "/"]);
    prop_oneof![
        3 => (any_path(), any_bytes()).prop_map(|(path, bytes)| Call::Create(path, bytes)),
        2 => (any_path(), 0..9000_u64, any_bytes()).prop_map(|(path, at, bytes)| Call::Write(path, at, bytes)),
        1 => (any_path(), 0..9000_u64).prop_map(|(path, len)| Call::SetLen(path, len)),
        2 => any_path().prop_map(Call::Read),
        3 => any_path().prop_map(Call::CreateDir),
        2 => (any_path(), text()).prop_map(|(path, text)| Call::Symlink(path, text)),
        2 => (any_path(), any_path()).prop_map(|(from, to)| Call::HardLink(from, to)),
        2 => (any_path(), any_bytes()).prop_map(|(path, bytes)| Call::Append(path, bytes)),
        1 => (any_path(), any_node()).prop_map(|(path, node)| Call::Node(path, node)),
        2 => (any_path(), any_xattr()).prop_map(|(path, (name, value))| Call::SetXattr(path, name, value)),
        1 => any_path().prop_map(Call::Xattrs),
        1 => any_path().prop_map(Call::SyncDir),
        1 => Just(Call::Sync),
        1 => prop::sample::select(vec![Access::ReadOnly, Access::ReadWrite, Access::ReadWrite]).prop_map(Call::Remount),
        1 => (any_path(), 0..0o10000_u32).prop_map(|(path, mode)| Call::SetMode(path, mode)),
        1 => (any_path(), 0..3_u32).prop_map(|(path, uid)| Call::SetOwner(path, uid)),
        1 => (any_path(), 1..2_000_000_000_i64).prop_map(|(path, seconds)| Call::SetModified(path, seconds)),
        4 => (any_path(), any_path()).prop_map(|(from, to)| Call::Rename(from, to)),
        2 => any_path().prop_map(Call::RemoveFile),
        2 => any_path().prop_map(Call::RemoveDir),
        2 => any_path().prop_map(Call::List),
        1 => any_path().prop_map(Call::ReadLink),
        2 => any_path().prop_map(Call::Resolve),
        3 => any_path().prop_map(Call::Metadata),
    ]
}

fn metadata(volume: &dyn Volume, path: &RelativePath, with_time: bool) -> Result<String> {
    let found = volume.metadata(path)?;
    let len_bytes = if found.kind == FileKind::Directory { 0 } else { found.len_bytes };
    let time = with_time.then_some(found.modified);
    // Without privileges the real owner is the user of the test, and the kernel clears special bits.
    let (mode, owner) = if is_root() { (found.mode, Some(found.owner)) } else { (found.mode & 0o777, None) };
    Ok(format!("{:?} {len_bytes} {mode:o} {owner:?} {} {:?} {time:?}", found.kind, found.links, found.device))
}

/// Whether another process uses the same file system, and may free space at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Only the test uses the volume.
    Own,
    /// Other processes use it, too.
    Shared,
}

/// Writes at the end; that must not increase the free space.
fn append(volume: &dyn Volume, path: &RelativePath, bytes: &[u8], sharing: Sharing) -> Result<String> {
    let mut file = volume.open_write(path)?;
    file.sync()?;
    let before = volume.space()?;
    let len_bytes = file.len_bytes()?;
    io::write_file(file.as_mut(), len_bytes, bytes)?;
    file.sync()?;
    let after = volume.space()?;
    file.close()?;
    let grew = sharing == Sharing::Own && after.free_bytes > before.free_bytes;
    Ok(format!("from {len_bytes}, space grew: {grew}"))
}

/// Only of a namespace to which no security module adds attributes.
fn xattrs(volume: &dyn Volume, path: &RelativePath) -> Result<String> {
    let mut found = volume.xattrs(path)?;
    found.retain(|xattr| xattr.name.starts_with(b"user."));
    Ok(format!("{found:?}"))
}

/// The result of a call, or the kind of its error.
pub(crate) fn observe(
    volume: &dyn Volume,
    call: &Call,
    sharing: Sharing,
) -> std::result::Result<String, ErrorKind> {
    call_and_look(volume, call, sharing).map_err(|error| error.kind())
}

fn call_and_look(volume: &dyn Volume, call: &Call, sharing: Sharing) -> Result<String> {
    match call {
        Call::Create(path, bytes) => {
            let mut file = volume.create_new(path, 0o4755)?;
            io::write_file(file.as_mut(), 0, bytes)?;
            file.close()?;
        }
        Call::Write(path, at, bytes) => {
            let mut file = volume.open_write(path)?;
            io::write_file(file.as_mut(), *at, bytes)?;
            return Ok(file.len_bytes()?.to_string());
        }
        Call::SetLen(path, len_bytes) => volume.open_write(path)?.set_len(*len_bytes)?,
        Call::Read(path) => {
            let mut file = volume.open(path)?;
            let mut bytes = vec![0; file.len_bytes()? as usize];
            io::read_file(file.as_mut(), 0, &mut bytes)?;
            return Ok(format!("{bytes:?}"));
        }
        Call::CreateDir(path) => volume.create_dir(path, 0o750)?,
        Call::Symlink(path, text) => volume.symlink(path, text.as_bytes())?,
        Call::HardLink(from, to) => volume.hard_link(from, to)?,
        Call::Append(path, bytes) => return append(volume, path, bytes, sharing),
        Call::Node(path, kind) => volume.make_node(path, *kind, 0o2640)?,
        Call::SetXattr(path, name, value) => {
            volume.set_xattr(path, &Xattr { name: name.as_bytes().to_vec(), value: value.clone() })?;
        }
        Call::Xattrs(path) => return xattrs(volume, path),
        Call::SyncDir(path) => volume.sync_dir(path)?,
        Call::Sync => volume.sync()?,
        Call::Remount(access) => volume.remount(*access)?,
        // The simulation's user is privileged; without privileges only calls on one's own files can be compared.
        Call::SetMode(path, mode) => volume.set_mode(path, if is_root() { *mode } else { mode | 0o700 })?,
        Call::SetOwner(path, uid) => {
            let before = volume.metadata(path)?.owner;
            // Without privileges only the present owner can be set, which is enough for a comparison.
            let owner = if is_root() { Owner { uid: *uid, gid: *uid } } else { before };
            volume.set_owner(path, owner)?;
        }
        Call::SetModified(path, seconds) => {
            volume.set_modified(path, Timestamp { seconds: *seconds, nanos: 123_456_789 })?;
            return metadata(volume, path, true);
        }
        Call::Rename(from, to) => volume.rename(from, to)?,
        Call::RemoveFile(path) => volume.remove_file(path)?,
        Call::RemoveDir(path) => volume.remove_dir(path)?,
        Call::List(path) => {
            let mut names: Vec<String> = volume
                .list(path)?
                .into_iter()
                .map(|entry| format!("{} {:?}", String::from_utf8_lossy(&entry.name), entry.kind))
                .collect();
            names.sort();
            return Ok(names.join(","));
        }
        Call::ReadLink(path) => return Ok(format!("{:?}", volume.read_link(path)?)),
        Call::Resolve(path) => return Ok(volume.resolve(path)?.to_string()),
        Call::Metadata(path) => return metadata(volume, path, false),
    }
    Ok(String::new())
}

/// Whether this process has all privileges.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0)
}
