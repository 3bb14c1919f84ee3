//! Rules on a root file system with links clean and keep the right files, and change nothing outside of it.

use super::bench::{Bench, medium};
use super::{MIB, SINGLE, capture, fill_rootfs};
use crate::capture::plan;
use crate::options::HostKeys;
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
    assert!(tree.join("etc/key").symlink_metadata().is_err(), "the link itself is removed");
    assert!(tree.join("usr/bin/tool").exists(), "its target is not removed");
    assert!(!tree.join("etc/hostname").exists(), "directories in a path may be links");
}

#[test]
fn exceptions_stay_with_the_paths_above_and_below_them() {
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
    assert_eq!(fs::read(tree.join("etc/hostname")).unwrap(), b"board\n", "an existing file stays");
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
fn an_error_in_the_rule_file_is_found_before_anything_begins() {
    for rules in ["", "[[rule]]\nwhat = 1\n", "\u{0}"] {
        let (bench, _) = bench(rules);
        assert_eq!(plan(&bench.context()).unwrap_err().code(), "R-OPTIONS", "{rules:?}");
    }
    let (mut bench, _) = bench("");
    bench.options.settings.capture.rules = Some("absent.toml".into());
    assert_eq!(plan(&bench.context()).unwrap_err().code(), "R-OPTIONS");
    assert_eq!(bench.root_names(), ["rules.toml"]);
}

/// A root file system with host keys in all places of servers, sanitised by the built-in rules.
fn with_host_keys(host_keys: HostKeys) -> (Bench, PathBuf) {
    let (mut bench, tree) = bench("");
    fs::remove_file(bench.drive_path.join("rules.toml")).unwrap();
    bench.options.settings.capture.rules = None;
    bench.options.settings.capture.host_keys = host_keys;
    for directory in ["etc/ssh/sshd_config.d", "etc/dropbear", "var/lib/dropbear", "data/ssh", "usr/sbin"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    for key in KEYS {
        fs::write(tree.join(key), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    }
    fs::write(tree.join("data/ssh/rsa.pub"), "public").unwrap();
    fs::write(tree.join("etc/ssh/sshd_config"), "Port 22\nHostKey /data/ssh/rsa\n").unwrap();
    fs::write(tree.join("etc/ssh/sshd_config.d/more.conf"), "hostkey /data/ssh/linked\n").unwrap();
    unix::symlink("real_ed25519", tree.join("data/ssh/linked")).unwrap();
    (bench, tree)
}

const KEYS: [&str; 5] = [
    "etc/ssh/ssh_host_ed25519_key",
    "etc/dropbear/dropbear_rsa_host_key",
    "var/lib/dropbear/dropbear_ecdsa_host_key",
    "data/ssh/rsa",
    "data/ssh/real_ed25519",
];

fn notes(outcomes: &[Outcome]) -> Vec<String> {
    let End::Done(done) = &outcomes[0].end else { panic!("{outcomes:?}") };
    done.notes.clone()
}

#[test]
fn host_keys_in_all_configured_places_are_removed_and_that_is_reported() {
    let (bench, tree) = with_host_keys(HostKeys::System);
    fs::create_dir_all(tree.join("root/.ssh")).unwrap();
    fs::write(tree.join("root/.ssh/id_rsa"), "-----BEGIN RSA PRIVATE KEY-----\n").unwrap();
    let notes = notes(&capture(&bench));
    for key in KEYS {
        assert!(!tree.join(key).exists(), "{key}");
    }
    assert!(
        !tree.join("data/ssh/rsa.pub").exists() && tree.join("data/ssh/linked").symlink_metadata().is_err()
    );
    assert!(tree.join("root/.ssh/id_rsa").exists(), "a file that no rule names stays");
    assert!(
        notes.iter().any(|note| note.contains("nothing in the image is known to make ssh host keys")),
        "{notes:?}"
    );
    assert!(notes.contains(&"private keys stay in the image: /root/.ssh/id_rsa".to_owned()), "{notes:?}");
}

#[test]
fn programs_that_make_host_keys_at_boot_are_recognised() {
    let makers: [(&str, &str, &str); 6] = [
        ("etc/init.d/S50sshd", "/usr/bin/ssh-keygen -A\n", ""),
        ("etc/rc.local", "test -e /ssh_regenkeys && keys\n", ""),
        (
            "etc/systemd/system/multi-user.target.wants/keys.service",
            "[Service]\nExecStart=/usr/lib/keys\n",
            "usr/lib/keys",
        ),
        ("lib/systemd/system/sshd@.service", "[Unit]\nWants=sshdgenkeys.service\n", ""),
        ("etc/default/x", "", "usr/bin/cloud-init"),
        ("etc/init.d/dropbear", "dropbear -R -p 22\n", ""),
    ];
    for (path, text, program) in makers {
        let (bench, tree) = with_host_keys(HostKeys::System);
        for (path, text) in [(path, text), (program, "#!/bin/sh\nssh-keygen -A\n")] {
            if !path.is_empty() {
                fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
                fs::write(tree.join(path), text).unwrap();
            }
        }
        let notes = notes(&capture(&bench));
        assert!(!notes.iter().any(|note| note.contains("host keys")), "{path}: {notes:?}");
    }
    // A unit that is not started makes none.
    let (bench, tree) = with_host_keys(HostKeys::System);
    fs::create_dir_all(tree.join("lib/systemd/system")).unwrap();
    fs::write(tree.join("lib/systemd/system/regenerate_ssh_host_keys.service"), "ssh-keygen -A").unwrap();
    assert!(notes(&capture(&bench)).iter().any(|note| note.contains("nothing in the image")));
}

#[test]
fn a_script_for_the_first_boot_is_added_for_every_init_system() {
    const SYSTEMD: &str = "etc/systemd/system/multi-user.target.wants/replicator-host-keys.service";
    // The files of the system, and the file that starts the script.
    let inits: [(&[(&str, &str)], &str); 9] = [
        (&[("usr/lib/systemd/systemd", "x")], SYSTEMD),
        (&[("lib/systemd/systemd", "x"), ("sbin/init", "#!/bin/sh\nexec /lib/systemd/systemd\n")], SYSTEMD),
        (&[("sbin/openrc-run", "x")], "etc/runlevels/boot/replicator-host-keys"),
        (&[("sbin/procd", "x"), ("etc/rc.d/S95done", "x")], "etc/rc.d/S11replicator-host-keys"),
        (
            &[("etc/init.d/rcS", "for i in /etc/init.d/S??* ;do $i start; done\n")],
            "etc/init.d/S30replicator-host-keys",
        ),
        (&[("etc/rcS.d/README", "x")], "etc/rcS.d/S99replicator-host-keys"),
        (&[("etc/rc2.d/README", "x")], "etc/rc2.d/S00replicator-host-keys"),
        // Systemd is installed for its tools, and another init is started.
        (
            &[("lib/systemd/systemd", "x"), ("sbin/init", "ELF"), ("etc/rc2.d/README", "x")],
            "etc/rc2.d/S00replicator-host-keys",
        ),
        (&[("lib/systemd/systemd", "x"), ("etc/rc2.d/README", "x")], SYSTEMD),
    ];
    for (files, started) in inits {
        let (bench, tree) = with_host_keys(HostKeys::FirstBoot);
        for (file, text) in files {
            fs::create_dir_all(tree.join(file).parent().unwrap()).unwrap();
            fs::write(tree.join(file), text).unwrap();
        }
        let notes = notes(&capture(&bench));
        assert!(notes.contains(&"ssh host keys are made at the first boot".to_owned()), "{notes:?}");
        assert!(tree.join(started).symlink_metadata().is_ok(), "{files:?}");
        let script = fs::read_to_string(tree.join("etc/replicator-host-keys")).unwrap();
        for key in
            ["/etc/ssh/ssh_host_ed25519_key", "/data/ssh/rsa", "/var/lib/dropbear/dropbear_ecdsa_host_key"]
        {
            assert!(script.contains(&format!(" '{key}' || ")), "{script}");
        }
        let checked =
            std::process::Command::new("sh").arg("-n").arg(tree.join("etc/replicator-host-keys")).status();
        assert!(checked.unwrap().success());
    }
    // An rcS that starts no other scripts.
    let (bench, tree) = with_host_keys(HostKeys::FirstBoot);
    fs::create_dir_all(tree.join("etc/init.d")).unwrap();
    fs::write(tree.join("etc/init.d/rcS"), "#!/bin/sh\nmount -a\n/usr/bin/app &\n").unwrap();
    let End::Failed(error) = &capture(&bench)[0].end else { panic!() };
    assert!(error.to_string().contains("the init system is unknown"), "{error}");
    let (bench, _) = with_host_keys(HostKeys::FirstBoot);
    let End::Failed(error) = &capture(&bench)[0].end else { panic!() };
    assert!(error.to_string().contains("the init system is unknown"), "{error}");
}
