//! The boards whose firmware a scenario can use: the profiles of the release, so that they are tested too.

use replicator_engine::profile::Profile;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Every board file is parsed once, because checkers need profiles in every crash state.
static PROFILES: LazyLock<BTreeMap<&str, Result<Profile, String>>> = LazyLock::new(|| {
    let read = |text: &str, name: &str| Profile::parse(text, name).map_err(|error| error.to_string());
    replicator_boards::BOARDS.iter().map(|(name, text)| (*name, read(text, name))).collect()
});

/// The profile of a board.
///
/// # Errors
/// If there is no such board.
pub fn profile(name: &str) -> Result<&'static Profile, String> {
    let known = || PROFILES.keys().copied().collect::<Vec<_>>().join(", ");
    let profile = PROFILES
        .get(name)
        .ok_or_else(|| format!("firmware.board: no board {name:?}; known are {}", known()))?;
    profile.as_ref().map_err(Clone::clone)
}

/// The profiles of all boards.
pub fn all() -> impl Iterator<Item = &'static Profile> {
    PROFILES.values().filter_map(|profile| profile.as_ref().ok())
}
