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
/// How many digits the number at the end of a line has.
const NUMBER_LEN: usize = 16;

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

/// The unique number at the end of a secret's line, without its end of line; `None` if the line is cut.
pub fn number_of(line: &[u8]) -> Option<&[u8]> {
    let number = &line[line.iter().rposition(|byte| *byte == b'-')? + 1..];
    let is_whole = number.len() == NUMBER_LEN && number.iter().all(u8::is_ascii_hexdigit);
    (is_whole && line.starts_with(MARKER)).then_some(number)
}

/// The offsets of the markers, and the line of each.
pub fn find_all(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let starts = (0..bytes.len()).filter(|at| bytes[*at] == MARKER[0] && bytes[*at..].starts_with(MARKER));
    starts.map(|at| (at, bytes[at..].split(|byte| *byte == b'\n').next().unwrap_or_default()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_with_marker_and_end_has_a_number() {
        let line = Secrets::new("emmc.2", 1).line("etc/ssh/key");
        let whole = line.trim_end().as_bytes();
        let number = number_of(whole).unwrap();
        assert!(number.len() == NUMBER_LEN && whole.ends_with(number));
        for cut in 1..whole.len() {
            assert_eq!((number_of(&whole[..cut]), number_of(&whole[cut..])), (None, None), "at {cut}");
        }
        assert_eq!(number_of(&[whole, b"\0"].concat()), None);
    }
}
