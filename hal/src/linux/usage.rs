//! What holds a block device: mounts, swap, mappings over it, loop devices backed by it.

use super::roots::{KernelRoots, attribute};
use crate::{Error, Partition, Result};
use std::path::Path;

/// Who uses which block device, at one moment.
pub(super) struct Usage {
    /// Device number as `major:minor`, source as the mounter named it, mount point.
    mounts: Vec<(String, String, String)>,
    /// Path of the swap device.
    swaps: Vec<String>,
    /// Backing path, name of the loop device.
    loops: Vec<(String, String)>,
    dev: String,
}

impl Usage {
    /// Reads the kernel's tables. The mount table is the calling thread's, as mounts may be private to it.
    ///
    /// # Errors
    /// If there is no table of mounts: then nothing can be called unused.
    pub(super) fn read(roots: &KernelRoots) -> Result<Self> {
        let table = roots.proc.join("thread-self/mountinfo");
        let mounts = std::fs::read(&table)
            .map_err(|error| Error::from_io(error, "reading", table.display().to_string()))?;
        let swaps = match std::fs::read(roots.proc.join("swaps")) {
            Ok(text) => text,
            // A kernel without swap has no table of it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::from_io(error, "reading", "the table of swap areas")),
        };
        Ok(Self {
            mounts: String::from_utf8_lossy(&mounts).lines().filter_map(mount).collect(),
            swaps: String::from_utf8_lossy(&swaps).lines().skip(1).filter_map(first_field).collect(),
            loops: loops(roots),
            dev: roots.dev.display().to_string(),
        })
    }

    /// What holds the device with the sysfs directory `path`, or one of its partitions.
    pub(super) fn of(&self, path: &Path, partitions: &[Partition]) -> Option<String> {
        let parts = partitions.iter().map(|partition| path.join(partition.name.as_str()));
        std::iter::once(path.to_owned()).chain(parts).find_map(|path| self.of_one(&path))
    }

    fn of_one(&self, path: &Path) -> Option<String> {
        let name = path.file_name()?.to_string_lossy();
        let node = format!("{}/{name}", self.dev);
        let number = attribute(path, "dev").unwrap_or_default();
        if let Some((_, _, point)) =
            // btrfs shows a number of its own, but names the device.
            self.mounts.iter().find(|(device, source, _)| *device == number || *source == node)
        {
            return Some(format!("mounted at {point}"));
        }
        if self.swaps.contains(&node) {
            return Some("swap".to_owned());
        }
        // Absent on kernels without stacked devices.
        if let Ok(mut holders) = std::fs::read_dir(path.join("holders")) {
            if let Some(Ok(holder)) = holders.next() {
                return Some(format!("held by {}", holder.file_name().to_string_lossy()));
            }
        }
        let backed = self.loops.iter().find(|(backing, _)| *backing == node);
        backed.map(|(_, name)| format!("behind {name}"))
    }
}

/// Fields of `Documentation/filesystems/proc.rst`, 3.5: after the separator come type and source.
fn mount(line: &str) -> Option<(String, String, String)> {
    let (fields, rest) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(2);
    let (number, point) = (fields.next()?, fields.nth(1)?);
    let source = rest.split(' ').nth(1)?;
    Some((number.to_owned(), unescape(source), unescape(point)))
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

fn loops(roots: &KernelRoots) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(roots.sys.join("block")) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().to_str()?.to_owned();
            let backing = attribute(&entry.path(), "loop/backing_file")?;
            Some((backing, name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_lines_are_taken_apart() {
        let line = r"36 35 98:1 / /mnt\0402 rw,noatime master:1 - ext3 /dev/ro\134ot rw,errors=continue";
        assert_eq!(mount(line), Some(("98:1".into(), r"/dev/ro\ot".into(), "/mnt 2".into())));
        assert_eq!(mount("garbage"), None);
        assert_eq!(unescape(r"a\04"), r"a\04");
        assert_eq!(unescape(r"ä\999\"), r"ä\999\");
    }
}
