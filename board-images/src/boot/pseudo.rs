//! The pseudo file systems and tmpfs that an init mounts first.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use std::fs;

struct Pseudo {
    kind: &'static str,
    point: &'static str,
    flags: MsFlags,
    options: &'static str,
}

fn all() -> [Pseudo; 5] {
    let strict = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let entry = |kind, point, flags, options| Pseudo { kind, point, flags, options };
    [
        entry("proc", "/proc", strict, ""),
        entry("sysfs", "/sys", strict, ""),
        entry("devtmpfs", "/dev", MsFlags::MS_NOSUID, "mode=0755"),
        entry("tmpfs", "/run", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=0755"),
        // Without noexec: some hooks run programs from there.
        entry("tmpfs", "/tmp", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=1777"),
    ]
}

/// Mounts them if they are not mounted yet. Returns the errors, because there may be no console yet.
pub(super) fn mount_all() -> Vec<String> {
    let mut wrong = Vec::new();
    for pseudo in all() {
        if let Err(what) = mount_one(&pseudo) {
            wrong.push(format!("mounting {}: {what}", pseudo.point));
        }
    }
    for directory in ["/mnt", super::MOUNT_POINT] {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                wrong.push(format!("making {directory}: {error}"));
            }
            _ => {}
        }
    }
    wrong
}

fn mount_one(pseudo: &Pseudo) -> Result<(), String> {
    fs::create_dir_all(pseudo.point).map_err(|error| error.to_string())?;
    if is_mounted(pseudo.point) {
        return Ok(());
    }
    let source = Some(pseudo.kind);
    match mount(source, pseudo.point, source, pseudo.flags, Some(pseudo.options)) {
        // The kernel may have mounted it.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(errno.desc().to_owned()),
    }
}

/// Returns false without /proc, which is therefore the first in the list.
fn is_mounted(point: &str) -> bool {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(1) == Some(point))
}
