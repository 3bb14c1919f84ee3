//! What makes the host keys of a clone at its first boot, for systems that have nothing of their own.
//!
//! A script makes each key that was removed and is not there, and then removes itself. It is started by a unit, or by an
//! init script of the kind that the system has.

use super::super::{rootfs, work};
use super::host_keys::HostKey;
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{self as hal, FileKind, RelativePath, Volume};

const SCRIPT: &str = "etc/replicator-host-keys";
const UNIT: &str = "etc/systemd/system/replicator-host-keys.service";
const WANTED: &str = "etc/systemd/system/multi-user.target.wants/replicator-host-keys.service";
const INIT_SCRIPT: &str = "etc/init.d/replicator-host-keys";

const UNIT_TEXT: &str = "[Unit]
Description=Make the SSH host keys of this unit
DefaultDependencies=no
After=local-fs.target systemd-remount-fs.service
Before=ssh.service sshd.service ssh.socket sshd.socket dropbear.service dropbear.socket
ConditionFileIsExecutable=/etc/replicator-host-keys

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/etc/replicator-host-keys

[Install]
WantedBy=multi-user.target
";

const INIT_SCRIPT_TEXT: &str = "#!/bin/sh
### BEGIN INIT INFO
# Provides:          replicator-host-keys
# Required-Start:    $local_fs
# Required-Stop:
# X-Start-Before:    ssh sshd dropbear
# Default-Start:     S 2 3 4 5
# Default-Stop:
# Short-Description: Make the SSH host keys of this unit
### END INIT INFO
case \"$1\" in
start | '') [ ! -x /etc/replicator-host-keys ] || /etc/replicator-host-keys ;;
esac
";

const OPENRC_TEXT: &str = "#!/sbin/openrc-run
description=\"Make the SSH host keys of this unit\"
depend() {
    need localmount
    before sshd dropbear
}
start() {
    [ ! -x /etc/replicator-host-keys ] || /etc/replicator-host-keys
}
";

/// Adds it to the system in `volume`, for these keys.
pub(super) fn install(operation: &Operation<'_>, volume: &dyn Volume, keys: &[HostKey]) -> Result<()> {
    let installing = Installing { operation, volume };
    let mut files = vec![SCRIPT.to_owned()];
    if installing.has("lib/systemd/systemd")? || installing.has("usr/lib/systemd/systemd")? {
        installing.file(UNIT, UNIT_TEXT, 0o644)?;
        installing.link(WANTED, "../replicator-host-keys.service")?;
        files.extend([WANTED, UNIT].map(str::to_owned));
    } else if installing.has("sbin/openrc-run")? {
        installing.file(INIT_SCRIPT, OPENRC_TEXT, 0o755)?;
        let link = "etc/runlevels/boot/replicator-host-keys";
        installing.link(link, "/etc/init.d/replicator-host-keys")?;
        files.extend([link, INIT_SCRIPT].map(str::to_owned));
    } else if installing.has("etc/init.d/rcS")? && !installing.has("etc/rcS.d")? {
        // busybox, as in Buildroot: everything called S* is started in order.
        let script = "etc/init.d/S30replicator-host-keys";
        installing.file(script, INIT_SCRIPT_TEXT, 0o755)?;
        files.push(script.to_owned());
    } else if installing.has("etc/rc.d")? && installing.has("sbin/procd")? {
        installing.file(INIT_SCRIPT, INIT_SCRIPT_TEXT, 0o755)?;
        let link = "etc/rc.d/S11replicator-host-keys";
        installing.link(link, "../init.d/replicator-host-keys")?;
        files.extend([link, INIT_SCRIPT].map(str::to_owned));
    } else if installing.has("etc/rcS.d")? || installing.has("etc/rc2.d")? {
        installing.file(INIT_SCRIPT, INIT_SCRIPT_TEXT, 0o755)?;
        files.push(INIT_SCRIPT.to_owned());
        for level in ["rcS.d", "rc2.d", "rc3.d", "rc4.d", "rc5.d"] {
            if installing.has(&format!("etc/{level}"))? {
                let link = format!("etc/{level}/S01replicator-host-keys");
                installing.link(&link, "../init.d/replicator-host-keys")?;
                files.push(link);
            }
        }
    } else {
        let detail = "no init system is known here that could start what makes the keys".to_owned();
        return Err(Error::Sanitise { rule: "host_keys = \"first-boot\"".to_owned(), detail });
    }
    installing.file(SCRIPT, &script(keys, &files), 0o755)
}

