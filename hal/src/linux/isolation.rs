//! A mount table of the program's own, without the mounts that it does not need.
//!
//! A new mount namespace begins with a copy of every mount, and a copy keeps a device busy after the user has unmounted it:
//! the medium would look free and would not be. So what holds a device and is not part of the system that the program
//! runs on, nor needed for its files, is let go of at once.

use super::usage::{Mount, mounts};
use crate::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::{Path, PathBuf};

/// File systems that hold no medium. What is not listed (disks, overlays of them, FUSE) may.
const WITHOUT_MEDIUM: [&str; 32] = [
    "9p",
    "autofs",
    "binfmt_misc",
    "bpf",
    "ceph",
    "cgroup",
    "cgroup2",
    "cifs",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfs",
    "nfs4",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smb3",
    "sysfs",
    "tmpfs",
    "tracefs",
    "virtiofs",
];

/// Where the parts of a system are mounted that are not on its root: programs, libraries and what hooks may use.
const SYSTEM: [&str; 15] = [
    "/",
    "/bin",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/root",
    "/sbin",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/tmp",
    "/gnu/store",
];

/// Whatever is mounted in here belongs to the system.
const SYSTEM_TREES: [&str; 3] = ["/etc", "/nix", "/usr"];

/// Gives this thread, and all it starts later, a mount table of its own: what is mounted from then on is seen by nobody
/// else and goes with the process, and nothing comes in from others. Call it first, while there is one thread.
///
/// Only mounts of the system, and those on the way to `needed` (absolute paths), stay. Returns in words which others could
/// not be let go of.
///
/// # Errors
/// `PermissionDenied` without root; `Unsupported` if the kernel has no mount namespaces.
pub fn isolate_mounts(needed: &[PathBuf]) -> Result<Vec<String>> {
    let failed = |errno: Errno| {
        let kind =
            if errno == Errno::EINVAL { ErrorKind::Unsupported } else { ErrorKind::from_errno(errno as i32) };
        Error::caused_by(kind, "isolating", "the mount table", errno)
    };
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).map_err(failed)?;
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_PRIVATE | MsFlags::MS_REC, nothing).map_err(failed)?;
    let needed: Vec<PathBuf> = needed.iter().map(|path| resolved(path)).collect();
    let table = std::fs::read("/proc/thread-self/mountinfo")
        .map_err(|error| Error::from_io(error, "reading", "the mount table"))?;
    let (to_let_go, covered) = foreign(&mounts(&String::from_utf8_lossy(&table)), &needed);
    let words = |what: &Mount, why: &str| {
        format!("{} at {} stays busy while this runs: {why}", what.source, what.point)
    };
    let mut kept: Vec<String> = covered.iter().map(|covered| words(covered, "it is mounted over")).collect();
    for mount in to_let_go {
        // Whoever has files open on it keeps them.
        match umount2(mount.point.as_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // It went with the one that it was mounted on.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => kept.push(words(&mount, errno.desc())),
        }
    }
    Ok(kept)
}

/// The path without links, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let (Ok(found), Ok(rest)) = (std::fs::canonicalize(ancestor), path.strip_prefix(ancestor)) {
            return found.join(rest);
        }
    }
    path.to_owned()
}

/// What is to be let go of, in the order of unmounting; and what should be, but is mounted over by something needed.
fn foreign(table: &[Mount], needed: &[PathBuf]) -> (Vec<Mount>, Vec<Mount>) {
    let is_needed = |mount: &Mount| {
        let point = Path::new(&mount.point);
        SYSTEM.iter().any(|path| point == Path::new(path))
            || SYSTEM_TREES.iter().any(|tree| point.starts_with(tree))
            || needed.iter().any(|path| path.starts_with(point))
    };
    // More of what is held anyway, such as a bind mount of the root disk.
    let is_held_anyway = |mount: &Mount| {
        table.iter().filter(|other| is_needed(other)).any(|other| {
            other.number == mount.number || (other.source == mount.source && other.source.starts_with('/'))
        })
    };
    let may_hold = |mount: &Mount| !WITHOUT_MEDIUM.contains(&mount.kind.as_str());
    let mut drop: Vec<bool> =
        table.iter().map(|mount| may_hold(mount) && !is_needed(mount) && !is_held_anyway(mount)).collect();
    let mut is_covered = vec![false; table.len()];
    // What lies over one of them has to go first.
    for index in 0..table.len() {
        let covers = covers(table, index);
        if drop[index] && covers.iter().any(|over| is_needed(&table[*over]) || is_held_anyway(&table[*over]))
        {
            drop[index] = false;
            is_covered[index] = true;
        } else if drop[index] {
            covers.into_iter().for_each(|over| drop[over] = true);
        }
    }
    let chosen = |chosen: &[bool]| -> Vec<Mount> {
        table.iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(mount, _)| mount.clone()).collect()
    };
    let mut to_let_go = chosen(&drop);
    to_let_go.reverse();
    (to_let_go, chosen(&is_covered))
}

