//! Reports a bootloader in the gap before the partition, which writing a tarball erases. It is no reason to refuse.
//!
//! The gap is read only if the profile states that the board boots from there. A read error is ignored, because the gap
//! is written next.

use crate::operation::Operation;
use crate::profile::MediumProfile;
use replicator_hal::{Target, io};

/// The end of a GPT's header and entries.
const TABLE_LEN_BYTES: u64 = 34 * 512;
/// How much is read at once.
const PIECE_LEN: usize = 64 << 10;

/// A line for the report if bytes before `end_bytes`, which are about to be erased, are not zeros.
pub(super) fn note(
    operation: &Operation<'_>,
    medium: &MediumProfile,
    target: &mut dyn Target,
    end_bytes: u64,
) -> Option<String> {
    if medium.bootloader_in_gap != Some(true) {
        return None;
    }
    let end_bytes = end_bytes.min(operation.tuning.wiped_len_bytes).min(target.len_bytes());
    let mut piece = vec![0; PIECE_LEN];
    let mut at = TABLE_LEN_BYTES;
    while at < end_bytes {
        let len = usize::try_from(end_bytes - at).unwrap_or(PIECE_LEN).min(PIECE_LEN);
        let read = match io::read_target(target, at, &mut piece[..len]) {
            Ok(0) => return None,
            Ok(read) => read,
            Err(error) => {
                operation.log(&format!("looking for a bootloader before the partition: {error}"));
                return None;
            }
        };
        if piece[..read].iter().any(|byte| *byte != 0) {
            return Some(
                "the bytes before the partition were erased, and this board boots from there by its profile: write the \
                 bootloader again, or write a disk image instead of a tarball"
                    .to_owned(),
            );
        }
        at += read as u64;
    }
    None
}
