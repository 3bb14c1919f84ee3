//! Finds the SSH host keys of the golden unit, removes them, and finds out whether the captured system makes new ones.
//!
//! A clone without host keys cannot be reached by ssh, so it must make new keys. Systems do this in different ways; the
//! known ones are recognised by words in the units and init scripts that are started at boot.

use super::super::rootfs::resolve;
use super::super::{tree, work};
use super::first_boot_script::START_LEN_BYTES;
use crate::drive_file::read_small;
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{self as hal, ErrorKind, FileKind, ReadTree, RelativePath, WriteTree};
use std::collections::BTreeSet;

/// The default places of keys: directory, start and end of the name.
const DEFAULT_PLACES: [(&str, &str, &str); 4] = [
    ("etc/ssh", "ssh_host_", "key"),
    ("etc/dropbear", "dropbear_", "_host_key"),
    ("var/lib/dropbear", "dropbear_", "_host_key"),
    ("var/lib/ssh", "ssh_host_", "key"),
];

/// Configuration files that name other places, and whether only their `HostKey` lines do.
const CONFIGURATIONS: [(&str, bool); 5] = [
    ("etc/ssh/sshd_config", true),
    ("etc/ssh/sshd_config_readonly", true),
    ("etc/default/dropbear", false),
    ("etc/config/dropbear", false),
    ("etc/conf.d/dropbear", false),
];

/// More configuration files of sshd.
const CONFIGURATION_DIRECTORY: &str = "etc/ssh/sshd_config.d";

/// Servers that need host keys.
const SERVERS: [&str; 5] =
    ["usr/sbin/sshd", "usr/bin/sshd", "usr/sbin/dropbear", "usr/bin/dropbear", "sbin/dropbear"];

/// Longest configuration file, unit or script that is searched.
const TEXT_LIMIT_BYTES: usize = 64 * 1024;
/// How many files are searched at most.
const TEXTS_MAX: usize = 2000;

/// Files, and directories of files, that are started at boot.
const STARTED: [&str; 12] = [
    "etc/init.d",
    "etc/rc.d",
    "etc/rc.d/init.d",
    "etc/rc.local",
    "etc/rc.d/rc.local",
    "etc/local.d",
    "etc/runlevels/default",
    "etc/runlevels/boot",
    "etc/runlevels/sysinit",
    "etc/inittab",
    "etc/uci-defaults",
    "etc/cron.d",
];
/// Directories of units. The units in their `*.wants` and `*.requires` are started.
const UNITS: [&str; 4] =
    ["etc/systemd/system", "lib/systemd/system", "usr/lib/systemd/system", "run/systemd/system"];
/// Units that are started with the server.
const SERVER_UNITS: [&str; 8] = [
    "ssh.service",
    "sshd.service",
    "ssh@.service",
    "sshd@.service",
    "sshd.socket",
    "ssh.socket",
    "dropbear.service",
    "dropbear@.service",
];
/// Words in scripts that make host keys.
const MAKERS: [&str; 9] = [
    "ssh-keygen",
    "sshdgenkeys",
    "sshd-keygen",
    "sshd_check_keys",
    "ssh_regenkeys",
    "regenerate_ssh_host_keys",
    "dropbearkey",
    "reconfigure openssh-server",
    "/firstboot",
];

/// A private host key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::capture) struct HostKey {
    /// Its path in the server's configuration.
    pub(super) named: RelativePath,
    /// The same with links resolved.
    pub(in crate::capture) path: RelativePath,
}

