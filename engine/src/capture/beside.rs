//! Finds the directories on other file systems to which the rules for the root's paths apply.
//!
//! A root file system mounts other file systems (`/var`, `/home`, `/data`) by `/etc/fstab` or mount units, mounts
//! overlays over its directories, and has symlinks to other file systems (`/var/log -> /data/log`). Each of its paths
//! that lies elsewhere becomes a [`View`]: a directory in a partition, and the path of it in the root. Overlays that an
//! initial RAM disk mounts are recognised by their directories: `upper` beside `work`.

use super::rootfs::{self, Rootfs, is_nothing};
use super::sanitise::apply::matched_links;
use super::survey::Part;
use super::{tree, work};
use crate::drive_file::read_small;
use crate::error::{Error, Result};
use crate::fstab::{self, Entry, Spec};
use crate::operation::Operation;
use crate::sanitise_rules::{Pattern, Place, Rules};
use replicator_hal::{Access, ErrorKind, FileKind, ReadTree, RelativePath};
use std::collections::BTreeSet;

/// Depth to which upper directories are searched.
const UPPER_DEPTH_MAX: usize = 4;
/// Longest chain of links that is followed.
const LINKS_MAX: usize = 8;

/// A directory of a partition that is part of the root's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// Number of its partition.
    pub(super) number: u32,
    /// The directory in the partition's file system.
    pub(super) inside: RelativePath,
    /// Its path in the root.
    pub(super) named: RelativePath,
}

/// What is mounted below one root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mounts {
    /// In the order in which they are mounted. Of several that hold a path, the deepest is used.
    views: Vec<View>,
}

impl Mounts {
    /// Where an absolute path may lie, with the name `named`, if it is in a file system other than the root.
    fn locate(&self, path: &RelativePath, named: &RelativePath) -> Vec<View> {
        let above: Vec<&View> = self.views.iter().filter(|view| path.starts_with(&view.named)).collect();
        let depth_of = |view: &View| view.named.components().count();
        let depth = above.iter().map(|view| depth_of(view)).max().unwrap_or(0);
        let deepest = above.into_iter().filter(|view| depth_of(view) == depth);
        let at = |view: &View| {
            let mut inside = view.inside.clone();
            for name in path.components().skip(depth) {
                inside = inside.join(name).ok()?;
            }
            Some(View { number: view.number, inside, named: named.clone() })
        };
        deepest.filter_map(at).collect()
    }

    /// The partitions that are mounted at `path`.
    pub(super) fn mounted_at(&self, path: &RelativePath) -> impl Iterator<Item = &View> {
        let path = path.clone();
        self.views.iter().filter(move |view| view.named == path && view.inside == RelativePath::root())
    }

    /// All of them.
    pub(super) fn views(&self) -> &[View] {
        &self.views
    }
}

/// What the root file system in `root` mounts of the other `parts`, and the targets of the links that `rules` follow.
pub(super) fn of_root(
    operation: &Operation<'_>,
    parts: &[Part],
    root: &Rootfs,
    rules: &Rules,
) -> Result<Mounts> {
    // Read-only: mounting a btrfs or XFS for writing would write to it again.
    root.with_mounted(operation, Access::ReadOnly, |volume| {
        let entries = entries(operation, &volume)?;
        let mut mounts = Mounts::default();
        let disk = entries.iter().find(|entry| entry.is_root()).and_then(|entry| match &entry.spec {
            Spec::Partition { disk, .. } => Some(disk.as_str()),
            _ => None,
        });
        for entry in &entries {
            let Some(named) = entry.path().filter(|path| *path != RelativePath::root()) else { continue };
            let found = views_of(entry, &named, parts, disk, &mounts, root);
            if found.is_empty() {
                operation.log(&format!(
                    "{}: {} is not on this medium",
                    entry.spec,
                    String::from_utf8_lossy(&entry.mount_point)
                ));
            }
            mounts.views.extend(found);
        }
        let mut paths = BTreeSet::new();
        for rule in rules.rules.iter().filter(|rule| rule.place == Place::Root) {
            paths.extend(rule.paths.iter().filter_map(Pattern::literal_start));
            paths.extend(matched_links(operation, &volume, rule)?);
        }
        for path in paths {
            let found = linked(operation, &volume, &path, &mounts)?;
            mounts.views.extend(found);
        }
        // Rules find what lies in the root itself, but not the overlays over it.
        mounts
            .views
            .retain(|view| view.number != root.part.slot.number || view.inside != in_root(root, &view.named));
        Ok(mounts)
    })
}

