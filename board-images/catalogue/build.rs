//! Embeds every file `../boards/*.toml`, so that a new board is one new file and no list changes.

use std::fmt::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../boards").canonicalize()?;
    println!("cargo::rerun-if-changed={}", directory.display());
    let mut source = String::new();
    let mut files: Vec<_> =
        std::fs::read_dir(&directory)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    for path in files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        writeln!(source, "    ({name:?}, include_str!({path:?})),")?;
    }
    let source = format!(
        "/// Name and text of every board file, by name.\npub const BOARDS: &[(&str, &str)] = &[\n{source}];\n"
    );
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("boards.rs"), source)?;
    Ok(())
}
