//! Inode flags, as chattr(1) sets and lsattr(1) shows them.

/// A set of inode flags of a file or directory.
///
/// Only those that users set: how a file system stores a file (extents, an index, inline data, encryption, verity,
/// casefolding) is shown by the kernel among them, but is not held here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct InodeFlags(u32);

impl InodeFlags {
    /// `s`: blocks are to be erased with the file.
    pub const SECURE_DELETE: Self = Self(0x1);
    /// `u`: content is to be kept when the file is deleted.
    pub const UNDELETE: Self = Self(0x2);
    /// `c`: compressed.
    pub const COMPRESS: Self = Self(0x4);
    /// `S`: written synchronously.
    pub const SYNC: Self = Self(0x8);
    /// `i`: nothing may be changed, and no name of it removed.
    pub const IMMUTABLE: Self = Self(0x10);
    /// `a`: a file may only grow, a directory only get more names.
    pub const APPEND_ONLY: Self = Self(0x20);
    /// `d`: dump(8) passes it over.
    pub const NO_DUMP: Self = Self(0x40);
    /// `A`: times of access are not kept.
    pub const NO_ACCESS_TIME: Self = Self(0x80);
    /// `m`: never compressed.
    pub const NO_COMPRESS: Self = Self(0x400);
    /// `j`: content goes through the journal.
    pub const JOURNAL_DATA: Self = Self(0x4000);
    /// `t`: the last block is not shared.
    pub const NO_TAIL: Self = Self(0x8000);
    /// `D`: names are written synchronously.
    pub const SYNC_NAMES: Self = Self(0x1_0000);
    /// `T`: directories in it are apart from each other.
    pub const TOP_DIRECTORY: Self = Self(0x2_0000);
    /// `C`: not copied when it is written.
    pub const NO_COPY_ON_WRITE: Self = Self(0x80_0000);
    /// `x`: mapped directly.
    pub const DIRECT_ACCESS: Self = Self(0x200_0000);
    /// `P`: what is made in it belongs to its project.
    pub const PROJECT_INHERIT: Self = Self(0x2000_0000);

    /// Those that keep others from changing or removing it.
    pub const LOCKS: Self = Self(Self::IMMUTABLE.0 | Self::APPEND_ONLY.0);
    /// All of them.
    pub const ALL: Self = Self(
        Self::SECURE_DELETE.0
            | Self::UNDELETE.0
            | Self::COMPRESS.0
            | Self::SYNC.0
            | Self::LOCKS.0
            | Self::NO_DUMP.0
            | Self::NO_ACCESS_TIME.0
            | Self::NO_COMPRESS.0
            | Self::JOURNAL_DATA.0
            | Self::NO_TAIL.0
            | Self::SYNC_NAMES.0
            | Self::TOP_DIRECTORY.0
            | Self::NO_COPY_ON_WRITE.0
            | Self::DIRECT_ACCESS.0
            | Self::PROJECT_INHERIT.0,
    );

    /// No flags.
    pub const fn none() -> Self {
        Self(0)
    }

    /// The kernel's number (`FS_IOC_GETFLAGS`), without what is not held here.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The kernel's number.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that both have.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those of either.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These, but not those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Each flag by itself, the locks last: what is locked takes no other flag.
    pub fn each(self) -> impl Iterator<Item = Self> {
        let all = self.without(Self::LOCKS).0;
        let locks = self.both(Self::LOCKS).0;
        let bits = |set: u32| (0..u32::BITS).map(|bit| 1 << bit).filter(move |bit| set & bit != 0);
        bits(all).chain(bits(locks)).map(Self)
    }
}
