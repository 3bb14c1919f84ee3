//! Mounted volumes: what a read-only mount does not change, remounting, unmounting, private mount tables.

use replicator_hal::contract::loop_media::{Bench, MIB, Medium, run};
use replicator_hal::host::Volumes;
use replicator_hal::linux::{FileSystemsConfig, KernelRoots, LinuxFileSystems, Tools, isolate_mounts};
use replicator_hal::{Access, BlockDevices, ErrorKind, FileSystems, RelativePath};
use std::sync::Arc;

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

/// A medium whose ext4 journal has to be replayed, as after a power cut: an image copied while it was mounted.
fn dirty_medium(bench: &Bench) -> Medium {
    let medium = bench.medium("live", 64 * MIB);
    medium.mkfs(&["-t", "ext4", "-b", "4096"]);
    let volume = bench.file_systems.mount(&medium.whole(), Access::ReadWrite).unwrap();
    volume.create_dir(&path("in-the-journal"), 0o755).unwrap();
    volume.sync().unwrap();
    // No fast commit or checkpoint has happened yet: the directory is in the journal only, or in both.
    let copy = bench.directory.path().join("dirty");
    std::fs::copy(&medium.image, &copy).unwrap();
    volume.unmount().unwrap();
    let dirty = bench.attach(&copy, &[]);
    let text = run("dumpe2fs", &["-h", dirty.node()]);
    assert!(text.contains("needs_recovery"), "the test needs a dirty journal");
    dirty
}

#[test]
fn a_read_only_mount_changes_no_byte() {
    let Some(bench) = Bench::new("a_read_only_mount_changes_no_byte") else { return };
    let dirty = dirty_medium(&bench);
    let before = std::fs::read(&dirty.image).unwrap();
    assert_eq!(
        bench.file_systems.used_map(&dirty.whole()).unwrap(),
        None,
        "with a dirty journal there is no map"
    );
    let volume = bench.file_systems.mount(&dirty.whole(), Access::ReadOnly).unwrap();
    volume.list(&path("")).unwrap();
    assert_eq!(volume.create_dir(&path("no"), 0o755).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(run("blockdev", &["--getro", dirty.node()]), "1");
    volume.unmount().unwrap();
    assert_eq!(run("blockdev", &["--getro", dirty.node()]), "0");
    assert!(std::fs::read(&dirty.image).unwrap() == before, "the medium was changed");
    // The same through a loop device, for a region that is not the whole device.
    let copy = bench.directory.path().join("shifted");
    let mut shifted = vec![0; MIB as usize];
    shifted.extend_from_slice(&before);
    std::fs::write(&copy, &shifted).unwrap();
    let medium = bench.attach(&copy, &[]);
    let volume = bench.file_systems.mount(&medium.region(MIB, 64 * MIB), Access::ReadOnly).unwrap();
    volume.list(&path("")).unwrap();
    volume.unmount().unwrap();
    assert!(std::fs::read(&copy).unwrap() == shifted, "the medium was changed");
    bench.assert_clean(&[&dirty, &medium]);
}

#[test]
fn a_dirty_journal_is_replayed_when_remounted_for_writing() {
    let Some(bench) = Bench::new("a_dirty_journal_is_replayed_when_remounted_for_writing") else { return };
    let dirty = dirty_medium(&bench);
    let volume = bench.file_systems.mount(&dirty.whole(), Access::ReadOnly).unwrap();
    let id = volume.id();
    volume.remount(Access::ReadWrite).unwrap();
    assert_eq!(volume.id(), id);
    assert!(volume.list(&path("")).unwrap().iter().any(|entry| entry.name == b"in-the-journal"));
    volume.create_dir(&path("new"), 0o755).unwrap();
    volume.remount(Access::ReadOnly).unwrap();
    volume.remount(Access::ReadWrite).unwrap();
    volume.remove_dir(&path("new")).unwrap();
    volume.unmount().unwrap();
    run("e2fsck", &["-f", "-n", dirty.node()]);
    bench.assert_clean(&[&dirty]);
}

#[test]
fn open_files_keep_a_volume_busy() {
    let Some(bench) = Bench::new("open_files_keep_a_volume_busy") else { return };
    let medium = bench.medium("sd", 32 * MIB);
    medium.mkfs(&["-t", "ext4"]);
    let volume = bench.file_systems.mount(&medium.whole(), Access::ReadWrite).unwrap();
    let mut file = volume.create_new(&path("file"), 0o644).unwrap();
    file.write_at(0, b"content").unwrap();
    assert_eq!(volume.unmount().unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(volume.remount(Access::ReadOnly).unwrap_err().kind(), ErrorKind::Busy);
    file.write_at(7, b" more").unwrap();
    file.close().unwrap();
    volume.remount(Access::ReadOnly).unwrap();
    assert_eq!(volume.remove_file(&path("file")).unwrap_err().kind(), ErrorKind::ReadOnly);
    volume.unmount().unwrap();
    assert_eq!(volume.unmount().unwrap_err().kind(), ErrorKind::NotFound);
    bench.devices.open_target(&medium.name).unwrap().close().unwrap();
    bench.assert_clean(&[&medium]);
}

#[test]
fn open_files_of_another_program_are_waited_for_and_then_busy() {
    let Some(bench) = Bench::new("open_files_of_another_program_are_waited_for_and_then_busy") else {
        return;
    };
    let medium = bench.medium("sd", 32 * MIB);
    medium.mkfs(&["-t", "ext4"]);
    let volume = bench.file_systems.mount(&medium.whole(), Access::ReadWrite).unwrap();
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(&format!(" {} ", medium.node()))).unwrap();
    let point = line.split(' ').nth(4).unwrap().to_owned();
    let foreign = std::fs::File::open(&point).unwrap();
    assert_eq!(volume.unmount().unwrap_err().kind(), ErrorKind::Busy);
    volume.list(&path("")).unwrap();
    let release = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(foreign);
    });
    volume.unmount().unwrap();
    release.join().unwrap();
    bench.assert_clean(&[&medium]);
}

