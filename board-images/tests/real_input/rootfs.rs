//! Root file systems: a real Debian, and a small one for runs that fail.

use super::stage::skip;
use super::tools::{run, shell};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A tarball of Debian's minimal system; made by debootstrap the first time. `None`, and a line that says why, if it
/// cannot be had.
pub(crate) fn debian() -> Option<PathBuf> {
    let cache = std::env::var_os("REPLICATOR_CACHE")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"), PathBuf::from);
    fs::create_dir_all(&cache).unwrap();
    let tarball = cache.join("debian-bookworm-minbase.tar");
    if tarball.exists() {
        return Some(tarball);
    }
    let scratch = tempfile::Builder::new().prefix("debootstrap-").tempdir_in(&cache).unwrap();
    let root = scratch.path().join("root");
    let mut command = Command::new("debootstrap");
    command.args(["--variant=minbase", "bookworm"]).arg(&root);
    // A system behind a mirror of its own knows a better one than debootstrap's default.
    command.args(first_apt_uri());
    let output = command.stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        skip(&format!("debootstrap failed: {}", String::from_utf8_lossy(&output.stdout)));
        return None;
    }
    let unfinished = scratch.path().join("tar");
    shell(
        "tar --numeric-owner --xattrs --acls --one-file-system -C \"$1\" -cf \"$2\" .",
        [&root, &unfinished],
    );
    fs::rename(unfinished, &tarball).unwrap();
    Some(tarball)
}

/// The first package source of this system, if it is Debian.
fn first_apt_uri() -> Option<String> {
    let os = fs::read_to_string("/etc/os-release").ok()?;
    if !os.lines().any(|line| line == "ID=debian") {
        return None;
    }
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).find_map(|text| {
        text.lines().find_map(|line| {
            let uri = line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb "))?;
            uri.split_whitespace().find(|word| word.contains("://")).map(str::to_owned)
        })
    })
}

/// Unpacks the tarball of [`debian`].
pub(crate) fn unpack(tarball: &Path, root: &Path) {
    run(
        "tar",
        [
            "--numeric-owner".as_ref(),
            "--xattrs".as_ref(),
            "--xattrs-include=*".as_ref(),
            "--acls".as_ref(),
            "-C".as_ref(),
            root.as_os_str(),
            "-xpf".as_ref(),
            tarball.as_os_str(),
        ],
    );
}

/// What is enough to be taken for a Linux root file system, and `ballast_len_bytes` that do not compress.
pub(crate) fn small(root: &Path, ballast_len_bytes: u64) {
    for directory in ["etc", "usr/bin", "bin", "var/log", "tmp", "root"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("etc/os-release"), "ID=test\n").unwrap();
    fs::write(root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::write(root.join("bin/sh"), "#!").unwrap();
    shell(
        "head -c \"$2\" /dev/urandom > \"$1\"",
        [root.join("usr/ballast").as_os_str(), ballast_len_bytes.to_string().as_ref()],
    );
}
