//! The catalogue of faults as data: the number of each, its words in scenarios, and the scenarios that reach it.
//!
//! The data is in `catalogue.toml`, so that other tools can read it. Which words a scenario uses is determined here;
//! whether a fault was reached is determined by the run.

use crate::scenario::schema::{Fault, FaultSpec, Gap, Holds, PartFile, PartitionSpec, Scenario, Scheme};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use toml::Value;

/// The catalogue's text.
pub const TEXT: &str = include_str!("catalogue.toml");

/// One number of the catalogue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Such as `F6`.
    pub number: String,
    /// What happens.
    pub what: String,
    /// Its words in scenarios; each is in at least one of the scenarios.
    pub words: Vec<String>,
    /// Built-in scenarios that reach it.
    pub scenarios: Vec<String>,
}

/// All entries.
///
/// # Errors
/// Only if the catalogue itself is invalid.
pub fn entries() -> Result<Vec<Entry>, String> {
    #[derive(Deserialize)]
    struct Catalogue {
        fault: Vec<Entry>,
    }
    toml::from_str::<Catalogue>(TEXT).map(|catalogue| catalogue.fault).map_err(|error| error.to_string())
}

/// The name of a variant in scenarios; empty if a scenario does not write it as one word.
pub fn word(variant: impl Serialize) -> String {
    match Value::try_from(variant) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

fn words_of_fault(fault: &FaultSpec, words: &mut BTreeSet<String>) {
    words.insert(match &fault.fault {
        Fault::FsckExit { exit } => format!("fsck-exit:{exit}"),
        Fault::Hang { duration_ms: Some(_) } => "hang-that-ends".to_owned(),
        Fault::Replug { taken_by: Some(_), .. } => "replug-taken".to_owned(),
        fault => fault.kind().word().to_owned(),
    });
}

fn words_of_partitions(scheme: Scheme, gap: Gap, parts: &[PartitionSpec], words: &mut BTreeSet<String>) {
    if parts.is_empty() {
        return;
    }
    words.insert(format!("scheme:{}", word(scheme)));
    words.insert(format!("gap:{}", word(gap)));
    for part in parts {
        words.insert(format!("holds:{}", word(part.holds)));
        let files = |wanted: &dyn Fn(&PartFile) -> bool| part.files.iter().any(wanted);
        for (given, word) in [
            (part.fstab.is_some(), "fstab"),
            (part.secrets, "secrets-beside-the-root"),
            (part.dirty, "dirty"),
            (files(&|file| file.deleted), "deleted-files"),
            (files(&|file| file.modified.is_some()), "times"),
        ] {
            words.extend(given.then(|| word.to_owned()));
        }
    }
    if parts.iter().filter(|part| part.holds == Holds::Rootfs).count() > 1 {
        words.insert("several-roots".to_owned());
    }
}

/// All words of the catalogue that a scenario uses.
pub fn words(scenario: &Scenario) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    scenario.faults.iter().for_each(|fault| words_of_fault(fault, &mut words));
    for boot in &scenario.boots {
        if let Some(cut) = &boot.cut {
            words.insert(if cut.after { "power-cut-after" } else { "power-cut" }.to_owned());
            words.insert(format!("survive:{}", word(boot.survive)));
        }
    }
    for spec in scenario.media.values() {
        if spec.partitions.is_empty() {
            words.insert(format!("content:{}", word(spec.content)));
        }
        words_of_partitions(spec.scheme, spec.gap, &spec.partitions, &mut words);
        words.extend(spec.table.map(|table| format!("table:{}", word(table))));
        words.extend(spec.write_cache.then(|| "write-cache".to_owned()));
        words.insert(format!("discard:{}", word(spec.discard)));
        words.extend(spec.dirty.then(|| "dirty".to_owned()));
    }
    for file in &scenario.drive.files {
        words_of_partitions(file.scheme, file.gap, &file.partitions, &mut words);
        words.extend(file.damage.map(|damage| format!("damage:{}", word(damage))));
        words.extend(file.is_image().then(|| format!("sidecar:{}", word(file.sidecar))));
        words.extend(file.map.map(|map| format!("map:{}", word(map))));
        words.extend(file.index.map(|index| format!("index:{}", word(index))));
        for (given, word) in [
            (file.link.is_some(), "link"),
            (file.device_node, "device-node"),
            (file.directory, "directory"),
            (file.compression.is_some(), "compression"),
            (file.packing.is_some(), "packing"),
        ] {
            words.extend(given.then(|| word.to_owned()));
        }
    }
    words.extend(scenario.wall_clock.map(|_| "wall-clock".to_owned()));
    words
}

/// The contents of media and images of a scenario.
pub fn contents(scenario: &Scenario) -> BTreeSet<String> {
    let of_media = |word: &String| {
        let other = ["fstab", "secrets-beside-the-root", "deleted-files", "times", "several-roots"];
        ["content:", "scheme:", "gap:", "holds:"].iter().any(|start| word.starts_with(start))
            || other.contains(&word.as_str())
    };
    words(scenario).into_iter().filter(of_media).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::schema::FaultKind;

    #[test]
    fn the_catalogue_has_every_number_once() {
        let numbers: Vec<String> = entries().unwrap().into_iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (1..=25).map(|number| format!("F{number}")).collect::<Vec<_>>());
    }

    #[test]
    fn every_kind_of_fault_is_in_the_catalogue_under_its_number() {
        let entries = entries().unwrap();
        for kind in FaultKind::all() {
            let number = format!("F{}", kind.physics().number);
            let entry = entries.iter().find(|entry| entry.number == number).unwrap();
            let is_of_it = |word: &String| *word == kind.word() || word.starts_with(&format!("{kind}:"));
            assert!(entry.words.iter().any(is_of_it), "{number} lacks {kind}");
        }
    }
}
