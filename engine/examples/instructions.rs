//! Does one small piece of work, chosen by its argument, so that `ci/bench --instructions` can count its instructions.
//!
//! `list` prints each with the work that only prepares its input, whose instructions are subtracted.

use replicator_engine::formats::codec::{
    Compression, Limits, XzEncoder, XzSettings, ZstdEncoder, ZstdSettings, decoder,
};
use replicator_engine::formats::digest::{Algorithm, Digest};
use replicator_engine::formats::tar::{Entry, EntryKind, Reader, ReaderLimits, Writer};
use replicator_engine::sanitise_rules::Rules;
use replicator_hal::{Compute, InodeFlags, Owner, RelativePath, Timestamp};
use std::error::Error;
use std::hint::black_box;
use std::io::{Read, Write};

const MIB: usize = 1 << 20;
/// A block.
const ZEROS: usize = 8 * MIB;
const ENTRIES: usize = 1000;

/// Name; the work whose instructions are subtracted, because it prepares the input; what is counted, and how many of them.
const WORK: [(&str, &str, &str, usize); 13] = [
    ("xz-encode-text", "text", "byte", MIB),
    ("xz-encode-noise", "noise", "byte", MIB),
    ("xz-encode-zeros", "nothing", "byte", ZEROS),
    // Those of a second block: they are only found to be zeros.
    ("find-zeros", "xz-encode-zeros", "byte", ZEROS),
    ("xz-decode-text", "xz-encode-text", "byte", MIB),
    ("xz-decode-zeros", "xz-encode-zeros", "byte", ZEROS),
    ("zstd-encode-text", "text", "byte", MIB),
    ("zstd-decode-text", "zstd-encode-text", "byte", MIB),
    ("md5", "text", "byte", MIB),
    ("sha256", "text", "byte", MIB),
    ("tar-write", "nothing", "entry", ENTRIES),
    ("tar-read", "tar-write", "entry", ENTRIES),
    ("sanitise-rules", "read-rules", "path", ENTRIES),
];

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).unwrap_or_default();
    match &*name {
        "nothing" => {}
        "list" => WORK.iter().for_each(|(name, base, unit, count)| println!("{name} {base} {unit} {count}")),
        "text" => drop(black_box(text(MIB))),
        "noise" => drop(black_box(noise(MIB))),
        "xz-encode-text" => drop(black_box(encoded(&text(MIB))?)),
        "xz-encode-noise" => drop(black_box(encoded(&noise(MIB))?)),
        "xz-encode-zeros" => drop(black_box(encoded(&vec![0; ZEROS])?)),
        "find-zeros" => drop(black_box(encoded(&vec![0; 2 * ZEROS])?)),
        "xz-decode-text" => decode(Compression::Xz, &encoded(&text(MIB))?)?,
        "xz-decode-zeros" => decode(Compression::Xz, &encoded(&vec![0; ZEROS])?)?,
        "zstd-encode-text" => drop(black_box(zstd_encoded(&text(MIB))?)),
        "zstd-decode-text" => decode(Compression::Zstd, &zstd_encoded(&text(MIB))?)?,
        "md5" => drop(black_box(Digest::of(Algorithm::Md5, &text(MIB)))),
        "sha256" => drop(black_box(Digest::of(Algorithm::Sha256, &text(MIB)))),
        "tar-write" => drop(black_box(archive()?)),
        "tar-read" => {
            let archive = archive()?;
            let mut reader = Reader::new(&archive[..], ReaderLimits::default());
            while black_box(reader.next_entry()?).is_some() {}
        }
        "read-rules" => drop(black_box(Rules::built_in()?)),
        "sanitise-rules" => {
            let rules = Rules::built_in()?;
            for number in 0..ENTRIES {
                black_box(rules.erasing(&path(number)?).is_some());
            }
        }
        other => return Err(format!("unknown work {other:?}; see: list").into()),
    }
    Ok(())
}

/// Lines that differ.
fn text(len_bytes: usize) -> Vec<u8> {
    let lines =
        (0_u64..).flat_map(|line| format!("{line} {:x}\n", line.wrapping_mul(2_654_435_761)).into_bytes());
    lines.take(len_bytes).collect()
}

fn noise(len_bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len_bytes / 8).flat_map(|_| next()).collect()
}

fn encoded(content: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoder = XzEncoder::new(Vec::new(), &XzSettings::default(), Compute::Inline)?;
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

fn zstd_encoded(content: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoder = ZstdEncoder::new(Vec::new(), &ZstdSettings::default(), Compute::Inline)?;
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

fn decode(compression: Compression, mut image: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut decoder = decoder(compression, &mut image, Compute::Inline, Limits::default())?;
    let mut buffer = vec![0; 64 << 10];
    while black_box(decoder.read(&mut buffer)?) > 0 {}
    Ok(())
}

fn path(number: usize) -> Result<RelativePath, Box<dyn Error>> {
    Ok(RelativePath::parse(format!("usr/share/package-{}/file-{number}", number / 10))?)
}

/// An archive of empty files.
fn archive() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut writer = Writer::new(Vec::new());
    for number in 0..ENTRIES {
        writer.append(&Entry {
            path: path(number)?,
            kind: EntryKind::File { len_bytes: 0, data: Vec::new() },
            mode: 0o644,
            owner: Owner { uid: 0, gid: 0 },
            modified: Timestamp::default(),
            xattrs: Vec::new(),
            flags: InodeFlags::none(),
        })?;
    }
    Ok(writer.finish()?)
}
