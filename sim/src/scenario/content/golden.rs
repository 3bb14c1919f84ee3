//! The golden root file system: a tree with everything that a capture must keep, and everything that it must remove.
//!
//! Each entry has its expected fate, so that the expectation after a capture does not depend on the engine's own
//! rules. The content of everything to be removed carries a marker, some of it only in free blocks.

use super::areas;
use super::secrets::Secrets;
use crate::model::hardware::content::{Entry, FileSystemContent, Node, stamped};
use crate::model::hardware::simfs::Kind;
use crate::scenario::composition::{FateSpec, PartFile};
use replicator_hal::{InodeFlags, Timestamp};

/// Length limit of the content of a file that is given by its length only.
const FILLER_LEN_MAX_BYTES: u64 = 64 << 20;

/// Secrets of every root file system that the default rules remove, apart from the machine id and the logs.
pub(super) const SECRET_PATHS: [&str; 18] = [
    "etc/ssh/ssh_host_rsa_key",
    "etc/ssh/ssh_host_rsa_key.pub",
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "root/.bash_history",
    "root/.viminfo",
    "root/.ssh/known_hosts",
    "home/user/.python_history",
    "tmp/session.lock",
    "var/tmp/build.log",
    "var/backups/shadow.bak",
    "var/cache/apt/archives/tool_1.0_armhf.deb",
    "var/cache/apt/pkgcache.bin",
    "var/lib/apt/lists/mirror_Packages",
    "var/lib/dhcp/dhclient.eth0.leases",
    "run/daemon.pid",
];

/// What a capture must do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays unchanged.
    Kept,
    /// It is removed.
    Removed,
    /// Its content is removed.
    Emptied,
    /// Its content behind the header page is cleared, and its length stays.
    Cleared,
}

/// One entry and its fate.
#[derive(Debug, Clone)]
pub struct GoldenEntry {
    /// The entry.
    pub entry: Entry,
    /// What a capture must do with it.
    pub fate: Fate,
}

/// The tree of a file system.
#[derive(Debug, Clone, Default)]
pub struct Golden {
    /// All entries, parents first.
    pub entries: Vec<GoldenEntry>,
    /// Files that were removed before the scenario begins.
    deleted: Vec<Entry>,
}

pub(super) struct Builder {
    entries: Vec<GoldenEntry>,
    deleted: Vec<Entry>,
    secrets: Secrets,
}

impl Builder {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self { entries: Vec::new(), deleted: Vec::new(), secrets }
    }

    pub(super) fn finish(self) -> Golden {
        Golden { entries: self.entries, deleted: self.deleted }
    }

    fn add(&mut self, fate: Fate, entry: Entry) {
        self.entries.push(GoldenEntry { entry, fate });
    }

    pub(super) fn keep(&mut self, entry: Entry) {
        self.add(Fate::Kept, entry);
    }

    fn secret_entry(&mut self, path: &str) -> Entry {
        Entry::file(path, self.secrets.content(path)).mode(0o600)
    }

    /// A secret that no rule names: it stays, and is reported.
    pub(super) fn kept_secret(&mut self, path: &str) {
        let entry = self.secret_entry(path);
        self.keep(entry);
    }

    pub(super) fn secret(&mut self, path: &str) {
        let entry = self.secret_entry(path);
        self.add(Fate::Removed, entry);
    }
}

fn at(seconds: i64, nanos: u32) -> Timestamp {
    Timestamp { seconds, nanos }
}

fn dated(mut entry: Entry, modified: Timestamp) -> Entry {
    entry.modified = modified;
    entry
}

impl Golden {
    /// The tree of a root file system. With `var_log_link`, `/var/log` is a symlink with this text, and the logs are
    /// in `/data/log`.
    pub(super) fn rootfs(secrets: Secrets, var_log_link: Option<&str>, fstab: Option<&str>) -> Builder {
        let mut builder = Builder::new(secrets);
        skeleton(&mut builder);
        programs(&mut builder);
        odd_files(&mut builder);
        configuration(&mut builder, fstab);
        secrets_of_rules(&mut builder);
        logs(&mut builder, var_log_link);
        for path in ["root/deleted-before.key", "var/lib/deleted-before.db"] {
            let entry = builder.secret_entry(path);
            builder.deleted.push(entry);
        }
        builder
    }

    /// The file system with the tree in it.
    pub fn file_system(&self) -> FileSystemContent {
        self.file_system_of(Kind::Ext4)
    }

    /// The same with another kind.
    pub fn file_system_of(&self, kind: Kind) -> FileSystemContent {
        let entries = self.entries.iter().map(|golden| golden.entry.clone()).collect();
        FileSystemContent { removed: self.deleted.clone(), ..FileSystemContent::new(kind, entries) }
    }

    /// Files that were removed before the scenario begins: their bytes are in free blocks.
    pub fn deleted(&self) -> &[Entry] {
        &self.deleted
    }
}

