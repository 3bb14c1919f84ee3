//! The classes of drives that power cuts in the simulation leave.

use super::drive::Class;
use replicator_sim::run::boots;
use replicator_sim::scenario::schema::Scenario;
use std::collections::BTreeSet;

/// The same kind of scenario as the real capture: an SD card with one partition, and an eMMC with two.
const SCENARIO: &str = "about = 'Power is cut during a capture.'
media = { sd = { content = 'single' }, emmc = { content = 'boot-and-root' } }
expect = { status = 'success' }";

/// Calls on the drive that change which files a cut leaves.
const CALLS: [&str; 7] = ["rename", "sync-dir", "remove-file", "create", "sync", "remove-dir", "create-dir"];

/// Fails if a real cut left a class of drive that no simulated cut leaves: then the simulation is incomplete.
#[track_caller]
pub(crate) fn assert_known(real: &[Class]) {
    let mut unknown: BTreeSet<&Class> = real.iter().collect();
    let mut simulated = BTreeSet::new();
    for (survive, call) in
        ["none", "all", "data-late"].iter().flat_map(|policy| CALLS.map(|call| (policy, call)))
    {
        for nth in 1.. {
            let Some(class) = class_after(survive, call, nth).filter(|_| !unknown.is_empty()) else { break };
            unknown.remove(&class);
            simulated.insert(class);
        }
    }
    assert!(unknown.is_empty(), "the simulation leaves no such drive: {unknown:#?}\nbut only {simulated:#?}");
}

/// The class of drive after a cut before the `nth` such call; `None` if there are fewer calls.
fn class_after(survive: &str, call: &str, nth: u64) -> Option<Class> {
    let cut =
        format!("[[boot]]\nsurvive = '{survive}'\n[boot.cut]\non = 'drive'\nop = '{call}'\nnth = {nth}\n");
    let scenario = Scenario::parse(&format!("{SCENARIO}\n{cut}"), "cut").unwrap();
    let evidence = boots::run("cut", &scenario).unwrap();
    if !evidence.missed_cuts.is_empty() {
        return None;
    }
    let files = evidence.last().after.drive_files().unwrap();
    Some(Class::of(&files.keys().map(ToString::to_string).collect()))
}
