//! S15: no symlink, archive entry or `..` leads outside of its volume.
//!
//! Verified: in every image of a root file system that a capture made, the files to which links in erased directories
//! lead exist with their content; an image that is a link out of the drive never changes its medium. Not verified:
//! paths that leave a mounted volume, which the traits cannot express.

use crate::judge::readers::archive;
use crate::judge::readers::decode::decode;
use crate::judge::readers::drive_images::{ImageKey, files, images, mode, new_images};
use crate::judge::readers::links;
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::bytes::file_bytes::FileBytes;
use crate::model::bytes::pages::Pages;
use crate::model::bytes::tree::Tree;
use crate::model::hardware::found::{self, files_in};
use crate::run::Evidence;
use crate::scenario::composition::Holds;
use crate::scenario::content::{Fate, Held, held};
use crate::scenario::schema::Mode;
use replicator_hal::FileKind;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::Containment,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let drive = files(&boot.before);
        if mode(evidence, &drive) == Mode::Capture {
            continue;
        }
        for image in images(evidence, &drive).iter().filter(|image| image.bytes.is_none()) {
            if boot.before.media.get(&image.medium) != boot.after.media.get(&image.medium) {
                let what = format!(
                    "boot {}: {} leads to no file, but {} changed",
                    number + 1,
                    image.name,
                    image.medium
                );
                wrong.push(what);
            }
        }
    }
    let found = files(&evidence.last().after);
    for image in new_images(evidence, &found) {
        let lost = |bytes: &FileBytes| {
            let tree = tree_of(evidence, &image.medium, &image.name, bytes);
            tree.map(|tree| lost_targets(evidence, &image.medium, &tree)).unwrap_or_default()
        };
        let Some(bytes) = &image.bytes else { continue };
        for lost in bytes.cached(Lost(ImageKey::of(evidence, &image)), lost) {
            wrong.push(format!(
                "{}: {lost} is missing; only a link in an erased directory leads to it",
                image.name
            ));
        }
    }
    wrong
}

/// What a captured image lost behind links.
#[derive(PartialEq, Eq, Hash)]
struct Lost(ImageKey);

fn tree_of(evidence: &Evidence, medium: &str, name: &str, bytes: &FileBytes) -> Option<Tree> {
    let plain = decode(name, bytes).ok()?;
    if name.contains("image.tar") {
        return archive::read(&plain).ok();
    }
    let part = first_rootfs(evidence, medium)?.part;
    let pages = Pages::from(&**plain);
    files_in(&pages, part.start_bytes, part.len_bytes).ok().map(|found| found::tree_of(&found))
}

fn first_rootfs(evidence: &Evidence, medium: &str) -> Option<Held> {
    held(&evidence.scenario, medium).into_iter().find(|held| held.part.holds() == Holds::Rootfs)
}

/// Kept files and directories to which a removed link leads and that are not in `tree`.
fn lost_targets(evidence: &Evidence, medium: &str, tree: &Tree) -> Vec<String> {
    let Some(golden) = first_rootfs(evidence, medium).and_then(|held| held.tree) else { return Vec::new() };
    let links = golden.entries.iter().filter(|entry| entry.fate == Fate::Removed);
    // The link is resolved at its old place, because its directory may be gone.
    let targets = links.filter_map(|entry| match &entry.entry.node {
        crate::model::hardware::content::Node::Symlink(text) if text.starts_with('/') => Some(text.clone()),
        crate::model::hardware::content::Node::Symlink(text) => Some(format!(
            "/{}/{text}",
            entry.entry.path.rsplit_once('/').map_or("", |(directory, _)| directory)
        )),
        _ => None,
    });
    let is_there = |target: &str| {
        links::follow(tree, target.as_bytes(), None).is_some_and(|path| {
            tree.get(&path).is_some_and(|node| node.kind != FileKind::File || !node.bytes.is_empty())
        })
    };
    targets.filter(|target| !is_there(target)).collect()
}
