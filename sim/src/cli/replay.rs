//! `replay`: every operation of a scenario, its changes on the drive, and the complaints of the judges.

use super::Problem;
use super::named::{One, one};
use crate::board::world::World;
use crate::fuzz;
use crate::model::hardware::simfs::Survival;
use crate::run::boots::{Observer, observe};
use crate::run::{Boot, Drives, Snapshot, unchanged};
use replicator_engine::boot::Request;
use std::collections::BTreeMap;
use std::io::Write;

/// `replay`: every operation, its changes on the drive, and the complaints at the end.
pub(super) fn replay(arguments: &One, output: &mut dyn Write) -> Result<u8, Problem> {
    let (named, origin) = one(&arguments.scenario)?;
    let mut replay = Replay { lines: vec![format!("{}: {}", named.name, named.scenario.about)] };
    observe(&named.name, &named.scenario, &unchanged, &mut replay).map_err(Problem::Usage)?;
    replay.lines.iter().try_for_each(|line| writeln!(output, "{line}")).map_err(Problem::Output)?;
    let judgement = fuzz::judge(&named.name, &named.scenario, origin, &unchanged).map_err(Problem::Usage)?;
    for complaint in &judgement.complaints {
        writeln!(output, "FAIL [{}] {}", complaint.by, complaint.what).map_err(Problem::Output)?;
    }
    let worst = judgement.complaints.iter().map(|complaint| complaint.by.severity()).min();
    Ok(worst.map_or(0, |severity| severity as u8))
}

/// Collects operations with their changes on the drive.
struct Replay {
    lines: Vec<String>,
}

type Names = BTreeMap<String, u64>;

fn names(world: &World) -> Names {
    let files = crate::judge::readers::drive_images::files(&Snapshot::of(world, &Drives::default()));
    files.iter().map(|(path, file)| (path.to_string(), file.inode.len_bytes)).collect()
}

fn changes(before: &Names, after: &Names) -> Vec<String> {
    let added = after.iter().filter(|(name, len)| before.get(*name) != Some(*len));
    let mut lines: Vec<String> =
        added.map(|(name, len)| format!("          + {name} ({len} bytes)")).collect();
    lines.extend(
        before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("          - {name}")),
    );
    lines
}

impl Observer for Replay {
    fn before(&mut self, world: &World, _: &Request) {
        world.record_from_now();
    }

    fn after(&mut self, number: usize, boot: &Boot, _: &Request) {
        self.lines.push(format!("boot {}", number + 1));
        let recorded = boot.world.take_recorded();
        let mut states = recorded.iter().peekable();
        let mut known: Option<Names> = None;
        for event in boot.world.trace().events() {
            if states.peek().is_some_and(|state| state.number == event.number) {
                states.next();
                self.lines.push(event.to_string());
                // The next record shows the effect of the call.
                let after = match states.peek() {
                    Some(next) => names(&boot.world.reboot_from(next, Survival::All)),
                    None => names(&boot.world.reboot(Survival::All)),
                };
                if let Some(before) = &known {
                    self.lines.extend(changes(before, &after));
                }
                known = Some(after);
            } else {
                self.lines.push(event.to_string());
            }
        }
        self.lines.push(format!("end: {}", boot.outcome));
    }
}
