//! The explorers find no faults in the scenarios as they are, and find faults that are planted in the board.

use crate::faulty::{cached, leds, never_synced};
use replicator_hal::{Board, Status};
use replicator_sim::Survival;
use replicator_sim::explore::{self, Explored, Options};
use replicator_sim::fuzz::export;
use replicator_sim::fuzz::shrink::shrink;
use replicator_sim::fuzz::{self, generate};
use replicator_sim::judge::{self, CheckerId, Invariant, Origin, Severity};
use replicator_sim::run::unchanged;
use replicator_sim::scenario::builtin;
use replicator_sim::scenario::schema::{FaultKind, Scenario};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn scenario(name: &str) -> Scenario {
    Scenario::parse(builtin::find(name).unwrap(), name).unwrap()
}

fn screens(explored: &Explored) -> String {
    let lines: Vec<String> = explored.findings.iter().flat_map(explore::Finding::screen).collect();
    lines.join("\n")
}

fn few(recoveries_max: usize) -> Options {
    Options { recoveries_max, ..Options::default() }
}

#[test]
fn scenarios_hold_in_every_crash_state() {
    let names =
        ["capture-single-partition-sd", "capture-to-vfat", "write-dd-xz", "write-tar-xz", "expand-done"];
    let mut sum = Explored::default();
    for name in names {
        sum.add(explore::explore(name, name, &scenario(name), &few(3), &unchanged).unwrap());
    }
    assert!(sum.findings.is_empty(), "{}", screens(&sum));
    assert!(sum.totals.distinct > 1000 && sum.totals.recoveries >= 12, "{}", sum.totals);
    for policy in ["all", "data-late", "none", "subset"] {
        assert!(sum.totals.faults_reached[&format!("power-cut/{policy}")] > 10, "{}", sum.totals);
    }
}

#[test]
fn the_boot_after_a_cut_is_cut_too() {
    let name = "capture-single-partition-sd";
    let one = explore::explore(name, name, &scenario(name), &few(2), &unchanged).unwrap();
    let two =
        explore::explore(name, name, &scenario(name), &Options { depth: 2, ..few(2) }, &unchanged).unwrap();
    assert!(two.findings.is_empty(), "{}", screens(&two));
    assert!(two.totals.distinct > one.totals.distinct && two.totals.recoveries > one.totals.recoveries);
}

/// Distinct and followed states of scenarios that are explored in this order and share their states.
fn together(names: &[&str]) -> (u64, u64, usize) {
    let judged = Arc::new(explore::Judged::default());
    let mut sum = Explored::default();
    for name in names {
        let options = Options { judged: Some(Arc::clone(&judged)), ..few(0) };
        sum.add(explore::explore(name, name, &scenario(name), &options, &unchanged).unwrap());
    }
    assert!(sum.findings.is_empty(), "{}", screens(&sum));
    (sum.totals.crash_states, sum.totals.distinct, judged.count())
}

#[test]
fn the_order_of_scenarios_does_not_change_their_states() {
    // The second differs from the first only in its faults, so that most of its states are those of the first.
    let names = ["capture-single-partition-sd", "led-errors-do-not-stop-the-work", "write-dd-xz"];
    let [one, two, three] = names;
    let forwards = together(&names);
    assert_eq!(forwards, together(&[three, two, one]));
    assert_eq!(forwards.1, forwards.2 as u64);
    assert!(forwards.1 < together(&[one]).1 + together(&[two]).1 + together(&[three]).1);
}

#[test]
fn left_out_work_is_reported_and_a_few_states_are_followed_in_any_case() {
    let name = "capture-single-partition-sd";
    let now = Some(Instant::now());
    let hurried = Options { deadline: now, recoveries_min: 2, ..Options::default() };
    let few = explore::explore(name, name, &scenario(name), &hurried, &unchanged).unwrap().totals;
    assert_eq!((few.recoveries, few.left_out_states), (2, 0));
    assert!(few.distinct > 100, "{few}");
    let over = Options { end: now, ..Options::default() };
    let over = explore::explore(name, name, &scenario(name), &over, &unchanged).unwrap().totals;
    assert_eq!((over.crash_states, over.left_out_states), (0, few.crash_states));
    assert!(over.to_string().contains("left out, because time was over"), "{over}");
    let swept = Options { deadline: now, ..Options::default() };
    let swept = explore::sweep(name, name, &scenario(name), &swept, &unchanged).unwrap().totals;
    assert!(swept.error_runs == 0 && swept.left_out_error_runs > 100, "{swept}");
}

