//! Host keys that come back: the script that a capture adds is really run, as each init system would, by two shells, with
//! the tools of OpenSSH and of dropbear, and with the power cut before, in and after each of its commands.

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
/// What a unit or an init script of the capture is called, somewhere in the name.
const OURS: &str = "replicator-host-keys";

/// A system that is captured, and how it starts what the capture adds.
struct System {
    /// Files with their text, executable.
    init: &'static [(&'static str, &'static str)],
    /// Program and arguments with which the system runs the script.
    start: &'static [&'static str],
    /// What `/bin/sh` is.
    shell: &'static str,
    /// What makes keys.
    tools: &'static [&'static str],
    /// Private keys, by the `-t` of their kind.
    keys: &'static [(&'static str, &'static str)],
}

const OPENSSH_KEYS: [(&str, &str); 3] = [
    ("etc/ssh/ssh_host_ed25519_key", "ed25519"),
    ("etc/ssh/ssh_host_ecdsa_key", "ecdsa"),
    // Only the configuration names it, and only its content shows the kind.
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
        // As much of OpenRC as its scripts need.
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

/// Puts a program of this host into the tree, with the libraries that it needs.
fn bring(root: &Path, program: &str, to: &str) {
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

/// The public half of a key, if the key is whole and of its kind.
fn public(root: &Path, (name, kind): (&str, &str)) -> Option<String> {
    let mut command = Command::new(if name.contains("dropbear") { "dropbearkey" } else { "ssh-keygen" });
    let output = command.arg("-y").arg("-f").arg(root.join(name)).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("AAAA"))?;
    assert!(output.status.success() && line.contains(kind), "{name}: {text}");
    Some(line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// The golden system, captured; gives the tarball.
fn capture(stage: &Stage, system: &System) -> PathBuf {
    let mut golden =
        Medium::partitioned(&stage.path("golden-medium"), 64 * MIB, "label: dos\nstart=4MiB, type=83");
    run("mkfs.ext4", ["-q".as_ref(), golden.partition(1).as_os_str()]);
    let mount = Mount::new(&golden.partition(1), &stage.path("golden"));
    let root = &mount.path;
    rootfs::small(root, 1000);
    fs::remove_file(root.join("bin/sh")).unwrap();
    bring(root, "busybox", "bin/busybox");
    for name in ["mkdir", "rm", "mv", "sync", "cat", "dirname", "find", "touch", "sleep", "kill"] {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    match system.shell {
        "busybox" => symlink("busybox", root.join("bin/sh")).unwrap(),
        shell => bring(root, shell, "bin/sh"),
    }
    for tool in system.tools {
        bring(root, tool, &format!("usr/bin/{tool}"));
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

/// A unit's file system, as it is before its first boot.
fn clone(stage: &Stage, tarball: &Path) -> PathBuf {
    let root = stage.path("clone");
    drop(fs::remove_dir_all(&root));
    fs::create_dir(&root).unwrap();
    run("tar", ["-C".as_ref(), root.as_os_str(), "-xpf".as_ref(), tarball.as_os_str()]);
    root
}

/// Starts what the capture added as the system would, if it is still there. Gives whether that ended well.
fn boot(root: &Path, system: &System, cut: Option<usize>) -> bool {
    let starter = root.join(
        system
            .start
            .last()
            .filter(|word| word.starts_with('/'))
            .unwrap_or(&system.start[0])
            .trim_start_matches('/'),
    );
    // A unit whose program is gone is not started, and neither is an init script.
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

/// Names of what the capture added.
fn ours(root: &Path) -> String {
    shell("cd \"$1\" && find . -name \"*$2*\"", [root, Path::new(OURS)])
}

/// All keys are there, whole, new, with their public halves, and what made them is gone.
#[track_caller]
fn assert_made(stage: &Stage, root: &Path, system: &System, what: &str) {
    assert_eq!(ours(root), "", "{what}");
    for key in system.keys {
        let made = public(root, *key);
        assert!(made.is_some(), "{what}: {} is no key", key.0);
        assert_ne!(made, public(&stage.path("as-it-was"), *key), "{what}: {} is the golden unit's", key.0);
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
fn every_init_system_makes_keys_once_and_removes_what_made_them() {
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

        // Keys that were put there stay, and an empty file is no key.
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

        // Without a tool nothing is made, that is reported, and the next boot tries again.
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

/// Stands before a program of the system: counts calls, and cuts the power before, in, or after call number `$CUT / 3`.
/// What was not synced by then is empty afterwards, as ext4 leaves it.
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
    # Half of it: a key that is not whole, one of two names removed or moved.
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
fn a_power_cut_anywhere_leaves_no_half_key_and_the_next_boot_does_it_again() {
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
            // No key of a name that counts may be broken, not even before the next boot.
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
        // Directory, old names, key, sync, new name for each of two keys, then the script itself.
        assert!(cuts >= 3 * (5 * system.keys.len() + 2), "{cuts} cuts");
    }
}

#[test]
fn systemd_takes_the_unit() {
    let Some(stage) = Stage::new() else { return };
    let tarball = capture(&stage, &SYSTEMS[0]);
    let root = clone(&stage, &tarball);
    let name = format!("{OURS}.service");
    let wanted = root.join("etc/systemd/system/multi-user.target.wants").join(&name);
    assert!(fs::canonicalize(&wanted).unwrap().ends_with(format!("etc/systemd/system/{name}")));
    // The script has to be where the unit says, for whom the tool is run on this host's units.
    let unit = root.join("etc/systemd/system").join(&name);
    let text = fs::read_to_string(&unit)
        .unwrap()
        .replace("/etc/replicator-host-keys", &root.join("etc/replicator-host-keys").display().to_string());
    fs::write(&unit, text).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains(OURS), "{said}");
    // And it does find what is wrong.
    let broken = fs::read_to_string(&unit).unwrap().replace("ExecStart=", "ExecStrat=");
    fs::write(&unit, broken).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("ExecStrat"), "{output:?}");
}
