//! Errors of a run or of one medium: typed, with a stable code for reports and advice for the operator.
//!
//! Every message has what happened and to what; [`Error::advice`] has what to do next. HAL and format errors keep their
//! own codes.

use crate::formats::FormatError;
use replicator_hal as hal;

/// What the engine's steps return.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $variant:ident $code:literal $advice:literal;)+) => {
        /// Why the engine refuses a request, before anything was changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Refusal {
            /// All of them.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$variant),+];

            /// The stable code, such as `R-NAMES`.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// What the operator can do about it.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice),+ }
            }
        }
    };
}

// Each with its code and the advice to the operator.
refusals! {
    /// No drive was found in time.
    NoDrive "R-NODRIVE"
        "label the drive's partition REPLICATOR or put a replicator.toml in its root, and check the plug";
    /// No profile fits the board, or the drive is for another board.
    WrongBoard "R-BOARD"
        "use the drive that was made for this board, or correct `board` in replicator.toml";
    /// Files look like images, but have no accepted name.
    MisspeltNames "R-NAMES"
        "rename or remove the files named above; nothing was captured or written";
    /// The options on the drive cannot be read.
    BadOptions "R-OPTIONS"
        "correct the file on the drive; nothing was captured or written";
    /// `IR_SHELL_ONLY` is on the drive.
    ShellOnly "R-SHELL"
        "remove IR_SHELL_ONLY from the drive to capture or write";
    /// There is an image for a medium that is not present.
    MediumAbsent "R-ABSENT"
        "insert the medium, or remove its image from the drive";
    /// The medium is the drive, or changed since it was checked, or cannot be captured.
    MediumUnfit "R-MEDIUM"
        "check that the right medium is in the right slot and that nothing uses it";
    /// Something uses the medium.
    MediumBusy "R-BUSY"
        "unmount it or end what uses it, in every container too, then start again; the medium was not touched";
    /// The kernel or a switch refuses writes to the medium.
    MediumReadOnly "R-READONLY"
        "open the write-protect switch of an SD card; otherwise make the device writable with the command above";
    /// The image does not fit on the medium.
    ImageTooLarge "R-TOOLARGE"
        "use a larger medium or a smaller image; the medium was not touched";
    /// The image file is a dangling or looping link, a directory or a device.
    BadImageFile "R-FILE"
        "replace the link or directory by the image file; the medium was not touched";
    /// The content does not have the format of the name.
    WrongContent "R-CONTENT"
        "rename the file to match its content; the medium was not touched";
    /// The medium's file system cannot hold a file of the tarball, at any size.
    CannotHold "R-CANNOTHOLD"
        "leave out the file named above, or choose another file system in the board profile; the medium was not touched";
    /// A tarball holds no root file system.
    NoRootfs "R-ROOTFS"
        "pack the content of the root directory; any_content under [write] writes it as it is; the medium was not touched";
    /// A file with the name of a disk image holds something else.
    NoDiskImage "R-NOIMAGE"
        "copy the raw image of a whole medium; any_content under [write] writes it as it is; the medium was not touched";
    /// A partition table or file system reaches beyond the end of its image.
    CutImage "R-CUT"
        "get the image again and compare its length; any_content under [write] writes it as it is; the medium was not touched";
    /// A partition table is for another sector length than that of the medium.
    SectorSize "R-SECTORS"
        "use an image for media with this sector length; the medium was not touched";
    /// A sidecar cannot be understood.
    BadSidecar "R-SIDECAR"
        "make the sidecar again with md5sum or sha256sum, or remove it";
    /// A block map cannot be understood, or is for another image.
    BadMap "R-MAP"
        "make the map again with bmaptool 3.2 or later, or remove it from the drive; the medium was not touched";
    /// The image was captured from this medium.
    WriteBack "R-WRITEBACK"
        "take the drive to another unit, or put an empty file IR_WRITE_BACK on it to overwrite this unit";
    /// A clone would not find its root file system by the names in its own files.
    RootNotFound "R-ROOT"
        "correct /etc/fstab or root= in the archive, or set any_root below [write] in replicator.toml; the medium was not touched";
    /// There is nothing to do.
    NothingToDo "R-NOTHING"
        "insert a medium, or remove the options that skip all media";
    /// The unfinished capture on the drive belongs to another unit.
    SessionOfAnotherUnit "R-SESSION"
        "boot the unit that was being captured to finish, or delete the directory .capture on the drive";
    /// The drive has too little space, or its file system cannot hold the file.
    DriveTooSmall "R-DRIVESPACE"
        "use a larger drive, or format it with ext4; no unfinished image was left";
    /// The medium holds a file system that cannot be sanitised.
    Unsanitisable "R-SANITISE"
        "repair what is damaged; or, to capture the medium as it is, set sanitise = false below [capture] in replicator.toml";
    /// A finished image of that name exists.
    WouldReplace "R-REPLACE"
        "move the image to another place to capture again";
    /// A firmware file is on the drive without the files that belong to it.
    IncompleteFirmware "R-PARTNER"
        "copy the missing file to the drive, or remove the others; nothing was written";
    /// A firmware file does not have the format of its name, or is not for this board.
    WrongFirmware "R-FIRMWARE"
        "replace the file by one that was made for this board; nothing was written";
    /// A firmware file is longer than its place.
    FirmwareTooLarge "R-FIRMWARESIZE"
        "use a bootloader that fits into its area; nothing was written";
    /// The bootloader's area is missing or write-protected.
    AreaUnfit "R-AREA"
        "use a kernel that provides the bootloader's area, writable; nothing was written";
    /// The board's variant is unknown, or the bootloader is for another variant.
    WrongVariant "R-VARIANT"
        "use the bootloader for this variant of the board, and boot with a U-Boot that sets imx_type on the kernel's command line";
}