/// What one line may mount of this medium. If several partitions have the name, the system may mount any of them, so the
/// result has all.
fn views_of(
    entry: &Entry,
    named: &RelativePath,
    parts: &[Part],
    disk: Option<&str>,
    mounts: &Mounts,
    root: &Rootfs,
) -> Vec<View> {
    let in_tree = |path: &str| {
        let parsed = path.strip_prefix('/').and_then(|path| RelativePath::parse(path).ok());
        let Some(path) = parsed else { return Vec::new() };
        let found = mounts.locate(&path, named);
        if !found.is_empty() {
            return found;
        }
        vec![View { number: root.part.slot.number, inside: in_root(root, &path), named: named.clone() }]
    };
    if entry.is_bind() {
        return in_tree(&entry.spec.to_string());
    }
    if let Some(upper) = entry.option("upperdir") {
        return in_tree(upper);
    }
    let subvolume = entry.option("subvol").map(|path| path.trim_start_matches('/'));
    let Ok(inside) = RelativePath::parse(subvolume.unwrap_or_default()) else { return Vec::new() };
    let mut fitting: Vec<&Part> = parts.iter().filter(|part| is_named(part, &entry.spec, disk)).collect();
    if fitting.iter().any(|part| **part != root.part) {
        fitting.retain(|part| **part != root.part);
    }
    let view = |part: &Part| View { number: part.slot.number, inside: inside.clone(), named: named.clone() };
    fitting.into_iter().map(view).collect()
}

/// A path of the root as a path of the file system that holds it.
fn in_root(root: &Rootfs, path: &RelativePath) -> RelativePath {
    root.subvolume.as_ref().map_or_else(|| path.clone(), |subvolume| subvolume.join_path(path))
}

/// Whether a specification of fstab names this partition. `disk` is the root's kernel name for the medium, if known.
fn is_named(part: &Part, spec: &Spec, disk: Option<&str>) -> bool {
    let is =
        |found: Option<&String>, wanted: &str| found.is_some_and(|found| found.eq_ignore_ascii_case(wanted));
    let file_system = part.file_system.as_ref();
    match spec {
        Spec::Uuid(uuid) => is(file_system.and_then(|found| found.uuid.as_ref()), uuid),
        Spec::Label(label) => file_system.is_some_and(|found| found.label.as_ref() == Some(label)),
        Spec::PartUuid(uuid) => is(part.slot.uuid.as_ref(), uuid),
        Spec::PartLabel(name) => part.slot.name.as_ref() == Some(name),
        Spec::Partition { disk: named, number } => {
            *number == part.slot.number && disk.is_none_or(|disk| disk == named)
        }
        Spec::Other(_) => false,
    }
}

/// The lines of fstab, and the mount units in the same form.
fn entries(operation: &Operation<'_>, volume: &dyn ReadTree) -> Result<Vec<Entry>> {
    let mut entries = match read(operation, volume, &work::in_root("etc")?, b"fstab")? {
        Some(text) => fstab::parse(&text),
        None => Vec::new(),
    };
    for directory in ["etc/systemd/system", "usr/lib/systemd/system"] {
        let Some(directory) = resolved(operation, volume, directory.as_bytes())? else { continue };
        if work::kind_of(operation, volume, &directory)? != Some(FileKind::Directory) {
            continue;
        }
        for found in tree::list_sorted(operation, volume, &directory)? {
            if found.name.ends_with(b".mount") {
                let unit = read(operation, volume, &directory, &found.name)?;
                entries.extend(unit.as_deref().and_then(mount_unit));
            }
        }
    }
    Ok(entries)
}

/// A mount unit (systemd.mount(5)) as a line of fstab.
fn mount_unit(text: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(text).ok()?;
    let value = |key: &str| {
        text.lines()
            .rev()
            .find_map(|line| Some(line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?.trim()))
    };
    let options = value("Options").unwrap_or_default().split(',');
    Some(Entry {
        line: 0,
        spec: Spec::parse(value("What")?),
        mount_point: value("Where")?.as_bytes().to_vec(),
        kind: value("Type").unwrap_or("auto").to_owned(),
        options: options.filter(|option| !option.is_empty()).map(str::to_owned).collect(),
    })
}

/// The content of a small file; `None` if it does not exist or is not a regular file.
fn read(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    directory: &RelativePath,
    name: &[u8],
) -> Result<Option<Vec<u8>>> {
    let path = [directory.as_bytes(), b"/", name].concat();
    let Some(path) = resolved(operation, volume, &path)? else { return Ok(None) };
    if work::kind_of(operation, volume, &path)? != Some(FileKind::File) {
        return Ok(None);
    }
    let doing = || format!("reading /{path} in the image");
    operation.retry(|| read_small(volume, &path, fstab::LIMIT_BYTES)).map(Some).map_err(Error::hal(doing()))
}

