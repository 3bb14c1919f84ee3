//! The on-media format: superblock, metadata slots, and the bounded reader of both. The bytes may be hostile.

use super::{
    Backing, DURABLE, Damage, Entry, FIXED, Inode, Inodes, Kind, LIVE, Outcome, ROOT, Refusal, SimFs,
    Superblock, refuse,
};
use crate::model::bytes::digest::{FOLD_START, fold};
use imbl::OrdMap;
use replicator_hal::{ErrorKind, FileKind, Owner, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const SUPERBLOCK_START: u64 = 1024;
const SUPERBLOCK_LEN: usize = 512;
const SUPERBLOCK_MAGIC: &[u8; 8] = b"REPLSIM1";
const SLOT_MAGIC: &[u8; 8] = b"REPLMETA";
const SLOT_HEADER_LEN: usize = 28;
pub(super) const SLOTS_START: u64 = 2048;
const LABEL_LEN_MAX: usize = 64;

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, value: u64) {
        // LEB128: most numbers are small.
        let mut rest = value;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn number_u32(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.number()?).ok()?;
        Some(self.take(len)?.to_vec())
    }
}

impl Superblock {
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer(SUPERBLOCK_MAGIC.to_vec());
        writer.0.extend([self.kind.code(), u8::from(self.dirty), self.damage as u8]);
        writer.number(self.len_bytes);
        writer.number(u64::from(self.block_len));
        writer.number(u64::from(self.slot_len));
        writer.0.extend(self.uuid);
        writer.0.push(u8::from(self.label.is_some()));
        let label = self.label.as_deref().unwrap_or_default().as_bytes();
        writer.bytes(&label[..label.len().min(LABEL_LEN_MAX)]);
        writer.number(self.inodes_max);
        writer.0.resize(SUPERBLOCK_LEN - 8, 0);
        let sum = fold(FOLD_START, &writer.0);
        writer.0.extend(sum.to_le_bytes());
        writer.0
    }

    fn decode(sector: &[u8]) -> Option<Self> {
        let (body, sum) = sector.split_at_checked(SUPERBLOCK_LEN - 8)?;
        if !body.starts_with(SUPERBLOCK_MAGIC) || sum != fold(FOLD_START, body).to_le_bytes() {
            return None;
        }
        let mut reader = Reader(&body[SUPERBLOCK_MAGIC.len()..]);
        let flags = reader.take(3)?;
        let superblock = Self {
            kind: Kind::from_code(flags[0])?,
            dirty: flags[1] != 0,
            damage: match flags[2] {
                0 => Damage::None,
                1 => Damage::Repairable,
                _ => Damage::Fatal,
            },
            len_bytes: reader.number()?,
            block_len: reader.number_u32()?,
            slot_len: reader.number_u32()?,
            uuid: reader.take(16)?.try_into().ok()?,
            label: {
                let present = reader.take(1)?[0] != 0;
                let text = String::from_utf8(reader.bytes()?).ok()?;
                present.then_some(text)
            },
            inodes_max: reader.number()?,
        };
        let is_valid = matches!(superblock.block_len, 1024 | 4096)
            && superblock.block_count() > superblock.data_start_block()
            && superblock.slot_len as usize >= SLOT_HEADER_LEN;
        is_valid.then_some(superblock)
    }

    /// Reads the superblock of a region; `None` if there is no such file system.
    ///
    /// # Errors
    /// If the bytes cannot be read.
    pub fn probe(backing: &mut dyn Backing, region_len_bytes: u64) -> Outcome<Option<Self>> {
        if region_len_bytes < SLOTS_START {
            return Ok(None);
        }
        let mut sector = [0; SUPERBLOCK_LEN];
        backing.read(SUPERBLOCK_START, &mut sector)?;
        Ok(Self::decode(&sector))
    }

    /// Writes the superblock and makes it durable.
    ///
    /// # Errors
    /// If the bytes cannot be written.
    pub fn store(&self, backing: &mut dyn Backing) -> Outcome<()> {
        backing.write(SUPERBLOCK_START, &self.encode())?;
        Ok(backing.flush()?)
    }
}

