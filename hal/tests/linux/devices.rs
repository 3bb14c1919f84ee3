//! Sources and targets on loop devices.

use replicator_hal::contract::loop_media::{Bench, MIB, run};
use replicator_hal::linux::{KernelRoots, LinuxDevices};
use replicator_hal::{
    Access, BlockDevices, CacheBypass, DeviceKind, DeviceName, ErrorKind, FileSystems, Flavour, Format, io,
};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn loop_devices_are_listed_with_their_partitions() {
    let Some(bench) = Bench::new("loop_devices_are_listed_with_their_partitions") else { return };
    let medium = bench.medium("sd", 16 * MIB);
    medium.partition(4 * MIB, 8 * MIB);
    let found = bench.devices.list().unwrap().into_iter().find(|device| device.name == medium.name).unwrap();
    assert_eq!((found.kind, found.len_bytes, found.sector_len_bytes), (DeviceKind::Loop, 16 * MIB, 512));
    assert!(found.identity.unwrap().starts_with("loop:"));
    assert_eq!(found.in_use, None);
    let partition = &found.partitions[0];
    assert_eq!((partition.number, partition.start_bytes, partition.len_bytes), (1, 4 * MIB, 8 * MIB));
}

#[test]
fn paths_are_looked_up_and_must_be_block_devices() {
    let Some(bench) = Bench::new("paths_are_looked_up_and_must_be_block_devices") else { return };
    let medium = bench.medium("sd", MIB);
    let link = bench.directory.path().join("by-id");
    std::os::unix::fs::symlink(&medium.node, &link).unwrap();
    assert_eq!(bench.devices.by_path(&link).unwrap(), medium.name);
    let kind = |path: &str| bench.devices.by_path(Path::new(path)).unwrap_err().kind();
    assert_eq!(kind(medium.image.to_str().unwrap()), ErrorKind::WrongDevice);
    assert_eq!(kind("/dev/null"), ErrorKind::WrongDevice);
    assert_eq!(kind("/dev/no-such-device"), ErrorKind::NotFound);
}

