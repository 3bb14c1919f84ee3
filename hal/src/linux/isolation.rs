//! A mount namespace for the program, without the mounts that it does not need.
//!
//! A new mount namespace starts with a copy of every mount. A copy keeps a device busy after the user has unmounted it:
//! the medium would look free without being free. So this code at once unmounts all copies that keep a device busy, are
//! not part of the running system, and are not needed for the program's files.

use super::usage::{Mount, mounts};
use crate::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::{Path, PathBuf};

/// File systems that use no medium. All others (disks, overlays of them, FUSE) may use one.
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

/// Where parts of a system are mounted that are not on its root: programs, libraries and files for hooks.
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

/// All mounts below these directories belong to the system.
const SYSTEM_TREES: [&str; 3] = ["/etc", "/nix", "/usr"];

/// Gives this thread, and all threads and programs that it starts later, a mount namespace of its own. Mounts that are
/// made from then on are visible nowhere else and end with the process; mounts of other namespaces do not appear in it.
/// Call it first, while there is one thread.
///
/// Only mounts of the system, and those on the path to `needed` (absolute paths), stay. Returns a message for each
/// other mount that could not be unmounted.
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
    let (to_unmount, covered) = foreign(&mounts(&String::from_utf8_lossy(&table)), &needed);
    let message = |what: &Mount, why: &str| {
        format!("{} at {} stays busy while this runs: {why}", what.source, what.point)
    };
    let mut kept: Vec<String> =
        covered.iter().map(|covered| message(covered, "another mount covers it")).collect();
    for mount in to_unmount {
        // Programs that have files open on it keep them.
        match umount2(mount.point.as_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // It was unmounted together with the one on which it was mounted.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => kept.push(message(&mount, errno.desc())),
        }
    }
    Ok(kept)
}

/// The path without symlinks, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let (Ok(found), Ok(rest)) = (std::fs::canonicalize(ancestor), path.strip_prefix(ancestor)) {
            return found.join(rest);
        }
    }
    path.to_owned()
}

/// The mounts to be unmounted, in this order; and those that should be, but are covered by a needed one.
fn foreign(table: &[Mount], needed: &[PathBuf]) -> (Vec<Mount>, Vec<Mount>) {
    let is_needed = |mount: &Mount| {
        let point = Path::new(&mount.point);
        SYSTEM.iter().any(|path| point == Path::new(path))
            || SYSTEM_TREES.iter().any(|tree| point.starts_with(tree))
            || needed.iter().any(|path| path.starts_with(point))
    };
    // Another mount of a device that stays in use anyway, such as a bind mount of the root disk.
    let is_held_anyway = |mount: &Mount| {
        table.iter().filter(|other| is_needed(other)).any(|other| {
            other.number == mount.number || (other.source == mount.source && other.source.starts_with('/'))
        })
    };
    let may_hold = |mount: &Mount| !WITHOUT_MEDIUM.contains(&mount.kind.as_str());
    let mut drop: Vec<bool> =
        table.iter().map(|mount| may_hold(mount) && !is_needed(mount) && !is_held_anyway(mount)).collect();
    let mut is_covered = vec![false; table.len()];
    // A mount that covers one of them has to be unmounted first.
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
    let mut to_unmount = chosen(&drop);
    to_unmount.reverse();
    (to_unmount, chosen(&is_covered))
}

/// The mounts that the path to a mount leads through although it is not mounted on them: they cover it.
fn covers(table: &[Mount], index: usize) -> Vec<usize> {
    let mount = &table[index];
    let mut below = vec![mount.id];
    // Up to the root, from each mount to the one on which it is mounted.
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

    /// Mount points to unmount, and those that are covered.
    fn selected(table: &str, needed: &[&str]) -> (Vec<String>, Vec<String>) {
        let needed: Vec<PathBuf> = needed.iter().map(PathBuf::from).collect();
        let (to_unmount, covered) = foreign(&mounts(table), &needed);
        let points = |mounts: Vec<Mount>| mounts.into_iter().map(|mount| mount.point).collect();
        (points(to_unmount), points(covered))
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
    fn mounts_of_the_system_stay_and_those_of_media_are_unmounted() {
        assert_eq!(selected(SYSTEM_TABLE, &[]), (vec![], vec![]));
        let table = SYSTEM_TABLE.to_owned()
            + "30 20 179:1 / /mnt rw - ext4 /dev/mmcblk0p1 rw\n\
               31 23 8:17 / /run/media/me/GOLDEN rw - vfat /dev/sdb1 rw\n\
               32 20 0:40 / /srv/merged rw - overlay overlay rw,lowerdir=/mnt\n\
               33 20 0:41 / /media/pool rw - btrfs /dev/sdc rw\n\
               34 24 179:2 /sub /home/me/bound rw - ext4 /dev/mmcblk0p2 rw\n";
        let expected = ["/home/me/bound", "/media/pool", "/srv/merged", "/run/media/me/GOLDEN", "/mnt"];
        assert_eq!(selected(&table, &[]).0, expected);
    }

    #[test]
    fn mounts_on_the_way_to_a_needed_path_stay() {
        let table = SYSTEM_TABLE.to_owned()
            + "30 20 179:1 / /mnt rw - ext4 /dev/mmcblk0p1 rw\n\
               31 30 179:2 / /mnt/logs rw - ext4 /dev/mmcblk0p2 rw\n\
               32 30 179:3 / /mnt/other rw - ext4 /dev/mmcblk0p3 rw\n";
        assert_eq!(selected(&table, &["/mnt/logs/today"]), (vec!["/mnt/other".to_owned()], vec![]));
    }

    #[test]
    fn a_mount_over_a_medium_is_unmounted_with_it_unless_it_is_needed() {
        let table = SYSTEM_TABLE.to_owned()
            + "30 20 179:1 / /mnt rw - ext4 /dev/mmcblk0p1 rw\n\
               31 30 0:50 / /mnt rw - tmpfs tmpfs rw\n\
               40 20 179:2 / /a/b/c rw - ext4 /dev/mmcblk0p2 rw\n\
               41 20 0:51 / /a/b rw - tmpfs tmpfs rw\n";
        let (to_unmount, covered) = selected(&table, &[]);
        assert_eq!(
            (to_unmount, covered),
            (["/a/b", "/a/b/c", "/mnt", "/mnt"].map(str::to_owned).into(), vec![])
        );
        let (to_unmount, covered) = selected(&table, &["/mnt/logs", "/a/b/logs"]);
        // By paths alone, the medium at /mnt is on the way to the mount that covers it.
        assert_eq!((to_unmount, covered), (vec![], vec!["/a/b/c".to_owned()]));
    }
}
