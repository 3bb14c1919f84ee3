//! What is known of the end of a made-up story before it is run, and which judges have to be believed in it.

use crate::explore::{Change, lies, neutral};
use crate::judge::checkers::drive_images::{Mode, files, mode};
use crate::judge::{Complaint, oracle};
use crate::run::evidence::shown;
use crate::run::{Evidence, boots};
use crate::scenario::schema::{BootSpec, Bytes, Content, FaultSpec, Scenario, SidecarSpec};
use replicator_hal::Status;

/// Judges that a drive which stores other bytes than it is given cannot mislead.
const WITH_A_LYING_DRIVE: [&str; 5] =
    ["right-target (S5)", "terminates (L1, L6)", "ends (L1)", "panic", "failure-visible (S7)"];
/// Judges that are misled by media whose bytes become others by themselves: one bit can bring a deleted file back, too.
const MISLED_BY_CHANGES: [&str; 6] = [
    "source-unchanged (S1)",
    "mode-safety (S4)",
    "captured (S6, S11)",
    "no-secret (S18)",
    "not-bootable (S10)",
    "refused-untouched (S9)",
];
/// Judges that are misled by media that do not take what they are given, such as zeros over an old partition table.
const MISLED_BY_WRITES: [&str; 1] = ["not-bootable (S10)"];
/// Judges that are misled by media that are right, and read as if they were not.
const MISLED_BY_READS: [&str; 2] = ["captured (S6, S11)", "no-secret (S18)"];
/// Judges that look below what a card answers from its own memory.
const BELOW_ITS_MEMORY: [&str; 2] = ["success-is-true (S6)", "not-truncated (S11)"];
/// So much of a disk image is written last.
const HELD_BACK_LEN_BYTES: u64 = 1 << 20;

/// Whether this judge has to be believed, whatever the hardware of the story does.
pub(super) fn counts(scenario: &Scenario, by: &str) -> bool {
    // Asked in [`converges`], by what an undisturbed board does.
    if by.starts_with("converges") {
        return false;
    }
    scenario.faults.iter().all(|fault| {
        let misled: &[&str] = match fault.kind.bytes() {
            Bytes::Right => return true,
            _ if fault.on == "drive" => return WITH_A_LYING_DRIVE.contains(&by),
            Bytes::ChangeAlone => &MISLED_BY_CHANGES,
            Bytes::WrittenWrong => &MISLED_BY_WRITES,
            Bytes::ReadWrong => &MISLED_BY_READS,
        };
        // Without an identity a medium is known again by what sanitising removed, and a misread source may hide all of it.
        let is_unknown = by == "write-back (S9)"
            && fault.kind.bytes() != Bytes::WrittenWrong
            && scenario.media.get(&fault.on).is_some_and(|medium| medium.no_identity);
        !is_unknown
            && !misled.contains(&by)
            && (!BELOW_ITS_MEMORY.contains(&by) || !answers_from_memory(scenario, fault))
    })
}

/// Whether a card may answer everything that it has lost from its own memory: nobody can see that until the power is gone.
fn answers_from_memory(scenario: &Scenario, fault: &FaultSpec) -> bool {
    let Some(cache) = fault.cache else { return false };
    let name = format!("{}image.dd", fault.on);
    let mut files = scenario.drive.files.iter();
    let image = files.find(|file| file.name.rsplit('/').next().is_some_and(|base| base.starts_with(&name)));
    match image.and_then(|file| file.image_len) {
        // What came before the part that is written last has left the memory if that part fills it.
        Some(len) => len.0 <= HELD_BACK_LEN_BYTES || cache.0 > HELD_BACK_LEN_BYTES,
        None => true,
    }
}

