//! Tarballs without a root file system are refused before anything is erased, with the likely cause; `any_content` writes them.

use super::rootfs;
use super::workshop::{MIB, Workshop};
use std::fs;
use std::path::Path;

const ANY_CONTENT: &str = "[write]\nany_content = true\n";

/// The likely cause, the command that packs such an archive, and a file of it on the medium.
const CASES: [(&str, &str, &str); 6] = [
    (
        "all of it is below tree/; pack it with \"tar -C tree ... .\"",
        "tar -C \"$1\" -cJf \"$2\" tree",
        "tree/bin/sh",
    ),
    ("all of it is below tree/; pack it with", "tar -C \"$1\" -cJf \"$2\" ./tree", "tree/etc/os-release"),
    ("there is only one file in it, sdimage.dd", "tar -C \"$1\" -cJf \"$2\" sdimage.dd", "sdimage.dd"),
    ("there is one below tree/", "tar -C \"$1\" -cJf \"$2\" tree readme", "readme"),
    (
        "there are machine-id, os-release in it",
        "tar -C \"$1/tree/etc\" -cJf \"$2\" os-release machine-id",
        "os-release",
    ),
    ("there are boot in it", "tar -C \"$1\" -cJf \"$2\" boot", "boot/zImage"),
];

/// A directory with a root file system one level too deep, and other content that is packed by mistake.
fn mistakes(top: &Path) {
    rootfs::small(&top.join("tree"), 100_000);
    fs::write(top.join("sdimage.dd"), "an image in a tarball").unwrap();
    fs::write(top.join("readme"), "x").unwrap();
    fs::create_dir(top.join("boot")).unwrap();
    fs::write(top.join("boot/zImage"), "x").unwrap();
    fs::write(top.join("boot/board.dtb"), "x").unwrap();
}

#[test]
fn tarballs_without_a_root_file_system_are_refused_without_any_content() {
    let Some(workshop) = Workshop::new(64 * MIB) else { return };
    let top = workshop.stage.path("packed-by-mistake");
    mistakes(&top);
    let mut medium = workshop.used(64 * MIB);
    for (cause, line, file) in CASES {
        workshop.clear("");
        workshop.pack("sdimage.tar.xz", line, &[&top]);
        workshop.assert_refused(
            "ext4",
            &medium,
            "R-ROOTFS",
            &[cause, "holds no root file system", "any_content"],
        );
        workshop.clear(ANY_CONTENT);
        workshop.pack("sdimage.tar.xz", line, &[&top]);
        let run = workshop.run("ext4", &medium);
        run.assert_success();
        let note = "written because of any_content, although sdimage.tar.xz holds no root file system";
        assert!(run.console.contains(note) && run.report.to_string().contains(note), "{}", run.console);
        workshop.with_written(&mut medium, |root, _| assert!(root.join(file).is_file(), "{file}"));
    }
    // The same files packed as the advice states.
    workshop.clear("");
    workshop.pack("sdimage.tar.xz", "tar -C \"$1/tree\" -cJf \"$2\" .", &[&top]);
    workshop.run("ext4", &medium).assert_success();
}

#[test]
fn an_empty_tarball_is_refused_also_with_any_content() {
    let Some(workshop) = Workshop::new(64 * MIB) else { return };
    let medium = workshop.used(64 * MIB);
    for settings in ["", ANY_CONTENT] {
        workshop.clear(settings);
        workshop.pack("sdimage.tar.xz", "tar -cJf \"$1\" -T /dev/null", &[]);
        workshop.assert_refused("ext4", &medium, "R-CONTENT", &["holds no tar archive"]);
    }
}
