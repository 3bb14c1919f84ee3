//! Rules apply to the file systems that root file systems mount, to overlays, to targets of links, and to partitions that
//! rules name.

use super::bench::{Bench, medium};
use super::{MIB, capture, done, fill_rootfs};
use crate::report::End;
use replicator_hal::FileSystemKind;
use std::fs;
use std::ops::Range;
use std::os::unix::fs as unix;
use std::path::{Path, PathBuf};

const ROOT: Range<u64> = MIB..2 * MIB;
const DATA: Range<u64> = 2 * MIB..3 * MIB;

/// A medium with a root file system with this fstab, and a data partition. Returns the directories of both.
fn bench(fstab: &str) -> (Bench, PathBuf, PathBuf) {
    let mut bench = Bench::new();
    bench.insert("sd", medium(4 * MIB as usize, &[ROOT, DATA]));
    let root = bench.file_system(ROOT, Some(vec![0..4096]));
    fill_rootfs(&root);
    fs::write(root.join("etc/fstab"), fstab).unwrap();
    let data = bench.file_system(DATA, Some(vec![0..4096]));
    bench.change_file_system(DATA.start, |found| found.label = Some("data".into()));
    (bench, root, data)
}

fn put(tree: &Path, path: &str) -> PathBuf {
    let path = tree.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "secret").unwrap();
    path
}

#[test]
fn default_rules_follow_fstab_into_other_partitions() {
    let cases: [(&str, &[&str], &[&str]); 4] = [
        ("LABEL=data /var ext4", &["log/syslog", "lib/dbus/machine-id"], &["var/log/x", "lib/keep"]),
        ("LABEL=data /var/log ext4", &["syslog", "app/out"], &[]),
        ("/dev/mmcblk0p2 /home ext4", &["user/.bash_history"], &["user/work"]),
        ("LABEL=data /root ext4", &[".ssh/known_hosts"], &["log"]),
    ];
    for (fstab, removed, kept) in cases {
        let (bench, _, data) = bench(fstab);
        let removed: Vec<PathBuf> = removed.iter().map(|path| put(&data, path)).collect();
        let kept: Vec<PathBuf> = kept.iter().map(|path| put(&data, path)).collect();
        let outcomes = capture(&bench);
        let at = fstab.split(' ').nth(1).unwrap();
        let line = format!("partition 2, ext4 `data`, mounted at {at}: sanitised");
        assert_eq!(done(&outcomes[0]).notes, ["partition 1, ext4: sanitised".to_owned(), line]);
        assert!(!removed.iter().any(|path| path.exists()), "{fstab}");
        assert!(kept.iter().all(|path| path.exists()), "{fstab}");
        assert!(data.is_dir() && !data.join("firstboot").exists());
        bench.assert_tidy();
    }
}

#[test]
fn a_file_system_without_paths_of_rules_is_captured_as_it_is() {
    let (bench, _, data) = bench("LABEL=data /data ext4\nLABEL=other /var/log ext4");
    let photo = put(&data, "var/log/photo");
    assert_eq!(
        done(&capture(&bench)[0]).notes,
        ["partition 1, ext4: sanitised", "partition 2, ext4 `data`: captured as it is"]
    );
    assert!(photo.exists());
}

