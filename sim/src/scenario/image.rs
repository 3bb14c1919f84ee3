//! Image files and their sidecars on the drive, made with common libraries from a scenario.

use super::content::{self, Golden, Key, Layout, Owner};
use super::schema::{FileSpec, FirmwareFileSpec, FirmwareKind, ImageDamage, Scenario, SidecarSpec};
use crate::model::bytes::digest::{hex, md5_hex};
use crate::model::bytes::pages::Pages;
use crate::model::bytes::tree::{self, Tree};
use crate::model::hardware::content::{Entry, Node};
use crate::model::hardware::found::{self, files_in};
use crate::scenario::cache::Cache;
use md5::Digest as _;
use replicator_engine::formats::tar;
use replicator_hal::{FileKind, InodeFlags, NodeKind, RelativePath};
use std::io::Write;
use std::ops::Range;
use std::sync::LazyLock;

/// The decoded length of a bomb: more than any medium of a scenario holds.
const BOMB_LEN_BYTES: usize = 48 << 20;
/// Length of the scratch medium on which trees are made before they are packed.
const SCRATCH_LEN_BYTES: u64 = 8 << 20;
/// Pieces of this many zeros become holes.
const HOLE_LEN_BYTES: usize = 4096;

/// Images that were already made, with their sidecars.
static IMAGES: LazyLock<Cache<Key<FileSpec>, Vec<Entry>>> = LazyLock::new(|| Cache::new(256));

/// The entries on the drive for one file of a scenario: itself, its sidecars, its record.
///
/// # Errors
/// The error in the scenario.
pub fn entries(scenario: &Scenario, file: &FileSpec) -> Result<Vec<Entry>, String> {
    let kinds = [
        file.text.is_some(),
        file.link.is_some(),
        file.directory,
        file.device_node,
        file.image.is_some(),
        !file.partitions.is_empty(),
        file.firmware.is_some(),
    ];
    if kinds.iter().filter(|given| **given).count() != 1 {
        return Err(format!(
            "{}: exactly one of text, link, directory, device_node, image, partition and firmware must be given",
            file.name
        ));
    }
    if let Some(text) = &file.text {
        return Ok(vec![Entry::file(&file.name, text.as_bytes())]);
    }
    if let Some(text) = &file.link {
        return Ok(vec![Entry::symlink(&file.name, text)]);
    }
    if file.device_node {
        return Ok(vec![Entry::node(&file.name, Node::BlockDevice(179, 0))]);
    }
    if let Some(firmware) = &file.firmware {
        return firmware_entries(file, firmware);
    }
    if file.is_image() {
        let owner = Owner::in_scenario(scenario, "", 1);
        return IMAGES.get_or_make(owner.key(file), || image_entries(scenario, file));
    }
    Ok(vec![Entry::directory(&file.name)])
}

fn firmware_entries(file: &FileSpec, firmware: &FirmwareFileSpec) -> Result<Vec<Entry>, String> {
    let whole = super::firmware::file(firmware);
    let mut bytes = whole.clone();
    damage(&mut bytes, file.damage).map_err(|what| format!("{}: {what}", file.name))?;
    let mut entries = Vec::new();
    // Sidecars are made from the file before it is damaged.
    for (sidecar, text) in sidecars(file.sidecar, &file.name, &file.name, &whole, &whole) {
        entries.push(Entry::file(&sidecar, text));
    }
    let mut entry = Entry::file(&file.name, bytes);
    if firmware.kind == FirmwareKind::Program && !firmware.not_executable {
        entry.mode = 0o755;
    }
    entries.push(entry);
    Ok(entries)
}

/// Parts of an image's name: directory with its slash, medium, packing, compression.
struct Name<'a> {
    directory: &'a str,
    medium: &'a str,
    packing: &'a str,
    compression: &'a str,
}

fn split(file: &FileSpec) -> Result<Name<'_>, String> {
    let start = file.name.rfind('/').map_or(0, |slash| slash + 1);
    let (directory, base) = file.name.split_at(start);
    let (medium, rest) = base
        .split_once("image.")
        .ok_or_else(|| format!("{}: the name of an image is <medium>image.<...>", file.name))?;
    let (packing, compression) = rest.split_once('.').unwrap_or((rest, "none"));
    Ok(Name {
        directory,
        medium,
        packing: file.packing.as_deref().unwrap_or(packing),
        compression: file.compression.as_deref().unwrap_or(compression),
    })
}

