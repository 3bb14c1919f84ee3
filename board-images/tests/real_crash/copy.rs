//! Copies and fingerprints of media that are mostly zeros.

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// What counts as one piece of data.
const BLOCK_LEN_BYTES: usize = 4096;

/// Copies a medium's file with its holes, and gives the fingerprint of what was copied.
pub(crate) fn copy(from: &Path, to: &Path) -> u128 {
    let copied = File::create(to).unwrap();
    let (len_bytes, fingerprint) = blocks(from, |offset, block| copied.write_all_at(block, offset).unwrap());
    copied.set_len(len_bytes).unwrap();
    fingerprint
}

/// Fingerprint of a medium's file: equal ones hold equal bytes, whatever their holes are.
pub(crate) fn fingerprint(file: &Path) -> u128 {
    blocks(file, |_, _| {}).1
}

/// Gives every block that is not all zeros to `each`. Returns the file's length and its fingerprint.
fn blocks(path: &Path, mut each: impl FnMut(u64, &[u8])) -> (u64, u128) {
    let file = File::open(path).unwrap();
    let len_bytes = file.metadata().unwrap().len();
    let mut hash = Xxh3::new();
    hash.update(&len_bytes.to_le_bytes());
    let mut buffer = vec![0; 64 * BLOCK_LEN_BYTES];
    let mut offset = 0;
    while let Some(start) = next_data(&file, offset) {
        // Data begins at a block wherever the file system says it does.
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
        Err(error) => panic!("looking for data: {error}"),
    }
}

#[test]
fn copies_are_equal_and_every_byte_counts() {
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
