//! Checks all names in the drive's root together: whether they request a write, and which are refused or ignored.
//!
//! A name is refused if ignoring it could skip an image that the user wants to write: the board would be captured
//! instead, or one of its media would be left out, and the LEDs would show success. If that cannot happen, the name is
//! only reported.

use super::{
    FirmwareNames, LookalikeKind, MAP_EXTENSION, NameKind, Packing, SIDECAR_EXTENSIONS, accepted, block_maps,
    classify,
};
use std::collections::BTreeSet;

/// The result for all names in the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Root {
    /// Whether there is an image with an accepted name.
    pub has_image: bool,
    /// Names that are ignored although they look like files that are used, each with the reason.
    pub notes: Vec<String>,
    /// Names that are refused, each with the accepted name.
    pub refused: Vec<String>,
}

/// Facts about the board and the drive's root.
pub(crate) struct Context<'a> {
    /// The board's media, those that are present first.
    pub media: &'a [String],
    /// Firmware files of this board and of all.
    pub firmware: FirmwareNames<'a>,
    /// Names in the root that are targets of accepted names.
    pub linked: &'a BTreeSet<Vec<u8>>,
    /// Whether a name in the root is a directory; called for few names only.
    pub is_directory: &'a dyn Fn(&[u8]) -> bool,
}

/// Checks all names of the drive's root.
pub(crate) fn check_all(names: &[Vec<u8>], context: &Context<'_>) -> Root {
    let kinds: Vec<(&[u8], NameKind)> =
        names.iter().map(|name| (name.as_slice(), classify(name, context.media, context.firmware))).collect();
    let image_of = |wanted: &str| {
        kinds.iter().any(|(_, kind)| matches!(kind, NameKind::Image(image) if image.medium == wanted))
    };
    let has_image = kinds.iter().any(|(_, kind)| matches!(kind, NameKind::Image(_)));
    let has_firmware = kinds.iter().any(|(_, kind)| *kind == NameKind::Firmware);
    let mut root = Root { has_image, ..Root::default() };
    for (name, kind) in &kinds {
        let shown = String::from_utf8_lossy(name);
        match kind {
            NameKind::Lookalike(lookalike) => {
                let is_passed_over = match &lookalike.kind {
                    LookalikeKind::Misspelt => false,
                    LookalikeKind::MisspeltImage(medium) => image_of(medium),
                    LookalikeKind::OtherBoard => has_image || has_firmware,
                    LookalikeKind::Leftover | LookalikeKind::Unassigned => has_image,
                };
                match is_passed_over {
                    // A directory such as `photos.img/` is not meant as an image for a medium.
                    false if lookalike.kind == LookalikeKind::Unassigned && (context.is_directory)(name) => {}
                    false => root.refused.push(format!("{shown}: {}", lookalike.hint)),
                    // The target of a link is used.
                    true if context.linked.contains(*name) => {}
                    true => root.notes.push(format!("{shown} is not used: {}", lookalike.hint)),
                }
            }
            NameKind::UnreadChecksum { hint } if has_image => {
                root.notes.push(format!("{shown} is not used: {hint}"));
            }
            NameKind::Sidecar | NameKind::Unrelated if has_image && is_orphan(name, names, context) => {
                root.notes.push(format!("{shown} is not used: there is no image of that name"));
            }
            NameKind::Unrelated if has_image && is_orphan_map(name, &kinds, context) => {
                root.notes.push(format!("{shown} is not used: it is the block map of no disk image here"));
            }
            _ => {}
        }
    }
    root.notes.extend(unused_images(names, context));
    root
}

/// Whether a file with the extension of a sidecar belongs to no file in the root. Sidecars for media of other boards are
/// not counted.
fn is_orphan(name: &[u8], names: &[Vec<u8>], context: &Context<'_>) -> bool {
    let Ok(text) = std::str::from_utf8(name) else { return false };
    let Some(base) = SIDECAR_EXTENSIONS.iter().find_map(|extension| text.strip_suffix(extension)) else {
        return false;
    };
    if let Some((medium, ..)) = super::split_image(base) {
        if !context.media.iter().any(|known| known == medium) {
            return false;
        }
    }
    !text.starts_with('.')
        && !names.iter().any(|name| name.starts_with(base.as_bytes()) && name != text.as_bytes())
}

/// Whether a file with the extension of a block map belongs to no disk image in the root. The map may have the name of the
/// file that a link points to.
fn is_orphan_map(name: &[u8], kinds: &[(&[u8], NameKind)], context: &Context<'_>) -> bool {
    let text = String::from_utf8_lossy(name);
    if text.starts_with('.') || !text.to_lowercase().ends_with(MAP_EXTENSION) {
        return false;
    }
    let is_map_of = |image: &[u8]| block_maps(&String::from_utf8_lossy(image)).any(|map| map == text);
    let is_disk =
        |kind: &NameKind| matches!(kind, NameKind::Image(image) if image.packing() == Packing::Disk);
    !kinds.iter().any(|(image, kind)| is_disk(kind) && is_map_of(image))
        && !context.linked.iter().any(|target| is_map_of(target))
}

