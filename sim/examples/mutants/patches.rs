//! The patches in `sim/mutants` as files. `ci/mutants` applies them; the tests here fail as soon as one no longer
//! fits.

use std::path::{Path, PathBuf};

/// A file of the repository, or of the copy in which this program was built.
fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Whether this program was built in the patched copy: only that has the switch.
pub(crate) fn are_applied() -> bool {
    in_repository("engine/src/mutant.rs").is_file()
}

#[cfg(test)]
mod tests {
    use super::in_repository;
    use crate::table::{Fault, MUTANTS};
    use replicator_sim::scenario::builtin;
    use std::collections::BTreeSet;
    use std::fs;

    const HOW: &str = "sim/mutants/README.md shows in three steps how to repair a patch";

    fn patched() -> Vec<&'static str> {
        MUTANTS
            .iter()
            .filter(|mutant| matches!(mutant.fault, Fault::Patch))
            .map(|mutant| mutant.name)
            .collect()
    }

    fn patch(name: &str) -> String {
        fs::read_to_string(in_repository("sim/mutants").join(format!("{name}.patch"))).unwrap()
    }

    #[test]
    fn there_is_one_patch_for_each_mutant_that_needs_one() {
        let mut found: BTreeSet<String> = BTreeSet::new();
        for entry in fs::read_dir(in_repository("sim/mutants")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            found.extend(name.strip_suffix(".patch").map(str::to_owned));
        }
        assert_eq!(found, patched().into_iter().map(str::to_owned).collect());
    }

    /// The lines that each hunk of a patch expects, with the file.
    fn hunks(patch: &str) -> Vec<(String, Vec<String>)> {
        let mut hunks: Vec<(String, Vec<String>)> = Vec::new();
        let mut file = String::new();
        for line in patch.lines() {
            if let Some(path) = line.strip_prefix("--- a/") {
                path.clone_into(&mut file);
            } else if line.starts_with("@@ ") {
                hunks.push((file.clone(), Vec::new()));
            } else if let (Some((_, lines)), Some(old)) =
                (hunks.last_mut(), line.strip_prefix(' ').or(line.strip_prefix('-')))
            {
                if !line.starts_with("--- ") {
                    lines.push(old.to_owned());
                }
            }
        }
        hunks
    }

    #[test]
    fn every_hunk_fits_in_exactly_one_place() {
        let mut wrong = Vec::new();
        for name in patched() {
            let patch = patch(name);
            let hunks = hunks(&patch);
            assert!(!hunks.is_empty(), "{name}.patch has no hunk");
            let ends_in_context = patch.lines().last().is_some_and(|line| line.starts_with(' '));
            assert!(ends_in_context, "the last hunk of {name}.patch needs a line behind the change");
            for (file, expected) in hunks {
                let text = fs::read_to_string(in_repository(&file)).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let places = lines.windows(expected.len()).filter(|lines| *lines == expected).count();
                if places != 1 {
                    wrong.push(format!(
                        "sim/mutants/{name}.patch fits in {places} places of {file}:\n{}",
                        expected.join("\n")
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{}\n{HOW}", wrong.join("\n\n"));
    }

    #[test]
    fn every_patch_switches_on_its_own_mutant_only() {
        for name in patched() {
            let patch = patch(name);
            let asked: BTreeSet<&str> = patch
                .split("crate::mutant::on(\"")
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
                .collect();
            assert_eq!(asked, BTreeSet::from([name]), "sim/mutants/{name}.patch");
        }
    }

    #[test]
    fn every_scenario_of_the_list_exists() {
        for mutant in MUTANTS {
            assert!(!mutant.scenarios.is_empty(), "{}", mutant.name);
            for scenario in mutant.scenarios {
                assert!(builtin::find(scenario).is_some(), "{}: {scenario}", mutant.name);
            }
        }
    }
}
