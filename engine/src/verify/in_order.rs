//! Compares a mounted tree with an archive whose entries come in order (`formats::tar::in_order`), without a list of them: the
//! archive is read once more, and some of its entries at a time are compared with the medium.
//!
//! No name comes twice in such an archive, and each is found on the medium. So a directory that lists as many names as the
//! archive has for it has no others.

use super::kept::Kept;
use super::times::Times;
use super::tree::{self, ExpectedFile, LOST_AND_FOUND, Manifest, TreeCheck};
use crate::error::{Error, Result};
use crate::formats::FormatError;
use crate::formats::tar::in_order::{Closed, InOrder};
use crate::formats::tar::{Entry, EntryKind, Reader};
use crate::operation::Operation;
use replicator_hal::{ReadTree, RelativePath};
use std::io::Read;
use xxhash_rust::xxh3::Xxh3;

/// How many entries are compared at a time, if their data ranges, link texts and attributes are short.
const ENTRIES_AT_ONCE: usize = 4096;
/// How much memory they may take.
const BYTES_AT_ONCE: u64 = 2 << 20;

/// An archive that is read once more.
pub(crate) struct Again<'a, R> {
    /// Its name in messages.
    pub(crate) name: &'a str,
    /// Its entries.
    pub(crate) reader: Reader<R>,
    /// The memory that an entry takes in a list.
    pub(crate) memory_bytes: fn(&Entry) -> u64,
    /// How many entries it has.
    pub(crate) entries: u64,
}

/// Checks every entry of `archive`, each after `expect` has changed it to what was extracted.
///
/// # Errors
/// As [`tree::verify`]; errors of the archive; `Internal` if it has another number of entries.
pub(crate) fn verify<R: Read>(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    archive: Again<'_, R>,
    expect: impl Fn(&mut Entry),
    data_len_bytes: u64,
) -> Result<(Times, Kept)> {
    let Again { name, mut reader, memory_bytes, entries } = archive;
    let check = TreeCheck::new(operation, volume, data_len_bytes);
    let mut readers = check.readers();
    let mut order = InOrder::new(());
    let (mut batch, mut batch_bytes, mut ended) = (Manifest::new(), 0, Vec::new());
    let (mut compared, mut has_lost_and_found) = (0, false);
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes.max(1)];
    loop {
        let next = reader.next_entry().map_err(Error::format(name))?;
        let is_last = next.is_none();
        if let Some(mut entry) = next {
            expect(&mut entry);
            let path = std::mem::take(&mut entry.path);
            order.go_to(&path, |closed| ended.push(closed)).map_err(|_| not_as_checked(name, &path))?;
            if entry.kind == EntryKind::Directory {
                order.open(path.clone(), ());
            }
            has_lost_and_found |= path.as_bytes() == LOST_AND_FOUND;
            let hash = hash(&entry, &mut reader, &mut buffer).map_err(Error::format(name))?;
            batch_bytes += memory_bytes(&entry) + path.as_bytes().len() as u64;
            batch.insert(path, ExpectedFile { entry, hash });
        } else {
            ended.extend(std::iter::from_fn(|| order.close()));
        }
        if is_last || batch.len() >= ENTRIES_AT_ONCE || batch_bytes >= BYTES_AT_ONCE {
            compared += batch.len() as u64;
            readers = check.compare(&batch, readers)?;
            batch.clear();
            batch_bytes = 0;
            for closed in ended.drain(..) {
                check_children(operation, volume, &closed, has_lost_and_found)?;
            }
        }
        if is_last {
            break;
        }
    }
    if compared != entries {
        return Err(Error::Internal { detail: format!("{compared} of {entries} entries were compared") });
    }
    let times = check.times(readers)?;
    check.finish();
    Ok((times, Kept(())))
}

fn not_as_checked(name: &str, path: &RelativePath) -> Error {
    Error::Internal { detail: format!("{name}: the entry {path} is not in the order of the check") }
}

/// The hash over the data ranges of a file, as of the bytes that are read from a medium.
fn hash<R: Read>(
    entry: &Entry,
    reader: &mut Reader<R>,
    buffer: &mut [u8],
) -> std::result::Result<u128, FormatError> {
    if !matches!(entry.kind, EntryKind::File { .. }) {
        return Ok(0);
    }
    let mut hash = Xxh3::new();
    while let Some((_, len)) = reader.read_data(buffer)? {
        hash.update(&buffer[..len]);
    }
    Ok(hash.digest128())
}