/// The script that makes `keys` and then removes `files`, its own among them.
fn script(keys: &[HostKey], files: &[String]) -> String {
    let mut text = String::from(
        "#!/bin/sh\n# Makes the SSH host keys of this unit, once. The keys of the captured unit were removed.\nset -e\n",
    );
    for key in keys {
        let name = key.named.to_string();
        let lower = name.to_lowercase();
        let kind = match () {
            () if lower.contains("ed25519") => "ed25519",
            () if lower.contains("ecdsa") => "ecdsa",
            // No server of today takes these.
            () if lower.contains("dsa_") || lower.contains("dss") || lower.ends_with("ssh_host_key") => {
                continue;
            }
            () => "rsa",
        };
        let path = quoted(&format!("/{name}"));
        text.push_str(&match lower.contains("dropbear") {
            true => format!("[ -s {path} ] || dropbearkey -t {kind} -f {path} >/dev/null\n"),
            false => format!("[ -s {path} ] || ssh-keygen -q -t {kind} -N '' -f {path} </dev/null\n"),
        });
    }
    if !keys.iter().any(|key| key.named.to_string().contains("dropbear")) {
        text.push_str("if command -v ssh-keygen >/dev/null; then ssh-keygen -A; fi\n");
    }
    let files: Vec<String> = files.iter().map(|file| quoted(&format!("/{file}"))).collect();
    text.push_str(&format!("rm -f {} || true\n", files.join(" ")));
    text
}

/// The text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

struct Installing<'a> {
    operation: &'a Operation<'a>,
    volume: &'a dyn Volume,
}

impl Installing<'_> {
    fn has(&self, path: &str) -> Result<bool> {
        let Some(path) = self.resolved(path)? else { return Ok(false) };
        Ok(work::kind_of(self.operation, self.volume, &path)?.is_some())
    }

    /// The path without links on the way; its last name may not be there.
    fn resolved(&self, path: &str) -> Result<Option<RelativePath>> {
        let internal = |error: &dyn std::fmt::Display| Error::Internal { detail: format!("{path}: {error}") };
        let path = RelativePath::parse(path).map_err(|error| internal(&error))?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        let parent = rootfs::resolve(self.operation, self.volume, &parent)?;
        parent.map(|parent| parent.join(name).map_err(|error| internal(&error))).transpose()
    }

    /// The place for a new file: its directory is made if it is not there, and what has the name is removed.
    fn place(&self, path: &str) -> Result<RelativePath> {
        let (operation, volume) = (self.operation, self.volume);
        if let Some((directory, _)) = path.rsplit_once('/') {
            if !self.has(directory)? {
                let directory = self.place(directory)?;
                let doing = format!("making /{directory} in the image");
                operation.retry(|| volume.create_dir(&directory, 0o755)).map_err(Error::hal(doing))?;
            }
        }
        let Some(found) = self.resolved(path)? else {
            return Err(Error::Internal { detail: format!("there is no place for /{path}") });
        };
        if work::kind_of(operation, volume, &found)? != Some(FileKind::Directory) {
            work::remove_if_there(operation, volume, &found)?;
        }
        Ok(found)
    }

    fn file(&self, path: &str, text: &str, mode: u32) -> Result<()> {
        let (operation, volume) = (self.operation, self.volume);
        let path = self.place(path)?;
        operation.log(&format!("making /{path}"));
        let doing = || format!("writing /{path} in the image");
        let mut file = operation.retry(|| volume.create_new(&path, mode)).map_err(Error::hal(doing()))?;
        hal::io::write_full(text.as_bytes(), |at, rest| operation.retry(|| file.write_at(at, rest)))
            .and_then(|()| file.close())
            .map_err(Error::hal(doing()))
    }

    fn link(&self, path: &str, text: &str) -> Result<()> {
        let path = self.place(path)?;
        let doing = format!("making the link /{path} in the image");
        self.operation.retry(|| self.volume.symlink(&path, text.as_bytes())).map_err(Error::hal(doing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> HostKey {
        let path = RelativePath::parse(path).unwrap();
        HostKey { named: path.clone(), path }
    }

    #[test]
    fn the_script_makes_each_key_and_removes_itself() {
        let keys =
            [key("etc/ssh/ssh_host_rsa_key"), key("data/it's_ed25519"), key("etc/ssh/ssh_host_dsa_key")];
        let text = script(&keys, &["etc/replicator-host-keys".to_owned()]);
        assert_eq!(
            text.lines().skip(2).collect::<Vec<_>>(),
            [
                "set -e",
                "[ -s '/etc/ssh/ssh_host_rsa_key' ] || ssh-keygen -q -t rsa -N '' -f '/etc/ssh/ssh_host_rsa_key' </dev/null",
                r"[ -s '/data/it'\''s_ed25519' ] || ssh-keygen -q -t ed25519 -N '' -f '/data/it'\''s_ed25519' </dev/null",
                "if command -v ssh-keygen >/dev/null; then ssh-keygen -A; fi",
                "rm -f '/etc/replicator-host-keys' || true",
            ]
        );
        let dropbear = script(&[key("var/lib/dropbear/dropbear_ecdsa_host_key")], &[]);
        assert!(dropbear.contains("dropbearkey -t ecdsa -f '/var/lib/dropbear/dropbear_ecdsa_host_key'"));
    }
}
