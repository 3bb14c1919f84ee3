//! S9: a golden medium is not overwritten with its own image.
//!
//! Verified: if the LEDs show success of a write, the written media include none from which an image was captured in
//! an earlier boot, and none that a record beside an image names, unless the drive allows it. Not verified: media
//! without a serial number whose removed files are not known.

use crate::judge::readers::drive_images::{Image, files, image, images, mode, successful_writes};
use crate::judge::readers::settings;
use crate::judge::{CheckerId, Judge, always};
use crate::model::bytes::pages::Pages;
use crate::model::hardware::found::FoundFiles;
use crate::run::Evidence;
use crate::scenario::content::find_all;
use crate::scenario::schema::{Bytes, FileSpec, Mode};

/// The longest line of a secret.
const LINE_LEN_MAX: usize = 256;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::WriteBack,
    applies: always,
    // A medium without an identity is recognised by what sanitising removed, and a misread source may hide all of it.
    misled_by: |fault| {
        let misreads = fault.bytes() != Bytes::WrittenWrong;
        fault.is_of_drive() || misreads && fault.medium().is_some_and(|medium| medium.no_identity)
    },
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, _, drive) in successful_writes(evidence) {
        if is_allowed(evidence, &drive) {
            continue;
        }
        for image in images(evidence, &drive) {
            if was_captured(evidence, &image.medium, number) || is_claimed(evidence, &image, number) {
                wrong.push(format!(
                    "boot {}: {} was written to the medium that it was captured from",
                    number + 1,
                    image.name
                ));
            }
        }
    }
    wrong
}

/// Whether the drive's settings allow overwriting golden media.
fn is_allowed(evidence: &Evidence, drive: &FoundFiles) -> bool {
    let marker = |path: &[u8]| path.to_ascii_uppercase().starts_with(b"IR_WRITE_BACK");
    settings::writes_back(&evidence.scenario) || drive.keys().any(|path| marker(path.as_bytes()))
}

/// Whether the medium in the slot differs from that of boot `earlier`.
fn is_replaced(evidence: &Evidence, earlier: usize, number: usize) -> bool {
    evidence.scenario.boots.iter().take(number + 1).skip(earlier).any(|boot| boot.new_unit)
}

/// Whether an earlier boot captured the medium, and it has not changed since.
fn was_captured(evidence: &Evidence, medium: &str, number: usize) -> bool {
    evidence.boots.iter().take(number).enumerate().any(|(earlier, boot)| {
        let made_image = mode(evidence, &files(&boot.before)) == Mode::Capture
            && image(medium, &files(&boot.after)).is_some();
        let golden = boot.before.media.get(medium);
        made_image
            && golden.is_some()
            && golden == evidence.boots[number].before.media.get(medium)
            && !is_replaced(evidence, earlier + 1, number)
            && golden.is_some_and(|golden| can_be_known(evidence, medium, golden))
    })
}

/// Whether a record that was on the drive from the start names the medium.
fn is_claimed(evidence: &Evidence, image: &Image, number: usize) -> bool {
    let (scenario, medium) = (&evidence.scenario, image.medium.as_str());
    let claims = |file: &FileSpec| file.name == image.name && file.captured_from.as_deref() == Some(medium);
    let claims = scenario.drive.files.iter().any(claims);
    let has_identity = scenario.media.get(medium).is_some_and(|spec| !spec.no_identity);
    claims && has_identity && !is_replaced(evidence, 0, number)
}

/// Whether it can be recognised: by its serial number, or by host keys that a capture removes.
fn can_be_known(evidence: &Evidence, medium: &str, golden: &Pages) -> bool {
    let scenario = &evidence.scenario;
    let has_identity = scenario.media.get(medium).is_some_and(|spec| !spec.no_identity);
    let is_cleaned = settings::sanitises(scenario) && !settings::has_own_rules(scenario);
    has_identity || (is_cleaned && holds_host_key(golden))
}

fn holds_host_key(golden: &Pages) -> bool {
    let key = |window: &[u8]| {
        let is_key = |line: &[u8]| String::from_utf8_lossy(line).contains("ssh_host_rsa_key");
        find_all(window).find(|(_, line)| is_key(line)).map(|(at, _)| (at, ()))
    };
    golden.find(LINE_LEN_MAX, key).is_some()
}