#[test]
fn nothing_is_created_under_dev() {
    let Some(bench) = Bench::new("nothing_is_created_under_dev") else { return };
    let absent = DeviceName::parse("replicator-no-such-device").unwrap();
    assert_eq!(bench.devices.open_target(&absent).err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(bench.devices.open_source(&absent).err().unwrap().kind(), ErrorKind::NotFound);
    assert!(!Path::new("/dev/replicator-no-such-device").exists());
    let error = bench.devices.open_target(&DeviceName::parse("null").unwrap()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::WrongDevice);
}

#[test]
fn written_bytes_reach_the_medium() {
    let Some(bench) = Bench::new("written_bytes_reach_the_medium") else { return };
    let medium = bench.medium("sd", 48 * MIB + 512);
    let mut target = bench.devices.open_target(&medium.name).unwrap();
    assert_eq!(target.len_bytes(), 48 * MIB + 512);
    let content: Vec<u8> = (0..target.len_bytes()).map(|at| (at * 31 % 251) as u8).collect();
    // Odd lengths, so that nothing is aligned; longer than several write-back windows.
    for (index, chunk) in content.chunks(700_001).enumerate() {
        io::write_target(&mut *target, index as u64 * 700_001, chunk).unwrap();
    }
    let error = target.write_at(48 * MIB + 512, &[1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert_eq!(target.write_at(48 * MIB + 500, &[7; 100]).unwrap(), 12);
    io::write_target(&mut *target, 48 * MIB + 500, &content[(48 * MIB + 500) as usize..]).unwrap();
    let bypass = target.begin_verify().unwrap();
    assert!(matches!(bypass, CacheBypass::Direct | CacheBypass::Dropped));
    let mut back = vec![0; content.len()];
    assert_eq!(io::read_target(&mut *target, 0, &mut back).unwrap(), content.len());
    assert!(back == content, "the medium has other bytes");
    assert_eq!(target.read_at(48 * MIB + 512, &mut [0; 4]).unwrap(), 0);
    assert_eq!(std::fs::read(&medium.image).unwrap(), content);
    target.close().unwrap();
    target.close().unwrap();
    assert!(target.write_at(0, &[0]).is_err());
}

#[test]
fn at_most_two_windows_are_not_on_the_medium_before_a_sync() {
    let Some(bench) = Bench::new("at_most_two_windows_are_not_on_the_medium_before_a_sync") else { return };
    let medium = bench.medium("sd", 80 * MIB);
    let mut target = bench.devices.open_target(&medium.name).unwrap();
    for at in 0..80 {
        io::write_target(&mut *target, at * MIB, &vec![0x77; 1 << 20]).unwrap();
    }
    // The loop device gives what the kernel writes back to the file at once.
    let image = std::fs::read(&medium.image).unwrap();
    let written = image.iter().take_while(|byte| **byte == 0x77).count() as u64;
    assert!(written >= 48 * MIB, "only {written} of {} bytes are written", 80 * MIB);
    target.close().unwrap();
    assert!(std::fs::read(&medium.image).unwrap().iter().all(|byte| *byte == 0x77));
}

#[test]
fn zeroed_ranges_need_no_alignment() {
    let Some(bench) = Bench::new("zeroed_ranges_need_no_alignment") else { return };
    let medium = bench.medium("sd", 4 * MIB);
    let mut target = bench.devices.open_target(&medium.name).unwrap();
    io::write_target(&mut *target, 0, &vec![0xaa; 4 << 20]).unwrap();
    for (offset, len) in [(100, 50), (1000, 5000), (MIB - 7, 2 * MIB + 9), (4 * MIB - 3, 3)] {
        target.zero(offset, len).unwrap();
    }
    assert_eq!(target.zero(4 * MIB - 3, 4).unwrap_err().kind(), ErrorKind::NoSpace);
    target.close().unwrap();
    let image = std::fs::read(&medium.image).unwrap();
    let zeroed = |at: u64| {
        [(100, 50), (1000, 5000), (MIB - 7, 2 * MIB + 9), (4 * MIB - 3, 3)]
            .iter()
            .any(|(offset, len)| (*offset..offset + len).contains(&at))
    };
    let wrong = image.iter().enumerate().find(|(at, byte)| (**byte == 0) != zeroed(*at as u64));
    assert_eq!(wrong, None);
}

#[test]
fn verification_reads_the_medium_and_not_the_page_cache() {
    let Some(bench) = Bench::new("verification_reads_the_medium_and_not_the_page_cache") else { return };
    let medium = bench.medium("sd", 4 * MIB);
    let mut target = bench.devices.open_target(&medium.name).unwrap();
    io::write_target(&mut *target, 0, &vec![0x11; 1 << 20]).unwrap();
    target.sync().unwrap();
    // Another handle keeps the device open, so that its cache stays.
    let other = File::open(&medium.node).unwrap();
    other.read_at(&mut [0; 4096], 0).unwrap();
    File::options().write(true).open(&medium.image).unwrap().write_all_at(&[0x22; 4096], 0).unwrap();
    let mut buffer = [0; 4096];
    target.read_at(0, &mut buffer).unwrap();
    assert_eq!(buffer, [0x11; 4096], "the test needs a stale cache");
    target.begin_verify().unwrap();
    target.read_at(0, &mut buffer).unwrap();
    assert_eq!(buffer, [0x22; 4096]);
    // Again after `begin_verify`: no buffer of our own may be used.
    File::options().write(true).open(&medium.image).unwrap().write_all_at(&[0x33; 4096], 0).unwrap();
    target.read_at(0, &mut buffer).unwrap();
    assert_eq!(buffer, [0x33; 4096]);
    // A write ends this state, and the written bytes are read.
    io::write_target(&mut *target, 100, b"written").unwrap();
    let mut text = [0; 7];
    target.read_at(100, &mut text).unwrap();
    assert_eq!(&text, b"written");
    target.begin_verify().unwrap();
    target.read_at(100, &mut text).unwrap();
    assert_eq!(&text, b"written");
    target.close().unwrap();
}

#[test]
fn a_source_is_read_only_in_the_kernel_while_it_is_open() {
    let Some(bench) = Bench::new("a_source_is_read_only_in_the_kernel_while_it_is_open") else { return };
    let medium = bench.medium("sd", 8 * MIB);
    medium.partition(MIB, MIB);
    let partition = format!("{}p1", medium.node());
    let read_only = |node: &str| run("blockdev", &["--getro", node]) == "1";
    let mut source = bench.devices.open_source(&medium.name).unwrap();
    assert_eq!(source.len_bytes(), 8 * MIB);
    assert!(read_only(medium.node()) && read_only(&partition));
    let written = File::options().write(true).open(&medium.node).and_then(|node| node.write_at(&[1], 0));
    assert!(written.is_err());
    assert_eq!(bench.devices.open_target(&medium.name).err().unwrap().kind(), ErrorKind::Busy);
    let partition_name = DeviceName::parse(format!("{}p1", medium.name)).unwrap();
    assert_eq!(bench.devices.open_source(&partition_name).err().unwrap().kind(), ErrorKind::Busy);
    source.close().unwrap();
    assert!(!read_only(medium.node()) && !read_only(&partition));
    assert!(source.read_at(0, &mut [0; 1]).is_err());

    run("blockdev", &["--setro", medium.node()]);
    let region = medium.region(MIB, 4 * MIB);
    let format = Format { flavour: Flavour::Ext2, ..Format::default() };
    for region in [region, medium.whole()] {
        let error = bench.file_systems.format(&region, &format).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnly);
    }
    drop(bench.devices.open_source(&medium.name).unwrap());
    assert!(read_only(medium.node()), "it was read-only before");
    assert_eq!(bench.devices.open_target(&medium.name).err().unwrap().kind(), ErrorKind::ReadOnly);
}

#[test]
fn devices_in_use_are_busy() {
    let Some(bench) = Bench::new("devices_in_use_are_busy") else { return };
    let medium = bench.medium("sd", 16 * MIB);
    let first = bench.devices.open_target(&medium.name).unwrap();
    assert_eq!(bench.devices.open_target(&medium.name).err().unwrap().kind(), ErrorKind::Busy);
    drop(first);
    medium.mkfs(&["-t", "ext4"]);
    let point = bench.directory.path().join("elsewhere");
    std::fs::create_dir(&point).unwrap();
    run("mount", &[medium.node(), point.to_str().unwrap()]);
    let error = bench.devices.open_target(&medium.name).err();
    let listed = bench.devices.list().unwrap().into_iter().find(|device| device.name == medium.name);
    run("umount", &[point.to_str().unwrap()]);
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&format!("mounted at {}", point.display())), "{error}");
    assert_eq!(listed.unwrap().in_use, Some(format!("mounted at {}", point.display())));
    bench.devices.open_target(&medium.name).unwrap().close().unwrap();
}

