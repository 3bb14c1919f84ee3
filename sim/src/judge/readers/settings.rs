//! The settings on a scenario's drive, read separately from the engine.

use crate::scenario::schema::{FileSpec, Scenario};
use toml::{Table, Value};

/// The settings file as data; empty if there is none or it cannot be read.
fn table(scenario: &Scenario) -> Table {
    let file = scenario.drive.files.iter().find(|file| file.name == "replicator.toml");
    file.and_then(|file| file.text.as_deref()?.parse().ok()).unwrap_or_default()
}

/// Whether captures are sanitised: unless `[capture] sanitise = false`.
pub fn sanitises(scenario: &Scenario) -> bool {
    let settings = table(scenario);
    let said = settings.get("capture").and_then(|capture| capture.get("sanitise"));
    said.and_then(Value::as_bool).unwrap_or(true)
}

/// Whether the drive has its own rules.
pub fn has_own_rules(scenario: &Scenario) -> bool {
    table(scenario).get("capture").is_some_and(|capture| capture.get("rules").is_some())
}

/// Whether every byte of a disk image is written, and its block map is not used: `[write] extent = "all"`.
pub fn writes_all(scenario: &Scenario) -> bool {
    let settings = table(scenario);
    let said = settings.get("write").and_then(|write| write.get("extent"));
    said.and_then(Value::as_str) == Some("all")
}

/// Whether golden media may be overwritten: `[write] write_back = true`.
pub fn writes_back(scenario: &Scenario) -> bool {
    let settings = table(scenario);
    let said = settings.get("write").and_then(|write| write.get("write_back"));
    said.and_then(Value::as_bool).unwrap_or(false)
}

/// Whether `file` is a settings file that only says how captures are compressed, and is valid.
pub fn is_only_compression(file: &FileSpec) -> bool {
    let settings: Option<Table> = file.text.as_deref().and_then(|text| text.parse().ok());
    let is_compression = |(key, value): (&String, &Value)| match key.as_str() {
        "compress" => {
            value.is_bool() || value.as_str().is_some_and(|name| ["xz", "zstd", "none"].contains(&name))
        }
        "zstd_level" => value.as_integer().is_some_and(|level| (1..=19).contains(&level)),
        "xz_preset" => value.as_integer().is_some_and(|preset| (0..=9).contains(&preset)),
        _ => false,
    };
    file.name == "replicator.toml"
        && settings.is_some_and(|settings| {
            let tables =
                settings.iter().map(|(name, value)| (name == "capture").then(|| value.as_table()).flatten());
            tables.into_iter().all(|table| table.is_some_and(|table| table.iter().all(is_compression)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_of_the_compression_count_as_such() {
        let of = |text: &str| {
            let text = Some(text.to_owned());
            is_only_compression(&FileSpec { name: "replicator.toml".to_owned(), text, ..FileSpec::default() })
        };
        assert!(of("[capture]\ncompress = \"zstd\"\nzstd_level = 4\n"));
        for text in [
            "[capture]\nsanitise = false\ncompress = \"none\"\n",
            "board = \"a\"\n[capture]\n",
            "[capture]\ncompress = \"lz4\"\n",
            "[capture]\nzstd_level = 20\n",
            "[write]\n",
            "no toml",
        ] {
            assert!(!of(text), "{text}");
        }
    }
}
