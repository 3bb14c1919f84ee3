//! Archives of other tools: their metadata is kept, or reported, or the archive is refused before the medium is changed.

use super::archives::Bench;
use super::rootfs;
use super::stage::Stage;
use super::tools::{run, shell};
use std::fs;
use std::path::Path;

fn small_root(bench: &Bench<'_>) -> std::path::PathBuf {
    let root = bench.root();
    rootfs::small(&root, 300_000);
    root
}

#[test]
fn an_archive_of_pixz_is_written_and_its_index_skipped() {
    let Some(stage) = Stage::new() else { return };
    let mut bench = Bench::new(&stage);
    let root = small_root(&bench);
    bench.pack("sdimage.tar.xz", "tar -C \"$1\" -Ipixz -cf \"$2\" . && cd \"${2%/*}\" && xz -dc sdimage.tar.xz | md5sum | sed 's/-/sdimage.tar/' > sdimage.tar.md5", &[&root]);
    let run = bench.board().run();
    run.assert_success();
    assert!(run.console.contains("ignored the index of files that pixz put"), "{}", run.console);
    bench.with_written(|written| {
        shell("cmp \"$1\" \"$2\"", [root.join("usr/ballast"), written.join("usr/ballast")])
    });
    // The same index after another archive is not an index of that archive.
    bench.pack(
        "sdimage.tar",
        "tar -C \"$1\" -Ipixz -cf - . | xz -dc > \"$2\"; tar -C \"$1\" -cf - --exclude=usr . | cat - <(tail -c 200 \"$2\") > \"$2.new\"; mv \"$2.new\" \"$2\"",
        &[&root],
    );
    bench.board().run().assert_failure("F-TRAILING");
}

#[test]
fn metadata_of_openwrt_is_skipped_and_reported() {
    let Some(stage) = Stage::new() else { return };
    let bench = Bench::new(&stage);
    let image = stage.path("image");
    shell(
        "truncate -s 16M \"$1\" && printf '2048,8M,L\\n' | sfdisk -q \"$1\" && mkfs.ext4 -q -F -E offset=1048576 \"$1\" 8M",
        [&image],
    );
    let metadata = "printf '\\0\\0\\0\\0\\0\\0\\0\\0{ \"metadata_version\": \"1.1\" }\\nFWx0\\1\\2\\3\\4\\1\\0\\0\\0\\0\\0\\0\\071'";
    for (name, packer) in [
        ("sdimage.dd.gz", "gzip -c"),
        ("sdimage.img.xz", "xz -c -0"),
        ("sdimage.dd.bz2", "bzip2 -c"),
        ("sdimage.dd.zst", "zstd -q -c"),
        ("sdimage.img", "cat"),
    ] {
        // The digest is that of the downloaded file.
        let line = format!(
            "{packer} \"$1\" > \"$2\" && {metadata} >> \"$2\" && cd \"${{2%/*}}\" && sha256sum {name} > {name}.sha256"
        );
        bench.pack(name, &line, &[&image]);
        let run = bench.board().run();
        run.assert_success();
        assert!(run.console.contains("OpenWrt's metadata"), "{packer}: {}", run.console);
        bench.medium.flush();
        shell("cmp -n 16777216 \"$1\" \"$2\"", [&image, &bench.medium.file]);
    }
    // A medium with room for the image only.
    let exact = Bench::with_medium(&stage, 16 << 20);
    exact.pack("sdimage.img", &format!("cat \"$1\" > \"$2\" && {metadata} >> \"$2\""), &[&image]);
    exact.board().run().assert_success();
    exact.medium.flush();
    shell("cmp \"$1\" \"$2\"", [&image, &exact.medium.file]);
    // Unknown data is reported with its offset.
    bench.pack("sdimage.dd.xz", "xz -c -0 \"$1\" > \"$2\" && printf unknown >> \"$2\"", &[&image]);
    let run = bench.board().run();
    run.assert_failure("F-TRAILING");
    assert!(run.console.contains("truncate -s"), "{}", run.console);
    // If one byte of the compressed data is missing, the image is truncated, whatever follows.
    bench.pack(
        "sdimage.dd.gz",
        &format!("gzip -c \"$1\" | head -c -1 > \"$2\" && {metadata} >> \"$2\""),
        &[&image],
    );
    let run = bench.board().run();
    assert_eq!(run.exit, 1, "{}", run.console);
}

#[test]
fn acls_by_name_get_the_numbers_of_users_in_the_archive() {
    let Some(stage) = Stage::new() else { return };
    let mut bench = Bench::new(&stage);
    let root = small_root(&bench);
    let journal = root.join("var/log/journal");
    fs::create_dir(&journal).unwrap();
    // This host's numbers of these names; the system in the archive has others.
    run("setfacl", ["-m".as_ref(), "u:games:rx,g:adm:rx,d:g:adm:rx".as_ref(), journal.as_os_str()]);
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\ngames:x:1105:60::/usr/games:/bin/false\n")
        .unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nadm:x:1204:\n").unwrap();
    // The files with the names come last in the archive.
    let line = "tar --acls -C \"$1\" -cf \"$2\" ./var ./usr ./bin ./etc";
    bench.pack("sdimage.tar", line, &[&root]);
    bench.board().run().assert_success();
    let found = bench.with_written(|written| {
        run("getfacl", ["-n".as_ref(), "-c".as_ref(), written.join("var/log/journal").as_os_str()])
    });
    for wanted in ["user:1105:r-x", "group:1204:r-x", "default:group:1204:r-x"] {
        assert!(found.lines().any(|found| found == wanted), "{wanted} is not in {found}");
    }

    // With --xattrs the archive has the numbers too, and they are used.
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    bench.pack("sdimage.tar", "tar --acls --xattrs -C \"$1\" -cf \"$2\" .", &[&root]);
    bench.board().run().assert_success();

    bench.pack("sdimage.tar", line, &[&root]);
    let before = bench.medium.fingerprint();
    let refused = bench.board().run();
    refused.assert_failure("F-UNSUPPORTED");
    assert!(refused.console.contains("an ACL for the group 'adm'"), "{}", refused.console);
    assert_eq!(bench.medium.fingerprint(), before, "the medium was changed");
}

#[test]
fn attributes_of_files_with_several_names_are_kept() {
    let Some(stage) = Stage::new() else { return };
    let mut bench = Bench::new(&stage);
    let root = small_root(&bench);
    fs::write(root.join("usr/a"), "x").unwrap();
    xattr::set(root.join("usr/a"), "user.ostreemeta", b"y").unwrap();
    fs::hard_link(root.join("usr/a"), root.join("usr/b")).unwrap();
    let check = |written: &Path| {
        for name in ["usr/a", "usr/b"] {
            assert_eq!(
                xattr::get(written.join(name), "user.ostreemeta").unwrap().as_deref(),
                Some(&b"y"[..])
            );
        }
        let links = fs::metadata(written.join("usr/a")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&links), 2);
    };
    for line in [
        "tar --xattrs --xattrs-include='*' --acls --selinux -C \"$1\" -cf \"$2\" .",
        "bsdtar --xattrs --acls --fflags -C \"$1\" -cf \"$2\" .",
    ] {
        bench.pack("sdimage.tar", line, &[&root]);
        bench.board().run().assert_success();
        bench.with_written(check);
    }
}
