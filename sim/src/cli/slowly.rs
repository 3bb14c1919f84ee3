//! `replay` and `trace`: any story is told slowly, operation by operation.

use super::Problem;
use super::made_up::{One, find};
use crate::board::world::World;
use crate::fuzz;
use crate::model::hardware::simfs::Survival;
use crate::run::boots::{Observer, observe};
use crate::run::{Boot, Drives, Snapshot, unchanged};
use replicator_engine::boot::Request;
use std::collections::BTreeMap;
use std::io::Write;

/// `trace`: every operation of every boot.
pub(super) fn trace(arguments: &One, output: &mut dyn Write) -> Result<u8, Problem> {
    let (story, _) = find(&arguments.story)?;
    let evidence = crate::run::boots::run(&story.name, &story.scenario).map_err(Problem::Usage)?;
    let mut tell = || -> std::io::Result<()> {
        for (number, boot) in evidence.boots.iter().enumerate() {
            writeln!(output, "boot {}", number + 1)?;
            boot.world.trace().events().try_for_each(|event| writeln!(output, "{event}"))?;
            writeln!(output, "ended: {:?}", boot.outcome)?;
        }
        Ok(())
    };
    tell().map_err(Problem::Output)?;
    Ok(0)
}

/// `replay`: every operation, what it changed on the drive, and what the origin say at the end.
pub(super) fn replay(arguments: &One, output: &mut dyn Write) -> Result<u8, Problem> {
    let (story, origin) = find(&arguments.story)?;
    let mut replay = Replay { lines: vec![format!("{}: {}", story.name, story.scenario.about)] };
    observe(&story.name, &story.scenario, &unchanged, &mut replay).map_err(Problem::Usage)?;
    replay.lines.iter().try_for_each(|line| writeln!(output, "{line}")).map_err(Problem::Output)?;
    let judgement = fuzz::judge(&story.name, &story.scenario, origin, &unchanged).map_err(Problem::Usage)?;
    for complaint in &judgement.complaints {
        writeln!(output, "FAIL [{}] {}", complaint.by, complaint.what).map_err(Problem::Output)?;
    }
    let worst = judgement.complaints.iter().map(|complaint| complaint.by.severity()).min();
    Ok(worst.map_or(0, |severity| severity as u8))
}

/// Tells operations with what they change on the drive.
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
                // What the call did is what the next record finds.
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
        self.lines.push(format!("ended: {:?}", boot.outcome));
    }
}
