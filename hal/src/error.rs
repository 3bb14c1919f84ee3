//! The error type of every backend: a kind for the caller, and text for the log.
//!
//! The engine decides by [`ErrorKind`] alone, whatever kernel or tool is below. An error of the kernel or of a library
//! is kept as the source. Errors of formats and of the engine's own decisions are not here.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of a HAL call.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of an error: as much as a caller can react to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such file, device or partition.
    NotFound,
    /// The name exists already; nothing was changed.
    AlreadyExists,
    /// A path component is not a directory.
    NotADirectory,
    /// The path is a directory, and the call needs a file.
    IsADirectory,
    /// The directory still holds entries.
    DirectoryNotEmpty,
    /// The path contains a symlink and the call does not follow it, or links form a loop.
    SymlinkInPath,
    /// The kernel or the backend does not permit it.
    PermissionDenied,
    /// The file system or the device is read-only.
    ReadOnly,
    /// No space left, or a write past the end of a device.
    NoSpace,
    /// The file would be larger than its file system can hold.
    FileTooLarge,
    /// In use: mounted, open elsewhere, or with open files.
    Busy,
    /// The device reported an error (EIO).
    Io,
    /// The device was removed, or its slot is empty.
    DeviceGone,
    /// Not a block device, or not of the right kind.
    WrongDevice,
    /// An offset or length outside the object.
    OutOfRange,
    /// Interrupted; the caller may try again.
    Interrupted,
    /// The call did not end within its time limit.
    TimedOut,
    /// The arguments are invalid.
    InvalidInput,
    /// This backend, kernel or file system cannot do it.
    Unsupported,
    /// The file system is damaged, and the call cannot repair it.
    Corrupt,
    /// A helper program is missing or failed.
    ToolFailed,
    /// Any other error; see the detail.
    Other,
}

impl ErrorKind {
    /// A short stable code for logs, reports and support, such as `E-NOSPACE`.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "E-NOTFOUND",
            Self::AlreadyExists => "E-EXISTS",
            Self::NotADirectory => "E-NOTDIR",
            Self::IsADirectory => "E-ISDIR",
            Self::DirectoryNotEmpty => "E-NOTEMPTY",
            Self::SymlinkInPath => "E-SYMLINK",
            Self::PermissionDenied => "E-PERM",
            Self::ReadOnly => "E-READONLY",
            Self::NoSpace => "E-NOSPACE",
            Self::FileTooLarge => "E-TOOLARGE",
            Self::Busy => "E-BUSY",
            Self::Io => "E-IO",
            Self::DeviceGone => "E-GONE",
            Self::WrongDevice => "E-WRONGDEV",
            Self::OutOfRange => "E-RANGE",
            Self::Interrupted => "E-INTR",
            Self::TimedOut => "E-TIMEOUT",
            Self::InvalidInput => "E-INVALID",
            Self::Unsupported => "E-UNSUPPORTED",
            Self::Corrupt => "E-CORRUPT",
            Self::ToolFailed => "E-TOOL",
            Self::Other => "E-OTHER",
        }
    }

    /// The kind behind an operating system error number.
    pub fn from_errno(errno: i32) -> Self {
        // Numbers are those of Linux on every architecture (asm-generic/errno-base.h, errno.h).
        match errno {
            1 | 13 => Self::PermissionDenied,
            2 => Self::NotFound,
            4 => Self::Interrupted,
            5 | 61 | 74 | 84 | 121 => Self::Io,
            6 | 19 | 123 => Self::DeviceGone,
            15 => Self::WrongDevice,
            16 | 26 => Self::Busy,
            17 => Self::AlreadyExists,
            20 => Self::NotADirectory,
            21 => Self::IsADirectory,
            22 => Self::InvalidInput,
            27 => Self::FileTooLarge,
            28 | 122 => Self::NoSpace,
            30 => Self::ReadOnly,
            // 126: an encrypted file without its key.
            38 | 95 | 126 => Self::Unsupported,
            39 => Self::DirectoryNotEmpty,
            40 => Self::SymlinkInPath,
            110 => Self::TimedOut,
            117 => Self::Corrupt,
            _ => Self::Other,
        }
    }
}

