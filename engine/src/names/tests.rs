use super::*;
use proptest::prelude::*;

fn media(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn on_imx6(name: &str) -> NameKind {
    let own = media(&["u-boot.imx", "SPL"]);
    classify(name.as_bytes(), &media(&["sd", "emmc"]), FirmwareNames { own: &own, all: &own })
}

fn hint(name: &str) -> String {
    match on_imx6(name) {
        NameKind::Lookalike(lookalike) => lookalike.hint,
        other => panic!("{name:?} is {other:?}"),
    }
}

#[test]
fn the_order_of_preference_is_tar_before_disk_and_xz_first() {
    let names: Vec<String> = accepted("sd1").iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "sd1image.tar.xz",
            "sd1image.tar.bz2",
            "sd1image.tar.gz",
            "sd1image.tar.zst",
            "sd1image.tar",
            "sd1image.dd.xz",
            "sd1image.dd.bz2",
            "sd1image.dd.gz",
            "sd1image.dd.zst",
            "sd1image.dd",
            "sd1image.img.xz",
            "sd1image.img.bz2",
            "sd1image.img.gz",
            "sd1image.img.zst",
            "sd1image.img",
            "sd1image.wic.xz",
            "sd1image.wic.bz2",
            "sd1image.wic.gz",
            "sd1image.wic.zst",
            "sd1image.wic",
        ]
    );
}

#[test]
fn the_first_accepted_name_wins_and_no_other_medium_or_case_is_taken() {
    let drive = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
    let names =
        drive(&["emmcimage.dd", "emmcimage.tar.zst", "SDIMAGE.DD", "sd1image.dd.xz", "emmcimage.dd.xz"]);
    assert_eq!(choose("emmc", &names).unwrap().to_string(), "emmcimage.tar.zst");
    assert_eq!(choose("sd", &names), None);
    assert_eq!(choose("sd1", &names).unwrap().to_string(), "sd1image.dd.xz");
}

#[test]
fn every_accepted_name_is_an_image_and_names_its_sidecars() {
    for medium in ["sd", "emmc"] {
        for image in accepted(medium) {
            let name = image.to_string();
            assert_eq!(on_imx6(&name), NameKind::Image(image.clone()), "{name}");
            for extension in [".md5", ".sha256"] {
                assert_eq!(on_imx6(&format!("{name}{extension}")), NameKind::Sidecar);
                assert_eq!(on_imx6(&format!("{}{extension}", image.uncompressed())), NameKind::Sidecar);
            }
        }
    }
    let image = &accepted("sd")[5];
    assert_eq!((image.to_string(), image.uncompressed()), ("sdimage.dd.xz".into(), "sdimage.dd".into()));
}

#[test]
fn names_of_other_kinds() {
    let table = [
        ("sdimage.source", NameKind::Record),
        ("sataimage.source", NameKind::Record),
        ("replicator.toml", NameKind::Settings),
        ("IR_NO_COMPRESS", NameKind::Option),
        ("ir_no_capture_sd.txt", NameKind::Option),
        ("u-boot.imx", NameKind::Firmware),
        ("SPL", NameKind::Firmware),
        ("SPL.md5", NameKind::Sidecar),
        // A drive may be for several boards; a sidecar alone changes nothing.
        ("sataimage.dd.md5", NameKind::Sidecar),
    ];
    for (name, kind) in table {
        assert_eq!(on_imx6(name), kind, "{name}");
    }
}

#[test]
fn names_that_look_like_images_are_refused_with_the_accepted_ones() {
    for name in [
        "EMMCIMAGE.TAR.XZ",
        "emmcimage.Tar.xz",
        "emmcimage.tar.xz ",
        "emmcimage.raw.xz",
        "emmcimage.tgz",
        "emmcimage.tar.lz4",
        "emmcimage.tar.xz.part",
        "emmcimage.tar.xz.crdownload",
        "emmcimage.tar.xz.txt",
        "emmcimage.tar (1).xz",
        "emmcimage (2).tar.xz",
        "emmcimage.tar.xz (1)",
        "Copy of emmcimage.tar.xz",
        "emmcimage - Copy.tar.xz",
        "emmcimage.tar.xz~",
        "emmcimage.tar.xz.old",
        "emmcimage-2024-05-01.tar.xz",
        "emmcimage.xz",
        "emmcimage.zip",
        "emmcimage",
        "emmc_image.tar.xz",
        "emmc-image.tar.xz",
        "emcimage.tar.xz",
        "emmcimgae.tar.xz",
        "emmcimages.tar.xz",
        "emmcimg.tar.xz",
        "emmc.tar.xz",
        "emmc.img",
        "EMMCIMAGE.TAR.MD5",
        "emmcimage.tar.MD5",
    ] {
        assert!(hint(name).contains("emmcimage."), "{name}: {}", hint(name));
    }
    for (name, accepted) in [
        ("sdimage.dd (1).xz", "sdimage.dd.xz"),
        ("sdimage.dd.xz.part", "sdimage.dd.xz"),
        ("sdimage.dd.xz.txt", "sdimage.dd.xz"),
        ("sdimage.tar.lz4", "unpack it"),
        ("sdcard.img", "sdimage.img"),
    ] {
        assert!(hint(name).contains(accepted), "{name}: {}", hint(name));
    }
    assert!(hint("image.dd.xz").contains("medium is missing"));
}