fn image_entries(scenario: &Scenario, file: &FileSpec) -> Result<Vec<Entry>, String> {
    let name = split(file)?;
    let owner = Owner::in_scenario(scenario, name.medium, 1);
    let mut plain = match name.packing {
        "tar" => tarball_of(file, tree_of(file, &owner)?)?,
        "dd" | "img" | "wic" => content::image(file, &owner).map_err(|error| error.to_string())?.to_vec(),
        other => return Err(format!("{}: unknown packing {other:?}", file.name)),
    };
    if file.damage == Some(ImageDamage::TarCutAtMember) {
        let border = member_border(&plain);
        plain.truncate(border);
    }
    if file.damage == Some(ImageDamage::CutBefore) {
        plain.truncate(plain.len() / 4 * 3);
    }
    if file.damage == Some(ImageDamage::LogicalPastEnd) {
        content::lengthen_last_logical(&mut plain).map_err(|what| format!("{}: {what}", file.name))?;
    }
    if let Some(at) = file.data_at {
        let at = usize::try_from(at.0).map_err(|error| error.to_string())?;
        let place = plain.get_mut(at..at + 512).ok_or("data_at is behind the end of the image")?;
        place.fill(0x5a);
    }
    if let Some(container) = file.inside {
        plain = container.around(&plain)?;
    }
    if file.damage == Some(ImageDamage::Bomb) {
        plain = vec![0; BOMB_LEN_BYTES];
    }
    let mut bytes = compress(name.compression, &plain)?;
    damage(&mut bytes, file.damage).map_err(|what| format!("{}: {what}", file.name))?;
    if let Some(trailer) = file.trailer {
        bytes.extend_from_slice(&trailer.bytes(&plain)?);
    }
    if file.damage == Some(ImageDamage::Concatenated) {
        plain.extend_from_within(..);
    }
    let mut entries = vec![];
    let base = file.name.rsplit('/').next().unwrap_or(&file.name);
    let uncompressed = base.strip_suffix(&format!(".{}", extension(base))).unwrap_or(base);
    for (sidecar, text) in sidecars(file.sidecar, base, uncompressed, &plain, &bytes) {
        entries.push(Entry::file(&format!("{}{sidecar}", name.directory), text));
    }
    if let Some(map) = file.map {
        let text = super::map_spec::text(&plain, map);
        entries.push(Entry::file(&format!("{}{uncompressed}.bmap", name.directory), text));
    }
    if let Some(medium) = &file.captured_from {
        let mut text = format!(
            "medium = \"{medium}\"\nboard = \"sim\"\nidentity = \"{}\"\nkind = \"SD\"\nlen_bytes = {}\n\
             captured = \"2026-01-01T00:00:00Z\"\nversion = \"0.1.0\"\n",
            super::media::identity_of(medium),
            FileSpec::IMAGE_LEN.0
        );
        if let Some(spec) = file.index {
            let other = tarball(&rootfs_tree(&owner)?)?;
            let (index, record) = super::index_spec::index(spec, &plain, &other, &bytes)?;
            text.push_str(&record);
            entries.push(Entry::file(&format!("{}{uncompressed}.index", name.directory), index));
        }
        entries.push(Entry::file(&format!("{}{}image.source", name.directory, name.medium), text));
    }
    entries.push(Entry::file(&file.name, bytes));
    Ok(entries)
}

/// The compression at the end of a name, or an empty text.
fn extension(base: &str) -> &str {
    ["xz", "bz2", "gz", "zst"].into_iter().find(|known| base.ends_with(&format!(".{known}"))).unwrap_or("/")
}

/// The golden tree as it is on a medium.
///
/// # Errors
/// If it cannot be made.
pub fn rootfs_tree(owner: &Owner<'_>) -> Result<Tree, String> {
    laid_out(&content::golden(owner, None))
}

/// The tree in a tarball: that of the first listed partition with files, otherwise the golden one.
///
/// # Errors
/// If it cannot be made.
pub fn tree_of(file: &FileSpec, owner: &Owner<'_>) -> Result<Tree, String> {
    let layout = Layout::of_image(file, file.shown_len().0).map_err(|(_, what)| what)?;
    let listed = layout.filter(|_| !file.partitions.is_empty());
    let held = listed.map(|layout| content::held_in(&layout, owner)).unwrap_or_default();
    match held.into_iter().find_map(|held| held.tree) {
        Some(tree) => laid_out(&tree),
        None => rootfs_tree(owner),
    }
}

fn laid_out(tree: &Golden) -> Result<Tree, String> {
    let mut pages = Pages::zeros(SCRATCH_LEN_BYTES);
    let found = tree
        .file_system()
        .build(&mut pages, 0, SCRATCH_LEN_BYTES)
        .and_then(|()| files_in(&pages, 0, SCRATCH_LEN_BYTES))
        .map_err(|error| error.to_string())?;
    Ok(found::tree_of(&found))
}

