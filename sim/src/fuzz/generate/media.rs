//! Draws the media, and the files on the drive for them.

use super::{KIB, MIB, Swarm, text_file};
use crate::scenario::schema::{
    Container, Content, Discard, FileSpec, FileSystemDamage, ImageDamage, MapSpec, MediumSpec, Scheme,
    SidecarSpec, Size, TableDamage,
};

/// Damage for any file.
const DAMAGES: [ImageDamage; 7] = [
    ImageDamage::Truncated,
    ImageDamage::CutBefore,
    ImageDamage::OneByteShort,
    ImageDamage::BitFlipped,
    ImageDamage::Empty,
    ImageDamage::Concatenated,
    ImageDamage::TrailingGarbage,
];
/// Right ones first.
const SIDECARS: [SidecarSpec; 10] = [
    SidecarSpec::None,
    SidecarSpec::Content,
    SidecarSpec::File,
    SidecarSpec::Both,
    SidecarSpec::Sha256,
    SidecarSpec::Crlf,
    SidecarSpec::Wrong,
    SidecarSpec::WrongFile,
    SidecarSpec::Malformed,
    SidecarSpec::OtherName,
];
/// Right ones first.
const MAPS: [MapSpec; 8] = [
    MapSpec::Right,
    MapSpec::LeavesOutData,
    MapSpec::Sha1,
    MapSpec::WithoutChecksums,
    MapSpec::OfAnotherImage,
    MapSpec::OfAnotherLength,
    MapSpec::Damaged,
    MapSpec::UnknownVersion,
];
const RIGHT_MAPS: usize = 4;
/// Half of the media read as zeros after a discard, as most real ones do.
pub(super) const DISCARDS: [Discard; 8] = [
    Discard::Unsupported,
    Discard::Refused,
    Discard::Nothing,
    Discard::Ones,
    Discard::Partly,
    Discard::Zeros,
    Discard::Zeros,
    Discard::Zeros,
];
const RIGHT_SIDECARS: usize = 6;
const FILE_SYSTEMS: [&str; 5] = ["ext2", "ext3", "ext4", "ext4compat", "ext4gpt"];
/// Length with room behind the first 4 MiB, where the partition of a tarball starts.
const TARBALL_MEDIUM_LEN_BYTES: u64 = 8 * MIB;

impl Swarm {
    /// Most media are tiny, because the cost of a run is in bytes.
    fn len_bytes(&mut self, content: Content) -> u64 {
        let lens: &[u64] = match content {
            Content::Logical => &[2],
            _ => &[1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 4],
        };
        self.pick(lens) * MIB
    }

    pub(super) fn captured(&mut self) -> MediumSpec {
        let content = self.content();
        let len_bytes = self.len_bytes(content);
        let composed = self.composed && self.one_in(2);
        let base = if composed { self.composed(false) } else { medium(content, len_bytes) };
        let damage = (self.damage && self.one_in(2))
            .then(|| self.pick(&[FileSystemDamage::Repairable, FileSystemDamage::Fatal]));
        let table = if !composed && self.tables && self.one_in(2) { self.table(content) } else { None };
        let link = self.odd && self.one_in(4);
        MediumSpec {
            absent: self.one_in(16),
            dirty: self.one_in(4),
            damage,
            table,
            write_cache: self.write_caches && self.one_in(2),
            held_open: self.one_in(8),
            held_elsewhere: self.one_in(32),
            no_identity: self.one_in(12),
            rootfs_partition: self.one_in(12).then(|| 1 + self.random.below(3) as u32),
            var_log_link: link.then(|| self.pick(&["/data/log", "../../../../../data/log"]).to_owned()),
            ..base
        }
    }

    /// Damage for the table of such a medium.
    fn table(&mut self, content: Content) -> Option<TableDamage> {
        let possible: &[TableDamage] = match content {
            Content::BootAndRoot | Content::RootAndData => &[TableDamage::Overlapping, TableDamage::PastEnd],
            Content::Single | Content::Data => &[TableDamage::PastEnd],
            Content::SingleGpt | Content::Gpt => &[TableDamage::Hybrid, TableDamage::ProtectiveOnly],
            Content::Stamped | Content::Blank | Content::Logical | Content::Rootfs => return None,
        };
        Some(self.pick(possible))
    }