/// The part that holds wrong bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultyPart {
    /// A medium that is written.
    Medium,
    /// The drive: it lost what was written to it, or returned different bytes in two reads.
    Drive,
    /// The flash that holds a bootloader.
    Flash,
    /// An image whose content differs from its own header or index.
    Image,
    /// A medium that is captured: it, or the drive with the copy, returned different bytes in two reads.
    Source,
}

impl FaultyPart {
    /// All of them.
    pub const ALL: &'static [FaultyPart] =
        &[Self::Medium, Self::Drive, Self::Flash, Self::Image, Self::Source];

    fn code(self) -> &'static str {
        match self {
            Self::Medium => "V-MISMATCH",
            Self::Drive => "V-DRIVE",
            Self::Flash => "V-FLASH",
            Self::Image => "V-IMAGE",
            Self::Source => "V-SOURCE",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Medium => "the medium does not keep what is written: replace it",
            Self::Drive => {
                "the drive does not keep its files: check its plug; if it fails again, replace the drive"
            }
            Self::Flash => {
                "the bootloader's flash does not keep what is written: replace the board or its flash"
            }
            Self::Image => "the image is damaged: make it again, or copy it to the drive again",
            Self::Source => {
                "boot again to repeat the capture; if it fails again, the medium or the drive is faulty: replace it"
            }
        }
    }
}

fn at_byte(offset_bytes: Option<u64>) -> String {
    offset_bytes.map(|offset_bytes| format!(" at byte {offset_bytes}")).unwrap_or_default()
}

