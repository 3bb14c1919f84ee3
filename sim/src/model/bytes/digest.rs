//! Digests: md5 as hex, and a 64-bit hash that is the same in every release.

use md5::{Digest as _, Md5};

/// Folds bytes into a 64-bit hash (FNV-1a): stable over platforms and releases, unlike the standard hasher.
pub fn fold(mut hash: u64, bytes: &[u8]) -> u64 {
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

/// Where [`fold`] starts.
pub const FOLD_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Bytes as hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The md5 of bytes as hex digits.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex(Md5::digest(bytes).as_slice())
}
