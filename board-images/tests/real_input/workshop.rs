//! A board that writes tarballs to a chosen file system, and media of any size.

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
    /// If this system cannot run the tests, prints the reason and returns `None`. Everything is in memory, because there are many
    /// runs.
    pub(crate) fn new(drive_len_bytes: u64) -> Option<Self> {
        let stage = Stage::in_memory()?;
        let drive = make_drive(&stage.path("drive"), drive_len_bytes);
        Some(Self { stage, drive })
    }

    fn drive_files(&self) -> Mount {
        Mount::new(&self.drive.device, &self.stage.path("drive-files"))
    }

    /// Removes all files from the drive, and writes these settings to it.
    pub(crate) fn clear(&self, settings: &str) {
        let files = self.drive_files();
        shell("find \"$1\" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -r {} +", [&files.path]);
        fs::write(files.path.join("replicator.toml"), settings).unwrap();
    }

    /// Puts a tarball on the drive with a shell line. It gets `arguments` as `$1`, `$2`, ... and then the path of the new file.
    #[track_caller]
    pub(crate) fn pack(&self, name: &str, line: &str, arguments: &[&Path]) {
        let files = self.drive_files();
        shell(line, arguments.iter().copied().chain([files.path.join(name).as_path()]));
    }

    /// Puts an uncompressed tarball `sdimage.tar` on the drive, with a root file system and the entries that a Python script adds to
    /// the archive `t` with `add(name, type=b"0", data=b"", **fields)`.
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

    /// A golden medium: one partition with a file system made with these options of mkfs, and a small root file system to which
    /// `fill` adds files.
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

    /// Runs as a board with this flavour of ext.
    #[track_caller]
    pub(crate) fn run(&self, flavour: &str, medium: &Medium) -> Run {
        self.board(medium).run_as(&self.profile(flavour))
    }

    /// The same with `conf` as mke2fs.conf(5) of the host.
    #[track_caller]
    pub(crate) fn run_with_mke2fs_conf(&self, flavour: &str, medium: &Medium, conf: &Path) -> Run {
        self.board(medium).run_with_mke2fs_conf(&self.profile(flavour), conf)
    }

    /// The board file with this flavour of ext.
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

    /// Runs, and fails unless the run is refused with this code and these words before the medium is changed.
    #[track_caller]
    pub(crate) fn assert_refused(&self, flavour: &str, medium: &Medium, code: &str, words: &[&str]) {
        let before = medium.fingerprint();
        let run = self.run(flavour, medium);
        run.assert_failure(code);
        assert_eq!(medium.fingerprint(), before, "the medium was changed: {}", run.console);
        for wanted in words {
            assert!(run.console.contains(wanted), "{wanted:?} is not in {}", run.console);
        }
    }

    /// Whether the captured image is a tarball.
    pub(crate) fn has_tarball(&self) -> bool {
        self.drive_files().path.join("sdimage.tar.xz").exists()
    }

    /// Checks the file system on a written medium with e2fsck, and calls `inspect` with its tree and its features.
    #[track_caller]
    pub(crate) fn with_written<T>(&self, medium: &mut Medium, inspect: impl FnOnce(&Path, &str) -> T) -> T {
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
        let result = inspect(&mount.path, features.trim());
        drop(mount);
        medium.hide_partitions();
        result
    }
}

/// Runs a Python program with these arguments; returns its output.
#[track_caller]
pub(crate) fn python(script: &str, arguments: &[PathBuf]) -> String {
    let output = Command::new("python3").args(["-c", script]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
