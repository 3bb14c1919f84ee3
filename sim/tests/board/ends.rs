//! A seed gives one trace, and a run can end by itself, by a cut, hung, stuck or at a limit; LEDs and hooks work.

use super::*;

/// Three tasks that capture three media to the drive, similar to the engine.
fn capture_three(board: &Board) -> Vec<TaskEnd> {
    let volume = mount_drive(board, Access::ReadWrite);
    let media = ["mmcblk0", "mmcblk1", "sdb"];
    let tasks = media.map(|name| {
        let (board, volume) = (board.clone(), &*volume);
        let body = move || {
            let mut source = board.devices.open_source(&device(name)).unwrap();
            let mut file = volume.create_new(&path(&format!("{name}.part")), 0o644).unwrap();
            let (mut buffer, mut done) = (vec![0; 16 * 1024], 0);
            loop {
                let len = io::read_source(source.as_mut(), done, &mut buffer).unwrap();
                if len == 0 {
                    break;
                }
                io::write_file(file.as_mut(), done, &buffer[..len]).unwrap();
                board.leds.renew(Duration::from_secs(5));
                done += len as u64;
            }
            file.sync().unwrap();
            volume.rename(&path(&format!("{name}.part")), &path(&format!("{name}.dd"))).unwrap();
            volume.sync_dir(&RelativePath::root()).unwrap();
        };
        Task { name: name.to_owned(), body: Box::new(body) }
    });
    let ends = board.tasks.run(tasks.into());
    volume.unmount().unwrap();
    ends
}

fn three_media(seed: u64) -> World {
    let medium = |name: &str, device: &str, kind| {
        Medium::new(name, device, kind, 64 * KIB).content(Content::Stamped(name.to_owned(), 0))
    };
    WorldBuilder::new()
        .seed(seed)
        .medium(drive(Kind::Ext4, vec![]))
        .medium(medium("emmc", "mmcblk0", DeviceKind::Emmc))
        .medium(medium("sd", "mmcblk1", DeviceKind::Sd))
        .medium(medium("sata", "sdb", DeviceKind::Sata))
        .build()
        .unwrap()
}

#[test]
fn one_seed_gives_one_trace_and_other_seeds_give_others() {
    let run = |seed| {
        let world = three_media(seed);
        let end = world.run(|board| capture_three(&board));
        assert_eq!(end.outcome, RunOutcome::Finished);
        assert_eq!(end.value.unwrap(), vec![TaskEnd::Finished; 3]);
        let files = world.drive_files().unwrap();
        assert_eq!(files[&path("mmcblk1.dd")].bytes, stamped("sd", 0, 64 * KIB));
        assert!(world.mounts_left().is_empty() && world.handles_left() == 0);
        end.trace_hash
    };
    let same: BTreeSet<u64> = (0..50).map(|_| run(7)).collect();
    assert_eq!(same.len(), 1);
    let others: BTreeSet<u64> = (0..50).map(run).collect();
    assert_eq!(others.len(), 50);
}

#[test]
fn tasks_interleave_by_the_speed_of_their_media() {
    let world = three_media(1);
    world.run(|board| capture_three(&board)).value.unwrap();
    let trace = world.trace();
    let switches =
        trace.events().zip(trace.events().skip(1)).filter(|(one, two)| one.task != two.task).count();
    assert!(switches > 10, "{switches} switches");
    assert!(trace.events().all(|event| !event.to_string().is_empty()));
}

#[test]
fn tasks_of_a_task_take_turns_with_other_tasks() {
    let world = WorldBuilder::new().medium(emmc()).build().unwrap();
    let end = world.run(|board| {
        let (tasks, clock) = (&board.tasks, &board.clock);
        let sleeper = |name: &str, ms| {
            let body = move || (0..4).for_each(|_| clock.sleep(Duration::from_millis(ms)));
            Task { name: name.to_owned(), body: Box::new(body) }
        };
        let panics = || {
            clock.sleep(Duration::from_millis(25));
            panic!("on purpose");
        };
        let inner = || {
            let ends = tasks.run(vec![
                sleeper("one", 10),
                Task { name: "panics".into(), body: Box::new(panics) },
                sleeper("two", 12),
            ]);
            assert!(matches!(&ends[..], [TaskEnd::Finished, TaskEnd::Panicked(text), TaskEnd::Finished] if text == "on purpose"));
            clock.sleep(Duration::from_millis(1));
        };
        tasks.run(vec![Task { name: "outer".into(), body: Box::new(inner) }, sleeper("other", 11)])
    });
    assert_eq!(end.value.unwrap(), [TaskEnd::Finished, TaskEnd::Finished]);
    let order: Vec<String> = world.trace().events().map(|event| event.task.to_string()).collect();
    let turns = [
        "one", "other", "two", "one", "other", "two", "panics", "one", "other", "two", "one", "other", "two",
        "outer",
    ];
    assert_eq!(order, turns);
}

