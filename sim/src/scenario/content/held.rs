//! For checkers: the content of each partition of a medium, where its root file system mounts it, and which secrets
//! an image of it may contain.

use super::golden::{Fate, Golden};
use super::layout::{Layout, Part};
use super::parts;
use super::secrets::{self, MARKER};
use super::{Owner, areas};
use crate::model::hardware::content::Node;
use crate::model::hardware::simfs::Kind;
use crate::scenario::composition::{Holds, Scheme};
use crate::scenario::guid;
use crate::scenario::schema::Scenario;
use std::collections::BTreeSet;

/// The content of a partition at the beginning of a scenario.
#[derive(Debug, Clone)]
pub struct Held {
    /// The partition.
    pub part: Part,
    /// UUID of its file system or swap area.
    pub uuid: [u8; 16],
    /// Label of its file system or swap area.
    pub label: Option<String>,
    /// Where the fstab of the first root file system mounts it, without the leading slash; empty for the root itself.
    pub mount_point: Option<String>,
    /// Its files with their fates; `None` if it has no files.
    pub tree: Option<Golden>,
}

impl Held {
    /// The line of every secret in its files that must be gone after sanitising, including deleted files.
    pub fn removed_secrets(&self) -> BTreeSet<String> {
        let Some(tree) = &self.tree else { return BTreeSet::new() };
        let files =
            tree.entries.iter().filter(|golden| golden.fate != Fate::Kept).map(|golden| &golden.entry);
        files.chain(tree.deleted()).filter_map(|entry| secret_of(&entry.node)).collect()
    }

    /// The line of every secret in its files that no rule removes.
    pub fn kept_secrets(&self) -> BTreeSet<String> {
        let Some(tree) = &self.tree else { return BTreeSet::new() };
        let files = tree.entries.iter().filter(|golden| golden.fate == Fate::Kept);
        files.filter_map(|golden| secret_of(&golden.entry.node)).collect()
    }

    /// The part of a swap area that stays: its header page.
    pub fn header_len_bytes(&self) -> u64 {
        if self.part.holds() == Holds::Swap { areas::SWAP_PAGE_LEN } else { 0 }
    }
}

/// The line of the secret that is the content of a file.
fn secret_of(node: &Node) -> Option<String> {
    let Node::File(bytes) = node else { return None };
    let line = bytes.starts_with(MARKER).then(|| secrets::find_all(bytes).next().map(|(_, line)| line))??;
    Some(String::from_utf8_lossy(line).into_owned())
}

/// The content of each partition of a medium at the beginning of the scenario; empty if it has no partitions.
pub fn held(scenario: &Scenario, medium: &str) -> Vec<Held> {
    let layout = scenario.media.get(medium).and_then(|spec| Layout::of_medium(spec).ok().flatten());
    layout.map(|layout| held_in(&layout, &Owner::in_scenario(scenario, medium, 0))).unwrap_or_default()
}

/// The content of each partition of a layout.
pub fn held_in(layout: &Layout, owner: &Owner<'_>) -> Vec<Held> {
    let hold = |part: &Part| Held {
        part: part.clone(),
        uuid: parts::uuid(part),
        label: parts::label(part).map(str::to_owned),
        mount_point: mount_point(layout, part),
        tree: parts::tree(layout, part, owner),
    };
    layout.parts.iter().map(hold).collect()
}

/// Secrets of a medium that no rule removes; no other secret may be in an image.
pub fn kept_secrets(scenario: &Scenario, medium: &str) -> BTreeSet<String> {
    held(scenario, medium).iter().flat_map(Held::kept_secrets).collect()
}

/// Where the first fstab of a root file system mounts a partition.
pub(super) fn mount_point(layout: &Layout, part: &Part) -> Option<String> {
    let mut fstabs = layout.parts.iter().filter_map(|root| Some((root, root.spec.fstab.as_deref()?)));
    let Some((root, fstab)) = fstabs.next() else {
        // Without an fstab, only the root itself is mounted.
        return (layout.rootfs() == Some(part)).then(String::new);
    };
    let lines = fstab.lines().map(|line| line.split('#').next().unwrap_or_default());
    let found = lines.map(|line| line.split_whitespace().collect::<Vec<_>>()).find_map(|fields| {
        let (what, at) = (fields.first()?, fields.get(1)?);
        (names(what, layout, part) && at.starts_with('/')).then(|| at.trim_matches('/').to_owned())
    });
    found.or_else(|| (root == part).then(String::new))
}

