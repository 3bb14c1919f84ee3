//! The forecast of a run, made from the scenario alone, before the engine runs.
//!
//! The oracle uses the manual and the physics of the faults, and not the engine. For each medium it states whether it
//! must succeed, must fail, or may do either, and so which final status the LEDs may show. It claims only what it can
//! prove; all else is [`Verdict::May`]. A run that differs is a [`Mismatch`]. The effects of faults on one medium are
//! in `oracle/faults.rs`.

mod faults;
mod firmware;
mod root_names;

use crate::judge::readers::decode::decode;
use crate::judge::readers::drive_images::{IMAGE_ENDINGS, files, image};
use crate::judge::readers::extracted;
use crate::judge::readers::settings;
use crate::judge::readers::written::holds_discarded;
use crate::judge::undisturbed::was_complete;
use crate::judge::{CheckerId, Judge, Origin, by_nothing};
use crate::model::hardware::simfs::Kind;
use crate::run::Evidence;
use crate::scenario::composition::{Holds, Scheme};
use crate::scenario::image;
use crate::scenario::media::media_names;
use crate::scenario::schema::{
    Content, FileSpec, FileSystemDamage, ImageDamage, IndexSpec, MediumSpec, Mode, Scenario, SidecarSpec,
    TableDamage,
};
use replicator_hal::Status;
use std::collections::BTreeMap;
use std::fmt;

/// The entry in the registry. The oracle takes byte faults from the scenario itself, so none misleads it.
pub(super) const JUDGE: Judge = Judge {
    id: CheckerId::Forecast,
    applies: |case| match case.origin {
        Origin::Written => true,
        Origin::Generated => has_no_surprise(case.evidence),
        Origin::Explored => false,
    },
    misled_by: by_nothing,
    check: |case| check(case.evidence).iter().map(ToString::to_string).collect(),
};

/// Whether the oracle can judge a generated scenario: it relies on cuts that come before the work is done, which is
/// not certain there, and it has no verdict for faults that need not be reached.
fn has_no_surprise(evidence: &Evidence) -> bool {
    evidence.missed_cuts.is_empty() && !was_complete(evidence) && evidence.scenario.faults.is_empty()
}

/// The verdict on a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It must be captured, or hold its image.
    MustSucceed,
    /// Both are right.
    May,
    /// It must not be reported as a success.
    MustFail,
}

impl Verdict {
    /// The verdict if both apply to the same medium: the worse one.
    fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

/// The forecast for a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The mode that it requests.
    pub work: Mode,
    /// By medium; media without work are left out.
    pub media: BTreeMap<String, Verdict>,
    /// The statuses that the LEDs may end with; `None` stands for dark.
    pub statuses: Vec<Option<Status>>,
}

/// A difference between a run and the oracle's forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The LEDs end with a status that is not allowed.
    Status {
        /// The shown status.
        shown: Option<Status>,
        /// The allowed ones.
        allowed: Vec<Option<Status>>,
    },
    /// A medium that must succeed did not.
    MustSucceed {
        /// The medium.
        medium: String,
        /// The error of the medium or its image.
        detail: String,
    },
    /// There is an image of a medium that must not have been captured.
    MustFail {
        /// The medium.
        medium: String,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |status: &Option<Status>| status.map_or("nothing".to_owned(), |status| status.to_string());
        match self {
            Self::Status { shown, allowed } => {
                let allowed: Vec<String> = allowed.iter().map(name).collect();
                write!(f, "the LEDs show {}, but may show only {}", name(shown), allowed.join(" or "))
            }
            Self::MustSucceed { medium, detail } => write!(f, "{medium} must succeed, but did not: {detail}"),
            Self::MustFail { medium } => write!(f, "{medium} cannot have been captured, but has an image"),
        }
    }
}

const FAILED: [Option<Status>; 2] = [Some(Status::Failure), Some(Status::Critical)];

/// The forecast for `scenario`.
pub fn forecast(scenario: &Scenario) -> Forecast {
    let session = scenario.drive.files.iter().any(|file| file.name.starts_with(".capture"));
    let has_image = media_names(scenario).iter().any(|name| image_file(scenario, name).is_some());
    let firmware = firmware::verdict(scenario);
    let work = if (has_image || firmware.is_some()) && !session { Mode::Write } else { Mode::Capture };
    let mut media = match work {
        Mode::Write => writes(scenario),
        Mode::Capture => captures(scenario, session),
    };
    if !is_understood(scenario) || firmware.is_some_and(|verdict| verdict != Verdict::MustSucceed) {
        media.values_mut().for_each(|verdict| *verdict = Verdict::May);
    }
    let statuses = statuses(scenario, &media, firmware);
    Forecast { work, media, statuses }
}