#[test]
fn a_task_that_blocks_outside_of_the_hal_is_named() {
    let limits = Limits { stuck_after: Duration::from_millis(50), ..Limits::default() };
    let world = WorldBuilder::new().limits(limits).medium(emmc()).build().unwrap();
    let end = world.run(|board| {
        let clock = &board.clock;
        let blocks = || {
            clock.sleep(Duration::from_millis(1));
            std::thread::sleep(Duration::from_millis(400));
        };
        board.tasks.run(vec![
            Task { name: "blocks".into(), body: Box::new(blocks) },
            Task { name: "waits".into(), body: Box::new(|| clock.sleep(Duration::from_secs(1))) },
        ])
    });
    let RunOutcome::Ended(End::Stuck(text)) = end.outcome else { panic!("{:?}", end.outcome) };
    assert!(text.contains("task blocks") && text.contains("sleep"), "{text}");
}

#[test]
fn limits_end_a_run_that_would_not_end() {
    let limits = Limits { virtual_time_max: Duration::from_secs(10), ops_max: 1000, ..Limits::default() };
    let spin = |step: Duration| {
        let world = WorldBuilder::new().limits(limits).medium(emmc()).build().unwrap();
        let end = world.run(|board| {
            while board.devices.list().is_ok() {
                board.clock.sleep(step);
            }
        });
        end.outcome
    };
    assert_eq!(spin(Duration::from_secs(1)), RunOutcome::Ended(End::TimeBound));
    assert_eq!(spin(Duration::from_millis(1)), RunOutcome::Ended(End::OpBound));
}

#[test]
fn a_power_cut_freezes_the_world_and_endless_calls_after_it_are_found() {
    let cut = fault("emmc", Fault::PowerCut { after: false }, Trigger::nth(OpName::Write, 2));
    let world = WorldBuilder::new().medium(emmc()).fault(cut).build().unwrap();
    let end = world.run(|board| {
        let mut target = board.devices.open_target(&device("mmcblk0")).unwrap();
        target.write_at(0, &[1; 512]).unwrap();
        target.sync().unwrap();
        assert!(target.write_at(512, &[1; 512]).unwrap_err().is_power_cut());
        assert!(target.sync().unwrap_err().is_power_cut());
        board.leds.show(Status::Success);
    });
    assert!(matches!(end.outcome, RunOutcome::Ended(End::PowerCut { .. })), "{:?}", end.outcome);
    assert_eq!(world.leds().final_status(), None, "nothing has an effect after the cut");
    let bytes = world.reboot(Survival::All).medium_bytes("emmc").unwrap();
    assert_eq!((bytes.bytes(0, 1), bytes.bytes(512, 1)), (vec![1], vec![b'[']));

    let at_once = fault("*", Fault::PowerCut { after: false }, Trigger::at(1));
    let world = WorldBuilder::new().medium(emmc()).fault(at_once).build().unwrap();
    let end = world.run(|board| while board.devices.list().is_err() {});
    let RunOutcome::Panicked(text) = end.outcome else { panic!("{:?}", end.outcome) };
    assert!(text.contains("does not stop calling after the end"), "{text}");
}

#[test]
fn a_hang_ends_in_bounded_virtual_time_and_shows_failure() {
    let hang = fault("emmc", Fault::Hang { duration_ms: None }, Trigger::nth(OpName::Read, 2));
    let world = WorldBuilder::new().medium(emmc()).fault(hang).build().unwrap();
    let end = world.run(|board| {
        board.leds.show(Status::Running);
        board.leds.renew(Duration::from_secs(30));
        let mut source = board.devices.open_source(&device("mmcblk0")).unwrap();
        source.read_at(0, &mut [0; 512]).unwrap();
        let error = source.read_at(512, &mut [0; 512]).unwrap_err();
        board.leds.show(Status::Success);
        error.kind()
    });
    assert_eq!(end.value, Some(ErrorKind::TimedOut));
    assert_eq!(end.outcome, RunOutcome::Ended(End::Hung));
    assert!(end.virtual_time < Duration::from_secs(1));
    assert_eq!(world.leds().final_status(), Some(Status::Failure));
    assert!(world.leds().lease_expired());
    assert_eq!(world.faults_reached(), [true]);
}

