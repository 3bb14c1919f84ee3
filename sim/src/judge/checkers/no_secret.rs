//! S18: no byte of a file that sanitising removed is in an image, or on the drive.
//!
//! Verified: the decoded bytes of every image that a capture made contain no secret, in files, free blocks, slack and
//! swap space, apart from those that no rule covers; nor does any byte of the drive after a boot that came to its own
//! end, including its free blocks, unless it or an earlier boot reports that it could not overwrite them. Only whole
//! lines of secrets count there, because an encoder may store a part of a line that stays; every secret has its line many
//! times. The source did contain some, so that there was something to find. Not verified: what a power cut leaves on the drive
//! before the next boot continues the session, and what a capture without sanitising leaves.

use crate::judge::readers::decode::decode;
use crate::judge::readers::drive_images::{ImageKey, files, new_images};
use crate::judge::readers::settings;
use crate::judge::{CheckerId, Judge, always};
use crate::model::bytes::file_bytes::FileBytes;
use crate::model::bytes::pages::Pages;
use crate::run::{Boot, Evidence};
use crate::scenario::content::{find_all, kept_secrets, number_of};
use crate::scenario::schema::Bytes;
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

/// How much of a secret is printed.
const NAMED_LEN: usize = 40;
/// The length limit of a secret's line.
const LINE_LEN_MAX: usize = 256;

/// The first secret in a captured image.
#[derive(PartialEq, Eq, Hash)]
struct FirstSecret(ImageKey);

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::NoSecret,
    applies: always,
    // The engine may have read other bytes than the medium holds.
    misled_by: |fault| fault.is_of_drive() || fault.bytes() != Bytes::WrittenWrong,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    if !settings::sanitises(&evidence.scenario) {
        return wrong;
    }
    let media = evidence.scenario.media.keys();
    // Determined only when it is needed, because it reads whole media.
    let stay: LazyCell<BTreeSet<String>, _> =
        LazyCell::new(|| media.flat_map(|medium| kept_secrets(&evidence.scenario, medium)).collect());
    let on_drive =
        |media: &BTreeMap<String, Pages>| media.get("drive").and_then(|drive| in_pages(drive, &stay));
    let was_there = LazyCell::new(|| on_drive(&evidence.boots[0].before.media).is_some());
    let mut is_reported = false;
    for (number, boot) in evidence.boots.iter().enumerate() {
        is_reported |= reports_remains(boot);
        for image in new_images(evidence, &files(&boot.after)) {
            let first = |bytes: &FileBytes| {
                let plain = decode(&image.name, bytes).ok()?;
                let stay = kept_secrets(&evidence.scenario, &image.medium);
                plain.secrets().iter().find(|(_, line)| !stay.contains(line)).cloned()
            };
            let key = FirstSecret(ImageKey::of(evidence, &image));
            let found = image.bytes.as_ref().and_then(|bytes| bytes.cached(key, first));
            if let Some((at, secret)) = found {
                let secret: String = secret.chars().take(NAMED_LEN).collect();
                wrong.push(format!("after boot {}: {} has {secret:?} at byte {at}", number + 1, image.name));
            }
        }
        if boot.finished() && !is_reported && !left_as_it_was(boot) && !*was_there {
            if let Some((at, secret)) = on_drive(&boot.after.media) {
                let secret: String = secret.chars().take(NAMED_LEN).collect();
                wrong.push(format!("after boot {}: the drive has {secret:?} at byte {at}", number + 1));
            }
        }
    }
    wrong
}

/// Whether the boot reported that something remains on the drive.
fn reports_remains(boot: &Boot) -> bool {
    let says_so = |line: &String| {
        line.contains("may stay in free blocks of the drive") || line.contains("and stay on the drive")
    };
    boot.world.records().console.iter().any(says_so)
}

/// Whether a working image of an earlier boot still exists: this boot failed before it continued the session.
fn left_as_it_was(boot: &Boot) -> bool {
    let (before, after) = (files(&boot.before), files(&boot.after));
    after.iter().any(|(path, file)| {
        let is_work = path.as_bytes().starts_with(b".capture/") && path.as_bytes().ends_with(b".image");
        is_work && before.get(path).is_some_and(|old| old.number == file.number)
    })
}

/// The first secret on a medium that is not among those that stay, and its offset. The medium also holds packed images, where
/// an encoder may replace the middle of a line, so the number of a secret decides.
fn in_pages(pages: &Pages, stay: &BTreeSet<String>) -> Option<(u64, String)> {
    let stay: BTreeSet<&[u8]> = stay.iter().filter_map(|line| number_of(line.as_bytes())).collect();
    pages.find(LINE_LEN_MAX, |window| {
        let mut goes = find_all(window).filter(|(at, line)| {
            at + line.len() < window.len() && number_of(line).is_some_and(|number| !stay.contains(number))
        });
        goes.next().map(|(at, line)| (at, String::from_utf8_lossy(line).into_owned()))
    })
}
