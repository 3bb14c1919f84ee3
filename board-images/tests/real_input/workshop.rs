//! A board that makes tarballs into the file system that a test asks for, and media of any size.

use super::devices::{Medium, Mount};
use super::replicator::{Board, Run, make_drive};
use super::rootfs;
use super::stage::Stage;
use super::tools::{run, shell};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of a MiB.
pub(crate) const MIB: u64 = 1 << 20;

/// A drive and a stage.
pub(crate) struct Workshop {
    /// The stage.
    pub(crate) stage: Stage,
    drive: Medium,
}

impl Workshop {
    /// `None`, and a line that says why, where it cannot be had. All of it is in memory: what is tried here are many runs.
    pub(crate) fn new(drive_len_bytes: u64) -> Option<Self> {
        let stage = Stage::in_memory()?;
        let drive = make_drive(&stage.path("drive"), drive_len_bytes);
        Some(Self { stage, drive })
    }

    fn drive_files(&self) -> Mount {
        Mount::new(&self.drive.device, &self.stage.path("drive-files"))
    }

    /// Empties the drive, and leaves these settings on it.
    pub(crate) fn clear(&self, settings: &str) {
        let files = self.drive_files();
        shell("find \"$1\" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -r {} +", [&files.path]);
        fs::write(files.path.join("replicator.toml"), settings).unwrap();
    }

    /// Puts a tarball onto the drive that a shell line makes: it gets `arguments` as `$1` and on, and the path of the file
    /// behind them.
    #[track_caller]
    pub(crate) fn pack(&self, name: &str, line: &str, arguments: &[&Path]) {
        let files = self.drive_files();
        shell(line, arguments.iter().copied().chain([files.path.join(name).as_path()]));
    }

    /// Puts a plain tarball onto the drive, `sdimage.tar`, that holds a root file system and what a Python script adds to
    /// the archive `t`: `add(name, type=b"0", data=b"", **fields)` is there for it.
    #[track_caller]
    pub(crate) fn pack_with_python(&self, script: &str) {
        const HEAD: &str = "import tarfile, io, sys\n\
            t = tarfile.open(sys.argv[1], 'w', format=tarfile.PAX_FORMAT)\n\
            def add(name, type=b'0', data=b'', **fields):\n    \
                i = tarfile.TarInfo(name); i.type = type; i.size = len(data); i.mode = 0o755\n    \
                for key, value in fields.items(): setattr(i, key, value)\n    \
                t.addfile(i, io.BytesIO(data))\n\
            for d in ['etc', 'usr', 'bin']: add(d, b'5')\n\
            add('etc/hostname', data=b'x'); add('bin/sh', data=b'#!')\n";
        let files = self.drive_files();
        let script = format!("{HEAD}{script}\nt.close()\n");
        run("python3", ["-c".as_ref(), script.as_ref(), files.path.join("sdimage.tar").as_os_str()]);
    }

    /// A golden medium: one partition with a file system by these options of mkfs, and what `fill` adds to a small root
    /// file system.
    pub(crate) fn golden(&self, len_bytes: u64, mkfs: &[&str], fill: impl FnOnce(&Path)) -> Medium {
        let mut golden = Medium::partitioned(
            &self.stage.path("golden-medium"),
            len_bytes,
            "label: dos\nstart=4MiB, type=83",
        );
        let device = golden.partition(1);
        let options = ["-q", "-F"].iter().chain(mkfs).map(AsRef::as_ref).chain([device.as_os_str()]);
        run("mkfs.ext4", options);
        let mount = Mount::new(&golden.partition(1), &self.stage.path("golden"));
        rootfs::small(&mount.path, 1000);
        fill(&mount.path);
        drop(mount);
        golden.hide_partitions();
        golden
    }

    /// A used medium to write to.
    pub(crate) fn used(&self, len_bytes: u64) -> Medium {
        Medium::used(&self.stage.path("medium"), len_bytes)
    }

    /// Runs as a board that makes this flavour.
    #[track_caller]
    pub(crate) fn run(&self, flavour: &str, medium: &Medium) -> Run {
        self.board(medium).run_as(&self.profile(flavour))
    }

    /// The same where `conf` is the host's mke2fs.conf(5).
    #[track_caller]
    pub(crate) fn run_with_mke2fs_conf(&self, flavour: &str, medium: &Medium, conf: &Path) -> Run {
        self.board(medium).run_with_mke2fs_conf(&self.profile(flavour), conf)
    }

    /// The file of a board that makes this flavour.
    fn profile(&self, flavour: &str) -> String {
        let file = self.stage.path("bench.toml");
        let medium = "[[medium]]\nname = \"sd\"\nkind = \"any\"\n";
        let text =
            format!("name = \"bench\"\nproducts = [\"a bench\"]\n{medium}file_system = \"{flavour}\"\n");
        fs::write(&file, text).unwrap();
        file.into_os_string().into_string().unwrap()
    }

    /// Drive and medium.
    fn board<'a>(&'a self, medium: &'a Medium) -> Board<'a> {
        Board { stage: &self.stage, drive: &self.drive, media: vec![("sd", medium)] }
    }

    /// Runs, and fails unless that ends in a refusal with this code, in these words, before the medium is touched.
    #[track_caller]
    pub(crate) fn assert_refused(&self, flavour: &str, medium: &Medium, code: &str, words: &[&str]) {
        let before = medium.fingerprint();
        let run = self.run(flavour, medium);
        run.assert_failure(code);
        assert_eq!(medium.fingerprint(), before, "the medium was touched: {}", run.console);
        for wanted in words {
            assert!(run.console.contains(wanted), "{wanted:?} is not in {}", run.console);
        }
    }

    /// Whether the captured image is a tarball.
    pub(crate) fn has_tarball(&self) -> bool {
        self.drive_files().path.join("sdimage.tar.xz").exists()
    }

    /// Looks at the tree on a written medium, whose file system has nothing wrong with it, and at its features.
    #[track_caller]
    pub(crate) fn with_written<T>(&self, medium: &mut Medium, look: impl FnOnce(&Path, &str) -> T) -> T {
        medium.show_partitions();
        let partition = medium.partition(1);
        run("e2fsck", ["-fn".as_ref(), partition.as_os_str()]);
        let facts = run("dumpe2fs", ["-h".as_ref(), partition.as_os_str()]);
        let features = facts.lines().find_map(|line| line.strip_prefix("Filesystem features:")).unwrap();
        let at = self.stage.path("written");
        let mount = if features.contains("has_journal") {
            Mount::read_only(&partition, &at)
        } else {
            Mount::without_journal(&partition, &at)
        };
        let seen = look(&mount.path, features.trim());
        drop(mount);
        medium.hide_partitions();
        seen
    }
}

/// A Python program with these arguments; what it prints.
#[track_caller]
pub(crate) fn python(script: &str, arguments: &[PathBuf]) -> String {
    let output = Command::new("python3").args(["-c", script]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
