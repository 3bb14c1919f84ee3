//! Sanitises a whole medium in its working image: every root file system and what it mounts. The report gets a line for
//! each partition, also for those that stay unchanged.

use super::beside::{self, Mounts, View};
use super::locks::Locks;
use super::mounted::with_mounted;
use super::rootfs::Rootfs;
use super::sanitise::apply::{self, Base};
use super::survey::Part;
use super::{free_space, layout, sanitise};
use crate::context::Context;
use crate::error::{Error, Refusal, Result};
use crate::operation::Operation;
use crate::sanitise_rules::{Action, Place, Rules};
use replicator_hal::{Access, ErrorKind, FileSystemKind, Holder, Region, RelativePath, Volume};
use std::collections::BTreeSet;

/// A file system with less free space is full.
const FULL_BELOW_BYTES: u64 = 64 * 1024;

/// The parameters of sanitising.
pub(super) struct SanitiseMedium<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) operation: &'a Operation<'a>,
    pub(super) rules: &'a Rules,
    /// The medium's name.
    pub(super) medium: &'a str,
    /// The working image.
    pub(super) image: &'a Holder,
    /// The partitions of the medium.
    pub(super) parts: &'a [Part],
    /// Its root file systems.
    pub(super) roots: &'a [Rootfs],
    /// The one that is packed as files.
    pub(super) tree: Option<&'a Rootfs>,
}

/// A rule, by its number, and the directory of a partition to which it applies.
type Task = (usize, Base);

