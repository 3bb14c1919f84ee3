//! A capture works with the kernel's own file systems: media and drive are loop devices, made by mke2fs and mkfs.vfat.
//!
//! It needs root, loop devices and the tools; without them the test reports that it is skipped.

// Tests on a real host need calls that the engine must not use.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use replicator_engine::capture;
use replicator_engine::context::Context;
use replicator_engine::formats::codec::{self, Compression, Limits};
use replicator_engine::formats::tar::{Reader, ReaderLimits};
use replicator_engine::media;
use replicator_engine::options::{Options, Settings};
use replicator_engine::profile::Profile;
use replicator_engine::report::{End, Outcome};
use replicator_engine::tuning::Tuning;
use replicator_hal::contract::loop_media::{self, MIB, run};
use replicator_hal::linux::{LinuxBoard, LinuxBoardConfig};
use replicator_hal::{Access, Compute, DeviceName, ErrorKind, RelativePath, Volume, io as hal_io};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const SECRET: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY----- this must not be cloned";

fn make_rootfs(directory: &Path) -> PathBuf {
    let root = directory.join("rootfs");
    for path in ["etc/ssh", "usr/bin", "var/lib/dbus", "data/log"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    fs::write(root.join("etc/hostname"), "board\n").unwrap();
    fs::write(root.join("etc/machine-id"), SECRET).unwrap();
    fs::write(root.join("etc/ssh/ssh_host_rsa_key"), SECRET.repeat(100)).unwrap();
    fs::write(root.join("data/log/syslog"), SECRET.repeat(1000)).unwrap();
    fs::write(root.join("usr/bin/tool"), vec![b'x'; 300_000]).unwrap();
    fs::hard_link(root.join("usr/bin/tool"), root.join("usr/bin/tool-2")).unwrap();
    std::os::unix::fs::symlink("/data/log", root.join("var/log")).unwrap();
    root
}

/// A medium with an MBR and this root file system in each of its partitions.
fn make_medium(directory: &Path, name: &str, partitions: &[(u64, u64)], rootfs: &Path) -> PathBuf {
    let image = directory.join(name);
    let end = partitions.iter().map(|(start, len)| start + len).max().unwrap();
    let mut file = fs::File::create(&image).unwrap();
    file.set_len(end).unwrap();
    let mut table = [0; 66];
    table[64..].copy_from_slice(&[0x55, 0xaa]);
    for (index, (start, len)) in partitions.iter().enumerate() {
        let entry = &mut table[16 * index..][..16];
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&((start / 512) as u32).to_le_bytes());
        entry[12..].copy_from_slice(&((len / 512) as u32).to_le_bytes());
        let part = directory.join("part");
        fs::File::create(&part).unwrap().set_len(*len).unwrap();
        let (rootfs, part_name) = (rootfs.to_str().unwrap(), part.to_str().unwrap());
        run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", rootfs, part_name]);
        file.seek(SeekFrom::Start(*start)).unwrap();
        file.write_all(&fs::read(&part).unwrap()).unwrap();
    }
    file.seek(SeekFrom::Start(446)).unwrap();
    file.write_all(&table).unwrap();
    image
}

fn read(volume: &dyn Volume, name: &str) -> Vec<u8> {
    let mut file = volume.open(&RelativePath::parse(name).unwrap()).unwrap();
    let mut content = vec![0; file.len_bytes().unwrap() as usize];
    assert_eq!(hal_io::read_file(&mut *file, 0, &mut content).unwrap(), content.len());
    file.close().unwrap();
    content
}

fn decode(packed: &[u8]) -> Vec<u8> {
    let (mut input, mut content) = (packed, Vec::new());
    let decoder = codec::decoder(Compression::Xz, &mut input, Compute::Threads(2), Limits::default());
    decoder.unwrap().read_to_end(&mut content).unwrap();
    content
}

fn holds_secret(content: &[u8]) -> bool {
    content.windows(SECRET.len()).any(|window| window == SECRET)
}

fn capture_all(
    board: &LinuxBoard,
    volume: &dyn Volume,
    named: &BTreeMap<String, DeviceName>,
) -> Vec<Outcome> {
    let profile = "name = \"linux\"\n[[medium]]\nname = \"sd\"\nkind = \"any\"\n[[medium]]\nname = \"emmc\"\nkind = \"any\"\n";
    let profile = Profile::parse(profile, "linux.toml").unwrap();
    let devices = board.board.devices.list().unwrap();
    let media =
        media::find(&profile, &[], &devices, &DeviceName::parse("none").unwrap(), Some(named)).unwrap();
    let context = Context {
        board: &board.board,
        tuning: &Tuning::default(),
        profile: &profile,
        compatible: &[],
        media: &media,
        drive: volume,
        options: &Options::new(&[], Settings::default(), &[]),
        version: "1.2.3",
    };
    let items = capture::plan(&context).unwrap();
    capture::run(&context, items).unchecked()
}

