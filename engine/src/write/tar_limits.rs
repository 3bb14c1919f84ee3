//! Limits of an archive, checked for each entry before anything is erased. An entry that no Linux file system can hold is
//! refused, and so are entries that take too much memory until they are verified.

use crate::error::{Error, Refusal, Result};
use crate::formats::FormatError;
use crate::formats::tar::{Entry, EntryKind};
use crate::printable;
use crate::size::Size;
use crate::tuning::Tuning;
use replicator_hal::{NodeKind, RelativePath, Xattr};

/// Space that an entry takes in a file system beside its data: an inode, and its part of a directory.
const ENTRY_LEN_BYTES: u64 = 256;
/// Memory that an entry takes in the manifest beside its variable parts: the two values, empty space in the tree's nodes,
/// and the overhead of the allocator.
const ENTRY_MEMORY_BYTES: u64 = 320;
/// The same for one attribute.
const XATTR_MEMORY_BYTES: u64 = 64;

/// Longest path and symlink text of system calls: PATH_MAX without its NUL.
const PATH_LEN_MAX: usize = 4095;
/// Longest name in a directory, and of an attribute (NAME_MAX, XATTR_NAME_MAX).
const NAME_LEN_MAX: usize = 255;
/// Largest value of an attribute (XATTR_SIZE_MAX).
const XATTR_LEN_MAX: usize = 64 << 10;
/// Largest file of ext4 with blocks of 4 KiB.
const FILE_LEN_MAX_BYTES: u64 = 16 << 40;
/// Largest numbers of a device: 12 and 20 bits in the kernel and in ext4 (`include/linux/kdev_t.h`). Higher bits are
/// dropped silently.
const MAJOR_MAX: u32 = (1 << 12) - 1;
const MINOR_MAX: u32 = (1 << 20) - 1;

/// Adds up what the entries of an archive need.
#[derive(Debug, Default)]
pub(super) struct Needs {
    entries: u64,
    /// Bytes of file data.
    pub(super) data_len_bytes: u64,
    memory_bytes: u64,
    /// No list of the entries is kept.
    has_no_list: bool,
}

impl Needs {
    /// For an archive that is verified without a list.
    pub(super) fn without_list() -> Self {
        Self { has_no_list: true, ..Self::default() }
    }

    /// How many entries were taken.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// The memory that the list of the entries takes so far.
    pub(super) fn list_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Takes one more entry of the archive `name`.
    ///
    /// # Errors
    /// `Unsupported` for what cannot be restored; `ImageTooLarge`.
    pub(super) fn add(
        &mut self,
        name: &str,
        entry: &Entry,
        tuning: &Tuning,
        medium_len_bytes: u64,
    ) -> Result<()> {
        if let Some(what) = impossible(entry) {
            let what = format!("{what} (entry \"{}\")", printable::line(&entry.path.to_string()));
            return Err(Error::format(name)(FormatError::Unsupported { format: "tar", what }));
        }
        self.entries += 1;
        if let EntryKind::File { data, .. } = &entry.kind {
            self.data_len_bytes = data
                .iter()
                .fold(self.data_len_bytes, |sum, range| sum.saturating_add(range.end - range.start));
        }
        if !self.has_no_list {
            self.memory_bytes = self.memory_bytes.saturating_add(memory_bytes(entry));
        }
        let too_large = |what: String| Err(Error::refused(Refusal::ImageTooLarge, format!("{name} {what}")));
        let needed = self.data_len_bytes.saturating_add(self.entries.saturating_mul(ENTRY_LEN_BYTES));
        if needed > medium_len_bytes {
            return too_large(format!(
                "needs more than {:#}, the medium has {:#}",
                Size(needed),
                Size(medium_len_bytes)
            ));
        }
        if self.entries > tuning.tar_entries_max {
            return too_large(format!("has more than {} entries", tuning.tar_entries_max));
        }
        if self.memory_bytes > tuning.tar_memory_bytes {
            let limit = Size(tuning.tar_memory_bytes);
            return too_large(format!("has so many entries that verifying it takes more than {limit}"));
        }
        Ok(())
    }

    /// An archive without entries is no root file system.
    ///
    /// # Errors
    /// `WrongContent`.
    pub(super) fn check_not_empty(&self, name: &str) -> Result<()> {
        if self.entries == 0 {
            return Err(Error::refused(Refusal::WrongContent, format!("{name} holds no files")));
        }
        Ok(())
    }
}

/// The memory that an entry takes in a list.
pub(super) fn memory_bytes(entry: &Entry) -> u64 {
    let held_bytes = match &entry.kind {
        EntryKind::File { data, .. } => data.len() * size_of::<std::ops::Range<u64>>(),
        EntryKind::Symlink { text } => text.len(),
        // Two lists hold the names.
        EntryKind::HardLink { existing } => 3 * entry.path.as_bytes().len() + 3 * existing.as_bytes().len(),
        EntryKind::Directory | EntryKind::Node(_) => 0,
    };
    let xattrs_bytes: u64 =
        entry.xattrs.iter().map(|xattr| XATTR_MEMORY_BYTES + xattr_len_bytes(xattr)).sum();
    ENTRY_MEMORY_BYTES + (entry.path.as_bytes().len() + held_bytes) as u64 + xattrs_bytes
}

fn xattr_len_bytes(xattr: &Xattr) -> u64 {
    (xattr.name.len() + xattr.value.len()) as u64
}