impl Builder {
    /// Adds a file that the scenario lists.
    pub(super) fn listed(&mut self, file: &PartFile) {
        for number in 0..file.count.unwrap_or(1) {
            let path = match file.count {
                Some(_) => format!("{}{number}", file.path),
                None => file.path.clone(),
            };
            let mut entry = match (&file.text, &file.link, file.len) {
                _ if file.secret => self.secret_entry(&path),
                (.., len) if file.swap => {
                    let len_bytes = len.map_or(0, |len| len.0.min(FILLER_LEN_MAX_BYTES));
                    Entry::file(&path, areas::swap_file(len_bytes, &mut self.secrets)).mode(0o600)
                }
                (Some(text), ..) => Entry::file(&path, text.as_bytes()),
                (_, Some(text), _) => Entry::symlink(&path, text),
                (.., Some(len)) => Entry::file(&path, stamped(&path, 0, len.0.min(FILLER_LEN_MAX_BYTES))),
                _ if file.directory => Entry::directory(&path),
                _ => Entry::file(&path, ""),
            };
            entry.mode = file.mode.unwrap_or(entry.mode);
            if let Some((uid, gid)) = file.owner {
                entry = entry.owner(uid, gid);
            }
            if let Some(seconds) = file.modified {
                entry.modified.seconds = seconds;
            }
            // An unknown letter was refused when the scenario was read.
            entry = entry.flags(file.inode_flags().unwrap_or(InodeFlags::none()));
            for (name, value) in &file.xattrs {
                entry = entry.xattr(name, value.as_bytes());
            }
            let fate = match file.fate {
                Some(FateSpec::Kept) => Fate::Kept,
                Some(FateSpec::Removed) => Fate::Removed,
                Some(FateSpec::Emptied) => Fate::Emptied,
                None if file.secret => Fate::Removed,
                None if file.swap => Fate::Cleared,
                None => Fate::Kept,
            };
            match file.deleted {
                true => self.deleted.push(entry),
                // An entry that the tree already has is replaced.
                false => {
                    self.entries.retain(|golden| golden.entry.path != path || file.directory);
                    self.add(fate, entry);
                }
            }
        }
    }
}

fn skeleton(builder: &mut Builder) {
    for (path, mode) in [
        ("etc", 0o755),
        ("usr", 0o755),
        ("usr/bin", 0o755),
        ("usr/lib", 0o755),
        ("var", 0o755),
        ("var/lib", 0o755),
        ("root", 0o700),
        ("home", 0o755),
        ("tmp", 0o1777),
        ("var/tmp", 0o1777),
        ("run", 0o755),
        ("dev", 0o755),
        ("srv", 0o755),
        ("data", 0o755),
        ("data/log", 0o755),
    ] {
        builder.keep(Entry::directory(path).mode(mode));
    }
    builder.keep(Entry::directory("home/user").mode(0o750).owner(1000, 1000));
    builder.keep(Entry::symlink("bin", "usr/bin"));
    builder.keep(Entry::symlink("lib", "usr/lib"));
    builder.keep(Entry::directory("usr/lib/empty").mode(0o2750).owner(0, 50));
    // Long enough to cover the ranges where scenarios break media.
    builder.keep(Entry::file("usr/lib/filler.bin", stamped("filler", 0, 300 << 10)));
}

fn programs(builder: &mut Builder) {
    let program = |path: &str, mode| Entry::file(path, stamped(path, 0, 5000)).mode(mode);
    // The attribute is one of all its names.
    builder.keep(program("usr/bin/busybox", 0o755).xattr("user.origin", b"one file"));
    builder.keep(Entry::node("usr/bin/[", Node::HardLink("usr/bin/busybox".into())));
    builder.keep(Entry::node("usr/bin/sh", Node::HardLink("usr/bin/busybox".into())));
    builder.keep(program("usr/bin/su", 0o4755));
    builder.keep(program("usr/bin/wall", 0o2755).owner(0, 5));
    let capability = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    builder.keep(program("usr/bin/ping", 0o755).xattr("security.capability", capability));
    builder.keep(Entry::node("dev/console", Node::CharDevice(5, 1)).mode(0o600));
    builder.keep(Entry::node("dev/mmcblk0p1", Node::BlockDevice(179, 1)).mode(0o660).owner(0, 6));
    builder.keep(Entry::node("dev/initctl", Node::Fifo).mode(0o600));
}

