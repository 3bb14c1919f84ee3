//! Changes media and drive after a run.

use replicator_hal::{FileKind, RelativePath, Result, Timestamp};
use replicator_sim::model::bytes::pages::Pages;
use replicator_sim::model::hardware::simfs::{Backing, SimFs};
use replicator_sim::run::Snapshot;
use std::io::Write;

/// Where the drive's partition starts.
const DRIVE_START_BYTES: u64 = 32 << 10;

/// Flips a bit of a medium.
pub(crate) fn flip(snapshot: &mut Snapshot, medium: &str, at: u64) {
    let pages = snapshot.media.get_mut(medium).unwrap();
    let byte = pages.bytes(at, 1)[0];
    pages.write(at, &[byte ^ 1]);
}

struct Drive<'a>(&'a mut Pages);

impl Backing for Drive<'_> {
    fn read(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read(DRIVE_START_BYTES + offset_bytes, buffer);
        Ok(())
    }

    fn write(&mut self, offset_bytes: u64, data: &[u8]) -> Result<()> {
        self.0.write(DRIVE_START_BYTES + offset_bytes, data);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Puts a file onto the drive, or removes it if `content` is `None`.
pub(crate) fn put(snapshot: &mut Snapshot, name: &str, content: Option<&[u8]>) {
    let pages = snapshot.media.get_mut("drive").unwrap();
    let len = pages.len_bytes() - DRIVE_START_BYTES;
    let (path, now) = (RelativePath::parse(name).unwrap(), Timestamp::default());
    let mut drive = Drive(pages);
    let mut fs = SimFs::load(&mut drive, len).unwrap();
    if fs.lookup(&path).is_ok() {
        let inode = fs.lookup(&path).unwrap();
        let is_directory = fs.inode(inode).unwrap().kind == FileKind::Directory;
        fs.remove(&path, is_directory, now).unwrap();
    }
    if let Some(content) = content {
        let inode = fs.create(&path, FileKind::File, 0o644, now).unwrap();
        let mut done = 0;
        while done < content.len() {
            done += fs.write(&mut drive, inode, done as u64, &content[done..], now).unwrap();
        }
    }
    fs.sync(&mut drive).unwrap();
}

/// Compresses with xz.
pub(crate) fn xz(plain: &[u8]) -> Vec<u8> {
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}
