//! The kernel's read-only flag (BLKROSET) of devices that are only read, and the flags that a killed run left behind.
//!
//! The claim of a source excludes mounts and other claims; this flag also excludes programs that open the device for
//! writing without a claim. The kernel keeps the flag when the program that set it dies. So there is a record in
//! `/run/replicator` for each flag that is set. The record is locked while that program lives; the kernel releases the
//! lock with it. A flag with an unlocked record of the same medium in the same boot was left behind and is cleared. If
//! no record can be created, no flag is set.

use super::holders;
use super::ioctl;
use super::node::{OpenMode, open_node};
use super::patience::Patience;
use super::roots::{KernelRoots, attribute};
use crate::host::print;
use crate::{DeviceName, Error, Result};
use nix::libc;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const DIRECTORY: &str = "replicator";
const RECORD_MAX_BYTES: u64 = 4096;

/// For a program that reads a record at this moment.
const PATIENCE: Patience = Patience { total: Duration::from_secs(2), interval: Duration::from_millis(2) };

/// The flags that this program has set.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteProtection {
    held: Arc<Mutex<BTreeMap<DeviceName, Record>>>,
}

/// The record of a flag. Its lock is ours while this exists.
#[derive(Debug)]
struct Record {
    path: PathBuf,
    /// Keeps the lock.
    _file: File,
}

impl WriteProtection {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceName, Record>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the read-only flag of `device`, which is open as `file`, until [`WriteProtection::release`]. Nothing is
    /// done if it is set already.
    ///
    /// # Errors
    /// Errors of the kernel; `Busy` if another run is about to do the same.
    pub(super) fn protect(&self, roots: &KernelRoots, device: &DeviceName, file: &File) -> Result<()> {
        let failed = |error| Error::from_io(error, "setting read-only", device.as_str());
        let mut held = self.lock();
        if held.contains_key(device) || ioctl::is_read_only(file).map_err(failed)? {
            return Ok(());
        }
        let Some(mut record) = Record::open(roots, device)? else { return Ok(()) };
        let text = identity(roots, device, file) + &format!("process {}\n", std::process::id());
        record.write(&text)?;
        let set = ioctl::set_read_only(file, true).map_err(failed);
        if set.is_err() {
            record.remove();
            return set;
        }
        held.insert(device.clone(), record);
        Ok(())
    }

