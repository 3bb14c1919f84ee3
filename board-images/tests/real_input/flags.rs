//! Inode flags do not stop sanitising, and a tarball restores them.

use super::archives::Bench;
use super::devices::{Medium, Mount};
use super::replicator::{Board, make_drive};
use super::rootfs;
use super::stage::Stage;
use super::tools::{run, shell};
use std::fs;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// Flags and paths from lsattr, without the flags that describe how ext4 stores a file.
fn flags(root: &Path) -> Vec<String> {
    let listed = shell("cd \"$1\" && lsattr -aR . 2>/dev/null | grep '^[^.]' | sort -k2 -u", [root]);
    let own = |line: &str| {
        let (flags, path) = line.split_once(' ').unwrap();
        let flags: String = flags.chars().filter(|flag| !"-eIN".contains(*flag)).collect();
        (!flags.is_empty()).then(|| format!("{flags} {}", path.trim()))
    };
    listed.lines().filter(|line| line.contains(' ') && !line.ends_with("/..")).filter_map(own).collect()
}

fn unlock(root: &Path) {
    shell("chattr -R -f -i -a \"$1\" || true", [root]);
}

#[test]
fn immutable_files_are_sanitised_and_flags_are_restored() {
    let Some(stage) = Stage::new() else { return };
    let mut golden =
        Medium::partitioned(&stage.path("golden-medium"), 64 * MIB, "label: dos\nstart=4MiB, type=83");
    run("mkfs.ext4", ["-q".as_ref(), golden.partition(1).as_os_str()]);
    let mount = Mount::new(&golden.partition(1), &stage.path("golden"));
    let root = &mount.path;
    rootfs::small(root, 10_000);
    fs::create_dir_all(root.join("var/log/closed")).unwrap();
    fs::create_dir_all(root.join("usr/closed/deep")).unwrap();
    for name in [
        "var/log/auth.log",
        "var/log/closed/old.log",
        "usr/closed/deep/file",
        "usr/dumpless",
        "etc/resolv.conf",
    ] {
        fs::write(root.join(name), "SECRET or not").unwrap();
    }
    // Append-only logs, an immutable machine id, immutable directories, and an immutable root.
    shell(
        "cd \"$1\" && chattr +dA usr/dumpless && chattr +i etc/machine-id etc/resolv.conf usr/closed/deep/file \
         usr/closed/deep usr/closed var/log/closed/old.log && chattr +a var/log/auth.log var/log/closed var/log && chattr +i .",
        [root],
    );
    let wanted: Vec<String> = flags(root).into_iter().filter(|line| !line.contains(".log")).collect();
    assert!(wanted.len() >= 9, "{wanted:?}");
    drop(mount);
    golden.hide_partitions();

    let drive = make_drive(&stage.path("drive"), 128 * MIB);
    Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] }.run().assert_success();
    let mut clone = Medium::used(&stage.path("clone-medium"), 64 * MIB);
    Board { stage: &stage, drive: &drive, media: vec![("sd", &clone)] }.run().assert_success();
    clone.show_partitions();
    let mount = Mount::read_only(&clone.partition(1), &stage.path("clone"));
    assert!(
        !mount.path.join("var/log/auth.log").exists() && !mount.path.join("var/log/closed/old.log").exists()
    );
    assert_eq!(fs::metadata(mount.path.join("etc/machine-id")).unwrap().len(), 0);
    let found: Vec<String> = flags(&mount.path);
    let lost: Vec<_> =
        wanted.iter().filter(|line| !found.contains(line) && !line.ends_with("var/log/closed")).collect();
    assert!(lost.is_empty(), "{lost:?} of {wanted:?} are not in {found:?}");
    drop(mount);
    clone.hide_partitions();
}

#[test]
fn flags_of_bsdtar_are_kept_and_those_of_other_systems_reported() {
    let Some(stage) = Stage::new() else { return };
    let mut bench = Bench::new(&stage);
    // On ext4, independent of the file system of this host.
    let source = Medium::blank(&stage.path("source-medium"), 32 * MIB);
    run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), source.device.as_os_str()]);
    let mount = Mount::new(&source.device, &stage.path("source"));
    let root = &mount.path;
    rootfs::small(root, 10_000);
    fs::create_dir_all(root.join("opt/closed")).unwrap();
    fs::write(root.join("opt/closed/file"), "x").unwrap();
    shell(
        "cd \"$1\" && chattr +i opt/closed/file opt/closed && chattr +S bin/sh && chattr +a var/log",
        [root],
    );
    let wanted = flags(root);
    bench.pack("sdimage.tar", "bsdtar --fflags -C \"$1\" -cf \"$2\" --exclude ./lost+found .", &[root]);
    bench.board().run().assert_success();
    assert_eq!(bench.with_written(flags), wanted);

    // The same archive with a flag that only other systems have.
    bench.pack(
        "sdimage.tar",
        "bsdtar --fflags -C \"$1\" -cf - --exclude ./lost+found . | sed 's/SCHILY.fflags=sync/SCHILY.fflags=uchg/' > \"$2\"",
        &[root],
    );
    let run = bench.board().run();
    run.assert_success();
    assert!(
        run.console.contains("left out: 1 inode flags that Linux does not have, the first: uchg of"),
        "{}",
        run.console
    );
    unlock(root);
}
