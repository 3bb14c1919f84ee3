//! Where partitions lie on the media of stories.

use crate::scenario::schema::Content;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Shorter media keep everything nearer to the start.
const SMALL_LEN_BYTES: u64 = 6 * MIB;
/// Still shorter ones are packed as tightly as their files allow: what costs time in a small run is bytes.
const TINY_LEN_BYTES: u64 = 3 * MIB;
/// Room for the copy of a GPT at the end.
const GPT_TAIL_BYTES: u64 = 64 << 10;

/// Kinds of partition tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// MBR with primary partitions.
    Mbr,
    /// MBR whose second entry is an extended partition with the rest of the partitions in it.
    Logical,
    /// GPT.
    Gpt,
}

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// FAT, for boot loaders.
    Boot,
    /// The golden root file system.
    Rootfs,
    /// Data, which is nobody's to sanitise.
    Data,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Number as the kernel counts.
    pub number: u32,
    /// What it holds.
    pub role: Role,
    /// Start on the medium.
    pub start_bytes: u64,
    /// Length.
    pub len_bytes: u64,
}

/// A partitioned medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The table.
    pub scheme: Scheme,
    /// The partitions.
    pub parts: Vec<Part>,
}

fn part(number: u32, role: Role, start_bytes: u64, end_bytes: u64) -> Part {
    Part { number, role, start_bytes, len_bytes: end_bytes.saturating_sub(start_bytes) }
}

impl Layout {
    /// The layout of `content` on a medium of this length; `None` if it has no partitions.
    pub fn of(content: Content, len_bytes: u64) -> Option<Self> {
        // Where a single partition starts, and where the first of two starts and ends.
        let (single, start, between) = match len_bytes {
            0..TINY_LEN_BYTES if content == Content::RootAndData => (64 * KIB, 64 * KIB, 704 * KIB),
            0..TINY_LEN_BYTES => (64 * KIB, 64 * KIB, 256 * KIB),
            TINY_LEN_BYTES..SMALL_LEN_BYTES => (MIB, MIB / 2, MIB),
            _ => (4 * MIB, MIB, 4 * MIB),
        };
        let gpt_end = len_bytes.saturating_sub(GPT_TAIL_BYTES);
        let two = |first, second, end| vec![part(1, first, start, between), part(2, second, between, end)];
        let (scheme, parts) = match content {
            Content::Blank | Content::Stamped => return None,
            Content::Single | Content::Rootfs => {
                (Scheme::Mbr, vec![part(1, Role::Rootfs, single, len_bytes)])
            }
            Content::SingleGpt => (Scheme::Gpt, vec![part(1, Role::Rootfs, single, gpt_end)]),
            Content::Data => (Scheme::Mbr, vec![part(1, Role::Data, single, len_bytes)]),
            Content::BootAndRoot => (Scheme::Mbr, two(Role::Boot, Role::Rootfs, len_bytes)),
            Content::Gpt => (Scheme::Gpt, two(Role::Boot, Role::Rootfs, gpt_end)),
            Content::RootAndData => (Scheme::Mbr, two(Role::Rootfs, Role::Data, len_bytes)),
            Content::Logical if len_bytes < TINY_LEN_BYTES => {
                let parts = vec![
                    part(1, Role::Boot, 64 * KIB, 256 * KIB),
                    part(5, Role::Rootfs, 320 * KIB, 896 * KIB),
                    part(6, Role::Data, 960 * KIB, len_bytes),
                ];
                (Scheme::Logical, parts)
            }
            Content::Logical => {
                let parts = vec![
                    part(1, Role::Boot, MIB, 2 * MIB),
                    part(5, Role::Rootfs, 3 * MIB, 5 * MIB + MIB / 2),
                    part(6, Role::Data, 6 * MIB, len_bytes),
                ];
                (Scheme::Logical, parts)
            }
        };
        Some(Self { scheme, parts })
    }

    /// Where the first partition starts.
    pub fn first_start(&self) -> u64 {
        self.parts.iter().map(|part| part.start_bytes).min().unwrap_or(0)
    }

    /// The partition with the root file system, if there is one.
    pub fn rootfs(&self) -> Option<&Part> {
        self.parts.iter().find(|part| part.role == Role::Rootfs)
    }
}
