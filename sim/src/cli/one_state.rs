//! `run --cut` and `run --fail`: one crash state of a scenario, or one failing call.

use super::Problem;
use super::findings::status;
use super::named::Named;
use crate::explore;
use crate::model::hardware::simfs::Survival;
use crate::run::unchanged;
use clap::Args;
use std::io::Write;

/// One crash state of a scenario, or one call that fails.
#[derive(Debug, Default, Args)]
pub(super) struct OneState {
    /// Cuts the power before this operation; further numbers cut the following boots.
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    cut: Vec<u64>,
    /// Survival policy of each cut: none, all, data-late, subset:SEED, garbage:SEED.
    #[arg(long, value_name = "POLICY,...", value_delimiter = ',', requires = "cut")]
    survive: Vec<String>,
    /// The boot of the scenario that is cut, or has the failing call.
    #[arg(long, value_name = "N", default_value_t = 1)]
    boot: usize,
    /// Lets the operation with this number fail.
    #[arg(long, value_name = "N", conflicts_with = "cut")]
    fail: Option<u64>,
    /// Lets it fail once (default).
    #[arg(long, requires = "fail")]
    transient: bool,
    /// Lets all later operations fail, too.
    #[arg(long, requires = "fail", conflicts_with = "transient")]
    persistent: bool,
}

impl OneState {
    /// Whether the command line has one of these options.
    pub(super) fn is_given(&self) -> bool {
        !self.cut.is_empty() || self.fail.is_some()
    }
}

/// Numbers of operations with their policies; the default policy is `none`.
pub(super) fn cuts(numbers: &[u64], policies: &[String]) -> Result<Vec<explore::Cut>, String> {
    let cut = |(index, at): (usize, &u64)| {
        let policy = policies.get(index).map(|text| explore::parse_policy(text));
        Ok((*at, policy.unwrap_or(Ok(Survival::None))?))
    };
    numbers.iter().enumerate().map(cut).collect()
}

/// `run --cut` and `run --fail`.
pub(super) fn one(named: &Named, wanted: &OneState, output: &mut dyn Write) -> Result<u8, Problem> {
    let (lines, explored) = match wanted.fail {
        Some(number) => {
            let (boot, persistent) = (wanted.boot, wanted.persistent);
            explore::one_failure(&named.name, &named.scenario, boot, number, persistent, &unchanged)
        }
        None => {
            let cuts = cuts(&wanted.cut, &wanted.survive);
            cuts.and_then(|cuts| {
                explore::one_state(&named.name, &named.scenario, wanted.boot, &cuts, &unchanged)
            })
        }
    }
    .map_err(Problem::Usage)?;
    lines.iter().try_for_each(|line| writeln!(output, "{line}")).map_err(Problem::Output)?;
    if explored.findings.is_empty() {
        writeln!(output, "ok").map_err(Problem::Output)?;
    }
    for finding in &explored.findings {
        let kind = format!("{:?}", finding.severity).to_lowercase();
        writeln!(output, "FAIL {kind}: {}: {}", finding.by, finding.what).map_err(Problem::Output)?;
    }
    Ok(status(&explored.findings))
}
