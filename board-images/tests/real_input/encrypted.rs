//! A tarball cannot hold directories that ext4 encrypts (fscrypt): the medium becomes a disk image, and the result states the
//! reason. If the kernel lacks the key, neither the rules nor the search for private keys fail.

use super::tools::run;
use super::workshop::{MIB, Workshop, python};
use std::fs;
use std::path::Path;

/// Error of Linux for files in encrypted directories without the key.
const ENOKEY: i32 = 126;

/// Adds a key of zeros to the file system that is mounted at the first argument, and encrypts the empty directories of the
/// other arguments (`FS_IOC_ADD_ENCRYPTION_KEY`, `FS_IOC_SET_ENCRYPTION_POLICY` of linux/fscrypt.h).
const ENCRYPT: &str = r"
import fcntl, os, struct, sys
mount = os.open(sys.argv[1], os.O_RDONLY)
# struct fscrypt_add_key_arg: a specifier of type 2, whose identifier the kernel fills in, and 64 bytes of key.
key = bytearray(struct.pack('=II32s', 2, 0, b'') + struct.pack('=II32s', 64, 0, b'') + bytes(64))
fcntl.ioctl(mount, (3 << 30) | (80 << 16) | (ord('f') << 8) | 23, key, True)
identifier = bytes(key[8:24])
# struct fscrypt_policy_v2: AES-256-XTS for contents, AES-256-CTS for names, names padded to 32.
policy = struct.pack('=BBBB4s16s', 2, 1, 4, 3, b'', identifier)
for path in sys.argv[2:]:
    directory = os.open(path, os.O_RDONLY)
    fcntl.ioctl(directory, (2 << 30) | (12 << 16) | (ord('f') << 8) | 19, policy)
";

fn encrypt(root: &Path, names: &[&str]) {
    let directories: Vec<_> = names.iter().map(|name| root.join(name)).collect();
    for directory in &directories {
        fs::create_dir_all(directory).unwrap();
    }
    let arguments: Vec<_> = std::iter::once(root.to_owned()).chain(directories).collect();
    python(ENCRYPT, &arguments);
}

#[test]
fn a_medium_with_encrypted_directories_becomes_a_disk_image() {
    let Some(workshop) = Workshop::new(128 * MIB) else { return };
    // A directory that no rule names; one that a rule empties; one in which a rule removes files by name.
    let names = ["home/user/vault", "var/log/closed", "etc/ssh"];
    let mut golden = workshop.golden(64 * MIB, &["-Oencrypt", "-b4096"], |root| {
        encrypt(root, &names);
        for name in names {
            fs::write(root.join(name).join("id_rsa"), "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n").unwrap();
            fs::create_dir(root.join(name).join("deep")).unwrap();
            fs::write(root.join(name).join("deep/ssh_host_rsa_key"), "x".repeat(9000)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "user:x:1000:1000::/home/user:/bin/sh\n").unwrap();
    });
    workshop.clear("");
    let run = workshop.run("ext4", &golden);
    run.assert_success();
    let note = "captured as a disk image: a tarball cannot hold all files: /";
    let why = "is encrypted by its file system (fscrypt)";
    let untouched = "encrypted by the file system, so not sanitised and not searched for private keys: /etc/ssh /home/user/vault";
    for wanted in [note, why, untouched] {
        assert!(run.console.contains(wanted) && run.report.to_string().contains(wanted), "{}", run.console);
    }
    assert!(!workshop.has_tarball());

    // The key of the golden medium opens the clone.
    let mut medium = workshop.used(64 * MIB);
    workshop.run("ext4", &medium).assert_success();
    let locked = |root: &Path| {
        let vault = root.join("home/user/vault");
        let file =
            fs::read_dir(&vault).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_file());
        let error = fs::read(file.unwrap()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(ENOKEY), "{error}");
    };
    workshop.with_written(&mut medium, |root, features| {
        assert!(features.contains("encrypt"), "{features}");
        locked(root);
        encrypt_again(root);
        let key = fs::read_to_string(root.join("home/user/vault/id_rsa")).unwrap();
        assert!(key.starts_with("-----BEGIN"), "{key}");
        assert!(!root.join("var/log/closed/id_rsa").exists(), "logs are removed without their key");
    });
    golden.show_partitions();
    run_e2fsck(&golden.partition(1));
}

/// Only adds the key.
fn encrypt_again(root: &Path) {
    python(ENCRYPT, &[root.to_owned()]);
}

fn run_e2fsck(device: &Path) {
    run("e2fsck", ["-fn".as_ref(), device.as_os_str()]);
}
