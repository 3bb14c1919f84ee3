//! The content of each partition: its files with their fates, and its bytes.

use super::areas;
use super::golden::{Builder, Golden, SECRET_PATHS};
use super::layout::{Layout, Part};
use super::{Owner, held};
use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::bytes::pages::Pages;
use crate::model::hardware::content::{Entry, stamped};
use crate::model::hardware::simfs::Damage;
use crate::scenario::composition::Holds;
use crate::scenario::guid;
use crate::scenario::schema::FileSystemDamage;
use replicator_hal::{Error, ErrorKind, Result};

/// Secrets among the logs of a system.
const LOG_PATHS: [&str; 2] = ["var/log/syslog", "var/log/apt/history.log"];

/// The error for an invalid list of partitions.
pub(super) fn invalid(object: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, "laying out", object, what)
}

/// The UUID of the file system or area in a partition.
pub(super) fn uuid(part: &Part) -> [u8; 16] {
    part.spec.uuid.as_deref().and_then(guid::parse).unwrap_or_else(|| {
        let label = label(part).unwrap_or_default();
        let seed = fold(fold(FOLD_START, label.as_bytes()), &part.start_bytes.to_le_bytes());
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&seed.to_le_bytes());
        uuid[8..].copy_from_slice(&fold(seed, b"content").to_le_bytes());
        uuid
    })
}

/// The label of the file system or area in a partition.
pub(super) fn label(part: &Part) -> Option<&str> {
    part.spec.label.as_deref().or(match part.holds() {
        Holds::Boot => Some("boot"),
        Holds::Data => Some("data"),
        _ => None,
    })
}

/// The files of a partition with their fates; `None` if it has no files.
pub(super) fn tree(layout: &Layout, part: &Part, owner: &Owner<'_>) -> Option<Golden> {
    part.spec.kind()?;
    let secrets = owner.secrets(Some(part));
    let mut builder = match part.holds() {
        Holds::Rootfs => {
            Golden::rootfs(secrets, part.spec.var_log_link.as_deref(), part.spec.fstab.as_deref())
        }
        Holds::Boot => boot_partition(Builder::new(secrets), owner),
        Holds::Data => data_partition(Builder::new(secrets), owner),
        _ => Builder::new(secrets),
    };
    if part.spec.secrets && part.holds() != Holds::Rootfs {
        let below = held::mount_point(layout, part).map(|at| format!("{}/", at.trim_matches('/')));
        let all = SECRET_PATHS.iter().chain(&LOG_PATHS);
        let paths: Vec<&str> = below
            .map(|below| all.filter_map(|path| path.strip_prefix(&*below)).collect())
            .unwrap_or_default();
        if paths.is_empty() {
            builder.kept_secret("keys/device.key");
        }
        paths.into_iter().for_each(|path| builder.secret(path));
    }
    part.spec.files.iter().for_each(|file| builder.listed(file));
    Some(builder.finish())
}

fn boot_partition(mut builder: Builder, owner: &Owner<'_>) -> Builder {
    let text = format!("boot script of {} generation {}\n", owner.medium, owner.generation);
    builder.keep(Entry::file("boot.scr", text.repeat(20)));
    builder.keep(Entry::file("zImage", stamped("kernel", owner.generation, 60_000)));
    builder.keep(Entry::file("dtb/board.dtb", stamped("dtb", owner.generation, 9000)));
    builder
}

fn data_partition(mut builder: Builder, owner: &Owner<'_>) -> Builder {
    let text = format!("measurements of {} generation {}\n", owner.medium, owner.generation);
    builder.keep(Entry::file("measurements.csv", text.repeat(300)).owner(1000, 1000));
    builder.keep(Entry::directory("archive"));
    builder.keep(Entry::file("archive/kept.log", "what a product keeps on its data partition\n"));
    builder
}

/// Writes the content of a partition.
pub(super) fn build(layout: &Layout, part: &Part, owner: &Owner<'_>, pages: &mut Pages) -> Result<()> {
    let place = (part.start_bytes, part.len_bytes);
    match (part.holds(), part.spec.kind(), tree(layout, part, owner)) {
        (_, Some(kind), Some(tree)) => {
            let mut file_system = tree.file_system_of(kind);
            file_system.label = label(part).map(str::to_owned);
            file_system.uuid = Some(uuid(part));
            file_system.dirty = part.spec.dirty;
            file_system.damage = match part.spec.damage {
                None => Damage::None,
                Some(FileSystemDamage::Repairable) => Damage::Repairable,
                Some(FileSystemDamage::Fatal) => Damage::Fatal,
            };
            file_system.build(pages, place.0, place.1)?;
        }
        (Holds::Swap, ..) => {
            areas::swap(pages, place, label(part), uuid(part), &mut owner.secrets(Some(part)));
        }
        (Holds::Luks, ..) => areas::luks(pages, place.0, place.1, &guid::text(&uuid(part))),
        (Holds::Lvm, ..) => areas::lvm(pages, place.0, place.1, owner.medium),
        (Holds::Raw, ..) => pages.write(place.0, &stamped(owner.medium, owner.generation, place.1)),
        _ => {}
    }
    Ok(())
}
