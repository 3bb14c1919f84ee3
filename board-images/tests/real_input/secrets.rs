//! Files with known bytes that must not be cloned; some are deleted before the capture.

use std::fs;
use std::path::Path;

/// Every secret starts with this text.
const MARK: &str = "SECRET-OF-THE-GOLDEN-BOARD";

/// Files that sanitising removes or empties.
const FILES: [&str; 12] = [
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_rsa_key",
    "etc/ssh/ssh_host_rsa_key.pub",
    "etc/machine-id",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/log/auth.log",
    "var/log/journal/0123456789abcdef0123456789abcdef/system.journal",
    "var/backups/shadow.bak",
    "var/cache/apt/archives/secret_1.0_all.deb",
    "tmp/session",
    "root/.bash_history",
];

/// Puts the secrets into the root file system at `root`.
pub(crate) fn plant(root: &Path) {
    for (index, name) in FILES.iter().enumerate() {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // The machine id of D-Bus is often a symlink; here it is a file.
        drop(fs::remove_file(&path));
        fs::write(path, format!("{MARK}-{index}\n").repeat(600)).unwrap();
    }
}

/// Puts secrets into files, syncs, and deletes the files: the bytes stay in free blocks.
pub(crate) fn plant_deleted(root: &Path) {
    let home = root.join("home/gone");
    fs::create_dir_all(&home).unwrap();
    for index in 0..40 {
        fs::write(home.join(format!("key-{index}")), format!("{MARK}-DELETED-{index}\n").repeat(4000))
            .unwrap();
    }
    nix::unistd::syncfs(fs::File::open(root).unwrap()).unwrap();
    fs::remove_dir_all(home).unwrap();
}

/// Secrets, line by line, in `len_bytes` bytes.
pub(crate) fn text(len_bytes: usize) -> Vec<u8> {
    format!("{MARK}-TEXT\n").into_bytes().into_iter().cycle().take(len_bytes).collect()
}

/// The number of secrets in the bytes of `reader`.
pub(crate) fn count(mut reader: impl std::io::Read) -> usize {
    let finder = memchr::memmem::Finder::new(MARK);
    let overlap = MARK.len() - 1;
    let mut buffer = vec![0; 1 << 20];
    let (mut kept, mut found) = (0, 0);
    loop {
        let len = reader.read(&mut buffer[kept..]).unwrap();
        if len == 0 {
            return found;
        }
        let filled = kept + len;
        found += finder.find_iter(&buffer[..filled]).count();
        kept = filled.min(overlap);
        buffer.copy_within(filled - kept..filled, 0);
    }
}

#[test]
fn a_secret_across_two_reads_is_counted_once() {
    let bytes = format!("{}{MARK}x{MARK}", "-".repeat((1 << 20) - 7));
    assert_eq!(count(bytes.as_bytes()), 2);
    assert_eq!(count(&b"SECRET-OF-THE-GOLDEN"[..]), 0);
}
