//! Captures one medium: copy, find the root file systems, sanitise, pack, commit.

use super::as_tarball;
use super::commit::{self, Published};
use super::copy::copy_medium;
use super::digest_list::DigestList;
use super::give_back_files::GiveBackFiles;
use super::layout::Layout;
use super::marks::{self, Marks};
use super::mounted::with_mounted;
use super::rootfs::{self, Rootfs};
use super::sanitise_medium::SanitiseMedium;
use super::survey::{self, Part};
use super::work::{self, Work};
use super::{checksums, pack_disk, pack_tar, remains, tar_entries, wipe};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::formats::block_map::{self, BlockMap};
use crate::formats::codec::{XzSettings, ZstdSettings};
use crate::formats::digest::Algorithm;
use crate::formats::encoder::Encoding;
use crate::formats::tar::Index;
use crate::media::Medium;
use crate::names::{self, Extension, ImageName};
use crate::operation::Operation;
use crate::options::CaptureCompression;
use crate::ranges;
use crate::report::Done;
use crate::sanitise_rules::Rules;
use crate::size::Size;
use crate::source_record::{IndexRecord, RootRecord, SourceRecord, stamp};
use crate::verify::{Packed, Verified};
use replicator_hal::{Access, BlockDevice, CacheBypass, Holder, Region, RelativePath, Uuid, VolumeFile};
use std::cell::Cell;
use std::ops::Range;

/// The note for a medium that cannot be distinguished from its clones.
const UNPROTECTED: &str = "the medium has no serial number, and no machine id or host key was removed from the image: \
                           writing the image back to this medium will not be refused";

/// Captures `medium` under its final name. If it fails, its work files are removed, so that the drive has room.
pub(super) fn capture(
    context: &Context<'_>,
    operation: &Operation<'_>,
    work: &Work<'_>,
    rules: Option<&Rules>,
    medium: &Medium,
) -> Result<(Published, Done)> {
    let Some(device) = &medium.device else {
        return Err(Error::Internal { detail: format!("{} has no device", medium.name()) });
    };
    let job = Job { context, operation, work, rules, medium, device, is_wiped: Cell::new(false) };
    job.run().inspect_err(|_| {
        let is_secret = rules.is_some() && !job.is_wiped.get();
        if let Err(second) = work.remove_leftovers(operation, is_secret) {
            operation.log(&format!("further failure: {second}"));
            if is_secret {
                operation.short_step(work::MAY_STAY);
            }
        }
    })
}

/// A packed file with its name; it is not synced yet.
type InHand = (ImageName, Box<dyn VolumeFile>, Packed);

/// What lies beside an image: the record of a tarball's root file system and its index, the block map of a disk image.
#[derive(Default)]
struct Beside {
    root: Option<RootRecord>,
    index: Option<Index>,
    map: Option<BlockMap>,
}

struct Job<'a> {
    context: &'a Context<'a>,
    operation: &'a Operation<'a>,
    work: &'a Work<'a>,
    rules: Option<&'a Rules>,
    medium: &'a Medium,
    device: &'a BlockDevice,
    /// Whether the working image holds no data that the finished image does not hold.
    is_wiped: Cell<bool>,
}

