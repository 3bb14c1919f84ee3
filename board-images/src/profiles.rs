//! The profiles that are built in, and profiles from files.

use crate::usage::UsageError;
use replicator_boards::BOARDS;
use replicator_engine::profile::Profile;
use std::io::Read;
use std::path::Path;

/// Longer files are refused.
const FILE_LIMIT_BYTES: u64 = 256 << 10;

/// All built-in profiles.
///
/// # Errors
/// If one is wrong; the tests of this module check that none is.
pub(crate) fn embedded() -> Result<Vec<Profile>, UsageError> {
    BOARDS.iter().map(|(name, text)| Ok(Profile::parse(text, name)?)).collect()
}

/// The profiles in the files `*.toml` of a directory, by file name; none if there is no such directory.
///
/// # Errors
/// If one of them is wrong.
pub(crate) fn in_directory(directory: &Path) -> Result<Vec<Profile>, UsageError> {
    let wrong = |error: std::io::Error| UsageError::ProfileFile {
        path: directory.to_owned(),
        detail: error.to_string(),
    };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(wrong)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// The profile called `name_or_file`: a built-in one, else a file.
pub(crate) fn choose(name_or_file: &str) -> Result<Profile, UsageError> {
    let profiles = embedded()?;
    let known = profiles.iter().map(|profile| profile.name.clone()).collect();
    if let Some(profile) = profiles.into_iter().find(|profile| profile.name == name_or_file) {
        return Ok(profile);
    }
    let path = Path::new(name_or_file);
    if !path.exists() {
        return Err(UsageError::UnknownBoard { wanted: name_or_file.to_owned(), known });
    }
    read(path)
}

/// The profile in a file.
pub(crate) fn read(path: &Path) -> Result<Profile, UsageError> {
    let wrong = |detail: String| UsageError::ProfileFile { path: path.to_owned(), detail };
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut text = String::new();
    file.take(FILE_LIMIT_BYTES + 1).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > FILE_LIMIT_BYTES {
        return Err(wrong(format!("longer than {FILE_LIMIT_BYTES} bytes")));
    }
    Ok(Profile::parse(&text, &path.display().to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use replicator_engine::profile::MediumKind;
    use replicator_hal::LedName;
    use std::collections::BTreeSet;

    #[test]
    fn every_built_in_profile_is_valid_and_named_like_its_file() {
        for ((name, text), profile) in BOARDS.iter().zip(embedded().unwrap()) {
            assert_eq!(*name, profile.name);
            assert!(!profile.products.is_empty() && !profile.media.is_empty(), "{name}");
            // A PC has no device tree. `generic` is for a running system and has no bootable drive.
            let has_device_tree = text.contains("\n[drive]") && !text.contains("architecture = \"x86-64\"");
            assert_eq!(!profile.matches.is_empty(), has_device_tree, "{name}");
        }
    }

    #[test]
    fn no_board_matches_two_profiles() {
        let mut seen = BTreeSet::new();
        for compatible in embedded().unwrap().into_iter().flat_map(|profile| profile.matches) {
            assert!(seen.insert(compatible.clone()), "{compatible}");
        }
        assert!(seen.contains("technologic,ts7100"));
    }

    #[test]
    fn conditions_name_boards_of_their_own_profile() {
        for profile in embedded().unwrap() {
            let of_media = profile.media.iter().flat_map(|medium| &medium.only);
            for wanted in of_media.chain(profile.leds.iter().flat_map(|leds| &leds.only)) {
                assert!(profile.matches.contains(wanted), "{}: {wanted}", profile.name);
            }
        }
    }

    #[test]
    fn every_board_has_leds_by_name_and_every_line_a_chip() {
        for profile in embedded().unwrap() {
            let boards = profile.matches.iter().map(|board| vec![board.clone()]);
            for compatible in boards.chain([vec![]]) {
                let leds = profile.leds_of(&compatible);
                assert_eq!(
                    leds.green.names.first().map(LedName::as_str),
                    Some("green:power"),
                    "{compatible:?}"
                );
                let red = leds.red.names.first().map(LedName::as_str);
                assert!(matches!(red, Some("red:status" | "red:indicator")), "{compatible:?}");
                assert!(leds.green.line.is_none() || leds.green.line != leds.red.line);
            }
        }
    }

    /// Two media with the same controller, or with the same fallback device, would be one medium with two names.
    #[test]
    fn media_of_a_board_are_distinct() {
        for profile in embedded().unwrap() {
            for (index, medium) in profile.media.iter().enumerate() {
                for other in &profile.media[..index] {
                    if medium.kind == MediumKind::Any || medium.kind != other.kind {
                        assert!(medium.device.is_none() || medium.device != other.device, "{}", profile.name);
                        continue;
                    }
                    assert_ne!(medium.device, other.device, "{}", profile.name);
                    assert!(medium.controller.is_none() || medium.controller != other.controller);
                }
            }
        }
    }

    /// Files, offsets and limits of the eight boards, from the scripts and U-Boot configurations of their vendor.
    #[test]
    fn every_board_has_its_bootloader_in_its_place() {
        let bootloader = |name: &str| {
            let bootloader = choose(name).unwrap().bootloader?;
            let area = bootloader.area;
            let place = area.device.or_else(|| Some(format!("{}boot{}", area.medium?, area.boot_area?)))?;
            let file = |file: replicator_engine::profile::BootloaderFile| {
                format!("{}@{}<={}", file.name, file.block, file.len_max_bytes)
            };
            Some(format!("{place} {}", bootloader.files.into_iter().map(file).collect::<Vec<_>>().join(" ")))
        };
        let spl = "emmcboot0 u-boot-dtb.bin@138<=977920 SPL@2<=69632";
        for (name, expected) in [
            ("ts7100", Some(spl)),
            ("ts7180", Some(spl)),
            ("ts7250v3", Some(spl)),
            ("ts7800v2", Some("emmcboot0 u-boot.kwb@0<=4194304")),
            ("tsimx28", None),
            ("tsimx6", Some("mtdblock0 u-boot.imx@2<=1047552")),
            ("tsimx6ul", Some("emmcboot0 u-boot.imx@2<=4193280")),
            ("tsimx9", Some("emmcboot0 u-boot.bin@0<=2097152")),
        ] {
            assert_eq!(bootloader(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn only_some_boards_take_microcontroller_updates() {
        let takes = |name: &str, board: &str| {
            choose(name).unwrap().firmware_files(&[board.to_owned()]).contains(&"micro-update.bin".to_owned())
        };
        assert!(takes("tsimx6", "technologic,imx6q-ts7970") && !takes("tsimx6", "fsl,imx6q-ts7990"));
        assert!(takes("ts7250v3", "technologic,ts7250v3") && takes("tsimx9", "technologic,ts4300"));
        assert!(!takes("tsimx6ul", "fsl,imx6ul-ts4100"));
    }

    #[test]
    fn the_error_for_an_unknown_board_lists_the_known_ones() {
        let error = choose("tsimx8").unwrap_err().to_string();
        assert!(
            error.contains("tsimx8") && error.contains("ts7100, ") && error.contains("generic"),
            "{error}"
        );
    }

    #[test]
    fn a_file_is_a_profile_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine.toml");
        std::fs::write(&path, "name = \"mine\"").unwrap();
        assert_eq!(choose(path.to_str().unwrap()).unwrap().name, "mine");
        std::fs::write(&path, "name = 3").unwrap();
        let error = choose(path.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("mine.toml") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn a_directory_gives_its_profiles_in_order() {
        let directory = tempfile::tempdir().unwrap();
        assert!(in_directory(&directory.path().join("absent")).unwrap().is_empty());
        for (file, text) in [("b.toml", "name = \"b\""), ("a.toml", "name = \"a\""), ("README", "no TOML")] {
            std::fs::write(directory.path().join(file), text).unwrap();
        }
        let found = in_directory(directory.path()).unwrap();
        assert_eq!(found.iter().map(|profile| &profile.name).collect::<Vec<_>>(), ["a", "b"]);
        std::fs::write(directory.path().join("c.toml"), "nmae = 3").unwrap();
        assert!(in_directory(directory.path()).unwrap_err().to_string().contains("c.toml"));
    }

    #[test]
    fn an_endless_file_is_refused() {
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("longer than"));
    }
}
