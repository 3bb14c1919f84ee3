//! Installs what makes the host keys of a clone at its first boot, for systems that have nothing for it.
//!
//! A script (`first_boot_script`) makes each key that was removed and does not exist, and then removes itself. A unit or
//! an init script starts it, depending on the init system.

use super::super::{rootfs, work};
use super::first_boot_script::{Wanted, script};
use super::host_keys::{self, HostKey};
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{self as hal, FileKind, ReadTree, RelativePath, WriteTree};
use std::collections::BTreeSet;

const SCRIPT: &str = "etc/replicator-host-keys";
const UNIT: &str = "etc/systemd/system/replicator-host-keys.service";
const WANTED: &str = "etc/systemd/system/multi-user.target.wants/replicator-host-keys.service";
const INIT_SCRIPT: &str = "etc/init.d/replicator-host-keys";
/// Where distributions install systemd.
const SYSTEMD: [&str; 2] = ["lib/systemd/systemd", "usr/lib/systemd/systemd"];
/// The program that runs OpenRC's scripts, today and before 2014.
const OPENRC: [&str; 3] = ["sbin/openrc-run", "usr/sbin/openrc-run", "sbin/runscript"];
/// The keys that are made if the captured system had none, by server.
const DEFAULT_KEYS: [(&[&str], &[&str]); 2] = [
    (
        &["usr/sbin/sshd", "usr/bin/sshd"],
        &["etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_ecdsa_key", "etc/ssh/ssh_host_ed25519_key"],
    ),
    (
        &["usr/sbin/dropbear", "usr/bin/dropbear", "sbin/dropbear"],
        &["etc/dropbear/dropbear_rsa_host_key", "etc/dropbear/dropbear_ecdsa_host_key"],
    ),
];

const UNIT_START: &str = "[Unit]
Description=Make the SSH host keys of this unit
DefaultDependencies=no
After=local-fs.target systemd-remount-fs.service systemd-random-seed.service
Before=ssh.service sshd.service ssh.socket sshd.socket dropbear.service dropbear.socket shutdown.target
Conflicts=shutdown.target
ConditionFileIsExecutable=/etc/replicator-host-keys
";

const UNIT_END: &str = "
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/etc/replicator-host-keys

[Install]
WantedBy=multi-user.target
";

// procd calls with `boot`, all others with `start`.
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
start | boot | '') [ ! -x /etc/replicator-host-keys ] || /etc/replicator-host-keys ;;
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

/// An init system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Init {
    Systemd,
    OpenRc,
    Procd,
    Busybox,
    SystemV,
}

/// The keys to make at the first boot if all of `keys` are removed. It reads the keys, so call it before they are
/// removed.
pub(super) fn wanted(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    keys: &[HostKey],
) -> Result<Vec<(HostKey, Wanted)>> {
    let of = |key: &HostKey| {
        let content = host_keys::start_of(operation, volume, key)?;
        Ok(Wanted::of(&key.named.to_string(), &content).map(|wanted| (key.clone(), wanted)))
    };
    keys.iter().filter_map(|key| of(key).transpose()).collect()
}

/// Installs the script that makes `wanted`, or the default keys of the installed server if the system had none.
pub(super) fn install(
    operation: &Operation<'_>,
    volume: &dyn WriteTree,
    mut wanted: Vec<Wanted>,
) -> Result<()> {
    let installing = Installing { operation, volume };
    if wanted.is_empty() {
        for (servers, keys) in DEFAULT_KEYS {
            if installing.has_any(servers)? {
                wanted.extend(keys.iter().filter_map(|key| Wanted::of(key, &[])));
            }
        }
    }
    let mut files = vec![SCRIPT.to_owned()];
    match installing.init()? {
        Some(Init::Systemd) => {
            installing.file(UNIT, &unit(&wanted), 0o644)?;
            installing.link(WANTED, "../replicator-host-keys.service")?;
            files.extend([WANTED, UNIT].map(str::to_owned));
        }
        Some(Init::OpenRc) => {
            let text = match installing.has_any(&OPENRC[..2])? {
                true => OPENRC_TEXT.to_owned(),
                false => OPENRC_TEXT.replace("openrc-run", "runscript"),
            };
            installing.file(INIT_SCRIPT, &text, 0o755)?;
            let link = "etc/runlevels/boot/replicator-host-keys";
            installing.link(link, "/etc/init.d/replicator-host-keys")?;
            files.extend([link, INIT_SCRIPT].map(str::to_owned));
        }
        Some(Init::Procd) => {
            installing.file(INIT_SCRIPT, INIT_SCRIPT_TEXT, 0o755)?;
            let link = "etc/rc.d/S11replicator-host-keys";
            installing.link(link, "../init.d/replicator-host-keys")?;
            files.extend([link, INIT_SCRIPT].map(str::to_owned));
        }
        Some(Init::Busybox) => {
            // As in Buildroot: all scripts S* are started in order.
            let script = "etc/init.d/S30replicator-host-keys";
            installing.file(script, INIT_SCRIPT_TEXT, 0o755)?;
            files.push(script.to_owned());
        }
        Some(Init::SystemV) => {
            installing.file(INIT_SCRIPT, INIT_SCRIPT_TEXT, 0o755)?;
            files.push(INIT_SCRIPT.to_owned());
            // In rcS.d the last, when all file systems are mounted; in each run level the first.
            for (level, order) in
                [("rcS.d", "S99"), ("rc2.d", "S00"), ("rc3.d", "S00"), ("rc4.d", "S00"), ("rc5.d", "S00")]
            {
                if installing.has(&format!("etc/{level}"))? {
                    let link = format!("etc/{level}/{order}replicator-host-keys");
                    installing.link(&link, "../init.d/replicator-host-keys")?;
                    files.push(link);
                }
            }
        }
        None => {
            let detail =
                "the init system is unknown, so nothing can start the script that makes the keys".to_owned();
            return Err(Error::Sanitise { rule: "host_keys = \"first-boot\"".to_owned(), detail });
        }
    }
    installing.file(SCRIPT, &script(&wanted, &files), 0o755)
}

