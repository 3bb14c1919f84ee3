//! The results of a run, for the report file and for the last lines on the console.

use crate::error::Error;
use crate::formats::digest::Algorithm;
use crate::options::After;
use crate::printable;
use crate::size::Size;
use crate::verify::{CapturedBefore, Installed, Kept, Verified};
use replicator_hal::{BlockDevice, CacheBypass, Status};
use serde::Serialize;
use std::time::Duration;

/// The result for one medium.
#[derive(Debug)]
pub struct Outcome {
    /// Generic name of the medium.
    pub medium: String,
    /// The device's kernel name.
    pub device: Option<String>,
    /// Serial number or CID.
    pub identity: Option<String>,
    /// The image file's name on the drive.
    pub image: Option<String>,
    /// How it ended.
    pub end: End,
    /// How long it took.
    pub elapsed: Duration,
}

/// How the work on one medium ended.
#[derive(Debug)]
pub enum End {
    /// Done and verified.
    Done(Done),
    /// Nothing was done, for a reason that is not an error.
    Skipped(String),
    /// It failed.
    Failed(Error),
}

/// How a medium got the bytes of a disk image. Together they are the whole image, as far as it fits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WrittenBytes {
    /// How many were written.
    pub written: u64,
    /// How many are zeros that the discarded medium was proven to hold.
    pub zeros: u64,
    /// How many are zeros that the block map of the image leaves out: they were discarded and not read back.
    pub unread: u64,
}

impl WrittenBytes {
    /// The note for the result; `None` if everything was written.
    fn note(&self) -> Option<String> {
        let Self { written, zeros, unread } = *self;
        let mut parts = vec![format!("{:#} were written", Size(written))];
        if zeros > 0 {
            let zeros = Size(zeros);
            parts.push(format!("{zeros:#} of zeros were not, because the discarded medium holds them"));
        }
        if unread > 0 {
            let unread = Size(unread);
            parts.push(format!("{unread:#} that the block map leaves out were discarded and not read back"));
        }
        (parts.len() > 1).then(|| parts.join("; "))
    }
}

/// What was done, and how it was verified.
///
/// Only its constructors make one. Each takes a proof of `verify`, so that nothing can be reported as done that was not
/// verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::manual_non_exhaustive, reason = "the other modules of this crate must not make one, either")]
pub struct Done {
    /// Length of the uncompressed image.
    pub content_len_bytes: u64,
    /// Length of the image file.
    pub file_len_bytes: u64,
    /// md5 of the uncompressed image, in hex.
    pub content_md5: Option<String>,
    /// How the caches were bypassed for reading back.
    pub cache_bypass: Option<CacheBypass>,
    /// How a medium got the bytes of a disk image.
    pub bytes: Option<WrittenBytes>,
    /// Remarks, such as "file system repaired".
    pub notes: Vec<String>,
    /// Private, so that other modules cannot make one.
    only_here: (),
}

impl Done {
    /// A medium holds the image.
    pub(crate) fn written(image: &Verified, _medium: Kept, bypass: CacheBypass, notes: Vec<String>) -> Self {
        Self { cache_bypass: Some(bypass), notes, ..Self::of(image) }
    }

    /// The same with how the medium got its bytes.
    #[must_use]
    pub(crate) fn with_bytes(mut self, bytes: WrittenBytes) -> Self {
        self.bytes = Some(bytes);
        self.notes.extend(bytes.note());
        self
    }

    /// The drive holds the image of a medium.
    pub(crate) fn captured(image: &Verified, bypass: CacheBypass, notes: Vec<String>) -> Self {
        Self { cache_bypass: Some(bypass), notes, ..Self::of(image) }
    }

    /// An earlier boot captured the medium. The lengths of the image are not known.
    pub(crate) fn captured_before(_image: &CapturedBefore, notes: Vec<String>) -> Self {
        Self { notes, ..Self::of_len(0) }
    }

