//! Rules on a root file system with links: what is cleaned, what stays, and that nothing outside is touched.

use super::bench::{Bench, medium};
use super::{MIB, SINGLE, capture, fill_rootfs};
use crate::capture::plan;
use crate::report::{End, Outcome};
use std::fs;
use std::os::unix::fs as unix;
use std::path::PathBuf;

fn bench(rules: &str) -> (Bench, PathBuf) {
    let mut bench = Bench::new();
    bench.insert("sd", medium(4 * MIB as usize, &[SINGLE]));
    let tree = bench.file_system(SINGLE, Some(vec![0..4096]));
    fill_rootfs(&tree);
    fs::write(bench.drive_path.join("rules.toml"), rules).unwrap();
    bench.options.settings.capture.rules = Some("rules.toml".into());
    (bench, tree)
}

fn rule(action: &str, path: &str, more: &str) -> String {
    format!("[[rule]]\nwhat = \"{action} it\"\naction = \"{action}\"\npaths = [\"{path}\"]\n{more}\n")
}

fn assert_done(outcomes: &[Outcome]) {
    assert!(matches!(outcomes[0].end, End::Done(_)), "{outcomes:?}");
}

#[test]
fn links_are_followed_inside_of_the_image_only() {
    let rules = [
        rule("remove-files", "/logs", ""),
        rule("remove-content", "/outside", ""),
        rule("empty", "/etc/id", ""),
        rule("remove", "/etc/key", ""),
        rule("remove", "/alias/ho*", ""),
    ]
    .concat();
    let (bench, tree) = bench(&rules);
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("file"), "the host's").unwrap();
    fs::create_dir_all(tree.join("data/log/deep")).unwrap();
    fs::write(tree.join("data/log/deep/a"), "log").unwrap();
    fs::write(tree.join("data/id"), "1234").unwrap();
    unix::symlink("/data/log", tree.join("logs")).unwrap();
    unix::symlink(host.path(), tree.join("outside")).unwrap();
    unix::symlink("../../../data/id", tree.join("etc/id")).unwrap();
    unix::symlink("/usr/bin/tool", tree.join("etc/key")).unwrap();
    unix::symlink("etc", tree.join("alias")).unwrap();
    assert_done(&capture(&bench));
    assert!(tree.join("data/log/deep").exists() && !tree.join("data/log/deep/a").exists());
    assert_eq!(fs::read(host.path().join("file")).unwrap(), b"the host's");
    assert_eq!(fs::read(tree.join("data/id")).unwrap(), b"");
    assert!(tree.join("etc/key").symlink_metadata().is_err(), "a link that is to be removed is removed");
    assert!(tree.join("usr/bin/tool").exists(), "and what it leads to is not");
    assert!(!tree.join("etc/hostname").exists(), "directories on the way may be links");
}

#[test]
fn exceptions_stay_with_what_is_above_and_below_them() {
    let (bench, tree) = bench(&rule("remove", "/srv", "keep = [\"/srv/a/keep\"]"));
    for path in ["srv/a/keep/below", "srv/a/go", "srv/b"] {
        fs::create_dir_all(tree.join(path)).unwrap();
        fs::write(tree.join(path).join("file"), "x").unwrap();
    }
    assert_done(&capture(&bench));
    assert!(tree.join("srv/a/keep/below/file").exists());
    assert!(!tree.join("srv/a/go").exists() && !tree.join("srv/b").exists());
}

#[test]
fn markers_are_made_once_with_their_mode() {
    use std::os::unix::fs::PermissionsExt;
    let rules = [rule("touch", "/firstboot", "mode = 0o600"), rule("touch", "/etc/hostname", "")].concat();
    let (bench, tree) = bench(&rules);
    assert_done(&capture(&bench));
    assert_eq!(fs::metadata(tree.join("firstboot")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read(tree.join("etc/hostname")).unwrap(), b"board\n", "what is there stays");
}

#[test]
fn a_rule_that_fails_fails_the_capture() {
    let failing = [
        rule("remove", "/not/there", "required = true"),
        rule("empty", "/etc", ""),
        rule("remove-content", "/etc/hostname", ""),
        rule("touch", "/not/there/marker", ""),
    ];
    for rules in failing {
        let (bench, _) = bench(&rules);
        let outcomes = capture(&bench);
        let End::Failed(error) = &outcomes[0].end else { panic!("{rules}") };
        assert_eq!(error.code(), "S-RULE", "{rules}: {error}");
        assert!(error.to_string().contains(" it\""), "{error}");
        assert_eq!(bench.root_names(), [".capture", "rules.toml"]);
        bench.assert_tidy();
    }
}

#[test]
fn a_rule_file_with_a_fault_is_found_before_anything_begins() {
    for rules in ["", "[[rule]]\nwhat = 1\n", "\u{0}"] {
        let (bench, _) = bench(rules);
        assert_eq!(plan(&bench.capture(), &bench.media).unwrap_err().code(), "R-OPTIONS", "{rules:?}");
    }
    let (mut bench, _) = bench("");
    bench.options.settings.capture.rules = Some("absent.toml".into());
    assert_eq!(plan(&bench.capture(), &bench.media).unwrap_err().code(), "R-OPTIONS");
    assert_eq!(bench.root_names(), ["rules.toml"]);
}
