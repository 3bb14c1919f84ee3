//! The programs that check, make and grow file systems: those of e2fsprogs, and of dosfstools if they are installed.
//!
//! Each is run on a device node, and its exit status is converted into a result or an error. The node of a region is
//! made elsewhere.

use super::make_ext;
use crate::host::child::{ChildEnd, Exit, Program, last_line};
use crate::{Error, ErrorKind, ExtShape, Format, Fsck, FsckOutcome, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Directories of programs in addition to `PATH`, which on many boards lacks these.
const SYSTEM_DIRECTORIES: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/bin"];
/// Longest label of ext.
const EXT_LABEL_LEN_MAX_BYTES: usize = 16;
/// Below this length mke2fs has no room for its own tables.
const EXT_LEN_MIN_BYTES: u64 = 64 << 10;

/// The programs, and their time limit.
#[derive(Debug, Clone)]
pub struct Tools {
    /// e2fsck(8).
    pub e2fsck: PathBuf,
    /// mke2fs(8).
    pub mke2fs: PathBuf,
    /// resize2fs(8).
    pub resize2fs: PathBuf,
    /// fsck.fat(8), which a board may not have.
    pub fsck_fat: PathBuf,
    /// A program that takes longer is killed.
    pub timeout: Duration,
}

impl Default for Tools {
    /// Programs by name, with one hour for each: a full check of a large worn card takes tens of minutes.
    fn default() -> Self {
        Self {
            e2fsck: "e2fsck".into(),
            mke2fs: "mke2fs".into(),
            resize2fs: "resize2fs".into(),
            fsck_fat: "fsck.fat".into(),
            timeout: Duration::from_secs(3600),
        }
    }
}

impl Tools {
    /// Checks and repairs an ext file system.
    pub(super) fn check_ext(&self, node: &Path) -> Result<Fsck> {
        self.e2fsck(node, "-fy")
    }

    /// Checks and repairs a FAT file system.
    pub(super) fn check_fat(&self, node: &Path) -> Result<Fsck> {
        let Some(program) = find(&self.fsck_fat) else {
            let detail = format!("{} is not installed", self.fsck_fat.display());
            return Err(Error::new(ErrorKind::Unsupported, "checking", node.display().to_string(), detail));
        };
        let end = Program::new(program, self.timeout).arg("-a").arg(node).run()?;
        match end.exit {
            Exit::Code(0) => Ok(Fsck { outcome: FsckOutcome::Clean, output: end.output }),
            // With -a, status 1 means that errors were found and all of them corrected (fsck.fat(8)).
            Exit::Code(1) => Ok(Fsck { outcome: FsckOutcome::Repaired, output: end.output }),
            _ => Err(tool_failed("checking", node, &end)),
        }
    }

    fn e2fsck(&self, node: &Path, mode: &str) -> Result<Fsck> {
        let end = self.run(&self.e2fsck, [OsStr::new(mode), node.as_os_str()])?;
        match e2fsck_outcome(end.exit) {
            Ok(outcome) => Ok(Fsck { outcome, output: end.output }),
            Err(ErrorKind::Corrupt) => {
                let detail = format!("errors are left: {}", last_line(&end.output));
                Err(Error::new(ErrorKind::Corrupt, "checking", node.display().to_string(), detail))
            }
            Err(_) => Err(tool_failed("checking", node, &end)),
        }
    }

    /// Makes a file system on a device of `len_bytes` with sectors of `sector_len_bytes`.
    pub(super) fn make(
        &self,
        node: &Path,
        len_bytes: u64,
        sector_len_bytes: u32,
        format: &Format,
    ) -> Result<()> {
        let object = || node.display().to_string();
        if len_bytes < EXT_LEN_MIN_BYTES {
            let detail = format!("{len_bytes} bytes are too few for a file system");
            return Err(Error::new(ErrorKind::NoSpace, "formatting", object(), detail));
        }
        let shape = format.shape;
        let shape = shape.unwrap_or_else(|| ExtShape::usual(format.flavour, len_bytes, sector_len_bytes));
        let too_small = |detail: String| Error::new(ErrorKind::NoSpace, "formatting", object(), detail);
        if shape.block_len_bytes < sector_len_bytes {
            return Err(too_small(format!("blocks smaller than sectors of {sector_len_bytes} bytes")));
        }
        let Some(inodes) = shape.inodes_to_make(format.flavour, len_bytes) else {
            return Err(too_small(format!("{len_bytes} bytes have no room for {shape:?}")));
        };
        let mut arguments = make_ext::arguments(format.flavour, &shape, inodes);
        if let Some(label) = &format.label {
            // mke2fs would truncate it and report that only in its output.
            if label.len() > EXT_LABEL_LEN_MAX_BYTES {
                let detail = format!("the label '{label}' is longer than {EXT_LABEL_LEN_MAX_BYTES} bytes");
                return Err(Error::new(ErrorKind::InvalidInput, "formatting", object(), detail));
            }
            arguments.extend(["-L".to_owned(), label.clone()]);
        }
        if let Some(uuid) = &format.uuid {
            arguments.extend(["-U".to_owned(), uuid.to_string()]);
        }
        let end = self
            .program(&self.mke2fs)
            // An empty file: the host's mke2fs.conf(5) must have no effect.
            .environment("MKE2FS_CONFIG", "/dev/null")
            .args(arguments)
            .arg(node)
            .run()?;
        if end.exit == Exit::Code(0) { Ok(()) } else { Err(tool_failed("formatting", node, &end)) }
    }

    /// Grows an ext file system to the size of its device.
    pub(super) fn grow_ext(&self, node: &Path) -> Result<()> {
        // resize2fs refuses a file system that was not checked since its last mount. Unless it is forced, it also
        // refuses one that was checked on a board without a clock, because e2fsck does not store the time there.
        self.e2fsck(node, "-fp")?;
        let end = self.run(&self.resize2fs, [OsStr::new("-f"), node.as_os_str()])?;
        if end.exit == Exit::Code(0) { Ok(()) } else { Err(tool_failed("growing", node, &end)) }
    }

    fn run<'a>(&self, program: &Path, arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<ChildEnd> {
        self.program(program).args(arguments).run()
    }

    fn program(&self, program: &Path) -> Program {
        // The attempt to start a missing program returns the error.
        Program::new(find(program).unwrap_or_else(|| program.to_owned()), self.timeout)
    }
}