fn encode_inode(writer: &mut Writer, number: u64, inode: &Inode) {
    writer.number(number);
    writer.0.push(inode.kind as u8);
    writer.number(u64::from(inode.mode));
    writer.number(u64::from(inode.owner.uid));
    writer.number(u64::from(inode.owner.gid));
    writer.0.extend(inode.modified.seconds.to_le_bytes());
    writer.number(u64::from(inode.modified.nanos));
    writer.number(u64::from(inode.device.0));
    writer.number(u64::from(inode.device.1));
    writer.bytes(&inode.text);
    writer.number(u64::from(inode.flags));
    writer.number(inode.len_bytes);
    writer.number(inode.xattrs.len() as u64);
    for (name, value) in &inode.xattrs {
        writer.bytes(name);
        writer.bytes(value);
    }
    // Runs of blocks: first in the file, first on the volume, how many.
    let mut runs: Vec<(u64, u32, u32)> = Vec::new();
    for (index, block) in &inode.blocks {
        match runs.last_mut() {
            Some((first, start, count))
                if *first + u64::from(*count) == *index && *start + *count == *block =>
            {
                *count += 1;
            }
            _ => runs.push((*index, *block, 1)),
        }
    }
    writer.number(runs.len() as u64);
    for (first, start, count) in runs {
        writer.number(first);
        writer.number(u64::from(start));
        writer.number(u64::from(count));
    }
    writer.number(inode.entries.len() as u64);
    for entry in inode.entries.values() {
        writer.bytes(&entry.name);
        writer.number(entry.inode);
    }
}

fn decode_inode(reader: &mut Reader, superblock: &Superblock) -> Option<(u64, Inode)> {
    let number = reader.number()?;
    let kind = match reader.take(1)?[0] {
        0 => FileKind::File,
        1 => FileKind::Directory,
        2 => FileKind::Symlink,
        3 => FileKind::CharDevice,
        4 => FileKind::BlockDevice,
        5 => FileKind::Fifo,
        6 => FileKind::Socket,
        _ => return None,
    };
    let mut inode = Inode::new(kind, reader.number_u32()?, Timestamp::default());
    inode.owner = Owner { uid: reader.number_u32()?, gid: reader.number_u32()? };
    let seconds = i64::from_le_bytes(reader.take(8)?.try_into().ok()?);
    inode.modified = Timestamp { seconds, nanos: reader.number_u32()? };
    inode.device = (reader.number_u32()?, reader.number_u32()?);
    inode.text = reader.bytes()?;
    inode.flags = reader.number_u32()?;
    inode.len_bytes = reader.number()?;
    for _ in 0..reader.number()? {
        inode.xattrs.insert(reader.bytes()?, reader.bytes()?);
    }
    for _ in 0..reader.number()? {
        let (first, start, count) = (reader.number()?, reader.number_u32()?, reader.number_u32()?);
        let end = start.checked_add(count)?;
        if start < superblock.data_start_block() || end > superblock.block_count() {
            return None;
        }
        inode.blocks.extend((0..count).map(|step| (first.saturating_add(u64::from(step)), start + step)));
    }
    for _ in 0..reader.number()? {
        let entry = Entry { name: reader.bytes()?, inode: reader.number()? };
        inode.entries.insert(superblock.kind.fold_name(&entry.name), entry);
    }
    Some((number, inode))
}

/// Drops inodes without a name and names without an inode, and counts links.
fn reachable(mut inodes: Inodes) -> Inodes {
    let mut links: BTreeMap<u64, u32> = BTreeMap::new();
    let mut queue = VecDeque::from([ROOT]);
    links.insert(ROOT, 1);
    let known: Vec<u64> = inodes.keys().copied().collect();
    while let Some(number) = queue.pop_front() {
        let Some(directory) = inodes.get_mut(&number) else {
            continue;
        };
        if directory.entries.is_empty() {
            continue;
        }
        let entries = &mut Arc::make_mut(directory).entries;
        entries.retain(|_, entry| known.binary_search(&entry.inode).is_ok());
        for entry in entries.values() {
            let count = links.entry(entry.inode).or_insert(0);
            *count += 1;
            if *count == 1 {
                queue.push_back(entry.inode);
            }
        }
    }
    inodes.retain(|number, _| links.contains_key(number));
    for (number, inode) in &mut inodes {
        let count = links.get(number).copied().unwrap_or(0);
        if inode.links != count {
            Arc::make_mut(inode).links = count;
        }
    }
    inodes
}