#[test]
fn dropping_a_volume_leaves_nothing_behind() {
    let Some(bench) = Bench::new("dropping_a_volume_leaves_nothing_behind") else { return };
    let medium = bench.medium("sd", 32 * MIB);
    bench
        .file_systems
        .format(
            &medium.region(MIB, 24 * MIB),
            &replicator_hal::Format {
                flavour: replicator_hal::Flavour::Ext4,
                ..replicator_hal::Format::default()
            },
        )
        .unwrap();
    let volume = bench.file_systems.mount(&medium.region(MIB, 24 * MIB), Access::ReadWrite).unwrap();
    volume.create_dir(&path("kept"), 0o755).unwrap();
    drop(volume);
    bench.assert_clean(&[&medium]);
    let volume = bench.file_systems.mount(&medium.region(MIB, 24 * MIB), Access::ReadOnly).unwrap();
    volume.metadata(&path("kept")).unwrap();
    volume.unmount().unwrap();
    bench.assert_clean(&[&medium]);
}

#[test]
fn isolated_mounts_are_private() {
    let Some(bench) = Bench::new("isolated_mounts_are_private") else { return };
    let medium = bench.medium("sd", 32 * MIB);
    medium.mkfs(&["-t", "ext4"]);
    let seen =
        |table: &str| std::fs::read_to_string(table).unwrap().contains(&format!(" {} ", medium.node()));
    std::thread::scope(|scope| {
        let isolated = scope.spawn(|| {
            isolate_mounts(&[]).unwrap();
            let volume = bench.file_systems.mount(&medium.whole(), Access::ReadOnly).unwrap();
            let own = seen("/proc/thread-self/mountinfo");
            let others = seen("/proc/self/mountinfo");
            volume.unmount().unwrap();
            (own, others)
        });
        assert_eq!(isolated.join().unwrap(), (true, false));
    });
    bench.assert_clean(&[&medium]);
}

