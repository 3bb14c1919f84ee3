//! Defects of a medium itself: fake capacity, latent errors, writes that land elsewhere.
//!
//! The defects are between the device and the media, so that only a read past the host's caches can see them. The
//! media always hold what a reader finds after a power cycle; until then, a fake card cache some reads from its
//! write-back cache. Dropped writes and flipped bits are in [`crate::model::hardware::disk::Disk`].

use crate::model::bytes::pages::{Pages, SECTOR_LEN};
use crate::model::time::cause::{Caused, FaultId};
use replicator_hal::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

const SECTOR: u64 = SECTOR_LEN as u64;

/// What a card with less flash than it reports does with writes behind its real end. The names are those of f3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FakeKind {
    /// They are dropped, and read as zeros.
    Limbo,
    /// They wrap to the start of the flash.
    Wraparound,
    /// Addresses wrap at twice the real size, and writes to the upper half are dropped.
    Chain,
}

/// A fake capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fake {
    /// The real size of the flash.
    pub real_bytes: u64,
    /// What happens behind the real end.
    pub kind: FakeKind,
    /// Size of the write-back cache, which holds what was written last.
    pub cache_bytes: u64,
    /// The fault.
    pub by: FaultId,
}

/// All that is wrong with one medium.
#[derive(Debug, Clone, Default)]
pub struct Defects {
    /// It holds less than it reports.
    pub fake: Option<Fake>,
    /// Writes into the range land at the offset instead.
    pub misdirected: Vec<(Range<u64>, u64, FaultId)>,
    /// Faults that affected a write.
    pub(crate) met: BTreeSet<FaultId>,
    /// Sectors that cannot be read until they are written again.
    latent: BTreeMap<u64, FaultId>,
    /// The card's write-back cache: sectors, and the order in which they came.
    cache: BTreeMap<u64, [u8; SECTOR_LEN]>,
    order: VecDeque<u64>,
}

impl Defects {
    /// Makes the sectors of a range unreadable until they are written.
    pub fn add_latent(&mut self, range: Range<u64>, fault: FaultId) {
        self.latent.extend((range.start / SECTOR..range.end.div_ceil(SECTOR)).map(|sector| (sector, fault)));
    }

    /// Whether a write may have another effect than a correct one.
    pub(crate) fn any(&self) -> bool {
        self.fake.is_some() || !self.misdirected.is_empty() || !self.latent.is_empty()
    }

    /// Performs one write on the media, with the medium's defects.
    pub(crate) fn write(&mut self, media: &mut Pages, offset_bytes: u64, data: &[u8]) {
        let mut done = 0;
        while done < data.len() {
            let at = offset_bytes + done as u64;
            let len = ((SECTOR - at % SECTOR) as usize).min(data.len() - done);
            self.write_sector(media, at, &data[done..done + len]);
            done += len;
        }
    }

    fn write_sector(&mut self, media: &mut Pages, at: u64, piece: &[u8]) {
        self.met.extend(self.latent.remove(&(at / SECTOR)));
        self.put_in_cache(media, at, piece);
        let misdirected = self.misdirected.iter().find(|(from, ..)| from.contains(&at));
        self.met.extend(misdirected.map(|(.., fault)| *fault));
        let at = misdirected.map_or(at, |(from, to, _)| to + (at - from.start));
        let Some(fake) = &self.fake else {
            media.write(at, piece);
            return;
        };
        let (period, physical) = match fake.kind {
            FakeKind::Limbo => (u64::MAX, at),
            FakeKind::Wraparound => (fake.real_bytes, at % fake.real_bytes.max(SECTOR)),
            FakeKind::Chain => (2 * fake.real_bytes, at % (2 * fake.real_bytes).max(SECTOR)),
        };
        if at >= fake.real_bytes {
            self.met.insert(fake.by);
        }
        if physical >= fake.real_bytes {
            return;
        }
        // One flash cell has several addresses: all of them read the same.
        let mut alias = physical;
        while alias < media.len_bytes() {
            media.write(alias, piece);
            alias = alias.saturating_add(period.max(SECTOR));
        }
    }

    fn put_in_cache(&mut self, media: &Pages, at: u64, piece: &[u8]) {
        let Some(room) = self.fake.as_ref().map(|fake| (fake.cache_bytes / SECTOR) as usize) else { return };
        let (sector, start) = (at / SECTOR, (at % SECTOR) as usize);
        let mut bytes = [0; SECTOR_LEN];
        match self.cache.get(&sector) {
            Some(known) => bytes = *known,
            None => {
                media.read(sector * SECTOR, &mut bytes);
                self.order.push_back(sector);
            }
        }
        bytes[start..start + piece.len()].copy_from_slice(piece);
        self.cache.insert(sector, bytes);
        while self.order.len() > room {
            if let Some(oldest) = self.order.pop_front() {
                self.cache.remove(&oldest);
            }
        }
    }

