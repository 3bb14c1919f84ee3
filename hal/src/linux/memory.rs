//! How much memory programs on this system may use: that of the machine, or the limit of a control group.

use std::path::Path;

/// The directories of control groups with a limit of memory, below `/sys/fs/cgroup`, and the files with the limit: version
/// 2, alone or beside version 1, and version 1.
const HIERARCHIES: [(&str, &str); 3] =
    [("", "memory.max"), ("unified", "memory.max"), ("memory", "memory.limit_in_bytes")];

/// The smallest of the machine's memory and the limits of this process's control groups and their parents; `None` if
/// nothing is known.
pub(super) fn available_bytes(proc: &Path, sys: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(|line| limits(line, &sys.join("fs/cgroup")));
    machine_bytes(proc).into_iter().chain(limits).min()
}

/// `MemTotal` of `/proc/meminfo`, which is in units of 1024 bytes (proc(5)).
fn machine_bytes(proc: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(proc.join("meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

/// The limits of a group, a line of `/proc/self/cgroup` (`hierarchy:controllers:path`, cgroups(7)), and of its parents.
fn limits(line: &str, cgroup: &Path) -> Vec<u64> {
    let mut fields = line.splitn(3, ':');
    let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else {
        return Vec::new();
    };
    let is_version_2 = controllers.is_empty();
    if !is_version_2 && !controllers.split(',').any(|controller| controller == "memory") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (hierarchy, file) in HIERARCHIES.iter().filter(|(_, file)| (*file == "memory.max") == is_version_2) {
        let top = cgroup.join(hierarchy);
        for directory in Path::new(group.trim_start_matches('/')).ancestors() {
            let text = std::fs::read_to_string(top.join(directory).join(file)).unwrap_or_default();
            // No limit is `max` in version 2, and a huge number in version 1, which the machine's memory is below.
            found.extend(text.trim().parse::<u64>());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A system with this `/proc/self/cgroup` and these limits below `/sys/fs/cgroup`.
    fn available(groups: &str, limits: &[(&str, &str)]) -> Option<u64> {
        let (proc, sys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(proc.path().join("meminfo"), "MemTotal:        1024 kB\nMemFree: 1 kB\n").unwrap();
        fs::create_dir(proc.path().join("self")).unwrap();
        fs::write(proc.path().join("self/cgroup"), groups).unwrap();
        for (path, text) in limits {
            let path = sys.path().join("fs/cgroup").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        available_bytes(proc.path(), sys.path())
    }

    #[test]
    fn without_groups_it_is_the_memory_of_the_machine() {
        assert_eq!(available("", &[]), Some(1 << 20));
        assert_eq!(available("0::/\n", &[("memory.max", "max\n")]), Some(1 << 20));
        let nothing = tempfile::tempdir().unwrap();
        assert_eq!(available_bytes(nothing.path(), nothing.path()), None);
    }

    #[test]
    fn a_limit_of_a_group_or_of_its_parent_counts() {
        let v2 = "0::/board/run\n";
        assert_eq!(
            available(v2, &[("board/run/memory.max", "max\n"), ("board/memory.max", "65536\n")]),
            Some(65_536)
        );
        assert_eq!(available(v2, &[("unified/board/run/memory.max", "4096\n")]), Some(4096));
        let v1 = "5:cpu,memory:/a:b\n4:cpu:/x\n0::/\n";
        assert_eq!(available(v1, &[("memory/a:b/memory.limit_in_bytes", "8192\n")]), Some(8192));
        assert_eq!(
            available(v1, &[("memory/a:b/memory.limit_in_bytes", "9223372036854771712\n")]),
            Some(1 << 20)
        );
        assert_eq!(available(v1, &[("memory/x/memory.limit_in_bytes", "1\n")]), Some(1 << 20));
    }
}