/// Why no Linux file system can hold the entry.
fn impossible(entry: &Entry) -> Option<&'static str> {
    let is_long = |path: &RelativePath| {
        path.as_bytes().len() > PATH_LEN_MAX || path.components().any(|name| name.len() > NAME_LEN_MAX)
    };
    if is_long(&entry.path) {
        return Some("a path that is too long for a file system");
    }
    match &entry.kind {
        EntryKind::Symlink { text } if text.len() > PATH_LEN_MAX => {
            return Some("a link text that is too long");
        }
        EntryKind::File { len_bytes, .. } if *len_bytes > FILE_LEN_MAX_BYTES => {
            return Some("a file that is too long");
        }
        EntryKind::Node(NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor })
            if *major > MAJOR_MAX || *minor > MINOR_MAX =>
        {
            return Some("a device number that Linux does not have");
        }
        _ => {}
    }
    let is_too_large = |xattr: &Xattr| xattr.name.len() > NAME_LEN_MAX || xattr.value.len() > XATTR_LEN_MAX;
    if entry.xattrs.iter().any(is_too_large) {
        return Some("an attribute that is too large");
    }
    // xattr(7): user attributes are for regular files and directories only. An archive may repeat attributes with a hard
    // link; they are checked with the first name.
    let may_have_user =
        matches!(entry.kind, EntryKind::File { .. } | EntryKind::Directory | EntryKind::HardLink { .. });
    if !may_have_user && entry.xattrs.iter().any(|xattr| xattr.name.starts_with(b"user.")) {
        return Some("a user attribute on something other than a file or directory");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIUM_LEN_BYTES: u64 = 1 << 30;

    fn with_xattr(mut entry: Entry, name: &str, len_bytes: usize) -> Entry {
        entry.xattrs.push(Xattr { name: name.into(), value: vec![1; len_bytes] });
        entry
    }

    fn code(entry: &Entry) -> Option<&'static str> {
        let result = Needs::default().add("sdimage.tar", entry, &Tuning::default(), MEDIUM_LEN_BYTES);
        result.err().map(|error| error.code())
    }

    #[test]
    fn what_no_file_system_can_hold_is_refused_before_anything_is_erased() {
        let file = |path: &str| Entry::plain(path, EntryKind::File { len_bytes: 0, data: Vec::new() });
        let link = |len: usize| Entry::plain("l", EntryKind::Symlink { text: vec![b'x'; len] });
        let fifo = || Entry::plain("f", EntryKind::Node(NodeKind::Fifo));
        let device = |major, minor| Entry::plain("d", EntryKind::Node(NodeKind::CharDevice { major, minor }));
        let long_name = "n".repeat(256);
        let deep = "d/".repeat(300_000);
        for (bad, why) in [
            (file(&long_name), "long name"),
            (file(&deep), "deep path"),
            (link(4096), "link text"),
            (Entry::plain("h", EntryKind::File { len_bytes: 1 << 60, data: Vec::new() }), "length"),
            (with_xattr(file("a"), "user.a", (64 << 10) + 1), "value"),
            (with_xattr(file("a"), &format!("user.{long_name}"), 1), "attribute name"),
            (with_xattr(link(1), "user.a", 1), "user attribute of a link"),
            (with_xattr(fifo(), "user.a", 1), "user attribute of a fifo"),
            (device(4096, 0), "major number"),
            (device(0, 1 << 20), "minor number"),
        ] {
            assert_eq!(code(&bad), Some("F-UNSUPPORTED"), "{why}");
        }
        for good in [
            file(&"n".repeat(255)),
            link(4095),
            with_xattr(file("a"), "user.a", 64 << 10),
            with_xattr(link(1), "security.selinux", 10),
            with_xattr(
                Entry::plain("h", EntryKind::HardLink { existing: RelativePath::parse("a").unwrap() }),
                "user.a",
                10,
            ),
            device(4095, (1 << 20) - 1),
        ] {
            assert_eq!(code(&good), None, "{}", good.path);
        }
    }

    #[test]
    fn an_entry_takes_no_more_memory_than_is_counted() {
        let held_bytes = size_of::<RelativePath>() + size_of::<crate::verify::ExpectedFile>();
        // Nodes of the tree are more than half full.
        assert!(2 * held_bytes as u64 <= ENTRY_MEMORY_BYTES + 32, "{held_bytes}");
    }

    #[test]
    fn entries_data_and_memory_are_all_bounded() {
        let add_all = |entry: &Entry, tuning: &Tuning, medium_len_bytes: u64| {
            let mut needs = Needs::default();
            let error = (0..100_000).find_map(|_| needs.add("x.tar", entry, tuning, medium_len_bytes).err());
            (needs.entries, error.map(|error| error.code()))
        };
        let small = Entry::plain("a", EntryKind::Directory);
        let few = Tuning { tar_entries_max: 10, ..Tuning::default() };
        assert_eq!(add_all(&small, &few, MEDIUM_LEN_BYTES), (11, Some("R-TOOLARGE")));
        assert_eq!(add_all(&small, &Tuning::default(), 2560), (11, Some("R-TOOLARGE")));
        let fat = with_xattr(small.clone(), "user.a", 64 << 10);
        let tight = Tuning { tar_memory_bytes: 1 << 20, ..Tuning::default() };
        let (entries, code) = add_all(&fat, &tight, MEDIUM_LEN_BYTES);
        assert!(entries < 17 && code == Some("R-TOOLARGE"), "{entries} {code:?}");
        let holes = Entry::plain("a", EntryKind::File { len_bytes: 2 << 20, data: vec![0..1; 1 << 16] });
        let (entries, code) = add_all(&holes, &tight, MEDIUM_LEN_BYTES);
        assert!(entries <= 2 && code == Some("R-TOOLARGE"), "{entries} {code:?}");
        assert_eq!(add_all(&small, &Tuning::default(), MEDIUM_LEN_BYTES), (100_000, None));
    }
}
