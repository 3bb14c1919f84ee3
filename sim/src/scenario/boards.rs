//! The boards whose firmware a story can be about: the profiles that ship, so that they are tried too.

use replicator_engine::profile::Profile;

const BOARDS: [(&str, &str); 7] = [
    ("ts7180", include_str!("../../../board-images/boards/ts7180.toml")),
    ("ts7250v3", include_str!("../../../board-images/boards/ts7250v3.toml")),
    ("ts7800v2", include_str!("../../../board-images/boards/ts7800v2.toml")),
    ("tsimx28", include_str!("../../../board-images/boards/tsimx28.toml")),
    ("tsimx6", include_str!("../../../board-images/boards/tsimx6.toml")),
    ("tsimx6ul", include_str!("../../../board-images/boards/tsimx6ul.toml")),
    ("tsimx9", include_str!("../../../board-images/boards/tsimx9.toml")),
];

/// The profile of a board.
///
/// # Errors
/// In words, if there is none of that name.
pub fn profile(name: &str) -> Result<Profile, String> {
    let known = || BOARDS.map(|(known, _)| known).join(", ");
    let (_, text) = BOARDS
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| format!("firmware.board: no board {name:?}; known are {}", known()))?;
    Profile::parse(text, name).map_err(|error| error.to_string())
}
