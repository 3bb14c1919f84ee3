//! Whether a drive's settings allow images of any content, read without the engine.

use crate::scenario::schema::FileSpec;

/// Whether `replicator.toml` of a scenario has `any_content = true`.
pub fn is_allowed(files: &[FileSpec]) -> bool {
    let settings = files.iter().find(|file| file.name == "replicator.toml");
    let text = settings.and_then(|file| file.text.as_deref()).unwrap_or_default();
    text.lines().any(|line| line.split_whitespace().collect::<String>() == "any_content=true")
}
