//! Secrets: bytes that a capture must not carry, with a marker by which they are found anywhere.
//!
//! The content of every secret is one line, repeated: the marker, the secret's name, its owner, and a unique number.
//! The owner (`emmc`, or `emmc.2` for the second partition of a composed medium) shows where a found secret comes
//! from.

use crate::model::time::random::Random;

/// How the content of every secret begins. This byte string is nowhere else.
pub const MARKER: &[u8] = b"SECRET-";
/// How often the line of a secret is repeated in its file.
const LINES: usize = 12;

/// Makes the secrets of one partition.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    random: Random,
    tag: String,
}

impl Secrets {
    /// The secrets of the partition `tag`.
    pub(super) fn new(tag: &str, seed: u64) -> Self {
        Self { random: Random::child(seed, &format!("golden:{tag}")), tag: tag.to_owned() }
    }

    /// The line of the next secret.
    pub(super) fn line(&mut self, path: &str) -> String {
        let name = path.rsplit('/').next().unwrap_or(path);
        format!("SECRET-{name}-{}-{:016x}\n", self.tag, self.random.next())
    }

    /// The content of a file with the next secret.
    pub(super) fn content(&mut self, path: &str) -> String {
        self.line(path).repeat(LINES)
    }
}

/// The offsets of the markers, and the line of each.
pub fn find_all(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let starts = (0..bytes.len()).filter(|at| bytes[*at] == MARKER[0] && bytes[*at..].starts_with(MARKER));
    starts.map(|at| (at, bytes[at..].split(|byte| *byte == b'\n').next().unwrap_or_default()))
}
