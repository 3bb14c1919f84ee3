//! Finds the parts of a block that do not compress: already compressed or encrypted data, pictures, random bytes.
//!
//! LZMA saves bytes in two ways: it codes bytes by their frequency after the upper three bits of the byte before, and it
//! replaces strings that occurred before. A cell of the block is incompressible if both would save at most a few percent
//! of it. If in doubt, it is compressible.
//!
//! All numbers are integers, so that every machine makes the same file.

use std::ops::Range;

/// Length of a cell. Enough bytes for a reliable estimate.
const CELL_BYTES: usize = 64 * 1024;
/// Shorter runs of incompressible cells are compressed: what follows them would lose its dictionary.
const RUN_MIN_CELLS: usize = 8;
/// Contexts of LZMA's literal coder with the presets' `lc=3`.
const CONTEXTS: usize = 8;
/// One in this many strings is compared with those before.
const SAMPLED_ONE_IN: usize = 64;
/// Slots for strings; about as many as a block of 4 MiB has samples.
const SLOTS: usize = 1 << 16;

/// A part of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) range: Range<usize>,
    pub(super) is_compressible: bool,
}

/// Divides `content` into parts that compress and parts that do not.
pub(super) fn parts(content: &[u8]) -> Vec<Part> {
    let mut probe = Probe { slots: Vec::new() };
    let cells: Vec<bool> = content.chunks(CELL_BYTES).map(|cell| probe.is_compressible(cell)).collect();
    let mut parts: Vec<Part> = Vec::new();
    let mut at = 0;
    for run in cells.chunk_by(|one, other| one == other) {
        let range = at..(at + run.len() * CELL_BYTES).min(content.len());
        at = range.end;
        let is_compressible = run[0] || run.len() < RUN_MIN_CELLS.min(cells.len());
        match parts.last_mut() {
            Some(last) if last.is_compressible == is_compressible => last.range.end = range.end,
            _ => parts.push(Part { range, is_compressible }),
        }
    }
    parts
}

struct Probe {
    /// Strings of incompressible cells, by a hash; empty before the first one.
    slots: Vec<u32>,
}

impl Probe {
    fn is_compressible(&mut self, cell: &[u8]) -> bool {
        // Too few bytes for an estimate.
        cell.len() < CELL_BYTES || !is_flat(cell) || !is_flat_in_contexts(cell) || self.repeats(cell)
    }

    /// Whether more than one in 64 of the sampled strings of eight bytes occurred before. Strings are chosen by their hash
    /// and not by their place, so that a repetition at any distance chooses the same ones.
    fn repeats(&mut self, cell: &[u8]) -> bool {
        self.slots.resize(SLOTS, 0);
        let (mut sampled, mut seen) = (0, 0);
        let mut value = 0_u64;
        for (index, &byte) in cell.iter().enumerate() {
            value = value << 8 | u64::from(byte);
            let hash = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            // Runs of one byte would be chosen always or never; the frequencies count them.
            if index < 7 || hash >> 58 != 0 || value == value.rotate_left(8) {
                continue;
            }
            let (slot, tag) = ((hash >> 42) as usize % SLOTS, (hash >> 10) as u32 | 1);
            sampled += 1;
            seen += usize::from(self.slots[slot] == tag);
            self.slots[slot] = tag;
        }
        // A cell with few different strings has few samples, or many equal ones.
        seen * 64 > sampled || sampled * 4 * SAMPLED_ONE_IN < CELL_BYTES
    }
}

/// Whether a sample of the bytes has about equal frequencies. It excludes most compressible cells with little work.
fn is_flat(cell: &[u8]) -> bool {
    let mut counts = [0_u32; 256];
    let mut total = 0_u64;
    // A prime, because data often has periods of powers of two.
    for &byte in cell.iter().step_by(13) {
        counts[usize::from(byte)] += 1;
        total += 1;
    }
    let squares: u64 = counts.iter().map(|&count| u64::from(count).pow(2)).sum();
    // The sum of squares of a flat distribution is total²/256; chance adds `total`.
    squares * 256 * 4 <= total.pow(2) * 5 + total * 256 * 4
}

