//! What uses a block device: mounts in any mount namespace, swap, mappings over it, loop devices with it as their
//! backing.

use super::loop_device::backing_device;
use super::namespaces::{self, OtherTable};
use super::roots::{KernelRoots, attribute};
use crate::{Error, Partition, Result};
use nix::libc;
use std::path::Path;

/// The uses of all block devices at one moment.
pub(super) struct Usage {
    mounts: Vec<Mount>,
    /// Path of the swap device.
    swaps: Vec<String>,
    loops: LoopDevices,
    dev: String,
}

/// The loop devices that are attached.
pub(super) struct LoopDevices {
    found: Vec<Loop>,
    dev: String,
}

/// A line of a mount table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Its number in the table, and the number of the mount on which it is.
    pub(super) id: u64,
    pub(super) parent: u64,
    /// Device number as `major:minor`.
    pub(super) number: String,
    /// File system type.
    pub(super) kind: String,
    /// Source, as given to mount(2).
    pub(super) source: String,
    /// Mount point.
    pub(super) point: String,
    /// ` in the mount namespace of ...` if it is in another mount namespace; else empty.
    whose: String,
}

struct Loop {
    name: String,
    /// Path of the backing in our namespace.
    backing: String,
    /// Number of the backing device, whose path may belong to another root directory.
    number: Option<String>,
}

impl Usage {
    /// Reads the kernel's tables. The mounts of the calling thread come first, then those of every other mount
    /// namespace in `/proc`: each of them keeps a device busy.
    ///
    /// # Errors
    /// If there is no mount table. Then no device is known to be unused.
    pub(super) fn read(roots: &KernelRoots) -> Result<Self> {
        let table = roots.proc.join("thread-self/mountinfo");
        let mounts = std::fs::read(&table)
            .map_err(|error| Error::from_io(error, "reading", table.display().to_string()))?;
        let swaps = match std::fs::read(roots.proc.join("swaps")) {
            Ok(text) => text,
            // A kernel without swap has no such table.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::from_io(error, "reading", "the table of swap areas")),
        };
        let mounts = String::from_utf8_lossy(&mounts).into_owned();
        let own = self::mounts(&mounts);
        let others = namespaces::other_tables(roots);
        Ok(Self {
            mounts: own.into_iter().chain(others.iter().flat_map(mounts_of)).collect(),
            swaps: String::from_utf8_lossy(&swaps).lines().skip(1).filter_map(first_field).collect(),
            loops: LoopDevices::read(roots),
            dev: roots.dev.display().to_string(),
        })
    }

    /// What uses the device with the sysfs directory `path`, or one of its partitions.
    pub(super) fn of(&self, path: &Path, partitions: &[Partition]) -> Option<String> {
        let parts = partitions.iter().map(|partition| path.join(partition.name.as_str()));
        std::iter::once(path.to_owned()).chain(parts).find_map(|path| self.of_one(&path))
    }

    /// What uses the device or partition with the sysfs directory `path`.
    pub(super) fn of_one(&self, path: &Path) -> Option<String> {
        let name = path.file_name()?.to_string_lossy();
        let node = format!("{}/{name}", self.dev);
        let number = attribute(path, "dev").unwrap_or_default();
        // btrfs has a device number of its own in the table, but the source names the device.
        let holds = |mount: &&Mount| mount.number == number || mount.source == node;
        // The mount that the user sees is more useful than a copy of it in another namespace.
        let mut holding = self.mounts.iter().filter(holds);
        let first = holding.next();
        let plain = first.into_iter().chain(holding).find(|mount| mount.whose.is_empty());
        if let Some(mount) = plain.or(first) {
            return Some(format!("mounted at {}{}", mount.point, mount.whose));
        }
        if self.swaps.contains(&node) {
            return Some("swap".to_owned());
        }
        // Absent on kernels without stacked devices.
        if let Ok(mut holders) = std::fs::read_dir(path.join("holders")) {
            if let Some(Ok(holder)) = holders.next() {
                let mapped = attribute(&holder.path(), "dm/name").map(|name| format!(" ({name})"));
                let holder = holder.file_name();
                return Some(format!("held by {}{}", holder.to_string_lossy(), mapped.unwrap_or_default()));
            }
        }
        self.loops.over(path)
    }
}

impl LoopDevices {
    pub(super) fn read(roots: &KernelRoots) -> Self {
        Self { found: loops(roots), dev: roots.dev.display().to_string() }
    }

    /// The loop device whose backing is the device or partition with the sysfs directory `path`.
    pub(super) fn over(&self, path: &Path) -> Option<String> {
        let node = format!("{}/{}", self.dev, path.file_name()?.to_string_lossy());
        let number = attribute(path, "dev");
        let backed =
            |found: &&Loop| found.backing == node || (found.number.is_some() && found.number == number);
        self.found.iter().find(backed).map(|found| format!("behind {}", found.name))
    }
}

fn mounts_of(table: &OtherTable) -> Vec<Mount> {
    let whose = match table.is_of_parent {
        true => String::new(),
        false => format!(" in the mount namespace of {}", table.process),
    };
    table.text.lines().filter_map(|line| mount(line, &whose)).collect()
}

/// The mounts in a `mountinfo`, in its order.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    text.lines().filter_map(|line| mount(line, "")).collect()
}

/// The fields are documented in `Documentation/filesystems/proc.rst`, 3.5: type and source follow the separator.
fn mount(line: &str, whose: &str) -> Option<Mount> {
    let (fields, rest) = line.split_once(" - ")?;
    let mut fields = fields.split(' ');
    let (id, parent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let (number, point) = (fields.next()?, fields.nth(1)?);
    let mut rest = rest.split(' ');
    let (kind, source) = (rest.next()?, rest.next()?);
    Some(Mount {
        id,
        parent,
        kind: kind.to_owned(),
        number: number.to_owned(),
        source: unescape(source),
        point: unescape(point),
        whose: whose.to_owned(),
    })
}

fn first_field(line: &str) -> Option<String> {
    line.split_whitespace().next().map(unescape)
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = digits {
            plain.push(char::from(byte));
            rest = &rest[at + 4..];
        } else {
            plain.push('\\');
            rest = &rest[at + 1..];
        }
    }
    plain + rest
}

fn loops(roots: &KernelRoots) -> Vec<Loop> {
    let Ok(entries) = std::fs::read_dir(roots.sys.join("block")) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().to_str()?.to_owned();
            let backing = attribute(&entry.path(), "loop/backing_file")?;
            // The path is a file here and not a device, so the loop device need not be opened.
            let is_file = std::fs::metadata(&backing).is_ok_and(|backing| backing.is_file());
            let number = (!is_file).then(|| backing_device(roots, &name)).flatten();
            let number = number.map(|number| format!("{}:{}", libc::major(number), libc::minor(number)));
            Some(Loop { name, backing, number })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_mount_table_are_parsed() {
        let line = r"36 35 98:1 / /mnt\0402 rw,noatime master:1 - ext3 /dev/ro\134ot rw,errors=continue";
        let found = mount(line, " elsewhere").unwrap();
        assert_eq!((found.number.as_str(), found.source.as_str()), ("98:1", r"/dev/ro\ot"));
        assert_eq!((found.point.as_str(), found.whose.as_str()), ("/mnt 2", " elsewhere"));
        assert_eq!(mount("garbage", ""), None);
        assert_eq!(unescape(r"a\04"), r"a\04");
        assert_eq!(unescape(r"ä\999\"), r"ä\999\");
    }
}
