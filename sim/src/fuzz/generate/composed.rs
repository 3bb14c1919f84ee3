//! Media partition by partition: several root file systems, data, swap, FAT with deleted files, and content that
//! cannot be examined.
//!
//! They are small, because the cost of a run is in bytes. A partition is as long as its content needs.

use super::{KIB, Swarm};
use crate::model::hardware::simfs::Kind;
use crate::scenario::composition::{Gap, Holds, PartFile, PartitionSpec, Scheme};
use crate::scenario::schema::{MediumSpec, Size};

/// Length of the gap before the first partition, on all media of this kind.
const GAP_LEN_BYTES: u64 = 256 * KIB;
/// Length of the space behind the last one: the copy of a GPT.
const TAIL_LEN_BYTES: u64 = 64 * KIB;
/// Length of the space before each logical partition.
const HEAD_LEN_BYTES: u64 = 64 * KIB;
/// Content of partitions; the usual one is more frequent.
const HOLDS: [Holds; 10] = [
    Holds::Rootfs,
    Holds::Rootfs,
    Holds::Rootfs,
    Holds::Data,
    Holds::Data,
    Holds::Boot,
    Holds::Boot,
    Holds::Swap,
    Holds::Empty,
    Holds::Blank,
];
/// Content that no capture can examine.
const HIDDEN: [Holds; 3] = [Holds::Luks, Holds::Lvm, Holds::Raw];
/// Lines for other file systems in the fstab of a root file system.
const FSTABS: [&str; 5] = [
    "LABEL=data /var ext4 defaults 0 2\n",
    "LABEL=data /home ext4 defaults 0 2\n",
    "# nothing but comments\nLABEL=data /data ext4 noauto 0 0\n",
    "UUID=d0d0d0d0-0000-4000-8000-00000000000d /home ext4 defaults 0 2\n",
    "tmpfs /tmp tmpfs defaults 0 0\n",
];
/// The UUID in one of these lines.
const DATA_UUID: &str = "d0d0d0d0-0000-4000-8000-00000000000d";
/// Immutable, append-only, and flags that no command refuses.
const FLAGS: [&str; 5] = ["i", "a", "d", "A", "dS"];
/// Kinds that root file systems rarely have.
const ROOT_KINDS: [Kind; 4] = [Kind::Ext2, Kind::Ext3, Kind::Btrfs, Kind::Xfs];
/// Size of a golden root file system with the files that scenarios list, in KiB; measured by the test that builds
/// every medium.
const ROOTFS_KIB: u64 = 704;
/// For each listed file: a block, and the space of its directory.
const FILE_KIB: u64 = 8;
/// Times within the range of all file systems, and times outside of the range of some.
const TIMES: [i64; 5] = [-2_208_988_800, -1, 0, 4_294_967_296, 16_000_000_000];

impl Swarm {
    /// Partitions, and the length of a medium for them.
    fn composition(&mut self, has_table: bool) -> (Scheme, Vec<PartitionSpec>, u64) {
        let count = [1, 2, 2, 3, 3, 4][self.random.below(6) as usize];
        let scheme = match count {
            1 if !has_table => self.pick(&[Scheme::Mbr, Scheme::Gpt, Scheme::None]),
            1 => self.pick(&[Scheme::Mbr, Scheme::Gpt]),
            _ => self.pick(&[Scheme::Mbr, Scheme::Gpt, Scheme::Logical]),
        };
        let mut parts: Vec<PartitionSpec> = (0..count).map(|_| self.partition()).collect();
        let mut len_bytes = if scheme == Scheme::None { 0 } else { GAP_LEN_BYTES + TAIL_LEN_BYTES };
        for part in &mut parts {
            let part_len = self.part_len(part);
            part.len = (scheme != Scheme::None).then_some(Size(part_len));
            len_bytes += part_len + if scheme == Scheme::Logical { HEAD_LEN_BYTES } else { 0 };
        }
        if let Some(first) = parts.first_mut().filter(|_| scheme != Scheme::None) {
            first.start = Some(Size(GAP_LEN_BYTES));
        }
        (scheme, parts, len_bytes)
    }

    fn part_len(&mut self, part: &PartitionSpec) -> u64 {
        let kib = match part.holds {
            Holds::Rootfs => {
                let listed: u64 = part.files.iter().map(|file| u64::from(file.count.unwrap_or(1))).sum();
                (ROOTFS_KIB + FILE_KIB * listed).next_multiple_of(64) + 64 * self.random.below(3)
            }
            Holds::Boot => 192,
            Holds::Data | Holds::Empty => 192 + 64 * self.random.below(2),
            Holds::Swap => 64 + 4 * self.random.below(4),
            Holds::Luks | Holds::Lvm | Holds::Raw | Holds::Blank => 64,
        };
        kib * KIB
    }