    /// Puts the content of the card's write-back cache over what was read from the media.
    pub(crate) fn read_cache(&self, offset_bytes: u64, buffer: &mut [u8]) {
        let end = offset_bytes + buffer.len() as u64;
        for (sector, bytes) in self.cache.range(offset_bytes / SECTOR..end.div_ceil(SECTOR)) {
            let start = sector * SECTOR;
            let (from, to) = (start.max(offset_bytes), (start + SECTOR).min(end));
            buffer[(from - offset_bytes) as usize..(to - offset_bytes) as usize]
                .copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
        }
    }

    /// How many of the `len` bytes from `offset_bytes` on can be read; for sectors that are `served`, the medium is
    /// not read.
    ///
    /// # Errors
    /// `Io` if not even the first byte can be read.
    pub(crate) fn readable(
        &self,
        offset_bytes: u64,
        len: usize,
        served: impl Fn(u64) -> bool,
    ) -> Result<usize, Error> {
        let sectors = offset_bytes / SECTOR..(offset_bytes + len as u64).div_ceil(SECTOR);
        let Some((bad, fault)) = self.latent.range(sectors).find(|(sector, _)| !served(**sector)) else {
            return Ok(len);
        };
        match (bad * SECTOR).saturating_sub(offset_bytes) {
            0 if len > 0 => {
                let detail = format!("sector {bad} cannot be read");
                Err(Error::new(ErrorKind::Io, "reading", "the medium", detail).injected_by(*fault))
            }
            before => Ok(before as usize),
        }
    }

    /// The power is gone, and with it the card's write-back cache.
    pub(crate) fn lose_power(&mut self) {
        self.cache.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    fn fake(kind: FakeKind, cache_bytes: u64) -> Defects {
        Defects {
            fake: Some(Fake { real_bytes: 64 * KIB, kind, cache_bytes, by: FaultId(0) }),
            ..Defects::default()
        }
    }

    /// Writes every sector with its number, in order, and counts those that do not read back.
    fn lost(mut card: Defects, power_cycle: bool) -> usize {
        let mut media = Pages::zeros(256 * KIB);
        for sector in 0..512_u64 {
            card.write(&mut media, sector * SECTOR, &[(sector % 251) as u8 + 1; SECTOR_LEN]);
        }
        if power_cycle {
            card.lose_power();
        }
        let wrong = |sector: &u64| {
            let mut found = [0; SECTOR_LEN];
            media.read(sector * SECTOR, &mut found);
            card.read_cache(sector * SECTOR, &mut found);
            found != [(sector % 251) as u8 + 1; SECTOR_LEN]
        };
        (0..512).filter(wrong).count()
    }

    #[test]
    fn a_pass_over_everything_finds_each_kind_of_fake_card() {
        assert_eq!(lost(Defects::default(), false), 0);
        // The cache hides the last 32 sectors. Where addresses wrap onto real flash, those sectors read right anyway.
        for (kind, hidden) in [(FakeKind::Limbo, 32), (FakeKind::Wraparound, 0), (FakeKind::Chain, 32)] {
            assert_eq!(lost(fake(kind, 0), false), 384, "{kind:?}");
            assert_eq!(lost(fake(kind, 16 * KIB), false), 384 - hidden, "{kind:?}, with a write-back cache");
        }
    }

    #[test]
    fn a_card_with_a_write_back_cache_for_everything_is_found_by_a_power_cycle_only() {
        assert_eq!(lost(fake(FakeKind::Limbo, 256 * KIB), false), 0);
        assert_eq!(lost(fake(FakeKind::Limbo, 256 * KIB), true), 384);
    }

    #[test]
    fn a_latent_error_fails_reads_until_the_sector_is_written() {
        let mut card = Defects::default();
        let mut media = Pages::zeros(8 * KIB);
        card.add_latent(1024..1536, FaultId(3));
        assert_eq!(card.readable(0, 4096, |_| false), Ok(1024));
        let error = card.readable(1024, 10, |_| false).unwrap_err();
        assert_eq!((error.kind(), error.injected()), (ErrorKind::Io, Some(FaultId(3))));
        assert_eq!(card.readable(1024, 10, |_| true), Ok(10), "a cached sector is readable");
        card.write(&mut media, 1024, &[1; 512]);
        assert_eq!(card.readable(0, 4096, |_| false), Ok(4096));
    }

    #[test]
    fn a_misdirected_write_leaves_its_target_unchanged_and_overwrites_another() {
        let mut card = Defects { misdirected: vec![(1024..2048, 4096, FaultId(0))], ..Defects::default() };
        let mut media = Pages::zeros(8 * KIB);
        card.write(&mut media, 0, &[7; 3072]);
        assert_eq!(
            (media.bytes(1024, 1), media.bytes(4096, 1), media.bytes(2048, 1)),
            (vec![0], vec![7], vec![7])
        );
    }
}
