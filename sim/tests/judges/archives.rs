//! The checkers determine the tree that an archive makes: each gets another archive than the written one, and must
//! find the difference on the medium.

use crate::faulty::tampering::{flip, put, xz};
use replicator_sim::judge::checkers;
use replicator_sim::judge::readers::decode::decode;
use replicator_sim::run::{Evidence, boots};
use replicator_sim::scenario::builtin;
use replicator_sim::scenario::schema::Scenario;

fn run(name: &str) -> Evidence {
    let scenario = Scenario::parse(builtin::find(name).unwrap(), name).unwrap();
    let evidence = boots::run_with(name, &scenario, |board| board).unwrap();
    assert_eq!(checkers::success_is_true::check(&evidence), Vec::<String>::new(), "{name} untouched");
    evidence
}

/// The complaints about a medium if the archive on the drive is replaced by this one.
fn complaints(evidence: &mut Evidence, change: impl FnOnce(&mut Vec<u8>)) -> Vec<String> {
    let image = "sdimage.tar.xz";
    let files = evidence.boots[0].before.drive_files().unwrap();
    let packed = files.iter().find(|(path, _)| path.to_string() == image).unwrap().1.bytes.to_vec();
    let mut plain = decode(image, &packed.into()).unwrap().to_vec();
    change(&mut plain);
    let boot = evidence.boots.last_mut().unwrap();
    for snapshot in [&mut boot.before, &mut boot.after] {
        put(snapshot, image, Some(&xz(&plain)));
    }
    checkers::success_is_true::check(evidence)
}

/// Replaces `old` by `new`, of the same length, behind the first `after`.
fn replace(archive: &mut [u8], after: &str, old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    let find = |from: usize, text: &str| {
        let found = archive[from..].windows(text.len()).position(|window| window == text.as_bytes());
        from + found.unwrap_or_else(|| panic!("{text:?} is not in the archive"))
    };
    let at = find(find(0, after), old);
    archive[at..at + new.len()].copy_from_slice(new.as_bytes());
}

#[track_caller]
fn complains(complaints: &[String], text: &str) {
    assert!(complaints.iter().any(|complaint| complaint.contains(text)), "{text:?} is not in {complaints:?}");
}

#[test]
fn a_file_behind_a_link_is_where_the_link_leads() {
    let name = "write-tarball-overlay-keeps-links";
    let found = complaints(&mut run(name), |archive| replace(archive, "product.ko", "a module", "another!"));
    complains(&found, "/usr/lib/modules/product.ko: content differs");
    // Without the text of the link, the directory would be a separate one.
    let mut evidence = run(name);
    let module = evidence.boots[0].after.media["sd"].to_vec();
    let at = module.windows(8).position(|window| window == b"a module").unwrap();
    flip(&mut evidence.boots.last_mut().unwrap().after, "sd", at as u64);
    complains(&checkers::success_is_true::check(&evidence), "/usr/lib/modules/product.ko: content differs");
}

#[test]
fn inode_flags_are_those_of_the_archive() {
    let mut evidence = run("write-tar-xz");
    let found = complaints(&mut evidence, |archive| {
        replace(archive, "SCHILY.fflags=", "SCHILY.fflags=nodump,noatime", "SCHILY.fflags=noatime,,,,,,,");
    });
    complains(&found, "/srv/not-dumped: flags is 192, not 128");
    let found = complaints(&mut run("write-tar-xz"), |archive| {
        replace(archive, "SCHILY.fflags=schg", "SCHILY.fflags=schg", "SCHILY.fflags=sync");
    });
    complains(&found, "flags is 16, not 8");
}

#[test]
fn names_in_acls_are_those_of_the_archive() {
    let name = "write-tarball-acls-by-name";
    let found = complaints(&mut run(name), |archive| {
        replace(archive, "root:x:0:0", "operator:x:1000:", "operator:x:1001:");
    });
    complains(&found, "/srv/acl: xattrs is");
    complains(&found, "/srv/acl-directory: xattrs is");
    let found = complaints(&mut run(name), |archive| {
        replace(archive, "root:x:0:0", "operator:x:1000:", "operetta:x:1000:");
    });
    complains(&found, "the archive has no user or group \"operator\"");
}

#[test]
fn an_index_of_pixz_is_not_part_of_the_tree_and_other_trailing_bytes_are_an_error() {
    let found = complaints(&mut run("write-pixz-tarball"), |archive| {
        let end = archive.len();
        archive[end - 1] ^= 1;
    });
    complains(&found, "the end mark is incomplete, or something follows it");
}
