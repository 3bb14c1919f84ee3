//! The images on a drive, and the mode that a drive requests, by the names in its root alone.
//!
//! Written from the manual's list of names, separately from the engine.

use super::block_map;
use super::links;
use crate::model::bytes::file_bytes::FileBytes;
use crate::model::bytes::pages::Pages;
use crate::model::hardware::found::{FoundFile, FoundFiles};
use crate::run::{Boot, Evidence, Snapshot};
use crate::scenario::boards;
use crate::scenario::schema::Mode;
use replicator_hal::{FileKind, RelativePath, Status};
use std::sync::Arc;

/// Endings of accepted image names, the preferred first.
pub(in crate::judge) const IMAGE_ENDINGS: [&str; 20] = [
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
    /// Its block map.
    pub map: Option<Vec<u8>>,
}

impl Image {
    /// Whether its name is that of a tarball.
    pub fn is_tarball(&self) -> bool {
        self.name.contains("image.tar")
    }
}

/// The name without the ending of a compression.
pub fn uncompressed(name: &str) -> &str {
    [".xz", ".bz2", ".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// Whether an unfinished session is on the drive.
pub fn has_session(files: &FoundFiles) -> bool {
    RelativePath::parse(".capture").is_ok_and(|path| files.contains_key(&path))
}

/// The drive's files; none if it cannot be read.
pub fn files(snapshot: &Snapshot) -> Arc<FoundFiles> {
    snapshot.files()
}

/// The preferred image of every medium of the scenario that has one.
pub fn images(evidence: &Evidence, files: &FoundFiles) -> Vec<Image> {
    evidence.scenario.media.keys().filter_map(|medium| image(medium, files)).collect()
}

/// The preferred image of a medium.
pub fn image(medium: &str, files: &FoundFiles) -> Option<Image> {
    IMAGE_ENDINGS.iter().find_map(|ending| {
        let name = format!("{medium}image.{ending}");
        let path = RelativePath::parse(&name).ok()?;
        files.get(&path)?;
        let bytes = follow(files, &path).filter(|file| file.inode.kind == FileKind::File);
        let bytes = bytes.map(|file| file.bytes.clone());
        let (records, map) = (records(medium, files, &path), map(files, &name, &path));
        Some(Image { medium: medium.to_owned(), name, bytes, records, map })
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

fn map(files: &FoundFiles, name: &str, path: &RelativePath) -> Option<Vec<u8>> {
    let target = links::follow(files, path.as_bytes(), Some(MOUNT_POINT));
    let target = target.and_then(|target| String::from_utf8(target.as_bytes().to_vec()).ok());
    let mut names = std::iter::once(name).chain(target.as_deref());
    names.find_map(|name| block_map::beside(files, name)).map(<[u8]>::to_vec)
}

/// The file that a name on the drive leads to.
pub(in crate::judge) fn follow<'a>(files: &'a FoundFiles, path: &RelativePath) -> Option<&'a FoundFile> {
    files.get(&links::follow(files, path.as_bytes(), Some(MOUNT_POINT))?)
}

/// Everything apart from the bytes that a verdict on a captured image may depend on. The scenario is the same for all
/// drives of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::judge) struct ImageKey {
    name: String,
    /// Hash of the medium that it was captured from.
    source: Option<u64>,
}

impl ImageKey {
    pub(in crate::judge) fn of(evidence: &Evidence, image: &Image) -> Self {
        let source = evidence.boots[0].before.media.get(&image.medium).map(Pages::hash);
        Self { name: image.name.clone(), source }
    }
}

/// Firmware files on the drive that the board accepts.
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

/// The mode that a drive requests: a write if there is an image or firmware and no unfinished session.
pub fn mode(evidence: &Evidence, files: &FoundFiles) -> Mode {
    let asks = !images(evidence, files).is_empty() || !firmware_files(evidence, files).is_empty();
    if !has_session(files) && asks { Mode::Write } else { Mode::Capture }
}

/// Images that were not on the drive at the beginning of the scenario.
pub fn new_images(evidence: &Evidence, files: &FoundFiles) -> Vec<Image> {
    let old = self::files(&evidence.boots[0].before);
    let is_new = |image: &Image| RelativePath::parse(&image.name).is_ok_and(|path| !old.contains_key(&path));
    images(evidence, files).into_iter().filter(is_new).collect()
}

/// The boots that ended a write in success: index, boot, and the files on the drive before it.
pub fn successful_writes(evidence: &Evidence) -> impl Iterator<Item = (usize, &Boot, Arc<FoundFiles>)> {
    let boots = evidence.boots.iter().enumerate();
    let boots = boots.filter(|(_, boot)| boot.status() == Some(Status::Success));
    let boots = boots.map(|(number, boot)| (number, boot, files(&boot.before)));
    boots.filter(|(.., drive)| mode(evidence, drive) != Mode::Capture)
}
