//! The layers of the workspace hold: no room names one above it, so there is no circle, and a newcomer can read any room
//! without those above. The table is in `table.rs`.
//!
//! Proved for code of this workspace as it is written. Planted imports of every form show that they are found.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

mod planted;
mod sources;
mod table;

use sources::{Import, Path, Sources};
use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;
use table::{EXEMPT, HOUSES, House, WITHOUT_ENGINE, WITHOUT_HAL_TRAITS};

/// Every crate with its sources, read once.
static CRATES: LazyLock<Vec<(&'static House, Sources)>> =
    LazyLock::new(|| HOUSES.iter().map(|house| (house, house.sources())).collect());

fn named(directory: &str) -> &'static (&'static House, Sources) {
    CRATES.iter().find(|(house, _)| house.directory == directory).unwrap()
}

impl House {
    fn rooms(&self) -> impl Iterator<Item = &'static str> {
        self.floors.iter().flat_map(|floor| floor.iter().copied())
    }

    /// Floor of a room, 0 being the highest.
    fn floor(&self, room: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&room))
    }

    /// The room that a path leads into, re-exports followed.
    fn room(&self, sources: &Sources, path: &[String]) -> Option<&'static str> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let leads_into = |room: &&str| room.split("::").eq(path.iter().take(room.split("::").count()));
            if let Some(room) = self.rooms().find(leads_into) {
                return Some(room);
            }
            path = sources.re_exported(&path)?;
        }
        None
    }

    /// What is wrong with one import; `None` if nothing is.
    fn complaint(&self, sources: &Sources, import: &Import) -> Option<String> {
        let from = self.room(sources, &import.from);
        let named = import.to.join("::");
        if import.is_external {
            let other = &import.to[0];
            let unknown = !self.crates.contains(&other.as_str());
            let engine =
                other == "replicator_engine" && from.is_some_and(|room| WITHOUT_ENGINE.contains(&room));
            return (unknown || engine).then(|| format!("{} must not name {named}", from.unwrap_or("it")));
        }
        let to = self.room(sources, &import.to);
        match (from, to) {
            // The root is above all rooms, and a group of rooms has its own below it.
            (None, _) if import.from.is_empty() || import.to.starts_with(&import.from) => None,
            // Tests beside the root are above all rooms, too.
            (None, _) if import.in_test && import.from.len() == 1 => None,
            (None, _) => Some(format!("{} names {named}, which is not inside of it", import.from.join("::"))),
            (Some(from), None) => Some(format!("{from} names {named}, which is in no room")),
            (Some(from), Some(to)) if from == to => None,
            (Some(from), Some(to)) => {
                let is_below = self.floor(to) > self.floor(from);
                (!is_below).then(|| format!("{from} names {named} of {to}, which is not below it"))
            }
        }
    }

    /// All that is wrong with a crate.
    fn complaints(&self, sources: &Sources) -> Vec<String> {
        let mut lines = Vec::new();
        for import in &sources.imports {
            let Some(complaint) = self.complaint(sources, import) else { continue };
            let file = format!("{}/src/{}", self.directory, import.file);
            let to = self.room(sources, &import.to);
            let is_exempt = EXEMPT.iter().any(|(path, room, _)| *path == file && Some(*room) == to);
            if !(import.in_test && is_exempt) {
                lines.push(format!("{file}:{}: {complaint}", import.line));
            }
        }
        let in_table = |module: &Path| {
            let name = module.join("::");
            self.rooms().any(|room| room == name || room.starts_with(&format!("{name}::")))
        };
        let first = sources.modules.iter().filter(|module| module.len() == 1);
        lines.extend(first.filter(|module| !in_table(module)).map(|module| {
            format!("{}/src: the room {} is not in the table", self.directory, module.join("::"))
        }));
        let known =
            |room: &str| sources.modules.contains(&room.split("::").map(str::to_owned).collect::<Path>());
        lines.extend(
            self.rooms()
                .filter(|room| !known(room))
                .map(|room| format!("{}/src: the room {room} of the table does not exist", self.directory)),
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
        let floors = self.floors.iter().map(|floor| format!("    {}\n", floor.join(" · ")));
        format!("{}/src: {} rooms on {} floors\n", self.directory, self.rooms().count(), self.floors.len())
            + &floors.collect::<String>()
    }
}

#[test]
fn no_room_of_the_workspace_names_one_above_it() {
    let complaints: Vec<String> =
        CRATES.iter().flat_map(|(house, sources)| house.complaints(sources)).collect();
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
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
    let mut known: Vec<&str> = HOUSES.iter().map(|house| house.directory).collect();
    members.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, members);
}

#[test]
fn every_exemption_is_needed() {
    for (file, room, _) in EXEMPT {
        let used = CRATES.iter().any(|(house, sources)| {
            let prefix = format!("{}/src/", house.directory);
            sources.imports.iter().any(|import| {
                format!("{prefix}{}", import.file) == *file
                    && import.in_test
                    && house.room(sources, &import.to) == Some(room)
                    && house.complaint(sources, import).is_some()
            })
        });
        assert!(used, "{file} does not need its exemption for {room}");
    }
}

#[test]
fn the_model_of_hardware_names_no_trait_of_the_hal() {
    let (traits, (sim, sources)) = (&named("hal").1.traits, named("sim"));
    assert!(traits.contains("BlockDevices") && traits.contains("Volume"), "{traits:?}");
    let wrong = sources.imports.iter().filter(|import| {
        let room = sim.room(sources, &import.from);
        room.is_some_and(|room| WITHOUT_HAL_TRAITS.contains(&room))
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
        HOUSES.iter().filter(|house| !house.floors.is_empty()).map(House::picture).collect();
    assert!(text.contains(&pictures), "ARCHITECTURE.md has another picture than this:\n{pictures}");
}
