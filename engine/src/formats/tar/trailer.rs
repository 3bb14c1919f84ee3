//! Recognises the index of files that `pixz` writes after the end of an archive.
//!
//! Its format: a magic number of 8 bytes; for each file its name, a NUL and its offset in the archive; then an empty name
//! and the end of the archive, which is where the index begins. Numbers have 64 bits, little endian. Data of any other
//! form is not an index.

/// The stored form of the constant of pixz, 0xDBAE14D62E324CA6.
const MAGIC: [u8; 8] = [0xa6, 0x4c, 0x32, 0x2e, 0xd6, 0x14, 0xae, 0xdb];

/// Reads an index, piece by piece.
pub(super) struct Index {
    /// Where it begins in the archive.
    start_bytes: u64,
    state: State,
    last_offset_bytes: u64,
}

#[derive(Clone, Copy)]
enum State {
    Magic { seen: usize },
    Name { is_empty: bool },
    Offset { is_last: bool, value: u64, seen: u32 },
    End,
}

impl Index {
    /// An index that begins at this offset of the archive.
    pub(super) fn new(start_bytes: u64) -> Self {
        Self { start_bytes, state: State::Magic { seen: 0 }, last_offset_bytes: 0 }
    }

    /// Reads the next bytes; false if they are not part of an index.
    pub(super) fn is_next(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.is_next_byte(*byte))
    }

    fn is_next_byte(&mut self, byte: u8) -> bool {
        self.state = match self.state {
            State::Magic { seen } if byte != MAGIC[seen] => return false,
            State::Magic { seen: 7 } => State::Name { is_empty: true },
            State::Magic { seen } => State::Magic { seen: seen + 1 },
            State::Name { is_empty } if byte == 0 => State::Offset { is_last: is_empty, value: 0, seen: 0 },
            State::Name { .. } => State::Name { is_empty: false },
            State::Offset { is_last, value, seen } => {
                let value = value | u64::from(byte) << (8 * seen);
                if seen < 7 {
                    State::Offset { is_last, value, seen: seen + 1 }
                } else if is_last {
                    if value != self.start_bytes {
                        return false;
                    }
                    State::End
                } else {
                    // Files come in the order of the archive.
                    if value < self.last_offset_bytes || value >= self.start_bytes {
                        return false;
                    }
                    self.last_offset_bytes = value;
                    State::Name { is_empty: true }
                }
            }
            State::End => return false,
        };
        true
    }

    /// Whether it is complete.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(files: &[(&str, u64)], end: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (name, offset) in files.iter().chain([&("", end)]) {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        bytes
    }

    fn is_index(bytes: &[u8], start_bytes: u64) -> bool {
        let mut index = Index::new(start_bytes);
        bytes.chunks(3).all(|piece| index.is_next(piece)) && index.is_whole()
    }

    #[test]
    fn only_a_whole_index_of_this_archive_is_one() {
        let whole = index(&[("./", 0), ("./etc/", 512), ("./etc/a", 1024)], 10_240);
        assert!(is_index(&whole, 10_240));
        assert!(is_index(&index(&[], 1024), 1024));
        assert!(!is_index(&whole, 10_752), "of another archive");
        assert!(!is_index(&whole[1..], 10_240) && !is_index(b"some text", 10_240));
        for len in 0..whole.len() {
            assert!(!is_index(&whole[..len], 10_240), "cut to {len} bytes");
        }
        assert!(!is_index(&[&whole[..], b"x"].concat(), 10_240), "something follows");
        assert!(!is_index(&index(&[("a", 512), ("b", 0)], 10_240), 10_240), "out of order");
        assert!(!is_index(&index(&[("a", 10_240)], 10_240), 10_240), "beyond the end");
    }
}