    /// A medium to be written, and its files.
    pub(super) fn written(&mut self, name: &str, unix: bool) -> (MediumSpec, Vec<FileSpec>) {
        let tarball = self.one_in(2);
        // bzip2 needs more time for stamped sectors than the rest of a run together.
        let compression = match tarball || self.one_in(8) {
            true => self.pick(&["xz", "gz", "zst", "bz2", ""]),
            false => self.pick(&["xz", "xz", "gz", "zst", ""]),
        };
        let dot = if compression.is_empty() { "" } else { "." };
        let packing = if tarball { "tar" } else { "dd" };
        let content = match self.content() {
            // A file that is not a disk image is refused, so most of the time another content is better.
            Content::Blank | Content::Stamped if !tarball && !self.one_in(4) => Content::BootAndRoot,
            content => content,
        };
        let image_len = self.len_bytes(content);
        let sidecars = if self.damage { &SIDECARS[..] } else { &SIDECARS[..RIGHT_SIDECARS] };
        let mut file = text_file(&format!("{name}image.{packing}{dot}{compression}"));
        file.text = None;
        file.image = Some(if tarball { Content::Rootfs } else { content });
        file.image_len = (!tarball).then_some(Size(image_len));
        if !tarball && self.composed && self.one_in(2) {
            let shown = self.composed(true);
            file.image = None;
            file.image_len = Some(shown.len);
            (file.scheme, file.disk_id, file.gap, file.partitions) =
                (shown.scheme, shown.disk_id, shown.gap, shown.partitions);
        }
        let image_len = file.image_len.map_or(image_len, |len| len.0);
        let is_gpt = match file.image {
            Some(content) => matches!(content, Content::Gpt | Content::SingleGpt),
            None => file.scheme == Scheme::Gpt,
        };
        let medium_len = if tarball {
            TARBALL_MEDIUM_LEN_BYTES
        } else if is_gpt && self.one_in(4) {
            image_len - 16 * KIB
        } else if self.one_in(4) {
            2 * image_len
        } else {
            image_len
        };
        file.sidecar = self.pick(sidecars);
        let maps = if self.damage { &MAPS[..] } else { &MAPS[..RIGHT_MAPS] };
        file.map = (!tarball && self.one_in(2)).then(|| self.pick(maps));
        file.inside = (self.damage && !tarball && self.one_in(8)).then(|| self.pick(&Container::ALL));
        file.damage = (self.damage && self.one_in(2)).then(|| self.damage_of(tarball, compression));
        // Only a whole MiB has room for a root file system.
        let contents = [Content::Blank, Content::Stamped, Content::Stamped, Content::Single];
        let before = self.pick(if medium_len < MIB { &contents[..3] } else { &contents });
        let mut medium = medium(before, medium_len);
        medium.absent = self.one_in(32);
        medium.file_system = self.one_in(2).then(|| self.pick(&FILE_SYSTEMS).to_owned());
        medium.held_open = self.one_in(4);
        medium.no_identity = self.one_in(12);
        medium.write_cache = self.write_caches && self.one_in(2);
        medium.discard = self.pick(&DISCARDS);
        let files = if self.one_in(8) { Vec::new() } else { self.odd_file(file, name, unix) };
        (medium, files)
    }

    fn damage_of(&mut self, tarball: bool, compression: &str) -> ImageDamage {
        if compression == "xz" && self.one_in(2) {
            return self.pick(&[ImageDamage::IndexMismatch, ImageDamage::CrcMismatch]);
        }
        if tarball && self.one_in(3) {
            return ImageDamage::TarCutAtMember;
        }
        self.damage_of_any()
    }

    /// Damage for any file.
    pub(super) fn damage_of_any(&mut self) -> ImageDamage {
        self.pick(&DAMAGES)
    }

    /// Damage for a file that is not an image.
    pub(super) fn damage_of_firmware(&mut self) -> ImageDamage {
        match self.damage_of_any() {
            ImageDamage::CutBefore => ImageDamage::Truncated,
            damage => damage,
        }
    }

    /// The file, or a link to it, or with a record of its source, or something else with its name.
    fn odd_file(&mut self, mut file: FileSpec, medium: &str, unix: bool) -> Vec<FileSpec> {
        if !self.odd || self.one_in(2) {
            return vec![file];
        }
        let name = file.name.clone();
        let mut link = text_file(&name);
        link.text = None;
        match self.random.below(if unix { 6 } else { 3 }) {
            0 | 1 => {
                let other = if medium == "sd" { "emmc" } else { "sd" };
                file.captured_from = Some(if self.one_in(2) { medium } else { other }.to_owned());
                vec![file]
            }
            2 => {
                link.directory = true;
                vec![link]
            }
            3 | 4 => {
                file.name = format!("images/{name}");
                link.link = Some(self.pick(&["images/", "/mnt/usb/images/", "./images/"]).to_owned() + &name);
                vec![file, link]
            }
            _ => {
                let elsewhere = ["nowhere", "../../../etc/passwd", name.as_str()];
                link.link = Some(self.pick(&elsewhere).to_owned());
                vec![link]
            }
        }
    }
}

pub(super) fn medium(content: Content, len_bytes: u64) -> MediumSpec {
    MediumSpec { len: Size(len_bytes), content, ..MediumSpec::default() }
}