fn image_file<'a>(scenario: &'a Scenario, medium: &str) -> Option<&'a FileSpec> {
    let named = |ending: &&str| format!("{medium}image.{ending}");
    IMAGE_ENDINGS
        .iter()
        .find_map(|ending| scenario.drive.files.iter().find(|file| file.name == named(ending)))
}

/// Whether nothing in the scenario affects everything, such as settings, unusual names, or what people do between boots.
fn is_understood(scenario: &Scenario) -> bool {
    let people = scenario
        .boots
        .iter()
        .any(|boot| boot.new_unit || boot.more_space.is_some() || !boot.remove.is_empty());
    // A boot after one that was not cut continues from its result.
    let one_end = scenario
        .boots
        .split_last()
        .is_none_or(|(last, earlier)| last.cut.is_none() && earlier.iter().all(|boot| boot.cut.is_some()));
    let expands = scenario.drive.disk_len.is_some();
    let drive = !scenario.drive.absent && scenario.drive.label == "REPLICATOR";
    let known = |file: &FileSpec| {
        // A file that was put there under the name of a sidecar may contain anything.
        let ends = |ending: &&str| file.name.ends_with(*ending);
        let sidecar = [".md5", ".sha256", ".source"].iter().any(ends);
        let beside_image = file.name.contains("image.") && file.text.is_none() && !sidecar;
        let option = ["IR_NO_COMPRESS", "IR_WRITE_BACK"].iter().any(|name| file.name.starts_with(name));
        beside_image
            && media_names(scenario).iter().any(|name| file.name.starts_with(&format!("{name}image.")))
            || option
            || settings::is_only_compression(file)
            || (file.firmware.is_some() && scenario.firmware.is_some())
    };
    drive
        && scenario.compatible.is_none()
        && !people
        && one_end
        && !expands
        && scenario.drive.files.iter().all(known)
}

fn statuses(
    scenario: &Scenario,
    media: &BTreeMap<String, Verdict>,
    firmware: Option<Verdict>,
) -> Vec<Option<Status>> {
    if faults::leds_fail(scenario) {
        return vec![
            None,
            Some(Status::Running),
            Some(Status::Success),
            Some(Status::Failure),
            Some(Status::Critical),
        ];
    }
    if scenario.boots.last().is_some_and(|boot| boot.cut.is_some()) {
        return [vec![None, Some(Status::Running), Some(Status::Success)], FAILED.to_vec()].concat();
    }
    let understood = is_understood(scenario);
    let any = |verdict| media.values().chain(&firmware).any(|found| *found == verdict);
    let nothing = media.is_empty() && firmware.is_none();
    if scenario.drive.absent || (understood && (any(Verdict::MustFail) || nothing)) {
        return FAILED.to_vec();
    }
    if understood && !any(Verdict::May) && !faults::may_break_the_run(scenario) {
        return vec![Some(Status::Success)];
    }
    [vec![Some(Status::Success)], FAILED.to_vec()].concat()
}

fn writes(scenario: &Scenario) -> BTreeMap<String, Verdict> {
    let names = media_names(scenario).into_iter();
    let verdicts = names.filter_map(|name| {
        let file = image_file(scenario, &name)?;
        let verdict = of_image(scenario, &name, file).and(faults::of_write(scenario, &name, file));
        Some((name, verdict))
    });
    verdicts.collect()
}