/// The mounts through which the path of one leads, although it is not mounted on them: they hide it.
fn covers(table: &[Mount], index: usize) -> Vec<usize> {
    let mount = &table[index];
    let mut below = vec![mount.id];
    // Up to the root: what it is mounted on, and so on.
    while let Some(parent) =
        table.iter().find(|other| Some(&other.id) == below.last()).map(|found| found.parent)
    {
        if below.contains(&parent) {
            break;
        }
        below.push(parent);
    }
    let hides =
        |other: &Mount| Path::new(&mount.point).starts_with(&other.point) && !below.contains(&other.id);
    (0..table.len()).filter(|other| hides(&table[*other])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points to let go of, and those that are covered.
    fn judged(table: &str, needed: &[&str]) -> (Vec<String>, Vec<String>) {
        let needed: Vec<PathBuf> = needed.iter().map(PathBuf::from).collect();
        let (to_let_go, covered) = foreign(&mounts(table), &needed);
        let points = |mounts: Vec<Mount>| mounts.into_iter().map(|mount| mount.point).collect();
        (points(to_let_go), points(covered))
    }

    const SYSTEM_TABLE: &str = "\
        20 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        21 20 0:5 / /dev rw - devtmpfs devtmpfs rw\n\
        22 20 0:20 / /proc rw - proc proc rw\n\
        23 20 0:21 / /run rw - tmpfs tmpfs rw\n\
        24 20 8:2 / /home rw - ext4 /dev/sda2 rw\n\
        25 20 8:3 / /usr/local rw - xfs /dev/sda3 rw\n\
        26 20 8:1 /srv /srv/bound rw - ext4 /dev/sda1 rw\n\
        27 20 0:30 / /net rw - nfs4 server:/export rw\n";

    #[test]
    fn the_system_stays_and_media_go() {
        assert_eq!(judged(SYSTEM_TABLE, &[]), (vec![], vec![]));
        let table = SYSTEM_TABLE.to_owned()
            + "30 20 179:1 / /mnt rw - ext4 /dev/mmcblk0p1 rw\n\
               31 23 8:17 / /run/media/me/GOLDEN rw - vfat /dev/sdb1 rw\n\
               32 20 0:40 / /srv/merged rw - overlay overlay rw,lowerdir=/mnt\n\
               33 20 0:41 / /media/pool rw - btrfs /dev/sdc rw\n\
               34 24 179:2 /sub /home/me/bound rw - ext4 /dev/mmcblk0p2 rw\n";
        let expected = ["/home/me/bound", "/media/pool", "/srv/merged", "/run/media/me/GOLDEN", "/mnt"];
        assert_eq!(judged(&table, &[]).0, expected);
    }

    #[test]
    fn what_leads_to_a_needed_path_stays() {
        let table = SYSTEM_TABLE.to_owned()
            + "30 20 179:1 / /mnt rw - ext4 /dev/mmcblk0p1 rw\n\
               31 30 179:2 / /mnt/logs rw - ext4 /dev/mmcblk0p2 rw\n\
               32 30 179:3 / /mnt/other rw - ext4 /dev/mmcblk0p3 rw\n";
        assert_eq!(judged(&table, &["/mnt/logs/today"]), (vec!["/mnt/other".to_owned()], vec![]));
    }

    #[test]
    fn what_is_mounted_over_a_medium_goes_with_it_unless_it_is_needed() {
        let table = SYSTEM_TABLE.to_owned()
            + "30 20 179:1 / /mnt rw - ext4 /dev/mmcblk0p1 rw\n\
               31 30 0:50 / /mnt rw - tmpfs tmpfs rw\n\
               40 20 179:2 / /a/b/c rw - ext4 /dev/mmcblk0p2 rw\n\
               41 20 0:51 / /a/b rw - tmpfs tmpfs rw\n";
        let (to_let_go, covered) = judged(&table, &[]);
        assert_eq!(
            (to_let_go, covered),
            (["/a/b", "/a/b/c", "/mnt", "/mnt"].map(str::to_owned).into(), vec![])
        );
        let (to_let_go, covered) = judged(&table, &["/mnt/logs", "/a/b/logs"]);
        // The medium at /mnt is on the way to what lies over it, as far as paths tell.
        assert_eq!((to_let_go, covered), (vec![], vec!["/a/b/c".to_owned()]));
    }
}
