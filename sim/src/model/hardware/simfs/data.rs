//! Content of files: blocks, holes, allocation.

use super::{Backing, DURABLE, FIXED, LIVE, Outcome, SimFs, refuse};
use replicator_hal::{ErrorKind, FileExtent, Timestamp};
use std::ops::Range;
use std::sync::Arc;

impl SimFs {
    fn block_len(&self) -> u64 {
        u64::from(self.superblock.block_len)
    }

    /// The bytes of a block as callers see them.
    fn block_bytes(&self, backing: &mut dyn Backing, block: u32) -> Outcome<Arc<[u8]>> {
        if let Some(bytes) = self.unwritten.get(&block).or_else(|| self.cached.get(&block)) {
            return Ok(Arc::clone(bytes));
        }
        let mut bytes = vec![0; self.superblock.block_len as usize];
        backing.read(u64::from(block) * self.block_len(), &mut bytes)?;
        Ok(bytes.into())
    }

    /// Reads; short only at the end of the file.
    ///
    /// # Errors
    /// Those of the backing.
    pub fn read(
        &self,
        backing: &mut dyn Backing,
        inode: u64,
        offset_bytes: u64,
        buffer: &mut [u8],
    ) -> Outcome<usize> {
        let node = self.live_inode(inode)?;
        let left = node.len_bytes.saturating_sub(offset_bytes);
        let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < len {
            let at = offset_bytes + done as u64;
            let start = (at % self.block_len()) as usize;
            let piece = (self.superblock.block_len as usize - start).min(len - done);
            let target = &mut buffer[done..done + piece];
            match node.blocks.get(&(at / self.block_len())) {
                None => target.fill(0),
                Some(block) => match self.unwritten.get(block).or_else(|| self.cached.get(block)) {
                    Some(bytes) => target.copy_from_slice(&bytes[start..start + piece]),
                    None => backing.read(u64::from(*block) * self.block_len() + start as u64, target)?,
                },
            }
            done += piece;
        }
        Ok(len)
    }

    /// Writes and grows the file; a gap becomes a hole where the kind has holes. The write is short only before an
    /// error.
    ///
    /// # Errors
    /// `NoSpace`, `FileTooLarge`; those of the backing.
    pub fn write(
        &mut self,
        backing: &mut dyn Backing,
        inode: u64,
        offset_bytes: u64,
        data: &[u8],
        now: Timestamp,
    ) -> Outcome<usize> {
        let limit = self.superblock.kind.file_len_max_bytes();
        if offset_bytes >= limit && !data.is_empty() {
            return refuse(ErrorKind::FileTooLarge, "the file would be too large for its file system");
        }
        let len = data.len().min(usize::try_from(limit - offset_bytes.min(limit)).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok(0);
        }
        if !self.superblock.kind.capabilities().sparse {
            self.fill_gap(backing, inode, offset_bytes)?;
        }
        let mut done = 0;
        while done < len {
            let at = offset_bytes + done as u64;
            let start = (at % self.block_len()) as usize;
            let piece = (self.superblock.block_len as usize - start).min(len - done);
            match self.write_block(backing, inode, at / self.block_len(), start, &data[done..done + piece]) {
                Ok(()) => done += piece,
                Err(_) if done > 0 => break,
                Err(refusal) => return Err(refusal),
            }
        }
        let modified = self.superblock.kind.round_time(now);
        let node = self.change(inode)?;
        node.len_bytes = node.len_bytes.max(offset_bytes + done as u64);
        node.modified = modified;
        node.xattrs.remove(b"security.capability".as_slice());
        Ok(done)
    }

    fn write_block(
        &mut self,
        backing: &mut dyn Backing,
        inode: u64,
        index: u64,
        start: usize,
        data: &[u8],
    ) -> Outcome<()> {
        let block_len = self.superblock.block_len as usize;
        let known = self.live_inode(inode)?.blocks.get(&index).copied();
        let block = match known {
            Some(block) => block,
            None => self.allocate(backing)?,
        };
        let bytes: Arc<[u8]> = if data.len() == block_len {
            data.into()
        } else {
            let mut bytes = match known {
                Some(block) => self.block_bytes(backing, block)?.to_vec(),
                None => vec![0; block_len],
            };
            bytes[start..start + data.len()].copy_from_slice(data);
            bytes.into()
        };
        self.unwritten.insert(block, bytes);
        if known.is_none() {
            self.set_claim(block, LIVE, true);
            self.change(inode)?.blocks.insert(index, block);
        }
        Ok(())
    }

    /// Zeros between the end of the file and `offset_bytes`, for kinds without holes.
    fn fill_gap(&mut self, backing: &mut dyn Backing, inode: u64, offset_bytes: u64) -> Outcome<()> {
        let node = self.live_inode(inode)?;
        let (mut end, block_len) = (node.len_bytes, self.block_len());
        let missing = offset_bytes.div_ceil(block_len).saturating_sub(end.div_ceil(block_len));
        if missing > u64::from(self.superblock.block_count()) {
            return refuse(ErrorKind::NoSpace, "no space left");
        }
        while end < offset_bytes {
            let start = (end % block_len) as usize;
            let piece = (block_len - start as u64).min(offset_bytes - end);
            self.write_block(backing, inode, end / block_len, start, &vec![0; piece as usize])?;
            end += piece;
            self.change(inode)?.len_bytes = end;
        }
        Ok(())
    }

