//! The program has the documented exit status, prints its results to stdout, and writes files on request.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replicator-sim")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_scenario_that_passes_is_one_line_and_the_sum() {
    let output = sim(&["run", "write-dd-xz"]);
    assert_eq!(output.status.code(), Some(0));
    let printed = text(&output.stdout);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!((lines.len(), lines[1]), (2, "1 passed, 0 failed"), "{printed}");
    assert!(lines[0].starts_with("ok   write-dd-xz ") && lines[0].ends_with(" ops"), "{printed}");
}

#[test]
fn a_scenario_that_fails_is_printed_with_a_command_that_repeats_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wrong.toml");
    std::fs::write(
        &path,
        "about = \"Nothing is a success.\"\n[media.sd]\nabsent = true\n[expect]\nstatus = \"success\"\n",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let output = sim(&["run", path]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains(&format!("again: replicator-sim run {path} --trace")), "{printed}");
    assert!(
        printed.contains("the LEDs show failure, not success") && printed.contains("red   "),
        "{printed}"
    );
}

#[test]
fn errors_of_the_user_and_failures_have_different_exit_statuses() {
    let output = sim(&["run", "write-dd-xs"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("near: write-dd-xz"), "{}", text(&output.stderr));
    assert_eq!(sim(&["run", "no/such.toml"]).status.code(), Some(2));
    assert_eq!(sim(&["walk"]).status.code(), Some(2));
    assert_eq!(sim(&["--help"]).status.code(), Some(0));
}

#[test]
fn json_is_an_object_per_line() {
    let output = sim(&["run", "write-dd-xz", "no-drive", "--json"]);
    let objects: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 3);
    assert_eq!((&objects[0]["name"], &objects[1]["passed"]), (&"write-dd-xz".into(), &true.into()));
    assert_eq!((&objects[2]["passed"], &objects[2]["failed"]), (&2.into(), &0.into()));
}

#[test]
fn the_media_of_a_scenario_can_be_written_to_files() {
    let directory = tempfile::tempdir().unwrap();
    let output = sim(&["run", "capture-multi-partition-emmc", "--keep", directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let place = directory.path().join("capture-multi-partition-emmc");
    let emmc = std::fs::metadata(place.join("emmc.img")).unwrap();
    assert_eq!(emmc.len(), 8 << 20);
    assert!(emmc.blocks() * 512 < 7 << 20, "{} blocks are not sparse", emmc.blocks());
    for name in ["drive.img", "console.log", "report.json", "logs/emmc-capture.log"] {
        assert!(std::fs::metadata(place.join(name)).unwrap().len() > 0, "{name}");
    }
}

#[test]
fn every_operation_can_be_shown_and_all_scenarios_listed() {
    let output = sim(&["run", "no-drive", "--trace"]);
    assert!(text(&output.stdout).contains("led-show          leds   failure"), "{}", text(&output.stdout));
    let list = text(&sim(&["list"]).stdout);
    assert!(
        list.lines().count() > 140
            && list.contains("verification reads back other bytes, and the write fails.")
    );
}
