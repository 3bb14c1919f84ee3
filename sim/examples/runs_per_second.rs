//! Measures how many small runs the simulation does per second of processor time: three media are captured to the drive
//! and verified.
//!
//! With a number as argument it does so many runs and nothing else, so that `valgrind --tool=callgrind` can count their
//! instructions.

use nix::time::{ClockId, clock_gettime};
use replicator_hal::{Access, Board, DeviceKind, DeviceName, Holder, Region, RelativePath, Result, Task, io};
use replicator_sim::model::hardware::content::{Content, FileSystemContent};
use replicator_sim::model::hardware::simfs::Kind;
use replicator_sim::model::time::cores::stay_on_a_core;
use replicator_sim::{Medium, Survival, WorldBuilder};
use std::time::{Duration, Instant};

const KIB: u64 = 1024;
const MEDIA: [(&str, &str, DeviceKind); 3] = [
    ("emmc", "mmcblk0", DeviceKind::Emmc),
    ("sd", "mmcblk1", DeviceKind::Sd),
    ("sata", "sdb", DeviceKind::Sata),
];

fn capture(board: &Board, volume: &dyn replicator_hal::Volume, device: &str) -> Result<()> {
    let invalid = |error: replicator_hal::InvalidPath| {
        replicator_hal::Error::new(
            replicator_hal::ErrorKind::InvalidInput,
            "naming",
            device,
            error.to_string(),
        )
    };
    let part = RelativePath::parse(format!("{device}.part")).map_err(invalid)?;
    let image = RelativePath::parse(format!("{device}.dd")).map_err(invalid)?;
    let mut source = board.devices.open_source(&DeviceName::parse(device)?)?;
    let mut file = volume.create_new(&part, 0o644)?;
    let (mut buffer, mut back) = (vec![0; 4096], vec![0; 4096]);
    let mut offset = 0;
    loop {
        let len = io::read_source(source.as_mut(), offset, &mut buffer)?;
        if len == 0 {
            break;
        }
        io::write_file(file.as_mut(), offset, &buffer[..len])?;
        offset += len as u64;
    }
    source.close()?;
    file.drop_cache()?;
    let mut read = 0;
    while read < offset {
        read += io::read_file(file.as_mut(), read, &mut back)? as u64;
    }
    file.close()?;
    volume.rename(&part, &image)?;
    volume.sync_dir(&RelativePath::root())
}

fn run(board: &Board) -> Result<()> {
    let holder = Holder::Device(DeviceName::parse("sda1")?);
    let region = Region { holder, offset_bytes: 0, len_bytes: 992 * KIB };
    let volume = board.file_systems.mount(&region, Access::ReadWrite)?;
    let tasks = MEDIA.map(|(name, device, _)| {
        let (board, volume) = (board.clone(), &*volume);
        let body = move || {
            if let Err(error) = capture(&board, volume, device) {
                board.records.console(&error.to_string());
            }
        };
        Task { name: name.to_owned(), body: Box::new(body) }
    });
    board.tasks.run(tasks.into());
    volume.unmount()
}

/// The processor time of this process.
fn processor_time() -> std::result::Result<Duration, nix::Error> {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    stay_on_a_core(0);
    let wanted: Option<u64> = std::env::args().nth(1).map(|text| text.parse()).transpose()?;
    let mut builder = WorldBuilder::new()
        .medium(Medium::drive(1024 * KIB, FileSystemContent::new(Kind::Ext4, vec![]).label("REPLICATOR")));
    for (name, device, kind) in MEDIA {
        let content = Content::Stamped(name.to_owned(), 0);
        builder = builder.medium(Medium::new(name, device, kind, 64 * KIB).content(content));
    }
    let (start, begun, mut runs, mut ops) = (Instant::now(), processor_time()?, 0_u64, 0);
    while wanted.map_or(start.elapsed().as_secs() < 3, |wanted| runs < wanted) {
        let world = builder.clone().seed(runs).build()?;
        ops += world.run(|board| run(&board)).ops;
        runs += 1;
    }
    let seconds = (processor_time()? - begun).as_secs_f64();
    println!(
        "{:.0} runs/s, {:.0} calls/s, {} calls per run",
        runs as f64 / seconds,
        ops as f64 / seconds,
        ops / runs.max(1)
    );
    if wanted.is_some() {
        return Ok(());
    }

    let world = builder.record_states(true).build()?;
    world.run(|board| run(&board)).value.transpose()?;
    let recorded = world.take_recorded();
    let (begun, mut states) = (processor_time()?, 0_u64);
    for survival in [Survival::None, Survival::All, Survival::DataLate, Survival::Subset(1)] {
        for state in &recorded {
            world.reboot_from(state, survival).drive_files()?;
            states += 1;
        }
    }
    let seconds = (processor_time()? - begun).as_secs_f64();
    println!("{:.0} crash states/s, booted and read", states as f64 / seconds);
    Ok(())
}
