//! The golden unit: a small Debian with an init, made by independent tools; and the check of its clones.

use super::devices::fingerprint;
use super::media::{self, MIB, Mounted};
use super::stage::Stage;
use super::tools::{partition, shell};
use super::tree::{self, Tree};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// SD cards of this emulator have sizes that are powers of two.
pub(crate) const LEN_BYTES: u64 = 256 * MIB;
/// Printed by a clone when the checksums of all its files are right.
pub(crate) const MARKER: &str = "CLONE IS UP: every file is right";
/// The content of every file that no clone may have.
const SECRET: &str = "golden-secret-4711-never-on-a-clone";

const INITTAB: &str = "id:2:initdefault:\nsi::sysinit:/etc/init.d/rcS\n";
/// Printed by the clone itself. `grep` would find the marker in an echo of this script, so it is put together here.
const START_SCRIPT: &str = r#"#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec </dev/console >/dev/console 2>&1
mount -t proc proc /proc
[ -d /sys/class ] || mount -t sysfs sysfs /sys
cd /
[ -s /etc/machine-id ] && echo "machine id: $(cat /etc/machine-id)"
e2fsck -V
if md5sum --quiet -c /etc/golden.md5; then
    echo "CLONE IS UP: $(uname -m)"
    echo "CLONE IS UP: every file is right"
else
    echo "CLONE IS UP, BUT WRONG"
fi
exec sleep 1000000
"#;

/// A golden system on a medium.
pub(crate) struct Golden {
    tree: Tree,
    /// The medium.
    pub(crate) medium: PathBuf,
    fingerprint: u128,
}

impl Golden {
    /// Makes it on a medium called `name`.
    pub(crate) fn new(stage: &Stage, name: &str) -> Self {
        let medium = stage.path(name);
        media::blank(&medium, LEN_BYTES);
        partition(&medium, "label: dos\nlabel-id: 0x5eed5eed\nstart=4MiB, type=83, bootable");
        media::make_ext4(&medium, "golden");
        let mounted = Mounted::read_write(&medium);
        shell("cp -a \"$1\"/. \"$2\"", [&stage.debian("root"), &mounted.path]);
        furnish(&mounted.path);
        plant_secrets(&mounted.path);
        shell(MANIFEST, [&mounted.path]);
        let tree = tree::read(&mounted.path);
        mounted.end();
        media::check(&medium);
        assert!(media::holds(&medium, SECRET));
        Self { tree, fingerprint: fingerprint(&medium), medium }
    }

    /// Fails if the golden medium has changed.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(fingerprint(&self.medium), self.fingerprint, "the golden medium was changed");
    }

    /// Fails unless the medium has all files of the golden system, each with all attributes, and none of its secrets.
    #[track_caller]
    pub(crate) fn compare(&self, clone: &Path) {
        media::check(clone);
        let mounted = Mounted::read_only(clone);
        let found = tree::read(&mounted.path);
        mounted.end();
        let differences = tree::differences(&sanitised(self.tree.clone()), &comparable(found));
        assert_eq!(differences, Vec::<String>::new());
        assert!(!media::holds(clone, SECRET), "a secret is on the clone");
    }
}

fn furnish(root: &Path) {
    let write = |path: &str, text: &str, mode: u32| {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    // Large files that only take time.
    for path in ["usr/share/locale", "usr/share/doc", "usr/share/man"] {
        fs::remove_dir_all(root.join(path)).unwrap();
    }
    write("etc/inittab", INITTAB, 0o644);
    write("etc/init.d/rcS", START_SCRIPT, 0o755);
    write("etc/hostname", "golden\n", 0o644);
    write("usr/local/zoo/a file\nof two lines", "x", 0o4751);
    fs::hard_link(root.join("etc/hostname"), root.join("usr/local/zoo/hard link")).unwrap();
    symlink("/no/such/place", root.join("usr/local/zoo/symlink")).unwrap();
    // A time beyond 32 bits with nanoseconds, large owner numbers, a hole, attributes, a device and a pipe.
    shell(
        r#"cd "$1"
        touch -d '2040-02-03 04:05:06.123456789Z' 'a file
of two lines'
        chown 70000:100000 'a file
of two lines'
        truncate -s 3M holes
        printf end >>holes
        setcap cap_net_raw+ep holes
        mknod device c 10 130
        mkfifo pipe"#,
        [root.join("usr/local/zoo")],
    );
}

fn plant_secrets(root: &Path) {
    for path in ["etc/ssh/ssh_host_rsa_key", "etc/machine-id", "var/log/syslog", "root/.bash_history"] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), format!("{SECRET}\n")).unwrap();
    }
}

/// All files that a clone has to have, for md5sum.
const MANIFEST: &str = r#"
cd "$1"
find bin sbin lib usr etc -type f ! -path etc/machine-id ! -path 'etc/ssh/*' ! -name "$(printf 'a file\nof two lines')" \
    -print0 | sort -z | xargs -0 md5sum >golden.md5
mv golden.md5 etc/golden.md5
"#;

/// The tree after sanitising.
fn sanitised(mut tree: Tree) -> Tree {
    for path in ["etc/ssh/ssh_host_rsa_key", "var/log/syslog", "root/.bash_history"] {
        assert!(tree.remove(Path::new(path)).is_some(), "{path}");
    }
    comparable(tree)
}

/// Files that a capture adds: first-boot markers, checksums, the version of the image.
const MADE: [&str; 4] = ["firstboot", "ssh_regenkeys", "md5sums.txt", "root.version-cust"];

/// Without the files and attributes that a capture changes or adds.
fn comparable(mut tree: Tree) -> Tree {
    tree.retain(|path, _| !MADE.iter().any(|name| path == Path::new(name)));
    for path in ["", "etc/machine-id", "etc/ssh", "var/log", "root", "tmp", "var/tmp", "run", "var/backups"] {
        if let Some(entry) = tree.get_mut(Path::new(path)) {
            entry.modified = (0, 0);
            if path == "etc/machine-id" {
                entry.content = None;
                entry.len_bytes = 0;
            }
        }
    }
    tree
}