/// Accepted images that are not used, because another one for the same medium is preferred.
fn unused_images(names: &[Vec<u8>], context: &Context<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    for medium in context.media {
        let there = |name: &String| names.iter().any(|found| found.as_slice() == name.as_bytes());
        let mut images = accepted(medium).into_iter().map(|image| image.to_string()).filter(there);
        let Some(first) = images.next() else { continue };
        let images = images.filter(|name| !context.linked.contains(name.as_bytes()));
        notes.extend(images.map(|second| format!("{second} is not used: {first} comes first")));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(names: &[&str], linked: &[&str]) -> Root {
        let names: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let media = ["emmc", "sd"].map(str::to_owned);
        let (own, all) = (["u-boot.imx".to_owned()], ["u-boot.imx", "SPL"].map(str::to_owned));
        let linked = linked.iter().map(|name| name.as_bytes().to_vec()).collect();
        let context = Context {
            media: &media,
            firmware: FirmwareNames { own: &own, all: &all },
            linked: &linked,
            is_directory: &|name| name.ends_with(b".d.img"),
        };
        check_all(&names, &context)
    }

    #[test]
    fn an_image_for_no_medium_is_refused_alone_with_the_command_that_renames_it() {
        for (name, command) in [
            (
                "core-image-minimal-ts7970.wic.xz",
                "mv core-image-minimal-ts7970.wic.xz emmcimage.wic.xz (or to sdimage.wic.xz)",
            ),
            ("2024-03-15-raspios-lite.img.xz", "mv 2024-03-15-raspios-lite.img.xz emmcimage.img.xz"),
            ("debian 12.tar.gz", "mv 'debian 12.tar.gz' emmcimage.tar.gz"),
            ("rootfs.tgz", "mv rootfs.tgz emmcimage.tar.gz"),
            ("backup.dd", "mv backup.dd emmcimage.dd"),
            ("disk.raw.zst", "mv disk.raw.zst emmcimage.dd.zst"),
            ("board.sdcard.gz", "mv board.sdcard.gz emmcimage.img.gz"),
            ("image.dd.xz", "mv image.dd.xz emmcimage.dd.xz"),
        ] {
            let root = checked(&[name], &[]);
            assert!(root.refused.len() == 1 && root.refused[0].contains(command), "{name}: {root:?}");
        }
        assert!(checked(&["photo.img.zip"], &[]).refused[0].contains("unpack it"));
        assert_eq!(checked(&["sdimage.tar.xz.gpg"], &[]).refused.len(), 1, "encrypted, and no signature");
        assert!(checked(&["yocto.ext4"], &[]).refused[0].contains("its media are emmc, sd"));
        for name in [
            "initrd.img",
            "initrd.img-6.1.0",
            "kernel8.img",
            "Image.gz",
            "folder.d.img",
            "a.wic.bmap",
            "firmware.bin",
        ] {
            assert_eq!(checked(&[name], &[]).refused, [""; 0], "{name}");
        }
    }

    #[test]
    fn beside_an_accepted_image_names_for_other_boards_are_only_reported() {
        for name in [
            "sdimage.tar.xz.bak",
            "sdimage.tar.xz~",
            "emmcimage.tar.xz.part",
            "sdimage.tar.xz.crdownload",
            "sdimage (1).tar.xz",
            "sataimage.dd.xz",
            "nvme2image.wic",
            "SPL",
            "core-image.wic.xz",
            "SDIMAGE.TAR.XZ",
            "sdimage-2024.tar.xz",
            "sdimage.tar.xz.sha512",
            "core-image.wic.xz.md5",
            "sdimage.dd.md5",
        ] {
            let root = checked(&[name, "sdimage.tar.xz"], &[]);
            assert_eq!(root.refused, [""; 0], "{name}");
            assert!(root.notes.len() == 1 && root.notes[0].starts_with(name), "{name}: {root:?}");
        }
    }

    #[test]
    fn misspelt_names_for_this_board_are_refused_beside_an_accepted_image() {
        for name in [
            "emcimage.tar.xz",
            "EMMCIMAGE.TAR.XZ",
            "emmcimage.tgz",
            "U-BOOT.IMX",
            "Replicator.toml",
            "SDIMAGE.SOURCE",
            "sdimage.source.txt",
            "sdimage.tar.MD5",
        ] {
            assert_eq!(checked(&[name, "sdimage.tar.xz"], &[]).refused.len(), 1, "{name}");
        }
        assert_eq!(checked(&["SPL"], &[]).refused.len(), 1);
        assert_eq!(checked(&["SPL", "u-boot.imx"], &[]).refused, [""; 0]);
        assert_eq!(checked(&["core-image.wic", "u-boot.imx"], &[]).refused.len(), 1);
    }

    #[test]
    fn files_that_belong_to_an_image_are_not_reported() {
        let root = checked(
            &[
                "sdimage.tar.xz",
                "sdimage.tar.xz.md5",
                "sdimage.tar.md5",
                "sdimage.tar.sha256",
                "sdimage.source",
                "rootfs-v3.tar.xz",
                "rootfs-v3.tar.xz.md5",
                "rootfs-v3.tar.md5",
                "sataimage.dd.md5",
                "README.txt",
            ],
            &["rootfs-v3.tar.xz"],
        );
        assert_eq!(root, Root { has_image: true, ..Root::default() });
        let root = checked(&["sdimage.tar.xz", "sdimage.dd.xz", "sdimage.wic"], &[]);
        assert_eq!(
            root.notes,
            [
                "sdimage.dd.xz is not used: sdimage.tar.xz comes first",
                "sdimage.wic is not used: sdimage.tar.xz comes first"
            ]
        );
        assert_eq!(checked(&["sdimage.tar.sha512", "a.md5"], &[]), Root::default());
    }
}
