//! Programs of the system: run them, and know which are missing.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What the tests need besides root and loop devices, with the Debian package of each.
const PROGRAMS: [(&str, &str); 35] = [
    ("debootstrap", "debootstrap"),
    ("sfdisk", "fdisk"),
    ("partx", "util-linux"),
    ("losetup", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("mkfs.vfat", "dosfstools"),
    ("mcopy", "mtools"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
    ("gzip", "gzip"),
    ("bzip2", "bzip2"),
    ("zstd", "zstd"),
    ("setfacl", "acl"),
    ("setcap", "libcap2-bin"),
    ("md5sum", "coreutils"),
    ("blkid", "util-linux"),
    ("sgdisk", "gdisk"),
    ("zip", "zip"),
    ("bsdtar", "libarchive-tools"),
    ("cpio", "cpio"),
    ("qemu-img", "qemu-utils"),
    ("img2simg", "android-sdk-libsparse-utils"),
    ("mksquashfs", "squashfs-tools"),
    ("busybox", "busybox"),
    ("dash", "dash"),
    ("ssh-keygen", "openssh-client"),
    ("dropbearkey", "dropbear-bin"),
    ("systemd-analyze", "systemd"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("mkfs.xfs", "xfsprogs"),
    ("mkfs.f2fs", "f2fs-tools"),
    ("cryptsetup", "cryptsetup-bin"),
    ("pvcreate", "lvm2"),
    ("pixz", "pixz"),
];

/// Why the tests cannot run here; `None` if they can.
pub(crate) fn obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
        return Some("needs root and loop devices".to_owned());
    }
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(program, package)| format!("{program} (package {package})"))
        .collect();
    (!missing.is_empty()).then(|| format!("needs {}", missing.join(", ")))
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Runs a program and returns what it printed; panics with all it said if it fails.
#[track_caller]
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = finish(&mut command);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a shell line with `$1`, `$2`, ... set to `arguments`; a failure within a pipe counts.
#[track_caller]
pub(crate) fn shell<A: AsRef<OsStr>>(line: &str, arguments: impl IntoIterator<Item = A>) -> String {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", line, "bash"]).args(arguments);
    let output = finish(&mut command);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs sfdisk on `path` with this script.
#[track_caller]
pub(crate) fn partition(path: &Path, script: &str) {
    shell(
        "printf '%s\\n' \"$2\" | sfdisk --quiet --no-reread --no-tell-kernel \"$1\"",
        [path.as_os_str(), OsStr::new(script)],
    );
}

#[track_caller]
fn finish(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
