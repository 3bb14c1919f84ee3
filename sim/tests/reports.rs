//! The output for people: LED wave forms, the report of a scenario that failed, the list, the console.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_hal::Status;
use replicator_sim::WorldBuilder;
use replicator_sim::cli::{list, report};
use replicator_sim::judge::{self, Judged};
use replicator_sim::scenario::builtin;
use replicator_sim::scenario::schema::Scenario;
use std::time::Duration;

fn run(name: &str, text: &str) -> Judged {
    judge::run(name, &Scenario::parse(text, name).unwrap()).unwrap()
}

fn built_in(name: &str) -> Judged {
    run(name, builtin::find(name).unwrap())
}

#[test]
fn wave_forms_of_the_four_statuses() {
    let mut lines = Vec::new();
    for status in [Status::Running, Status::Success, Status::Failure, Status::Critical] {
        let world = WorldBuilder::new().build().unwrap();
        world.run(|board| {
            board.leds.renew(Duration::from_secs(60));
            board.leds.show(status);
        });
        let log = world.leds();
        let since = log.shown()[0].0;
        let [red, green] = log.wave_form(since..since + Duration::from_secs(4), Duration::from_millis(60));
        lines.push(format!("{status}\n  red   {red}\n  green {green}"));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn report_of_a_scenario_that_failed() {
    let text = r#"
about = "A good image is expected to be refused."
[[drive.file]]
name = "sdimage.dd.xz"
image = "boot-and-root"
[media.sd]
content = "stamped"
[[fault]]
on = "sd"
kind = "io-error"
op = "read"
nth = 100000

[expect]
status = "failure"
drive_has = ["nothing.txt"]
media = { sd = "refused R-CONTENT" }
"#;
    let judged = run("good-is-refused", text);
    assert!(!judged.passed());
    insta::assert_snapshot!(report::failure(&judged, "good-is-refused.toml").join("\n"));
}

#[test]
fn head_of_the_list() {
    let mut output = Vec::new();
    list::list(&mut output).unwrap();
    let text = String::from_utf8(output).unwrap();
    insta::assert_snapshot!(text.lines().take(8).map(str::trim_end).collect::<Vec<_>>().join("\n"));
}

#[test]
fn console_of_a_capture_and_of_a_write() {
    for name in ["capture-three-media", "write-three-media-in-parallel"] {
        let judged = built_in(name);
        assert_eq!(judged.complaints, []);
        insta::assert_snapshot!(name, judged.evidence.last().world.records().console.join("\n"));
    }
}
