//! Whether a deliberate fault is on. `ci/mutants` puts this file into its copy of the engine.

use std::sync::{Once, OnceLock};

/// Whether the mutant called `name` is on in this process.
pub(crate) fn on(name: &str) -> bool {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    static REACHED: Once = Once::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("REPLICATOR_MUTANT").ok());
    let is_on = chosen.as_deref() == Some(name);
    if is_on {
        REACHED.call_once(|| eprintln!("mutant {name} is reached"));
    }
    is_on
}
