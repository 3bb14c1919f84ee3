//! Makes a failing scenario smaller, step by step, as long as the same judge makes the same kind of complaint.
//!
//! Faults, boots, media and files are dropped first, then special properties of each, then numbers and lengths are
//! reduced. Everything in the result is needed for the complaint.

use super::judge;
use crate::judge::{CheckerId, Complaint, Origin};
use crate::run::Change;
use crate::scenario::schema::{
    BootSpec, Discard, DriveFileSystem, FirmwareSpec, Gap, PartitionSpec, Scenario, Scheme, SidecarSpec,
    Size, SurvivalSpec,
};

/// At most so many scenarios are tried.
const TRIES_MAX: usize = 400;

/// The result of shrinking.
pub struct Shrunk {
    /// The smallest scenario that still fails in the same way.
    pub scenario: Scenario,
    /// The judge that complains.
    pub by: CheckerId,
    /// The complaint.
    pub what: String,
    /// How many scenarios were tried.
    pub tries: usize,
}

/// Shrinks a scenario; `None` if no judge complains about it.
///
/// # Errors
/// If the scenario is invalid.
pub fn shrink(scenario: &Scenario, origin: Origin, change: Change<'_>) -> Result<Option<Shrunk>, String> {
    shrink_by(scenario, &|scenario| Ok(judge("shrinking", scenario, origin, change)?.complaints))
}

/// Runs and judges a scenario.
type Judge<'a> = dyn Fn(&Scenario) -> Result<Vec<Complaint>, String> + 'a;

fn shrink_by(scenario: &Scenario, judge: &Judge<'_>) -> Result<Option<Shrunk>, String> {
    let first = judge(scenario)?.into_iter().next();
    let Some(first) = first else { return Ok(None) };
    let kind = first.kind(scenario);
    let mut shrunk = Shrunk { scenario: scenario.clone(), by: first.by, what: first.what, tries: 0 };
    // A round without progress is the last one.
    while round(&mut shrunk, &kind, judge) && shrunk.tries < TRIES_MAX {}
    Ok(Some(shrunk))
}

fn round(shrunk: &mut Shrunk, kind: &str, judge: &Judge<'_>) -> bool {
    let mut smaller = false;
    let mut number = 0;
    // After each success, the same place is tried again, because places move.
    while let Some(candidate) = candidates(&shrunk.scenario).into_iter().nth(number) {
        if shrunk.tries >= TRIES_MAX {
            break;
        }
        shrunk.tries += 1;
        // An invalid scenario is not a smaller one.
        let complaints = judge(&candidate).unwrap_or_default();
        let same = |complaint: &Complaint| complaint.by == shrunk.by && complaint.kind(&candidate) == kind;
        match complaints.into_iter().find(same) {
            Some(complaint) => {
                shrunk.scenario = candidate;
                shrunk.what = complaint.what;
                smaller = true;
            }
            None => number += 1,
        }
    }
    smaller
}

