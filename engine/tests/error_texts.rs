//! Every error has a code, a text and advice: one snapshot lists them for a reviewer.

use replicator_engine::error::{Error, FaultyPart, Refusal};
use replicator_engine::formats::FormatError;
use replicator_hal::{self as hal, ErrorKind};
use std::collections::BTreeSet;

fn verify(part: FaultyPart, offset_bytes: Option<u64>) -> Error {
    Error::Verify { part, what: "WHAT".into(), offset_bytes, detail: "DETAIL".into() }
}

fn hal(kind: ErrorKind) -> Error {
    Error::hal("DOING")(hal::Error::new(kind, "OPERATION", "OBJECT", "DETAIL"))
}

/// One of every kind, and two where the advice depends on more than the kind.
fn every_error() -> Vec<Error> {
    let mut all: Vec<Error> = Refusal::ALL.iter().map(|kind| Error::refused(*kind, "WHAT")).collect();
    all.extend(FaultyPart::ALL.iter().map(|part| verify(*part, Some(4096))));
    all.push(verify(FaultyPart::Drive, None));
    all.push(Error::Digest {
        file: "FILE".into(),
        sidecar: "SIDECAR".into(),
        expected: "EXPECTED".into(),
        actual: "ACTUAL".into(),
    });
    let formats = [
        FormatError::Damaged { format: "xz", detail: "DETAIL".into() },
        FormatError::Truncated { format: "xz", detail: "DETAIL".into() },
        FormatError::TrailingData { format: "xz", offset_bytes: 4096 },
        FormatError::TrailingData { format: "tar", offset_bytes: 4096 },
        FormatError::MemoryLimit { format: "xz", limit_bytes: 64 << 20, detail: "DETAIL".into() },
        FormatError::Unsupported { format: "xz", what: "WHAT".into() },
    ];
    all.extend(formats.map(|source| Error::format("FILE")(source)));
    all.push(Error::Sanitise { rule: "RULE".into(), detail: "DETAIL".into() });
    all.push(Error::Hung { what: "WHAT".into() });
    let cause = || Box::new(verify(FaultyPart::Flash, Some(0)));
    all.push(Error::BootloaderRestored { source: cause() });
    all.push(Error::Unbootable { source: cause(), state: "STATE".into() });
    all.push(Error::Updater { what: "WHAT".into(), detail: "DETAIL".into() });
    all.push(Error::Internal { detail: "DETAIL".into() });
    all.push(Error::ImageFull { what: "WHAT".into(), source: Box::new(hal(ErrorKind::NoSpace)) });
    let kinds = [
        ErrorKind::NotFound,
        ErrorKind::AlreadyExists,
        ErrorKind::NotADirectory,
        ErrorKind::IsADirectory,
        ErrorKind::DirectoryNotEmpty,
        ErrorKind::SymlinkInPath,
        ErrorKind::PermissionDenied,
        ErrorKind::ReadOnly,
        ErrorKind::NoSpace,
        ErrorKind::FileTooLarge,
        ErrorKind::Busy,
        ErrorKind::Io,
        ErrorKind::DeviceGone,
        ErrorKind::WrongDevice,
        ErrorKind::OutOfRange,
        ErrorKind::Interrupted,
        ErrorKind::TimedOut,
        ErrorKind::InvalidInput,
        ErrorKind::Unsupported,
        ErrorKind::Corrupt,
        ErrorKind::ToolFailed,
        ErrorKind::Other,
    ];
    all.extend(kinds.map(hal));
    all
}

#[test]
fn code_text_and_advice_of_every_error() {
    let list: Vec<String> = every_error()
        .iter()
        .map(|error| format!("{}\n  {error}\n  {}\n", error.code(), error.advice()))
        .collect();
    insta::assert_snapshot!(list.join("\n"));
}

#[test]
fn every_kind_has_a_code_of_its_own() {
    let codes: Vec<_> = Refusal::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len(), "{codes:?}");
    let places: BTreeSet<_> = FaultyPart::ALL.iter().map(|part| verify(*part, None).code()).collect();
    assert_eq!(places.len(), FaultyPart::ALL.len());
}
