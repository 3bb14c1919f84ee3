//! The pages in `docs/boards` say what the profiles say: every name, place and line of a profile is on its board's page.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_engine::profile::{LedLine, Profile};
use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn profiles() -> Vec<Profile> {
    let directory = workspace().join("board-images/boards");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| Profile::parse(&fs::read_to_string(&path).unwrap(), "profile").unwrap()).collect()
}

/// `1047552` as `1,047,552`.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let group = |(index, digit): (usize, char)| {
        let begins = index > 0 && (digits.len() - index) % 3 == 0;
        [begins.then_some(','), Some(digit)].into_iter().flatten()
    };
    digits.char_indices().flat_map(group).collect()
}

/// What a page of this profile must have in it.
fn facts(profile: &Profile) -> Vec<String> {
    let quoted = |text: &str| format!("`{text}`");
    let mut facts: Vec<String> = profile.matches.iter().map(|board| quoted(board)).collect();
    facts.extend(profile.products.iter().cloned());
    for medium in &profile.media {
        let places =
            [&medium.controller, &medium.device].map(|place| place.as_deref().map_or("none".into(), quoted));
        facts.push(format!("| {} | {} |", places[0], places[1]));
        facts.push(format!("| {} |", medium.rootfs_partition));
        facts.push(quoted(&medium.name));
    }
    for line in profile.leds.iter().flat_map(|leds| [&leds.green, &leds.red]) {
        let LedLine { names, chip, line, active_low } = line;
        let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let place = chip.as_ref().zip(*line).map_or("none".into(), |(chip, line)| format!("`{chip}` {line}"));
        let lit = if chip.is_none() {
            ""
        } else if *active_low {
            "low"
        } else {
            "high"
        };
        facts.push(format!("{} | {place} | {lit}", names.join(", ")));
    }
    for file in profile.bootloader.iter().flat_map(|bootloader| &bootloader.files) {
        facts.push(quoted(&file.name));
        facts.push(format!("| {} | {} |", file.block, with_commas(file.len_max_bytes)));
    }
    facts.extend(
        profile.bootloader.iter().filter_map(|bootloader| bootloader.area.device.as_deref()).map(quoted),
    );
    facts.extend(profile.microcontroller.iter().map(|micro| quoted(&micro.file)));
    facts.extend(profile.fpga.iter().map(|fpga| quoted(&fpga.file)));
    facts
}

#[test]
fn every_board_has_a_page_that_agrees_with_its_profile() {
    let pages = workspace().join("docs/boards");
    let index = fs::read_to_string(pages.join("README.md")).unwrap();
    for profile in profiles() {
        let name = &profile.name;
        if name.starts_with("qemu-") {
            assert!(index.contains(&format!("`{name}`")), "{name} is not in the index");
            continue;
        }
        if profile.matches.is_empty() {
            continue;
        }
        assert!(index.contains(&format!("({name}.md)")), "{name} is not in the index");
        let page = fs::read_to_string(pages.join(format!("{name}.md"))).unwrap();
        for fact in facts(&profile) {
            assert!(page.contains(&fact), "docs/boards/{name}.md does not have: {fact}");
        }
    }
}
