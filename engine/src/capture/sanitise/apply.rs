//! Applies rules to the mounted image.
//!
//! A rule's path may lead through symlinks (`/var/log -> /data/log`). They are followed as in the captured system, but
//! inside of the image only. Removing a link removes the link and not its target. Emptying and cleaning act on the
//! target, which has the content.

use super::super::rootfs::{self, is_nothing};
use super::super::{tree, work};
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::sanitise_rules::{Action, Pattern, Rule};
use replicator_hal::{ErrorKind, FileKind, RelativePath, WriteTree};

/// Where a rule's paths begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Base {
    /// A directory, or a file, of the volume.
    pub(in super::super) inside: RelativePath,
    /// Its path in the rules.
    pub(in super::super) named: RelativePath,
}

impl Base {
    /// The root of the volume is the root for the rules.
    pub(in super::super) fn root() -> Self {
        Self { inside: RelativePath::root(), named: RelativePath::root() }
    }
}

/// Applies one rule. Returns whether something matches it.
pub(in super::super) fn apply(
    operation: &Operation<'_>,
    volume: &dyn WriteTree,
    rule: &Rule,
    base: &Base,
) -> Result<bool> {
    let applying = Applying { operation, volume, rule, base };
    applying.apply().map_err(|error| in_rule(&rule.what, error))
}

/// Adds the rule to an error. An error of hardware or a full file system keeps its kind.
fn in_rule(rule: &str, error: Error) -> Error {
    match error {
        Error::Hal { doing, source }
            if matches!(
                source.kind(),
                ErrorKind::Io | ErrorKind::DeviceGone | ErrorKind::NoSpace | ErrorKind::TimedOut
            ) =>
        {
            Error::Hal { doing: format!("sanitising, rule \"{rule}\": {doing}"), source }
        }
        Error::Sanitise { .. } => error,
        other => Error::Sanitise { rule: rule.to_owned(), detail: other.to_string() },
    }
}

/// The links that a rule matches, by their names.
pub(in super::super) fn matched_links(
    operation: &Operation<'_>,
    volume: &dyn WriteTree,
    rule: &Rule,
) -> Result<Vec<RelativePath>> {
    let applying = Applying { operation, volume, rule, base: &Base::root() };
    let mut links = Vec::new();
    for pattern in rule.paths.iter().filter(|_| rule.action != Action::Touch) {
        let matches = applying.matches(pattern).map_err(|error| in_rule(&rule.what, error))?;
        links.extend(
            matches.into_iter().filter(|found| found.kind == FileKind::Symlink).map(|found| found.named),
        );
    }
    Ok(links)
}

struct Applying<'a> {
    operation: &'a Operation<'a>,
    volume: &'a dyn WriteTree,
    rule: &'a Rule,
    base: &'a Base,
}

/// Something that a pattern matches.
struct Match {
    /// Its path in the rules.
    named: RelativePath,
    /// The same with links resolved.
    path: RelativePath,
    kind: FileKind,
}

