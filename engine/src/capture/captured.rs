//! Compares a capture once more, after the last write to the drive.
//!
//! Sidecars, records, names and the end of the session are written after an image was read back. On a drive that has less
//! flash than it reports, these writes may overwrite its partition table, its file system or an image. So the drive is
//! unmounted, its cached pages are dropped, and it is mounted again as the next boot mounts it; then every file of the
//! capture is read and compared.

use super::commit::Published;
use super::session_exists;
use super::work::in_root;
use crate::drive::Place;
use crate::drive_file::DriveFile;
use crate::error::{Error, FaultyPart, Result};
use crate::expand::SourceReader;
use crate::formats::ReadAt;
use crate::formats::codec;
use crate::formats::digest::{Algorithm, Digest};
use crate::formats::hashing::Hashing;
use crate::formats::partition;
use crate::operation::Operation;
use crate::report::{End, Outcome};
use crate::sidecars::Sidecars;
use crate::size::Size;
use crate::tuning::Tuning;
use crate::verify::CapturedBefore;
use replicator_hal::{Access, ErrorKind, FileSystem, ReadTree, RelativePath, Source, Volume};

/// The outcomes of a capture whose files were not compared since the last write to the drive.
#[must_use]
pub struct Captured {
    tuning: Tuning,
    outcomes: Vec<Outcome>,
    /// The files of an outcome, by its number.
    files: Vec<(usize, Files)>,
}

/// The files of one medium.
pub(super) enum Files {
    /// Made by this boot.
    Now(Published),
    /// Made by an earlier boot of the session.
    Before(CapturedBefore),
}

impl Captured {
    pub(super) fn new(tuning: &Tuning, outcomes: Vec<Outcome>, files: Vec<(usize, Files)>) -> Self {
        Self { tuning: tuning.clone(), outcomes, files }
    }

    /// The outcomes as they are. They are no success: for a run that failed, and for tests.
    pub fn unchecked(self) -> Vec<Outcome> {
        self.outcomes
    }

    /// Compares all files with what was captured. The drive at `place` is not mounted, and nothing is written to it any
    /// more. An outcome whose files are not there is a failure.
    pub(crate) fn check(self, board: &replicator_hal::Board, place: &Place) -> Vec<Outcome> {
        let Self { tuning, mut outcomes, mut files } = self;
        files.retain(|(number, _)| {
            outcomes.get(*number).is_some_and(|outcome| matches!(outcome.end, End::Done(_)))
        });
        if files.is_empty() {
            return outcomes;
        }
        let operation = Operation::new(board, &tuning, "capture", "capture");
        operation.step("mounting the drive again to compare what it holds");
        let is_ended = outcomes.iter().all(|outcome| !matches!(outcome.end, End::Failed(_)));
        let mut failures = Vec::new();
        let checked = with_drive_again(&operation, place, |volume| {
            if is_ended && session_exists(volume).map_err(Error::hal("looking for the session"))? {
                return Err(lost("the end of the session", "its directory is on the drive again".into()));
            }
            for (number, files) in &files {
                if let Err(error) = files.check(&operation, volume) {
                    failures.push((*number, error));
                }
            }
            Ok(())
        });
        if let Err(error) = checked {
            // The drive as a whole: no image on it is captured.
            let mut first = Some(error);
            failures = files
                .iter()
                .map(|(number, files)| {
                    (*number, first.take().unwrap_or_else(|| lost(&files.image(), NOT_READ.into())))
                })
                .collect();
        }
        for (number, error) in failures {
            operation.log(&format!("failed: {error} [{}]", error.code()));
            outcomes[number].end = End::Failed(error);
        }
        outcomes
    }
}

const NOT_READ: &str = "it could not be compared after the last write to the drive";

/// The drive does not hold what was written to it.
fn lost(what: &str, detail: String) -> Error {
    Error::Verify {
        part: FaultyPart::Drive,
        what: format!("{what} on the drive"),
        offset_bytes: None,
        detail,
    }
}

/// An error of a call that succeeds on a drive that holds what was written to it. Errors of the transfer keep their kind.
fn on_drive(what: &str, error: replicator_hal::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::SymlinkInPath
        | ErrorKind::Corrupt
        | ErrorKind::Unsupported
        | ErrorKind::InvalidInput
        | ErrorKind::OutOfRange => lost(what, error.to_string()),
        _ => Error::hal(format!("comparing {what} on the drive"))(error),
    }
}

/// Finds the drive as the next boot does, mounts it read-only, and unmounts it after `work`, also after an error.
fn with_drive_again(
    operation: &Operation<'_>,
    place: &Place,
    work: impl FnOnce(&dyn ReadTree) -> Result<()>,
) -> Result<()> {
    compare_table(operation, place)?;
    let file_systems = &operation.board.file_systems;
    let region = &place.region;
    let found = operation
        .retry(|| file_systems.identify(region))
        .map_err(|error| on_drive("the file system", error))?;
    let names = |found: &FileSystem| (found.kind.clone(), found.label.clone(), found.uuid.clone());
    if found.as_ref().map(names) != Some(names(&place.file_system)) {
        return Err(lost("the file system", format!("{region} is not the drive any more")));
    }
    let volume: Box<dyn Volume> = operation
        .retry(|| file_systems.mount(region, Access::ReadOnly))
        .map_err(|error| on_drive("the file system", error))?;
    let worked = work(&volume);
    let unmounted = volume.unmount().map_err(Error::hal("unmounting the drive"));
    worked.and(unmounted)
}

