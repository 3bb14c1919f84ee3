//! Writes a scenario as a person would: without defaults.

use super::schema::{DriveSpec, FileSpec, MediumSpec, Scenario};
use serde::Serialize;
use toml::{Table, Value};

/// The file's text.
///
/// # Errors
/// If something cannot be expressed in TOML.
pub(super) fn write(scenario: &Scenario) -> Result<String, String> {
    let mut root = table(scenario)?;
    let drive = table(&DriveSpec::default())?;
    if let Some(Value::Table(found)) = root.get_mut("drive") {
        found.retain(|key, value| drive.get(key) != Some(value));
    }
    let medium = table(&MediumSpec::default())?;
    if let Some(Value::Table(media)) = root.get_mut("media") {
        for value in media.iter_mut().filter_map(|(_, value)| value.as_table_mut()) {
            value.retain(|key, value| medium.get(key) != Some(value));
        }
    }
    let file = table(&FileSpec::default())?;
    if let Some(Value::Array(files)) = root.get_mut("drive").and_then(|drive| drive.get_mut("file")) {
        for value in files.iter_mut().filter_map(Value::as_table_mut) {
            value.retain(|key, value| key == "name" || file.get(key) != Some(value));
        }
    }
    prune(&mut root, "");
    if scenario.seed == 0 {
        root.remove("seed");
    }
    toml::to_string(&root).map_err(|error| error.to_string())
}

fn table(value: &impl Serialize) -> Result<Table, String> {
    Table::try_from(value).map_err(|error| error.to_string())
}

/// Drops defaults: `false`, empty lists, `none`, the first occurrence.
fn prune(table: &mut Table, place: &str) {
    for (key, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => prune(inner, key),
            Value::Array(items) => {
                items.iter_mut().filter_map(Value::as_table_mut).for_each(|inner| prune(inner, key));
            }
            _ => {}
        }
    }
    table.retain(|key, value| match value {
        // `bootloader_in_gap = false` differs from no key.
        Value::Boolean(false) => key == "bootloader_in_gap",
        // An empty `compatible` (no device tree) differs from no key.
        Value::Array(items) => !items.is_empty() || key == "compatible",
        // A medium without special properties is still a medium.
        Value::Table(inner) => place == "media" || !inner.is_empty() || key == "cut",
        Value::String(text) => !(text == "none" && (key == "sidecar" || key == "survive")),
        _ => true,
    });
}

#[cfg(test)]
mod tests {
    use crate::scenario::builtin::BUILTIN;
    use crate::scenario::schema::Scenario;

    #[test]
    fn every_built_in_scenario_survives_being_written_and_read() {
        for (name, text) in BUILTIN {
            let scenario = Scenario::parse(text, name).unwrap();
            let written = scenario.to_toml().unwrap();
            let again = Scenario::parse(&written, name).unwrap();
            assert_eq!(format!("{scenario:?}"), format!("{again:?}"), "{name}:\n{written}");
        }
    }

    #[test]
    fn defaults_are_not_written() {
        let text = "about = \"x\"\n[media.sd]\n[expect]\nstatus = \"success\"\n";
        let written = Scenario::parse(text, "x").unwrap().to_toml().unwrap();
        assert!(written.lines().count() <= 8 && written.contains("[media.sd]"), "{written}");
    }
}