impl Applying<'_> {
    fn apply(&self) -> Result<bool> {
        let mut is_matched = false;
        for pattern in &self.rule.paths {
            if self.rule.action == Action::Touch {
                self.touch(pattern)?;
                continue;
            }
            for found in self.matches(pattern)? {
                self.change(&found)?;
                is_matched = true;
            }
        }
        Ok(is_matched)
    }

    fn failed(&self, detail: impl Into<String>) -> Error {
        Error::Sanitise { rule: self.rule.what.clone(), detail: detail.into() }
    }

    fn log(&self, path: &RelativePath) {
        self.operation.log(&format!("rule \"{}\": {} /{path}", self.rule.what, self.rule.action));
    }

    fn change(&self, found: &Match) -> Result<()> {
        match self.rule.action {
            Action::Remove => self.remove(found),
            Action::RemoveContent => self.clean(found, true),
            Action::RemoveFiles => self.clean(found, false),
            Action::Empty => self.empty(found),
            Action::Touch => Ok(()),
        }
    }

    fn remove(&self, found: &Match) -> Result<()> {
        let (operation, volume) = (self.operation, self.volume);
        if self.is_kept_at(&found.named, &found.path) {
            return Ok(());
        }
        self.log(&found.path);
        if found.kind != FileKind::Directory {
            if found.kind == FileKind::Symlink {
                operation.log(&format!("/{} is a link, and its target stays", found.path));
            }
            return tree::remove(operation, volume, &found.path, found.kind);
        }
        // A mount point stays.
        if self.clear(&found.named, &found.path, true)? || found.path == self.base.inside {
            return Ok(());
        }
        operation
            .retry(|| volume.remove_dir(&found.path))
            .map_err(Error::hal(format!("removing the directory {}", found.path)))
    }

    fn clean(&self, found: &Match, with_directories: bool) -> Result<()> {
        let Some((path, FileKind::Directory)) = self.end_of(found)? else {
            // A file in place of a directory may hold what the rule must erase, so it is an error; a link may lead to
            // nothing.
            return match found.kind {
                FileKind::Symlink | FileKind::Directory => Ok(()),
                _ => Err(self.failed(format!("/{} is not a directory", found.path))),
            };
        };
        self.log(&path);
        self.clear(&found.named, &path, with_directories).map(|_| ())
    }

    fn clear(&self, named: &RelativePath, path: &RelativePath, with_directories: bool) -> Result<bool> {
        let is_kept = |below: &RelativePath| {
            let rest = below.as_bytes().get(path.as_bytes().len()..).unwrap_or_default();
            let as_named = RelativePath::parse([named.as_bytes(), b"/", rest].concat());
            as_named.map_or_else(|_| self.is_kept(below), |named| self.is_kept_at(&named, below))
        };
        tree::clear(self.operation, self.volume, path, with_directories, &is_kept)
    }

    fn empty(&self, found: &Match) -> Result<()> {
        let (operation, volume) = (self.operation, self.volume);
        let Some((path, kind)) = self.end_of(found)? else { return Ok(()) };
        if self.is_kept_at(&found.named, &path) {
            return Ok(());
        }
        if kind != FileKind::File {
            return Err(self.failed(format!("/{path} is not a regular file")));
        }
        self.log(&path);
        let doing = || format!("emptying /{path}");
        let mut file = operation.retry(|| volume.open_write(&path)).map_err(Error::hal(doing()))?;
        operation.retry(|| file.set_len(0)).and_then(|()| file.close()).map_err(Error::hal(doing()))
    }

    fn touch(&self, pattern: &Pattern) -> Result<()> {
        let (operation, volume) = (self.operation, self.volume);
        let (Some(named), mode) = (pattern.literal(), self.rule.mode) else {
            return Err(self.failed(format!("{pattern} has wildcards")));
        };
        let named = self.base.inside.join_path(&named);
        let (Some(parent), Some(name)) = (named.parent(), named.file_name()) else { return Ok(()) };
        let Some(parent) = self.resolve(&parent)? else {
            return Err(self.failed(format!("the directory of /{named} does not exist")));
        };
        let path = parent.join(name).map_err(|error| self.failed(error.to_string()))?;
        if work::kind_of(operation, &volume, &path)?.is_some() {
            return Ok(());
        }
        self.log(&path);
        let doing = || format!("making /{path}");
        let mut file = operation.retry(|| volume.create_new(&path, mode)).map_err(Error::hal(doing()))?;
        file.close().map_err(Error::hal(doing()))
    }

    /// Whether the rule keeps this path, or one above it.
    fn is_kept(&self, path: &RelativePath) -> bool {
        self.rule.keep.iter().any(|pattern| pattern.matches_or_holds(path))
    }

    /// Whether the rule keeps it by its name, or by its own path if that is a path of the root file system.
    fn is_kept_at(&self, named: &RelativePath, path: &RelativePath) -> bool {
        self.is_kept(named) || (*self.base == Base::root() && self.is_kept(path))
    }

    /// The target of the match inside of the image; `None` if it does not exist.
    fn end_of(&self, found: &Match) -> Result<Option<(RelativePath, FileKind)>> {
        if found.kind != FileKind::Symlink {
            return Ok(Some((found.path.clone(), found.kind)));
        }
        let Some(path) = self.resolve(&found.path)? else { return Ok(None) };
        Ok(work::kind_of(self.operation, &self.volume, &path)?.map(|kind| (path, kind)))
    }

    fn resolve(&self, path: &RelativePath) -> Result<Option<RelativePath>> {
        rootfs::resolve(self.operation, &self.volume, path)
    }

    /// Everything that `pattern` matches now.
    fn matches(&self, pattern: &Pattern) -> Result<Vec<Match>> {
        // With links followed, `**` could loop for ever.
        let follows_links = !pattern.to_string().contains("**");
        let Base { inside, named } = self.base.clone();
        let mut matches = Vec::new();
        let mut left = tree::ENTRIES_LIMIT;
        let (positions, is_held) = pattern.positions_at(&named);
        let kind = match work::kind_of(self.operation, &self.volume, &inside) {
            Err(Error::Hal { source, .. }) if is_nothing(source.kind()) => None,
            kind => kind?,
        };
        let Some(kind) = kind else { return Ok(matches) };
        if is_held {
            matches.push(Match { named: named.clone(), path: inside.clone(), kind });
        }
        if kind != FileKind::Directory {
            return Ok(matches);
        }
        let mut unread = vec![(named, inside, positions)];
        while let Some((named, path, positions)) = unread.pop() {
            for (below, kind) in tree::children(self.operation, &self.volume, &path, &mut left)? {
                let name = below.file_name().unwrap_or_default();
                let positions = pattern.advance(&positions, name);
                if !positions.is_match() && !positions.may_match_below() {
                    continue;
                }
                let named = named.join(name).map_err(|error| self.failed(error.to_string()))?;
                let found = Match { named: named.clone(), path: below, kind };
                if positions.may_match_below() && (kind == FileKind::Directory || follows_links) {
                    if let Some((path, FileKind::Directory)) = self.end_of(&found)? {
                        unread.push((named, path, positions.clone()));
                    }
                }
                if positions.is_match() {
                    matches.push(found);
                }
            }
        }
        // The deepest first, because removing a directory removes the matches in it.
        matches.sort_by(|one, other| other.path.cmp(&one.path));
        Ok(matches)
    }
}