/// The tarball for `file`, with its overlay, uncompressed.
///
/// # Errors
/// The error in the scenario.
pub fn packed(scenario: &Scenario, file: &FileSpec) -> Result<Vec<u8>, String> {
    let name = split(file)?;
    tarball_of(file, tree_of(file, &Owner::in_scenario(scenario, name.medium, 1))?)
}

/// Packs a tree.
///
/// # Errors
/// If something in it cannot be packed.
pub fn tarball(tree: &Tree) -> Result<Vec<u8>, String> {
    tarball_with(tree, &FileSpec::default())
}

/// The tarball for `file`, with this tree.
fn tarball_of(file: &FileSpec, tree: Tree) -> Result<Vec<u8>, String> {
    file.tarball.dialect(tarball_with(&file.tarball.apply(tree)?, file)?)
}

/// The tree with an overlay, packed as the file requires.
fn tarball_with(tree: &Tree, file: &FileSpec) -> Result<Vec<u8>, String> {
    let attributes_on_links = file.tarball.attributes_on_links;
    let mut writer = tar::Writer::new(Vec::new());
    for (path, node) in tree {
        let entry = tar::Entry {
            path: path.clone(),
            kind: entry_kind(path, node),
            mode: node.mode,
            owner: node.owner,
            modified: node.modified,
            xattrs: node
                .xattrs
                .iter()
                .map(|(name, value)| replicator_hal::Xattr { name: name.clone(), value: value.clone() })
                .collect(),
            flags: InodeFlags::from_bits(node.flags),
        };
        let is_repeated = !matches!(entry.kind, tar::EntryKind::HardLink { .. }) || attributes_on_links;
        let entry = if is_repeated { entry } else { tar::Entry { xattrs: Vec::new(), ..entry } };
        writer.append(&entry).map_err(|error| error.to_string())?;
        if let tar::EntryKind::File { data, .. } = &entry.kind {
            for range in data {
                let piece = &node.bytes[range.start as usize..range.end as usize];
                writer.write_data(piece).map_err(|error| error.to_string())?;
            }
        }
    }
    for entry in &file.overlay {
        entry.append(&mut writer)?;
    }
    writer.finish().map_err(|error| error.to_string())
}

fn entry_kind(path: &RelativePath, node: &tree::Node) -> tar::EntryKind {
    if let Some(first) = node.first_name.as_ref().filter(|first| *first != path) {
        return tar::EntryKind::HardLink { existing: first.clone() };
    }
    let (major, minor) = node.device;
    match node.kind {
        FileKind::Directory => tar::EntryKind::Directory,
        FileKind::Symlink => tar::EntryKind::Symlink { text: node.text.clone() },
        FileKind::CharDevice => tar::EntryKind::Node(NodeKind::CharDevice { major, minor }),
        FileKind::BlockDevice => tar::EntryKind::Node(NodeKind::BlockDevice { major, minor }),
        FileKind::Fifo | FileKind::Socket => tar::EntryKind::Node(NodeKind::Fifo),
        FileKind::File => {
            tar::EntryKind::File { len_bytes: node.bytes.len() as u64, data: data_ranges(&node.bytes) }
        }
    }
}

fn data_ranges(bytes: &[u8]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for (index, piece) in bytes.chunks(HOLE_LEN_BYTES).enumerate() {
        let start = (index * HOLE_LEN_BYTES) as u64;
        let end = start + piece.len() as u64;
        if piece.len() == HOLE_LEN_BYTES && piece.iter().all(|byte| *byte == 0) {
            continue;
        }
        match ranges.last_mut() {
            Some(range) if range.end == start => range.end = end,
            _ => ranges.push(start..end),
        }
    }
    ranges
}

/// The start of a member behind the middle of an archive.
pub(crate) fn member_border(plain: &[u8]) -> usize {
    let mut at = 0;
    while at + 512 <= plain.len() && at < plain.len() / 2 {
        let size = std::str::from_utf8(&plain[at + 124..at + 135]).unwrap_or("0");
        let len = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        // A pax header belongs to the header after it.
        let whole = plain[at + 156] != b'x';
        at += 512 + len.div_ceil(512) * 512;
        if whole && at >= plain.len() / 2 {
            break;
        }
    }
    at
}

fn compress(compression: &str, plain: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| error.to_string();
    match compression {
        "none" => Ok(plain.to_vec()),
        "xz" => {
            let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(plain).map_err(failed)?;
            encoder.finish().map_err(failed)
        }
        "bz2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(plain).map_err(failed)?;
            encoder.finish().map_err(failed)
        }
        "gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(plain).map_err(failed)?;
            encoder.finish().map_err(failed)
        }
        "zst" => zstd::bulk::compress(plain, 1).map_err(failed),
        other => Err(format!("unknown compression {other:?}")),
    }
}