#[test]
fn an_isolated_program_keeps_no_foreign_medium_busy() {
    let Some(bench) = Bench::new("an_isolated_program_keeps_no_foreign_medium_busy") else { return };
    let (medium, needed) = (bench.medium("sd", 32 * MIB), bench.medium("logs", 32 * MIB));
    let point = |name: &str| bench.directory.path().join(name);
    for (medium, name) in [(&medium, "foreign"), (&needed, "needed")] {
        medium.mkfs(&["-t", "ext4"]);
        std::fs::create_dir(point(name)).unwrap();
        run("mount", &[medium.node(), point(name).to_str().unwrap()]);
    }
    // A bind mount of it, and a mount that covers it.
    std::fs::create_dir_all(point("bound/over")).unwrap();
    run("mount", &["--bind", point("foreign").to_str().unwrap(), point("bound/over").to_str().unwrap()]);
    run("mount", &["-t", "tmpfs", "tmpfs", point("bound").to_str().unwrap()]);
    let (say, hear) = std::sync::mpsc::channel();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let free = |medium: &Medium| bench.devices.open_target(&medium.name).map(drop);
    std::thread::scope(|scope| {
        let log = point("needed").join("not/there/yet");
        scope.spawn(move || {
            let kept = isolate_mounts(&[log]).unwrap();
            let own = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
            say.send((kept, own)).unwrap();
            let ended = is_done.recv();
            assert!(ended.is_err(), "nothing is sent; the other end is closed");
        });
        let (kept, own) = hear.recv().unwrap();
        for name in ["bound", "bound/over", "foreign", "needed"] {
            run("umount", &[point(name).to_str().unwrap()]);
        }
        let (foreign, needed) = (free(&medium), free(&needed).map_err(|error| error.kind()));
        drop(done);
        assert_eq!(kept.iter().find(|line| line.contains("replicator")), None);
        assert!(!own.contains("/foreign ") && !own.contains("/over ") && own.contains("/needed "), "{own}");
        foreign.unwrap();
        assert_eq!(needed, Err(ErrorKind::Busy), "the test needs a mount that stays");
    });
    bench.assert_clean(&[&medium, &needed]);
}

#[test]
fn the_usb_drive_is_mounted_where_it_is_expected() {
    let Some(bench) = Bench::new("the_usb_drive_is_mounted_where_it_is_expected") else { return };
    let medium = bench.medium("usb", 32 * MIB);
    medium.mkfs(&["-t", "ext4"]);
    // A sysfs in which the loop device is attached by USB.
    let sys = bench.directory.path().join("sys");
    let device = sys.join("devices/usb1/1-1/block").join(medium.name.as_str());
    std::fs::create_dir_all(&device).unwrap();
    std::fs::create_dir_all(sys.join("class/block")).unwrap();
    std::os::unix::fs::symlink(&device, sys.join("class/block").join(medium.name.as_str())).unwrap();
    let point = bench.directory.path().join("mnt/usb");
    let config = FileSystemsConfig {
        roots: KernelRoots { sys, ..KernelRoots::default() },
        drive_mount_point: Some(point.clone()),
        mount_base: Some(bench.directory.path().join("private")),
        tools: Tools::default(),
    };
    let file_systems = LinuxFileSystems::new(config, Arc::<Volumes>::default());
    let volume = file_systems.mount(&medium.whole(), Access::ReadWrite).unwrap();
    assert!(point.join("lost+found").exists());
    let text = format!("{}/images/sd.dd", point.display());
    volume.create_dir(&path("images"), 0o755).unwrap();
    volume.create_new(&path("images/sd.dd"), 0o644).unwrap().close().unwrap();
    volume.symlink(&path("sdimage.dd"), text.as_bytes()).unwrap();
    assert_eq!(volume.resolve(&path("sdimage.dd")).unwrap(), path("images/sd.dd"));
    volume.unmount().unwrap();
    assert!(point.exists() && !point.join("lost+found").exists());
    bench.assert_clean(&[&medium]);
}