/// L2, L3: a last boot that nothing disturbs comes to the end that a board comes to on which nothing ever happened.
///
/// Whatever happened before is over: power is back, the drive has room again, a device is plugged in again. Hardware that
/// stored other bytes than it was given leaves damage that no boot can mend, so its stories are left out.
pub(super) fn converges(evidence: &Evidence, change: Change<'_>) -> Option<Complaint> {
    let scenario = &evidence.scenario;
    let last = evidence.last();
    let disturbed = last.world.faults_reached().contains(&true) || last.spec.cut.is_some();
    if evidence.boots.len() < 2 || disturbed || !last.finished() || lies(scenario) {
        return None;
    }
    let was_complete = was_complete(evidence);
    // An update waits for the next boot, or makes a microcontroller silent: in that boot the board is another one. Which of
    // the boots before did it is not known.
    let becomes_another = scenario.firmware.as_ref().is_some_and(|spec| spec.microcontroller.is_some());
    let boots = vec![BootSpec::default(); if was_complete || becomes_another { 2 } else { 1 }];
    let undisturbed = Scenario { boots, ..neutral(scenario) };
    let undisturbed = boots::run_with(&evidence.name, &undisturbed, change).ok()?;
    let (found, wanted) = (last.status(), undisturbed.last().status());
    if found == wanted || becomes_another && found == undisturbed.boots[0].status() {
        return None;
    }
    let what = format!(
        "the last boot, which nothing disturbed, ends in {}, on an undisturbed board it is {}: {}",
        shown(found),
        shown(wanted),
        last.failure()
    );
    Some(Complaint::new("converges (L2, L3)", what))
}

/// A story in which nothing is wrong but cuts has to come to a good end in its last boot.
pub(super) fn check(evidence: &Evidence) -> Vec<Complaint> {
    let last = evidence.last();
    if !nothing_wrong(&evidence.scenario) || !last.finished() {
        return Vec::new();
    }
    let captured_before = was_complete(evidence);
    let writes_back = evidence.scenario.drive.files.iter().any(|file| file.name.starts_with("IR_WRITE_BACK"));
    // A tarball may not fit where it came from, because a new partition starts later than the old one may have.
    if captured_before && writes_back {
        return Vec::new();
    }
    // What has no identity is known again only by what sanitising removed from it, which may be nothing.
    if captured_before && evidence.scenario.media.values().any(|medium| medium.no_identity) {
        return Vec::new();
    }
    let wanted = if captured_before { Status::Failure } else { Status::Success };
    if last.status() == Some(wanted) {
        return Vec::new();
    }
    let what = format!("the last boot ends in {}, not in {wanted}: {}", shown(last.status()), last.failure());
    vec![Complaint::new("oracle", what)]
}

/// All that there was to be captured is: the last boot finds images of this very unit.
fn was_complete(evidence: &Evidence) -> bool {
    let asked = |number: usize| mode(evidence, &files(&evidence.boots[number].before));
    asked(0) == Mode::Capture && asked(evidence.boots.len() - 1) == Mode::Write
}

/// What the oracle of written stories says. It relies on cuts that come before the work is done, which made-up ones need
/// not do; and of faults that need not be reached it knows nothing.
pub(super) fn forecast(evidence: &Evidence) -> Vec<Complaint> {
    let surprising = !evidence.missed_cuts.is_empty() || was_complete(evidence);
    if surprising || !evidence.scenario.faults.is_empty() {
        return Vec::new();
    }
    let mismatches = oracle::check(evidence).into_iter();
    mismatches.map(|mismatch| Complaint::new("oracle", mismatch.to_string())).collect()
}

