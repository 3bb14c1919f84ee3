//! Processes in `/proc`: the mount tables of other mount namespaces, and which processes have a device open.
//!
//! A process that ends meanwhile, or that may not be read, is skipped. The kernel still reports what it uses as busy.

use super::roots::KernelRoots;
use nix::libc;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A process, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// Its number.
    pub(super) pid: u32,
    /// The name of its program, as the kernel keeps it.
    pub(super) name: String,
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// The mount table of another mount namespace.
pub(super) struct OtherTable {
    /// One process in it.
    pub(super) process: Process,
    /// Whether our parent process is in it: its mounts are those that the user sees.
    pub(super) is_of_parent: bool,
    /// Its `mountinfo`.
    pub(super) text: String,
}

fn processes(proc: &Path) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    found
}

fn described(pid: u32, directory: &Path) -> Process {
    let name = fs::read(directory.join("comm")).unwrap_or_default();
    Process { pid, name: String::from_utf8_lossy(&name).trim_end().to_owned() }
}

/// The mount tables of all mount namespaces but the calling thread's, each once.
pub(super) fn other_tables(roots: &KernelRoots) -> Vec<OtherTable> {
    let namespace = |directory: &Path| fs::read_link(directory.join("ns/mnt")).ok();
    let Some(own) = namespace(&roots.proc.join("thread-self")) else { return Vec::new() };
    let parent = namespace(&roots.proc.join(std::os::unix::process::parent_id().to_string()));
    let mut seen = BTreeSet::from([OsString::from(own)]);
    let mut tables = Vec::new();
    for (pid, directory) in processes(&roots.proc) {
        let Some(found) = namespace(&directory) else { continue };
        let is_of_parent = Some(&found) == parent.as_ref();
        if !seen.insert(found.into()) {
            continue;
        }
        // Names of files may be any bytes.
        let Ok(text) = fs::read(directory.join("mountinfo")) else { continue };
        let text = String::from_utf8_lossy(&text).into_owned();
        tables.push(OtherTable { process: described(pid, &directory), is_of_parent, text });
    }
    tables
}

/// Another process that has one of `devices` (numbers as in `st_rdev`) open. With `writers_only`, one that may write.
pub(super) fn opener(roots: &KernelRoots, devices: &[u64], writers_only: bool) -> Option<Process> {
    let own = std::process::id();
    processes(&roots.proc).into_iter().filter(|(pid, _)| *pid != own).find_map(|(pid, directory)| {
        let open = fs::read_dir(directory.join("fd")).ok()?;
        let holds = open.filter_map(Result::ok).any(|entry| {
            let is_one = fs::metadata(entry.path())
                .is_ok_and(|found| found.file_type().is_block_device() && devices.contains(&found.rdev()));
            is_one && (!writers_only || may_write(&directory.join("fdinfo").join(entry.file_name())))
        });
        holds.then(|| described(pid, &directory))
    })
}

/// Whether a descriptor is open for writing, by the octal flags in its `fdinfo`.
fn may_write(info: &Path) -> bool {
    let text = fs::read_to_string(info).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| libc::c_int::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY && flags & libc::O_PATH == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_an_open_file_are_parsed() {
        let directory = tempfile::tempdir().unwrap();
        let info = directory.path().join("3");
        let is_writer = |text: &str| {
            fs::write(&info, text).unwrap();
            may_write(&info)
        };
        assert!(is_writer("pos:\t0\nflags:\t0100002\nmnt_id:\t25\n"), "O_RDWR");
        assert!(is_writer("pos:\t0\nflags:\t0100001\n"), "O_WRONLY");
        assert!(!is_writer("pos:\t0\nflags:\t0100000\n"), "O_RDONLY");
        assert!(!is_writer("pos:\t0\nflags:\t012000002\n"), "O_PATH");
        assert!(!is_writer(""), "removed meanwhile");
    }

    #[test]
    fn each_other_namespace_is_listed_once() {
        let directory = tempfile::tempdir().unwrap();
        let proc = directory.path();
        let process = |name: &str, namespace: &str| {
            let path = proc.join(name);
            fs::create_dir_all(path.join("ns")).unwrap();
            std::os::unix::fs::symlink(namespace, path.join("ns/mnt")).unwrap();
            fs::write(path.join("comm"), "some\n").unwrap();
            fs::write(path.join("mountinfo"), namespace).unwrap();
        };
        process("thread-self", "mnt:[1]");
        for (pid, namespace) in [("7", "mnt:[1]"), ("20", "mnt:[3]"), ("8", "mnt:[2]"), ("9", "mnt:[2]")] {
            process(pid, namespace);
        }
        fs::create_dir(proc.join("10")).unwrap();
        let roots = KernelRoots { proc: proc.to_owned(), ..KernelRoots::default() };
        let found = other_tables(&roots);
        let found: Vec<_> =
            found.iter().map(|table| (table.process.to_string(), table.text.as_str())).collect();
        assert_eq!(
            found,
            [("process 8 (some)".to_owned(), "mnt:[2]"), ("process 20 (some)".to_owned(), "mnt:[3]")]
        );
    }
}