    /// Firmware of this length is in place. The notes have what the microcontroller or the updater reported.
    pub(crate) fn firmware(len_bytes: u64, installed: &Installed, notes: Vec<String>) -> Self {
        Self { cache_bypass: installed.cache_bypass(), notes, ..Self::of_len(len_bytes) }
    }

    fn of(image: &Verified) -> Self {
        Self {
            content_len_bytes: image.content_len_bytes(),
            file_len_bytes: image.file_len_bytes(),
            content_md5: image.digest(Algorithm::Md5).map(ToString::to_string),
            ..Self::of_len(0)
        }
    }

    fn of_len(len_bytes: u64) -> Self {
        Self {
            content_len_bytes: len_bytes,
            file_len_bytes: len_bytes,
            content_md5: None,
            cache_bypass: None,
            bytes: None,
            notes: Vec::new(),
            only_here: (),
        }
    }
}

/// The whole run.
#[derive(Debug)]
pub struct Report {
    /// Version of the program.
    pub version: String,
    /// Profile of the board, if known.
    pub board: Option<String>,
    /// The mode: `capture` or `write`; `None` if the run ended before the plan.
    pub mode: Option<&'static str>,
    /// Remarks about the whole run.
    pub notes: Vec<String>,
    /// Per medium, in the order of the plan.
    pub outcomes: Vec<Outcome>,
    /// The error of a step outside of any medium.
    pub failure: Option<Error>,
    /// The status that the LEDs show.
    pub status: Status,
    /// What the board does after a success, by the drive's settings.
    pub after: After,
}

#[derive(Serialize)]
struct ReportJson<'a> {
    version: &'a str,
    status: String,
    board: Option<&'a str>,
    mode: Option<&'static str>,
    notes: &'a [String],
    failure: Option<FailureJson>,
    media: Vec<OutcomeJson<'a>>,
}

#[derive(Serialize)]
struct FailureJson {
    code: &'static str,
    message: String,
    advice: &'static str,
}

#[derive(Serialize)]
struct OutcomeJson<'a> {
    medium: &'a str,
    result: &'static str,
    device: Option<&'a str>,
    identity: Option<&'a str>,
    image: Option<&'a str>,
    elapsed_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_len_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_len_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_md5: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zeros_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread_bytes: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped_because: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureJson>,
}

impl FailureJson {
    fn of(error: &Error) -> Self {
        Self { code: error.code(), message: error.to_string(), advice: error.advice() }
    }
}

impl Outcome {
    /// The outcome of the medium that is called `medium`, if present in `device`.
    pub(crate) fn of_medium(
        medium: &str,
        device: Option<&BlockDevice>,
        image: Option<String>,
        end: End,
        elapsed: Duration,
    ) -> Self {
        Self {
            medium: medium.to_owned(),
            device: device.map(|device| device.name.to_string()),
            identity: device.and_then(|device| device.identity.clone()),
            image,
            end,
            elapsed,
        }
    }

    /// The last line on the console for this medium: how it ended, and for a failure the error, its code, and advice.
    pub fn line(&self) -> String {
        let image = self.image.as_deref().unwrap_or("no image");
        let device = self.device.as_deref().unwrap_or("no device");
        match &self.end {
            End::Done(done) => {
                let mut line = format!("{}: OK, {image}, {device}", self.medium);
                if let Some(bypass) = done.cache_bypass {
                    line.push_str(&format!(", verified ({bypass})"));
                }
                line
            }
            End::Skipped(reason) => format!("{}: skipped, {reason}", self.medium),
            End::Failed(error) => {
                format!("{}: FAILED, {image}, {device}: {}", self.medium, error.with_advice())
            }
        }
    }

    /// The remarks, a line each.
    fn notes(&self) -> impl Iterator<Item = String> {
        let notes: &[String] = match &self.end {
            End::Done(done) => &done.notes,
            End::Skipped(_) | End::Failed(_) => &[],
        };
        notes.iter().map(|note| format!("{}: {note}", self.medium))
    }