#[test]
fn calls_of_later_boots_fail_too() {
    let name = "capture-then-write-new-unit";
    let scenario = scenario(name);
    let (lines, explored) = explore::one_failure(name, &scenario, 2, 40, true, &unchanged).unwrap();
    assert!(explored.findings.is_empty(), "{}", screens(&explored));
    assert!(lines.iter().any(|line| line.contains("image.")), "{lines:?}");
    let (lines, _) = explore::one_failure(name, &scenario, 1, 40, true, &unchanged).unwrap();
    assert!(!lines.iter().any(|line| line.contains("image.")), "{lines:?}");
    assert!(
        explore::one_failure(name, &scenario, 9, 40, true, &unchanged).unwrap_err().contains("no boot 9")
    );
}

#[test]
fn no_failing_call_leads_to_a_wrong_success() {
    for name in ["capture-single-partition-sd", "write-tar-xz"] {
        let options =
            Options { deadline: Some(Instant::now() + Duration::from_secs(8)), ..Options::default() };
        let swept = explore::sweep(name, name, &scenario(name), &options, &unchanged).unwrap();
        assert!(swept.findings.is_empty(), "{}", screens(&swept));
        assert!(swept.totals.error_runs > 10, "{}", swept.totals);
    }
}

#[test]
fn a_drive_that_is_never_synced_is_found_and_printed_on_a_screen() {
    let name = "capture-single-partition-sd";
    let explored = explore::explore(name, name, &scenario(name), &few(0), &never_synced::board).unwrap();
    let found =
        explored.findings.iter().find(|finding| finding.by.invariants().contains(&Invariant::S3)).unwrap();
    assert_eq!(found.severity, Severity::Safety);
    let screen = found.screen().join("\n");
    for part in
        ["cut before operation", "policy data-late", "drive after the cut", "last operations", "--survive"]
    {
        assert!(screen.contains(part), "{part}:\n{screen}");
    }
    // The command on the screen reproduces the same state.
    let cut: u64 = found.again.split("--cut ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let cuts = [(cut, Survival::DataLate)];
    let (_, again) = explore::one_state(name, &scenario(name), 1, &cuts, &never_synced::board).unwrap();
    assert!(again.findings.iter().any(|finding| finding.by == found.by), "{}", screens(&again));
    let (_, good) = explore::one_state(name, &scenario(name), 1, &cuts, &unchanged).unwrap();
    assert!(good.findings.is_empty(), "{}", screens(&good));
}

/// A board whose LEDs never show a terminal status.
fn never_ending(board: Board) -> Board {
    leds::that_show(|status| Some(status).filter(|status| *status == Status::Running))(board)
}

#[test]
fn on_a_faulty_drive_crash_states_without_an_end_are_found() {
    let name = "capture-drive-drops-writes";
    let found = |change| {
        let explored = explore::explore(name, name, &scenario(name), &few(3), change).unwrap();
        explored.findings.iter().map(|finding| finding.by).collect::<Vec<CheckerId>>()
    };
    assert_eq!(found(&unchanged), []);
    // The boot after a complete capture refuses to write the golden unit, and opens no medium before that.
    assert_eq!(found(&never_ending), [CheckerId::Terminates, CheckerId::StartUp]);
}

#[test]
fn on_a_faulty_drive_generated_scenarios_without_an_end_are_found() {
    // Settings that cannot be parsed end the run at its start.
    let text = "about = \"x.\"\n[[drive.file]]\nname = \"replicator.toml\"\ntext = \"x\"\n[media.sd]\n\
                [[fault]]\non = \"drive\"\nkind = \"drop-writes\"\nmay_be_missed = true\n\
                [expect]\nstatus = \"failure\"\n";
    let scenario = Scenario::parse(text, "x").unwrap();
    let found = |change| {
        let judgement = fuzz::judge("x", &scenario, Origin::Generated, change).unwrap();
        judgement.complaints.iter().map(|complaint| complaint.by).collect::<Vec<CheckerId>>()
    };
    assert_eq!(found(&unchanged), []);
    let complaints = found(&never_ending);
    for id in [CheckerId::Terminates, CheckerId::StartUp] {
        assert!(complaints.contains(&id), "{id} is not in {complaints:?}");
    }
}

/// A board that verifies from the page cache.
fn verifying_from_the_cache(board: Board) -> Board {
    Board { devices: cached::devices(&board), ..board }
}

#[test]
fn a_verification_from_the_cache_is_found_at_random_shrunk_and_exported() {
    let wrong_success = CheckerId::SuccessIsTrue;
    let finds_it = |seed: &u64| {
        fuzz::run(*seed, &verifying_from_the_cache).findings.iter().any(|finding| finding.by == wrong_success)
    };
    // Only scenarios with media that drop writes can show the fault; flipped bits would show it, too, so those are
    // left out.
    let worth_it = |seed: &u64| {
        let scenario = generate::scenario(*seed);
        scenario.faults.iter().any(|fault| fault.kind() == FaultKind::DropWrites && fault.on != "drive")
            && scenario.faults.iter().all(|fault| fault.kind() != FaultKind::BitFlip)
            && scenario.drive.files.iter().any(|file| file.image.is_some())
    };
    let seed = (0..3000).filter(worth_it).find(finds_it).unwrap();
    let shrunk =
        shrink(&generate::scenario(seed), Origin::Generated, &verifying_from_the_cache).unwrap().unwrap();
    let small = &shrunk.scenario;
    assert_eq!((small.faults.len(), small.media.len(), small.boots.len()), (1, 1, 0), "{}", shrunk.what);
    assert_eq!(small.faults[0].kind(), FaultKind::DropWrites);
    let directory = tempfile::tempdir().unwrap();
    let path = export::regression(&shrunk, "planted", directory.path()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let kept = Scenario::parse(&text, "planted").unwrap();
    // The exported scenario shows the planted fault, and has no complaint on an unchanged board.
    let judged = fuzz::judge("planted", &kept, Origin::Generated, &verifying_from_the_cache).unwrap();
    assert!(judged.complaints.iter().any(|complaint| complaint.by == shrunk.by), "{text}");
    let good = judge::run("planted", &kept).unwrap();
    assert!(good.passed(), "{text}\n{:?}", good.complaints);
}

#[test]
fn a_panic_in_a_run_is_a_finding() {
    let run = fuzz::run(3, &|_| panic!("planted"));
    assert_eq!(run.findings[0].severity, Severity::Panic);
    assert!(run.findings[0].what.contains("planted"));
}

#[test]
fn generated_scenarios_hold() {
    let runs: Vec<fuzz::Run> = (0..40).map(|seed| fuzz::run(seed, &unchanged)).collect();
    let screens: Vec<String> =
        runs.iter().flat_map(|run| &run.findings).flat_map(explore::Finding::screen).collect();
    assert!(screens.is_empty(), "{}", screens.join("\n"));
    assert!(runs.iter().filter(|run| run.invalid.is_some()).count() < 4);
}

fn sim(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_replicator-sim")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_commands_print_numbers_and_have_the_documented_exit_status() {
    let (status, text) = sim(&["explore", "write-dd-xz", "--recoveries", "1"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("crash states") && text.contains("faults reached: power-cut/all"), "{text}");
    let (status, text) = sim(&["fuzz", "--seed", "836b96a", "--runs", "4"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("4 fuzz runs"), "{text}");
    let (status, text) = sim(&["run", "capture-single-partition-sd", "--cut", "60", "--survive", "all"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("cut before operation"), "{text}");
    let (status, text) = sim(&["run", "write-dd-xz", "--fail", "30", "--persistent"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("operation 30 fails, persistent"), "{text}");
    let (status, text) = sim(&["replay", "capture-blank-medium"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("+ .capture") && text.contains("- .capture"), "{text}");
    assert_eq!(sim(&["explore"]).0, Some(2));
    assert_eq!(sim(&["explore", "no-such-scenario"]).0, Some(2));
    assert_eq!(sim(&["run", "write-dd-xz", "--cut", "3", "--survive", "some"]).0, Some(2));
}
