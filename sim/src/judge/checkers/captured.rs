//! S6, S11 of a capture: an image holds the whole medium, with sanitised root file systems.
//!
//! Verified: of a disk image the length, every byte outside of partitions, every file of partitions that are not to
//! be sanitised, and every byte of areas without files; of each root file system, in a disk image or a tarball, every
//! file with its metadata against the golden tree without the removed files, including first-boot markers, date and
//! checksums. If nothing is to be sanitised, every file must be unchanged. With rules in the scenario, only that
//! files to be kept are unchanged and nothing new was added. Not verified: free blocks, apart from secrets in them.

use crate::judge::readers::archive;
use crate::judge::readers::decode::decode;
use crate::judge::readers::drive_images::{Image, ImageKey, files, new_images};
use crate::judge::readers::settings;
use crate::judge::{CheckerId, Judge, always};
use crate::model::bytes::digest::md5_hex;
use crate::model::bytes::file_bytes::FileBytes;
use crate::model::bytes::pages::Pages;
use crate::model::bytes::tree::{Node, Tree, differences};
use crate::model::hardware::found::{files_in, tree_of};
use crate::model::hardware::simfs::Kind;
use crate::run::Evidence;
use crate::scenario::composition::Holds;
use crate::scenario::content::{Fate, Held, SWAP_PAGE_LEN, held};
use crate::scenario::schema::{Bytes, FaultKind, Scenario, TableDamage};
use replicator_hal::{FileKind, RelativePath};
use std::collections::{BTreeMap, BTreeSet};

/// How many differences are named.
const DIFFERENCES_MAX: usize = 5;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::Captured,
    applies: always,
    // The engine may have read other bytes than the medium holds.
    misled_by: |fault| fault.is_of_drive() || fault.bytes() != Bytes::WrittenWrong,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let found = files(&evidence.last().after);
    let wrong = new_images(evidence, &found)
        .into_iter()
        .filter_map(|image| judged(evidence, &image).err().map(|what| format!("{}: {what}", image.name)));
    wrong.collect()
}

/// Whether an image holds its medium.
#[derive(PartialEq, Eq, Hash)]
struct Shows(ImageKey);

fn judged(evidence: &Evidence, image: &Image) -> Result<(), String> {
    match &image.bytes {
        Some(bytes) => {
            bytes.cached(Shows(ImageKey::of(evidence, image)), |bytes| shows(evidence, image, bytes))
        }
        None => shows(evidence, image, &FileBytes::default()),
    }
}

/// The attribute that marks encryption in the simulated file system.
const ENCRYPTED: &str = "trusted.simulated-encryption";

fn holds_encrypted(held: &Held) -> bool {
    held.part.spec.files.iter().any(|file| file.xattrs.contains_key(ENCRYPTED))
}

fn shows(evidence: &Evidence, image: &Image, bytes: &FileBytes) -> Result<(), String> {
    // The medium of the unit at the beginning of the scenario: later boots may have another unit.
    let source = evidence.boots[0].before.media.get(&image.medium).ok_or("there is no such medium")?;
    let plain = decode(&image.name, bytes)?;
    let parts = held(&evidence.scenario, &image.medium);
    let is_single_rootfs = matches!(&parts[..], [only] if only.part.number > 0 && only.part.holds() == Holds::Rootfs && is_ext(only));
    let needs_its_gap = match evidence.scenario.media.get(&image.medium) {
        Some(spec) if is_single_rootfs && spec.bootloader_in_gap != Some(false) => {
            parts.iter().any(|only| has_gap(source, only.part.start_bytes))
        }
        _ => false,
    };
    // A damaged table does not prove that there is only one partition.
    let is_damaged = evidence.scenario.media.get(&image.medium).is_some_and(|spec| {
        matches!(
            spec.table,
            Some(TableDamage::Overlapping | TableDamage::PastEnd | TableDamage::ProtectiveOnly)
        )
    });
    // A tarball cannot hold files that their file system encrypts.
    let is_tree = is_single_rootfs && !needs_its_gap && !is_damaged && !parts.iter().any(holds_encrypted);
    if is_tree != image.is_tarball() {
        return Err(
            "a tarball is for one partition with a root file system and nothing before it that the board \
                    starts from, and a disk image for all else"
                .into(),
        );
    }
    match &parts[..] {
        [only] if image.is_tarball() => {
            let part = &only.part;
            let wanted = tree_at(source, part.start_bytes, part.len_bytes)?;
            Expectation::new(&evidence.scenario, only).check(&wanted, &archive::read(&plain)?)
        }
        _ => disk_image(source, &plain, &parts, &evidence.scenario),
    }
}

