//! The layout of the partitions on the media of scenarios, and the purpose of each.

use crate::scenario::composition::{Gap, Holds, PartitionSpec, Scheme};
use crate::scenario::schema::{Content, FileSpec, MediumSpec, Size};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Media shorter than this have everything nearer to the start.
const SMALL_LEN_BYTES: u64 = 6 * MIB;
/// Media shorter than this are packed as tightly as their files allow: most of the time of a small run is spent on
/// bytes.
const TINY_LEN_BYTES: u64 = 3 * MIB;
/// Room for the copy of a GPT at the end.
const GPT_TAIL_BYTES: u64 = 64 << 10;
/// Room for the table of a logical partition.
const LOGICAL_HEAD_BYTES: u64 = 64 << 10;
const SECTOR: u64 = 512;
/// Length of a GPT with its usual number of entries; that of an MBR is shorter.
const TABLE_LEN_BYTES: u64 = 34 * SECTOR;

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Number as the kernel counts; 0 for a file system that fills the medium.
    pub number: u32,
    /// Start on the medium.
    pub start_bytes: u64,
    /// Length.
    pub len_bytes: u64,
    /// Whether the scenario lists it, with its own secrets.
    pub is_listed: bool,
    /// Its description in the scenario.
    pub spec: PartitionSpec,
}

impl Part {
    /// What it holds.
    pub fn holds(&self) -> Holds {
        self.spec.holds
    }

    /// End on the medium.
    pub fn end_bytes(&self) -> u64 {
        self.start_bytes + self.len_bytes
    }
}

/// A medium with partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The table.
    pub scheme: Scheme,
    /// Identity of the disk in the table: 8 hex digits (MBR) or a GUID (GPT).
    pub disk_id: Option<String>,
    /// The bytes before the first partition.
    pub gap: Gap,
    /// The partitions.
    pub parts: Vec<Part>,
}

fn part(number: u32, holds: Holds, start_bytes: u64, end_bytes: u64) -> Part {
    let len_bytes = end_bytes.saturating_sub(start_bytes);
    Part { number, start_bytes, len_bytes, is_listed: false, spec: PartitionSpec::new(holds) }
}

impl Layout {
    /// The layout of a medium; `None` if it has no partitions.
    ///
    /// # Errors
    /// The error in the list of partitions: the index of the partition, and the reason.
    pub fn of_medium(spec: &MediumSpec) -> Result<Option<Self>, (usize, String)> {
        let mut layout = match spec.partitions.is_empty() {
            true => Self::of(spec.content, spec.len.0),
            false => Some(Self::listed(spec.scheme, &spec.partitions, spec.len.0)?),
        };
        if let Some(layout) = &mut layout {
            layout.disk_id.clone_from(&spec.disk_id);
            layout.gap = spec.gap;
            // Properties of the medium's root file system apply to all root file systems that do not set their own.
            for part in layout.parts.iter_mut().filter(|part| part.holds() == Holds::Rootfs) {
                part.spec.dirty |= spec.dirty;
                part.spec.damage = part.spec.damage.or(spec.damage);
                part.spec.var_log_link = part.spec.var_log_link.take().or_else(|| spec.var_log_link.clone());
            }
        }
        Ok(layout)
    }

    /// The layout of the medium that an image contains; `None` if it has no partitions.
    ///
    /// # Errors
    /// As [`Layout::of_medium`].
    pub fn of_image(file: &FileSpec, len_bytes: u64) -> Result<Option<Self>, (usize, String)> {
        if file.partitions.is_empty() {
            return Ok(file.image.and_then(|content| Self::of(content, len_bytes)));
        }
        let layout = Self::listed(file.scheme, &file.partitions, len_bytes)?;
        Ok(Some(Self { disk_id: file.disk_id.clone(), gap: file.gap, ..layout }))
    }

    /// The layout of a list of partitions on a medium of this length.
    fn listed(scheme: Scheme, specs: &[PartitionSpec], len_bytes: u64) -> Result<Self, (usize, String)> {
        match scheme {
            Scheme::None if specs.len() > 1 => {
                return Err((1, "without a table there is one file system only".into()));
            }
            Scheme::Mbr if specs.len() > 4 => {
                return Err((4, "an MBR has 4 entries; write scheme = \"logical\" or \"gpt\"".into()));
            }
            _ => {}
        }
        let mut parts: Vec<Part> = Vec::new();
        let end = if scheme == Scheme::Gpt { len_bytes.saturating_sub(GPT_TAIL_BYTES) } else { len_bytes };
        // The default start of the first partition, and the first possible start: behind the table.
        let usual = if scheme == Scheme::None { 0 } else { MIB.min(len_bytes / 8) / SECTOR * SECTOR };
        let mut next = if scheme == Scheme::None { 0 } else { TABLE_LEN_BYTES };
        for (index, spec) in specs.iter().enumerate() {
            let wrong = |what: String| Err((index, what));
            let number = match (spec.number, parts.last()) {
                (Some(number), _) => number,
                (None, _) if scheme == Scheme::None => 0,
                (None, None) => 1,
                (None, Some(before)) if scheme == Scheme::Logical => (before.number + 1).max(5),
                (None, Some(before)) => before.number + 1,
            };
            let head = if scheme == Scheme::Logical && number >= 5 { LOGICAL_HEAD_BYTES } else { 0 };
            let earliest = if index == 0 { usual.max(next) } else { next };
            let start_bytes = spec.start.map_or(earliest + head, |start| start.0);
            let Some(len_bytes) = spec.len.map(|len| len.0).or(match index + 1 == specs.len() {
                true => end.checked_sub(start_bytes),
                false => None,
            }) else {
                return wrong("len is missing; only the last partition may omit it".into());
            };
            if start_bytes % SECTOR != 0 || len_bytes % SECTOR != 0 || len_bytes == 0 {
                return wrong("start and len are whole sectors of 512 bytes".into());
            }
            if start_bytes < next || parts.iter().any(|before| before.number == number) {
                return wrong(format!("partition {number} overlaps one before it, or has its number"));
            }
            if start_bytes.saturating_add(len_bytes) > end {
                return wrong(format!("partition {number} ends behind the end of the medium at byte {end}"));
            }
            next = start_bytes + len_bytes;
            parts.push(Part { number, start_bytes, len_bytes, is_listed: true, spec: spec.clone() });
        }
        Ok(Self { scheme, disk_id: None, gap: Gap::default(), parts })
    }

