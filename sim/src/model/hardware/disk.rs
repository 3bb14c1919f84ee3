//! One simulated block device: host page cache over device write cache over media.
//!
//! Writes of a target go to the page cache; `sync` writes them through the device's cache onto the media. Reads come
//! from the page cache if it holds the page; such a page is stale if the media did not take the write. Pages are
//! dropped by `begin_verify` and at the last close, unless another process holds the device open. Silent faults
//! (dropped writes, flipped bits) are between the device and the media, so that only a read past the caches can see
//! them.

use crate::model::bytes::pages::{PAGE_LEN, Page, Pages, SECTOR_LEN, for_each_piece};
use crate::model::hardware::defects::Defects;
use crate::model::hardware::firmware::Area;
use crate::model::hardware::identity::Identity;
use crate::model::hardware::simfs::Survival;
use crate::model::time::cause::FaultId;
use crate::model::time::random::Random;
use imbl::OrdMap;
use replicator_hal::Partition;
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug, Clone)]
struct CachedPage {
    bytes: Arc<Page>,
    /// One bit per sector that is not written to the device yet.
    dirty: u8,
}

/// A device with its content. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Its identity.
    pub identity: Identity,
    /// The bytes below all caches.
    pub media: Pages,
    /// Partitions as the kernel last read them.
    pub partitions: Vec<Partition>,
    /// The slot exists and answers.
    pub present: bool,
    /// Set for a bootloader area, which is not a medium.
    pub area: Option<Area>,
    /// The device refuses writes by its own switch.
    pub locked: bool,
    /// The device refuses writes, by its switch or by a fault.
    pub read_only: bool,
    /// Fault: writes here are acknowledged and dropped.
    pub dropped: Vec<(Range<u64>, FaultId)>,
    /// What was discarded since it was last opened to be written.
    pub discarded: Vec<Range<u64>>,
    /// Fault: other defects of the medium.
    pub defects: Defects,
    /// Changes when the device is plugged in again: handles that were open before refer to a device that is gone.
    pub(crate) instance: u64,
    pub(crate) sources: u32,
    pub(crate) target_open: bool,
    page_cache: OrdMap<u64, CachedPage>,
    write_cache: OrdMap<u64, Arc<[u8; SECTOR_LEN]>>,
}

impl Disk {
    /// A device at boot.
    pub fn new(identity: Identity, media: Pages) -> Self {
        let partitions = crate::model::bytes::partitions::read_partitions(&identity.device, &media);
        Self {
            identity,
            media,
            partitions,
            present: true,
            area: None,
            locked: false,
            read_only: false,
            dropped: Vec::new(),
            discarded: Vec::new(),
            defects: Defects::default(),
            instance: 0,
            sources: 0,
            target_open: false,
            page_cache: OrdMap::new(),
            write_cache: OrdMap::new(),
        }
    }

    /// Whether writes are refused, for any reason.
    pub fn refuses_writes(&self) -> bool {
        self.read_only || self.area.as_ref().is_some_and(|area| area.protected)
    }

    /// Capacity; 0 for an empty slot.
    pub fn len_bytes(&self) -> u64 {
        self.media.len_bytes()
    }

    /// Reads as a host does: from the page cache if it holds the page.
    pub fn read(&self, offset_bytes: u64, buffer: &mut [u8]) {
        self.read_device(offset_bytes, buffer);
        if self.page_cache.is_empty() {
            return;
        }
        for_each_piece(offset_bytes, buffer.len(), |page, start, piece| {
            if let Some(cached) = self.page_cache.get(&page) {
                let target = &mut buffer[piece];
                target.copy_from_slice(&cached.bytes[start..start + target.len()]);
            }
        });
    }

    /// Reads past the host's caches.
    fn read_device(&self, offset_bytes: u64, buffer: &mut [u8]) {
        self.media.read(offset_bytes, buffer);
        self.defects.read_cache(offset_bytes, buffer);
        let end = offset_bytes + buffer.len() as u64;
        let first = offset_bytes / SECTOR_LEN as u64;
        for (sector, bytes) in self.write_cache.range(first..end.div_ceil(SECTOR_LEN as u64)) {
            let start = sector * SECTOR_LEN as u64;
            let (from, to) = (start.max(offset_bytes), (start + SECTOR_LEN as u64).min(end));
            let target = &mut buffer[(from - offset_bytes) as usize..(to - offset_bytes) as usize];
            target.copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
        }
    }