/// Whether the first field of a line of fstab names a partition.
fn names(what: &str, layout: &Layout, part: &Part) -> bool {
    let unquoted = |text: &str| text.trim_matches('"').to_owned();
    match what.split_once('=') {
        Some(("UUID", id)) if matches!(part.spec.kind(), Some(Kind::Vfat | Kind::Exfat)) => {
            let own = guid::text(&parts::uuid(part));
            unquoted(id).eq_ignore_ascii_case(&format!("{}-{}", &own[..4], &own[4..8]))
        }
        Some(("UUID", id)) => guid::parse(&unquoted(id)) == Some(parts::uuid(part)),
        Some(("LABEL", name)) => parts::label(part) == Some(&*unquoted(name)),
        Some(("PARTLABEL", name)) => part.spec.part_name.as_deref() == Some(&*unquoted(name)),
        Some(("PARTUUID", id)) => {
            part_uuid(layout, part).is_some_and(|own| own.eq_ignore_ascii_case(&unquoted(id)))
        }
        Some(_) => false,
        None => {
            let digits = what.len() - what.trim_end_matches(|last: char| last.is_ascii_digit()).len();
            what.starts_with("/dev/") && what[what.len() - digits..].parse() == Ok(part.number)
        }
    }
}

/// PARTUUID of a partition, if the scenario gives it.
fn part_uuid(layout: &Layout, part: &Part) -> Option<String> {
    match layout.scheme {
        Scheme::Gpt => part.spec.part_uuid.clone(),
        Scheme::Mbr | Scheme::Logical => Some(format!("{}-{:02x}", layout.disk_id.as_deref()?, part.number)),
        Scheme::None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hardware::found::files_in;
    use crate::scenario::content;
    use crate::scenario::schema::MediumSpec;
    use replicator_hal::RelativePath;

    const TWO_SLOTS: &str = r#"
        scheme = "gpt"
        [[partition]]
        holds = "rootfs"
        len = "2 MiB"
        fstab = "UUID=1111 /var ext4\nPARTLABEL=home /home ext4"
        [[partition]]
        holds = "rootfs"
        len = "2 MiB"
        [[partition]]
        holds = "data"
        len = "1 MiB"
        uuid = "1111"
        secrets = true
        [[partition]]
        holds = "data"
        len = "1 MiB"
        part_name = "home"
        secrets = true
        file = [{ path = "notes.txt", text = "x", mode = 0o600, modified = -1 }, { path = "old.key", secret = true, deleted = true }]
        [[partition]]
        holds = "swap"
        label = "swap"
        len = "64 KiB"
        [[partition]]
        holds = "data"
        secrets = true
    "#;

    #[test]
    fn each_partition_has_its_content_and_its_own_secrets() {
        let spec: MediumSpec = toml::from_str(TWO_SLOTS).unwrap();
        let owner = Owner { medium: "emmc", seed: 0, generation: 0 };
        let held = held_in(&Layout::of_medium(&spec).unwrap().unwrap(), &owner);
        let mounts: Vec<Option<&str>> = held.iter().map(|held| held.mount_point.as_deref()).collect();
        assert_eq!(mounts, [Some(""), None, Some("var"), Some("home"), None, None]);
        let goes = |number: usize, name: &str| {
            held[number]
                .removed_secrets()
                .iter()
                .any(|line| line.starts_with(&format!("SECRET-{name}-emmc.{}-", number + 1)))
        };
        assert!(goes(0, "ssh_host_rsa_key") && goes(1, "ssh_host_rsa_key") && goes(2, "syslog"));
        assert!(goes(3, ".python_history") && goes(3, "old.key") && held[5].removed_secrets().is_empty());
        assert_eq!(held[5].kept_secrets().len(), 1);
        let all: Vec<String> = held.iter().flat_map(Held::removed_secrets).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "two partitions share a secret");
        let pages = content::medium(&spec, &owner).unwrap();
        for held in &held[..4] {
            let part = &held.part;
            let found = files_in(&pages, part.start_bytes, part.len_bytes).unwrap();
            let bytes = pages.bytes(part.start_bytes, part.len_bytes as usize);
            let there: BTreeSet<String> = secrets::find_all(&bytes)
                .map(|(_, line)| String::from_utf8_lossy(line).into_owned())
                .collect();
            assert_eq!(there, held.removed_secrets(), "partition {}", part.number);
            let notes = RelativePath::parse("notes.txt").unwrap();
            assert_eq!(
                found.get(&notes).map(|file| (file.inode.mode, file.inode.modified.seconds)),
                (part.number == 4).then_some((0o600, -1))
            );
        }
        let swap = pages.bytes(held[4].part.start_bytes, held[4].part.len_bytes as usize);
        assert_eq!((&swap[4086..4096], &swap[1052..1056]), (&b"SWAPSPACE2"[..], &b"swap"[..]));
        assert!(secrets::find_all(&swap).count() > 12 && secrets::find_all(&swap[..4096]).count() == 0);
    }
}