impl SimFs {
    /// Makes an empty file system. Old bytes stay in the data blocks, as after a real mkfs without discard.
    ///
    /// # Errors
    /// `NoSpace` if the region is too small; those of the backing.
    pub fn format(
        backing: &mut dyn Backing,
        kind: Kind,
        label: Option<String>,
        uuid: [u8; 16],
        len_bytes: u64,
    ) -> Outcome<()> {
        let block_len: u32 = if len_bytes < 8 << 20 { 1024 } else { 4096 };
        let slot_len = (len_bytes / 16).clamp(4096, 4 << 20) / u64::from(block_len) * u64::from(block_len);
        let superblock = Superblock {
            kind,
            label,
            uuid,
            dirty: false,
            damage: Damage::None,
            len_bytes: len_bytes / u64::from(block_len) * u64::from(block_len),
            block_len,
            slot_len: slot_len as u32,
            inodes_max: 0,
        };
        if superblock.block_count() <= superblock.data_start_block() {
            return refuse(ErrorKind::NoSpace, "the region is too small for a file system");
        }
        backing.write(0, &[0; SUPERBLOCK_START as usize])?;
        backing.write(SLOTS_START, &[0; SLOT_HEADER_LEN])?;
        backing.write(SLOTS_START + slot_len, &[0; SLOT_HEADER_LEN])?;
        let root = Inode::new(FileKind::Directory, 0o755, Timestamp::default());
        let mut fs = Self::from_inodes(superblock, BTreeMap::from([(ROOT, Arc::new(root))]), 0)?;
        fs.commit(backing)?;
        fs.superblock.store(backing)
    }

    /// Reads a file system from the bytes of its region.
    ///
    /// # Errors
    /// `Unsupported` if there is none, `Corrupt` if it cannot be read; those of the backing.
    pub fn load(backing: &mut dyn Backing, region_len_bytes: u64) -> Outcome<Self> {
        let Some(superblock) = Superblock::probe(backing, region_len_bytes)? else {
            return refuse(ErrorKind::Unsupported, "no known file system");
        };
        if superblock.len_bytes > region_len_bytes {
            return refuse(ErrorKind::Corrupt, "the file system is larger than its region");
        }
        if superblock.damage == Damage::Fatal {
            return refuse(ErrorKind::Corrupt, "the file system is damaged");
        }
        let mut newest: Option<(u64, Vec<u8>)> = None;
        for slot in 0..2 {
            if let Some((generation, payload)) = read_slot(backing, &superblock, slot)? {
                if newest.as_ref().is_none_or(|(known, _)| generation > *known) {
                    newest = Some((generation, payload));
                }
            }
        }
        let Some((generation, payload)) = newest else {
            return refuse(ErrorKind::Corrupt, "both copies of the metadata are damaged");
        };
        let mut reader = Reader(&payload);
        let mut inodes = Inodes::new();
        while !reader.0.is_empty() {
            let Some((number, inode)) = decode_inode(&mut reader, &superblock) else {
                return refuse(ErrorKind::Corrupt, "the metadata is invalid");
            };
            inodes.insert(number, Arc::new(inode));
        }
        Self::from_inodes(superblock, reachable(inodes), generation)
    }

