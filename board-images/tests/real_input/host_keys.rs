//! New host keys at first boot: the script that a capture adds is run as each init system would run it, by two shells, with the
//! tools of OpenSSH and of dropbear, and with a power cut before, during and after each of its commands.

use super::devices::{Medium, Mount};
use super::replicator::{Board, make_drive};
use super::rootfs;
use super::stage::Stage;
use super::tools::{run, shell};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;
/// Part of the names of the unit or init script that a capture adds.
const OURS: &str = "replicator-host-keys";

/// A system that is captured, and how it starts the added script.
struct System {
    /// Executable files with their text.
    init: &'static [(&'static str, &'static str)],
    /// Program and arguments with which the system runs the script.
    start: &'static [&'static str],
    /// The program of `/bin/sh`.
    shell: &'static str,
    /// The programs that make keys.
    tools: &'static [&'static str],
    /// Private keys with the `-t` option of their kind.
    keys: &'static [(&'static str, &'static str)],
}

const OPENSSH_KEYS: [(&str, &str); 3] = [
    ("etc/ssh/ssh_host_ed25519_key", "ed25519"),
    ("etc/ssh/ssh_host_ecdsa_key", "ecdsa"),
    // Only the configuration names this key, and only its content shows the kind.
    ("data/host's key", "ed25519"),
];
const DROPBEAR_KEYS: [(&str, &str); 2] = [
    ("etc/dropbear/dropbear_ecdsa_host_key", "ecdsa"),
    ("var/lib/dropbear/dropbear_ed25519_host_key", "ed25519"),
];

const SYSTEMS: [System; 6] = [
    System {
        init: &[("usr/lib/systemd/systemd", "")],
        start: &["/etc/replicator-host-keys"],
        shell: "dash",
        tools: &["ssh-keygen"],
        keys: &OPENSSH_KEYS,
    },
    System {
        init: &[
            ("sbin/init", "ELF"),
            ("etc/rcS.d/README", ""),
            ("etc/rc2.d/README", ""),
            ("etc/rc5.d/README", ""),
        ],
        start: &["/etc/rcS.d/S99replicator-host-keys", "start"],
        shell: "busybox",
        tools: &["ssh-keygen"],
        keys: &OPENSSH_KEYS,
    },
    System {
        init: &[("etc/rc2.d/README", "")],
        start: &["/etc/rc2.d/S00replicator-host-keys", "start"],
        shell: "dash",
        tools: &["dropbearkey"],
        keys: &DROPBEAR_KEYS,
    },
    System {
        init: &[(
            "etc/init.d/rcS",
            "for script in /etc/init.d/S??*; do [ ! -x \"$script\" ] || \"$script\" start; done\n",
        )],
        start: &["/bin/sh", "/etc/init.d/rcS"],
        shell: "busybox",
        tools: &["dropbearkey"],
        keys: &DROPBEAR_KEYS,
    },
    System {
        init: &[("sbin/procd", ""), ("etc/rc.d/README", "")],
        start: &["/etc/rc.d/S11replicator-host-keys", "boot"],
        shell: "busybox",
        tools: &["dropbearkey", "ssh-keygen"],
        keys: &[OPENSSH_KEYS[0], DROPBEAR_KEYS[0]],
    },
    System {
        // The part of OpenRC that its scripts need.
        init: &[("sbin/openrc-run", "#!/bin/sh\n. \"$1\"\n\"$2\"\n")],
        start: &["/etc/runlevels/boot/replicator-host-keys", "start"],
        shell: "dash",
        tools: &["ssh-keygen"],
        keys: &[("etc/ssh/ssh_host_rsa_key", "rsa")],
    },
];

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Copies a program of this host and its libraries to the tree.
fn copy_program(root: &Path, program: &str, to: &str) {
    shell(
        "program=$(command -v \"$2\"); mkdir -p \"$1/$(dirname \"$3\")\"; cp -L \"$program\" \"$1/$3\"; \
         ldd \"$program\" | grep -o '/[^ ]*' | while read -r library; do mkdir -p \"$1$(dirname \"$library\")\"; \
         cp -L \"$library\" \"$1$library\"; done",
        [root, Path::new(program), Path::new(to)],
    );
}

