//! A whole board, as its constructor makes it.

use replicator_hal::contract::loop_media::{Bench, MIB};
use replicator_hal::linux::{KernelRoots, LedConfig, LinuxBoard, LinuxBoardConfig};
use replicator_hal::{Access, Compute, Hook, LedName, RelativePath, Status};
use std::time::{Duration, Instant};

#[test]
fn a_board_shows_its_status_and_keeps_records() {
    let directory = tempfile::tempdir().unwrap();
    let sys = directory.path().join("sys");
    for led in ["red:status", "green:power"] {
        let led = sys.join("class/leds").join(led);
        std::fs::create_dir_all(&led).unwrap();
        std::fs::write(led.join("brightness"), "0").unwrap();
    }
    let mut config = LinuxBoardConfig::new(directory.path().join("logs"));
    config.roots = KernelRoots { sys: sys.clone(), ..KernelRoots::default() };
    config.leds = LedConfig::Class {
        red: ["red:status", "red:indicator"].map(|name| LedName::parse(name).unwrap()).to_vec(),
        green: vec![LedName::parse("green:power").unwrap()],
    };
    let linux = LinuxBoard::new(config).unwrap();
    let board = linux.board;
    board.leds.show(Status::Running);
    let lit = |led: &str| {
        std::fs::read_to_string(sys.join("class/leds").join(led).join("brightness")).unwrap() == "1"
    };
    let start = Instant::now();
    while !(lit("red:status") && lit("green:power")) {
        assert!(start.elapsed() < Duration::from_secs(5), "while running, red is on and green blinks");
    }
    board.records.log("sd-capture", "a line");
    let log = std::fs::read_dir(directory.path().join("logs")).unwrap().count();
    assert_eq!(log, 1);
    assert!(matches!(board.tasks.compute(), Compute::Threads(count) if count >= 1));
    assert!(!board.system.kernel_command_line().unwrap().is_empty());
}

#[test]
fn a_hook_on_a_mounted_drive_works_on_a_mounted_tree() {
    let Some(bench) = Bench::new("a_hook_on_a_mounted_drive_works_on_a_mounted_tree") else { return };
    let medium = bench.medium("usb", 64 * MIB);
    medium.mkfs(&["-t", "ext4"]);
    let mut config = LinuxBoardConfig::new(bench.directory.path().join("logs"));
    let base = bench.directory.path().join("hooks");
    config.mount_base = Some(base.clone());
    let linux = LinuxBoard::new(config).unwrap();
    let device = linux.devices.by_path(&medium.node).unwrap();
    assert_eq!(device, medium.name);
    let volume = linux.board.file_systems.mount(&medium.whole(), Access::ReadWrite).unwrap();
    let script = RelativePath::parse("hook.sh").unwrap();
    let mut file = volume.create_new(&script, 0o755).unwrap();
    file.write_at(0, b"#!/bin/sh\ntouch made-by-hook; echo \"$MEDIUM\"\n").unwrap();
    file.close().unwrap();
    let hook = Hook {
        program_volume: volume.id(),
        program: script,
        tree: volume.id(),
        environment: vec![("MEDIUM".to_owned(), "sd".to_owned())],
        timeout: Duration::from_secs(20),
    };
    let end = linux.board.system.run_hook(&hook).unwrap();
    assert_eq!((end.exit_status, end.output.as_str()), (Some(0), "sd\n"));
    volume.metadata(&RelativePath::parse("made-by-hook").unwrap()).unwrap();
    volume.unmount().unwrap();
    assert_eq!(std::fs::read_dir(&base).unwrap().count(), 0);
    bench.assert_clean(&[&medium]);
}