impl SanitiseMedium<'_> {
    /// Sanitises the medium, and adds what it did to `notes`.
    pub(super) fn run(&self, notes: &mut Vec<String>) -> Result<()> {
        let (mounts, views) = self.find_mounts()?;
        let mut matched = BTreeSet::new();
        let mut named = BTreeSet::new();
        let mut untouched = Vec::new();
        let mut lines = Vec::new();
        for part in self.parts {
            let tasks = self.tasks(part, &mounts, &views, &mut named);
            let is_root = self.roots.iter().any(|root| root.part == *part);
            if tasks.is_empty() || part.kind().is_some_and(FileSystemKind::is_read_only) {
                if !is_root && has_line(part) {
                    untouched.push(format!("{part}: captured as it is"));
                }
                continue;
            }
            self.beside(part, &tasks, &mut matched)?;
            if !is_root {
                lines.push(format!("{part}{}: sanitised", mounted_at(part, &views)));
            }
        }
        for root in self.roots {
            let of_root = self.root(root, &matched)?;
            notes.push(format!("{root}: sanitised"));
            notes.extend(of_root);
        }
        if self.roots.is_empty() {
            // There may be a read-only one whose overlays were sanitised.
            notes.push(match lines.is_empty() {
                true => "no Linux rootfs found: not sanitised".to_owned(),
                false => {
                    "no writable Linux rootfs found: the file systems that it mounts are sanitised".to_owned()
                }
            });
        }
        notes.append(&mut lines);
        notes.append(&mut untouched);
        for (number, rule) in
            self.rules.rules.iter().enumerate().filter(|(_, rule)| rule.place != Place::Root)
        {
            if rule.required && !matched.contains(&number) {
                return Err(sanitise::missing(rule));
            }
            if !named.contains(&number) {
                notes.push(format!("rule \"{}\": {} is not on this medium", rule.what, rule.place));
            }
        }
        Ok(())
    }

    /// What the root file systems mount, and every directory that is part of the tree of one.
    fn find_mounts(&self) -> Result<(Vec<Mounts>, Vec<View>)> {
        let operation = self.operation;
        let mut mounts = Vec::new();
        for root in self.roots {
            mounts.push(beside::of_root(operation, self.parts, root, self.rules)?);
        }
        for part in self.parts.iter().filter(|part| part.kind().is_some_and(FileSystemKind::is_read_only)) {
            let root = Rootfs { part: part.clone(), region: part.slot.region(self.image), subvolume: None };
            match beside::of_root(operation, self.parts, &root, self.rules) {
                Ok(found) => mounts.push(found),
                Err(error) => operation.log(&format!("{part} is not looked into: {error}")),
            }
        }
        let mut views: Vec<View> = mounts.iter().flat_map(Mounts::views).cloned().collect();
        for part in self.parts {
            let is_root = self.roots.iter().any(|root| root.part == *part);
            if !is_root && part.kind().is_some_and(FileSystemKind::is_ext) {
                let region = part.slot.region(self.image);
                views.extend(with_mounted(operation, &region, Access::ReadOnly, |volume| {
                    beside::uppers(operation, part.slot.number, &volume)
                })?);
            }
        }
        let mut seen = Vec::new();
        views.retain(|view| {
            !seen.contains(view) && {
                seen.push(view.clone());
                true
            }
        });
        Ok((mounts, views))
    }

    /// The rules that apply to directories in `part`, without those for a root file system as a whole. Rules that name
    /// this partition are added to `named`.
    fn tasks(
        &self,
        part: &Part,
        mounts: &[Mounts],
        views: &[View],
        named: &mut BTreeSet<usize>,
    ) -> Vec<Task> {
        let mut tasks = Vec::new();
        for (number, rule) in self.rules.rules.iter().enumerate() {
            let is_here = match &rule.place {
                Place::Root => {
                    let here = views.iter().filter(|view| view.number == part.slot.number);
                    for view in here.filter(|_| rule.action != Action::Touch) {
                        let concerns = rule.paths.iter().any(|pattern| {
                            let (positions, is_held) = pattern.positions_at(&view.named);
                            is_held || positions.may_match_below()
                        });
                        if concerns {
                            tasks.push((
                                number,
                                Base { inside: view.inside.clone(), named: view.named.clone() },
                            ));
                        }
                    }
                    false
                }
                Place::MountedAt(path) => mounts
                    .iter()
                    .any(|mounts| mounts.mounted_at(path).any(|view| view.number == part.slot.number)),
                Place::Label(label) => {
                    part.file_system.as_ref().is_some_and(|found| found.label.as_ref() == Some(label))
                }
                Place::Partition(wanted) => part.slot.number == *wanted,
            };
            if is_here {
                named.insert(number);
                tasks.push((number, Base::root()));
            }
        }
        tasks
    }

    /// Applies rules to a partition that is not a root file system.
    fn beside(&self, part: &Part, tasks: &[Task], matched: &mut BTreeSet<usize>) -> Result<()> {
        let operation = self.operation;
        let region = part.slot.region(self.image);
        let is_fat = matches!(part.kind(), Some(FileSystemKind::Vfat | FileSystemKind::Exfat));
        if !is_fat && !part.kind().is_some_and(super::survey::can_be_sanitised) {
            let what = format!("{part}: rules are for files in it, but it cannot be sanitised");
            return Err(Error::refused(Refusal::Unsanitisable, what));
        }
        operation.step(&format!("sanitising {}", part.slot));
        let result = with_mounted(operation, &region, Access::ReadWrite, |volume| {
            let locks = Locks::clear(operation, volume)?;
            for (number, base) in tasks {
                operation.board.leds.renew(operation.tuning.tool_lease);
                let rule = &self.rules.rules[*number];
                let is_matched = apply::apply(operation, &volume, rule, base)
                    .map_err(|error| of_the_image(error, volume, "file system", part))?;
                if is_matched {
                    matched.insert(*number);
                }
            }
            locks.restore(operation, volume)?;
            volume.sync().map_err(Error::hal("syncing the image"))
        });
        match result {
            Err(Error::Hal { source, .. }) if source.kind() == ErrorKind::Unsupported => {
                let what = format!("{part}: rules are for files in it, but {source}");
                return Err(Error::refused(Refusal::Unsanitisable, what));
            }
            result => result?,
        }
        self.clear(part, &region)
    }

    /// Sanitises a root file system, and returns lines for the report.
    fn root(&self, root: &Rootfs, matched: &BTreeSet<usize>) -> Result<Vec<String>> {
        let operation = self.operation;
        operation.step(&format!("sanitising {}", root.part.slot));
        let notes = root.with_mounted(operation, Access::ReadWrite, |volume| {
            let at = (self.medium, root.part.slot.number);
            let is_packed_as_files = self.tree == Some(root);
            sanitise::sanitise(self.context, operation, self.rules, matched, at, is_packed_as_files, volume)
                .map_err(|error| of_the_image(error, volume, "root file system", &root.part))
        })?;
        self.clear(&root.part, &root.region)?;
        Ok(notes)
    }

    /// Writes the list of digests into a root file system that was to be packed as files, and returns lines for the
    /// report.
    pub(super) fn add_list(&self, root: &Rootfs) -> Result<Vec<String>> {
        let operation = self.operation;
        operation.step(&format!("hashing the files of {}", root.part.slot));
        root.with_mounted(operation, Access::ReadWrite, |volume| {
            sanitise::add_list(operation, volume)
                .map_err(|error| of_the_image(error, volume, "root file system", &root.part))
        })
    }

    /// Makes sure that no bytes of what was removed remain in the partition.
    fn clear(&self, part: &Part, region: &Region) -> Result<()> {
        let operation = self.operation;
        let is_filled = !matches!(part.kind(), Some(FileSystemKind::Btrfs | FileSystemKind::Xfs));
        if is_filled || layout::unused_of(operation, region)?.is_some() {
            return free_space::clear(operation, region);
        }
        // Files of zeros cannot overwrite free space inside of the trees of these file systems.
        let what = format!("{part}: its unused space is not known, so data of removed files may be in it");
        Err(Error::refused(Refusal::Unsanitisable, what))
    }
}

/// Whether a partition that stays unchanged gets a line. Swap space does not, and a medium without file systems has
/// another line.
fn has_line(part: &Part) -> bool {
    match part.kind() {
        Some(kind) => *kind != FileSystemKind::Swap,
        None => part.slot.number != 0,
    }
}

/// Where root file systems mount a partition: ", mounted at /home".
fn mounted_at(part: &Part, views: &[View]) -> String {
    let root = RelativePath::root();
    let mut paths: Vec<String> = views
        .iter()
        .filter(|view| view.number == part.slot.number && view.inside == root && view.named != root)
        .map(|view| format!("/{}", view.named))
        .collect();
    paths.sort();
    paths.dedup();
    if paths.is_empty() { String::new() } else { format!(", mounted at {}", paths.join(", ")) }
}

/// Replaces the error if the file system in the image is full, and not the drive.
fn of_the_image(error: Error, volume: &dyn Volume, what: &str, part: &Part) -> Error {
    let is_full = matches!(&error, Error::Hal { source, .. } if source.kind() == ErrorKind::NoSpace)
        && matches!(volume.space(), Ok(space) if space.free_bytes < FULL_BELOW_BYTES);
    if !is_full {
        return error;
    }
    Error::ImageFull { what: format!("the {what} of {}", part.slot), source: Box::new(error) }
}
