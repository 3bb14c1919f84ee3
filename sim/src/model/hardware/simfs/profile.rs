//! What each kind of simulated file system can store, and what a power cut does to it.

use replicator_hal::{Capabilities, FileSystemKind, Timestamp};

/// The first and the last second of ext: 1901-12-13 and 2446-05-10.
const EXT_FIRST: i64 = -(1 << 31);
const EXT_LAST: i64 = EXT_FIRST + (1 << 34) - 1;

/// The kinds that exist in simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// ext2: directory changes reach the medium in any order.
    Ext2,
    /// ext3: journalled and ordered.
    Ext3,
    /// ext4: journalled and ordered.
    Ext4,
    /// FAT: no Unix features, 4 GiB - 1 per file, unordered.
    Vfat,
    /// exFAT: no Unix features, unordered.
    Exfat,
    /// btrfs; only its interface is modelled.
    Btrfs,
    /// F2FS; only its interface is modelled.
    F2fs,
    /// XFS; only its interface is modelled.
    Xfs,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] =
        [Self::Ext2, Self::Ext3, Self::Ext4, Self::Vfat, Self::Exfat, Self::Btrfs, Self::F2fs, Self::Xfs];

    /// The family in the HAL's terms.
    pub fn family(self) -> FileSystemKind {
        match self {
            Self::Ext2 => FileSystemKind::Ext2,
            Self::Ext3 => FileSystemKind::Ext3,
            Self::Ext4 => FileSystemKind::Ext4,
            Self::Vfat => FileSystemKind::Vfat,
            Self::Exfat => FileSystemKind::Exfat,
            Self::Btrfs => FileSystemKind::Btrfs,
            Self::F2fs => FileSystemKind::F2fs,
            Self::Xfs => FileSystemKind::Xfs,
        }
    }

    /// Whether directory changes become durable in the order in which they were made, and data before the size.
    pub fn journalled(self) -> bool {
        !matches!(self, Self::Ext2 | Self::Vfat | Self::Exfat)
    }

    /// Whether the board has a tool that checks it.
    pub fn has_check(self) -> bool {
        self.is_ext() || self == Self::Vfat
    }

    /// Whether its free space is known without mounting it.
    pub fn has_used_map(self) -> bool {
        self != Self::F2fs
    }

    /// Whether it is one of the ext family.
    pub fn is_ext(self) -> bool {
        matches!(self, Self::Ext2 | Self::Ext3 | Self::Ext4)
    }

    /// Whether it has owners, modes, links, nodes and attributes.
    pub fn unix(self) -> bool {
        !matches!(self, Self::Vfat | Self::Exfat)
    }

    pub(crate) fn code(self) -> u8 {
        Self::ALL.iter().position(|kind| *kind == self).unwrap_or(0) as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    pub(crate) fn capabilities(self) -> Capabilities {
        let unix = self.unix();
        Capabilities {
            file_system: self.family(),
            unix,
            sparse: unix,
            case_insensitive: !unix,
            atomic_replace: unix,
            file_len_max_bytes: self.file_len_max_bytes(),
        }
    }

    pub(crate) fn file_len_max_bytes(self) -> u64 {
        match self {
            Self::Vfat => u64::from(u32::MAX),
            Self::Ext2 | Self::Ext3 => 2 << 40,
            Self::Ext4 | Self::F2fs => 16 << 40,
            Self::Btrfs | Self::Xfs => i64::MAX as u64,
            Self::Exfat => 128 << 50,
        }
    }

    /// A time, with the file system's range and resolution.
    pub(crate) fn round_time(self, time: Timestamp) -> Timestamp {
        match self {
            Self::Vfat => Timestamp { seconds: time.seconds & !1, nanos: 0 },
            Self::Exfat => Timestamp { seconds: time.seconds, nanos: time.nanos / 10_000_000 * 10_000_000 },
            // Inodes of 256 bytes hold 34 bits of seconds. The kernel clamps a time outside of that range, without an
            // error.
            _ if time.seconds <= EXT_FIRST => Timestamp { seconds: EXT_FIRST, nanos: 0 },
            _ if time.seconds >= EXT_LAST => Timestamp { seconds: EXT_LAST, nanos: 0 },
            _ => time,
        }
    }

    /// The form of a name that lookups compare.
    pub(crate) fn fold_name(self, name: &[u8]) -> Vec<u8> {
        if self.unix() { name.to_vec() } else { String::from_utf8_lossy(name).to_lowercase().into_bytes() }
    }

    /// Whether the file system allows this name.
    pub(crate) fn takes_name(self, name: &[u8]) -> bool {
        let odd = |byte: &u8| *byte < 0x20 || b"\"*:<>?|\\".contains(byte);
        self.unix() || (std::str::from_utf8(name).is_ok() && !name.iter().any(odd))
    }
}