/// Scenarios that are one step smaller.
fn candidates(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = Vec::new();
    let mut add = |change: &dyn Fn(&mut Scenario) -> bool| {
        let mut candidate = scenario.clone();
        if change(&mut candidate) {
            found.push(candidate);
        }
    };
    for index in 0..scenario.faults.len() {
        add(&|scenario| dropped(&mut scenario.faults, index));
    }
    for index in 0..scenario.boots.len() {
        add(&|scenario| dropped(&mut scenario.boots, index));
        add(&|scenario| scenario.boots[index].cut.take().is_some());
    }
    for name in scenario.media.keys() {
        add(&|scenario| {
            scenario.drive.files.retain(|file| !file.name.starts_with(&format!("{name}image.")));
            scenario.faults.retain(|fault| fault.on != *name);
            scenario.media.remove(name);
            !scenario.media.is_empty()
        });
    }
    for index in 0..scenario.drive.files.len() {
        add(&|scenario| dropped(&mut scenario.drive.files, index));
        add(&|scenario| scenario.drive.files[index].damage.take().is_some());
        add(&|scenario| replaced(&mut scenario.drive.files[index].sidecar, SidecarSpec::None));
        add(&|scenario| scenario.drive.files[index].map.take().is_some());
        add(&|scenario| scenario.drive.files[index].index.take().is_some());
        add(&|scenario| scenario.drive.files[index].captured_from.take().is_some());
    }
    add(&|scenario| replaced(&mut scenario.drive.file_system, DriveFileSystem::Ext4));
    add(&|scenario| scenario.firmware.take().is_some());
    let board = |scenario: &mut Scenario, change: &dyn Fn(&mut FirmwareSpec) -> bool| {
        scenario.firmware.as_mut().is_some_and(change)
    };
    add(&|scenario| board(scenario, &|board| board.microcontroller.take().is_some()));
    add(&|scenario| board(scenario, &|board| board.revision.take().is_some()));
    add(&|scenario| board(scenario, &|board| std::mem::take(&mut board.area_held_open)));
    add(&|scenario| board(scenario, &|board| std::mem::take(&mut board.area_is_new)));
    add(&|scenario| replaced(&mut scenario.drive.len, Size(16 << 20)));
    add(&|scenario| replaced(&mut scenario.seed, 0));
    add(&|scenario| scenario.wall_clock.take().is_some());
    for name in scenario.media.keys() {
        let medium =
            |scenario: &mut Scenario, change: &dyn Fn(&mut crate::scenario::schema::MediumSpec) -> bool| {
                scenario.media.get_mut(name).is_some_and(change)
            };
        add(&|scenario| medium(scenario, &|medium| std::mem::take(&mut medium.dirty)));
        add(&|scenario| medium(scenario, &|medium| std::mem::take(&mut medium.no_identity)));
        add(&|scenario| medium(scenario, &|medium| std::mem::take(&mut medium.held_open)));
        add(&|scenario| medium(scenario, &|medium| std::mem::take(&mut medium.held_elsewhere)));
        add(&|scenario| medium(scenario, &|medium| std::mem::take(&mut medium.absent)));
        add(&|scenario| medium(scenario, &|medium| std::mem::take(&mut medium.write_cache)));
        add(&|scenario| medium(scenario, &|medium| replaced(&mut medium.discard, Discard::default())));
        add(&|scenario| medium(scenario, &|medium| medium.table.take().is_some()));
        add(&|scenario| medium(scenario, &|medium| medium.disk_id.take().is_some()));
        add(&|scenario| medium(scenario, &|medium| replaced(&mut medium.gap, Gap::Zeros)));
        add(&|scenario| medium(scenario, &|medium| replaced(&mut medium.scheme, Scheme::Mbr)));
        for index in 0..scenario.media[name].partitions.len() {
            add(&|scenario| medium(scenario, &|medium| dropped(&mut medium.partitions, index)));
            add(&|scenario| medium(scenario, &|medium| simpler_partition(&mut medium.partitions[index])));
            for file in 0..scenario.media[name].partitions[index].files.len() {
                add(&|scenario| {
                    medium(scenario, &|medium| dropped(&mut medium.partitions[index].files, file))
                });
            }
        }
        add(&|scenario| medium(scenario, &|medium| medium.var_log_link.take().is_some()));
        add(&|scenario| medium(scenario, &|medium| medium.rootfs_partition.take().is_some()));
        add(&|scenario| medium(scenario, &|medium| medium.damage.take().is_some()));
        add(&|scenario| medium(scenario, &|medium| medium.file_system.take().is_some()));
        add(&|scenario| {
            medium(scenario, &|medium| replaced(&mut medium.content, crate::scenario::schema::Content::Blank))
        });
        add(&|scenario| medium(scenario, &|medium| replaced(&mut medium.len, Size(8 << 20))));
    }
    for index in 0..scenario.boots.len() {
        simpler_boot(index, scenario, &mut add);
    }
    for index in 0..scenario.faults.len() {
        add(&|scenario| scenario.faults[index].when.times.take().is_some());
        add(&|scenario| scenario.faults[index].when.op.take().is_some());
        add(&|scenario| halved(scenario.faults[index].when.nth.as_mut()));
    }
    found
}

type Add<'a> = dyn FnMut(&dyn Fn(&mut Scenario) -> bool) + 'a;

fn simpler_boot(index: usize, scenario: &Scenario, add: &mut Add<'_>) {
    for simpler in [SurvivalSpec::None, SurvivalSpec::All] {
        // `None` is simpler than `All`, and both are simpler than the rest.
        if scenario.boots[index].survive != SurvivalSpec::None {
            add(&|scenario| {
                scenario.boots[index].survive_seed = None;
                replaced(&mut scenario.boots[index].survive, simpler)
            });
        }
    }
    let cut = |boot: &mut BootSpec, change: &dyn Fn(&mut crate::scenario::schema::CutSpec) -> bool| {
        boot.cut.as_mut().is_some_and(change)
    };
    add(&|scenario| cut(&mut scenario.boots[index], &|cut| std::mem::take(&mut cut.after)));
    add(&|scenario| cut(&mut scenario.boots[index], &|cut| halved(cut.at.as_mut())));
}

/// The same partition with only its content and place.
fn simpler_partition(spec: &mut PartitionSpec) -> bool {
    let (number, start, len) = (spec.number, spec.start, spec.len);
    replaced(spec, PartitionSpec { number, start, len, ..PartitionSpec::new(spec.holds) })
}

fn dropped<T>(items: &mut Vec<T>, index: usize) -> bool {
    if index < items.len() {
        items.remove(index);
        return true;
    }
    false
}

fn replaced<T: PartialEq>(place: &mut T, value: T) -> bool {
    let differs = *place != value;
    *place = value;
    differs
}

fn halved(number: Option<&mut u64>) -> bool {
    match number {
        Some(number) if *number > 1 => {
            *number /= 2;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_shrinks_to_the_complaint_that_it_began_with() {
        let text = "about = \"x.\"\n[media.sd]\ndirty = true\n[media.emmc]\ndirty = true\n[expect]\nstatus = \"success\"\n";
        let scenario = Scenario::parse(text, "x").unwrap();
        let judge = |scenario: &Scenario| {
            let dirty = scenario.media.values().filter(|medium| medium.dirty).count();
            Ok(vec![match dirty {
                2 => Complaint::new(CheckerId::Captured, "after boot 1: emmcimage.dd.xz has byte 17 twice"),
                1 => Complaint::new(
                    CheckerId::Captured,
                    format!("after boot {}: sdimage.dd.xz has byte 4 twice", dirty + 2),
                ),
                _ => Complaint::new(CheckerId::Captured, "after boot 1: sdimage.dd.xz is not an image"),
            }])
        };
        let shrunk = shrink_by(&scenario, &judge).unwrap().unwrap();
        assert!(shrunk.what.ends_with("byte 4 twice"), "{}", shrunk.what);
        assert_eq!(shrunk.scenario.media.len(), 1);
    }
}
