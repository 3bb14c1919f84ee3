//! The board files `board-images/boards/NAME.toml` as text.
//!
//! The build script finds them, so there is no list of boards. They are in a crate of their own, because two programs embed
//! them: the replicator, and the simulator, whose scenarios use the shipped profiles. Other code parses them: the profile is
//! parsed by `replicator_engine::profile`, the table `[drive]` by the drive builder.

include!(concat!(env!("OUT_DIR"), "/boards.rs"));

/// The text of a board file.
pub fn text(name: &str) -> Option<&'static str> {
    BOARDS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The names of all boards.
pub fn names() -> impl Iterator<Item = &'static str> {
    BOARDS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_directory_is_embedded() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../boards");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
            .collect();
        files.sort();
        assert_eq!(names().collect::<Vec<_>>(), files);
        assert!(text("tsimx6").unwrap().contains("name = \"tsimx6\""));
        assert_eq!(text("tsimx8"), None);
    }
}