/// The verdict on an image and its medium without any fault.
fn of_image(scenario: &Scenario, medium: &str, file: &FileSpec) -> Verdict {
    let spec = &scenario.media[medium];
    if spec.held_elsewhere {
        return Verdict::MustFail;
    }
    if !file.is_image() || spec.absent {
        // A link may lead to an image elsewhere on the drive.
        return if spec.absent || file.link.is_none() { Verdict::MustFail } else { Verdict::May };
    }
    let is_disk = file.name.contains("image.dd");
    if is_disk && file.shown_len() > spec.len {
        // A GPT can be moved, and the rest behind listed partitions may be zeros.
        let may_fit =
            !file.partitions.is_empty() || matches!(file.image, Some(Content::Gpt | Content::SingleGpt));
        return if may_fit { Verdict::May } else { Verdict::MustFail };
    }
    if file.captured_from.as_deref() == Some(medium) {
        let overridden = scenario.drive.files.iter().any(|file| file.name.starts_with("IR_WRITE_BACK"));
        // A medium without an identity can only be distinguished from a clone by its content.
        return if overridden || spec.no_identity { Verdict::May } else { Verdict::MustFail };
    }
    if file.packing.is_some() || file.compression.is_some() {
        return Verdict::MustFail;
    }
    let sidecar = match file.sidecar {
        _ if file.map.is_some_and(|map| !map.is_right()) => Verdict::MustFail,
        _ if file.index == Some(IndexSpec::Forged) => Verdict::MustFail,
        SidecarSpec::Wrong | SidecarSpec::WrongFile | SidecarSpec::Malformed => Verdict::MustFail,
        _ => Verdict::MustSucceed,
    };
    let compressed = [".xz", ".bz2", ".gz", ".zst"].iter().any(|ending| file.name.ends_with(ending));
    let damage = match file.damage {
        None => Verdict::MustSucceed,
        // A doubled disk image is longer than its medium, but perhaps not longer than this one.
        Some(ImageDamage::Concatenated) => Verdict::May,
        // In a run of equal bytes another distance copies the same bytes, so the decoded data may be right.
        Some(ImageDamage::BitFlipped) if [".gz", ".zst"].iter().any(|end| file.name.ends_with(end)) => {
            Verdict::May
        }
        Some(ImageDamage::CutBefore | ImageDamage::Truncated | ImageDamage::OneByteShort)
            if is_disk && (!compressed || file.damage == Some(ImageDamage::CutBefore)) =>
        {
            // Tables reach to the end of their medium; listed partitions may not.
            if file.partitions.is_empty() { Verdict::MustFail } else { Verdict::May }
        }
        Some(ImageDamage::LogicalPastEnd) if is_disk => Verdict::MustFail,
        Some(ImageDamage::CutBefore) => Verdict::May,
        Some(_) if compressed => Verdict::MustFail,
        Some(ImageDamage::Empty) => Verdict::MustFail,
        Some(_) => Verdict::May,
    };
    let fits = match is_disk {
        true => Verdict::MustSucceed,
        // The scenario does not show how much room a tree needs.
        false if spec.len.0 < 8 << 20 => Verdict::May,
        false => Verdict::MustSucceed,
    };
    let extracts = || image::packed(scenario, file).and_then(|packed| extracted::read(&packed)).is_ok();
    let overlay = match file.overlay.is_empty() || is_disk || extracts() {
        true => Verdict::MustSucceed,
        false => Verdict::MustFail,
    };
    let looks = match is_disk && !looks_like_image(file) {
        false => Verdict::MustSucceed,
        true => Verdict::MustFail,
    };
    let content = damage.and(looks);
    let content =
        match content == Verdict::MustFail && (any_content(scenario) || file.captured_from.is_some()) {
            true => Verdict::May,
            false => content,
        };
    let is_not_a_rootfs = !is_disk && file.tarball.is_not_a_rootfs();
    let packed = match (is_not_a_rootfs, any_content(scenario)) {
        (true, false) => Verdict::MustFail,
        (true, true) => Verdict::May,
        // The scenario does not show how much room the files need.
        (false, _) if file.tarball.many > 0 => Verdict::May,
        (false, _) => Verdict::MustSucceed,
    };
    let root = if is_disk { Verdict::MustSucceed } else { root_names::of_tarball(scenario, file, spec) };
    sidecar.and(content).and(fits).and(overlay).and(packed).and(root)
}

/// Whether a disk image has a table with partitions; a simulated file system without one is not recognised.
pub(crate) fn looks_like_image(file: &FileSpec) -> bool {
    let has_table = match file.partitions.is_empty() {
        true => !matches!(file.image, Some(Content::Blank | Content::Stamped)),
        false => file.scheme != Scheme::None,
    };
    has_table && file.inside.is_none()
}

fn any_content(scenario: &Scenario) -> bool {
    let mut texts = scenario.drive.files.iter().filter_map(|file| file.text.as_ref());
    texts.any(|text| text.contains("any_content = true"))
}