/// An error of a backend.
///
/// It is displayed as one line: the operation, the object, the reason. The line has all that an operator needs.
/// [`StdError::source`] is for programs; it is ignored when errors are compared.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    operation: String,
    object: String,
    detail: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        let Self { kind, operation, object, detail, source: _ } = self;
        (kind, operation, object, detail) == (&other.kind, &other.operation, &other.object, &other.detail)
    }
}

impl Eq for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operation)?;
        if !self.object.is_empty() {
            write!(f, " {}", self.object)?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl Error {
    /// Creates an error of `kind`. `operation` is a gerund ("reading"), `object` is what it was applied to, `detail` is
    /// the reason.
    pub fn new(
        kind: ErrorKind,
        operation: impl Into<String>,
        object: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self { kind, operation: operation.into(), object: object.into(), detail: detail.into(), source: None }
    }

    /// Creates an error whose detail is the text of `source`, and which keeps `source`.
    pub fn caused_by(
        kind: ErrorKind,
        operation: impl Into<String>,
        object: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self::new(kind, operation, object, source.to_string()).with_source(source)
    }

    /// Sets the source.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Converts an operating system error. An [`Error`] inside it is returned unchanged.
    pub fn from_io(error: std::io::Error, operation: impl Into<String>, object: impl Into<String>) -> Self {
        match error.downcast::<Error>() {
            Ok(inner) => inner,
            Err(error) => {
                let kind = match (error.raw_os_error(), error.kind()) {
                    (Some(errno), _) => ErrorKind::from_errno(errno),
                    (None, std::io::ErrorKind::NotFound) => ErrorKind::NotFound,
                    (None, std::io::ErrorKind::AlreadyExists) => ErrorKind::AlreadyExists,
                    (None, std::io::ErrorKind::PermissionDenied) => ErrorKind::PermissionDenied,
                    (None, std::io::ErrorKind::Interrupted) => ErrorKind::Interrupted,
                    (None, std::io::ErrorKind::InvalidInput) => ErrorKind::InvalidInput,
                    (None, std::io::ErrorKind::TimedOut) => ErrorKind::TimedOut,
                    (None, std::io::ErrorKind::Unsupported) => ErrorKind::Unsupported,
                    (None, _) => ErrorKind::Other,
                };
                Self::caused_by(kind, operation, object, error)
            }
        }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The operation that failed, as a gerund.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// The object of the operation.
    pub fn object(&self) -> &str {
        &self.object
    }
}

/// A HAL error can pass through `Read` and `Write` inside an `io::Error`; [`Error::from_io`] takes it out again.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Interrupted => std::io::ErrorKind::Interrupted,
            ErrorKind::NotFound => std::io::ErrorKind::NotFound,
            _ => std::io::ErrorKind::Other,
        };
        std::io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_passes_through_io_is_unchanged() {
        let error = Error::from_io(std::io::Error::from_raw_os_error(28), "writing", "sd.img");
        let back = Error::from_io(std::io::Error::from(error.clone()), "copying", "something else");
        assert_eq!(back, error);
        let source = back.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.and_then(std::io::Error::raw_os_error), Some(28));
    }

    #[test]
    fn the_source_is_kept_and_ignored_when_errors_are_compared() {
        let plain = Error::new(ErrorKind::Io, "reading", "sda", "no such name");
        assert!(plain.source().is_none());
        let error = plain.clone().with_source(std::fmt::Error);
        assert_eq!(error, plain);
        assert!(error.source().is_some_and(|source| source.is::<std::fmt::Error>()));
        assert_ne!(error, Error::new(ErrorKind::Io, "reading", "sdb", "no such name"));
    }

    #[test]
    fn an_os_error_gets_its_kind_and_names_the_object() {
        let error = Error::from_io(std::io::Error::from_raw_os_error(28), "writing", "sdimage.dd");
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        let text = error.to_string();
        assert!(text.starts_with("writing sdimage.dd: No space left"), "{text}");
    }
}
