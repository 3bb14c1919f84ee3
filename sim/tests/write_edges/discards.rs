//! What is written to a medium that can be discarded, counted in bytes.

use super::*;
use replicator_sim::model::hardware::identity::Discard;

const KIB: u64 = 1 << 10;
const LEN_BYTES: u64 = 4 << 20;

/// Writes an image of 4 MiB with data in its first 96 KiB and in 80 KiB at 2 MiB. Returns the world, the report, and how
/// many bytes were written and discarded.
fn write(discard: Discard, settings: &str) -> (World, Report, u64, u64) {
    let mut image = vec![0; LEN_BYTES as usize];
    image[..96 << 10].fill(7);
    image[2 << 20..][..80 << 10].fill(8);
    let settings = format!("[write]\nany_content = true\n{settings}");
    let drive =
        drive(vec![Entry::file("sdimage.dd", image), Entry::file("replicator.toml", settings.into_bytes())]);
    let medium = Medium::new("sd", "mmcblk0", DeviceKind::Sd, LEN_BYTES)
        .content(Content::Stamped("sd".into(), 0))
        .with(|identity| identity.discard = discard);
    let tuning = Tuning {
        chunk_len_bytes: 256 << 10,
        held_back_len_bytes: 64 * KIB,
        wiped_len_bytes: 64 * KIB,
        ..Tuning::default()
    };
    let (world, report) = run_with(WorldBuilder::new().keep_trace(true).medium(drive).medium(medium), tuning);
    let bytes = |name| {
        let trace = world.trace();
        let events = trace.events().filter(|event| event.op.name == name && *event.op.on == *"sd");
        events.map(|event| event.op.len_bytes).sum::<u64>()
    };
    let (written, discarded) = (bytes(OpName::Write), bytes(OpName::Discard));
    (world, report, written, discarded)
}

fn reported(report: &Report) -> (u64, u64) {
    let [outcome] = &report.outcomes[..] else { panic!("{:?}", report.lines()) };
    let End::Done(done) = &outcome.end else { panic!("{:?}", report.lines()) };
    let bytes = done.bytes.unwrap();
    assert_eq!(bytes.written + bytes.zeros + bytes.unread, LEN_BYTES);
    (bytes.written, bytes.zeros)
}

/// The placeholder for the start is written in addition to the image.
const PLACEHOLDER: u64 = 64 * KIB;

#[test]
fn only_data_is_written_to_a_medium_that_reads_as_zeros() {
    let (world, report, written, discarded) = write(Discard::Zeros, "");
    // The first 128 KiB and 128 KiB at 2 MiB: whole pieces of 64 KiB.
    assert_eq!(reported(&report), (256 * KIB, LEN_BYTES - 256 * KIB));
    assert_eq!((written, discarded), (256 * KIB + PLACEHOLDER, LEN_BYTES));
    assert!(world.medium_bytes("sd").unwrap().bytes(3 << 20, 1 << 20).iter().all(|byte| *byte == 0));
}

#[test]
fn every_byte_is_written_to_any_other_medium() {
    for discard in [Discard::Unsupported, Discard::Refused, Discard::Nothing, Discard::Ones] {
        let (_, report, written, _) = write(discard, "");
        assert_eq!(reported(&report), (LEN_BYTES, 0), "{discard:?}");
        assert_eq!(written, LEN_BYTES + PLACEHOLDER, "{discard:?}");
    }
}

#[test]
fn with_extent_all_every_byte_is_written_and_nothing_is_discarded() {
    let (_, report, written, discarded) = write(Discard::Zeros, "extent = \"all\"\n");
    assert_eq!(reported(&report), (LEN_BYTES, 0));
    assert_eq!((written, discarded), (LEN_BYTES + PLACEHOLDER, 0));
}

#[test]
fn zeros_that_the_medium_lacks_are_written_and_counted() {
    let (world, report, written, _) = write(Discard::Partly, "");
    let (counted, _) = reported(&report);
    // In each MiB one extent of a chunk lacks zeros. The placeholder is written twice.
    assert_eq!(written, counted + 2 * PLACEHOLDER);
    assert!(counted > 256 * KIB && counted < LEN_BYTES, "{counted}");
    assert!(world.medium_bytes("sd").unwrap().bytes(3 << 20, 1 << 20).iter().all(|byte| *byte == 0));
}

#[test]
fn writes_are_whole_chunks_at_multiples_of_their_length() {
    let (world, ..) = write(Discard::Unsupported, "");
    let trace = world.trace();
    let writes = trace.events().filter(|event| event.op.name == OpName::Write && *event.op.on == *"sd");
    let writes: Vec<_> = writes.map(|event| (event.op.offset_bytes, event.op.len_bytes)).collect();
    // The start is held back: it is written in parts, after its placeholder.
    let body: Vec<_> = writes.into_iter().filter(|(offset, _)| *offset >= 64 * KIB).collect();
    let chunk = 256 * KIB;
    for (offset, len) in &body {
        assert_eq!(offset % (64 * KIB), 0, "{offset}+{len}");
        assert!(*len == chunk || *offset == 64 * KIB || offset + len == LEN_BYTES, "{offset}+{len}");
    }
    assert_eq!(body.len() as u64, (LEN_BYTES - 64 * KIB).div_ceil(chunk));
}
