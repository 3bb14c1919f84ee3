//! What must hold at the end of a scenario, as its file states it.

use super::schema::StatusSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The mode of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Media to images.
    Capture,
    /// Images to media.
    Write,
}

impl Mode {
    /// The mode with this name in reports.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "capture" => Some(Self::Capture),
            "write" => Some(Self::Write),
            _ => None,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capture => "capture",
            Self::Write => "write",
        })
    }
}

/// The code of an error, such as `V-MISMATCH`: a letter for the family, and a word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ErrorCode(String);

impl ErrorCode {
    /// Whether an error of the engine has this code.
    pub fn is_of(&self, error: &replicator_engine::error::Error) -> bool {
        self.0 == error.code()
    }

    /// Whether it is a refusal: an end before anything was changed.
    pub fn is_refusal(&self) -> bool {
        self.0.starts_with("R-")
    }
}

impl FromStr for ErrorCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let capital = |letter: u8| letter.is_ascii_uppercase() || letter.is_ascii_digit();
        let is_code = text.split_once('-').is_some_and(|(family, word)| {
            matches!(family.as_bytes(), [b'A'..=b'Z']) && !word.is_empty() && word.bytes().all(capital)
        });
        if is_code {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("{text:?} is not an error code; write one such as \"V-MISMATCH\""))
    }
}

impl TryFrom<String> for ErrorCode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ErrorCode> for String {
    fn from(code: ErrorCode) -> Self {
        code.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The end of a medium: `captured`, `written`, `skipped`, `untouched`, `failed` or `failed CODE`, and `refused` or
/// `refused CODE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MediumEnd {
    /// Its image is on the drive.
    Captured,
    /// It holds its image.
    Written,
    /// An option left it out.
    Skipped,
    /// No byte of it changed; the reported end does not matter.
    Untouched,
    /// It failed, with this code if one is given.
    Failed(Option<ErrorCode>),
    /// It failed before its first byte changed.
    Refused(Option<ErrorCode>),
}

impl MediumEnd {
    /// Whether no byte of the medium may have changed.
    pub fn is_untouched(&self) -> bool {
        match self {
            Self::Captured | Self::Skipped | Self::Untouched | Self::Refused(_) => true,
            Self::Written => false,
            Self::Failed(code) => code.as_ref().is_some_and(ErrorCode::is_refusal),
        }
    }

    /// Whether it is a failure, which the LEDs have to show.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Refused(_))
    }
}

impl FromStr for MediumEnd {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, code) = match text.split_once(' ') {
            Some((word, code)) => (word, Some(code.parse()?)),
            None => (text, None),
        };
        match (word, code) {
            ("captured", None) => Ok(Self::Captured),
            ("written", None) => Ok(Self::Written),
            ("skipped", None) => Ok(Self::Skipped),
            ("untouched", None) => Ok(Self::Untouched),
            ("failed", code) => Ok(Self::Failed(code)),
            ("refused", code) => Ok(Self::Refused(code)),
            ("captured" | "written" | "skipped" | "untouched", Some(_)) => {
                Err(format!("{word:?} has no code; only failed and refused have one"))
            }
            _ => Err(format!(
                "{word:?} is not an end of a medium; write captured, written, skipped, untouched, failed, refused, \
                 \"failed CODE\" or \"refused CODE\""
            )),
        }
    }
}

impl TryFrom<String> for MediumEnd {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<MediumEnd> for String {
    fn from(end: MediumEnd) -> Self {
        end.to_string()
    }
}

impl fmt::Display for MediumEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, code) = match self {
            Self::Captured => ("captured", None),
            Self::Written => ("written", None),
            Self::Skipped => ("skipped", None),
            Self::Untouched => ("untouched", None),
            Self::Failed(code) => ("failed", code.as_ref()),
            Self::Refused(code) => ("refused", code.as_ref()),
        };
        f.write_str(word)?;
        code.map_or(Ok(()), |code| write!(f, " {code}"))
    }
}

/// What must hold at the end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The final status of the LEDs.
    pub status: StatusSpec,
    /// Code of the failure of the whole run, such as `R-NAMES`.
    pub code: Option<ErrorCode>,
    /// The end of each medium.
    #[serde(default)]
    pub media: BTreeMap<String, MediumEnd>,
    /// Names that must be in the drive's root.
    #[serde(default)]
    pub drive_has: Vec<String>,
    /// Names that must not be in the drive's root.
    #[serde(default)]
    pub drive_lacks: Vec<String>,
    /// Texts; each must be in a line of the console.
    #[serde(default)]
    pub console: Vec<String>,
    /// Texts; none may be in a line of the console.
    #[serde(default)]
    pub console_lacks: Vec<String>,
    /// The drive must be unchanged, byte for byte.
    #[serde(default)]
    pub drive_unchanged: bool,
    /// Show the LED wave form in the report even if the scenario passes.
    #[serde(default)]
    pub show_leds: bool,
    /// The expected wave forms of statuses.
    #[serde(default, rename = "wave_form")]
    pub wave_forms: Vec<WaveFormSpec>,
}

impl Expectation {
    /// No expectation: only the checkers judge.
    pub fn nothing() -> Self {
        Self {
            status: StatusSpec::Success,
            code: None,
            media: BTreeMap::new(),
            drive_has: Vec::new(),
            drive_lacks: Vec::new(),
            console: Vec::new(),
            console_lacks: Vec::new(),
            drive_unchanged: false,
            show_leds: false,
            wave_forms: Vec::new(),
        }
    }
}

/// The wave form of a status from the moment it is shown: one character per step, `#` lit, `.` dark.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveFormSpec {
    /// The status.
    pub status: StatusSpec,
    /// Length of a step.
    pub step_ms: u64,
    /// The red LED.
    pub red: String,
    /// The green LED.
    pub green: String,
}

#[cfg(test)]
mod tests {
    use super::super::schema::Scenario;
    use super::*;

    fn refusal(expect: &str) -> String {
        let text = format!("about = \"x.\"\n[media.sd]\n[expect]\nstatus = \"failure\"\n{expect}\n");
        Scenario::parse(&text, "x.toml").unwrap_err().to_string()
    }

    #[test]
    fn an_end_parses_as_it_is_written() {
        for text in [
            "captured",
            "written",
            "skipped",
            "untouched",
            "failed",
            "refused",
            "failed E-IO",
            "refused R-CUT",
        ] {
            assert_eq!(text.parse::<MediumEnd>().unwrap().to_string(), text);
        }
        assert!("failed R-WRITEBACK".parse::<MediumEnd>().unwrap().is_untouched());
        assert!(!"failed E-IO".parse::<MediumEnd>().unwrap().is_untouched());
    }

    #[test]
    fn an_unknown_end_is_refused_with_file_line_and_what_is_known() {
        let error = refusal("media = { sd = \"writen\" }");
        assert!(error.starts_with("x.toml:5: ") && error.contains("\"writen\""), "{error}");
        assert!(error.contains("captured, written, skipped, untouched, failed, refused"), "{error}");
        let error = refusal("media = { sd = \"failed mismatch\" }");
        assert!(error.starts_with("x.toml:5: ") && error.contains("V-MISMATCH"), "{error}");
        let error = refusal("media = { sd = \"written E-IO\" }");
        assert!(error.contains("only failed and refused"), "{error}");
        let error = refusal("code = \"names\"");
        assert!(error.starts_with("x.toml:5: ") && error.contains("is not an error code"), "{error}");
    }
}
