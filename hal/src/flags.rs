//! Inode flags, as chattr(1) sets them and lsattr(1) shows them.

/// A set of inode flags of a file or directory.
///
/// It contains only the flags that users set. The kernel returns more, which show how a file system stores a file
/// (extents, index, inline data, encryption, verity, casefolding); these are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct InodeFlags(u32);

impl InodeFlags {
    /// `s`: erase the blocks when the file is deleted.
    pub const SECURE_DELETE: Self = Self(0x1);
    /// `u`: keep the content when the file is deleted.
    pub const UNDELETE: Self = Self(0x2);
    /// `c`: compressed.
    pub const COMPRESS: Self = Self(0x4);
    /// `S`: write synchronously.
    pub const SYNC: Self = Self(0x8);
    /// `i`: the content cannot be changed, and no name of it can be removed.
    pub const IMMUTABLE: Self = Self(0x10);
    /// `a`: a file may only grow; a directory may only get more names.
    pub const APPEND_ONLY: Self = Self(0x20);
    /// `d`: dump(8) ignores it.
    pub const NO_DUMP: Self = Self(0x40);
    /// `A`: access times are not updated.
    pub const NO_ACCESS_TIME: Self = Self(0x80);
    /// `m`: never compressed.
    pub const NO_COMPRESS: Self = Self(0x400);
    /// `j`: the content is written to the journal.
    pub const JOURNAL_DATA: Self = Self(0x4000);
    /// `t`: the last block is not shared with other files.
    pub const NO_TAIL: Self = Self(0x8000);
    /// `D`: names are written synchronously.
    pub const SYNC_NAMES: Self = Self(0x1_0000);
    /// `T`: the directories in it are stored apart from each other.
    pub const TOP_DIRECTORY: Self = Self(0x2_0000);
    /// `C`: no copy-on-write.
    pub const NO_COPY_ON_WRITE: Self = Self(0x80_0000);
    /// `x`: mapped directly (DAX).
    pub const DIRECT_ACCESS: Self = Self(0x200_0000);
    /// `P`: new files in it get its project id.
    pub const PROJECT_INHERIT: Self = Self(0x2000_0000);

    /// The flags that keep a file from being changed or removed.
    pub const LOCKS: Self = Self(Self::IMMUTABLE.0 | Self::APPEND_ONLY.0);
    /// All flags.
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

    /// From the kernel's number (`FS_IOC_GETFLAGS`); flags that are not in this type are dropped.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The kernel's number.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flags that both sets contain.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The flags of either set.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The flags of this set that `other` does not contain.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Each flag as a set of its own. The locks come last: no other flag can be set on a locked file.
    pub fn each(self) -> impl Iterator<Item = Self> {
        let all = self.without(Self::LOCKS).0;
        let locks = self.both(Self::LOCKS).0;
        let bits = |set: u32| (0..u32::BITS).map(|bit| 1 << bit).filter(move |bit| set & bit != 0);
        bits(all).chain(bits(locks)).map(Self)
    }
}