fn make_key(root: &Path, (name, kind): (&str, &str)) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if name.contains("dropbear") {
        run("dropbearkey", ["-t".as_ref(), kind.as_ref(), "-f".as_ref(), path.as_os_str()]);
    } else {
        run(
            "ssh-keygen",
            [
                "-q".as_ref(),
                "-t".as_ref(),
                kind.as_ref(),
                "-N".as_ref(),
                "".as_ref(),
                "-f".as_ref(),
                path.as_os_str(),
            ],
        );
    }
}

/// The public key, if the private key is complete and of its kind.
fn public(root: &Path, (name, kind): (&str, &str)) -> Option<String> {
    let mut command = Command::new(if name.contains("dropbear") { "dropbearkey" } else { "ssh-keygen" });
    let output = command.arg("-y").arg("-f").arg(root.join(name)).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("AAAA"))?;
    assert!(output.status.success() && line.contains(kind), "{name}: {text}");
    Some(line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// Captures the golden system; returns the tarball.
fn capture(stage: &Stage, system: &System) -> PathBuf {
    let mut golden =
        Medium::partitioned(&stage.path("golden-medium"), 64 * MIB, "label: dos\nstart=4MiB, type=83");
    run("mkfs.ext4", ["-q".as_ref(), golden.partition(1).as_os_str()]);
    let mount = Mount::new(&golden.partition(1), &stage.path("golden"));
    let root = &mount.path;
    rootfs::small(root, 1000);
    fs::remove_file(root.join("bin/sh")).unwrap();
    copy_program(root, "busybox", "bin/busybox");
    for name in ["mkdir", "rm", "mv", "sync", "cat", "dirname", "find", "touch", "sleep", "kill"] {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    match system.shell {
        "busybox" => symlink("busybox", root.join("bin/sh")).unwrap(),
        shell => copy_program(root, shell, "bin/sh"),
    }
    for tool in system.tools {
        copy_program(root, tool, &format!("usr/bin/{tool}"));
    }
    write(&root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
    write(&root.join("usr/sbin/sshd"), "");
    write(&root.join("etc/ssh/sshd_config"), "HostKey \"/data/host's key\"\n");
    for (file, text) in system.init {
        write(&root.join(file), text);
    }
    for key in system.keys {
        make_key(root, *key);
    }
    fs::create_dir(root.join("dev")).unwrap();
    run(
        "mknod",
        [
            "-m".as_ref(),
            "666".as_ref(),
            root.join("dev/null").as_os_str(),
            "c".as_ref(),
            "1".as_ref(),
            "3".as_ref(),
        ],
    );
    run("cp", ["-a".as_ref(), root.as_os_str(), stage.path("as-it-was").as_os_str()]);
    drop(mount);
    golden.hide_partitions();

    let drive = make_drive(&stage.path("drive"), 192 * MIB);
    let mount = Mount::new(&drive.device, &stage.path("options"));
    fs::write(mount.path.join("replicator.toml"), "[capture]\nhost_keys = \"first-boot\"\n").unwrap();
    drop(mount);
    let run = Board { stage, drive: &drive, media: vec![("sd", &golden)] }.run();
    run.assert_success();
    assert!(run.console.contains("ssh host keys are made at the first boot"), "{}", run.console);
    let mount = Mount::read_only(&drive.device, &stage.path("captured"));
    let tarball = stage.path("clone.tar.xz");
    fs::copy(mount.path.join("sdimage.tar.xz"), &tarball).unwrap();
    tarball
}

/// The file system of a clone before its first boot.
fn clone(stage: &Stage, tarball: &Path) -> PathBuf {
    let root = stage.path("clone");
    drop(fs::remove_dir_all(&root));
    fs::create_dir(&root).unwrap();
    run("tar", ["-C".as_ref(), root.as_os_str(), "-xpf".as_ref(), tarball.as_os_str()]);
    root
}

/// Starts the added script as the system would, if it still exists. Returns whether it succeeded.
fn boot(root: &Path, system: &System, cut: Option<usize>) -> bool {
    let starter = root.join(
        system
            .start
            .last()
            .filter(|word| word.starts_with('/'))
            .unwrap_or(&system.start[0])
            .trim_start_matches('/'),
    );
    // A unit or an init script whose program is removed is not started.
    if starter.symlink_metadata().is_err() {
        return true;
    }
    let mut command = Command::new("chroot");
    command
        .arg(root)
        .args(system.start)
        .stdin(Stdio::null())
        .env_clear()
        .env("PATH", "/sbin:/usr/sbin:/bin:/usr/bin");
    if let Some(cut) = cut {
        command.env("CUT", cut.to_string());
    }
    let output = command.output().unwrap();
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

/// Names of the files that the capture added.
fn ours(root: &Path) -> String {
    shell("cd \"$1\" && find . -name \"*$2*\"", [root, Path::new(OURS)])
}

/// Asserts that all keys exist, are complete and new, have public keys, and that the added files are removed.
#[track_caller]
fn assert_made(stage: &Stage, root: &Path, system: &System, what: &str) {
    assert_eq!(ours(root), "", "{what}");
    for key in system.keys {
        let made = public(root, *key);
        assert!(made.is_some(), "{what}: {} is not a key", key.0);
        assert_ne!(
            made,
            public(&stage.path("as-it-was"), *key),
            "{what}: {} is the key of the golden unit",
            key.0
        );
        let private = root.join(key.0);
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o7777, 0o600, "{what}: {}", key.0);
        let beside = root.join(format!("{}.pub", key.0));
        if !key.0.contains("dropbear") {
            let text = fs::read_to_string(&beside).unwrap();
            assert!(text.starts_with(&made.unwrap()), "{what}: {text}");
        }
    }
    assert_eq!(shell("find \"$1\" -name '*.new*'", [root]), "", "{what}");
}

#[test]
fn every_init_system_makes_keys_once_and_removes_the_script() {
    for (index, system) in SYSTEMS.iter().enumerate() {
        let Some(stage) = Stage::new() else { return };
        let tarball = capture(&stage, system);
        let root = clone(&stage, &tarball);
        for key in system.keys {
            assert!(!root.join(key.0).exists(), "system {index}: {} was captured", key.0);
        }
        assert!(boot(&root, system, None), "system {index}");
        assert_made(&stage, &root, system, &format!("system {index}"));
        // The next boot has nothing to do.
        let made: Vec<_> = system.keys.iter().map(|key| fs::read(root.join(key.0)).unwrap()).collect();
        assert!(boot(&root, system, None));
        let again: Vec<_> = system.keys.iter().map(|key| fs::read(root.join(key.0)).unwrap()).collect();
        assert_eq!(made, again);

        // Keys that exist already stay, and an empty file is not a key.
        let root = clone(&stage, &tarball);
        let (first, second) = (system.keys[0], system.keys.get(1));
        make_key(&root, first);
        let own = fs::read(root.join(first.0)).unwrap();
        if let Some(second) = second {
            fs::create_dir_all(root.join(second.0).parent().unwrap()).unwrap();
            fs::write(root.join(second.0), "").unwrap();
        }
        assert!(boot(&root, system, None), "system {index}");
        assert_eq!(fs::read(root.join(first.0)).unwrap(), own);
        assert_made(&stage, &root, system, &format!("system {index}, with a key"));

        // Without a tool no key is made, this is reported, and the next boot tries again.
        let root = clone(&stage, &tarball);
        for tool in system.tools {
            fs::rename(root.join("usr/bin").join(tool), root.join("usr/bin").join(format!("no-{tool}")))
                .unwrap();
        }
        boot(&root, system, None);
        assert!(!ours(&root).is_empty() && !root.join(first.0).exists(), "system {index}");
        for tool in system.tools {
            fs::rename(root.join("usr/bin").join(format!("no-{tool}")), root.join("usr/bin").join(tool))
                .unwrap();
        }
        assert!(boot(&root, system, None), "system {index}");
        assert_made(&stage, &root, system, &format!("system {index}, at the second boot"));
    }
}

/// Wrapper of a program of the system: counts calls, and cuts the power before, during or after call number `$CUT / 3`.
/// Files that were not synced are empty afterwards, as on ext4.
const CUTTING: &str = r#"#!/bin/busybox sh
name=${0##*/}
count=$(($(cat /tmp/count 2>/dev/null || echo 0) + 1))
echo $count > /tmp/count
cut() {
    find /etc/ssh /etc/dropbear /var/lib/dropbear /data -type f -newer /tmp/synced 2>/dev/null | while read -r file; do
        : > "$file"
    done
    kill -9 $PPID
    exit 1
}
here=; [ "$((${CUT:-0} / 3))" != "$count" ] || here=$((CUT % 3))
[ "$here" != 0 ] || cut
if [ "$here" = 1 ]; then
    # Half of the work: an incomplete key, or one of two names removed or moved.
    case $name in
    *key*) for file; do :; done; echo half > "$file" ;;
    esac
    cut
fi
case $name in
*key*) /usr/bin/$name "$@" ;;
*) /bin/busybox $name "$@" ;;
esac
status=$?
case $name in
sync) sleep 0.02; touch /tmp/synced; sleep 0.02 ;;
esac
[ "$here" != 2 ] || cut
exit $status
"#;

