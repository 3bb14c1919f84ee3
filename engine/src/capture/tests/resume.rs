//! The unit of an interrupted session continues it, whatever the interruption left on the drive.

use super::bench::{Bench, medium};
use super::{MIB, SINGLE, capture, done, fill_rootfs};
use crate::capture::{plan, run};
use crate::report::End;
use std::fs;
use std::os::unix::fs as unix;

fn two_media() -> Bench {
    let mut bench = Bench::new();
    bench.insert("sd", medium(4 * MIB as usize, &[SINGLE]));
    bench.insert("emmc", vec![1; 4096]);
    fill_rootfs(&bench.file_system(SINGLE, Some(vec![0..MIB])));
    bench
}

/// A capture of which the second medium fails.
fn cut_after_the_first() -> Bench {
    let bench = two_media();
    bench.world.bad_from.lock().unwrap().insert("blkemmc".into(), 0);
    let outcomes = capture(&bench);
    done(&outcomes[0]);
    assert!(matches!(outcomes[1].end, End::Failed(_)));
    bench.world.bad_from.lock().unwrap().clear();
    bench
}

#[test]
fn finished_images_are_kept_and_the_other_media_are_captured() {
    let bench = cut_after_the_first();
    let first = bench.read("sdimage.tar.xz");
    let outcomes = capture(&bench);
    assert_eq!(done(&outcomes[0]).notes, ["captured already"]);
    assert_eq!(outcomes[0].image.as_deref(), Some("sdimage.tar.xz"));
    done(&outcomes[1]);
    assert_eq!(bench.read("sdimage.tar.xz"), first);
    assert!(!bench.root_names().contains(&".capture".to_owned()));
    bench.assert_tidy();
}

#[test]
fn a_session_with_all_media_captured_is_removed_and_is_a_success() {
    let bench = cut_after_the_first();
    capture(&bench);
    fs::create_dir(bench.drive_path.join(".capture")).unwrap();
    let outcomes = capture(&bench);
    assert!(outcomes.iter().all(|outcome| matches!(outcome.end, End::Done(_))), "{outcomes:?}");
    assert!(!bench.root_names().contains(&".capture".to_owned()));
}

#[test]
fn another_unit_does_not_continue_the_session() {
    let mut bench = cut_after_the_first();
    for index in [0, 1] {
        let device = bench.media[index].device.as_mut().unwrap();
        let identity = device.identity.replace("other".into());
        assert_eq!(plan(&bench.context()).unwrap_err().code(), "R-SESSION");
        bench.media[index].device.as_mut().unwrap().identity = identity;
    }
    // Without the session's record, the record of the finished image shows the unit.
    fs::remove_file(bench.drive_path.join(".capture/session.toml")).unwrap();
    bench.media[0].device.as_mut().unwrap().identity = Some("other".into());
    assert_eq!(plan(&bench.context()).unwrap_err().code(), "R-SESSION");
}

#[test]
fn a_missing_medium_of_the_session_is_refused() {
    let mut bench = cut_after_the_first();
    bench.media[1].device = None;
    assert_eq!(plan(&bench.context()).unwrap_err().code(), "R-ABSENT");
    bench.options.skip_capture.insert("emmc".into());
    let items = plan(&bench.context()).unwrap();
    let outcomes = run(&bench.context(), items).unchecked();
    done(&outcomes[0]);
    assert!(matches!(outcomes[1].end, End::Skipped(_)));
}

#[test]
fn garbage_in_the_session_is_removed_without_following_links() {
    let bench = two_media();
    let session = bench.drive_path.join(".capture");
    fs::create_dir_all(session.join("a/b")).unwrap();
    fs::create_dir(bench.drive_path.join("keep")).unwrap();
    fs::write(bench.drive_path.join("keep/file"), "mine").unwrap();
    unix::symlink("../keep", session.join("link")).unwrap();
    unix::symlink("../keep/file", session.join("session.new")).unwrap();
    unix::symlink("../keep/file", session.join("session.toml")).unwrap();
    fs::write(session.join("sdimage.tar.xz"), "half").unwrap();
    fs::write(session.join("a/b/sd.image"), "half").unwrap();
    let outcomes = capture(&bench);
    assert!(outcomes.iter().all(|outcome| matches!(outcome.end, End::Done(_))), "{outcomes:?}");
    assert_eq!(bench.read("keep/file"), b"mine");
    bench.assert_tidy();
}

#[test]
fn an_image_that_is_not_of_this_session_is_never_replaced() {
    let bench = two_media();
    fs::write(bench.drive_path.join("emmcimage.dd"), "precious").unwrap();
    assert_eq!(plan(&bench.context()).unwrap_err().code(), "R-REPLACE");
    fs::create_dir(bench.drive_path.join(".capture")).unwrap();
    assert_eq!(plan(&bench.context()).unwrap_err().code(), "R-REPLACE");
    assert_eq!(bench.read("emmcimage.dd"), b"precious");
}

#[test]
fn stale_sidecars_are_replaced() {
    let bench = two_media();
    fs::write(bench.drive_path.join("emmcimage.dd.md5"), "old").unwrap();
    capture(&bench);
    assert!(bench.read("emmcimage.dd.md5").ends_with(b"  emmcimage.dd\n"));
}