/// The table in e2fsck(8): bits that are added.
fn e2fsck_outcome(exit: Exit) -> std::result::Result<FsckOutcome, ErrorKind> {
    match exit {
        Exit::Code(0) => Ok(FsckOutcome::Clean),
        // 1: corrected; 2: corrected, and a mounted root would need a reboot, which does not apply to an image.
        Exit::Code(1..=3) => Ok(FsckOutcome::Repaired),
        Exit::Code(4..=7) => Err(ErrorKind::Corrupt),
        // 8: operational error, 16: usage, 32: cancelled, 128: shared library.
        Exit::Code(_) | Exit::Signal(_) => Err(ErrorKind::ToolFailed),
    }
}

fn tool_failed(operation: &str, node: &Path, end: &ChildEnd) -> Error {
    let exit = match end.exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    };
    let detail = format!("{exit}: {}", last_line(&end.output));
    Error::new(ErrorKind::ToolFailed, operation, node.display().to_string(), detail)
}

/// A program by its path, or by its name in `PATH` and the system's directories.
fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let search = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&search)
        .chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::super::test_images::{Image, have_tool};
    use super::*;
    use crate::Flavour;
    use std::os::unix::fs::FileExt;

    #[test]
    fn every_exit_status_of_e2fsck_is_converted() {
        for (code, expected) in [
            (0, Ok(FsckOutcome::Clean)),
            (1, Ok(FsckOutcome::Repaired)),
            (2, Ok(FsckOutcome::Repaired)),
            (3, Ok(FsckOutcome::Repaired)),
            (4, Err(ErrorKind::Corrupt)),
            (5, Err(ErrorKind::Corrupt)),
            (8, Err(ErrorKind::ToolFailed)),
            (12, Err(ErrorKind::ToolFailed)),
            (16, Err(ErrorKind::ToolFailed)),
            (32, Err(ErrorKind::ToolFailed)),
            (128, Err(ErrorKind::ToolFailed)),
        ] {
            assert_eq!(e2fsck_outcome(Exit::Code(code)), expected, "{code}");
        }
        assert_eq!(e2fsck_outcome(Exit::Signal(9)), Err(ErrorKind::ToolFailed));
    }

    #[test]
    fn a_region_too_small_and_a_label_too_long_are_refused() {
        let image = Image::empty(16 << 10);
        let make = |len, label: &str| {
            let format =
                Format { flavour: Flavour::Ext4, label: Some(label.to_owned()), ..Format::default() };
            Tools::default().make(image.path(), len, 512, &format).unwrap_err().kind()
        };
        assert_eq!(make(16 << 10, "a"), ErrorKind::NoSpace);
        assert_eq!(make(16 << 20, "seventeen letters"), ErrorKind::InvalidInput);
    }

    #[test]
    fn damage_is_repaired_or_reported() {
        if !have_tool("mke2fs") || !have_tool("e2fsck") {
            return;
        }
        let tools = Tools::default();
        let image = Image::ext(16 << 20, &["-t", "ext4"]);
        assert_eq!(tools.check_ext(image.path()).unwrap().outcome, FsckOutcome::Clean);
        // A wrong free count in the superblock.
        let file = std::fs::File::options().write(true).open(image.path()).unwrap();
        file.write_all_at(&[0xff, 0xff], 1024 + 0xc).unwrap();
        let fsck = tools.check_ext(image.path()).unwrap();
        assert_eq!(fsck.outcome, FsckOutcome::Repaired);
        assert!(!fsck.output.is_empty());
        assert_eq!(tools.check_ext(image.path()).unwrap().outcome, FsckOutcome::Clean);
        let error = tools.check_ext(Image::empty(1 << 20).path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ToolFailed, "{error}");
    }

    #[test]
    fn missing_and_hanging_programs_have_different_errors() {
        let image = Image::empty(1 << 20);
        let mut tools = Tools {
            e2fsck: "/nonexistent/e2fsck".into(),
            fsck_fat: "no-such-fsck".into(),
            ..Tools::default()
        };
        assert_eq!(tools.check_ext(image.path()).unwrap_err().kind(), ErrorKind::ToolFailed);
        assert_eq!(tools.check_fat(image.path()).unwrap_err().kind(), ErrorKind::Unsupported);
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), "#!/bin/sh\nsleep 100\n").unwrap();
        std::fs::set_permissions(script.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let script = script.into_temp_path();
        tools.e2fsck = script.to_path_buf();
        tools.timeout = Duration::from_millis(100);
        assert_eq!(tools.check_ext(image.path()).unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
