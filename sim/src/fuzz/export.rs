//! Writes scenarios to files: those stay valid when generators and numbers of calls change.

use super::shrink::Shrunk;
use crate::explore::Cut;
use crate::judge::CheckerId;
use crate::model::hardware::simfs::Survival;
use crate::run::boots;
use crate::scenario::schema::{BootSpec, CutSpec, Scenario, StatusSpec, SurvivalSpec};
use replicator_hal::Status;
use std::path::{Path, PathBuf};

/// The scenario with these cuts in its first boots, and an undisturbed boot after them.
pub fn with_cuts(scenario: &Scenario, cuts: &[Cut]) -> Scenario {
    let boot = |(at, survival): &Cut| {
        let (survive, survive_seed) = match survival {
            Survival::None => (SurvivalSpec::None, None),
            Survival::All => (SurvivalSpec::All, None),
            Survival::DataLate => (SurvivalSpec::DataLate, None),
            Survival::Subset(seed) => (SurvivalSpec::Subset, Some(*seed)),
            Survival::Garbage(seed) => (SurvivalSpec::Garbage, Some(*seed)),
        };
        let cut = CutSpec { on: None, op: None, file: None, nth: 1, after: false, at: Some(*at) };
        BootSpec { cut: Some(cut), survive, survive_seed, ..BootSpec::default() }
    };
    let boots = cuts.iter().map(boot).chain([BootSpec::default()]).collect();
    Scenario { boots, ..scenario.clone() }
}

/// Writes a scenario that failed. Its right end is not known, but a wrong success has to become a failure.
///
/// # Errors
/// If the scenario is invalid or cannot be written.
pub fn regression(shrunk: &Shrunk, name: &str, directory: &Path) -> Result<PathBuf, String> {
    let mut scenario = shrunk.scenario.clone();
    let success_is_wrong = matches!(shrunk.by, CheckerId::SuccessIsTrue | CheckerId::SomethingDone);
    scenario.about = format!("Found by the fuzzer: {}.", shrunk.by);
    scenario.expect.status = match boots::run(name, &scenario)?.last().status() {
        Some(Status::Success) if !success_is_wrong => StatusSpec::Success,
        Some(Status::Critical) => StatusSpec::Critical,
        _ => StatusSpec::Failure,
    };
    write(&scenario, name, directory)
}

/// Writes a scenario to a file.
///
/// # Errors
/// If it cannot be written.
pub fn write(scenario: &Scenario, name: &str, directory: &Path) -> Result<PathBuf, String> {
    let path = directory.join(format!("{name}.toml"));
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(directory).map_err(failed)?;
    std::fs::write(&path, scenario.to_toml()?).map_err(failed)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::generate;

    #[test]
    fn a_crash_state_becomes_a_scenario_with_cuts() {
        let scenario = with_cuts(&generate::scenario(1), &[(7, Survival::All), (9, Survival::Subset(3))]);
        assert_eq!(scenario.boots.len(), 3);
        assert_eq!(scenario.boots[1].survive_seed, Some(3));
        assert_eq!(scenario.boots[0].cut.as_ref().and_then(|cut| cut.at), Some(7));
        let directory = tempfile::tempdir().unwrap();
        let path = write(&scenario, "cut", directory.path()).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(format!("{:?}", Scenario::parse(&text, "cut").unwrap()), format!("{scenario:?}"));
    }
}