impl Job<'_> {
    fn run(&self) -> Result<(Published, Done)> {
        let (operation, work, name) = (self.operation, self.work, self.medium.name());
        operation.short_step(&format!("capturing {} ({})", self.device.name, Size(self.device.len_bytes)));
        let image = work.image_path(name)?;
        let holder = Holder::File { volume: work.drive.id(), path: image.clone() };
        let mut notes = Vec::new();
        let (layout, shown) = copy_medium(operation, work, self.device, &image, self.rules.is_some())?;
        notes.extend(layout.note.clone());
        let hint = self.medium.profile.rootfs_partition;
        let parts = survey::look(operation, &layout, &holder)?;
        survey::refuse_misread(&shown, &parts)?;
        let roots = rootfs::find(operation, &parts, &holder, hint, self.rules.is_some(), &mut notes)?;
        let before = self.marks(&roots)?;
        let mut tree_notes = Vec::new();
        let tree = self.tree(&layout, roots.first(), &mut tree_notes);
        let sanitised = self.sanitiser(&holder, &parts, &roots, tree);
        match &sanitised {
            Some(sanitised) => sanitised.run(&mut notes)?,
            None => notes.push("not sanitised, because sanitise = false is set".to_owned()),
        }
        let marks = marks::of_golden(&before, &self.marks(&roots)?);
        if self.device.identity.is_none() && marks.is_empty() {
            notes.push(UNPROTECTED.to_owned());
        }
        if let Some(root) = roots.first().filter(|root| layout.is_single && !root.is_packed_as_files()) {
            notes.push(format!(
                "captured as a disk image, because a tarball would restore {root} as another file system"
            ));
        }
        let mut unused = self.wipe(&layout, &holder, &image, &mut notes)?;
        notes.append(&mut tree_notes);
        let mut tarball = None;
        if let Some(rootfs) = tree {
            tarball = self.pack_tree(&image, &rootfs.region, &unused, &mut notes)?;
            if let (None, Some(sanitised)) = (&tarball, &sanitised) {
                notes.extend(sanitised.add_list(rootfs)?);
                // The list takes blocks that were unused. The notes are the same again.
                unused = self.wipe(&layout, &holder, &image, &mut Vec::new())?;
            }
        }
        let mut more = Beside::default();
        let in_hand = match tarball {
            Some((tarball, index)) => {
                more.root = tree.map(|rootfs| self.root_record(rootfs, &layout));
                more.index = index;
                tarball
            }
            None => {
                let (disk, map) = self.pack_disk(&unused, &image)?;
                more.map = Some(map);
                disk
            }
        };
        let (image_name, verified, cache_bypass) = self.verify(&image, in_hand)?;
        let published = self.commit(&image_name, &verified, more, marks)?;
        let done = Done::captured(&verified, cache_bypass, notes);
        Ok((published, done))
    }

    /// The marks of this medium, if it has no identity and is sanitised.
    fn marks(&self, roots: &[Rootfs]) -> Result<Marks> {
        match self.device.identity.is_none() && self.rules.is_some() {
            true => marks::in_roots(self.operation, roots),
            false => Ok(Marks::new()),
        }
    }

    /// Sanitises the working image; `None` if the options turn it off.
    fn sanitiser<'b>(
        &'b self,
        image: &'b Holder,
        parts: &'b [Part],
        roots: &'b [Rootfs],
        tree: Option<&'b Rootfs>,
    ) -> Option<SanitiseMedium<'b>> {
        let (context, operation, medium) = (self.context, self.operation, self.medium.name());
        let rules = self.rules?;
        Some(SanitiseMedium { context, operation, rules, medium, image, parts, roots, tree })
    }

    /// The root file system to pack, if the medium becomes a tarball.
    fn tree<'r>(
        &self,
        layout: &Layout,
        rootfs: Option<&'r Rootfs>,
        notes: &mut Vec<String>,
    ) -> Option<&'r Rootfs> {
        let rootfs = rootfs.filter(|root| layout.is_single && root.is_packed_as_files())?;
        match as_tarball::obstacle(layout, rootfs, &self.medium.profile, notes) {
            None => Some(rootfs),
            Some(why) => {
                notes.push(format!("captured as a disk image: {why}"));
                None
            }
        }
    }

    /// The unused ranges of the working image. If the image is sanitised, they are overwritten.
    fn wipe(
        &self,
        layout: &Layout,
        holder: &Holder,
        image: &RelativePath,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Range<u64>>> {
        let (operation, work) = (self.operation, self.work);
        if self.rules.is_none() {
            return Ok(layout.unused(operation, holder, false));
        }
        let unused = remains::find(operation, work, layout, image, notes)?;
        wipe::unused(operation, &work.drive, image, &unused)?;
        self.is_wiped.set(true);
        Ok(unused)
    }

    /// The name of the image of this medium.
    fn image_name(&self, extension: Extension) -> ImageName {
        ImageName {
            medium: self.medium.name().to_owned(),
            extension,
            compression: self.encoding().compression(),
        }
    }

    /// Packs the working image as a disk image, without the bytes in `unused`.
    fn pack_disk(&self, unused: &[Range<u64>], image: &RelativePath) -> Result<(InHand, BlockMap)> {
        let (operation, work) = (self.operation, self.work);
        let name = self.image_name(Extension::Dd);
        let mut file = work.create(operation, &work.path(&name.to_string())?)?;
        let encoding = self.encoding();
        let (packed, map) = pack_disk::pack(operation, &work.drive, image, unused, &encoding, &mut *file)?;
        Ok(((name, file, packed), map))
    }

    /// Removes the working image, and reads the packed file back.
    fn verify(
        &self,
        image: &RelativePath,
        (name, file, packed): InHand,
    ) -> Result<(ImageName, Verified, CacheBypass)> {
        let (operation, work) = (self.operation, self.work);
        let path = work.path(&name.to_string())?;
        work::remove_if_there(operation, &work.drive, image)?;
        let cache_bypass = commit::sync_and_close(operation, file, &name.to_string())?;
        let verified = commit::verify(operation, work, &path, name.compression, &packed)?;
        Ok((name, verified, cache_bypass))
    }

    /// Packs the files in `region` of `image`, which does not use `unused`, as a tarball. `None`, and a note, if a tarball cannot
    /// hold them; then the image is still complete, and the tarball is removed again.
    fn pack_tree(
        &self,
        image: &RelativePath,
        region: &Region,
        unused: &[Range<u64>],
        notes: &mut Vec<String>,
    ) -> Result<Option<(InHand, Option<Index>)>> {
        let (operation, work) = (self.operation, self.work);
        let name = self.image_name(Extension::Tar);
        let encoding = self.encoding();
        let path = work.path(&name.to_string())?;
        let mut file = work.create(operation, &path)?;
        let used_bytes = self.device.len_bytes.saturating_sub(ranges::len_bytes(unused));
        // Headers may take more than the inodes.
        let packed_bytes = used_bytes.saturating_add(used_bytes / 8);
        let zeros = if self.is_wiped.get() { unused } else { &[] };
        let mut give_back = GiveBackFiles::new(operation, work.drive, image, region, packed_bytes, zeros)?;
        let packed = with_mounted(operation, region, Access::ReadOnly, |volume| {
            let list = self.rules.map(|_| DigestList::new(operation, work));
            if give_back.is_some() {
                // Once something is given back, the image cannot become a disk image any more.
                tar_entries::check(operation, &volume, list.is_some())?;
            }
            pack_tar::pack(operation, &volume, &encoding, &mut *file, list, give_back.as_mut(), notes)
        });
        let is_complete = give_back.as_ref().is_none_or(GiveBackFiles::is_complete);
        let why = match packed {
            Ok((packed, index)) => {
                give_back.map_or(Ok(()), GiveBackFiles::finish)?;
                return Ok(Some(((name, file, packed), index)));
            }
            Err(error) if is_complete => tar_entries::why_no_tarball(&error).ok_or(error)?,
            Err(error) => return Err(error),
        };
        drop(give_back);
        notes.push(format!("captured as a disk image: a tarball cannot hold all files: {why}"));
        operation.short_step(&format!("a tarball cannot hold all files ({why}): packing a disk image"));
        file.close().map_err(Error::hal(format!("closing {path} on the drive")))?;
        // Its space is needed, and that of the list of digests.
        work::remove_if_there(operation, &work.drive, &path)?;
        work::remove_if_there(operation, &work.drive, &work.path(checksums::LIST)?)?;
        work.sync()?;
        Ok(None)
    }

    /// The names of the root file system, for the record.
    fn root_record(&self, rootfs: &Rootfs, layout: &Layout) -> RootRecord {
        let found = rootfs.part.file_system.as_ref();
        let uuid = found.and_then(|found| found.uuid.as_deref()).and_then(Uuid::parse);
        let label = found.and_then(|found| found.label.clone());
        RootRecord::new(uuid, label, layout.identity.as_ref())
    }

    fn commit(
        &self,
        image: &ImageName,
        verified: &Verified,
        Beside { root, index, map }: Beside,
        marks: Vec<String>,
    ) -> Result<Published> {
        let index_record = match (&index, verified.file_md5(), verified.content_hash()) {
            (Some(index), Some(file_md5), Some(image)) => {
                Some(IndexRecord::new(file_md5, image.hash, index.hash, index.decoded_len_bytes))
            }
            _ => None,
        };
        let record = SourceRecord {
            medium: self.medium.name().to_owned(),
            board: self.context.profile.name.clone(),
            identity: self.device.identity.clone(),
            kind: self.device.kind.to_string(),
            len_bytes: self.device.len_bytes,
            captured: stamp(self.context.board.clock.wall()),
            version: self.context.version.to_owned(),
            image_md5: verified.digest(Algorithm::Md5).map(ToString::to_string),
            marks,
            index: index_record,
            root,
        };
        let text = record
            .to_toml()
            .map_err(|error| Error::Internal { detail: format!("the source record: {error}") })?;
        let record = (SourceRecord::file_name(self.medium.name()), text.into_bytes());
        let map = map.map(|map| (format!("{}{}", image.uncompressed(), block_map::EXTENSION), map.to_xml()));
        let index = index.map(|index| (names::archive_index(image), index.bytes));
        let more = std::iter::once(record).chain(index).chain(map).collect();
        commit::publish(self.operation, self.work, image, verified, more)
    }

    /// How to compress.
    fn encoding(&self) -> Encoding {
        let settings = &self.context.options.settings.capture;
        let tuning = &self.context.tuning;
        match self.context.options.compress {
            CaptureCompression::None => Encoding::Plain,
            CaptureCompression::Xz => Encoding::Xz(XzSettings {
                preset: settings.xz_preset,
                dictionary_len_bytes: settings
                    .xz_dictionary_kib
                    .map(|kib| kib.saturating_mul(1024))
                    .or(tuning.xz.dictionary_len_bytes),
                block_len_bytes: tuning.xz.block_len_bytes,
            }),
            CaptureCompression::Zstd => Encoding::Zstd(ZstdSettings {
                level: settings.zstd_level,
                frame_len_bytes: tuning.zstd.frame_len_bytes,
            }),
        }
    }
}
