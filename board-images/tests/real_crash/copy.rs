//! Copies and fingerprints of media that are mostly zeros.

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// Unit in which data is copied and hashed.
const BLOCK_LEN_BYTES: usize = 4096;

/// Copies the file of a medium with its holes; returns the fingerprint of the copy.
pub(crate) fn copy(from: &Path, to: &Path) -> u128 {
    let copied = File::create(to).unwrap();
    let (len_bytes, fingerprint) = blocks(from, |offset, block| copied.write_all_at(block, offset).unwrap());
    copied.set_len(len_bytes).unwrap();
    fingerprint
}

/// Fingerprint of the file of a medium. It depends on the bytes and not on the holes.
pub(crate) fn fingerprint(file: &Path) -> u128 {
    blocks(file, |_, _| {}).1
}

/// Calls `each` for every block that is not all zeros. Returns length and fingerprint of the file.
fn blocks(path: &Path, mut each: impl FnMut(u64, &[u8])) -> (u64, u128) {
    let file = File::open(path).unwrap();
    let len_bytes = file.metadata().unwrap().len();
    let mut hash = Xxh3::new();
    hash.update(&len_bytes.to_le_bytes());
    let mut buffer = vec![0; 64 * BLOCK_LEN_BYTES];
    let mut offset = 0;
    while let Some(start) = next_data(&file, offset) {
        // Round down to a block, because file systems report other starts of data.
        offset = start - start % BLOCK_LEN_BYTES as u64;
        let wanted = buffer.len().min((len_bytes - offset) as usize);
        file.read_exact_at(&mut buffer[..wanted], offset).unwrap();
        for block in buffer[..wanted].chunks(BLOCK_LEN_BYTES) {
            if block.iter().any(|byte| *byte != 0) {
                hash.update(&offset.to_le_bytes());
                hash.update(block);
                each(offset, block);
            }
            offset += block.len() as u64;
        }
    }
    (len_bytes, hash.digest128())
}

fn next_data(file: &File, offset: u64) -> Option<u64> {
    match lseek(file, offset as i64, Whence::SeekData) {
        Ok(data) => Some(data as u64),
        Err(Errno::ENXIO) => None,
        Err(error) => panic!("SEEK_DATA: {error}"),
    }
}

#[test]
fn copies_are_equal_and_the_fingerprint_depends_on_every_byte() {
    let directory = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| directory.path().join(name));
    let file = File::create(&from).unwrap();
    file.set_len(3 << 20).unwrap();
    file.write_all_at(b"content", 1_000_001).unwrap();
    file.write_all_at(b"end", (3 << 20) - 3).unwrap();
    assert_eq!(copy(&from, &to), fingerprint(&from));
    assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap());
    let before = fingerprint(&from);
    file.write_all_at(b"C", 1_000_001).unwrap();
    assert_ne!(fingerprint(&from), before);
    file.write_all_at(b"c", 1_000_001).unwrap();
    assert_eq!(fingerprint(&from), before);
    file.set_len(4 << 20).unwrap();
    assert_ne!(fingerprint(&from), before);
}
