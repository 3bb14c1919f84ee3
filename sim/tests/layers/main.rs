//! No module of the workspace imports a module of its own layer or of a higher one, so there is no import cycle, and a module
//! can be read without the layers above it. The table is in `table.rs`.
//!
//! The test reads the sources of this workspace. Planted imports of every form show that upward imports are found.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

mod planted;
mod sources;
mod table;

use sources::{Import, Path, Sources};
use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;
use table::{CRATE_RULES, CrateRules, EXEMPT, WITHOUT_ENGINE, WITHOUT_HAL_TRAITS};

/// Every crate with its sources, read once.
static CRATES: LazyLock<Vec<(&'static CrateRules, Sources)>> =
    LazyLock::new(|| CRATE_RULES.iter().map(|rules| (rules, rules.sources())).collect());

fn named(directory: &str) -> &'static (&'static CrateRules, Sources) {
    CRATES.iter().find(|(rules, _)| rules.directory == directory).unwrap()
}

impl CrateRules {
    fn modules(&self) -> impl Iterator<Item = &'static str> {
        self.layers.iter().flat_map(|layer| layer.iter().copied())
    }

    /// Layer of a module; 0 is the highest.
    fn layer(&self, module: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.contains(&module))
    }

    /// The module of the table that a path leads to; re-exports are followed.
    fn module_of(&self, sources: &Sources, path: &[String]) -> Option<&'static str> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let leads_into =
                |module: &&str| module.split("::").eq(path.iter().take(module.split("::").count()));
            if let Some(module) = self.modules().find(leads_into) {
                return Some(module);
            }
            path = sources.re_exported(&path)?;
        }
        None
    }

    /// The error of one import; `None` if it is allowed.
    fn error(&self, sources: &Sources, import: &Import) -> Option<String> {
        let from = self.module_of(sources, &import.from);
        let named = import.to.join("::");
        if import.is_external {
            let other = &import.to[0];
            let unknown = !self.crates.contains(&other.as_str());
            let engine =
                other == "replicator_engine" && from.is_some_and(|module| WITHOUT_ENGINE.contains(&module));
            return (unknown || engine).then(|| format!("{} must not name {named}", from.unwrap_or("it")));
        }
        let to = self.module_of(sources, &import.to);
        match (from, to) {
            // The root is above all modules, and a group of modules is above its children.
            (None, _) if import.from.is_empty() || import.to.starts_with(&import.from) => None,
            // Tests beside the root are above all modules, too.
            (None, _) if import.in_test && import.from.len() == 1 => None,
            (None, _) => Some(format!("{} names {named}, which is not inside of it", import.from.join("::"))),
            (Some(from), None) => Some(format!("{from} names {named}, which is not in the table")),
            (Some(from), Some(to)) if from == to => None,
            (Some(from), Some(to)) => {
                let is_below = self.layer(to) > self.layer(from);
                (!is_below).then(|| format!("{from} names {named} of {to}, which is not below it"))
            }
        }
    }

    /// All errors of a crate.
    fn errors(&self, sources: &Sources) -> Vec<String> {
        let mut lines = Vec::new();
        for import in &sources.imports {
            let Some(error) = self.error(sources, import) else { continue };
            let file = format!("{}/src/{}", self.directory, import.file);
            let to = self.module_of(sources, &import.to);
            let is_exempt = EXEMPT.iter().any(|(path, module, _)| *path == file && Some(*module) == to);
            if !(import.in_test && is_exempt) {
                lines.push(format!("{file}:{}: {error}", import.line));
            }
        }
        let in_table = |path: &Path| {
            let name = path.join("::");
            self.modules().any(|module| module == name || module.starts_with(&format!("{name}::")))
        };
        let first = sources.modules.iter().filter(|path| path.len() == 1);
        lines.extend(
            first.filter(|path| !in_table(path)).map(|path| {
                format!("{}/src: module {} is not in the table", self.directory, path.join("::"))
            }),
        );
        let known =
            |module: &str| sources.modules.contains(&module.split("::").map(str::to_owned).collect::<Path>());
        lines.extend(
            self.modules()
                .filter(|module| !known(module))
                .map(|module| format!("{}/src: module {module} of the table does not exist", self.directory)),
        );
        lines.sort();
        lines.dedup();
        lines
    }

    fn sources(&self) -> Sources {
        let top =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(self.directory).join("src");
        let mut files = BTreeMap::new();
        let mut queue = vec![top.clone()];
        while let Some(directory) = queue.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    queue.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned();
                    files.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
        // A program's root beside the library's has no module of its own.
        if self.root == "lib.rs" {
            files.remove("main.rs");
        }
        Sources::read(self.root, &files).unwrap()
    }

    /// The picture of ARCHITECTURE.md.
    fn picture(&self) -> String {
        let layers = self.layers.iter().map(|layer| format!("    {}\n", layer.join(" · ")));
        format!(
            "{}/src: {} modules in {} layers\n",
            self.directory,
            self.modules().count(),
            self.layers.len()
        ) + &layers.collect::<String>()
    }
}

#[test]
fn no_module_of_the_workspace_imports_its_own_or_a_higher_layer() {
    let errors: Vec<String> = CRATES.iter().flat_map(|(rules, sources)| rules.errors(sources)).collect();
    assert!(errors.is_empty(), "{} errors:\n{}", errors.len(), errors.join("\n"));
}

#[test]
fn every_crate_of_the_workspace_is_in_the_table() {
    let text = include_str!("../../../Cargo.toml");
    let manifest: toml::Table = toml::from_str(text).unwrap();
    let mut members: Vec<&str> = manifest["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member.as_str().unwrap())
        .collect();
    let mut known: Vec<&str> = CRATE_RULES.iter().map(|rules| rules.directory).collect();
    members.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, members);
}

#[test]
fn every_exemption_is_needed() {
    for (file, module, _) in EXEMPT {
        let used = CRATES.iter().any(|(rules, sources)| {
            let prefix = format!("{}/src/", rules.directory);
            sources.imports.iter().any(|import| {
                format!("{prefix}{}", import.file) == *file
                    && import.in_test
                    && rules.module_of(sources, &import.to) == Some(module)
                    && rules.error(sources, import).is_some()
            })
        });
        assert!(used, "{file} does not need its exemption for {module}");
    }
}

#[test]
fn the_model_of_hardware_names_no_trait_of_the_hal() {
    let (traits, (sim, sources)) = (&named("hal").1.traits, named("sim"));
    assert!(traits.contains("BlockDevices") && traits.contains("Volume"), "{traits:?}");
    let wrong = sources.imports.iter().filter(|import| {
        let module = sim.module_of(sources, &import.from);
        module.is_some_and(|module| WITHOUT_HAL_TRAITS.contains(&module))
            && import.to[0] == "replicator_hal"
            && import.to.iter().any(|name| traits.contains(name))
    });
    let lines: Vec<String> = wrong
        .map(|import| format!("sim/src/{}:{}: {}", import.file, import.line, import.to.join("::")))
        .collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn the_picture_in_the_architecture_is_the_table() {
    let text = include_str!("../../../ARCHITECTURE.md");
    let pictures: String =
        CRATE_RULES.iter().filter(|rules| !rules.layers.is_empty()).map(CrateRules::picture).collect();
    assert!(text.contains(&pictures), "ARCHITECTURE.md lacks this picture:\n{pictures}");
}
