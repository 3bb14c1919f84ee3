//! Finds out whether a tarball holds a root file system, by the same test as a capture, and if not, the likely cause.
//!
//! A tarball that was packed one directory too high extracts without an error, and the clone does not boot.

use super::tar_tree::{Shape, leads_to_directory};
use crate::error::{Error, Refusal, Result};
use crate::printable;
use replicator_hal::RelativePath;

/// How many names in the root a message has.
const NAMES_SHOWN_MAX: usize = 6;

/// `None` if the tree of the tarball `name` is a root file system, else the refusal.
///
/// # Errors
/// Internal errors.
pub(super) fn refusal(name: &str, tree: &Shape) -> Result<Option<Error>> {
    if is_rootfs(tree, &RelativePath::root())? {
        return Ok(None);
    }
    let what = format!("{name} holds no root file system (/etc, and /usr or /bin): {}", cause(tree)?);
    Ok(Some(Error::refused(Refusal::NoRootfs, what)))
}

/// `/etc`, and `/usr` or `/bin`, below `top`.
fn is_rootfs(tree: &Shape, top: &RelativePath) -> Result<bool> {
    let has = |name: &str| {
        let path = top.join(name).map_err(|error| Error::Internal { detail: format!("{name}: {error}") })?;
        Ok::<bool, Error>(leads_to_directory(tree, &path))
    };
    Ok(has("etc")? && (has("usr")? || has("bin")?))
}

fn cause(tree: &Shape) -> Result<String> {
    let mut files = tree.paths().filter(|(_, is_directory)| !is_directory).map(|(path, _)| path);
    match (files.next(), files.next()) {
        (None, _) => return Ok("there are no files in it".to_owned()),
        (Some(only), None) => return Ok(format!("there is only one file in it, {}", shown(only))),
        _ => {}
    }
    // Goes down while a directory holds one directory and nothing else.
    let mut top = RelativePath::root();
    while let Some(next) = only_directory(tree, &top) {
        top = next;
        if is_rootfs(tree, &top)? {
            let shown = shown(&top);
            return Ok(format!("all of it is below {shown}/; pack it with \"tar -C {shown} ... .\""));
        }
    }
    let names = names_in(tree, &RelativePath::root());
    for directory in names.iter().filter(|(_, is_directory)| *is_directory).map(|(path, _)| path) {
        if is_rootfs(tree, directory)? {
            let shown = shown(directory);
            return Ok(format!("there is one below {shown}/; pack it with \"tar -C {shown} ... .\""));
        }
    }
    let mut list: Vec<String> = names.iter().take(NAMES_SHOWN_MAX).map(|(path, _)| shown(path)).collect();
    if names.len() > NAMES_SHOWN_MAX {
        list.push(format!("{} more", names.len() - NAMES_SHOWN_MAX));
    }
    Ok(format!("there are {} in it", list.join(", ")))
}

/// The names in `directory`, and whether each is a directory.
fn names_in(tree: &Shape, directory: &RelativePath) -> Vec<(RelativePath, bool)> {
    let is_in = |path: &RelativePath| path.parent().is_some_and(|parent| parent == *directory);
    tree.paths().filter(|(path, _)| is_in(path)).map(|(path, kind)| (path.clone(), kind)).collect()
}

/// The only name in `directory`, if it is a directory.
fn only_directory(tree: &Shape, directory: &RelativePath) -> Option<RelativePath> {
    let mut names = names_in(tree, directory);
    let (path, is_directory) = names.pop()?;
    (names.is_empty() && is_directory).then_some(path)
}

fn shown(path: &RelativePath) -> String {
    printable::line(&path.to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tar::Entry;

    /// Why the tree of these sketches is no root file system.
    fn why(entries: &str) -> Option<String> {
        let mut tree = Shape::default();
        for text in entries.split_whitespace() {
            tree.add(&Entry::sketched(text)).unwrap();
        }
        refusal("sdimage.tar", &tree).unwrap().map(|error| {
            assert_eq!(error.code(), "R-ROOTFS");
            error.to_string()
        })
    }

    #[test]
    fn a_root_file_system_is_recognised_as_in_a_capture() {
        for rootfs in [
            "etc/ usr/",
            "etc/hostname bin/sh",
            "usr/ bin>usr/bin etc/",
            "etc/ usr/bin/ bin>usr/bin",
            "etc>/system/etc system/etc/ bin>system/bin system/bin/",
            "boot/ etc/passwd usr/bin/env",
        ] {
            assert_eq!(why(rootfs), None, "{rootfs}");
        }
    }

    #[test]
    fn the_refusal_has_the_likely_cause() {
        for (entries, cause) in [
            ("", "there are no files in it"),
            ("etc/ boot/", "there are no files in it"),
            ("sdimage.dd", "there is only one file in it, sdimage.dd"),
            ("a/b/sdimage.dd", "there is only one file in it, a/b/sdimage.dd"),
            ("rootfs/etc/a rootfs/usr/b", "all of it is below rootfs/; pack it with \"tar -C rootfs ... .\""),
            ("x/y/etc/a x/y/bin/b", "all of it is below x/y/; pack it with \"tar -C x/y ... .\""),
            ("readme rootfs/etc/a rootfs/usr/b", "there is one below rootfs/"),
            ("boot/zImage boot/a.dtb lib/modules/x", "there are boot, lib in it"),
            ("a b c d e f g h", "there are a, b, c, d, e, f, 2 more in it"),
            ("etc usr/a", "there are etc, usr in it"),
            ("etc>nowhere usr/a b", "there are b, etc, usr in it"),
            ("etc>etc usr/a b", "there are b, etc, usr in it"),
        ] {
            let text = why(entries).unwrap_or_else(|| panic!("{entries}"));
            assert!(text.contains(cause), "{entries}: {text}");
        }
    }
}