/// Why a run or one medium failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A call of the HAL failed.
    #[error("{doing}: {source}")]
    Hal {
        /// The step, as a gerund with its object.
        doing: String,
        /// The error of the HAL.
        source: hal::Error,
    },
    /// A file's content is bad.
    #[error("{file}: {source}")]
    Format {
        /// The file or medium.
        file: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A request was refused before it was begun.
    #[error("{what}")]
    Refused {
        /// Why.
        kind: Refusal,
        /// What, in words.
        what: String,
    },
    /// Bytes that were read differ from those that were written or announced.
    #[error("{what} differs{}: {detail}", at_byte(*.offset_bytes))]
    Verify {
        /// The part that holds the wrong bytes and has to be replaced.
        part: FaultyPart,
        /// The medium, file or area.
        what: String,
        /// Where the first difference is, or the block with it; `None` if that is not known.
        offset_bytes: Option<u64>,
        /// How it differs.
        detail: String,
    },
    /// The content does not match its sidecar.
    #[error("{file} does not match {sidecar}: expected {expected}, found {actual}")]
    Digest {
        /// The image.
        file: String,
        /// The sidecar.
        sidecar: String,
        /// The digest in the sidecar.
        expected: String,
        /// What was computed.
        actual: String,
    },
    /// Sanitising failed, so the image would hold secrets.
    #[error("sanitising, rule \"{rule}\": {detail}")]
    Sanitise {
        /// The rule or hook.
        rule: String,
        /// Why it failed.
        detail: String,
    },
    /// A file system inside of the image has no room for the files that sanitising writes.
    #[error("{what} inside the image is full: {source}")]
    ImageFull {
        /// The file system.
        what: String,
        /// What could not be written.
        source: Box<Error>,
    },
    /// An operation made no progress for too long.
    #[error("{what} made no progress for too long")]
    Hung {
        /// The operation.
        what: String,
    },
    /// Writing the bootloader failed, and the old one was restored.
    #[error("{source}; the old bootloader was restored and verified")]
    BootloaderRestored {
        /// Why the new one was not written.
        source: Box<Error>,
    },
    /// The firmware of the board is neither the old nor the new one.
    #[error("{source}; {state}")]
    Unbootable {
        /// What failed first.
        source: Box<Error>,
        /// The known state of the board.
        state: String,
    },
    /// An updater failed.
    #[error("{what}: {detail}")]
    Updater {
        /// The command.
        what: String,
        /// How it ended.
        detail: String,
    },
    /// A defect of the program.
    #[error("internal error: {detail}")]
    Internal {
        /// What happened.
        detail: String,
    },
}

impl Error {
    /// A HAL error with the step in which it happened.
    pub fn hal(doing: impl Into<String>) -> impl FnOnce(hal::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Hal { doing, source }
    }

    /// A format error in `file`. If an I/O error in it carries a HAL error, the result is that HAL error.
    pub fn format(file: impl Into<String>) -> impl FnOnce(FormatError) -> Self {
        let file = file.into();
        move |source| match source {
            FormatError::Io(error) => Self::io(file)(error),
            source => Self::Format { file, source },
        }
    }

    /// An I/O error in `file`; an error that it carries is unpacked.
    pub fn io(file: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let file = file.into();
        move |error| match error.downcast::<Error>() {
            Ok(inner) => inner,
            Err(error) => match error.downcast::<FormatError>() {
                Ok(FormatError::Io(inner)) => Self::io(file)(inner),
                Ok(source) => Self::Format { file, source },
                Err(error) => {
                    let source = hal::Error::from_io(error, "reading", file.clone());
                    Self::Hal { doing: file, source }
                }
            },
        }
    }

    /// A refusal.
    pub fn refused(kind: Refusal, what: impl Into<String>) -> Self {
        Self::Refused { kind, what: what.into() }
    }