fn odd_files(builder: &mut Builder) {
    // More than 2^21, which an octal field of a tar header cannot hold.
    builder.keep(Entry::file("srv/far-owner", "far\n").owner(3_000_000, 4_000_000_000));
    builder
        .keep(Entry::node("srv/sparse.img", Node::Sparse(1 << 20, b"the end of the sparse file".to_vec())));
    builder.keep(Entry::file("srv/empty", ""));
    builder.keep(
        Entry::file("srv/not-dumped", "x\n").flags(InodeFlags::NO_DUMP.with(InodeFlags::NO_ACCESS_TIME)),
    );
    builder.keep(Entry::file("srv/locked/inside", "as delivered\n").flags(InodeFlags::IMMUTABLE));
    builder.keep(Entry::directory("srv/locked").flags(InodeFlags::IMMUTABLE));
    builder.keep(Entry::file("srv/nobody", "mode 0\n").mode(0));
    builder.keep(dated(Entry::file("srv/nanoseconds", "ns\n"), at(1_700_000_000, 123_456_789)));
    builder.keep(dated(Entry::file("srv/before-1970", "old\n"), at(-86_400, 500_000_000)));
    builder.keep(dated(Entry::file("srv/after-2038", "new\n"), at(4_102_444_800, 1)));
    let acl = b"\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\xe8\x03\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff";
    builder.keep(Entry::file("srv/acl", "acl\n").xattr("system.posix_acl_access", acl));
    builder.keep(Entry::directory("srv/acl-directory").xattr("system.posix_acl_default", acl));
    builder.keep(
        Entry::file("srv/attributes", "x\n")
            .xattr("user.note", b"line\nwith=odd\0bytes")
            .xattr("user.empty", b""),
    );
    for name in [
        "with space",
        "new\nline",
        "\u{fc}n\u{ef}code",
        "-dash",
        "back\\slash",
        "star*",
        "tilde~",
        "tab\there",
    ] {
        builder.keep(Entry::file(&format!("srv/odd/{name}"), name.as_bytes()));
    }
    builder.keep(Entry::file(&format!("srv/odd/{}", "n".repeat(200)), "long name\n"));
    let deep = (0..12).map(|level| format!("directory-level-{level:02}")).collect::<Vec<_>>().join("/");
    builder.keep(Entry::file(&format!("srv/{deep}/file"), "deep\n"));
    builder.keep(Entry::symlink("srv/dangling", "/nowhere/at/all"));
    builder.keep(Entry::symlink("srv/long-link", &format!("/{}", "target/".repeat(30))));
    builder.keep(Entry::symlink("srv/loop", "loop"));
}

fn configuration(builder: &mut Builder, fstab: Option<&str>) {
    let fstab = fstab.unwrap_or("/dev/mmcblk0p1 / ext4 defaults 0 1\n");
    for (path, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/fstab", fstab),
        ("etc/hostname", "golden\n"),
        ("etc/ssh/sshd_config", "PermitRootLogin no\n"),
        ("etc/ssh/moduli", "# moduli\n"),
        ("var/lib/dpkg/status", "Package: base-files\n"),
    ] {
        builder.keep(Entry::file(path, text));
    }
    builder.keep(Entry::file("etc/shadow", "root:*:19000:0:99999:7:::\n").mode(0o640).owner(0, 42));
    builder.keep(Entry::directory("root/.ssh").mode(0o700));
    builder.keep(Entry::file("root/.ssh/authorized_keys", "ssh-ed25519 AAAA support\n").mode(0o600));
    builder.keep(Entry::file("data/settings.ini", "[product]\n"));
}

fn secrets_of_rules(builder: &mut Builder) {
    let id = builder.secret_entry("etc/machine-id").mode(0o444).flags(InodeFlags::IMMUTABLE);
    builder.add(Fate::Emptied, id);
    for path in SECRET_PATHS {
        builder.secret(path);
    }
    builder.add(Fate::Removed, Entry::directory("tmp/nested"));
    builder.secret("tmp/nested/deeper.txt");
    builder.add(Fate::Removed, Entry::symlink("tmp/to-etc", "/etc"));
}

fn logs(builder: &mut Builder, var_log_link: Option<&str>) {
    let directory = match var_log_link {
        Some(text) => {
            builder.keep(Entry::symlink("var/log", text));
            "data/log"
        }
        None => {
            builder.keep(Entry::directory("var/log"));
            builder.keep(Entry::file("data/log/of-the-product", "data, not a log of the system\n"));
            "var/log"
        }
    };
    // A log that is append-only, in a directory that is append-only.
    builder.keep(Entry::directory(&format!("{directory}/apt")).owner(0, 4).flags(InodeFlags::APPEND_ONLY));
    builder.secret(&format!("{directory}/syslog"));
    let history = builder.secret_entry(&format!("{directory}/apt/history.log"));
    builder.add(Fate::Removed, history.flags(InodeFlags::APPEND_ONLY));
    builder.add(Fate::Removed, Entry::symlink(&format!("{directory}/to-config"), "/etc/ssh/sshd_config"));
    if var_log_link.is_none() {
        builder.keep(Entry::directory("var/log/journal"));
        builder.add(Fate::Removed, Entry::directory("var/log/journal/0123456789abcdef"));
        builder.secret("var/log/journal/0123456789abcdef/system.journal");
    }
}