    fn json(&self) -> OutcomeJson<'_> {
        let (result, done, skipped_because, failure) = match &self.end {
            End::Done(done) => ("ok", Some(done), None, None),
            End::Skipped(reason) => ("skipped", None, Some(reason.as_str()), None),
            End::Failed(error) => ("failed", None, None, Some(FailureJson::of(error))),
        };
        OutcomeJson {
            medium: &self.medium,
            result,
            device: self.device.as_deref(),
            identity: self.identity.as_deref(),
            image: self.image.as_deref(),
            elapsed_ms: u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            content_len_bytes: done.map(|done| done.content_len_bytes),
            file_len_bytes: done.map(|done| done.file_len_bytes),
            content_md5: done.and_then(|done| done.content_md5.as_deref()),
            verified_by: done.and_then(|done| done.cache_bypass).map(|bypass| bypass.to_string()),
            written_bytes: done.and_then(|done| done.bytes).map(|bytes| bytes.written),
            zeros_bytes: done.and_then(|done| done.bytes).map(|bytes| bytes.zeros),
            unread_bytes: done.and_then(|done| done.bytes).map(|bytes| bytes.unread),
            notes: done.map_or(&[], |done| &done.notes),
            skipped_because,
            failure,
        }
    }
}

fn printable(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| printable::line(&line).into_owned()).collect()
}