#[test]
fn during_a_hang_other_tasks_run_on_and_its_lease_expires() {
    let hang = fault("emmc", Fault::Hang { duration_ms: Some(60_000) }, Trigger::nth(OpName::Read, 1));
    let world = WorldBuilder::new().medium(emmc()).fault(hang).build().unwrap();
    let end = world.run(|board| {
        board.leds.show(Status::Running);
        board.leds.renew(Duration::from_secs(30));
        let mut source = board.devices.open_source(&device("mmcblk0")).unwrap();
        source.read_at(0, &mut [0; 512]).unwrap();
        board.leds.show(Status::Success);
        board.leds.lease_expired()
    });
    assert_eq!((end.value, end.outcome), (Some(true), RunOutcome::Finished));
    assert_eq!(world.leds().final_status(), Some(Status::Failure));
    let [red, green] =
        world.leds().wave_form(Duration::from_secs(31)..Duration::from_secs(35), Duration::from_millis(125));
    assert_eq!(red.chars().filter(|character| *character == '█').count(), 16, "{red} {green}");
}

#[test]
fn hooks_are_small_scripts() {
    let script = "#!/bin/sh\nprint hello\nwrite etc/motd welcome\nremove old\nexit 3\nprint never\n";
    let entries = vec![
        Entry::file("hook", script.as_bytes()).mode(0o755),
        Entry::file("hangs", b"hang\n".to_vec()),
        Entry::file("binary", b"\x7fELF".to_vec()),
        Entry::file("old", b"".to_vec()),
        Entry::directory("etc"),
    ];
    let world = WorldBuilder::new().medium(drive(Kind::Ext4, entries)).build().unwrap();
    let end = world.run(|board| {
        let volume = mount_drive(&board, Access::ReadWrite);
        let run = |program: &str| {
            let (id, timeout) = (volume.id(), Duration::from_secs(60));
            board.system.run_hook(&Hook {
                program_volume: id,
                program: path(program),
                tree: id,
                environment: vec![],
                timeout,
            })
        };
        let end = run("hook").unwrap();
        assert_eq!((end.exit_status, end.output.as_str()), (Some(3), "hello\n"));
        assert_eq!(read_file(&*volume, "etc/motd").unwrap(), b"welcome");
        assert_eq!(volume.metadata(&path("old")).unwrap_err().kind(), ErrorKind::NotFound);
        ["hangs", "binary", "missing"].map(|program| run(program).unwrap_err().kind())
    });
    assert_eq!(end.value, Some([ErrorKind::TimedOut, ErrorKind::ToolFailed, ErrorKind::NotFound]));
    assert!(end.virtual_time > Duration::from_secs(60));
}

#[test]
fn the_leds_of_a_run_are_a_wave_form() {
    let world = WorldBuilder::new().build().unwrap();
    world.run(|board| {
        board.leds.show(Status::Running);
        board.clock.sleep(Duration::from_secs(1));
        board.leds.show(Status::Critical);
    });
    let log = world.leds();
    assert_eq!(log.final_status(), Some(Status::Critical));
    let (since, _) = log.shown()[1];
    assert!(replicator_hal::level(Status::Critical, Led::Red, Duration::ZERO));
    let [red, green] = log.wave_form(since..since + Duration::from_millis(960), Duration::from_millis(120));
    assert_eq!((red.as_str(), green.as_str()), ("█·█·█·█·", "········"));
}

#[test]
fn media_are_kept_as_files() {
    let directory = tempfile::tempdir().unwrap();
    let world = three_media(0);
    world.keep(directory.path()).unwrap();
    assert_eq!(std::fs::read(directory.path().join("sd.img")).unwrap(), stamped("sd", 0, 64 * KIB));
    assert_eq!(std::fs::metadata(directory.path().join("drive.img")).unwrap().len(), 1024 * KIB);
}

#[test]
fn the_power_can_fail_in_a_sleep() {
    let cut = fault("*", Fault::PowerCut { after: true }, Trigger::at(2));
    let world = WorldBuilder::new().medium(emmc()).fault(cut).build().unwrap();
    let end = world.run(|board| {
        board.devices.list().unwrap();
        let deadline = board.clock.monotonic() + Duration::from_secs(60);
        while board.clock.monotonic() < deadline {
            board.clock.sleep(Duration::from_secs(1));
        }
        board.devices.list().unwrap_err().is_power_cut()
    });
    assert_eq!(end.value, Some(true));
    assert_eq!(end.outcome, RunOutcome::Ended(End::PowerCut { at_op: 2 }));
}