    /// A short stable code for reports and support.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Hal { source, .. } => source.kind().code(),
            Self::Format { source, .. } => source.code(),
            Self::Refused { kind, .. } => kind.code(),
            Self::Verify { part, .. } => part.code(),
            Self::Digest { .. } => "V-DIGEST",
            Self::Sanitise { .. } => "S-RULE",
            Self::ImageFull { .. } => "S-FULL",
            Self::Hung { .. } => "T-HUNG",
            Self::BootloaderRestored { .. } => "B-RESTORED",
            Self::Unbootable { .. } => "B-UNBOOTABLE",
            Self::Updater { .. } => "U-FAILED",
            Self::Internal { .. } => "X-INTERNAL",
        }
    }

    /// Whether the board may not boot any more.
    pub fn is_critical(&self) -> bool {
        matches!(self, Self::Unbootable { .. })
    }

    /// What happened, its code, and what to do about it, for a line on the console.
    pub(crate) fn with_advice(&self) -> String {
        format!("{self} [{}]; {}", self.code(), self.advice())
    }

    /// What the operator can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Refused { kind, .. } => kind.advice(),
            Self::Hal { source, .. } => match source.kind() {
                hal::ErrorKind::NoSpace | hal::ErrorKind::FileTooLarge => "use a larger drive or medium",
                hal::ErrorKind::ReadOnly => {
                    "check the write-protect switch, the drive's file system, and `blockdev --getro` of the device"
                }
                hal::ErrorKind::DeviceGone => "check the plug and the slot, then boot again",
                hal::ErrorKind::Busy => {
                    "unmount or end what uses it, in every container too, then boot again"
                }
                hal::ErrorKind::Corrupt => "repair or replace the file system named above",
                hal::ErrorKind::Io => {
                    "a medium or the drive is faulty or was unplugged: check both, replace the faulty one, then boot again"
                }
                hal::ErrorKind::ToolFailed => "read what the tool printed in the log of the operation",
                hal::ErrorKind::Unsupported => {
                    "use a kernel, a file system or a device that supports it; the log of the operation names it"
                }
                hal::ErrorKind::PermissionDenied => {
                    "run as root; if you are root, a file is immutable or a device is write-protected"
                }
                hal::ErrorKind::TimedOut => {
                    "check the plug and the slot, replace the device named above, then boot again"
                }
                _ => "read the log of the operation, then boot again",
            },
            Self::Format { source: FormatError::TrailingData { format, .. }, .. } if *format != "tar" => {
                "if the rest is not part of the image, cut it off (`truncate -s <that byte> <file>`), or copy the image again"
            }
            Self::Format { .. } => "make or copy the image again; check it with its own tool on a PC",
            Self::Verify { part, .. } => part.advice(),
            Self::Digest { .. } => "copy the image and its sidecar to the drive again",
            Self::Sanitise { .. } => "correct the rule or hook named above; no image was made",
            Self::ImageFull { .. } => {
                "make some room in the file system of the golden unit, then capture again; the drive is large enough"
            }
            Self::Hung { .. } => "remove power, replace the medium named above, boot again",
            Self::BootloaderRestored { .. } => {
                "the board still boots as before; replace the board or its flash"
            }
            Self::Unbootable { .. } => {
                "do NOT remove power: the board may not boot; write its bootloader over the console first"
            }
            Self::Updater { .. } => "read what the updater printed in its log",
            Self::Internal { .. } => "report this with the logs",
        }
    }
}

/// Carries an engine error through `Read` and `Write`; [`Error::io`] unpacks it again.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        std::io::Error::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hal_error_survives_a_codec_in_between() {
        let hal = hal::Error::new(hal::ErrorKind::DeviceGone, "reading", "sda1", "unplugged");
        let through_codec = FormatError::from_io(std::io::Error::from(hal.clone()));
        match Error::format("sdimage.dd.xz")(through_codec) {
            Error::Hal { source, .. } => assert_eq!(source, hal),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_format_error_survives_as_io_error() {
        let error = FormatError::Truncated { format: "xz", detail: "no footer".into() };
        let back = Error::io("sdimage.dd.xz")(std::io::Error::from(error));
        assert_eq!(back.code(), "F-TRUNCATED");
        assert_eq!(back.to_string(), "sdimage.dd.xz: xz is cut off: no footer");
    }
}