impl Report {
    /// A report of a run that has just begun. Its status is failure.
    pub fn new(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            board: None,
            mode: None,
            notes: Vec::new(),
            outcomes: Vec::new(),
            failure: None,
            status: Status::Failure,
            after: After::default(),
        }
    }

    /// Whether at least one medium was not skipped.
    pub fn did_something(&self) -> bool {
        self.outcomes.iter().any(|outcome| !matches!(outcome.end, End::Skipped(_)))
    }

    /// Whether at least one medium was done and nothing failed.
    pub fn succeeded(&self) -> bool {
        self.failure.is_none()
            && self.outcomes.iter().any(|outcome| matches!(outcome.end, End::Done(_)))
            && !self.outcomes.iter().any(|outcome| matches!(outcome.end, End::Failed(_)))
    }

    /// Whether the board may not boot any more.
    pub fn is_critical(&self) -> bool {
        let failures = self.outcomes.iter().filter_map(|outcome| match &outcome.end {
            End::Failed(error) => Some(error),
            _ => None,
        });
        failures.chain(&self.failure).any(Error::is_critical)
    }

    /// The last lines on the console: the notes, then one line per medium, then the result. They are safe for a terminal.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.outcomes.iter().flat_map(Outcome::notes).collect();
        lines.extend(self.outcomes.iter().map(Outcome::line));
        if let Some(error) = &self.failure {
            lines.push(format!("FAILED: {}", error.with_advice()));
        }
        lines.push(format!("result: {}", self.status));
        printable(lines)
    }

    /// The lines of a plan: the mode, the notes, and an error that would make a run fail. They are safe for a terminal.
    pub fn plan_lines(&self) -> Vec<String> {
        let mut lines = vec![format!("mode: {}", self.mode.unwrap_or("none"))];
        lines.extend(self.notes.iter().cloned());
        if let Some(error) = &self.failure {
            lines.push(format!("would fail: {}", error.with_advice()));
        }
        printable(lines)
    }

    /// The content of the report file.
    ///
    /// # Errors
    /// None in practice: every value has a form in JSON.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(&ReportJson {
            version: &self.version,
            status: self.status.to_string(),
            board: self.board.as_deref(),
            mode: self.mode,
            notes: &self.notes,
            failure: self.failure.as_ref().map(FailureJson::of),
            media: self.outcomes.iter().map(Outcome::json).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;

    fn outcome(medium: &str, end: End) -> Outcome {
        Outcome {
            medium: medium.into(),
            device: Some("mmcblk0".into()),
            identity: None,
            image: Some("sdimage.dd.xz".into()),
            end,
            elapsed: Duration::from_millis(1500),
        }
    }

    fn report(ends: Vec<End>) -> Report {
        let mut report = Report::new("1.2.3");
        report.outcomes = ends.into_iter().map(|end| outcome("sd", end)).collect();
        report
    }

    fn done() -> End {
        End::Done(Done {
            content_len_bytes: 4096,
            file_len_bytes: 100,
            content_md5: Some("620f0b67a91f7f74151bc5be745b7110".into()),
            cache_bypass: Some(CacheBypass::Direct),
            bytes: Some(WrittenBytes { written: 3000, zeros: 1000, unread: 96 }),
            notes: vec!["file times kept to the second".into()],
            only_here: (),
        })
    }

    #[test]
    fn success_needs_one_medium_done_and_none_failed() {
        let skipped = || End::Skipped("not present".into());
        let hung = || End::Failed(Error::Hung { what: "sd".into() });
        let panicked = || End::Failed(Error::Internal { detail: "index out of bounds".into() });
        assert!(report(vec![done(), skipped()]).succeeded());
        for ends in [vec![], vec![skipped()], vec![done(), hung()], vec![panicked(), done()]] {
            let report = report(ends);
            assert!(!report.succeeded(), "{:?}", report.lines());
        }
        let mut failed_elsewhere = report(vec![done()]);
        failed_elsewhere.failure = Some(Error::Hung { what: "start".into() });
        assert!(!failed_elsewhere.succeeded());
        assert_eq!(report(vec![]).status, Status::Failure, "an unfinished report is no success");
    }

    #[test]
    fn lines_are_safe_for_a_terminal() {
        let mut report = report(vec![End::Failed(Error::Internal { detail: "a\x1b[2J\nsd: OK".into() })]);
        report.notes = vec!["b\rresult: success".into()];
        report.failure = Some(Error::refused(Refusal::MisspeltNames, "c\x07"));
        report.outcomes.push(outcome("sd", done()));
        let lines = [report.lines(), report.plan_lines()].concat();
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[0], "sd: file times kept to the second");
        assert_eq!(lines[2], "sd: OK, sdimage.dd.xz, mmcblk0, verified (direct reads)");
        assert!(lines[3].starts_with("FAILED: c\\u{7} [R-NAMES]; rename or remove"), "{}", lines[3]);
        assert!(!lines.iter().any(|line| line.contains(char::is_control)), "{lines:?}");
    }

    #[test]
    fn the_report_file_has_all_fields() {
        let mut report = report(vec![done(), End::Failed(Error::Hung { what: "sd".into() })]);
        report.board = Some("sim".into());
        report.mode = Some("write");
        report.notes = vec!["a\x1bb".into()];
        report.failure = Some(Error::refused(Refusal::NothingToDo, "nothing"));
        let expected = r#"{
  "version": "1.2.3",
  "status": "failure",
  "board": "sim",
  "mode": "write",
  "notes": [
    "a\u001bb"
  ],
  "failure": {
    "code": "R-NOTHING",
    "message": "nothing",
    "advice": "insert a medium, or remove the options that skip all media"
  },
  "media": [
    {
      "medium": "sd",
      "result": "ok",
      "device": "mmcblk0",
      "identity": null,
      "image": "sdimage.dd.xz",
      "elapsed_ms": 1500,
      "content_len_bytes": 4096,
      "file_len_bytes": 100,
      "content_md5": "620f0b67a91f7f74151bc5be745b7110",
      "verified_by": "direct reads",
      "written_bytes": 3000,
      "zeros_bytes": 1000,
      "unread_bytes": 96,
      "notes": [
        "file times kept to the second"
      ]
    },
    {
      "medium": "sd",
      "result": "failed",
      "device": "mmcblk0",
      "identity": null,
      "image": "sdimage.dd.xz",
      "elapsed_ms": 1500,
      "failure": {
        "code": "T-HUNG",
        "message": "sd made no progress for too long",
        "advice": "remove power, replace the medium named above, boot again"
      }
    }
  ]
}"#;
        assert_eq!(report.json().unwrap(), expected);
    }
}