    fn from_inodes(superblock: Superblock, inodes: Inodes, generation: u64) -> Outcome<Self> {
        let (count, start) = (superblock.block_count(), superblock.data_start_block());
        let mut claims = vec![0; count as usize];
        claims[..start as usize].fill(FIXED);
        for block in inodes.values().flat_map(|inode| inode.blocks.values()) {
            claims[*block as usize] = LIVE | DURABLE;
        }
        if inodes.get(&ROOT).is_none_or(|root| root.kind != FileKind::Directory) {
            return refuse(ErrorKind::Corrupt, "there is no root directory");
        }
        let free_blocks = claims.iter().filter(|claim| **claim == 0).count() as u32;
        let next_inode = inodes.keys().next_back().map_or(ROOT, |last| last + 1).max(11);
        Ok(Self {
            superblock,
            live: inodes.clone(),
            durable: inodes,
            pending: VecDeque::new(),
            unwritten: OrdMap::new(),
            cached: OrdMap::new(),
            claims: Arc::new(claims),
            free_blocks,
            cursor_block: start,
            generation,
            next_inode,
            open_counts: BTreeMap::new(),
            capacity_max_bytes: None,
        })
    }

    /// Writes the durable tree to the older slot and makes it durable.
    pub(super) fn commit(&mut self, backing: &mut dyn Backing) -> Outcome<()> {
        let mut writer = Writer(vec![0; SLOT_HEADER_LEN]);
        for (number, inode) in &self.durable {
            encode_inode(&mut writer, *number, inode);
        }
        let mut bytes = writer.0;
        if bytes.len() > self.superblock.slot_len as usize {
            return refuse(ErrorKind::NoSpace, "no room for more metadata");
        }
        let generation = self.generation + 1;
        let (header, payload) = bytes.split_at_mut(SLOT_HEADER_LEN);
        header[..8].copy_from_slice(SLOT_MAGIC);
        header[8..16].copy_from_slice(&generation.to_le_bytes());
        header[16..20].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        header[20..28].copy_from_slice(&slot_sum(generation, payload).to_le_bytes());
        // Data is flushed before the metadata that refers to it.
        backing.flush()?;
        backing.write(SLOTS_START + generation % 2 * u64::from(self.superblock.slot_len), &bytes)?;
        backing.flush()?;
        self.generation = generation;
        Ok(())
    }
}

fn slot_sum(generation: u64, payload: &[u8]) -> u64 {
    fold(fold(FOLD_START, &generation.to_le_bytes()), payload)
}

fn read_slot(
    backing: &mut dyn Backing,
    superblock: &Superblock,
    slot: u64,
) -> Outcome<Option<(u64, Vec<u8>)>> {
    let start = SLOTS_START + slot * u64::from(superblock.slot_len);
    let mut header = [0; SLOT_HEADER_LEN];
    backing.read(start, &mut header)?;
    let mut reader = Reader(&header);
    let parse = |reader: &mut Reader| -> Option<(u64, usize, [u8; 8])> {
        if reader.take(8)? != SLOT_MAGIC {
            return None;
        }
        let generation = u64::from_le_bytes(reader.take(8)?.try_into().ok()?);
        let len = u32::from_le_bytes(reader.take(4)?.try_into().ok()?) as usize;
        Some((generation, len, reader.take(8)?.try_into().ok()?))
    };
    let Some((generation, len, sum)) = parse(&mut reader) else {
        return Ok(None);
    };
    if len > superblock.slot_len as usize - SLOT_HEADER_LEN {
        return Ok(None);
    }
    let mut payload = vec![0; len];
    backing.read(start + SLOT_HEADER_LEN as u64, &mut payload)?;
    let good = slot_sum(generation, &payload).to_le_bytes() == sum;
    Ok(good.then_some((generation, payload)))
}

impl From<&Superblock> for replicator_hal::FileSystem {
    fn from(superblock: &Superblock) -> Self {
        let hex: String = superblock.uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        let uuid = match superblock.kind {
            Kind::Vfat | Kind::Exfat => format!("{}-{}", &hex[..4], &hex[4..8]).to_uppercase(),
            _ => [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"),
        };
        Self {
            kind: superblock.kind.family(),
            label: superblock.label.clone(),
            uuid: Some(uuid),
            len_bytes: Some(superblock.len_bytes),
            needs_recovery: superblock.dirty,
        }
    }
}

impl From<Refusal> for ErrorKind {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Kind(kind, _) => kind,
            Refusal::Below(error) => error.kind(),
        }
    }
}
