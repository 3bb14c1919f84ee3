//! The root names that the fstab in a tarball's overlay uses, and whether a medium with one partition can have them.

use super::Verdict;
use crate::scenario::schema::{FileSpec, MediumSpec, Scenario};

/// Must fail if the root is named by a PARTUUID that the profile's table cannot give to partition 1.
pub(super) fn of_tarball(scenario: &Scenario, file: &FileSpec, spec: &MediumSpec) -> Verdict {
    let mut over = file.overlay.iter().filter(|entry| entry.name == "etc/fstab");
    let Some(text) = over.next_back().and_then(|entry| entry.text.as_deref()) else {
        return Verdict::MustSucceed;
    };
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let root = lines.find_map(|mut words| words.next().filter(|_| words.next() == Some("/")));
    let Some(wanted) = root.and_then(|root| root.strip_prefix("PARTUUID=")) else {
        return Verdict::MustSucceed;
    };
    let is_gpt = spec.file_system.as_deref() == Some("ext4gpt");
    let can_be = match is_gpt {
        true => wanted.len() == 36,
        false => wanted.len() == 11 && wanted.ends_with("-01"),
    };
    let mut texts = scenario.drive.files.iter().filter_map(|file| file.text.as_ref());
    match (can_be, texts.any(|text| text.contains("any_root = true"))) {
        (true, _) => Verdict::MustSucceed,
        (false, true) => Verdict::May,
        (false, false) => Verdict::MustFail,
    }
}