#[test]
fn no_power_cut_leaves_an_incomplete_key_and_the_next_boot_repeats_the_work() {
    for system in [&SYSTEMS[4], &SYSTEMS[2]] {
        let Some(stage) = Stage::new() else { return };
        let tarball = capture(&stage, system);
        let mut cuts = 0;
        for cut in 3.. {
            let root = clone(&stage, &tarball);
            for name in ["mkdir", "rm", "mv", "sync"].iter().chain(system.tools) {
                write(&root.join("usr/local/sbin").join(name), CUTTING);
            }
            fs::write(root.join("tmp/synced"), "").unwrap();
            let ended_well = boot(&root, system, Some(cut));
            // A key under its final name is never incomplete, not even before the next boot.
            for key in system.keys {
                let path = root.join(key.0);
                assert!(!path.exists() || public(&root, *key).is_some(), "cut {cut}: {} is broken", key.0);
            }
            let count: usize = fs::read_to_string(root.join("tmp/count")).unwrap().trim().parse().unwrap();
            fs::remove_dir_all(root.join("usr/local")).unwrap();
            assert!(boot(&root, system, None), "cut {cut}");
            assert_made(&stage, &root, system, &format!("cut {cut}"));
            if count < cut / 3 {
                assert!(ended_well, "cut {cut}");
                break;
            }
            cuts += 1;
        }
        // Directory, old names, key, sync and new name for each of two keys, then the script itself.
        assert!(cuts >= 3 * (5 * system.keys.len() + 2), "{cuts} cuts");
    }
}

#[test]
fn systemd_accepts_the_unit() {
    let Some(stage) = Stage::new() else { return };
    let tarball = capture(&stage, &SYSTEMS[0]);
    let root = clone(&stage, &tarball);
    let name = format!("{OURS}.service");
    let wanted = root.join("etc/systemd/system/multi-user.target.wants").join(&name);
    assert!(fs::canonicalize(&wanted).unwrap().ends_with(format!("etc/systemd/system/{name}")));
    // systemd-analyze searches the script on this host, so the unit gets its path here.
    let unit = root.join("etc/systemd/system").join(&name);
    let text = fs::read_to_string(&unit)
        .unwrap()
        .replace("/etc/replicator-host-keys", &root.join("etc/replicator-host-keys").display().to_string());
    fs::write(&unit, text).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let printed =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !printed.contains(OURS), "{printed}");
    // And it reports an error in the unit.
    let broken = fs::read_to_string(&unit).unwrap().replace("ExecStart=", "ExecStrat=");
    fs::write(&unit, broken).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("ExecStrat"), "{output:?}");
}