fn captures(scenario: &Scenario, session: bool) -> BTreeMap<String, Verdict> {
    let mut verdicts = BTreeMap::new();
    // The first failure ends a capture, so later media cannot have a better verdict than earlier ones.
    let mut so_far = if session { Verdict::May } else { Verdict::MustSucceed };
    // There must be room for the working image and the packed one beside everything else.
    let largest =
        scenario.media.values().filter(|spec| !spec.absent).map(|spec| spec.len.0).max().unwrap_or(0);
    if scenario.drive.len.0 < largest + (8 << 20) {
        so_far = Verdict::May;
    }
    for name in media_names(scenario) {
        let spec = &scenario.media[&name];
        if spec.absent {
            continue;
        }
        let has_rootfs = spec.has_rootfs();
        let damage = match (spec.damage, spec.table) {
            _ if spec.held_elsewhere => Verdict::MustFail,
            _ if settings::sanitises(scenario) && cannot_be_examined(scenario, spec) => Verdict::MustFail,
            (Some(FileSystemDamage::Fatal), _) if has_rootfs => Verdict::MustFail,
            // Only fsck of ext repairs anything.
            (Some(FileSystemDamage::Repairable), _) if has_other_root(spec) => Verdict::May,
            (_, Some(TableDamage::Hybrid)) => Verdict::May,
            // A rootfs that cannot be found cannot be sanitised.
            (_, Some(_)) => Verdict::MustFail,
            _ if spec.var_log_link.is_some() => Verdict::May,
            _ => Verdict::MustSucceed,
        };
        so_far = so_far.and(damage).and(faults::of_capture(scenario, &name, has_rootfs));
        verdicts.insert(name, so_far);
    }
    verdicts
}

/// Whether a medium of the scenario cannot be captured because its content cannot be sanitised.
pub(crate) fn has_unexaminable_content(scenario: &Scenario) -> bool {
    let mut media = scenario.media.values();
    settings::sanitises(scenario) && media.any(|spec| cannot_be_examined(scenario, spec))
}

/// Whether a medium holds content that sanitising cannot examine: encryption, volumes, file systems without a driver,
/// and partitions with a Linux type without a Linux file system.
fn cannot_be_examined(scenario: &Scenario, spec: &MediumSpec) -> bool {
    spec.partitions.iter().any(|part| match (part.holds, part.kind()) {
        (Holds::Luks | Holds::Lvm, _) => true,
        // Without a table no partition has a type.
        (Holds::Raw, _) => part.part_type.is_none() && spec.scheme != Scheme::None,
        (_, Some(Kind::F2fs)) => true,
        (_, Some(kind)) => scenario.kernel_lacks.contains(&kind),
        _ => false,
    })
}

/// Whether the medium has a root file system that is not ext.
fn has_other_root(spec: &MediumSpec) -> bool {
    let mut roots = spec.partitions.iter().filter(|part| part.holds == Holds::Rootfs);
    roots.any(|part| part.kind().is_some_and(|kind| !kind.is_ext()))
}

/// How a run differs from the forecast.
pub fn check(evidence: &Evidence) -> Vec<Mismatch> {
    let forecast = forecast(&evidence.scenario);
    let last = evidence.last();
    let mut mismatches = Vec::new();
    if !forecast.statuses.contains(&last.status()) {
        mismatches.push(Mismatch::Status { shown: last.status(), allowed: forecast.statuses.clone() });
    }
    for (medium, verdict) in &forecast.media {
        let result = result_of(evidence, forecast.work, medium);
        match (verdict, result) {
            (Verdict::MustSucceed, Err(detail)) => {
                mismatches.push(Mismatch::MustSucceed { medium: medium.clone(), detail });
            }
            // A medium that was written by mistake may hold anything; the status decides.
            (Verdict::MustFail, Ok(())) if forecast.work == Mode::Capture => {
                mismatches.push(Mismatch::MustFail { medium: medium.clone() });
            }
            _ => {}
        }
    }
    mismatches
}

