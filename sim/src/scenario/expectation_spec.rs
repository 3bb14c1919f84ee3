//! What must hold at the end of a scenario, as it stands in its file.

use super::schema::StatusSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What must hold at the end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// What the LEDs show at the end.
    pub status: StatusSpec,
    /// Code of the failure of the whole run, such as `R-NAMES`.
    pub code: Option<String>,
    /// What became of each medium: `captured`, `written`, `skipped`, `untouched`, `failed` or `failed CODE`, and `refused`
    /// or `refused CODE` for a failure before the first byte of the medium changed.
    #[serde(default)]
    pub media: BTreeMap<String, String>,
    /// Names in the drive's root that must be there.
    #[serde(default)]
    pub drive_has: Vec<String>,
    /// Names in the drive's root that must not be there.
    #[serde(default)]
    pub drive_lacks: Vec<String>,
    /// Texts of which each must be in the console's lines.
    #[serde(default)]
    pub console: Vec<String>,
    /// The drive must be byte for byte as it was.
    #[serde(default)]
    pub drive_unchanged: bool,
    /// Show the LED wave form in the report even if the scenario passes.
    #[serde(default)]
    pub show_leds: bool,
    /// How statuses must look.
    #[serde(default, rename = "wave_form")]
    pub wave_forms: Vec<WaveFormSpec>,
}

impl Expectation {
    /// Nothing that anybody would believe: only the checkers judge.
    pub fn nothing() -> Self {
        Self {
            status: StatusSpec::Success,
            code: None,
            media: BTreeMap::new(),
            drive_has: Vec::new(),
            drive_lacks: Vec::new(),
            console: Vec::new(),
            drive_unchanged: false,
            show_leds: false,
            wave_forms: Vec::new(),
        }
    }
}

/// How a status must look from the moment it is shown: one character per step, `#` lit, `.` dark.
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
