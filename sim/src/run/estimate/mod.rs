//! How long a capture and a write of typical media would take on boards of several classes.
//!
//! No board is measured here. The engine captures and writes two small media on the simulated board, one twice as large as
//! the other, with the sizes of a real run (chunks of 1 MiB). The calls of each step are known from that; each takes the time
//! that its device needs for it, and the computing that belongs to its bytes. The difference of the two media gives the time
//! of a typical medium, because every step takes a fixed time and a time for each used byte.
//!
//! Within a step, the task reads, writes and compares; codecs and the digest of an image run in other threads. So a step takes
//! the longest of three times: what the task does, one after the other; the digest; all computing, spread over all cores.
//!
//! Not in it: work of the kernel, seeks and retries; the bytes that mkfs, mount and fsck move; time until the drive is found.

mod parts;
mod small;

use parts::{BOARDS, BoardClass, Core, SATA, SD, USB2_STICK};
use replicator_hal::DeviceKind;
use small::{Coding, Step};
use std::collections::BTreeMap;

/// Length of the smaller medium, and its files. The larger one has twice as much of both.
const SMALL: (u64, u64) = (16 << 20, 4 << 20);

/// How a medium is captured.
struct Capture {
    /// It has a boot partition, and becomes a disk image; otherwise a tarball.
    several_partitions: bool,
    codec: Codec,
    /// The media that are captured so. Their lines differ in speed and length only.
    media: &'static [Typical],
}

/// How an image is compressed.
#[derive(Clone, Copy)]
enum Codec {
    Xz,
    Zstd,
}

/// A typical medium, of which a fourth is used.
struct Typical {
    about: &'static str,
    kind: DeviceKind,
    len_bytes: f64,
}

impl Codec {
    /// Its name, and the drive's settings for it.
    fn settings(self) -> (&'static str, &'static str) {
        match self {
            Self::Xz => ("xz", ""),
            Self::Zstd => ("zstd", "[capture]\ncompress = \"zstd\"\n"),
        }
    }

    /// What a core encodes and decodes in a second.
    fn rates(self, core: &Core) -> (f64, f64) {
        match self {
            Self::Xz => (core.xz_encode, core.xz_decode),
            Self::Zstd => (core.zstd_encode, core.zstd_decode),
        }
    }
}

const SD_4_GB: Typical = Typical { about: "SD 4 GB, one partition", kind: DeviceKind::Sd, len_bytes: 4e9 };
const EMMC_4_GB: Typical =
    Typical { about: "eMMC 4 GB, two partitions", kind: DeviceKind::Emmc, len_bytes: 4e9 };
const SD_8_GB: Typical = Typical { about: "SD 8 GB, two partitions", kind: DeviceKind::Sd, len_bytes: 8e9 };
const SATA_8_GB: Typical =
    Typical { about: "SATA 8 GB, two partitions", kind: DeviceKind::Sata, len_bytes: 8e9 };

const CAPTURES: [Capture; 4] = [
    Capture { several_partitions: false, codec: Codec::Xz, media: &[SD_4_GB] },
    Capture { several_partitions: false, codec: Codec::Zstd, media: &[SD_4_GB] },
    Capture { several_partitions: true, codec: Codec::Xz, media: &[EMMC_4_GB, SD_8_GB, SATA_8_GB] },
    Capture { several_partitions: true, codec: Codec::Zstd, media: &[EMMC_4_GB, SD_8_GB, SATA_8_GB] },
];

/// The time of a step, in seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Time {
    drive: f64,
    medium: f64,
    /// Codecs, on one core.
    codec: f64,
    /// Digests of images, in a thread of its own.
    digest: f64,
    /// Digests of files and of what is read back, in the task.
    own: f64,
}

