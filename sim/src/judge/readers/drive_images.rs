//! The images on a drive, and what a drive asks for, by the names in its root alone.
//!
//! Written from the manual's list of names, apart from the engine.

use super::links;
use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::bytes::file_bytes::FileBytes;
use crate::model::bytes::pages::Pages;
use crate::model::hardware::found::{FoundFile, FoundFiles};
use crate::run::{Boot, Evidence, Snapshot};
use crate::scenario::boards;
use crate::scenario::media::DRIVE;
use crate::scenario::schema::Mode;
use replicator_hal::{FileKind, RelativePath, Status};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Endings of accepted names, the preferred first.
const ENDINGS: [&str; 20] = [
    "tar.xz", "tar.bz2", "tar.gz", "tar.zst", "tar", "dd.xz", "dd.bz2", "dd.gz", "dd.zst", "dd", "img.xz",
    "img.bz2", "img.gz", "img.zst", "img", "wic.xz", "wic.bz2", "wic.gz", "wic.zst", "wic",
];
/// Where a board mounts the drive.
const MOUNT_POINT: &str = "/mnt/usb";

/// An image for a medium.
#[derive(Debug, Clone)]
pub struct Image {
    /// The medium.
    pub medium: String,
    /// Name in the root.
    pub name: String,
    /// The bytes of the file, links followed; `None` if they lead to no file.
    pub bytes: Option<FileBytes>,
    /// The records of captures beside it: by its own name, and by that of the file that a link leads to.
    pub records: Vec<String>,
}

impl Image {
    /// Whether it holds a tree, by its name.
    pub fn is_tarball(&self) -> bool {
        self.name.contains("image.tar")
    }
}

/// Whether an unfinished session is on the drive.
pub fn has_session(files: &FoundFiles) -> bool {
    RelativePath::parse(".capture").is_ok_and(|path| files.contains_key(&path))
}

/// How many drives are remembered; judges ask for those of one story over and over.
const REMEMBERED: usize = 8;

thread_local! {
    static SEEN: RefCell<VecDeque<(Pages, Rc<FoundFiles>)>> = const { RefCell::new(VecDeque::new()) };
}

/// The drive's files; none if it cannot be read.
pub fn files(snapshot: &Snapshot) -> Rc<FoundFiles> {
    let Some(drive) = snapshot.media.get(DRIVE) else { return Rc::default() };
    SEEN.with_borrow_mut(|seen| {
        if let Some(at) = seen.iter().position(|(pages, _)| pages.is_shared_with(drive)) {
            // The last one that was asked for is the first in the row.
            seen.make_contiguous()[..=at].rotate_right(1);
            return Rc::clone(&seen[0].1);
        }
        let mut files = snapshot.drive_files().unwrap_or_default();
        share(&mut files, seen.iter().map(|(_, files)| &**files));
        let files = Rc::new(files);
        seen.truncate(REMEMBERED - 1);
        seen.push_front((drive.clone(), Rc::clone(&files)));
        files
    })
}

/// Lets files that are the same as on a drive that is remembered be one with those.
fn share<'a>(files: &mut FoundFiles, remembered: impl Iterator<Item = &'a FoundFiles> + Clone) {
    for file in files.values_mut() {
        let mut others = remembered.clone().flat_map(|files| files.values());
        let same = others.find(|other| other.number == file.number && other.bytes.is_same(&file.bytes));
        if let Some(same) = same {
            file.bytes = same.bytes.clone();
        }
    }
}

/// The preferred image of every medium of the story that has one.
pub fn images(evidence: &Evidence, files: &FoundFiles) -> Vec<Image> {
    evidence.scenario.media.keys().filter_map(|medium| image(medium, files)).collect()
}

/// The preferred image of a medium.
pub fn image(medium: &str, files: &FoundFiles) -> Option<Image> {
    ENDINGS.iter().find_map(|ending| {
        let name = format!("{medium}image.{ending}");
        let path = RelativePath::parse(&name).ok()?;
        files.get(&path)?;
        let bytes = follow(files, &path).filter(|file| file.inode.kind == FileKind::File);
        let bytes = bytes.map(|file| file.bytes.clone());
        Some(Image { medium: medium.to_owned(), name, bytes, records: records(medium, files, &path) })
    })
}

fn records(medium: &str, files: &FoundFiles, path: &RelativePath) -> Vec<String> {
    let target = links::follow(files, path.as_bytes(), Some(MOUNT_POINT));
    let target = target.and_then(|target| String::from_utf8(target.as_bytes().to_vec()).ok());
    let stem = target.as_deref().and_then(|target| target.split_once("image.")).map(|(stem, _)| stem);
    let names = std::iter::once(medium).chain(stem).map(|stem| format!("{stem}image.source"));
    let paths = names.filter_map(|name| RelativePath::parse(&name).ok());
    paths
        .filter_map(|path| files.get(&path))
        .map(|file| String::from_utf8_lossy(&file.bytes).into_owned())
        .collect()
}

/// The file that a name on the drive leads to.
pub(in crate::judge) fn follow<'a>(files: &'a FoundFiles, path: &RelativePath) -> Option<&'a FoundFile> {
    files.get(&links::follow(files, path.as_bytes(), Some(MOUNT_POINT))?)
}

/// All that a verdict over a captured image may depend on beside its bytes.
pub(in crate::judge) fn image_key(evidence: &Evidence, image: &Image) -> u64 {
    let scenario = &evidence.scenario;
    let source = evidence.boots[0].before.media.get(&image.medium).map(Pages::hash);
    fold(FOLD_START, format!("{} {source:?} {scenario:?}", image.name).as_bytes())
}

/// Firmware files on the drive that the board takes.
pub fn firmware_files(evidence: &Evidence, files: &FoundFiles) -> Vec<String> {
    let Some(spec) = &evidence.scenario.firmware else { return Vec::new() };
    let Ok(profile) = boards::profile(&spec.board) else { return Vec::new() };
    let bootloader =
        profile.bootloader.iter().flat_map(|bootloader| &bootloader.files).map(|file| &file.name);
    let updates = profile.microcontroller.iter().map(|micro| &micro.file);
    let names = bootloader.chain(updates).chain(profile.fpga.iter().map(|fpga| &fpga.file));
    let there = |name: &&String| RelativePath::parse(name).is_ok_and(|path| files.contains_key(&path));
    names.filter(there).cloned().collect()
}

/// What a drive asks for: a write if there is an image or firmware and no unfinished session.
pub fn mode(evidence: &Evidence, files: &FoundFiles) -> Mode {
    let asks = !images(evidence, files).is_empty() || !firmware_files(evidence, files).is_empty();
    if !has_session(files) && asks { Mode::Write } else { Mode::Capture }
}

/// Images that were not on the drive when the story began.
pub fn new_images(evidence: &Evidence, files: &FoundFiles) -> Vec<Image> {
    let old = self::files(&evidence.boots[0].before);
    let is_new = |image: &Image| RelativePath::parse(&image.name).is_ok_and(|path| !old.contains_key(&path));
    images(evidence, files).into_iter().filter(is_new).collect()
}

/// The boots that ended a write in success: index, boot, and what lay on the drive before.
pub fn successful_writes(evidence: &Evidence) -> impl Iterator<Item = (usize, &Boot, Rc<FoundFiles>)> {
    let boots = evidence.boots.iter().enumerate();
    let boots = boots.filter(|(_, boot)| boot.status() == Some(Status::Success));
    let boots = boots.map(|(number, boot)| (number, boot, files(&boot.before)));
    boots.filter(|(.., drive)| mode(evidence, drive) != Mode::Capture)
}