fn damage(bytes: &mut Vec<u8>, damage: Option<ImageDamage>) -> Result<(), String> {
    let len = bytes.len();
    match damage {
        // These were applied before the compression.
        None
        | Some(
            ImageDamage::TarCutAtMember
            | ImageDamage::CutBefore
            | ImageDamage::Bomb
            | ImageDamage::LogicalPastEnd,
        ) => {}
        Some(ImageDamage::IndexMismatch) => xz_index_mismatch(bytes)?,
        Some(ImageDamage::CrcMismatch) => xz_check_mismatch(bytes)?,
        Some(ImageDamage::Truncated) => bytes.truncate(len / 4 * 3),
        Some(ImageDamage::OneByteShort) => bytes.truncate(len.saturating_sub(1)),
        Some(ImageDamage::BitFlipped) => {
            if let Some(byte) = bytes.get_mut(len / 2) {
                *byte ^= 0x10;
            }
        }
        Some(ImageDamage::Empty) => bytes.clear(),
        Some(ImageDamage::Concatenated) => bytes.extend_from_within(..),
        Some(ImageDamage::TrailingGarbage) => bytes.extend_from_slice(b"these bytes belong to no format"),
    }
    Ok(())
}

/// The start of the index of the only stream of an xz file, from its footer (xz file format, 2.1.2).
fn xz_index_start(bytes: &[u8]) -> Option<usize> {
    let footer = bytes.len().checked_sub(12)?;
    let size: [u8; 4] = bytes.get(footer + 4..footer + 8)?.try_into().ok()?;
    footer.checked_sub((u32::from_le_bytes(size) as usize + 1) * 4)
}

/// Changes the uncompressed size of the first block in the index, and recomputes the index's own CRC.
fn xz_index_mismatch(bytes: &mut [u8]) -> Result<(), String> {
    let start = xz_index_start(bytes).ok_or("not an xz file")?;
    let end = bytes.len() - 12 - 4;
    // Indicator, number of records (one byte here), unpadded size, uncompressed size: numbers of 7 bits a byte.
    let unpadded = bytes[start + 2..].iter().position(|byte| *byte < 0x80).ok_or("no index")?;
    bytes[start + 2 + unpadded + 1] ^= 0x01;
    let mut sum = flate2::Crc::new();
    sum.update(&bytes[start..end]);
    bytes[end..end + 4].copy_from_slice(&sum.sum().to_le_bytes());
    Ok(())
}

/// Changes the check of the last block.
fn xz_check_mismatch(bytes: &mut [u8]) -> Result<(), String> {
    let start = xz_index_start(bytes).ok_or("not an xz file")?;
    bytes[start - 1] ^= 0x01;
    Ok(())
}

/// Names and texts of the sidecars.
fn sidecars(
    spec: SidecarSpec,
    base: &str,
    uncompressed: &str,
    plain: &[u8],
    bytes: &[u8],
) -> Vec<(String, String)> {
    let wrong = md5_hex(b"something else");
    let content = || (format!("{uncompressed}.md5"), format!("{}  {uncompressed}\n", md5_hex(plain)));
    let file = || (format!("{base}.md5"), format!("{}  {base}\n", md5_hex(bytes)));
    match spec {
        SidecarSpec::None => vec![],
        SidecarSpec::Content => vec![content()],
        SidecarSpec::File => vec![file()],
        SidecarSpec::Both if base == uncompressed => vec![content()],
        SidecarSpec::Both => vec![content(), file()],
        SidecarSpec::Sha256 => {
            let digest = hex(sha2::Sha256::digest(plain).as_slice());
            vec![(format!("{uncompressed}.sha256"), format!("{digest}  {uncompressed}\n"))]
        }
        SidecarSpec::Wrong => vec![(format!("{uncompressed}.md5"), format!("{wrong}  {uncompressed}\n"))],
        SidecarSpec::WrongFile => vec![(format!("{base}.md5"), format!("{wrong}  {base}\n"))],
        SidecarSpec::Malformed => vec![(format!("{uncompressed}.md5"), "no digest at all\n".to_owned())],
        SidecarSpec::OtherName => {
            vec![(format!("{uncompressed}.md5"), format!("{}  some-other-image.dd\n", md5_hex(plain)))]
        }
        SidecarSpec::Crlf => {
            vec![(format!("{uncompressed}.md5"), format!("{} *{uncompressed}\r\n", md5_hex(plain)))]
        }
    }
}