fn nothing_wrong(scenario: &Scenario) -> bool {
    let files = &scenario.drive.files;
    let captures = files.iter().all(|file| !file.is_image());
    let wrong = [SidecarSpec::Wrong, SidecarSpec::WrongFile, SidecarSpec::Malformed];
    let fitting = |content: Content| content != Content::Rootfs;
    scenario.faults.is_empty()
        && !scenario.drive.absent
        && scenario.drive.len.0 > 8 << 20
        && files.iter().all(|file| file.damage.is_none() && file.captured_from.is_none())
        && files.iter().all(|file| file.link.is_none() && !file.directory)
        && files.iter().all(|file| {
            file.is_image()
                || file.name.starts_with("IR_NO_COMPRESS")
                || file.name.starts_with("IR_WRITE_BACK")
        })
        && files.iter().all(|file| !wrong.contains(&file.sidecar))
        && files.iter().all(|file| !file.name.contains("image.dd") || oracle::looks_like_image(file))
        && scenario.media.values().all(|medium| !medium.held_elsewhere)
        && scenario.media.values().any(|medium| !medium.absent)
        && scenario.media.values().all(|medium| medium.damage.is_none() && fitting(medium.content))
        && scenario.media.values().all(|medium| medium.table.is_none() && medium.var_log_link.is_none())
        && scenario.media.values().all(|medium| !medium.held_elsewhere)
        && (!captures || !oracle::hides_something(scenario))
        && (captures || scenario.media.values().all(|medium| !medium.absent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::unchanged;

    fn story(text: &str) -> Scenario {
        Scenario::parse(&format!("about = \"x.\"\n{text}\n[expect]\nstatus = \"success\"\n"), "x").unwrap()
    }

    #[test]
    fn a_last_boot_that_nothing_disturbed_has_to_come_to_the_undisturbed_end() {
        let text = "[media.sd]\nlen = \"1 MiB\"\n[[boot]]\n[[boot]]\n\
                    [[fault]]\non = \"drive\"\nkind = \"io-error\"\nop = \"write\"\nnth = 3\nmay_be_missed = true\n";
        let mut evidence = boots::run("x", &story(text)).unwrap();
        assert_eq!(evidence.last().status(), Some(Status::Failure));
        assert_eq!(converges(&evidence, &unchanged), None, "the fault is in the last boot, too");
        // Now it looks as if nothing had been wrong in the last boot.
        let mut last = evidence.boots.pop().unwrap();
        last.world = last.world.with_faults(Vec::new());
        evidence.boots.push(last);
        let complaint = converges(&evidence, &unchanged).unwrap();
        assert!(
            complaint.what.contains("ends in failure, on an undisturbed board it is success"),
            "{complaint:?}"
        );
    }

    #[test]
    fn a_story_whose_image_is_damaged_converges_to_failure() {
        let text = "[[drive.file]]\nname = \"sdimage.dd.xz\"\nimage = \"single\"\nimage_len = \"1 MiB\"\n\
                    damage = \"truncated\"\n[media.sd]\n[[boot]]\ncut = { at = 20 }\n[[boot]]\n";
        let evidence = boots::run("x", &story(text)).unwrap();
        assert_eq!(evidence.last().status(), Some(Status::Failure));
        assert_eq!(converges(&evidence, &unchanged), None);
    }

    #[test]
    fn judges_are_believed_unless_the_hardware_misleads_them() {
        let image = "[[drive.file]]\nname = \"sdimage.dd.xz\"\nimage = \"single\"\nimage_len = \"2 MiB\"\n[media.sd]\n";
        let counted = |fault: &str, by| counts(&story(&format!("{image}[[fault]]\n{fault}")), by);
        let success = "success-is-true (S6)";
        assert!(counted("on = \"sd\"\nkind = \"drop-writes\"\n", success));
        assert!(!counted("on = \"drive\"\nkind = \"drop-writes\"\n", success));
        assert!(counted("on = \"sd\"\nkind = \"replug\"\ndevice = \"sdq\"\n", "not-bootable (S10)"));
        assert!(!counted("on = \"sd\"\nkind = \"drop-writes\"\n", "not-bootable (S10)"));
        assert!(!counted("on = \"sd\"\nkind = \"bit-flip\"\nrange = \"0..9\"\n", "source-unchanged (S1)"));
        let flip = |medium: &str| {
            let fault = "[[fault]]\non = \"sd\"\nkind = \"transient-flip\"\nop = \"read\"\nrange = \"0..9\"\nnth = 1\n";
            counts(&story(&format!("[media.sd]\n{medium}{fault}")), "write-back (S9)")
        };
        assert!(flip("") && !flip("no_identity = true\n"));
        let fake = |cache: &str| format!("on = \"sd\"\nkind = \"fake-limbo\"\nreal = \"1 MiB\"\n{cache}");
        assert!(counted(&fake("cache = \"1 MiB\"\n"), success));
        assert!(!counted(&fake("cache = \"2 MiB\"\n"), success), "it answers for all that it lost");
    }
}