/// The kind of file system that a tarball is written into.
fn is_ext(held: &Held) -> bool {
    held.part.spec.kind().is_some_and(Kind::is_ext)
}

/// Whether the gap before the partition holds anything apart from a table.
fn has_gap(medium: &Pages, start_bytes: u64) -> bool {
    // A GPT has its entries in sectors 2 to 33.
    let is_gpt = medium.bytes(512, 8) == b"EFI PART";
    let from: u64 = if is_gpt { 34 * 512 } else { 512 };
    let len = usize::try_from(start_bytes.saturating_sub(from)).unwrap_or(0);
    medium.bytes(from, len).iter().any(|byte| *byte != 0)
}

fn tree_at(pages: &Pages, start_bytes: u64, len_bytes: u64) -> Result<Tree, String> {
    files_in(pages, start_bytes, len_bytes).map(|found| tree_of(&found)).map_err(|error| error.to_string())
}

fn disk_image(source: &Pages, plain: &[u8], held: &[Held], scenario: &Scenario) -> Result<(), String> {
    if plain.len() as u64 != source.len_bytes() {
        return Err(format!("it has {} bytes of {}", plain.len(), source.len_bytes()));
    }
    let found = Pages::from(plain);
    let mut held: Vec<&Held> = held.iter().collect();
    held.sort_by_key(|held| held.part.start_bytes);
    let mut outside_start = 0;
    for end in held.iter().map(|held| held.part.start_bytes).chain([source.len_bytes()]) {
        if !same(source, &found, outside_start, end) {
            return Err(format!("bytes outside of partitions differ between {outside_start} and {end}"));
        }
        let next = held.iter().find(|held| held.part.start_bytes == end);
        outside_start = next.map_or(end, |held| held.part.end_bytes());
    }
    for held in held {
        in_part(source, &found, held, scenario)
            .map_err(|what| format!("partition {}: {what}", held.part.number))?;
    }
    Ok(())
}

fn same(source: &Pages, found: &Pages, start: u64, end: u64) -> bool {
    let len = usize::try_from(end - start).unwrap_or(0);
    source.bytes(start, len) == found.bytes(start, len)
}

fn in_part(source: &Pages, found: &Pages, held: &Held, scenario: &Scenario) -> Result<(), String> {
    let part = &held.part;
    if held.tree.is_none() {
        // Of a swap area only the header counts: the pages behind it are not in use.
        let end = if part.holds() == Holds::Swap && settings::sanitises(scenario) {
            part.start_bytes + held.header_len_bytes()
        } else {
            part.end_bytes()
        };
        let right = same(source, found, part.start_bytes, end);
        return if right { Ok(()) } else { Err(format!("its bytes before {end} differ")) };
    }
    let wanted = match tree_at(source, part.start_bytes, part.len_bytes) {
        Ok(wanted) => wanted,
        // A file system that cannot be read is captured unchanged, unless it must be sanitised.
        Err(_) if !settings::sanitises(scenario) => {
            let right = same(source, found, part.start_bytes, part.end_bytes());
            return if right { Ok(()) } else { Err("bytes of a damaged file system differ".into()) };
        }
        Err(error) => return Err(error),
    };
    let shown = tree_at(found, part.start_bytes, part.len_bytes)?;
    Expectation::new(scenario, held).check(&wanted, &shown)
}

fn none(lines: &[String]) -> Result<(), String> {
    if lines.is_empty() {
        return Ok(());
    }
    Err(format!("{} files differ: {}", lines.len(), lines[..lines.len().min(DIFFERENCES_MAX)].join("; ")))
}

/// The expected tree of a capture of the golden tree.
struct Expectation {
    fates: BTreeMap<RelativePath, Fate>,
    /// Files that a capture adds.
    additions: BTreeSet<RelativePath>,
    own_rules: bool,
    /// The date in the version file; the scenario's clock decides how much of it is certain.
    date: &'static str,
}

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text).unwrap_or_default()
}

