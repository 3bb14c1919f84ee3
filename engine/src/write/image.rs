//! An image file on the drive: where it really is, what its sidecars say, how it is opened.
//!
//! Sidecars and the record of the captured unit are looked up under the name that the image has in the drive's root,
//! then, if that is a symlink, beside the file it points to under that file's name.

use crate::capture::source_record::SourceRecord;
use crate::drive_file::{DriveFile, read_small};
use crate::error::{Error, Refusal, Result};
use crate::formats::ReadAt;
use crate::formats::digest::{Algorithm, Digest, Hasher};
use crate::formats::sidecar;
use crate::mutant::Mutant;
use crate::names::ImageName;
use crate::operation::Operation;
use replicator_hal::{ErrorKind, RelativePath, Volume};
use std::io::Write;

const SIDECAR_LIMIT_BYTES: usize = 64 << 10;
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Md5, Algorithm::Sha256];

/// A digest that a sidecar promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The sidecar's name.
    pub sidecar: String,
    /// How it is computed.
    pub algorithm: Algorithm,
    /// What it must be.
    pub digest: Digest,
}

impl Promise {
    /// Compares with what was computed.
    ///
    /// # Errors
    /// [`Error::Digest`].
    pub fn check(&self, file: &str, actual: &Digest) -> Result<()> {
        if &self.digest == actual {
            return Ok(());
        }
        Err(Error::Digest {
            file: file.to_owned(),
            sidecar: self.sidecar.clone(),
            expected: self.digest.to_string(),
            actual: actual.to_string(),
        })
    }
}

/// An image on the drive.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name in the drive's root.
    pub name: ImageName,
    /// The regular file, links followed.
    pub path: RelativePath,
    /// Length of the file.
    pub file_len_bytes: u64,
    /// Digests of the uncompressed content.
    pub content: Vec<Promise>,
    /// Digests of the file itself.
    pub file: Vec<Promise>,
    /// The record of the capture that made it, if one lies beside it.
    pub captured_from: Option<SourceRecord>,
}

impl Image {
    /// Finds the file behind `name`, and reads its sidecars.
    ///
    /// # Errors
    /// `BadImageFile` for a link that leads nowhere or to something else than a regular file; `BadSidecar`.
    pub fn locate(operation: &Operation<'_>, drive: &dyn Volume, name: &ImageName) -> Result<Self> {
        let label = name.to_string();
        let link = RelativePath::parse(&label)
            .map_err(|error| Error::refused(Refusal::BadImageFile, format!("{label}: {error}")))?;
        let refuse = |detail: String| Error::refused(Refusal::BadImageFile, format!("{label}: {detail}"));
        let path = match operation.retry(|| drive.resolve(&link)) {
            Ok(path) => path,
            Err(error) => {
                return Err(match error.kind() {
                    ErrorKind::NotFound => refuse("the link leads to nothing on the drive".into()),
                    ErrorKind::SymlinkInPath => refuse("the link leads in a circle".into()),
                    ErrorKind::NotADirectory => refuse("the link leads through a file".into()),
                    _ => Error::hal(format!("following {label}"))(error),
                });
            }
        };
        let file = match operation.retry(|| drive.open(&path)) {
            Ok(mut file) => {
                let len_bytes = file.len_bytes().map_err(Error::hal(format!("opening {label}")))?;
                file.close().map_err(Error::hal(format!("opening {label}")))?;
                len_bytes
            }
            Err(error) => {
                return Err(match error.kind() {
                    ErrorKind::IsADirectory => refuse("it is a directory".into()),
                    ErrorKind::InvalidInput => refuse("it is not a regular file".into()),
                    _ => Error::hal(format!("opening {label}"))(error),
                });
            }
        };
        let lookup = Lookup::new(operation, drive, name, &path);
        let content = lookup.promises(&name.uncompressed(), lookup.target_uncompressed.as_deref())?;
        let file_promises = if name.uncompressed() == label {
            Vec::new()
        } else {
            lookup.promises(&label, lookup.target_name.as_deref())?
        };
        let captured_from = lookup.source_record()?;
        Ok(Self {
            name: name.clone(),
            path,
            file_len_bytes: file,
            content,
            file: file_promises,
            captured_from,
        })
    }

    /// Opens the image.
    ///
    /// # Errors
    /// Those of the drive.
    pub fn open<'a>(&self, operation: &'a Operation<'a>, drive: &dyn Volume) -> Result<DriveFile<'a>> {
        DriveFile::open(operation, drive, &self.path)
    }