    fn partition(&mut self) -> PartitionSpec {
        let holds = if self.one_in(24) { self.pick(&HIDDEN) } else { self.pick(&HOLDS) };
        let mut part = PartitionSpec::new(holds);
        match holds {
            Holds::Rootfs => {
                part.fstab = self.one_in(2).then(|| self.pick(&FSTABS).to_owned());
                part.label = self.one_in(3).then(|| "rootfs".to_owned());
                part.uuid = self
                    .one_in(3)
                    .then(|| format!("{:08x}-0000-4000-8000-00000000000a", self.random.next() as u32));
                part.file_system = self.one_in(4).then(|| self.pick(&ROOT_KINDS));
                part.dirty = self.one_in(6);
            }
            Holds::Data => {
                part.secrets = self.one_in(2);
                part.uuid = self.one_in(3).then(|| DATA_UUID.to_owned());
                part.file_system = self.one_in(8).then(|| self.pick(&[Kind::Ext2, Kind::Ext3, Kind::Exfat]));
            }
            Holds::Boot | Holds::Empty | Holds::Swap => {
                part.label = self.one_in(3).then(|| "label".to_owned());
            }
            Holds::Luks | Holds::Lvm | Holds::Raw | Holds::Blank => {}
        }
        if let Some(kind) = part.kind() {
            part.files = self.part_files(holds, kind);
        }
        part
    }

    fn part_files(&mut self, holds: Holds, kind: Kind) -> Vec<PartFile> {
        let mut files = Vec::new();
        let file = |path: &str| PartFile { path: path.to_owned(), ..PartFile::default() };
        if self.one_in(2) {
            files.push(PartFile { secret: true, deleted: true, ..file("gone.key") });
        }
        if kind.unix() && self.one_in(4) {
            files.push(PartFile {
                text: Some("dated\n".into()),
                modified: Some(self.pick(&TIMES)),
                ..file("srv/dated")
            });
        }
        if kind.is_ext() && self.one_in(4) {
            let flags = Some(self.pick(&FLAGS).to_owned());
            files.push(PartFile { text: Some("flagged\n".into()), flags, ..file("srv/flagged") });
        }
        if holds == Holds::Rootfs && kind.is_ext() && self.one_in(6) {
            // Files that sanitising removes.
            let flags = Some(self.pick(&FLAGS).to_owned());
            files.push(PartFile { secret: true, flags, ..file("tmp/flagged") });
        }
        if holds == Holds::Rootfs && self.one_in(8) {
            files.push(PartFile { swap: true, len: Some(Size(64 * KIB)), ..file("var/swap") });
        }
        if kind.unix() && self.one_in(6) {
            let link = self.pick(&["/etc", "../..", "nowhere"]).to_owned();
            files.push(PartFile { link: Some(link), ..file("srv/link") });
        }
        if self.one_in(8) {
            files.push(PartFile { text: Some("many\n".into()), count: Some(20), ..file("srv/many/file") });
        }
        files
    }

    /// A line for `/` in the fstab of a root file system, by one of its own names or by a foreign one.
    fn name_root(&mut self, scheme: Scheme, disk_id: Option<&str>, index: usize, part: &mut PartitionSpec) {
        if part.holds != Holds::Rootfs || self.one_in(2) {
            return;
        }
        // Logical partitions have numbers from 5 on.
        let number = if scheme == Scheme::Logical { index + 5 } else { index + 1 };
        let uuid = part.uuid.clone().map(|uuid| format!("UUID={uuid}"));
        let label = part.label.clone().map(|label| format!("LABEL={label}"));
        let part_uuid = match scheme {
            Scheme::Gpt => {
                let guid = format!("{:08x}-0000-4000-8000-0000000000{number:02x}", self.random.next() as u32);
                part.part_uuid = Some(guid.clone());
                Some(format!("PARTUUID={guid}"))
            }
            _ => disk_id.map(|id| format!("PARTUUID={id}-{number:02x}")),
        };
        let mut names: Vec<String> = [uuid, label, part_uuid].into_iter().flatten().collect();
        names.push(format!("/dev/mmcblk0p{number}"));
        if self.one_in(8) {
            names = vec!["UUID=0badc0de-0000-4000-8000-000000000000".to_owned(), "LABEL=nobody".to_owned()];
        }
        let name = names.swap_remove(self.random.below(names.len() as u64) as usize);
        let rest = part.fstab.take().unwrap_or_default();
        part.fstab = Some(format!("{name} / ext4 defaults 0 1\n{rest}"));
    }

    /// A composed medium; with `has_table` one for a disk image.
    pub(super) fn composed(&mut self, has_table: bool) -> MediumSpec {
        let (scheme, mut partitions, len_bytes) = self.composition(has_table);
        let disk_id = (scheme != Scheme::Gpt && scheme != Scheme::None && self.one_in(2))
            .then(|| "c0ffee42".to_owned());
        for (index, part) in partitions.iter_mut().enumerate() {
            self.name_root(scheme, disk_id.as_deref(), index, part);
        }
        MediumSpec {
            len: Size(len_bytes),
            disk_id,
            gap: self.pick(&[Gap::Stamped, Gap::Bootloader, Gap::Zeros]),
            scheme,
            partitions,
            ..MediumSpec::default()
        }
    }
}
