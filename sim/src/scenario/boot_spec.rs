//! One boot of a scenario: what happens before it, where the power is cut, and what survives that.

use super::expectation_spec::Mode;
use super::schema::StatusSpec;
use crate::model::bytes::size::Size;
use crate::model::time::op_name::OpName;
use serde::{Deserialize, Serialize};

/// One boot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootSpec {
    /// Where power is cut.
    pub cut: Option<CutSpec>,
    /// Which unflushed changes survive.
    #[serde(default)]
    pub survive: SurvivalSpec,
    /// The seed for what survives at random; by default that of the scenario.
    pub survive_seed: Option<u64>,
    /// Before this boot: files removed from the drive.
    #[serde(default)]
    pub remove: Vec<String>,
    /// Before this boot: the file system on the drive gets so much more free space.
    pub more_space: Option<Size>,
    /// Before this boot: media are replaced by blank ones of the same length with another identity.
    #[serde(default)]
    pub new_unit: bool,
    /// The status after this boot, if it ran to its end.
    pub status: Option<StatusSpec>,
    /// The mode of this boot: `capture`, `write`.
    pub mode: Option<Mode>,
}

/// Where power is cut: at the nth occurrence of an operation, or at a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// The operation has its effect before the power fails.
    #[serde(default)]
    pub after: bool,
    /// Number of the operation in the trace, instead of all of the above.
    pub at: Option<u64>,
}

fn first() -> u64 {
    1
}

/// What survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
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
    /// As `Subset`, and some of the other sectors are garbage.
    Garbage,
}