    /// Hashes the file itself and compares it with its sidecars, if there are any.
    ///
    /// # Errors
    /// [`Error::Digest`]; errors of the drive.
    pub fn check_file(&self, operation: &Operation<'_>, drive: &dyn Volume) -> Result<()> {
        if self.file.is_empty() || operation.mutated(Mutant::NoCheckOfTheFile) {
            return Ok(());
        }
        let label = self.name.to_string();
        let mut file = self.open(operation, drive)?;
        let mut hashers: Vec<_> = self.file.iter().map(|promise| Hasher::new(promise.algorithm)).collect();
        let mut progress = operation.progress("checking the file", Some(self.file_len_bytes));
        let mut buffer = vec![0; operation.tuning.chunk_len_bytes];
        let mut offset_bytes = 0;
        loop {
            let len = file.read_at(offset_bytes, &mut buffer).map_err(Error::io(label.as_str()))?;
            if len == 0 {
                break;
            }
            for hasher in &mut hashers {
                hasher.write_all(&buffer[..len]).map_err(Error::io(label.as_str()))?;
            }
            offset_bytes += len as u64;
            progress.advance(len as u64);
        }
        progress.finish();
        file.close()?;
        for (promise, hasher) in self.file.iter().zip(hashers) {
            promise.check(&label, &hasher.finish())?;
        }
        Ok(())
    }
}

/// Where an image's companions are looked for.
struct Lookup<'a> {
    operation: &'a Operation<'a>,
    drive: &'a dyn Volume,
    name: &'a ImageName,
    /// Directory of the file behind a symlink.
    directory: RelativePath,
    /// Name of the file behind a symlink.
    target_name: Option<String>,
    target_uncompressed: Option<String>,
}

impl<'a> Lookup<'a> {
    fn new(
        operation: &'a Operation<'a>,
        drive: &'a dyn Volume,
        name: &'a ImageName,
        path: &RelativePath,
    ) -> Self {
        let own = name.to_string();
        let target_name = path
            .file_name()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .filter(|target| *target != own || path.parent().is_some_and(|parent| !parent.is_root()))
            .map(str::to_owned);
        let target_uncompressed = target_name.as_ref().map(|target| {
            let extension = name.compression.extension();
            target.strip_suffix(extension).unwrap_or(target).to_owned()
        });
        let directory = path.parent().unwrap_or_default();
        Self { operation, drive, name, directory, target_name, target_uncompressed }
    }

    /// What the sidecars of `own` in the root, else of `target` beside the target, promise.
    fn promises(&self, own: &str, target: Option<&str>) -> Result<Vec<Promise>> {
        let mut promises = Vec::new();
        for algorithm in ALGORITHMS {
            let found = match self.read(&RelativePath::root(), &format!("{own}{}", algorithm.extension()))? {
                Some(found) => Some(found),
                None => match target {
                    Some(target) => {
                        self.read(&self.directory, &format!("{target}{}", algorithm.extension()))?
                    }
                    None => None,
                },
            };
            let Some((sidecar, text)) = found else { continue };
            let mut wanted = vec![own];
            wanted.extend(target);
            let digest = sidecar::parse(&text, algorithm, &wanted)
                .map_err(|error| Error::refused(Refusal::BadSidecar, format!("{sidecar}: {error}")))?;
            promises.push(Promise { sidecar, algorithm, digest });
        }
        Ok(promises)
    }

    /// The record of the captured medium that lies beside the image.
    fn source_record(&self) -> Result<Option<SourceRecord>> {
        let own = Some(SourceRecord::file_name(&self.name.medium));
        let target = self
            .target_name
            .as_deref()
            .and_then(|target| target.split_once("image."))
            .map(|(medium, _)| SourceRecord::file_name(medium));
        for (directory, name) in [(RelativePath::root(), own), (self.directory.clone(), target)] {
            let Some(name) = name else { continue };
            let Some((name, text)) = self.read(&directory, &name)? else { continue };
            let Some(record) = SourceRecord::parse(&text) else {
                let what = format!("{name} is no record of a captured medium");
                return Err(Error::refused(Refusal::BadSidecar, what));
            };
            return Ok(Some(record));
        }
        Ok(None)
    }

    /// A companion's name and content, if it is there.
    fn read(&self, directory: &RelativePath, name: &str) -> Result<Option<(String, Vec<u8>)>> {
        let Ok(path) = directory.join(name) else { return Ok(None) };
        let path = match self.operation.retry(|| self.drive.resolve(&path)) {
            Ok(path) => path,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::hal(format!("following {name}"))(error)),
        };
        let text =
            self.operation.retry(|| read_small(self.drive, &path, SIDECAR_LIMIT_BYTES)).map_err(|error| {
                match error.kind() {
                    ErrorKind::FileTooLarge | ErrorKind::IsADirectory | ErrorKind::InvalidInput => {
                        Error::refused(Refusal::BadSidecar, format!("{name}: {error}"))
                    }
                    _ => Error::hal(format!("reading {name}"))(error),
                }
            })?;
        Ok(Some((name.to_owned(), text)))
    }
}