    fn allocate(&mut self, backing: &mut dyn Backing) -> Outcome<u32> {
        if let Some(max) = self.capacity_max_bytes {
            let used =
                self.claims.iter().filter(|claim| **claim & LIVE != 0).count() as u64 * self.block_len();
            if used + self.block_len() > max {
                return refuse(ErrorKind::NoSpace, "no space left");
            }
        }
        if self.free_blocks == 0 && self.claims.iter().any(|claim| *claim & (LIVE | FIXED) == 0) {
            // Only the durable state holds the remaining blocks: a full file system syncs to free them.
            self.sync(backing)?;
        }
        if self.free_blocks == 0 {
            return refuse(ErrorKind::NoSpace, "no space left");
        }
        let (count, start) = (self.superblock.block_count(), self.superblock.data_start_block());
        let candidates = (self.cursor_block..count).chain(start..self.cursor_block);
        for block in candidates {
            if self.claims[block as usize] & (LIVE | DURABLE | FIXED) == 0 {
                // The next search starts here, so that removed data is not overwritten at once.
                self.cursor_block = if block + 1 < count { block + 1 } else { start };
                return Ok(block);
            }
        }
        refuse(ErrorKind::NoSpace, "no space left")
    }

    /// Cuts or extends; the new part reads as zeros.
    ///
    /// # Errors
    /// As [`SimFs::write`].
    pub fn set_len(
        &mut self,
        backing: &mut dyn Backing,
        inode: u64,
        len_bytes: u64,
        now: Timestamp,
    ) -> Outcome<()> {
        if len_bytes > self.superblock.kind.file_len_max_bytes() {
            return refuse(ErrorKind::FileTooLarge, "the file would be too large for its file system");
        }
        let old_len = self.live_inode(inode)?.len_bytes;
        if len_bytes > old_len && !self.superblock.kind.capabilities().sparse {
            self.fill_gap(backing, inode, len_bytes)?;
        }
        if len_bytes < old_len {
            self.cut_tail(backing, inode, len_bytes)?;
        }
        let modified = self.superblock.kind.round_time(now);
        let node = self.change(inode)?;
        node.len_bytes = len_bytes;
        node.modified = modified;
        Ok(())
    }

    /// Where the blocks of the file are; known for ext only.
    ///
    /// # Errors
    /// `NotFound` if the file is gone.
    pub fn extents(&self, inode: u64) -> Outcome<Vec<FileExtent>> {
        let node = self.live_inode(inode)?;
        if !self.superblock.kind.is_ext() {
            return Ok(Vec::new());
        }
        let block_len = self.block_len();
        let mut extents: Vec<FileExtent> = Vec::new();
        for (index, block) in &node.blocks {
            let (offset_bytes, start) = (index * block_len, u64::from(*block) * block_len);
            match extents.last_mut() {
                Some(FileExtent { offset_bytes: first, place })
                    if place.end == start && *first + (place.end - place.start) == offset_bytes =>
                {
                    place.end += block_len;
                }
                _ => extents.push(FileExtent { offset_bytes, place: start..start + block_len }),
            }
        }
        Ok(extents)
    }

    /// Gives back the blocks of a range, and zeros the parts of blocks at its ends; `false` if the kind has no holes.
    ///
    /// # Errors
    /// Those of the backing.
    pub fn punch(
        &mut self,
        backing: &mut dyn Backing,
        inode: u64,
        offset_bytes: u64,
        len_bytes: u64,
    ) -> Outcome<bool> {
        if !self.superblock.kind.capabilities().sparse {
            return Ok(false);
        }
        let block_len = self.block_len();
        let end = offset_bytes.saturating_add(len_bytes).min(self.live_inode(inode)?.len_bytes);
        let mut at = offset_bytes;
        while at < end {
            let (index, start) = (at / block_len, (at % block_len) as usize);
            let piece = (block_len - start as u64).min(end - at);
            if piece == block_len {
                if let Some(block) = self.change(inode)?.blocks.remove(&index) {
                    self.release(block);
                }
            } else if self.live_inode(inode)?.blocks.contains_key(&index) {
                self.write_block(backing, inode, index, start, &vec![0; piece as usize])?;
            }
            at += piece;
        }
        Ok(true)
    }

    fn cut_tail(&mut self, backing: &mut dyn Backing, inode: u64, len_bytes: u64) -> Outcome<()> {
        let kept_blocks = len_bytes.div_ceil(self.block_len());
        let gone = self.change(inode)?.blocks.split_off(&kept_blocks);
        for block in gone.into_values() {
            self.release(block);
        }
        let start = (len_bytes % self.block_len()) as usize;
        let last = len_bytes / self.block_len();
        if start > 0 && self.live_inode(inode)?.blocks.contains_key(&last) {
            // Bytes behind the new end must read as zeros if the file grows again.
            let zeros = vec![0; self.superblock.block_len as usize - start];
            self.write_block(backing, inode, last, start, &zeros)?;
        }
        Ok(())
    }

    /// The next extent that may hold bytes other than zeros.
    ///
    /// # Errors
    /// `NotFound` if the file is gone.
    pub fn next_data(&self, inode: u64, offset_bytes: u64) -> Outcome<Option<Range<u64>>> {
        let node = self.live_inode(inode)?;
        let block_len = self.block_len();
        if offset_bytes >= node.len_bytes {
            return Ok(None);
        }
        if !self.superblock.kind.capabilities().sparse {
            return Ok(Some(offset_bytes..node.len_bytes));
        }
        let mut found: Option<Range<u64>> = None;
        for index in node.blocks.range(offset_bytes / block_len..).map(|(index, _)| *index) {
            match &mut found {
                None => found = Some(index * block_len..(index + 1) * block_len),
                Some(range) if range.end == index * block_len => range.end += block_len,
                Some(_) => break,
            }
        }
        let clipped = found.map(|range| range.start.max(offset_bytes)..range.end.min(node.len_bytes));
        Ok(clipped.filter(|range| !range.is_empty()))
    }
}
