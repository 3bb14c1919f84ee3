//! Start-up copes with unusual drives, unusual names, and nothing to do.

use super::*;

fn unlabelled_drive(entries: Vec<Entry>) -> Medium {
    Medium::drive(16 * MIB, FileSystemContent::new(Kind::Ext4, entries))
}

#[test]
fn a_drive_that_cannot_be_listed_at_first_is_unmounted_and_retried() {
    let files = vec![any_content(), Entry::file("sdimage.dd", vec![0x5a; 4096])];
    let flaky = fault("drive", Fault::Fails, Trigger::nth(OpName::List, 1));
    let builder = WorldBuilder::new().medium(unlabelled_drive(files)).medium(medium("sd")).fault(flaky);
    let (world, report) = run(builder);
    assert_eq!(world.faults_reached(), [true]);
    assert_eq!(world.volumes_dropped(), 0);
    assert_eq!(report.status, Status::Success, "{:?}", report.lines());
}

#[test]
fn a_disk_that_is_not_the_drive_is_unmounted_even_if_the_first_attempt_fails() {
    let flaky = fault("drive", Fault::IoError, Trigger::nth(OpName::Unmount, 1));
    let disk = Medium::drive(16 * MIB, FileSystemContent::new(Kind::Ext4, Vec::new()));
    let (world, report) = run(WorldBuilder::new().medium(disk).medium(medium("sd")).fault(flaky));
    assert_eq!(world.faults_reached(), [true]);
    assert_eq!(world.volumes_dropped(), 0);
    assert_eq!(report.failure.map(|error| error.code()), Some("R-NODRIVE"));
}

#[test]
fn names_do_not_control_the_console() {
    let names = (0..1000).map(|number| Entry::file(&format!("sdimage\x1b[2J\n{number}.tar.xz"), "x"));
    let builder = WorldBuilder::new().medium(drive(names.collect())).medium(medium("sd"));
    let (world, report) = run(builder);
    assert_eq!(report.failure.as_ref().map(|error| error.code()), Some("R-NAMES"));
    let records = world.records();
    let text = records.console.join("");
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.contains("sdimage\\u{1b}[2J\\n0.tar.xz") && text.len() < 10_000, "{text}");
}

#[test]
fn interrupted_reads_of_the_drive_are_not_failures() {
    let image = Entry::file("sdimage.dd", vec![0x5a; 300_000]);
    let digest = replicator_engine::formats::digest::Digest::of(
        replicator_engine::formats::digest::Algorithm::Md5,
        &[0x5a; 300_000],
    );
    let sidecar = Entry::file("sdimage.dd.md5", format!("{digest}  sdimage.dd\n"));
    let when = Trigger::op(OpName::Read).times(40);
    let builder = WorldBuilder::new().medium(drive(vec![image, sidecar, any_content()])).medium(medium("sd"));
    let (_, report) = run(builder.fault(fault("drive", Fault::Interrupted, when)));
    assert_eq!(report.status, Status::Success, "{:?}", report.lines());
}

#[test]
fn a_failure_always_has_a_reason() {
    // There is no medium to capture.
    let (_, report) = run(WorldBuilder::new().medium(drive(Vec::new())));
    assert_eq!(report.status, Status::Failure);
    assert_eq!(report.failure.map(|error| error.code()), Some("R-NOTHING"));
}

#[test]
fn the_options_are_read_once_per_state_of_the_drive() {
    for (free_bytes, times) in [(0, 1), (16 * MIB, 2)] {
        let files = vec![any_content(), Entry::file("sdimage.dd", vec![0x5a; 4096])];
        let partition = PartitionContent {
            mbr_type: 0x83,
            start_bytes: MIB,
            len_bytes: 16 * MIB,
            file_system: Some(FileSystemContent::new(Kind::Ext4, files).label("REPLICATOR")),
        };
        let content = Content::Partitions("drive".into(), vec![partition]);
        let drive = Medium::new("drive", "sda", DeviceKind::Usb, 17 * MIB + free_bytes).content(content);
        let (world, report) = run(WorldBuilder::new().keep_trace(true).medium(drive).medium(medium("sd")));
        assert_eq!(report.status, Status::Success, "{:?}", report.lines());
        let trace = world.trace();
        let calls = |name, object: &str| {
            trace.events().filter(|event| event.op.name == name && event.op.object.contains(object)).count()
        };
        assert_eq!(calls(OpName::Open, "replicator.toml"), times, "{free_bytes} bytes free");
        assert_eq!(calls(OpName::Grow, ""), times - 1, "{free_bytes} bytes free");
    }
}