#[test]
fn overlays_and_links_are_followed_to_the_data_partition() {
    let (bench, root, data) = bench(
        "LABEL=data /data ext4\n\
         overlay /etc overlay lowerdir=/etc,upperdir=/data/deep/etc,workdir=/data/deep/work\n",
    );
    let key = put(&data, "deep/etc/ssh/ssh_host_rsa_key");
    // No configuration names these, but every overlay has these two directories.
    let upper = put(&data, "overlay/var/upper/log/syslog");
    fs::create_dir_all(data.join("overlay/var/work/work")).unwrap();
    let whole = put(&data, "system/upper/etc/machine-id");
    fs::create_dir_all(data.join("system/work")).unwrap();
    fs::remove_dir_all(root.join("var/log")).unwrap();
    unix::symlink("../data/log", root.join("var/log")).unwrap();
    let linked_log = put(&data, "log/app/out");
    fs::create_dir_all(root.join("etc/dropbear")).unwrap();
    unix::symlink("/data/keys/host", root.join("etc/dropbear/dropbear_rsa_host_key")).unwrap();
    let linked_key = put(&data, "keys/host");
    let other_key = put(&data, "keys/other");
    done(&capture(&bench)[0]);
    for removed in [&key, &upper, &linked_log, &linked_key] {
        assert!(!removed.exists(), "{removed:?}");
    }
    assert_eq!(fs::read(whole).unwrap(), b"", "a machine id is emptied");
    assert!(other_key.exists());
    assert!(data.join("log/app").is_dir(), "directories of logs stay");
}

#[test]
fn rules_name_other_partitions() {
    let place_and_result = [
        ("at = \"/data\"", true),
        ("label = \"data\"", true),
        ("partition = 2", true),
        ("at = \"/srv\"", false),
        ("label = \"Data\"", false),
        ("partition = 3", false),
    ];
    for (place, is_there) in place_and_result {
        let (mut bench, root, data) = bench("LABEL=data /data ext4");
        let rule = format!(
            "[[rule]]\nwhat = \"our key\"\naction = \"remove\"\n{place}\npaths = [\"/keys/*.pem\"]\n\
             [[rule]]\nwhat = \"logs\"\naction = \"remove-files\"\npaths = [\"/var/log\"]\n"
        );
        fs::write(bench.drive_path.join("rules.toml"), &rule).unwrap();
        bench.options.settings.capture.rules = Some("rules.toml".into());
        let (key, of_root) = (put(&data, "keys/a.pem"), put(&root, "keys/a.pem"));
        let outcomes = capture(&bench);
        let notes = &done(&outcomes[0]).notes;
        assert_eq!(!key.exists(), is_there, "{place}: {notes:?}");
        assert!(of_root.exists(), "a rule for another place does not change the root");
        assert_eq!(notes.iter().any(|note| note.starts_with("rule \"our key\": ")), !is_there, "{notes:?}");
        if !is_there {
            fs::write(
                bench.drive_path.join("rules.toml"),
                rule.replacen("paths", "required = true\npaths", 1),
            )
            .unwrap();
            fs::remove_file(bench.drive_path.join("sdimage.dd.xz")).unwrap();
            let outcomes = capture(&bench);
            assert!(matches!(&outcomes[0].end, End::Failed(error) if error.code() == "S-RULE"), "{place}");
        }
    }
}

#[test]
fn a_required_rule_may_match_in_a_mounted_file_system() {
    let (mut bench, root, data) = bench("LABEL=data /var ext4");
    fs::remove_file(root.join("var/log/syslog")).unwrap();
    fs::write(
        bench.drive_path.join("rules.toml"),
        "[[rule]]\nwhat = \"id\"\naction = \"remove\"\nrequired = true\npaths = [\"/var/lib/id\"]\n",
    )
    .unwrap();
    bench.options.settings.capture.rules = Some("rules.toml".into());
    let id = put(&data, "lib/id");
    done(&capture(&bench)[0]);
    assert!(!id.exists());
}

#[test]
fn a_partition_with_rules_that_cannot_be_changed_is_refused() {
    let (bench, _, _) = bench("LABEL=data /var ext4");
    bench.change_file_system(DATA.start, |found| found.kind = FileSystemKind::Ntfs);
    let outcomes = capture(&bench);
    let End::Failed(error) = &outcomes[0].end else { panic!("{:?}", outcomes[0].end) };
    assert_eq!(error.code(), "R-SANITISE");
    assert!(error.to_string().starts_with("partition 2, ntfs `data`: rules are for files in it"), "{error}");
    bench.assert_tidy();
}