    /// Writes into the page cache.
    pub fn write(&mut self, offset_bytes: u64, data: &[u8]) {
        for_each_piece(offset_bytes, data.len(), |page, start, piece| {
            let source = &data[piece];
            if let Ok(bytes) = <&[u8; PAGE_LEN]>::try_from(source) {
                let bytes = Arc::new(Page::from(*bytes));
                self.page_cache.insert(page, CachedPage { bytes, dirty: u8::MAX });
                return;
            }
            if !self.page_cache.contains_key(&page) {
                let mut bytes = Page::default();
                self.read_device(page * PAGE_LEN as u64, bytes.bytes_mut());
                self.page_cache.insert(page, CachedPage { bytes: Arc::new(bytes), dirty: 0 });
            }
            if let Some(cached) = self.page_cache.get_mut(&page) {
                Arc::make_mut(&mut cached.bytes).bytes_mut()[start..start + source.len()]
                    .copy_from_slice(source);
                for sector in start / SECTOR_LEN..(start + source.len()).div_ceil(SECTOR_LEN) {
                    cached.dirty |= 1 << sector;
                }
            }
        });
    }

    /// Discards whole pages, which the host drops from its cache. The device does it as a write: faults of writes apply.
    /// Whatever it does, the range counts as discarded.
    pub fn discard(&mut self, range: Range<u64>) {
        for page in range.start / PAGE_LEN as u64..range.end / PAGE_LEN as u64 {
            self.page_cache.remove(&page);
            if let Some(fill) = self.identity.discard.fill_of(page) {
                self.write_device(page * PAGE_LEN as u64, &[fill; PAGE_LEN]);
            }
        }
        self.discarded.push(range);
    }

    /// Writes as a file system on the device does: to the device at once, and coherently with the page cache.
    pub fn write_through(&mut self, offset_bytes: u64, data: &[u8]) {
        for_each_piece(offset_bytes, data.len(), |page, start, piece| {
            if let Some(cached) = self.page_cache.get_mut(&page) {
                let source = &data[piece];
                Arc::make_mut(&mut cached.bytes).bytes_mut()[start..start + source.len()]
                    .copy_from_slice(source);
            }
        });
        self.write_device(offset_bytes, data);
    }

    fn write_device(&mut self, offset_bytes: u64, data: &[u8]) {
        if !self.identity.write_cache {
            self.write_media(offset_bytes, data);
            return;
        }
        let end = offset_bytes + data.len() as u64;
        for sector in offset_bytes / SECTOR_LEN as u64..end.div_ceil(SECTOR_LEN as u64) {
            let start = sector * SECTOR_LEN as u64;
            let mut bytes = [0; SECTOR_LEN];
            self.read_device(start, &mut bytes);
            let (from, to) = (start.max(offset_bytes), (start + SECTOR_LEN as u64).min(end));
            bytes[(from - start) as usize..(to - start) as usize]
                .copy_from_slice(&data[(from - offset_bytes) as usize..(to - offset_bytes) as usize]);
            self.write_cache.insert(sector, Arc::new(bytes));
        }
    }

    /// The only place where media change: dropped writes end here.
    fn write_media(&mut self, offset_bytes: u64, data: &[u8]) {
        let end = offset_bytes + data.len() as u64;
        let touched = self.dropped.iter().filter(|(range, _)| range.start < end && offset_bytes < range.end);
        let met: Vec<FaultId> = touched.map(|(_, fault)| *fault).collect();
        if met.is_empty() {
            if self.defects.any() {
                self.defects.write(&mut self.media, offset_bytes, data);
            } else {
                self.media.write(offset_bytes, data);
            }
            return;
        }
        self.defects.met.extend(met);
        for (index, byte) in data.iter().enumerate() {
            let at = offset_bytes + index as u64;
            if !self.dropped.iter().any(|(range, _)| range.contains(&at)) {
                self.defects.write(&mut self.media, at, &[*byte]);
            }
        }
    }

    /// How many of the bytes can be read, and whether any can.
    ///
    /// # Errors
    /// `Io` if the first byte is in an unreadable sector.
    pub(crate) fn readable(&self, offset_bytes: u64, len: usize) -> replicator_hal::Result<usize> {
        let in_a_page =
            |sector: u64| self.page_cache.contains_key(&(sector * SECTOR_LEN as u64 / PAGE_LEN as u64));
        self.defects.readable(offset_bytes, len, in_a_page)
    }

    /// The pages that are not completely on the device.
    fn dirty_pages(&self) -> Vec<(u64, CachedPage)> {
        let dirty = self.page_cache.iter().filter(|(_, cached)| cached.dirty != 0);
        dirty.map(|(page, cached)| (*page, cached.clone())).collect()
    }