/// Fails if a directory, all of whose entries were compared, has others.
fn check_children(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    closed: &Closed<()>,
    has_lost_and_found: bool,
) -> Result<()> {
    let found = tree::paths_in(operation, volume, &closed.path)?;
    let mut expected = closed.children;
    if closed.path.is_root() && !has_lost_and_found {
        if let Some(path) = found.iter().find(|path| path.as_bytes() == LOST_AND_FOUND) {
            if !tree::is_empty_directory(operation, volume, path)? {
                return Err(tree::not_in_archive(operation, path));
            }
            expected += 1;
        }
    }
    if found.len() as u64 != expected {
        return Err(tree::others_in_directory(operation, &closed.path, found.len() as u64, expected));
    }
    operation.renew(operation.tuning.io_lease);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests on a real host need calls that the engine must not use"
    )]

    use super::*;
    use crate::tuning::Tuning;
    use replicator_hal::host::HostBoard;
    use replicator_hal::{Access, DeviceKind, DeviceName, FileSystem, FileSystemKind, Holder, Region};
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, UNIX_EPOCH};

    /// More files than are compared at a time.
    const FILES: usize = ENTRIES_AT_ONCE + 100;

    /// Makes some directories of files, one of which has two names.
    fn make(root: &Path) {
        for number in 0..FILES {
            let directory = root.join(format!("d{}", number % 3));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(format!("{number:05}")), number.to_string()).unwrap();
        }
        fs::hard_link(root.join("d0/00000"), root.join("d2/link")).unwrap();
        fs::write(root.join("md5sums.txt"), "the last entry").unwrap();
        set_times(root);
    }

    fn set_times(directory: &Path) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                set_times(&path);
            }
            set_time(&path);
        }
        set_time(directory);
    }

    fn set_time(path: &Path) {
        fs::File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
    }

    /// An archive of the directory in the order of a capture.
    fn archive(root: &Path) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_dir("./", root).unwrap();
        for directory in ["d0", "d1", "d2"] {
            builder.append_dir(directory, root.join(directory)).unwrap();
            let mut names: Vec<_> =
                fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            for name in names {
                let path = Path::new(directory).join(&name);
                if name == "link" {
                    let mut header = tar::Header::new_gnu();
                    header.set_metadata(&fs::metadata(root.join(&path)).unwrap());
                    header.set_entry_type(tar::EntryType::Link);
                    header.set_size(0);
                    builder.append_link(&mut header, &path, "d0/00000").unwrap();
                } else {
                    builder.append_path_with_name(root.join(&path), &path).unwrap();
                }
            }
        }
        builder.append_path_with_name(root.join("md5sums.txt"), "md5sums.txt").unwrap();
        builder.into_inner().unwrap()
    }

    /// What the comparison of a changed tree with the archive of the unchanged one finds; `None` if it accepts it.
    fn found(change: impl FnOnce(&Path)) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        make(&root);
        let bytes = archive(&root);
        change(&root);
        let host = HostBoard::new(directory.path());
        fs::write(directory.path().join("medium.img"), [0; 512]).unwrap();
        let name = DeviceName::parse("sda").unwrap();
        let medium = directory.path().join("medium.img");
        host.devices.register(replicator_hal::host::HostDevice::new(name.clone(), medium, DeviceKind::Sd));
        let region = Region { holder: Holder::Device(name), offset_bytes: 0, len_bytes: 512 };
        let kind = FileSystemKind::Ext4;
        let file_system =
            FileSystem { kind, label: None, uuid: None, len_bytes: None, needs_recovery: false };
        host.file_systems.register(&region, &root, file_system);
        let board = host.board(&[], "");
        let tuning = Tuning::default();
        let operation = Operation::new(&board, &tuning, "sd", "sd");
        let volume = board.file_systems.mount(&region, Access::ReadOnly).unwrap();
        let again = Again {
            name: "sdimage.tar",
            reader: Reader::new(&bytes[..], crate::formats::tar::ReaderLimits::default()),
            memory_bytes: |_| 300,
            // With the root, the directories, the second name and the list.
            entries: FILES as u64 + 6,
        };
        let result = verify(&operation, &*volume, again, |_| (), 0);
        volume.unmount().unwrap();
        result.err().map(|error| error.to_string())
    }

    #[test]
    fn the_extracted_tree_is_accepted() {
        assert_eq!(found(|_| ()), None);
    }

    #[test]
    fn a_new_file_system_may_have_an_empty_lost_and_found() {
        let add = |root: &Path, name: &str| {
            fs::create_dir_all(root.join(name)).unwrap();
            set_time(root);
        };
        assert_eq!(found(|root| add(root, "lost+found")), None);
        let error = found(|root| add(root, "lost+found/x")).unwrap();
        assert!(error.contains("lost+found"), "{error}");
    }

    #[test]
    fn every_difference_is_found_wherever_it_is() {
        let changed = |path: &'static str, content: &'static str| {
            move |root: &Path| {
                let path = root.join(path);
                fs::write(&path, content).unwrap();
                set_times(path.parent().unwrap());
                set_time(path.parent().unwrap().parent().unwrap());
            }
        };
        for (path, content, why) in [
            ("d1/00001", "x", "d1/00001"),
            ("d2/00002", "xx", "d2/00002"),
            ("md5sums.txt", "THE LAST ENTRY", "md5sums.txt"),
            // More than the archive has, in a directory and in the root.
            ("d1/more", "", "an older file system is still on the medium"),
            ("d0/00000-more", "", "an older file system is still on the medium"),
        ] {
            let error = found(changed(path, content)).unwrap_or_else(|| panic!("{path}"));
            assert!(error.contains(why), "{path}: {error}");
        }
        let error = found(|root| {
            fs::write(root.join("zzz"), "").unwrap();
            set_time(root);
        });
        assert!(error.unwrap().contains("an older file system"));
        let error = found(|root| {
            fs::remove_file(root.join("d1/00001")).unwrap();
            set_time(&root.join("d1"));
        });
        assert!(error.unwrap().contains("d1/00001"));
        // The second name is another file with the same content.
        let error = found(|root| {
            fs::remove_file(root.join("d2/link")).unwrap();
            fs::copy(root.join("d0/00000"), root.join("d2/link")).unwrap();
            set_times(root);
        });
        assert!(error.unwrap().contains("no hard link"));
    }
}
