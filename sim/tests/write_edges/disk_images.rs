//! Disk images of every critical length are written correctly, and a single failure at any step leaves no wrong
//! success.

use super::*;
use std::io::Write as _;

const KIB: u64 = 1 << 10;

fn tuning() -> Tuning {
    Tuning {
        chunk_len_bytes: 16 << 10,
        held_back_len_bytes: 64 * KIB,
        wiped_len_bytes: 64 * KIB,
        ..Tuning::default()
    }
}

/// A drive with an image of any content.
fn drive_of_anything(name: &str, image: Vec<u8>) -> Medium {
    drive(vec![Entry::file(name, image), any_content()])
}

/// No byte of it is zero, and no two neighbours are equal.
fn image(len_bytes: u64) -> Vec<u8> {
    (0..len_bytes).map(|at| (at % 251) as u8 + 1).collect()
}

fn small_medium(len_bytes: u64) -> Medium {
    Medium::new("sd", "mmcblk0", DeviceKind::Sd, len_bytes).content(Content::Stamped("sd".into(), 0))
}

fn write(image: Vec<u8>, faults: Vec<FaultSpec>) -> (World, Report) {
    let drive = drive_of_anything("sdimage.dd", image);
    let builder = WorldBuilder::new().medium(drive).medium(small_medium(512 * KIB));
    run_with(faults.into_iter().fold(builder, WorldBuilder::fault), tuning())
}

const LENGTHS: [u64; 13] = [
    1,
    511,
    512,
    513,
    64 * KIB - 1,
    64 * KIB,
    64 * KIB + 1,
    80 * KIB,
    80 * KIB + 1,
    300_001,
    448 * KIB + 1,
    512 * KIB - 1,
    512 * KIB,
];

#[test]
fn images_of_every_length_are_written_to_the_last_byte_and_nothing_beyond() {
    for len_bytes in LENGTHS {
        let image = image(len_bytes);
        let (world, report) = write(image.clone(), Vec::new());
        assert_eq!(end_of(&report, "sd"), "ok", "{len_bytes}: {:?}", report.lines());
        let found = world.medium_bytes("sd").unwrap();
        assert!(found.bytes(0, len_bytes as usize) == image, "{len_bytes}");
        // An old backup table at the end is erased, too.
        let end_bytes = len_bytes.max(448 * KIB);
        let rest = found.bytes(end_bytes, (512 * KIB - end_bytes) as usize);
        assert!(rest.iter().all(|byte| *byte == 0), "{len_bytes}");
    }
}

#[test]
fn an_image_that_is_a_byte_too_long_never_touches_the_medium() {
    let (world, report) = write(image(512 * KIB + 1), Vec::new());
    assert_eq!(end_of(&report, "sd"), "R-TOOLARGE");
    assert_eq!(world.medium_bytes("sd").unwrap().bytes(0, 1), b"[");
}

#[test]
fn a_write_that_is_lost_anywhere_is_detected() {
    for len_bytes in LENGTHS.into_iter().filter(|len_bytes| *len_bytes > 512) {
        for lost in [512, len_bytes / 2, len_bytes - 1] {
            let start_bytes = lost.max(512) / 512 * 512;
            let kind = Fault::DropWrites { range: Some(ByteRange::at(start_bytes, 512)) };
            let (world, report) = write(image(len_bytes), vec![fault("sd", kind, Trigger::always())]);
            assert_eq!(end_of(&report, "sd"), "V-MISMATCH", "{len_bytes}, lost {lost}");
            assert!(!looks_bootable(&world, "sd"), "{len_bytes}, lost {lost}");
        }
    }
}

/// A single failure of each call on the medium: success, or a medium that does not look bootable, or an unchanged
/// one.
fn fail_every_call(file: &str, content: &[u8], medium_len_bytes: u64, ops: &[OpName]) {
    let mut reached = 0;
    for op in ops {
        for occurrence in 1..40 {
            let once = fault("sd", Fault::Fails, Trigger::nth(*op, occurrence));
            let builder = WorldBuilder::new()
                .medium(drive_of_anything(file, content.to_vec()))
                .medium(small_medium(medium_len_bytes))
                .fault(once);
            let (world, report) = run_with(builder, tuning());
            if world.faults_reached() != [true] {
                break;
            }
            reached += 1;
            let is_untouched = world.medium_bytes("sd").unwrap().bytes(0, 1) == b"[";
            // A failure after the last comparison concerns a medium that is written and verified.
            let is_over = matches!(op, OpName::Close | OpName::Unmount);
            assert!(
                report.status == Status::Success || is_untouched || is_over || !looks_bootable(&world, "sd"),
                "{op} {occurrence}: {:?}",
                report.lines()
            );
            if report.status == Status::Success {
                assert!(looks_bootable(&world, "sd"), "{op} {occurrence}");
            }
        }
    }
    assert!(reached > 2 * ops.len(), "{reached}");
}

#[test]
fn no_single_failure_leaves_an_unverified_disk_image_bootable() {
    let ops = [
        OpName::OpenTarget,
        OpName::Zero,
        OpName::Sync,
        OpName::Write,
        OpName::BeginVerify,
        OpName::Read,
        OpName::Close,
    ];
    fail_every_call("sdimage.dd", &image(150_000), 512 * KIB, &ops);
}

#[test]
fn no_single_failure_leaves_an_unverified_tarball_bootable() {
    let ops = [
        OpName::OpenTarget,
        OpName::Zero,
        OpName::Sync,
        OpName::Write,
        OpName::BeginVerify,
        OpName::Read,
        OpName::Format,
        OpName::Mount,
        OpName::Create,
    ];
    let content = super::archives::small_archive();
    fail_every_call("sdimage.tar", &content, MEDIUM_LEN_BYTES, &ops);
}

#[test]
fn a_small_file_that_decodes_to_too_many_bytes_is_refused_early() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        encoder.write_all(&[0; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let drive = drive_of_anything("sdimage.dd.gz", bomb);
    let builder = WorldBuilder::new().medium(drive).medium(small_medium(512 * KIB));
    let (world, report) = run_with(builder, tuning());
    assert_eq!(end_of(&report, "sd"), "R-TOOLARGE");
    let text = report.lines().join("");
    assert!(text.contains("more than the 512.0 KiB"), "{text}");
    assert_eq!(world.medium_bytes("sd").unwrap().bytes(0, 1), b"[");
}
