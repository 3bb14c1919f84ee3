//! S3: a file under a valid image name is complete and matches its sidecars, after every boot and every cut.
//!
//! Verified: images that a capture made decode to their ends, and both sidecars and the block map of a disk image exist and are right. Not verified:
//! the content of images, which `captured` checks, and images that existed before, which `old-image` checks.

use crate::judge::readers::block_map;
use crate::judge::readers::decode::decode;
use crate::judge::readers::drive_images::{Image, files, new_images, uncompressed};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::bytes::digest::md5_hex;
use crate::model::bytes::file_bytes::FileBytes;
use crate::model::hardware::found::FoundFiles;
use crate::run::Evidence;
use replicator_hal::RelativePath;

/// The digests of the image with this name: of its decoded bytes, and of the file.
#[derive(PartialEq, Eq, Hash)]
struct Sums(String);

/// The block map of the image with this name.
#[derive(PartialEq, Eq, Hash)]
struct MapOf(String, Vec<u8>);

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::ValidNames,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let found = files(&boot.after);
        for image in new_images(evidence, &found) {
            if let Err(what) = whole(&image, &found) {
                wrong.push(format!("after boot {}: {what}", number + 1));
            }
        }
    }
    wrong
}

fn whole(image: &Image, found: &FoundFiles) -> Result<(), String> {
    let name = &image.name;
    let bytes = image.bytes.as_ref().ok_or_else(|| format!("{name} is not a file"))?;
    let sums = |bytes: &FileBytes| {
        let plain = decode(name, bytes)?;
        let plain = (!plain.is_empty()).then(|| plain.md5().to_owned());
        plain.map(|plain| (plain, md5_hex(bytes))).ok_or_else(|| format!("{name} is empty"))
    };
    if !image.is_tarball() {
        let map = image.map.clone().ok_or_else(|| format!("{name} has no block map"))?;
        let is_right = |bytes: &FileBytes| block_map::is_right(&map, &decode(name, bytes)?);
        let result = bytes.cached(MapOf(name.clone(), map.clone()), is_right);
        result.map_err(|what| format!("the block map of {name}: {what}"))?;
    }
    let (plain, encoded) = bytes.cached(Sums(name.clone()), sums)?;
    let uncompressed = uncompressed(name);
    matches(found, uncompressed, &plain)?;
    if uncompressed == name { Ok(()) } else { matches(found, name, &encoded) }
}

fn matches(found: &FoundFiles, name: &str, md5: &str) -> Result<(), String> {
    let sidecar = format!("{name}.md5");
    let path = RelativePath::parse(&sidecar).map_err(|error| error.to_string())?;
    let text = &found.get(&path).ok_or_else(|| format!("{sidecar} is missing"))?.bytes;
    let wanted = format!("{md5}  {name}\n");
    if **text == *wanted.as_bytes() {
        return Ok(());
    }
    Err(format!("{sidecar} has {:?} instead of {wanted:?}", String::from_utf8_lossy(text)))
}
