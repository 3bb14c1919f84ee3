//! `export`: writes a failing scenario, or one crash state of a scenario, to a file.

use super::Problem;
use super::named::one;
use super::one_state::cuts;
use super::shrink::smaller;
use crate::fuzz::export::{regression, with_cuts, write};
use crate::judge::CheckerId;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// A seed of the fuzzer, or a scenario file.
    scenario: String,
    /// Name of the file; by default made from the judge and the seed.
    #[arg(long)]
    name: Option<String>,
    /// Directory for the file.
    #[arg(long, value_name = "DIR", default_value = "sim/scenarios/regressions")]
    directory: PathBuf,
    /// Exports this crash state of the scenario instead: the power is cut before these operations.
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    cut: Vec<u64>,
    /// Survival policy of each cut.
    #[arg(long, value_name = "POLICY,...", value_delimiter = ',', requires = "cut")]
    survive: Vec<String>,
}

/// `export`.
pub(super) fn export(arguments: &Export, output: &mut dyn Write) -> Result<u8, Problem> {
    let path = if arguments.cut.is_empty() {
        let shrunk = smaller(&arguments.scenario)?;
        let name = arguments.name.clone().unwrap_or_else(|| file_name(shrunk.by, &arguments.scenario));
        regression(&shrunk, &name, &arguments.directory)
    } else {
        let (named, _) = one(&arguments.scenario)?;
        let cuts = cuts(&arguments.cut, &arguments.survive).map_err(Problem::Usage)?;
        let scenario = with_cuts(&named.scenario, &cuts);
        let name =
            arguments.name.clone().unwrap_or_else(|| format!("{}-cut-{}", named.name, arguments.cut[0]));
        write(&scenario, &name, &arguments.directory)
    };
    let path = path.map_err(Problem::Usage)?;
    writeln!(output, "{}", path.display()).map_err(Problem::Output)?;
    Ok(0)
}

fn file_name(by: CheckerId, scenario: &str) -> String {
    let scenario =
        Path::new(scenario).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{}-{scenario}", by.word())
}
