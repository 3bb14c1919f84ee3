//! Private keys that no rule names. They belong to the product or to a user, so they stay in the image, and the report
//! lists them. It also lists the directories that could not be searched.

use crate::printable::Few;
use replicator_hal::RelativePath;

/// How much of a file is searched.
pub(super) const LOOKED_AT_BYTES: usize = 64 * 1024;

/// Files that stay in the image and may be secrets.
#[derive(Debug, Default)]
pub(super) struct PrivateKeys {
    paths: Few,
    /// Directories whose files could not be read.
    locked: Few,
    /// The last one of them.
    last_locked: String,
}

impl PrivateKeys {
    /// Searches the first bytes of a file.
    pub(super) fn look(&mut self, path: &RelativePath, start: &[u8]) {
        let start = &start[..start.len().min(LOOKED_AT_BYTES)];
        if !is_documentation(path) && start.split(|byte| *byte == b'\n').any(begins_key) {
            self.paths.push(format!("/{path}"));
        }
    }

    /// A file could not be read because `top` is encrypted by its file system and the key is missing. File names in `top`
    /// are encrypted too, so no rule matched them. Files below one directory come one after the other.
    pub(super) fn is_below_locked(&mut self, top: &RelativePath) {
        let top = format!("/{top}");
        if self.last_locked != top {
            self.locked.push(top.clone());
            self.last_locked = top;
        }
    }

    /// The lines for the report.
    pub(super) fn notes(&self) -> Vec<String> {
        let lines = [
            (&self.paths, "private keys stay in the image"),
            (
                &self.locked,
                "encrypted by the file system, so not sanitised and not searched for private keys",
            ),
        ];
        let line = |(paths, what): (&Few, &str)| paths.line(" ").map(|paths| format!("{what}: {paths}"));
        lines.into_iter().filter_map(line).collect()
    }
}

/// Whether a private key begins with this line: PEM, OpenSSH, PuTTY, or a setting of WireGuard.
fn begins_key(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let is_pem = line.starts_with(b"-----BEGIN ")
        && (line.ends_with(b"PRIVATE KEY-----") || line.ends_with(b"PRIVATE KEY BLOCK-----"));
    let setting = line.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii_end();
    let is_setting = line.contains(&b'=') && line.len() >= 44;
    is_pem
        || line.starts_with(b"PuTTY-User-Key-File-")
        || (is_setting && (setting == b"PrivateKey" || setting == b"private-key"))
}

/// Keys in examples and tests of programs are not secret.
fn is_documentation(path: &RelativePath) -> bool {
    let text = path.to_string();
    ["usr/share/", "usr/lib/python", "usr/local/lib/python"].iter().any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_listed_and_other_files_are_not() {
        let mut keys = PrivateKeys::default();
        let mut look =
            |path: &str, text: &str| keys.look(&RelativePath::parse(path).unwrap(), text.as_bytes());
        look("root/.ssh/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n");
        look("etc/ssl/private/a.key", "cert first\n-----BEGIN PRIVATE KEY-----\r\n");
        look(
            "etc/wireguard/wg0.conf",
            "[Interface]\nPrivateKey = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=\n",
        );
        look("root/key.ppk", "PuTTY-User-Key-File-3: ssh-ed25519\n");
        look("usr/share/doc/x/key.pem", "-----BEGIN PRIVATE KEY-----\n");
        look("etc/ssl/certs/a.pem", "-----BEGIN CERTIFICATE-----\n");
        look("usr/bin/tool", "\x7fELF -----BEGIN PRIVATE KEY-----\n");
        look("etc/app.conf", "PrivateKeyFile = /etc/ssl/private/a.key\n");
        assert_eq!(
            keys.notes(),
            ["private keys stay in the image: /root/.ssh/id_ed25519 /etc/ssl/private/a.key \
              /etc/wireguard/wg0.conf /root/key.ppk"]
        );
        assert_eq!(PrivateKeys::default().notes(), Vec::<String>::new());
        for top in ["home/u/vault", "etc/ssh", "etc/ssh"] {
            keys.is_below_locked(&RelativePath::parse(top).unwrap());
        }
        assert_eq!(
            keys.notes()[1],
            "encrypted by the file system, so not sanitised and not searched for private keys: /home/u/vault /etc/ssh"
        );
    }
}