    /// Clears the flag, if [`WriteProtection::protect`] has set it.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub(super) fn release(&self, device: &DeviceName, file: &File) -> Result<()> {
        let Some(record) = self.lock().remove(device) else { return Ok(()) };
        clear(device, file, record)
    }

    /// Clears every flag, for a program that ends without closing what it has open.
    ///
    /// # Errors
    /// The error of the first device that fails; the others are cleared.
    pub(super) fn release_all(&self, roots: &KernelRoots) -> Result<()> {
        let mut first_error = None;
        for (device, record) in std::mem::take(&mut *self.lock()) {
            let cleared =
                open_node(roots, &device, OpenMode::Read).and_then(|file| clear(&device, &file, record));
            if let Err(error) = cleared {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

fn clear(device: &DeviceName, file: &File, record: Record) -> Result<()> {
    ioctl::set_read_only(file, false)
        .map_err(|error| Error::from_io(error, "setting read-write", device.as_str()))?;
    record.remove();
    Ok(())
}

impl Record {
    fn path(roots: &KernelRoots, device: &DeviceName) -> PathBuf {
        roots.run.join(DIRECTORY).join(format!("read-only-{device}"))
    }

    /// The locked record of `device`, empty or with the content of an earlier run; `None` if none can be created.
    fn open(roots: &KernelRoots, device: &DeviceName) -> Result<Option<Self>> {
        let directory = roots.run.join(DIRECTORY);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(_) => return Ok(None),
            Ok(()) => {}
        }
        let path = Self::path(roots, device);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        loop {
            let Ok(file) = options.custom_flags(libc::O_NOFOLLOW).open(&path) else { return Ok(None) };
            lock_patiently(&file).map_err(|errno| {
                Error::from_io(std::io::Error::from(errno), "locking", path.display().to_string())
            })?;
            // Removed by the run that had it before us.
            if is_still_at(&file, &path) {
                return Ok(Some(Self { path, _file: file }));
            }
        }
    }

    fn write(&mut self, text: &str) -> Result<()> {
        let written = self._file.set_len(0).and_then(|()| self._file.write_all(text.as_bytes()));
        written.map_err(|error| Error::from_io(error, "writing", self.path.display().to_string()))
    }

    /// Removed while it is locked, so that it is not taken for one that was left behind.
    fn remove(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            print(Error::from_io(error, "removing", self.path.display().to_string()));
        }
    }
}

fn lock_patiently(file: &File) -> std::result::Result<(), Errno> {
    let lock = || flock(file, FlockOperation::NonBlockingLockExclusive);
    PATIENCE.while_busy(|errno| *errno == Errno::WOULDBLOCK, lock)
}

fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Identifies this medium in this boot, in contrast to an earlier one with the same device name. Lines of text.
fn identity(roots: &KernelRoots, device: &DeviceName, file: &File) -> String {
    let boot = attribute(&roots.proc, "sys/kernel/random/boot_id").unwrap_or_default();
    let number = file.metadata().map(|metadata| metadata.rdev()).unwrap_or_default();
    // Since Linux 5.15: a number that is incremented for every medium in a slot and for every backing of a loop device.
    let disk =
        holders::family(roots, device).into_iter().find(|directory| !directory.join("partition").exists());
    let sequence = disk.and_then(|disk| attribute(&disk, "diskseq")).unwrap_or_default();
    let len_bytes = ioctl::len_bytes(file).unwrap_or_default();
    format!(
        "boot {boot}\ndevice {}:{}\nsequence {sequence}\nlength {len_bytes}\n",
        libc::major(number),
        libc::minor(number)
    )
}

/// The locked record of a flag that a run left behind on `device`.
fn left_behind(roots: &KernelRoots, device: &DeviceName, file: &File) -> Option<Record> {
    let path = Record::path(roots, device);
    let mut record = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&path).ok()?;
    flock(&record, FlockOperation::NonBlockingLockExclusive).ok()?;
    let mut text = String::new();
    (&mut record).take(RECORD_MAX_BYTES).read_to_string(&mut text).ok()?;
    let is_ours = is_still_at(&record, &path) && text.starts_with(&identity(roots, device, file));
    is_ours.then_some(Record { path, _file: record })
}

/// Whether `device` is read-only in the kernel only because a killed run left the flag behind.
pub(super) fn is_left_behind(roots: &KernelRoots, device: &DeviceName) -> bool {
    // The record is read first, because opening a device can have effects.
    if !Record::path(roots, device).exists() {
        return false;
    }
    open_node(roots, device, OpenMode::Read).is_ok_and(|file| left_behind(roots, device, &file).is_some())
}

