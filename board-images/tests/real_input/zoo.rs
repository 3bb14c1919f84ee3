//! One file with each kind of metadata that a simple copy loses.

use super::tools::run;
use super::tree::path_of_bytes;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::Path;

/// Makes the zoo in the new directory `home`.
pub(crate) fn make(home: &Path) {
    fs::create_dir(home).unwrap();
    owners_and_modes(home);
    links(home);
    nodes(home);
    sparse_files(home);
    attributes(home);
    names(home);
    // Last, because everything else changes the times of directories.
    times(home);
}

fn file(home: &Path, name: &str, content: &str) -> std::path::PathBuf {
    let path = home.join(name);
    fs::write(&path, content).unwrap();
    path
}

fn owners_and_modes(home: &Path) {
    for (name, owner, group, mode) in [
        ("plain", 0, 0, 0o644),
        ("service", 103, 107, 0o640),
        // Past the 7 octal digits of a tar header.
        ("owner-of-a-namespace", 2_097_152, 2_097_153, 0o600),
        ("owner-at-the-end", 4_294_967_294, 4_000_000_000, 0o400),
        ("setuid", 0, 24, 0o4755),
        ("setgid", 1000, 8, 0o2711),
        ("no-rights", 1000, 1000, 0o000),
    ] {
        let path = file(home, name, name);
        lchown(&path, Some(owner), Some(group)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    for (name, mode) in [("sticky", 0o1777), ("setgid-directory", 0o2775), ("closed", 0o700)] {
        let path = home.join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    file(home, "empty", "");
}

fn links(home: &Path) {
    let first = file(home, "hard-1", "one file, three names");
    fs::hard_link(&first, home.join("hard-2")).unwrap();
    fs::hard_link(&first, home.join("sticky/hard-3")).unwrap();
    symlink("hard-1", home.join("link")).unwrap();
    symlink("/etc/passwd", home.join("link-absolute")).unwrap();
    symlink("../../../../../../etc/shadow", home.join("link-upwards")).unwrap();
    symlink("nowhere", home.join("link-dangling")).unwrap();
    symlink("link-loop", home.join("link-loop")).unwrap();
    symlink("x".repeat(300), home.join("link-long")).unwrap();
    lchown(home.join("link"), Some(1234), Some(2_345_678)).unwrap();
    fs::hard_link(home.join("link-dangling"), home.join("link-dangling-too")).unwrap();
}

fn nodes(home: &Path) {
    let mode = Mode::from_bits_truncate(0o620);
    for (name, kind, device) in [
        ("null", SFlag::S_IFCHR, makedev(1, 3)),
        ("large-minor", SFlag::S_IFCHR, makedev(250, 70_000)),
        ("disk", SFlag::S_IFBLK, makedev(8, 17)),
        ("fifo", SFlag::S_IFIFO, 0),
    ] {
        mknod(&home.join(name), kind, mode, device).unwrap();
    }
}

fn sparse_files(home: &Path) {
    let sparse = |name: &str, len_bytes: u64, data: &[(u64, usize)]| {
        let file = File::create(home.join(name)).unwrap();
        file.set_len(len_bytes).unwrap();
        for (at, len) in data {
            file.write_all_at(&vec![0xa5; *len], *at).unwrap();
        }
    };
    sparse("sparse-middle", 24 << 20, &[(0, 5000), ((24 << 20) - 3000, 3000)]);
    sparse("sparse-all", 16 << 20, &[]);
    sparse("sparse-end", 9_000_001, &[(0, 1)]);
    let many: Vec<_> = (0..40).map(|index| (index * (1 << 20) + (512 << 10), 4096)).collect();
    sparse("sparse-many", 41 << 20, &many);
    // Larger than the medium.
    sparse("sparse-huge", 1 << 30, &[((1 << 30) - 8192, 4096)]);
}

fn attributes(home: &Path) {
    let capable = file(home, "ping", "not a program");
    fs::set_permissions(&capable, Permissions::from_mode(0o755)).unwrap();
    run("setcap", ["cap_net_raw=ep".as_ref(), capable.as_os_str()]);
    let shared = file(home, "acl", "for user 1001");
    run("setfacl", ["-m".as_ref(), "u:1001:rw,g:3000000:r,m::rw".as_ref(), shared.as_os_str()]);
    let inherited = home.join("acl-default");
    fs::create_dir(&inherited).unwrap();
    run("setfacl", ["-m".as_ref(), "d:u:1002:rwx,d:g::rx".as_ref(), inherited.as_os_str()]);
    let marked = file(home, "xattr", "with attributes");
    xattr::set(&marked, "user.text", b"value").unwrap();
    xattr::set(&marked, "user.empty", b"").unwrap();
    xattr::set(&marked, "user.bytes", &[0, 10, 61, 255, 0]).unwrap();
    xattr::set(&marked, "user.a=b", b"equals sign in the name").unwrap();
    xattr::set(&marked, "trusted.long", &[b'x'; 2000]).unwrap();
    xattr::set(home.join("sticky"), "user.of-a-directory", b"1").unwrap();
    xattr::set(home.join("link-dangling"), "trusted.of-a-symlink", b"2").unwrap();
    xattr::set(home.join("fifo"), "trusted.of-a-fifo", b"3").unwrap();
}

fn names(home: &Path) {
    let directory = home.join("names");
    fs::create_dir(&directory).unwrap();
    for name in [
        &b"with space"[..],
        b" ",
        b"-rf",
        b"new\nline",
        b"tab\tand\\backslash",
        b"quotes'\"`$(x)",
        b"r\xc3\xa9sum\xc3\xa9",
        b"re\xcc\x81sume\xcc\x81",
        b"not-utf8-\xff\xfe\x80",
        b"\x01\x1b[31m\x7f",
        b"*?[a]",
        b"...",
        b"PaxHeaders.1",
    ] {
        fs::write(directory.join(path_of_bytes(name)), name).unwrap();
    }
    for len in [99, 100, 101, 154, 155, 156, 255] {
        fs::write(directory.join("n".repeat(len)), len.to_string()).unwrap();
    }
    let mut deep = directory;
    for level in 0..12 {
        deep = deep.join(format!("{level:_>40}"));
        fs::create_dir(&deep).unwrap();
    }
    fs::write(deep.join("leaf"), "deep").unwrap();
    symlink("names/-rf", home.join("link-to-odd-name")).unwrap();
}

fn times(home: &Path) {
    for (name, seconds, nanoseconds) in [
        ("plain", 1_234_567_890, 123_456_789),
        ("service", 2_208_988_800, 1),
        ("setuid", -315_619_200, 0),
        ("empty", 0, 999_999_999),
        ("link", 981_173_106, 7),
        ("link-dangling", 1_600_000_000, 500_000_000),
        ("null", 1_000_000_000, 1_000),
        ("names", 1_111_111_111, 111_111_111),
        ("sticky", 946_684_799, 999_999_999),
    ] {
        set_time(&home.join(name), seconds, nanoseconds);
    }
    set_time(home, 1_700_000_000, 42);
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = TimeSpec::new(seconds, nanoseconds);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
}