fn resolved(operation: &Operation<'_>, volume: &dyn ReadTree, path: &[u8]) -> Result<Option<RelativePath>> {
    let Ok(path) = RelativePath::parse(path) else { return Ok(None) };
    rootfs::resolve(operation, volume, &path)
}

/// Where `path` lies, if a symlink in it leads to another file system.
fn linked(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    path: &RelativePath,
    mounts: &Mounts,
) -> Result<Vec<View>> {
    let mut at = path.clone();
    for _ in 0..LINKS_MAX {
        let mut above = RelativePath::root();
        let mut link = None;
        for (index, name) in at.components().enumerate() {
            let Ok(next) = above.join(name) else { return Ok(Vec::new()) };
            let kind = match work::kind_of(operation, volume, &next) {
                Err(Error::Hal { source, .. }) if is_nothing(source.kind()) => None,
                kind => kind?,
            };
            if kind == Some(FileKind::Symlink) {
                let text = operation
                    .retry(|| volume.read_link(&next))
                    .map_err(Error::hal(format!("reading the link /{next}")))?;
                link = Some((above.clone(), text, index + 1));
                break;
            }
            above = next;
        }
        let Some((above, text, done)) = link else { return Ok(Vec::new()) };
        let mut target = if text.starts_with(b"/") { RelativePath::root() } else { above };
        let rest: Vec<Vec<u8>> = at.components().skip(done).map(<[u8]>::to_vec).collect();
        for name in text.split(|byte| *byte == b'/').chain(rest.iter().map(Vec::as_slice)) {
            target = match name {
                b"" | b"." => target,
                b".." => target.parent().unwrap_or(RelativePath::root()),
                name => match target.join(name) {
                    Ok(next) => next,
                    Err(_) => return Ok(Vec::new()),
                },
            };
        }
        let found = mounts.locate(&target, path);
        if !found.is_empty() {
            return Ok(found);
        }
        at = target;
    }
    Ok(Vec::new())
}

/// Upper directories of overlays in the mounted partition `number`.
pub(super) fn uppers(operation: &Operation<'_>, number: u32, volume: &dyn ReadTree) -> Result<Vec<View>> {
    let mut found = Vec::new();
    let mut left = tree::ENTRIES_LIMIT;
    let mut unread = vec![(RelativePath::root(), 0)];
    while let Some((directory, depth)) = unread.pop() {
        let children = tree::children(operation, volume, &directory, &mut left)?;
        let directories: Vec<&RelativePath> =
            children.iter().filter(|(_, kind)| *kind == FileKind::Directory).map(|(path, _)| path).collect();
        let named = |name: &[u8]| directories.iter().find(|path| path.file_name() == Some(name));
        if let (Some(upper), Some(_)) = (named(b"upper"), named(b"work")) {
            found.push(View { number, inside: (*upper).clone(), named: covered(operation, volume, upper)? });
            continue;
        }
        if depth + 1 < UPPER_DEPTH_MAX {
            unread.extend(directories.into_iter().map(|path| (path.clone(), depth + 1)));
        }
    }
    Ok(found)
}

/// The directory that an upper directory covers: the root if its entries are those of a root, else the directory that the
/// parent's name gives, such as `overlay/etc/upper` or `overlay-etc/upper`.
fn covered(operation: &Operation<'_>, volume: &dyn ReadTree, upper: &RelativePath) -> Result<RelativePath> {
    const OF_A_ROOT: [&[u8]; 6] = [b"etc", b"usr", b"var", b"root", b"home", b"lib"];
    let entries = tree::list_sorted(operation, volume, upper)?;
    if entries.iter().any(|entry| OF_A_ROOT.contains(&entry.name.as_slice())) {
        return Ok(RelativePath::root());
    }
    let parent = upper.parent().and_then(|parent| parent.file_name().map(<[u8]>::to_vec)).unwrap_or_default();
    let name = parent.rsplit(|byte| matches!(byte, b'-' | b'_')).next().unwrap_or_default();
    let name = if OF_A_ROOT.contains(&name) { name } else { b"" };
    RelativePath::parse(name)
        .map_err(|error| replicator_hal::Error::new(ErrorKind::InvalidInput, "naming", "", error.to_string()))
        .map_err(Error::hal("looking for overlays"))
}

#[cfg(test)]
mod tests;