/// The same for all bytes, apart for each context of LZMA's literal coder. The limit of 10 % more squares is about 1 % of
/// the length.
fn is_flat_in_contexts(cell: &[u8]) -> bool {
    let mut counts = [[0_u32; 256]; CONTEXTS];
    let mut before = 0_u8;
    for &byte in cell {
        counts[usize::from(before >> 5)][usize::from(byte)] += 1;
        before = byte;
    }
    // Sum over the contexts of 256 · squares / total, which is the length for a flat distribution; chance adds 256 each.
    let sum: u64 = counts
        .iter()
        .map(|counts| {
            let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
            let squares: u64 = counts.iter().map(|&count| u64::from(count).pow(2)).sum();
            256 * squares / total.max(1)
        })
        .sum();
    sum <= (cell.len() + cell.len() / 10 + 256 * CONTEXTS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn random(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    fn is_compressible(content: &[u8]) -> bool {
        let parts = parts(content);
        assert_eq!(parts.len(), 1, "{parts:?}");
        parts[0].is_compressible
    }

    #[test]
    fn random_and_compressed_bytes_are_incompressible() {
        for seed in 0..20 {
            assert!(!is_compressible(&random(1 << 20, seed)), "{seed}");
        }
        let noise = random(3 << 20, 99);
        let word = |choice: &[u8]| {
            let number = usize::from(choice[0]) << 4 | usize::from(choice[1] & 15);
            &noise[number * 7..][..2 + number % 9]
        };
        let text: Vec<u8> = noise.chunks_exact(2).flat_map(word).copied().collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&text).unwrap();
        let mut xz = xz2::write::XzEncoder::new(Vec::new(), 0);
        xz.write_all(&text).unwrap();
        for (name, packed) in [("gzip", gzip.finish().unwrap()), ("xz", xz.finish().unwrap())] {
            assert!(packed.len() > 2 << 20 && packed.len() < text.len() / 4 * 3, "{name}: {}", packed.len());
            assert!(!is_compressible(&packed[..2 << 20]), "{name}");
        }
    }

    #[test]
    fn what_compresses_by_frequency_by_context_or_by_repetition_is_compressible() {
        let noise = random(1 << 20, 1);
        let text: Vec<u8> = noise.iter().map(|byte| b'a' + byte % 16).collect();
        let seven_bits: Vec<u8> = noise.iter().map(|byte| byte & 0x7f).collect();
        // All bytes occur equally often, each near the one before.
        let mut walk = 0_u8;
        let smooth: Vec<u8> = noise
            .iter()
            .map(|byte| {
                walk = walk.wrapping_add(byte % 31).wrapping_sub(15);
                walk
            })
            .collect();
        let table: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        let numbers: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
        let short_period = noise[..3000].repeat(400);
        // A repetition at a distance that is no multiple of anything.
        let again = [&noise[..], &[0], &noise[..]].concat();
        for (name, content) in [
            ("zeros", &vec![0; 1 << 20]),
            ("text", &text),
            ("seven bits", &seven_bits),
            ("smooth", &smooth),
            ("table", &table),
            ("numbers", &numbers),
            ("short period", &short_period),
        ] {
            assert!(is_compressible(content), "{name}");
        }
        let parts = parts(&again);
        assert!(
            parts.len() == 2 && parts[0] == Part { range: 0..1 << 20, is_compressible: false },
            "{parts:?}"
        );
    }

    #[test]
    fn parts_cover_the_block_in_order_and_short_runs_are_compressed() {
        let noise = random(2 << 20, 3);
        let text = vec![b'x'; 1 << 20];
        let part = |range, is_compressible| Part { range, is_compressible };
        let mixed = [&text[..], &noise, &text].concat();
        let expected =
            vec![part(0..1 << 20, true), part(1 << 20..3 << 20, false), part(3 << 20..4 << 20, true)];
        assert_eq!(parts(&mixed), expected);
        let short = [&text[..], &noise[..4 * CELL_BYTES], &text].concat();
        assert_eq!(parts(&short), [part(0..short.len(), true)]);
        assert_eq!(parts(b""), []);
        assert_eq!(parts(b"x"), [part(0..1, true)]);
        // The rest behind the last whole cell is compressed.
        assert_eq!(parts(&noise[..CELL_BYTES + 1]), [part(0..CELL_BYTES + 1, true)]);
        assert_eq!(parts(&noise[..CELL_BYTES]), [part(0..CELL_BYTES, false)]);
    }
}
