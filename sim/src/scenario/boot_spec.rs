//! One boot of a scenario: what happens before it, where the power is cut, and what survives that.

use super::expectation_spec::Mode;
use super::schema::StatusSpec;
use crate::model::bytes::size::Size;
use crate::model::time::op_name::OpName;
use serde::{Deserialize, Serialize};

/// One boot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootSpec {
    /// Where power is cut.
    pub cut: Option<CutSpec>,
    /// What survives of what was not synced.
    #[serde(default)]
    pub survive: SurvivalSpec,
    /// Another seed for what survives at random; the scenario's if left out.
    pub survive_seed: Option<u64>,
    /// Before this boot: files removed from the drive.
    #[serde(default)]
    pub remove: Vec<String>,
    /// Before this boot: the file system on the drive gets this much free space more.
    pub more_space: Option<Size>,
    /// Before this boot: media are replaced by blank ones of the same length with another identity.
    #[serde(default)]
    pub new_unit: bool,
    /// What must hold after this boot, if it ran to its end.
    pub status: Option<StatusSpec>,
    /// What the boot must have done: `capture`, `write`.
    pub mode: Option<Mode>,
}

/// Where power is cut: at the nth occurrence of an operation, or at a number.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutSpec {
    /// Medium or `drive`.
    pub on: Option<String>,
    /// Operation.
    pub op: Option<OpName>,
    /// Glob of the file.
    pub file: Option<String>,
    /// Which occurrence, from 1.
    #[serde(default = "first")]
    pub nth: u64,
    /// The operation has its effect before power goes.
    #[serde(default)]
    pub after: bool,
    /// Number of the operation in the trace, instead of all of the above.
    pub at: Option<u64>,
}

fn first() -> u64 {
    1
}

/// What survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SurvivalSpec {
    /// Only what was synced.
    #[default]
    None,
    /// Everything.
    All,
    /// Names, but not the data of files.
    DataLate,
    /// A subset by the seed.
    Subset,
    /// The same, and of the rest some sectors are garbage.
    Garbage,
}
