//! GUIDs of partition tables: the first three groups are little-endian on disk.

use replicator_hal::Uuid;
use std::fmt;

/// A GUID by its bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid(pub(super) [u8; 16]);

/// The place on disk of each byte of the text.
const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl Guid {
    /// Reads the usual text, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let Uuid(text_order) = Uuid::parse(text)?;
        Some(Self(ORDER.map(|place| text_order[place])))
    }

    /// Random bytes, marked as a GUID of version 4.
    pub(super) fn random(mut bytes: [u8; 16]) -> Self {
        bytes[7] = bytes[7] & 0x0F | 0x40;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        Self(bytes)
    }

    /// From 16 bytes on disk; missing bytes are zeros.
    pub(super) fn on_disk(bytes: &[u8]) -> Self {
        let mut guid = [0; 16];
        for (to, from) in guid.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self(guid)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid(ORDER.map(|place| self.0[place])).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_groups_are_little_endian_on_disk() {
        let guid = Guid::parse("0FC63DAF-8483-4772-8E79-3D69D8477DE4").unwrap();
        assert_eq!(guid.0[..8], [0xAF, 0x3D, 0xC6, 0x0F, 0x83, 0x84, 0x72, 0x47]);
        assert_eq!(guid.to_string(), "0fc63daf-8483-4772-8e79-3d69d8477de4");
        assert_eq!(Guid::on_disk(&guid.0), guid);
    }
}
