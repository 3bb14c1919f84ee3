//! The simulated ext4 against the host's own file system: random calls, equal results and equal kinds of errors.
//!
//! Left out is what differs for good reasons: lengths and times of directories, numbers of inodes, allocated space.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use replicator_hal::host::{Mount, Tree, TreeVolume};
use replicator_hal::{
    Access, DeviceKind, DeviceName, Error, ErrorKind, FileKind, Holder, NodeKind, Owner, Region,
    RelativePath, Result, Timestamp, Volume, VolumeId, io,
};
use replicator_sim::content::{Content, FileSystemContent};
use replicator_sim::simfs::Kind;
use replicator_sim::{Medium, WorldBuilder};
use std::sync::Arc;

struct Plain;

impl Mount for Plain {
    fn remount(&self, _access: Access) -> Result<()> {
        Ok(())
    }

    fn unmount(&self) -> Result<()> {
        Ok(())
    }

    fn abandon(&self) {}
}

#[derive(Debug, Clone)]
enum Call {
    Create(RelativePath, Vec<u8>),
    Write(RelativePath, u64, Vec<u8>),
    SetLen(RelativePath, u64),
    Read(RelativePath),
    CreateDir(RelativePath),
    Symlink(RelativePath, &'static str),
    HardLink(RelativePath, RelativePath),
    Fifo(RelativePath),
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

fn any_path() -> impl Strategy<Value = RelativePath> {
    let names = ["", "a", "b", "d", "e", "l", "d/a", "d/b", "d/l", "d/e", "d/e/a", "l/a", "l/e/a", "a/x"];
    prop::sample::select(names.to_vec()).prop_map(|text| RelativePath::parse(text).unwrap())
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    (0_usize..6000, any::<u8>()).prop_map(|(len, byte)| (0..len).map(|at| (at % 251) as u8 ^ byte).collect())
}

fn any_call() -> impl Strategy<Value = Call> {
    let text = || prop::sample::select(vec!["a", "d", "/d/a", "../b", "l", "d/l", "nowhere", "./d//e", "/"]);
    prop_oneof![
        3 => (any_path(), any_bytes()).prop_map(|(path, bytes)| Call::Create(path, bytes)),
        2 => (any_path(), 0..9000_u64, any_bytes()).prop_map(|(path, at, bytes)| Call::Write(path, at, bytes)),
        1 => (any_path(), 0..9000_u64).prop_map(|(path, len)| Call::SetLen(path, len)),
        2 => any_path().prop_map(Call::Read),
        3 => any_path().prop_map(Call::CreateDir),
        2 => (any_path(), text()).prop_map(|(path, text)| Call::Symlink(path, text)),
        2 => (any_path(), any_path()).prop_map(|(from, to)| Call::HardLink(from, to)),
        1 => any_path().prop_map(Call::Fifo),
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
    // Without privileges the real owner is whoever runs the test, and the kernel drops special bits on its own.
    let (mode, owner) = if is_root() { (found.mode, Some(found.owner)) } else { (found.mode & 0o777, None) };
    Ok(format!("{:?} {len_bytes} {mode:o} {owner:?} {} {time:?}", found.kind, found.links))
}

/// What a caller sees of a call.
fn observe(volume: &dyn Volume, call: &Call) -> Result<String> {
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
        Call::Fifo(path) => volume.make_node(path, NodeKind::Fifo, 0o600)?,
        // The simulation's user may do anything; without privileges only what is the owner's can be compared.
        Call::SetMode(path, mode) => volume.set_mode(path, if is_root() { *mode } else { mode | 0o700 })?,
        Call::SetOwner(path, uid) => {
            let before = volume.metadata(path)?.owner;
            // Without privileges only the present owner can be set, and that is enough to compare.
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

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn simulated_and_real_volumes_agree(calls in prop::collection::vec(any_call(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let tree = Arc::new(Tree::new(directory.path(), None).unwrap());
        let host = TreeVolume::new(VolumeId(1), tree, Plain);

        let content = Content::FileSystem(FileSystemContent::new(Kind::Ext4, vec![]));
        let medium = Medium::new("sd", "mmcblk0", DeviceKind::Sd, 2 << 20).content(content);
        let world = WorldBuilder::new().medium(medium).build().unwrap();
        let holder = Holder::Device(DeviceName::new("mmcblk0"));
        let region = Region { holder, offset_bytes: 0, len_bytes: 2 << 20 };
        let sim = world.board().file_systems.mount(&region, Access::ReadWrite).unwrap();
        let root = RelativePath::root();
        // The directories start with the same owner and mode.
        host.set_mode(&root, 0o755).unwrap();

        for call in &calls {
            let kind = |result: Result<String>| -> std::result::Result<String, ErrorKind> {
                result.map_err(|error: Error| error.kind())
            };
            let (real, simulated) = (kind(observe(&host, call)), kind(observe(&*sim, call)));
            prop_assert_eq!(real, simulated, "{:?}", call);
        }
    }
}
