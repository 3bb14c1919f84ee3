//! All names in the drive's root together: whether they ask for a write, what has to be refused, what is passed over.
//!
//! A name is refused where passing it over could mean that an image is missed: the board would be captured instead of
//! written, or one of its media left out, under a green light. Where that cannot be, the name is only reported.

use super::{FirmwareNames, LookalikeKind, NameVerdict, SIDECAR_EXTENSIONS, accepted, judge};
use std::collections::BTreeSet;

/// What the names in the root say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Root {
    /// Whether an image with an accepted name is there.
    pub has_image: bool,
    /// Names that are passed over although they look like something that would be used, each with the reason.
    pub notes: Vec<String>,
    /// Names that must be refused, each with what would be accepted.
    pub refused: Vec<String>,
}

/// What is known of the board and of the drive's root.
pub(crate) struct Context<'a> {
    /// The board's media, those that are present first.
    pub media: &'a [String],
    /// Firmware files of this board and of all.
    pub firmware: FirmwareNames<'a>,
    /// Names in the root that accepted names lead to as symlinks.
    pub linked: &'a BTreeSet<Vec<u8>>,
    /// Whether a name in the root is a directory; asked for few names only.
    pub is_directory: &'a dyn Fn(&[u8]) -> bool,
}

/// Judges all names of the drive's root.
pub(crate) fn judge_all(names: &[Vec<u8>], context: &Context<'_>) -> Root {
    let verdicts: Vec<(&[u8], NameVerdict)> =
        names.iter().map(|name| (name.as_slice(), judge(name, context.media, context.firmware))).collect();
    let image_of = |wanted: &str| {
        verdicts
            .iter()
            .any(|(_, verdict)| matches!(verdict, NameVerdict::Image(image) if image.medium == wanted))
    };
    let has_image = verdicts.iter().any(|(_, verdict)| matches!(verdict, NameVerdict::Image(_)));
    let has_firmware = verdicts.iter().any(|(_, verdict)| *verdict == NameVerdict::Firmware);
    let mut root = Root { has_image, ..Root::default() };
    for (name, verdict) in &verdicts {
        let shown = String::from_utf8_lossy(name);
        match verdict {
            NameVerdict::Lookalike(lookalike) => {
                let is_passed_over = match &lookalike.kind {
                    LookalikeKind::Misspelt => false,
                    LookalikeKind::MisspeltImage(medium) => image_of(medium),
                    LookalikeKind::OtherBoard => has_image || has_firmware,
                    LookalikeKind::Leftover | LookalikeKind::Unassigned => has_image,
                };
                match is_passed_over {
                    // `photos.img/` is no image that was meant for a medium.
                    false if lookalike.kind == LookalikeKind::Unassigned && (context.is_directory)(name) => {}
                    false => root.refused.push(format!("{shown}: {}", lookalike.hint)),
                    // A link's target is used.
                    true if context.linked.contains(*name) => {}
                    true => root.notes.push(format!("{shown} is not used: {}", lookalike.hint)),
                }
            }
            NameVerdict::UnreadChecksum { hint } if has_image => {
                root.notes.push(format!("{shown} is not used: {hint}"));
            }
            NameVerdict::Sidecar | NameVerdict::Unrelated if has_image && is_orphan(name, names, context) => {
                root.notes.push(format!("{shown} is not used: there is no image of that name"));
            }
            _ => {}
        }
    }
    root.notes.extend(second_choices(names, context));
    root
}

/// Whether a sidecar, by its extension, has nothing in the root to go with. Those of other boards' media do not count.
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

/// Accepted images that are not chosen, because another one of their medium is preferred.
fn second_choices(names: &[Vec<u8>], context: &Context<'_>) -> Vec<String> {
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

    fn judged(names: &[&str], linked: &[&str]) -> Root {
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
        judge_all(&names, &context)
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
            let root = judged(&[name], &[]);
            assert!(root.refused.len() == 1 && root.refused[0].contains(command), "{name}: {root:?}");
        }
        assert!(judged(&["photo.img.zip"], &[]).refused[0].contains("unpack it"));
        assert_eq!(judged(&["sdimage.tar.xz.gpg"], &[]).refused.len(), 1, "encrypted, and no signature");
        assert!(judged(&["yocto.ext4"], &[]).refused[0].contains("its media are emmc, sd"));
        for name in [
            "initrd.img",
            "initrd.img-6.1.0",
            "kernel8.img",
            "Image.gz",
            "folder.d.img",
            "a.wic.bmap",
            "firmware.bin",
        ] {
            assert_eq!(judged(&[name], &[]).refused, [""; 0], "{name}");
        }
    }

    #[test]
    fn beside_an_accepted_image_what_cannot_be_meant_for_this_board_is_only_reported() {
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
            let root = judged(&[name, "sdimage.tar.xz"], &[]);
            assert_eq!(root.refused, [""; 0], "{name}");
            assert!(root.notes.len() == 1 && root.notes[0].starts_with(name), "{name}: {root:?}");
        }
    }

    #[test]
    fn what_was_meant_for_this_board_is_refused_beside_an_accepted_image() {
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
            assert_eq!(judged(&[name, "sdimage.tar.xz"], &[]).refused.len(), 1, "{name}");
        }
        assert_eq!(judged(&["SPL"], &[]).refused.len(), 1);
        assert_eq!(judged(&["SPL", "u-boot.imx"], &[]).refused, [""; 0]);
        assert_eq!(judged(&["core-image.wic", "u-boot.imx"], &[]).refused.len(), 1);
    }

    #[test]
    fn what_belongs_to_an_image_is_not_reported() {
        let root = judged(
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
        let root = judged(&["sdimage.tar.xz", "sdimage.dd.xz", "sdimage.wic"], &[]);
        assert_eq!(
            root.notes,
            [
                "sdimage.dd.xz is not used: sdimage.tar.xz comes first",
                "sdimage.wic is not used: sdimage.tar.xz comes first"
            ]
        );
        assert_eq!(judged(&["sdimage.tar.sha512", "a.md5"], &[]), Root::default());
    }
}
