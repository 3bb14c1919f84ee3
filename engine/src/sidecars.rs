//! Finds a file on the drive behind symlinks, its sidecars, and its record.
//!
//! Sidecars are searched under the name that the file has in the drive's root, and then, if that is a symlink, beside its
//! target under the name of the target.

use crate::drive_file::{DriveFile, read_small};
use crate::error::{Error, Refusal, Result};
use crate::formats::ReadAt;
use crate::formats::digest::{Algorithm, Digest};
use crate::formats::sidecar;
use crate::operation::Operation;
use replicator_hal::{ErrorKind, ReadTree, RelativePath};
use std::io;

const SIDECAR_LIMIT_BYTES: usize = 64 << 10;

/// The expected digest of a file, from a sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpectedDigest {
    /// The sidecar's name.
    pub sidecar: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The digest.
    pub digest: Digest,
    /// The file name in the sidecar, if it is another one.
    pub other_name: Option<String>,
}

impl ExpectedDigest {
    /// An anomaly of the sidecar, for the result.
    pub(crate) fn note(&self) -> Option<String> {
        let other = self.other_name.as_ref()?;
        Some(format!("{} names the file {other}; only its digest is used", self.sidecar))
    }

    /// Compares it with the computed digest.
    ///
    /// # Errors
    /// [`Error::Digest`].
    pub(crate) fn check(&self, file: &str, actual: &Digest) -> Result<()> {
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

/// The regular file behind `label` in the drive's root, links followed, and its length.
///
/// # Errors
/// `BadImageFile` for a dangling link, or for anything but a regular file.
pub(crate) fn locate(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    label: &str,
) -> Result<(RelativePath, u64)> {
    let refuse = |detail: String| Error::refused(Refusal::BadImageFile, format!("{label}: {detail}"));
    let link = RelativePath::parse(label).map_err(|error| refuse(error.to_string()))?;
    let path = match operation.retry(|| drive.resolve(&link)) {
        Ok(path) => path,
        Err(error) => {
            return Err(match error.kind() {
                ErrorKind::NotFound => {
                    refuse("its link points to a file that does not exist on the drive".into())
                }
                ErrorKind::SymlinkInPath => refuse("its link is part of a loop of links".into()),
                ErrorKind::NotADirectory => refuse("its link points below a file".into()),
                _ => Error::hal(format!("following {label}"))(error),
            });
        }
    };
    let len_bytes = match operation.retry(|| drive.open(&path)) {
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
    Ok((path, len_bytes))
}

/// The whole content of a file of this length.
///
/// # Errors
/// Those of the drive; `BadImageFile` if the file is shorter by now.
pub(crate) fn read_whole(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    path: &RelativePath,
    label: &str,
    len_bytes: u64,
) -> Result<Vec<u8>> {
    let mut file = DriveFile::open(operation, drive, path)?;
    let mut content = vec![0; usize::try_from(len_bytes).unwrap_or(usize::MAX)];
    file.read_exact_at(0, &mut content).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::refused(Refusal::BadImageFile, format!("{label} ended before its {len_bytes} bytes"))
        }
        _ => Error::io(label)(error),
    })?;
    file.close()?;
    Ok(content)
}

/// Searches the sidecars of a file and its record.
pub(crate) struct Sidecars<'a> {
    operation: &'a Operation<'a>,
    drive: &'a dyn ReadTree,
    /// Directory of the file behind a symlink.
    pub(crate) directory: RelativePath,
    /// Name of the file behind a symlink.
    pub(crate) target_name: Option<String>,
}

impl<'a> Sidecars<'a> {
    /// For the file `own` in the root, whose resolved path is `path`.
    pub(crate) fn new(
        operation: &'a Operation<'a>,
        drive: &'a dyn ReadTree,
        own: &str,
        path: &RelativePath,
    ) -> Self {
        let target_name = path
            .file_name()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .filter(|target| *target != own || path.parent().is_some_and(|parent| !parent.is_root()))
            .map(str::to_owned);
        Self { operation, drive, directory: path.parent().unwrap_or_default(), target_name }
    }

    /// The digests in the sidecars of `own` in the root, or else in those of `target` beside the target.
    ///
    /// # Errors
    /// `BadSidecar`.
    pub(crate) fn expected(&self, own: &str, target: Option<&str>) -> Result<Vec<ExpectedDigest>> {
        let mut expected = Vec::new();
        for algorithm in Algorithm::ALL {
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
            let found = sidecar::parse(&text, algorithm, &wanted)
                .map_err(|error| Error::refused(Refusal::BadSidecar, format!("{sidecar}: {error}")))?;
            let (digest, other_name) = (found.digest, found.other_name);
            expected.push(ExpectedDigest { sidecar, algorithm, digest, other_name });
        }
        Ok(expected)
    }

    /// The name and the content of a sidecar or record, if it exists.
    ///
    /// # Errors
    /// `BadSidecar` if it is not a small regular file. A dangling link is an error, not a missing sidecar.
    pub(crate) fn read(&self, directory: &RelativePath, name: &str) -> Result<Option<(String, Vec<u8>)>> {
        self.read_up_to(directory, name, SIDECAR_LIMIT_BYTES)
    }

    /// The same for a file of at most `limit_bytes`.
    ///
    /// # Errors
    /// As [`Sidecars::read`].
    pub(crate) fn read_up_to(
        &self,
        directory: &RelativePath,
        name: &str,
        limit_bytes: usize,
    ) -> Result<Option<(String, Vec<u8>)>> {
        let Ok(path) = directory.join(name) else { return Ok(None) };
        let refuse = |detail: String| Error::refused(Refusal::BadSidecar, format!("{name}: {detail}"));
        let path = match self.operation.retry(|| self.drive.resolve(&path)) {
            Ok(path) => path,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match self.operation.retry(|| self.drive.metadata(&path)) {
                    Ok(_) => Err(refuse("its link points to a file that does not exist on the drive".into())),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Error::hal(format!("looking at {name}"))(error)),
                };
            }
            Err(error) if error.kind() == ErrorKind::SymlinkInPath => {
                return Err(refuse("its link is part of a loop of links".into()));
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                return Err(refuse("its link points below a file".into()));
            }
            Err(error) => return Err(Error::hal(format!("following {name}"))(error)),
        };
        let text =
            self.operation.retry(|| read_small(&self.drive, &path, limit_bytes)).map_err(
                |error| match error.kind() {
                    ErrorKind::FileTooLarge => refuse(format!("it has more than {limit_bytes} bytes")),
                    ErrorKind::IsADirectory => refuse("it is a directory".into()),
                    ErrorKind::InvalidInput => refuse("it is not a regular file".into()),
                    _ => Error::hal(format!("reading {name}"))(error),
                },
            )?;
        Ok(Some((name.to_owned(), text)))
    }
}