    /// The layout of `content` on a medium of this length; `None` if it has no partitions.
    pub fn of(content: Content, len_bytes: u64) -> Option<Self> {
        // The start of a single partition, and the start and the end of the first of two.
        let (single, start, between) = match len_bytes {
            0..TINY_LEN_BYTES if content == Content::RootAndData => (64 * KIB, 64 * KIB, 704 * KIB),
            0..TINY_LEN_BYTES => (64 * KIB, 64 * KIB, 256 * KIB),
            TINY_LEN_BYTES..SMALL_LEN_BYTES => (MIB, MIB / 2, MIB),
            _ => (4 * MIB, MIB, 4 * MIB),
        };
        let gpt_end = len_bytes.saturating_sub(GPT_TAIL_BYTES);
        let two = |first, second, end| vec![part(1, first, start, between), part(2, second, between, end)];
        let (scheme, parts) = match content {
            Content::Blank | Content::Stamped => return None,
            Content::Single | Content::Rootfs => {
                (Scheme::Mbr, vec![part(1, Holds::Rootfs, single, len_bytes)])
            }
            Content::SingleGpt => (Scheme::Gpt, vec![part(1, Holds::Rootfs, single, gpt_end)]),
            Content::Data => (Scheme::Mbr, vec![part(1, Holds::Data, single, len_bytes)]),
            Content::BootAndRoot => (Scheme::Mbr, two(Holds::Boot, Holds::Rootfs, len_bytes)),
            Content::Gpt => (Scheme::Gpt, two(Holds::Boot, Holds::Rootfs, gpt_end)),
            Content::RootAndData => (Scheme::Mbr, two(Holds::Rootfs, Holds::Data, len_bytes)),
            Content::Logical if len_bytes < TINY_LEN_BYTES => {
                let parts = vec![
                    part(1, Holds::Boot, 64 * KIB, 256 * KIB),
                    part(5, Holds::Rootfs, 320 * KIB, 896 * KIB),
                    part(6, Holds::Data, 960 * KIB, len_bytes),
                ];
                (Scheme::Logical, parts)
            }
            Content::Logical => {
                let parts = vec![
                    part(1, Holds::Boot, MIB, 2 * MIB),
                    part(5, Holds::Rootfs, 3 * MIB, 5 * MIB + MIB / 2),
                    part(6, Holds::Data, 6 * MIB, len_bytes),
                ];
                (Scheme::Logical, parts)
            }
        };
        Some(Self { scheme, disk_id: None, gap: Gap::default(), parts })
    }

    /// Where the first partition starts.
    pub fn first_start(&self) -> u64 {
        self.parts.iter().map(|part| part.start_bytes).min().unwrap_or(0)
    }

    /// The first partition with a root file system.
    pub fn rootfs(&self) -> Option<&Part> {
        self.parts.iter().find(|part| part.holds() == Holds::Rootfs)
    }

    /// The partition with this number.
    pub fn part(&self, number: u32) -> Option<&Part> {
        self.parts.iter().find(|part| part.number == number)
    }
}

impl MediumSpec {
    /// Whether it has a root file system.
    pub fn has_rootfs(&self) -> bool {
        match self.partitions.is_empty() {
            true => !matches!(self.content, Content::Blank | Content::Stamped | Content::Data),
            false => self.partitions.iter().any(|part| part.holds == Holds::Rootfs),
        }
    }
}

impl FileSpec {
    /// Default length of the medium that an image contains.
    pub const IMAGE_LEN: Size = Size(8 << 20);

    /// Whether it is an image of a medium.
    pub fn is_image(&self) -> bool {
        self.image.is_some() || !self.partitions.is_empty()
    }

    /// Length of the medium in it, for disk images.
    pub fn shown_len(&self) -> Size {
        self.image_len.unwrap_or(Self::IMAGE_LEN)
    }
}
