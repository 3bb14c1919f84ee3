//! The script that makes host keys at the first boot: which keys, of which kind, for which server.
//!
//! It runs under any POSIX shell. A key gets its name when it is complete and durable, so that a power cut leaves no
//! partial key. After a power cut the next boot runs the script again.

use crate::formats::base64;
use crate::shell::quoted;

/// So many first bytes of a private key show its kind.
pub(super) const START_LEN_BYTES: usize = 512;
/// The magic of a key in OpenSSH's own format. The public key, which begins with the kind, follows.
const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";

/// The script up to the function that makes a key.
const SCRIPT_START: &str = "#!/bin/sh
# Makes the SSH host keys of this unit, once. The keys of the captured unit were removed.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
failed=

# make SERVER KIND FILE: makes a key that is not there.
make() {
    [ ! -s \"$3\" ] || return 0
    mkdir -p \"${3%/*}\" || return 1
    rm -f \"$3.new\" \"$3.new.pub\" || return 1
    if [ \"$1\" = dropbear ] || ! command -v ssh-keygen >/dev/null 2>&1; then
        dropbearkey -t \"$2\" -f \"$3.new\" >/dev/null || return 1
    else
        ssh-keygen -q -t \"$2\" -N '' -f \"$3.new\" </dev/null || return 1
    fi
    [ -s \"$3.new\" ] || return 1
    sync
    if [ -e \"$3.new.pub\" ]; then mv -f \"$3.new.pub\" \"$3.pub\" || return 1; fi
    mv -f \"$3.new\" \"$3\"
}

";

/// The script between the keys and the removal.
const SCRIPT_END: &str = "
if [ -n \"$failed\" ]; then
    echo \"replicator-host-keys: cannot make$failed; the next boot tries again\" >&2
    exit 1
fi
sync
";

/// A key to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// From the root, without a leading slash.
    path: String,
    /// The argument `-t` of ssh-keygen and dropbearkey.
    kind: &'static str,
    is_dropbears: bool,
}

impl Wanted {
    /// For the key at `path` with this start of its content; `None` if no current server accepts such a key. If the
    /// content does not show the kind, the name decides.
    pub(super) fn of(path: &str, content: &[u8]) -> Option<Self> {
        let lower = path.to_lowercase();
        let (is_dropbears, kind) = match of_content(content) {
            Some((is_dropbears, kind)) => (is_dropbears, kind),
            None => (lower.contains("dropbear"), of_name(&lower)),
        };
        kind.map(|kind| Self { path: path.to_owned(), kind, is_dropbears })
    }

    /// Where the key lies, without a leading slash.
    pub(super) fn directory(&self) -> Option<&str> {
        self.path.rsplit_once('/').map(|(directory, _)| directory)
    }
}

/// The kind of key that a name suggests.
fn of_name(lower: &str) -> Option<&'static str> {
    match () {
        () if lower.contains("ed25519") => Some("ed25519"),
        () if lower.contains("ecdsa") => Some("ecdsa"),
        () if lower.contains("dsa_") || lower.contains("dss") || lower == "etc/ssh/ssh_host_key" => None,
        () => Some("rsa"),
    }
}

/// Whether a private key has dropbear's format, and its kind; `None` if it is unknown.
fn of_content(content: &[u8]) -> Option<(bool, Option<&'static str>)> {
    // Dropbear: the length of the kind's name, and the name.
    if let Some(rest) = content.strip_prefix(b"\0\0\0") {
        let (len, name) = rest.split_first()?;
        return of_algorithm(name.get(..usize::from(*len))?).map(|kind| (true, kind));
    }
    let text = content.strip_prefix(b"-----BEGIN ")?;
    for (start, kind) in [(&b"RSA "[..], Some("rsa")), (b"EC ", Some("ecdsa")), (b"DSA ", None)] {
        if text.starts_with(start) {
            return Some((false, kind));
        }
    }
    let body = text.strip_prefix(b"OPENSSH PRIVATE KEY-----")?;
    let bytes = base64::decode_start(body);
    let mut rest = bytes.strip_prefix(OPENSSH_MAGIC)?;
    for _cipher_and_derivation in 0..3 {
        (_, rest) = string(rest)?;
    }
    // A number of keys, the length of the first, and its kind.
    let (kind, _) = string(rest.get(8..)?)?;
    of_algorithm(kind).map(|kind| (false, kind))
}

/// A string of ssh's encoding, and the rest.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}

/// The argument for `-t`; `Some(None)` for a kind that no current server accepts.
fn of_algorithm(name: &[u8]) -> Option<Option<&'static str>> {
    match name {
        b"ssh-ed25519" => Some(Some("ed25519")),
        b"ssh-rsa" => Some(Some("rsa")),
        b"ssh-dss" => Some(None),
        _ if name.starts_with(b"ecdsa-sha2-") => Some(Some("ecdsa")),
        _ => None,
    }
}

/// The script that makes `keys` and then removes `files`, its own among them.
pub(super) fn script(keys: &[Wanted], files: &[String]) -> String {
    let mut text = SCRIPT_START.to_owned();
    for key in keys {
        let server = if key.is_dropbears { "dropbear" } else { "openssh" };
        let path = quoted(&format!("/{}", key.path));
        text.push_str(&format!("make {server} {} {path} || failed=\"$failed \"{path}\n", key.kind));
    }
    text.push_str(SCRIPT_END);
    let files: Vec<String> = files.iter().map(|file| quoted(&format!("/{file}"))).collect();
    text.push_str(&format!("rm -f {}\n", files.join(" ")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: &str, content: &[u8]) -> Option<(bool, &'static str)> {
        Wanted::of(path, content).map(|wanted| (wanted.is_dropbears, wanted.kind))
    }

    #[test]
    fn the_content_shows_the_kind_else_the_name_does() {
        assert_eq!(wanted("etc/ssh/ssh_host_ed25519_key", b"?"), Some((false, "ed25519")));
        assert_eq!(wanted("etc/dropbear/dropbear_ecdsa_host_key", &[]), Some((true, "ecdsa")));
        assert_eq!(wanted("etc/dropbear/dropbear_dss_host_key", &[]), None);
        assert_eq!(wanted("etc/ssh/ssh_host_dsa_key", &[]), None);
        assert_eq!(wanted("etc/ssh/ssh_host_key", &[]), None);
        assert_eq!(wanted("data/ssh_host_key", &[]), Some((false, "rsa")));
        assert_eq!(wanted("data/key", b"\0\0\0\x0bssh-ed25519\0\0\0@"), Some((true, "ed25519")));
        assert_eq!(wanted("data/key", b"\0\0\0\x13ecdsa-sha2-nistp256"), Some((true, "ecdsa")));
        assert_eq!(wanted("data/dropbear", b"-----BEGIN EC PRIVATE KEY-----\n"), Some((false, "ecdsa")));
        assert_eq!(wanted("etc/ssh/ssh_host_rsa_key", b"-----BEGIN DSA PRIVATE KEY-----"), None);
        let openssh = b"-----BEGIN OPENSSH PRIVATE KEY-----\n\
            b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZWQyNTUxOQAAACA";
        assert_eq!(wanted("data/key", openssh), Some((false, "ed25519")));
        for cut in 0..openssh.len() {
            assert!(matches!(wanted("data/key", &openssh[..cut]), Some((false, "rsa" | "ed25519"))));
        }
    }

    #[test]
    fn the_script_makes_each_key_and_then_removes_itself() {
        let keys: Vec<Wanted> = ["etc/ssh/ssh_host_rsa_key", "data/it's_ed25519", "etc/ssh/ssh_host_dsa_key"]
            .iter()
            .filter_map(|path| Wanted::of(path, &[]))
            .collect();
        let text = script(&keys, &["etc/replicator-host-keys".to_owned()]);
        let made: Vec<&str> = text.lines().filter(|line| line.starts_with("make ")).collect();
        assert_eq!(
            made,
            [
                "make openssh rsa '/etc/ssh/ssh_host_rsa_key' || failed=\"$failed \"'/etc/ssh/ssh_host_rsa_key'",
                r#"make openssh ed25519 '/data/it'\''s_ed25519' || failed="$failed "'/data/it'\''s_ed25519'"#,
            ]
        );
        assert_eq!(text.lines().last(), Some("rm -f '/etc/replicator-host-keys'"));
    }
}