/// The errors of a capture and a write of `name`.
fn refusals(bench: &Bench, name: &DeviceName) -> [String; 2] {
    let (source, target) = (bench.devices.open_source(name), bench.devices.open_target(name));
    [source.err().unwrap(), target.err().unwrap()].map(|error| {
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        error.to_string()
    })
}

#[test]
fn a_partition_that_is_mounted_in_another_namespace_keeps_its_disk_busy() {
    let test = "a_partition_that_is_mounted_in_another_namespace_keeps_its_disk_busy";
    let Some(bench) = Bench::new(test) else { return };
    let medium = bench.medium("sd", 16 * MIB);
    medium.partition(MIB, 8 * MIB);
    let partition = format!("{}p1", medium.node());
    run("mke2fs", &["-q", "-F", &partition]);
    let script = "mount \"$1\" /mnt && echo mounted && read line && umount /mnt";
    let mut holder = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", script, "holder", &partition])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let listed = bench.devices.list().unwrap().into_iter().find(|device| device.name == medium.name);
    let refused = refusals(&bench, &medium.name);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(line, "mounted\n");
    let who = format!("mounted at /mnt in the mount namespace of process {}", holder.id());
    assert!(listed.unwrap().in_use.unwrap().starts_with(&who));
    assert!(refused.iter().all(|refused| refused.contains(&who)), "{refused:?}");
    bench.devices.open_source(&medium.name).unwrap().close().unwrap();
    bench.devices.open_target(&medium.name).unwrap().close().unwrap();
}