/// Whether the world has the result of the work.
fn result_of(evidence: &Evidence, work: Mode, medium: &str) -> Result<(), String> {
    let last = evidence.last();
    let found = match work {
        Mode::Write => image(medium, &files(&last.before)),
        Mode::Capture => image(medium, &files(&last.after)),
    };
    let found = found.ok_or("there is no image")?;
    match work {
        Mode::Write => {
            let pages = last.after.media.get(medium).ok_or("there is no such medium")?;
            let spec = evidence.scenario.media.get(medium).ok_or("the scenario has no such medium")?;
            holds_discarded(pages, &found, spec, last.after.discarded_of(medium))
        }
        Mode::Capture => {
            let bytes = found.bytes.as_ref().ok_or("the image is not a file")?;
            decode(&found.name, bytes).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(text: &str) -> Scenario {
        Scenario::parse(&format!("about = \"x.\"\n{text}\n[expect]\nstatus = \"success\"\n"), "x.toml")
            .unwrap()
    }

    fn verdict(text: &str) -> (Verdict, Vec<Option<Status>>) {
        let forecast = forecast(&scenario(text));
        (forecast.media["sd"], forecast.statuses)
    }

    const WRITE: &str = "[[drive.file]]\nname = \"sdimage.dd.xz\"\nimage = \"boot-and-root\"\n";
    const CAPTURE: &str = "[media.sd]\ncontent = \"single\"\n";

    #[test]
    fn without_faults_both_ways_must_succeed() {
        let good = (Verdict::MustSucceed, vec![Some(Status::Success)]);
        assert_eq!(verdict(CAPTURE), good);
        assert_eq!(verdict(&format!("{WRITE}[media.sd]\n")), good);
    }

    #[test]
    fn faults_in_required_bytes_must_fail() {
        let fails = |text: &str| {
            let (found, statuses) = verdict(&format!("{WRITE}{text}"));
            assert_eq!(found, Verdict::MustFail, "{text}");
            assert_eq!(statuses, FAILED, "{text}");
        };
        fails("sidecar = \"wrong\"\n[media.sd]\n");
        fails("damage = \"truncated\"\n[media.sd]\n");
        fails("image_len = \"16 MiB\"\n[media.sd]\n");
        fails("[media.sd]\nabsent = true\n");
        fails("[media.sd]\n[[fault]]\non = \"sd\"\nkind = \"drop-writes\"\nrange = \"4 MiB..\"\n");
        fails("[media.sd]\n[[fault]]\non = \"sd\"\nkind = \"fake-limbo\"\nreal = \"4 MiB\"\n");
        fails(
            "[media.sd]\n[[fault]]\non = \"sd\"\nkind = \"io-error\"\nop = \"begin-verify\"\nnth = 1\ntimes = 1\n",
        );
    }

    #[test]
    fn faults_within_the_budget_must_succeed() {
        for fault in ["kind = \"short-io\"", "kind = \"io-error\"\nop = \"read\"\nnth = 3\ntimes = 2"] {
            let text = format!("{CAPTURE}[[fault]]\non = \"sd\"\n{fault}\n");
            assert_eq!(verdict(&text).0, Verdict::MustSucceed, "{fault}");
        }
    }

    #[test]
    fn a_fault_that_may_not_be_reached_allows_either_end() {
        let text = format!(
            "{WRITE}[media.sd]\n[[fault]]\non = \"sd\"\nkind = \"drop-writes\"\nrange = \"4 MiB..\"\nmay_be_missed = true\n"
        );
        assert_eq!(verdict(&text), (Verdict::May, [vec![Some(Status::Success)], FAILED.to_vec()].concat()));
    }

    #[test]
    fn a_capture_ends_with_its_first_failure() {
        let text =
            "[media.sd]\ncontent = \"single\"\ndamage = \"fatal\"\n[media.emmc]\ncontent = \"single\"\n";
        let forecast = forecast(&scenario(text));
        assert_eq!(forecast.media["emmc"], Verdict::MustFail);
    }

    #[test]
    fn a_partition_with_a_linux_type_without_a_linux_file_system_must_fail() {
        let raw = |scheme: &str| {
            verdict(&format!("[media.sd]\nscheme = \"{scheme}\"\n[[media.sd.partition]]\nholds = \"raw\"\n"))
                .0
        };
        assert_eq!((raw("mbr"), raw("none")), (Verdict::MustFail, Verdict::MustSucceed));
    }

    #[test]
    fn no_drive_and_nothing_to_do_must_fail() {
        for text in ["[drive]\nabsent = true\n[media.sd]\n", "[media.sd]\nabsent = true\n"] {
            assert_eq!(forecast(&scenario(text)).statuses, FAILED, "{text}");
        }
    }
}