impl Expectation {
    fn new(scenario: &Scenario, held: &Held) -> Self {
        let text_of = |name: &str| {
            let file = scenario.drive.files.iter().find(|file| file.name == name);
            file.and_then(|file| file.text.clone()).unwrap_or_default()
        };
        let own_rules = settings::has_own_rules(scenario);
        let (mut fates, mut additions) = (BTreeMap::new(), BTreeSet::new());
        if settings::sanitises(scenario) {
            let entries = held.tree.iter().flat_map(|tree| &tree.entries);
            fates.extend(entries.map(|golden| (path(&golden.entry.path), golden.fate)));
            if held.part.holds() == Holds::Rootfs {
                additions.extend(["md5sums.txt", "root.version-cust"].map(path));
                if !own_rules {
                    additions.extend(["firstboot", "ssh_regenkeys"].map(path));
                }
                for hook in ["sanitise-before", "sanitise-after"].map(text_of) {
                    additions.extend(hook.lines().filter_map(|line| line.strip_prefix("touch ")).map(path));
                }
            }
        }
        let jumps = scenario.faults.iter().any(|fault| fault.kind() == FaultKind::ClockJump);
        let date = match scenario.wall_clock {
            _ if jumps => "-",
            None => "2026-01-01",
            Some(0..86_400) => "1970-01-01",
            Some(_) => "-",
        };
        Self { fates, additions, own_rules, date }
    }

    fn check(&self, source: &Tree, shown: &Tree) -> Result<(), String> {
        let mut wanted = source.clone();
        let mut newer = Vec::new();
        let mut touched = |changed: &RelativePath| newer.extend(changed.parent());
        for (changed, fate) in &self.fates {
            let gone = match fate {
                Fate::Kept | Fate::Cleared => false,
                Fate::Removed => true,
                // Rules in the scenario may remove files that the default rules only empty.
                Fate::Emptied => self.own_rules && !shown.contains_key(changed),
            };
            if gone {
                wanted.remove(changed);
                touched(changed);
            } else if let Some(node) = wanted.get_mut(changed) {
                match fate {
                    Fate::Emptied => node.bytes.clear(),
                    Fate::Cleared => {
                        node.bytes.iter_mut().skip(SWAP_PAGE_LEN as usize).for_each(|byte| *byte = 0)
                    }
                    Fate::Kept | Fate::Removed => {}
                }
            }
        }
        // Parents that exist only because of their children keep nothing that is not listed.
        for added in &self.additions {
            let node = shown.get(added).ok_or_else(|| format!("/{added} is missing"))?;
            check_addition(added, node, self.date)?;
            wanted.insert(added.clone(), node.clone());
            touched(added);
        }
        newer.extend(
            self.fates
                .iter()
                .filter(|(_, fate)| matches!(fate, Fate::Emptied | Fate::Cleared))
                .map(|(path, _)| path.clone()),
        );
        none(&differences(&wanted, shown, &newer))?;
        if self.additions.contains(&path("md5sums.txt")) { check_sums(shown) } else { Ok(()) }
    }
}

fn check_addition(path: &RelativePath, node: &Node, date: &str) -> Result<(), String> {
    if node.kind != FileKind::File || node.mode != 0o644 {
        return Err(format!("/{path} is {:?} with mode {:o}", node.kind, node.mode));
    }
    let text = String::from_utf8_lossy(&node.bytes);
    let right = match path.as_bytes() {
        b"root.version-cust" => text.contains(date),
        b"md5sums.txt" => true,
        _ => node.bytes.is_empty(),
    };
    if right { Ok(()) } else { Err(format!("/{path} has the text {text:?}")) }
}

/// The list of checksums has every regular file except itself, with the right sum.
fn check_sums(shown: &Tree) -> Result<(), String> {
    let list = path("md5sums.txt");
    let is_readable = |node: &Node| !node.xattrs.contains_key(ENCRYPTED.as_bytes());
    let files = shown
        .iter()
        .filter(|(path, node)| node.kind == FileKind::File && **path != list && is_readable(node));
    let mut wanted: Vec<String> = files.map(|(path, node)| sum_line(path, &node.bytes)).collect();
    wanted.sort();
    let text = String::from_utf8_lossy(&shown[&list].bytes).into_owned();
    let mut found: Vec<String> = text.lines().map(str::to_owned).collect();
    found.sort();
    if wanted == found {
        return Ok(());
    }
    let different =
        wanted.iter().find(|line| !found.contains(line)).or(found.iter().find(|line| !wanted.contains(line)));
    Err(format!("/md5sums.txt is wrong for {different:?}"))
}

fn sum_line(path: &RelativePath, bytes: &[u8]) -> String {
    let name = String::from_utf8_lossy(path.as_bytes()).into_owned();
    let escaped = name.replace('\\', "\\\\").replace('\n', "\\n");
    let mark = if escaped == name { "" } else { "\\" };
    format!("{mark}{}  ./{escaped}", md5_hex(bytes))
}