#[test]
fn a_device_that_another_program_has_open_for_writing_is_busy() {
    let Some(bench) = Bench::new("a_device_that_another_program_has_open_for_writing_is_busy") else {
        return;
    };
    let medium = bench.medium("sd", 4 * MIB);
    // A plain open for writing makes no claim.
    for (redirection, words) in [("exec 3<>", "has it open for writing"), ("exec 3<", "")] {
        let script = format!("{redirection} \"$1\" && echo open && read line");
        let mut writer = Command::new("sh")
            .args(["-c", &script, "writer", medium.node()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(writer.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if words.is_empty() {
            // A program that only reads does not disturb.
            bench.devices.open_source(&medium.name).unwrap().close().unwrap();
            bench.devices.open_target(&medium.name).unwrap().close().unwrap();
        } else {
            let refused = refusals(&bench, &medium.name);
            let who = format!("process {} (sh) {words}", writer.id());
            assert!(refused.iter().all(|refused| refused.contains(&who)), "{refused:?}");
        }
        drop(writer.stdin.take());
        writer.wait().unwrap();
    }
    bench.devices.open_source(&medium.name).unwrap().close().unwrap();
}

#[test]
fn the_backing_of_a_loop_device_is_busy() {
    let Some(bench) = Bench::new("the_backing_of_a_loop_device_is_busy") else { return };
    let medium = bench.medium("sd", 16 * MIB);
    medium.partition(MIB, 8 * MIB);
    for behind in [medium.node().to_owned(), format!("{}p1", medium.node())] {
        let over = bench.attach(Path::new(&behind), &[]);
        let who = format!("behind {}", over.name);
        let refused = refusals(&bench, &medium.name);
        assert!(refused.iter().all(|refused| refused.contains(&who)), "{refused:?}");
        drop(over);
        bench.devices.open_source(&medium.name).unwrap().close().unwrap();
    }
}

#[test]
fn partitions_and_empty_devices_are_not_targets() {
    let Some(bench) = Bench::new("partitions_and_empty_devices_are_not_targets") else { return };
    let medium = bench.medium("sd", 8 * MIB);
    medium.partition(MIB, MIB);
    let partition = DeviceName::parse(format!("{}p1", medium.name)).unwrap();
    assert_eq!(bench.devices.open_target(&partition).err().unwrap().kind(), ErrorKind::WrongDevice);
    let mut source = bench.devices.open_source(&partition).unwrap();
    assert_eq!(source.len_bytes(), MIB);
    source.close().unwrap();
    let empty = bench.medium("empty", 0);
    assert_eq!(bench.devices.open_source(&empty.name).err().unwrap().kind(), ErrorKind::DeviceGone);
    assert_eq!(bench.devices.open_target(&empty.name).err().unwrap().kind(), ErrorKind::DeviceGone);
    bench.devices.reread_partitions(&empty.name).unwrap();
}

#[test]
fn without_direct_reads_the_cache_is_dropped() {
    let Some(bench) = Bench::new("without_direct_reads_the_cache_is_dropped") else { return };
    let medium = bench.medium("sd", 4 * MIB);
    // The second descriptor for direct reads is opened through /proc. Without it there is none.
    let roots = KernelRoots { proc: bench.directory.path().join("no-proc"), ..KernelRoots::default() };
    let mut target = LinuxDevices::new(roots).open_target(&medium.name).unwrap();
    io::write_target(&mut *target, 0, &[0x11; 8192]).unwrap();
    assert_eq!(target.begin_verify().unwrap(), CacheBypass::Dropped);
    let mut buffer = [0; 4096];
    target.read_at(0, &mut buffer).unwrap();
    assert_eq!(buffer, [0x11; 4096]);
    File::options().write(true).open(&medium.image).unwrap().write_all_at(&[0x22; 4096], 0).unwrap();
    assert_eq!(target.begin_verify().unwrap(), CacheBypass::Dropped);
    target.read_at(0, &mut buffer).unwrap();
    assert_eq!(buffer, [0x22; 4096]);
    target.close().unwrap();
}

#[test]
fn sectors_of_4096_bytes_are_supported() {
    let Some(bench) = Bench::new("sectors_of_4096_bytes_are_supported") else { return };
    let image = bench.directory.path().join("sata");
    File::create(&image).unwrap().set_len(64 * MIB).unwrap();
    let medium = bench.attach(&image, &["-b", "4096"]);
    let listed = bench.devices.list().unwrap().into_iter().find(|device| device.name == medium.name).unwrap();
    assert_eq!(listed.sector_len_bytes, 4096);
    let mut target = bench.devices.open_target(&medium.name).unwrap();
    let content: Vec<u8> = (0..100_000_u32).map(|at| (at % 253) as u8).collect();
    io::write_target(&mut *target, 1234, &content).unwrap();
    target.zero(5000, 6000).unwrap();
    target.begin_verify().unwrap();
    let mut back = vec![0; content.len()];
    io::read_target(&mut *target, 1234, &mut back).unwrap();
    target.close().unwrap();
    let mut expected = content;
    expected[5000 - 1234..11_000 - 1234].fill(0);
    assert!(back == expected);
    let region = medium.region(4 * MIB, 60 * MIB);
    bench.file_systems.format(&region, &Format { flavour: Flavour::Ext4, ..Format::default() }).unwrap();
    bench.file_systems.mount(&region, Access::ReadWrite).unwrap().unmount().unwrap();
    assert!(bench.file_systems.used_map(&region).unwrap().is_some());
    bench.assert_clean(&[&medium]);
}
