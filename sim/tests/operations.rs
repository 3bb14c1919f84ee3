//! The simulated board performs exactly the operations that a scenario can name, each on the targets of its row.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_sim::model::time::op_name::{OpName, Target};
use replicator_sim::run::boots;
use replicator_sim::scenario::builtin;
use replicator_sim::scenario::schema::Scenario;
use std::collections::BTreeSet;

/// Together their runs call every operation.
const SCENARIOS: [&str; 11] = [
    "capture-hooks-run",
    "capture-multi-partition-emmc",
    "capture-disk-image-gives-space-back",
    "capture-tarball-gives-space-back",
    "write-tar-xz",
    "write-dd-xz",
    "write-discard-reads-zeros",
    "firmware-everything-at-once",
    "firmware-imx-type-assigned",
    "expand-done",
    "no-drive",
];

fn target(scenario: &Scenario, on: &str) -> Target {
    match on {
        "drive" => Target::Drive,
        "image" => Target::Image,
        "leds" => Target::Leds,
        "system" => Target::System,
        "clock" => Target::Clock,
        "firmware" => Target::Firmware,
        "devices" => Target::Devices,
        medium if scenario.media.contains_key(medium) => Target::Medium,
        _ => Target::Area,
    }
}

#[test]
fn every_operation_is_called_and_only_on_the_targets_of_its_row() {
    let mut wrong = BTreeSet::new();
    let mut called = BTreeSet::new();
    for name in SCENARIOS {
        let scenario = Scenario::parse(builtin::find(name).unwrap(), name).unwrap();
        let evidence = boots::run(name, &scenario).unwrap();
        for event in
            evidence.boots.iter().flat_map(|boot| boot.world.trace().events().cloned().collect::<Vec<_>>())
        {
            let op = event.op.name;
            let target = target(&scenario, &event.op.on);
            called.insert(op);
            if !op.is_on(target) || event.op.mutates && !op.changes() {
                wrong.insert(format!("{op} on {target:?}, changes: {}", event.op.mutates));
            }
        }
    }
    assert_eq!(wrong, BTreeSet::new());
    let never: Vec<OpName> = OpName::all().filter(|op| !called.contains(op)).collect();
    assert_eq!(never, [], "no listed scenario calls these");
}
