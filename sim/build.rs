//! Embeds the scenario files, so that the program can run them in any directory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=scenarios");
    let directory = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("scenarios");
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    // Scenarios from the fuzzer are in a directory of their own.
    for (place, prefix) in [(directory.clone(), ""), (directory.join("regressions"), "regressions/")] {
        if !place.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&place)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                files.push((format!("{prefix}{stem}"), path));
            }
        }
    }
    files.sort();
    let mut source = String::from("/// Name and text of every built-in scenario, by name.\n");
    source.push_str("pub const BUILTIN: &[(&str, &str)] = &[\n");
    for (name, path) in files {
        writeln!(source, "    ({name:?}, include_str!({path:?})),")?;
    }
    source.push_str("];\n");
    let target = Path::new(&std::env::var("OUT_DIR")?).join("builtin_scenarios.rs");
    std::fs::write(target, source)?;
    Ok(())
}