#[test]
fn an_image_for_a_medium_of_another_board_names_the_media_of_this_one() {
    for name in ["sataimage.dd.xz", "sd1image.tar", "nvme2image.dd.gz", "SATAIMAGE.DD.XZ", "sata.img"] {
        let hint = hint(name);
        assert!(hint.contains("sd, emmc") || hint.contains("emmc, sd"), "{name}: {hint}");
        assert!(hint.contains("sdimage.tar"), "{name}: {hint}");
    }
    assert!(hint("sataimage.dd.xz").contains("no medium \"sata\""));
}

#[test]
fn firmware_and_settings_in_the_wrong_case_are_refused() {
    assert!(hint("spl").contains("SPL"));
    assert!(hint("U-Boot.imx").contains("u-boot.imx"));
    assert!(hint("u-boot.imx.MD5").contains("u-boot.imx"));
    assert!(hint("Replicator.TOML").contains("replicator.toml"));
    assert!(hint("replicator.toml.txt").contains("replicator.toml"));
}

#[test]
fn firmware_for_another_board_is_refused_with_the_files_of_this_one() {
    let all = media(&["SPL", "u-boot.imx", "u-boot.kwb", "micro-update.bin"]);
    let kind = |name: &str, own: &[&str]| {
        let own = media(own);
        match classify(name.as_bytes(), &media(&["sd"]), FirmwareNames { own: &own, all: &all }) {
            NameKind::Lookalike(lookalike) => lookalike.hint,
            other => panic!("{name}: {other:?}"),
        }
    };
    assert!(kind("SPL", &["u-boot.imx", "micro-update.bin"]).contains("are u-boot.imx, micro-update.bin"));
    assert!(kind("U-BOOT.KWB", &["u-boot.imx"]).contains("are u-boot.imx"));
    assert!(kind("u-boot.imx", &[]).contains("has no firmware"));
    let none_of_its_own = FirmwareNames { own: &[], all: &all };
    let sidecar = classify(b"SPL.md5", &media(&["sd"]), none_of_its_own);
    assert_eq!(sidecar, NameKind::Unrelated, "a sidecar alone requests nothing");
}

#[test]
fn files_that_do_not_look_like_images_are_unrelated() {
    for name in [
        "",
        "README.txt",
        "boot",
        "blast.sh",
        "lost+found",
        "System Volume Information",
        "zImage",
        "uImage",
        "Image",
        "Image.gz",
        "Image.xz",
        "fitImage.itb",
        "uImage.bin",
        "zImage.bin",
        "vmlinuz",
        "imx6q-ts7970.dtb",
        "rootfs.cpio.gz",
        "tsinit.ub",
        "images",
        "sdimage.txt",
        "sdimage.dd.bmap",
        "sdimage.tar.index",
        "emmc.md",
        "sd.conf",
        "._sdimage.dd.xz",
        ".capture",
    ] {
        assert_eq!(on_imx6(name), NameKind::Unrelated, "{name}");
    }
    assert_eq!(classify(b"\xff\xfe", &media(&["sd"]), FirmwareNames::default()), NameKind::Unrelated);
}

#[test]
fn a_bootloader_without_its_partner_is_found() {
    let sets = [media(&["u-boot-dtb.bin", "SPL"]), media(&["micro-update.bin"])];
    let found = incomplete_firmware(&[b"SPL".to_vec(), b"micro-update.bin".to_vec()], &sets);
    assert_eq!(found, [IncompleteFirmware { present: media(&["SPL"]), missing: media(&["u-boot-dtb.bin"]) }]);
    assert!(incomplete_firmware(&[b"SPL".to_vec(), b"u-boot-dtb.bin".to_vec()], &sets).is_empty());
    assert!(incomplete_firmware(&[], &sets).is_empty());
}

proptest! {
    #[test]
    fn any_name_is_classified_and_only_exact_names_are_images(name in prop::collection::vec(any::<u8>(), 0..64)) {
        let media = media(&["sd", "emmc"]);
        let expected = media.iter().flat_map(|medium| accepted(medium)).any(|image| image.to_string().as_bytes() == name);
        let is_image = matches!(classify(&name, &media, FirmwareNames::default()), NameKind::Image(_));
        prop_assert_eq!(is_image, expected);
    }

    #[test]
    fn a_changed_case_is_never_an_image_and_never_ignored(
        index in 0..40_usize,
        flips in prop::collection::vec(any::<bool>(), 20),
    ) {
        let media = media(&["sd", "emmc"]);
        let right = media.iter().flat_map(|medium| accepted(medium)).nth(index).unwrap().to_string();
        let typed: String = right
            .chars()
            .zip(flips)
            .map(|(character, flip)| if flip { character.to_ascii_uppercase() } else { character })
            .collect();
        match classify(typed.as_bytes(), &media, FirmwareNames::default()) {
            NameKind::Image(image) => prop_assert_eq!(image.to_string(), typed),
            NameKind::Lookalike(lookalike) => {
                prop_assert!(typed != right && lookalike.hint.contains(&right));
            }
            other => prop_assert!(false, "{typed} is {other:?}"),
        }
    }
}