/// Compares the entry of the drive's partition with the partition that was mounted. The exclusive open drops all cached
/// pages of the drive.
fn compare_table(operation: &Operation<'_>, place: &Place) -> Result<()> {
    let (disk, doing) = (&place.disk, || "reading the drive's partition table again");
    let devices = &operation.board.devices;
    let mut source = match operation.retry(|| devices.open_source(&disk.name)) {
        Err(error) if error.kind() == ErrorKind::Busy => {
            operation.log(&format!("the cached pages of the drive's partition table may be old: {error}"));
            operation.retry(|| devices.open_shared(&disk.name)).map_err(Error::hal(doing()))?
        }
        result => result.map_err(Error::hal(doing()))?,
    };
    let compared = match place.partition {
        Some(number) => compare_entry(operation, place, number, &mut *source),
        None => Ok(()),
    };
    let closed = source.close().map_err(Error::hal(doing()));
    compared.and(closed)
}

fn compare_entry(
    operation: &Operation<'_>,
    place: &Place,
    number: u32,
    source: &mut dyn Source,
) -> Result<()> {
    let disk = &place.disk;
    let Some(known) = disk.partitions.iter().find(|partition| partition.number == number) else {
        return Err(Error::Internal { detail: format!("{} has no partition {number}", disk.name) });
    };
    let mut reader = SourceReader { operation, source };
    let what = "the partition table";
    let table = match partition::read(&mut reader, disk.sector_len_bytes) {
        Ok(table) => table,
        Err(crate::formats::FormatError::Io(error)) => return Err(Error::io(what)(error)),
        Err(error) => return Err(lost(what, error.to_string())),
    };
    let partitions = table.map(|table| table.partitions).unwrap_or_default();
    let is_there = |partition: &partition::Partition| {
        (partition.start_bytes, partition.len_bytes) == (known.start_bytes, place.region.len_bytes)
    };
    if partitions.iter().any(is_there) {
        return Ok(());
    }
    Err(lost(what, format!("it has no entry for {}", known.name)))
}

impl Files {
    /// The name of the image.
    fn image(&self) -> String {
        match self {
            Self::Now(published) => published.image.clone(),
            Self::Before(captured) => captured.image().to_string(),
        }
    }

    fn check(&self, operation: &Operation<'_>, drive: &dyn ReadTree) -> Result<()> {
        let image = self.image();
        let image = image.as_str();
        let path = in_root(image)?;
        match self {
            Self::Now(published) => {
                for (name, content) in &published.beside {
                    compare_small(operation, drive, &in_root(name)?, content)?;
                }
                compare_image(operation, drive, &path, Some(published.file_len_bytes), &published.file_md5)
            }
            Self::Before(_) => {
                let sidecars = Sidecars::new(operation, drive, image, &path);
                let expected = sidecars.expected(image, None).map_err(|error| match error {
                    Error::Refused { what, .. } => lost(image, what),
                    error => error,
                })?;
                let Some(expected) =
                    expected.into_iter().find(|expected| expected.algorithm == Algorithm::Md5)
                else {
                    return Err(lost(
                        &format!("{image}{}", Algorithm::Md5.extension()),
                        "it is missing".into(),
                    ));
                };
                compare_image(operation, drive, &path, None, &expected.digest)
            }
        }
    }
}

fn open<'a>(
    operation: &'a Operation<'a>,
    drive: &dyn ReadTree,
    path: &RelativePath,
) -> Result<DriveFile<'a>> {
    DriveFile::open(operation, drive, path).map_err(|error| match error {
        Error::Hal { source, .. } => on_drive(&path.to_string(), source),
        error => error,
    })
}

fn compare_small(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    path: &RelativePath,
    content: &[u8],
) -> Result<()> {
    let mut file = open(operation, drive, path)?;
    let mut found = vec![0; content.len()];
    let is_same = file.len_bytes() == content.len() as u64 && {
        file.read_exact_at(0, &mut found).map_err(Error::io(path.to_string()))?;
        found == content
    };
    file.close()?;
    match is_same {
        true => Ok(()),
        false => Err(lost(&path.to_string(), "it has other bytes after the last write to the drive".into())),
    }
}

/// Reads a whole image file, and compares its length and its digest.
fn compare_image(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    path: &RelativePath,
    len_bytes: Option<u64>,
    md5: &Digest,
) -> Result<()> {
    let name = path.to_string();
    let mut file = open(operation, drive, path)?;
    let found_bytes = file.len_bytes();
    if len_bytes.is_some_and(|len_bytes| len_bytes != found_bytes) {
        return Err(lost(&name, format!("it has {:#} after the last write to the drive", Size(found_bytes))));
    }
    let computing = operation.compute(codec::DECODER_WORKER_BYTES, 1);
    let mut hashing = Hashing::new(&[Algorithm::Md5], computing.digests).map_err(Error::io(name.as_str()))?;
    let mut progress = operation.progress(&format!("comparing {name}"), Some(found_bytes));
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes.max(1)];
    let mut offset_bytes = 0;
    while offset_bytes < found_bytes {
        let len = file.read_at(offset_bytes, &mut buffer).map_err(Error::io(name.as_str()))?;
        if len == 0 {
            return Err(lost(&name, format!("it ends at {:#}", Size(offset_bytes))));
        }
        hashing.update(&buffer[..len]).map_err(Error::io(name.as_str()))?;
        progress.advance(len as u64);
        offset_bytes += len as u64;
    }
    progress.finish();
    file.close()?;
    let found = hashing.finish().map_err(Error::io(name.as_str()))?;
    if found.first() == Some(md5) {
        return Ok(());
    }
    Err(lost(&name, "its md5 is another one after the last write to the drive".into()))
}