/// The unit. The file systems that hold keys are mounted before it starts.
fn unit(wanted: &[Wanted]) -> String {
    let is_plain = |directory: &&str| {
        directory.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
    };
    let directories: BTreeSet<&str> = wanted.iter().filter_map(Wanted::directory).filter(is_plain).collect();
    let mut text = UNIT_START.to_owned();
    for directory in directories {
        text.push_str(&format!("RequiresMountsFor=/{directory}\n"));
    }
    text + UNIT_END
}

struct Installing<'a> {
    operation: &'a Operation<'a>,
    volume: &'a dyn WriteTree,
}

impl Installing<'_> {
    /// The init system, if it is known.
    fn init(&self) -> Result<Option<Init>> {
        let has_systemd = self.has_any(&SYSTEMD)?;
        if has_systemd && self.starts_systemd()? {
            return Ok(Some(Init::Systemd));
        }
        let has_run_levels = self.has("etc/rcS.d")? || self.has("etc/rc2.d")?;
        Ok(if self.has_any(&OPENRC)? {
            Some(Init::OpenRc)
        } else if self.has("etc/rc.d")? && self.has("sbin/procd")? {
            Some(Init::Procd)
        } else if has_run_levels {
            Some(Init::SystemV)
        } else if self.starts_all_of_init_d()? {
            Some(Init::Busybox)
        } else {
            has_systemd.then_some(Init::Systemd)
        })
    }

    /// Whether `/sbin/init` is systemd or a script that starts it. If it is missing, the kernel's command line names the
    /// init, and systemd is assumed.
    fn starts_systemd(&self) -> Result<bool> {
        let init = RelativePath::parse("sbin/init")
            .map_err(|error| Error::Internal { detail: format!("sbin/init: {error}") })?;
        let Some(found) = rootfs::resolve(self.operation, &self.volume, &init)? else { return Ok(true) };
        if found.file_name() == Some(b"systemd") {
            return Ok(true);
        }
        let text = host_keys::text_of(self.operation, &self.volume, &found)?;
        Ok(text.is_some_and(|text| text.starts_with("#!") && text.contains("systemd")))
    }

    /// Whether there is an `rcS` that runs every `S*` in `/etc/init.d`.
    fn starts_all_of_init_d(&self) -> Result<bool> {
        let Some(path) = self.resolved("etc/init.d/rcS")? else { return Ok(false) };
        let text = host_keys::text_of(self.operation, &self.volume, &path)?;
        Ok(text.is_some_and(|text| ["S??", "S*", "S?", "S["].iter().any(|glob| text.contains(glob))))
    }

    fn has_any(&self, paths: &[&str]) -> Result<bool> {
        for path in paths {
            if self.has(path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has(&self, path: &str) -> Result<bool> {
        let Some(path) = self.resolved(path)? else { return Ok(false) };
        Ok(work::kind_of(self.operation, &self.volume, &path)?.is_some())
    }

    /// The path with links resolved, except in its last name, which may not exist.
    fn resolved(&self, path: &str) -> Result<Option<RelativePath>> {
        let internal = |error: &dyn std::fmt::Display| Error::Internal { detail: format!("{path}: {error}") };
        let path = RelativePath::parse(path).map_err(|error| internal(&error))?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        let parent = rootfs::resolve(self.operation, &self.volume, &parent)?;
        parent.map(|parent| parent.join(name).map_err(|error| internal(&error))).transpose()
    }

    /// The path for a new file. Its directory is made if needed, and an old file of that name is removed.
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
        if work::kind_of(operation, &volume, &found)? != Some(FileKind::Directory) {
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

    #[test]
    fn the_unit_waits_for_the_file_systems_of_the_keys() {
        let wanted: Vec<Wanted> = ["etc/ssh/ssh_host_rsa_key", "data/ssh/a", "data/ssh/b", "od d/key"]
            .iter()
            .filter_map(|path| Wanted::of(path, &[]))
            .collect();
        let text = unit(&wanted);
        let mounts: Vec<&str> = text.lines().filter(|line| line.starts_with("RequiresMountsFor")).collect();
        assert_eq!(mounts, ["RequiresMountsFor=/data/ssh", "RequiresMountsFor=/etc/ssh"]);
        assert!(text.find("[Unit]") < text.find("RequiresMountsFor"));
        assert!(text.find("RequiresMountsFor") < text.find("[Service]"));
    }
}
