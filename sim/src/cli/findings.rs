//! Output of `explore` and `fuzz`: findings, a screen each, and sums.

use crate::explore::{Finding, Totals};
use serde_json::json;
use std::io::Write;
use std::time::Duration;

/// The exit status: the lowest status of the findings, so that a panic comes first.
pub(super) fn status(findings: &[Finding]) -> u8 {
    findings.iter().map(|finding| finding.severity).min().map_or(0, |severity| severity as u8)
}

/// The findings, a screen each.
pub(super) fn screens(output: &mut dyn Write, findings: &[Finding]) -> std::io::Result<()> {
    findings.iter().flat_map(Finding::screen).try_for_each(|line| writeln!(output, "{line}"))
}

/// The last lines: sums and rates.
pub(super) fn sums(
    output: &mut dyn Write,
    as_json: bool,
    totals: &Totals,
    elapsed: Duration,
) -> std::io::Result<()> {
    let seconds = elapsed.as_secs_f64();
    if as_json {
        return writeln!(output, "{}", json!({"totals": totals, "seconds": seconds}));
    }
    let rates = [
        ("distinct states", totals.distinct),
        ("error-sweep runs", totals.error_runs),
        ("fuzz runs", totals.fuzz_runs),
    ];
    let rates: Vec<String> = rates
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{:.1} {name}/s", *count as f64 / seconds))
        .collect();
    writeln!(output, "{totals}\n{} complaints in {seconds:.1} s, {}", totals.complaints, rates.join(", "))
}