fn capture_to(bench: &loop_media::Bench, file_system: &str, make: &[&str]) {
    let at = bench.directory.path();
    let rootfs = make_rootfs(at);
    let sd = make_medium(at, "sd.img", &[(4 * MIB, 28 * MIB)], &rootfs);
    let emmc = make_medium(at, "emmc.img", &[(MIB, 16 * MIB), (17 * MIB, 24 * MIB)], &rootfs);
    let before = [fs::read(&sd).unwrap(), fs::read(&emmc).unwrap()];
    let drive_image = at.join("drive.img");
    fs::File::create(&drive_image).unwrap().set_len(200 * MIB).unwrap();
    run(make[0], &[&make[1..], &[drive_image.to_str().unwrap()]].concat());
    let [sd_loop, emmc_loop, drive_loop] = [&sd, &emmc, &drive_image].map(|image| bench.attach(image, &[]));
    let board = LinuxBoard::new(LinuxBoardConfig {
        mount_base: Some(at.join("mounts")),
        ..LinuxBoardConfig::new(at.join("logs"))
    })
    .unwrap();
    let volume = match board.board.file_systems.mount(&drive_loop.whole(), Access::ReadOnly) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            println!("skipped: this kernel has no {file_system}");
            return;
        }
        mounted => mounted.unwrap(),
    };
    let named = BTreeMap::from([("sd", &sd_loop), ("emmc", &emmc_loop)])
        .into_iter()
        .map(|(name, medium)| (name.to_owned(), medium.name.clone()))
        .collect();
    let outcomes = capture_all(&board, &*volume, &named);
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome.end, End::Done(_))),
        "{file_system}: {outcomes:?}"
    );
    let names: Vec<String> = volume
        .list(&RelativePath::root())
        .unwrap()
        .into_iter()
        .map(|entry| String::from_utf8(entry.name).unwrap())
        .collect();
    assert!(!names.contains(&".capture".to_owned()), "{names:?}");
    let tar = decode(&read(&*volume, "sdimage.tar.xz"));
    let disk = decode(&read(&*volume, "emmcimage.dd.xz"));
    volume.unmount().unwrap();
    assert_eq!([fs::read(&sd).unwrap(), fs::read(&emmc).unwrap()], before, "{file_system}: a source changed");
    assert!(!holds_secret(&tar), "{file_system}: the tarball holds a removed secret");
    check_tar(&tar);
    check_disk(at, &disk);
}

fn check_tar(tar: &[u8]) {
    let mut reader = Reader::new(tar, ReaderLimits::default());
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(entry.path.to_string());
    }
    for name in
        ["etc/hostname", "etc/machine-id", "usr/bin/tool-2", "var/log", "md5sums.txt", "root.version-cust"]
    {
        assert!(names.contains(&name.to_owned()), "{name} is missing: {names:?}");
    }
    assert!(!names.contains(&"data/log/syslog".to_owned()));
}

/// Both partitions hold a root file system: each is clean, sanitised, and holds no removed secret.
fn check_disk(directory: &Path, disk: &[u8]) {
    assert_eq!(disk.len() as u64, 41 * MIB);
    let (first, second) = (&disk[MIB as usize..17 * MIB as usize], &disk[17 * MIB as usize..]);
    for (name, content) in [("first", first), ("second", second)] {
        assert!(!holds_secret(content), "the {name} partition holds a removed secret");
        let part = directory.join(name);
        fs::write(&part, content).unwrap();
        run("e2fsck", &["-f", "-n", part.to_str().unwrap()]);
    }
}

#[test]
fn to_a_drive_with_ext4() {
    if let Some(bench) = loop_media::Bench::new("to_a_drive_with_ext4") {
        capture_to(&bench, "ext4", &["mke2fs", "-q", "-F", "-t", "ext4"]);
    }
}

#[test]
fn to_a_drive_with_vfat() {
    let has_tool = ["/usr/sbin", "/sbin"].iter().any(|place| Path::new(place).join("mkfs.vfat").exists());
    if !has_tool {
        println!("skipped: to_a_drive_with_vfat: needs dosfstools");
    } else if let Some(bench) = loop_media::Bench::new("to_a_drive_with_vfat") {
        capture_to(&bench, "vfat", &["mkfs.vfat", "-F", "32"]);
    }
}