/// All private host keys of the system in `volume`: those in the default places, and those that servers' configurations
/// name.
pub(in crate::capture) fn present(operation: &Operation<'_>, volume: &dyn ReadTree) -> Result<Vec<HostKey>> {
    let mut names = BTreeSet::new();
    for (directory, start, end) in DEFAULT_PLACES {
        for path in listed(operation, volume, directory)? {
            let name = path.file_name().unwrap_or_default();
            if name.starts_with(start.as_bytes()) && name.ends_with(end.as_bytes()) {
                names.insert(path);
            }
        }
    }
    let mut files: Vec<(RelativePath, bool)> = Vec::new();
    for (file, only_host_keys) in CONFIGURATIONS {
        files.push((parse(file)?, only_host_keys));
    }
    files.extend(listed(operation, volume, CONFIGURATION_DIRECTORY)?.into_iter().map(|path| (path, true)));
    for (file, only_host_keys) in files {
        let Some(text) = text_of(operation, volume, &file)? else { continue };
        for path in paths_in(&text, only_host_keys) {
            match kind_at(operation, volume, &path)? {
                Some(FileKind::Directory) => {
                    let keys = listed(operation, volume, &path.to_string())?;
                    names.extend(keys.into_iter().filter(|path| path.as_bytes().ends_with(b"_host_key")));
                }
                Some(_) if only_host_keys || path.to_string().to_lowercase().contains("key") => {
                    names.insert(path);
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    for named in names {
        if let Some(path) = resolve(operation, volume, &named)? {
            if work::kind_of(operation, volume, &path)? == Some(FileKind::File) {
                found.push(HostKey { named, path });
            }
        }
    }
    Ok(found)
}

/// Removes a key, its link, its public key and its certificate.
pub(super) fn remove(operation: &Operation<'_>, volume: &dyn WriteTree, key: &HostKey) -> Result<()> {
    for path in [&key.named, &key.path] {
        for ending in ["", ".pub", "-cert.pub"] {
            let name = [path.file_name().unwrap_or_default(), ending.as_bytes()].concat();
            let Some(path) = path.parent().and_then(|parent| parent.join(&name).ok()) else { continue };
            // The named path may lead through links.
            let Some(path) = in_resolved_parent(operation, &volume, &path)? else { continue };
            if work::remove_if_there(operation, volume, &path)? {
                operation.log(&format!("host key: remove /{path}"));
            }
        }
    }
    Ok(())
}

/// Whether the key was removed.
pub(super) fn is_removed(operation: &Operation<'_>, volume: &dyn ReadTree, key: &HostKey) -> Result<bool> {
    Ok(work::kind_of(operation, volume, &key.path)?.is_none()
        || resolve(operation, volume, &key.named)?.is_none())
}

/// Whether a server that needs host keys is installed.
pub(super) fn has_server(operation: &Operation<'_>, volume: &dyn ReadTree) -> Result<bool> {
    for server in SERVERS {
        if kind_at(operation, volume, &parse(server)?)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a known program that is started at boot makes missing host keys.
pub(super) fn are_made_at_boot(operation: &Operation<'_>, volume: &dyn ReadTree) -> Result<bool> {
    if kind_at(operation, volume, &parse("usr/bin/cloud-init")?)?.is_some()
        && kind_at(operation, volume, &parse("etc/cloud/cloud-init.disabled")?)?.is_none()
    {
        return Ok(true);
    }
    let mut pending: Vec<RelativePath> = Vec::new();
    for started in STARTED {
        let path = parse(started)?;
        match kind_at(operation, volume, &path)? {
            Some(FileKind::Directory) => pending.extend(listed(operation, volume, started)?),
            Some(_) => pending.push(path),
            None => {}
        }
    }
    for directory in UNITS {
        for path in listed(operation, volume, directory)? {
            let name = String::from_utf8_lossy(path.file_name().unwrap_or_default()).into_owned();
            if name.ends_with(".wants") || name.ends_with(".requires") {
                pending.extend(listed(operation, volume, &path.to_string())?);
            } else if SERVER_UNITS.contains(&name.as_str()) {
                pending.push(path);
            }
        }
    }
    let (mut seen, mut left) = (BTreeSet::new(), TEXTS_MAX);
    while let Some(path) = pending.pop() {
        let Some(path) = resolve(operation, volume, &path)? else { continue };
        if left == 0 || !seen.insert(path.clone()) {
            continue;
        }
        left -= 1;
        let Some(text) = text_of(operation, volume, &path)? else { continue };
        let is_dropbear = text.contains("dropbear") && text.contains(" -R");
        if is_dropbear || MAKERS.iter().any(|maker| text.contains(maker)) {
            operation.log(&format!("/{path} makes host keys at boot"));
            return Ok(true);
        }
        // Scripts that a unit runs.
        let commands = text.lines().filter(|line| line.trim_start().starts_with("Exec"));
        pending.extend(commands.flat_map(|line| paths_in(line, false)));
    }
    Ok(false)
}

/// Absolute paths in a text, except in comments; those of `HostKey` lines only, if `only_host_keys` is set.
fn paths_in(text: &str, only_host_keys: bool) -> Vec<RelativePath> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let is_host_key = line.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("HostKey"));
        if only_host_keys && !is_host_key {
            continue;
        }
        if is_host_key {
            found.extend(host_key_of(line.get(7..).unwrap_or_default()));
            continue;
        }
        let words = line.split(|character: char| character.is_whitespace() || "\"'=,;".contains(character));
        let paths = words.map(|word| word.trim_start_matches(['-', '+', '@', '!', ':']));
        let paths = paths.filter(|word| word.len() > 1 && word.starts_with('/'));
        found.extend(paths.filter_map(|word| RelativePath::parse(word.trim_start_matches('/')).ok()));
    }
    found
}

/// The path after the word `HostKey`: one word, or the text between quotes.
fn host_key_of(rest: &str) -> Option<RelativePath> {
    let value = rest.trim_start_matches(|character: char| character.is_whitespace() || character == '=');
    let path = match value.chars().next()? {
        quote @ ('"' | '\'') => value.get(1..)?.split(quote).next()?,
        _ => value.split_whitespace().next()?,
    };
    RelativePath::parse(path.strip_prefix('/')?.trim_start_matches('/')).ok()
}

fn parse(path: &str) -> Result<RelativePath> {
    RelativePath::parse(path).map_err(|error| Error::Internal { detail: format!("{path}: {error}") })
}

/// The path with the links of its directory resolved.
fn in_resolved_parent(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    path: &RelativePath,
) -> Result<Option<RelativePath>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let parent = resolve(operation, volume, &parent)?;
    Ok(parent.and_then(|parent| parent.join(name).ok()))
}

/// What `path` is, links followed.
fn kind_at(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    path: &RelativePath,
) -> Result<Option<FileKind>> {
    match resolve(operation, volume, path)? {
        Some(path) => work::kind_of(operation, volume, &path),
        None => Ok(None),
    }
}

/// The entries of a directory, or of the directory that a link leads to; none if it is no directory.
fn listed(operation: &Operation<'_>, volume: &dyn ReadTree, directory: &str) -> Result<Vec<RelativePath>> {
    let Some(directory) = resolve(operation, volume, &parse(directory)?)? else { return Ok(Vec::new()) };
    if work::kind_of(operation, volume, &directory)? != Some(FileKind::Directory) {
        return Ok(Vec::new());
    }
    let mut left = tree::ENTRIES_LIMIT;
    let found = tree::children(operation, volume, &directory, &mut left)?;
    Ok(found.into_iter().map(|(path, _)| path).collect())
}

/// The first bytes of a key.
pub(super) fn start_of(operation: &Operation<'_>, volume: &dyn ReadTree, key: &HostKey) -> Result<Vec<u8>> {
    let mut start = vec![0; START_LEN_BYTES];
    let read = operation.retry(|| {
        let mut file = volume.open(&key.path)?;
        hal::io::read_file(&mut *file, 0, &mut start)
    });
    start.truncate(read.map_err(Error::hal(format!("reading /{}", key.path)))?);
    Ok(start)
}

/// The text of a small regular file, links followed; `None` for anything else.
pub(super) fn text_of(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    path: &RelativePath,
) -> Result<Option<String>> {
    let Some(path) = resolve(operation, volume, path)? else { return Ok(None) };
    if work::kind_of(operation, volume, &path)? != Some(FileKind::File) {
        return Ok(None);
    }
    match operation.retry(|| read_small(volume, &path, TEXT_LIMIT_BYTES)) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => Ok(None),
        Err(error) => Err(Error::hal(format!("reading /{path}"))(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_every_configuration() {
        let paths =
            |text, only| -> Vec<String> { paths_in(text, only).iter().map(ToString::to_string).collect() };
        let sshd =
            "# HostKey /etc/ssh/no\nHostKey /data/ssh/rsa\n hostkey=\"/data/ssh/ed\"\nBanner /etc/issue\n";
        assert_eq!(paths(sshd, true), ["data/ssh/rsa", "data/ssh/ed"]);
        let odd =
            "HostKey \"/data/the host's key\" # of\nHostKeyAgent /run/agent\nHostKey none\nHostKey '/a b'";
        assert_eq!(paths(odd, true), ["data/the host's key", "a b"]);
        let dropbear = "DROPBEAR_RSAKEY_DIR=\"/var/lib/dropbear\"\nDROPBEAR_EXTRA_ARGS=\"-r /data/key\"\n";
        assert_eq!(paths(dropbear, false), ["var/lib/dropbear", "data/key"]);
        assert_eq!(paths("ExecStartPre=-/usr/lib/x/make-keys --all", false), ["usr/lib/x/make-keys"]);
    }
}