impl Time {
    fn of(step: &Step, board: &BoardClass, (codec, kind): (Codec, DeviceKind)) -> Self {
        let medium = match kind {
            DeviceKind::Emmc => board.emmc,
            DeviceKind::Sd => SD,
            _ => SATA,
        };
        let Coding { encoded, decoded, zeros, digested, hashed, compared } = step.coding;
        let core = &board.core;
        let (encode, decode) = codec.rates(core);
        Self {
            drive: step.drive.seconds(USB2_STICK),
            medium: step.medium.seconds(medium),
            codec: encoded / encode + decoded / decode + zeros / core.zeros,
            digest: digested / core.md5,
            own: hashed / core.md5 + compared / core.xxh3,
        }
    }

    /// The time for a medium of `scale` times the length of the smaller one: a line through this time for the smaller one and
    /// `larger` for the one of twice its length.
    fn at(self, larger: Self, scale: f64) -> Self {
        let line = |small: f64, large: f64| (small + (large - small) * (scale - 1.0)).max(0.0);
        Self {
            drive: line(self.drive, larger.drive),
            medium: line(self.medium, larger.medium),
            codec: line(self.codec, larger.codec),
            digest: line(self.digest, larger.digest),
            own: line(self.own, larger.own),
        }
    }

    /// The time that passes.
    fn wall(self, cores: f64) -> f64 {
        let task = self.drive + self.medium + self.own;
        task.max(self.digest).max((self.codec + self.digest + self.own) / cores)
    }
}

/// The steps of a capture or a write on a board, in their order.
fn steps(
    [small, large]: [&[Step]; 2],
    scale: f64,
    board: &BoardClass,
    how: (Codec, DeviceKind),
) -> Vec<(String, Time)> {
    let times: BTreeMap<&str, Time> =
        small.iter().map(|step| (&*step.name, Time::of(step, board, how))).collect();
    let at_scale = |step: &Step| {
        let first = times.get(&*step.name).copied().unwrap_or_default();
        (step.name.clone(), first.at(Time::of(step, board, how), scale))
    };
    large.iter().map(at_scale).collect()
}

/// The table, in Markdown: minutes and seconds.
///
/// # Errors
/// If a job does not end in success.
pub fn table() -> Result<String, String> {
    let mut text = String::from(
        "| medium, a fourth used | codec | board | job | time | drive | medium | codec on all cores | longest step |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for capture in &CAPTURES {
        let small = small::run(capture, SMALL.0, SMALL.1)?;
        let large = small::run(capture, 2 * SMALL.0, 2 * SMALL.1)?;
        for medium in capture.media {
            let scale = medium.len_bytes / SMALL.0 as f64;
            for board in &BOARDS {
                for (what, runs) in
                    [("capture", [&*small.capture, &large.capture]), ("write", [&small.write, &large.write])]
                {
                    let steps = steps(runs, scale, board, (capture.codec, medium.kind));
                    let codec = capture.codec.settings().0;
                    let start = format!("| {} | {codec} | {} | {what} ", medium.about, board.name);
                    text.push_str(&(start + &line(board, &steps)));
                }
            }
        }
    }
    Ok(text)
}

/// The times of a line.
fn line(board: &BoardClass, steps: &[(String, Time)]) -> String {
    let sum = |part: fn(&Time) -> f64| steps.iter().map(|(_, time)| part(time)).sum::<f64>();
    let wall = |time: &Time| time.wall(board.cores);
    let total: f64 = steps.iter().map(|(_, time)| wall(time)).sum();
    let longest = steps.iter().max_by(|(_, one), (_, other)| wall(one).total_cmp(&wall(other)));
    let longest = longest.map(|(name, time)| format!("{name} {}", clock(wall(time)))).unwrap_or_default();
    format!(
        "| {} | {} | {} | {} | {longest} |\n",
        clock(total),
        clock(sum(|time| time.drive)),
        clock(sum(|time| time.medium)),
        clock(sum(|time| time.codec) / board.cores),
    )
}

/// Minutes and seconds.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