/// Clears the flag of `device`, its partitions and its whole disk, if a killed run left it behind.
///
/// # Errors
/// Errors of the kernel.
pub(super) fn recover(roots: &KernelRoots, device: &DeviceName) -> Result<()> {
    for directory in holders::family(roots, device) {
        let Some(name) = directory.file_name().and_then(|name| name.to_str()) else { continue };
        let name = DeviceName::parse(name)?;
        if !Record::path(roots, &name).exists() {
            continue;
        }
        let file = open_node(roots, &name, OpenMode::Read)?;
        if let Some(record) = left_behind(roots, &name, &file) {
            clear(&name, &file, record)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::test_images::{Image, have_loop_devices};
    use super::*;
    use std::process::Command;

    /// A loop device, and a separate `/run`.
    struct Bench {
        _image: Image,
        roots: KernelRoots,
        device: DeviceName,
        _run: tempfile::TempDir,
    }

    impl Bench {
        fn new(test: &str) -> Option<Self> {
            if !have_loop_devices(test) {
                return None;
            }
            let image = Image::empty(1 << 20);
            let node = image.run("losetup", &["-f", "--show"]).trim().to_owned();
            let run = tempfile::tempdir().unwrap();
            let roots = KernelRoots { run: run.path().to_owned(), ..KernelRoots::default() };
            let device = DeviceName::parse(node.trim_start_matches("/dev/")).unwrap();
            let bench = Self { _image: image, roots, device, _run: run };
            // An earlier backing with this number may have left the flag.
            ioctl::set_read_only(&bench.open(), false).unwrap();
            Some(bench)
        }

        fn open(&self) -> File {
            open_node(&self.roots, &self.device, OpenMode::Read).unwrap()
        }

        fn is_read_only(&self) -> bool {
            ioctl::is_read_only(&self.open()).unwrap()
        }

        fn record(&self) -> PathBuf {
            Record::path(&self.roots, &self.device)
        }

        /// Leaves what a killed run leaves: the flag and its record, but not the lock.
        fn leave_behind(&self) {
            let dead = WriteProtection::default();
            dead.protect(&self.roots, &self.device, &self.open()).unwrap();
            assert!(self.is_read_only() && self.record().exists());
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            let node = self.roots.node(&self.device);
            for (tool, option) in [("blockdev", "--setrw"), ("losetup", "-d")] {
                let done = Command::new(tool).arg(option).arg(&node).status();
                if !done.is_ok_and(|status| status.success()) {
                    eprintln!("{tool} {option} {} failed", node.display());
                }
            }
        }
    }

    #[test]
    fn the_flag_of_a_dead_run_is_cleared_and_that_of_a_live_one_is_not() {
        let Some(bench) = Bench::new("the_flag_of_a_dead_run_is_cleared_and_that_of_a_live_one_is_not")
        else {
            return;
        };
        let living = WriteProtection::default();
        living.protect(&bench.roots, &bench.device, &bench.open()).unwrap();
        assert!(!is_left_behind(&bench.roots, &bench.device));
        recover(&bench.roots, &bench.device).unwrap();
        assert!(bench.is_read_only() && bench.record().exists());
        living.release(&bench.device, &bench.open()).unwrap();
        assert!(!bench.is_read_only() && !bench.record().exists());

        bench.leave_behind();
        assert!(is_left_behind(&bench.roots, &bench.device));
        recover(&bench.roots, &bench.device).unwrap();
        assert!(!bench.is_read_only() && !bench.record().exists());
    }

    #[test]
    fn a_flag_of_another_program_stays() {
        let Some(bench) = Bench::new("a_flag_of_another_program_stays") else { return };
        ioctl::set_read_only(&bench.open(), true).unwrap();
        let ours = WriteProtection::default();
        ours.protect(&bench.roots, &bench.device, &bench.open()).unwrap();
        assert!(!bench.record().exists());
        ours.release(&bench.device, &bench.open()).unwrap();
        ours.release_all(&bench.roots).unwrap();
        recover(&bench.roots, &bench.device).unwrap();
        assert!(bench.is_read_only());
    }

    #[test]
    fn the_record_of_another_medium_or_boot_is_ignored() {
        let Some(bench) = Bench::new("the_record_of_another_medium_or_boot_is_ignored") else { return };
        bench.leave_behind();
        let record = std::fs::read_to_string(bench.record()).unwrap();
        for line in record.lines().take(4) {
            let other = record.replace(line, &format!("{line}0"));
            std::fs::write(bench.record(), other).unwrap();
            assert!(!is_left_behind(&bench.roots, &bench.device), "{line}");
            recover(&bench.roots, &bench.device).unwrap();
            assert!(bench.is_read_only(), "{line}");
        }
        // Truncated, because the run was killed while it wrote it.
        std::fs::write(bench.record(), &record[..record.len() / 2]).unwrap();
        assert!(!is_left_behind(&bench.roots, &bench.device));
        std::fs::write(bench.record(), record).unwrap();
        assert!(is_left_behind(&bench.roots, &bench.device));
    }

    #[test]
    fn without_a_record_no_flag_is_set() {
        let Some(mut bench) = Bench::new("without_a_record_no_flag_is_set") else { return };
        bench.roots.run = bench.roots.run.join("no/such/directory");
        let ours = WriteProtection::default();
        ours.protect(&bench.roots, &bench.device, &bench.open()).unwrap();
        assert!(!bench.is_read_only());
    }

    #[test]
    fn an_interrupted_run_clears_every_flag() {
        let Some(bench) = Bench::new("an_interrupted_run_clears_every_flag") else { return };
        let ours = WriteProtection::default();
        ours.protect(&bench.roots, &bench.device, &bench.open()).unwrap();
        ours.clone().release_all(&bench.roots).unwrap();
        assert!(!bench.is_read_only() && !bench.record().exists());
        ours.release(&bench.device, &bench.open()).unwrap();
    }
}
