//! Tarballs with an added overlay, of a root file system with merged /usr.

use super::archives::Bench;
use super::rootfs;
use super::stage::Stage;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn an_overlay_follows_the_links_of_a_merged_usr() {
    let Some(stage) = Stage::new() else { return };
    let mut bench = Bench::new(&stage);
    let root = bench.root();
    rootfs::small(&root, 1000);
    fs::create_dir(root.join("usr/lib")).unwrap();
    fs::write(root.join("usr/lib/ld-linux.so"), "loader").unwrap();
    symlink("usr/lib", root.join("lib")).unwrap();
    let overlay = stage.path("overlay");
    fs::create_dir_all(overlay.join("lib/modules")).unwrap();
    fs::write(overlay.join("lib/modules/product.ko"), "module").unwrap();

    bench.pack(
        "sdimage.tar",
        "tar -C \"$1\" -cf \"$3\" . && tar -C \"$2\" -rf \"$3\" ./lib",
        &[&root, &overlay],
    );
    bench.board().run().assert_success();
    bench.with_written(|written| {
        assert_eq!(fs::read_link(written.join("lib")).unwrap().to_str(), Some("usr/lib"));
        for file in ["ld-linux.so", "modules/product.ko"] {
            assert!(written.join("lib").join(file).is_file(), "{file}");
            assert!(written.join("usr/lib").join(file).is_file(), "{file}");
        }
    });

    // In the other order, the link would replace a directory with files.
    bench.pack(
        "sdimage.tar",
        "tar -C \"$2\" -cf \"$3\" ./lib && tar -C \"$1\" -rf \"$3\" .",
        &[&root, &overlay],
    );
    let before = bench.medium.fingerprint();
    let run = bench.board().run();
    run.assert_failure("F-DAMAGED");
    assert!(run.console.contains("entry \"lib\" would replace a directory that holds"), "{}", run.console);
    assert_eq!(bench.medium.fingerprint(), before, "the medium was changed");
}
