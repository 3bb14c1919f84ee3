//! S6: a clone of a tarball finds its root by the name in its own `/etc/fstab`.
//!
//! Verified if the LEDs show success: `UUID`, `LABEL` and `PARTUUID` of `/` are those of the clone, or, if several
//! media have one name in their files, those of one of them; and no two media that were written from tarballs share a
//! UUID or PARTUUID. Not verified: names with escapes, other files that name the root, names that the owner allowed
//! by `any_root`, and golden media that do not find their own root.

use crate::judge::readers::drive_images::{Image, images, successful_writes};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::bytes::pages::Pages;
use crate::model::bytes::partitions::read_partitions;
use crate::model::hardware::content::PagesBacking;
use crate::model::hardware::found::files_in;
use crate::model::hardware::simfs::SimFs;
use crate::run::Evidence;
use replicator_hal::{RelativePath, Uuid};

const SECTOR: u64 = 512;

/// The names of a single partition and its file system, each with its tag, and the name of the root in its fstab.
struct Root {
    names: Vec<String>,
    wanted: Option<String>,
}

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::FindsRoot,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot, drive) in successful_writes(evidence) {
        let settings = RelativePath::parse("replicator.toml").ok().and_then(|path| drive.get(&path));
        let allowed =
            settings.is_some_and(|file| String::from_utf8_lossy(&file.bytes).contains("any_root = true"));
        if allowed {
            continue;
        }
        let tarballs: Vec<Image> = images(evidence, &drive).into_iter().filter(Image::is_tarball).collect();
        let clones: Vec<(&Image, Root)> = tarballs
            .iter()
            .filter_map(|image| Some((image, root(boot.after.media.get(&image.medium)?)?)))
            .collect();
        let mut complain = |what: String| wrong.push(format!("boot {}: {what}", number + 1));
        for (index, (image, clone)) in clones.iter().enumerate() {
            for (other, other_clone) in &clones[..index] {
                let is_shared =
                    |name: &&String| !name.starts_with("LABEL=") && other_clone.names.contains(name);
                if let Some(name) = clone.names.iter().find(is_shared) {
                    complain(format!("{} and {} both have {name}", other.medium, image.medium));
                }
            }
            let Some(wanted) = &clone.wanted else { continue };
            let is_found = clones.iter().any(|(_, clone)| clone.names.contains(wanted));
            if !is_found && !is_golden_lost(evidence, image, wanted) {
                complain(format!("{} needs {wanted}, but has {:?}", image.medium, clone.names));
            }
        }
    }
    wrong
}

/// Whether the image was captured from a medium that does not have the root name of its fstab either.
fn is_golden_lost(evidence: &Evidence, image: &Image, wanted: &String) -> bool {
    let golden = evidence.boots[0].before.media.get(&image.medium).and_then(root);
    !image.records.is_empty() && golden.is_some_and(|golden| !golden.names.contains(wanted))
}

/// The names on a medium with one partition.
fn root(medium: &Pages) -> Option<Root> {
    let partitions = read_partitions("medium", medium);
    let [partition] = partitions.as_slice() else { return None };
    let (start, len) = (partition.start_bytes, partition.len_bytes);
    let mut copy = medium.clone();
    let fs = SimFs::load(&mut PagesBacking { pages: &mut copy, start_bytes: start }, len).ok()?;
    let mut names = vec![format!("UUID={}", Uuid(fs.superblock().uuid))];
    names.extend(fs.superblock().label.as_ref().map(|label| format!("LABEL={label}")));
    names.extend(part_uuid(medium, partition.number).map(|text| format!("PARTUUID={text}")));
    let found = files_in(medium, start, len).ok()?;
    let fstab = found.get(&RelativePath::parse("etc/fstab").ok()?);
    let wanted = fstab.and_then(|file| wanted(&String::from_utf8_lossy(&file.bytes)));
    Some(Root { names, wanted })
}

/// The root name in a fstab, if this checker supports it.
fn wanted(fstab: &str) -> Option<String> {
    let mut lines = fstab.lines().map(str::split_ascii_whitespace);
    let name = lines.find_map(|mut words| words.next().filter(|_| words.next() == Some("/")))?;
    let (tag, value) = name.split_once('=')?;
    match tag {
        "UUID" | "PARTUUID" => Some(format!("{tag}={}", value.to_ascii_lowercase())),
        "LABEL" if !value.contains(['\\', '"', '\'']) => Some(name.to_owned()),
        _ => None,
    }
}

/// By the UEFI specification and the kernel's format for an MBR.
fn part_uuid(medium: &Pages, number: u32) -> Option<String> {
    let u32_of = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let header = medium.bytes(SECTOR, 512);
    if medium.bytes(450, 1)[0] != 0xee || !header.starts_with(b"EFI PART") {
        let signature = u32_of(&medium.bytes(440, 4));
        return (signature != 0).then(|| format!("{signature:08x}-{number:02x}"));
    }
    let (table, entry_len) = (u64::from(u32_of(&header[72..])), u64::from(u32_of(&header[84..])));
    let at = table * SECTOR + u64::from(number - 1) * entry_len;
    let mut guid: [u8; 16] = medium.bytes(at + 16, 16)[..].try_into().ok()?;
    guid[..4].reverse();
    guid[4..6].reverse();
    guid[6..8].reverse();
    Some(Uuid(guid).to_string())
}