    /// Addresses in memory of the pages of media and page cache.
    #[cfg(test)]
    pub(crate) fn places(&self) -> impl Iterator<Item = *const Page> + '_ {
        self.media.places().chain(self.page_cache.values().map(|cached| Arc::as_ptr(&cached.bytes)))
    }

    /// Whether a power cut now would leave the same under every policy.
    pub(crate) fn is_synced(&self) -> bool {
        self.write_cache.is_empty() && self.page_cache.values().all(|cached| cached.dirty == 0)
    }

    /// Writes dirty pages to the device, but does not flush its cache.
    fn write_back(&mut self) {
        let pages: Vec<(u64, CachedPage)> = self.dirty_pages();
        for (page, _) in &pages {
            if let Some(cached) = self.page_cache.get_mut(page) {
                cached.dirty = 0;
            }
        }
        self.write_sectors(pages);
    }

    /// Writes the dirty sectors of these pages to the device.
    fn write_sectors(&mut self, pages: Vec<(u64, CachedPage)>) {
        let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
        let plain = !self.identity.write_cache && self.dropped.is_empty() && !self.defects.any();
        for (page, cached) in pages {
            if plain && cached.dirty == u8::MAX {
                // Nothing between here and the media can change the page, so it is shared.
                self.media.put(page, &cached.bytes);
                continue;
            }
            for sector in (0..PAGE_LEN / SECTOR_LEN).filter(|sector| cached.dirty & (1 << sector) != 0) {
                let start = page * PAGE_LEN as u64 + (sector * SECTOR_LEN) as u64;
                let bytes = &cached.bytes[sector * SECTOR_LEN..][..SECTOR_LEN];
                match runs.last_mut() {
                    Some((first, run)) if *first + run.len() as u64 == start => run.extend_from_slice(bytes),
                    _ => runs.push((start, bytes.to_vec())),
                }
            }
        }
        for (start, bytes) in runs {
            self.write_device(start, &bytes);
        }
    }

    /// Flushes the device's own write cache to the media.
    pub fn flush(&mut self) {
        for (sector, bytes) in std::mem::take(&mut self.write_cache) {
            self.write_media(sector * SECTOR_LEN as u64, &bytes[..]);
        }
    }

    /// Writes everything to the media.
    pub fn sync(&mut self) {
        self.write_back();
        self.flush();
    }

    /// Drops unflushed data, as the kernel does after a failed sync.
    pub fn lose_dirty(&mut self) {
        for (page, _) in self.dirty_pages() {
            if let Some(cached) = self.page_cache.get_mut(&page) {
                cached.dirty = 0;
            }
        }
    }

    /// Syncs and drops all pages, even if another process holds the device open.
    pub fn begin_verify(&mut self) {
        self.sync();
        self.page_cache.clear();
    }

    /// The last opener has closed: pages are written back and dropped, unless another process holds the device open.
    /// That does not flush the device's own cache.
    pub fn closed(&mut self) {
        self.write_back();
        if !self.identity.another_holder && self.sources == 0 && !self.target_open {
            self.page_cache.clear();
        }
    }

    /// Ends all faults of the device, but keeps what they did to its bytes.
    pub(crate) fn end_faults(&mut self) {
        self.present = true;
        self.read_only = self.locked;
        self.dropped.clear();
        self.defects = Defects::default();
    }

    /// Fault: inverts bits of one stored byte.
    pub fn flip(&mut self, offset_bytes: u64, mask: u8) {
        let byte = self.media.bytes(offset_bytes, 1)[0];
        self.media.write(offset_bytes, &[byte ^ mask]);
    }

    /// What a power cut leaves.
    pub fn crash(&mut self, survival: Survival) {
        let (Survival::Subset(seed) | Survival::Garbage(seed)) = survival else {
            if survival == Survival::All {
                // The cache is dropped right after this, so its pages are not marked clean before.
                self.write_sectors(self.dirty_pages());
                self.flush();
            }
            self.lose_volatile();
            return;
        };
        let mut random = Random::child(seed, &format!("survival:{}", self.identity.device));
        if matches!(survival, Survival::Garbage(_)) {
            self.tear(&mut random);
        }
        // Clean pages are counted too: what survives of one page does not depend on which pages are clean.
        let mut kept = Vec::new();
        for (page, cached) in &self.page_cache {
            let dirty = cached.dirty & random.next() as u8;
            if dirty != 0 {
                kept.push((*page, CachedPage { bytes: Arc::clone(&cached.bytes), dirty }));
            }
        }
        let sectors = std::mem::take(&mut self.write_cache);
        self.write_cache = sectors.into_iter().filter(|_| random.coin()).collect();
        self.write_sectors(kept);
        self.flush();
        self.lose_volatile();
    }

    /// Turns sectors that were being written into garbage: after a torn write a sector has neither the old nor the
    /// new content.
    fn tear(&mut self, random: &mut Random) {
        for (page, _) in self.dirty_pages() {
            let Some(cached) = self.page_cache.get_mut(&page) else { continue };
            let bytes = Arc::make_mut(&mut cached.bytes).bytes_mut();
            for sector in (0..PAGE_LEN / SECTOR_LEN).filter(|sector| cached.dirty & (1 << sector) != 0) {
                random.tear(&mut bytes[sector * SECTOR_LEN..][..SECTOR_LEN]);
            }
        }
        let sectors: Vec<u64> = self.write_cache.keys().copied().collect();
        for sector in sectors {
            if let Some(bytes) = self.write_cache.get_mut(&sector) {
                random.tear(&mut Arc::make_mut(bytes)[..]);
            }
        }
    }

    /// Drops the content of all volatile memory.
    pub(crate) fn lose_volatile(&mut self) {
        self.page_cache.clear();
        self.write_cache.clear();
        if let Some(area) = &mut self.area {
            area.protected = true;
        }
        self.defects.lose_power();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hardware::identity::{Discard, Speed};
    use replicator_hal::{CacheBypass, DeviceKind};

    fn disk(write_cache: bool) -> Disk {
        let identity = Identity {
            device: "mmcblk0".into(),
            medium: "sd".into(),
            kind: DeviceKind::Sd,
            controller_path: String::new(),
            serial: None,
            sector_len_bytes: 512,
            removable: true,
            has_boot_areas: false,
            speed: Speed::of(DeviceKind::Sd),
            bypass: CacheBypass::Direct,
            another_holder: false,
            write_cache,
            discard: Discard::Partly,
            held_by: None,
            held_elsewhere: false,
        };
        Disk::new(identity, Pages::zeros(65_536))
    }

    #[test]
    fn a_write_reaches_the_media_with_sync_and_not_before() {
        for write_cache in [false, true] {
            let mut disk = disk(write_cache);
            disk.write(1000, b"hello");
            assert_eq!(disk.media.bytes(1000, 5), [0; 5]);
            let mut seen = [0; 5];
            disk.read(1000, &mut seen);
            assert_eq!(&seen, b"hello");
            disk.sync();
            assert_eq!(disk.media.bytes(1000, 5), b"hello");
        }
    }

    #[test]
    fn a_dropped_write_is_seen_only_past_the_cache() {
        let mut disk = disk(false);
        disk.dropped.push((2048..4096, FaultId(0)));
        disk.write(1536, &[7; 2048]);
        disk.sync();
        let mut seen = [0; 2048];
        disk.read(1536, &mut seen);
        assert_eq!(seen, [7; 2048], "the page cache returns what the medium does not hold");
        disk.begin_verify();
        disk.read(1536, &mut seen);
        assert_eq!((seen[0], seen[512], seen[2047]), (7, 0, 0));
    }

    #[test]
    fn close_drops_the_pages_unless_somebody_else_holds_the_device() {
        for (another_holder, stale) in [(false, 0), (true, 7)] {
            let mut disk = disk(false);
            disk.identity.another_holder = another_holder;
            disk.dropped.push((0..65_536, FaultId(0)));
            disk.write(0, &[7; 512]);
            disk.sync();
            disk.closed();
            let mut seen = [1; 1];
            disk.read(0, &mut seen);
            assert_eq!(seen[0], stale, "another holder: {another_holder}");
        }
    }

    #[test]
    fn a_power_cut_loses_keeps_or_tears() {
        let count = |survival| {
            let mut disk = disk(true);
            disk.write(0, &[7; 16_384]);
            disk.crash(survival);
            disk.media.to_vec().chunks(512).filter(|sector| **sector == [7; 512]).count()
        };
        assert_eq!(count(Survival::None), 0);
        assert_eq!(count(Survival::All), 32);
        let torn: Vec<usize> = (0..20).map(|seed| count(Survival::Subset(seed))).collect();
        assert!(torn.iter().all(|kept| (1..32).contains(kept)), "{torn:?}");
        assert_eq!(count(Survival::Subset(3)), torn[3]);
    }

    #[test]
    fn closing_without_sync_leaves_data_in_the_devices_cache() {
        let mut disk = disk(true);
        disk.write(0, &[7; 512]);
        disk.closed();
        assert_eq!(disk.media.bytes(0, 1), [0]);
        disk.flush();
        assert_eq!(disk.media.bytes(0, 1), [7]);
    }
}
