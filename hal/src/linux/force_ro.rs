//! The software write protection of eMMC boot areas (`force_ro`), which is removed while an area is written.
//!
//! One list has all areas that are open without it, so that an interrupted program can set it again.

use super::roots::attribute;
use crate::host::print;
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The open areas, each with its attribute if it has one.
#[derive(Debug, Default)]
pub(super) struct OpenAreas {
    open: Mutex<BTreeMap<u64, Option<PathBuf>>>,
}

impl OpenAreas {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Option<PathBuf>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no area is open, but no longer than `patience`, because half a bootloader is worse than a late end.
    /// Then protects the areas that are still open.
    ///
    /// # Errors
    /// The error of the first attribute that cannot be set; the others are set.
    pub(super) fn end(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !self.lock().is_empty() && Instant::now() < deadline {
            std::thread::sleep(POLL_INTERVAL);
        }
        let left: Vec<PathBuf> = self.lock().values().flatten().cloned().collect();
        let results: Vec<Result<()>> = left.iter().map(|path| write_attribute(path, "1")).collect();
        results.into_iter().collect()
    }
}

/// The removed protection of one area, which is set again when this is dropped.
pub(super) struct ForceReadOnly {
    /// Its number among the open areas; `None` if it is protected again, or has no protection.
    number: Option<u64>,
    areas: Arc<OpenAreas>,
}

impl ForceReadOnly {
    /// Removes the protection of an eMMC boot area. It is set afterwards even if it was not set before, because then a
    /// killed program left it off.
    pub(super) fn lift(path: PathBuf, areas: &Arc<OpenAreas>) -> Result<Self> {
        let directory = path.parent().unwrap_or(&path);
        let found = attribute(directory, "force_ro");
        let mut open = areas.lock();
        // A second writer would set the protection while the first still writes.
        if found.is_some() && open.values().flatten().any(|other| *other == path) {
            let object = path.display().to_string();
            return Err(Error::new(
                ErrorKind::Busy,
                "opening",
                object,
                "the area is open for writing already",
            ));
        }
        let number = open.keys().next_back().map_or(0, |last| last + 1);
        open.insert(number, found.is_some().then(|| path.clone()));
        drop(open);
        // Created before the write, so that an error sets the protection again.
        let lifted = Self { number: Some(number), areas: Arc::clone(areas) };
        if found.is_some_and(|value| value != "0") {
            write_attribute(&path, "0")?;
        }
        Ok(lifted)
    }

    pub(super) fn restore(&mut self) -> Result<()> {
        let Some(number) = self.number.take() else { return Ok(()) };
        let path = self.areas.lock().get(&number).cloned().flatten();
        let restored = path.map_or(Ok(()), |path| write_attribute(&path, "1"));
        self.areas.lock().remove(&number);
        restored
    }
}

impl Drop for ForceReadOnly {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            print(error);
        }
    }
}

fn write_attribute(path: &Path, value: &str) -> Result<()> {
    let written =
        OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|error| Error::from_io(error, "setting", path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_write_protection_of_a_boot_area_is_set_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("force_ro");
        let areas = Arc::default();
        let read = || std::fs::read_to_string(&path).unwrap().trim().to_owned();
        drop(ForceReadOnly::lift(path.clone(), &areas).unwrap());
        assert!(!path.exists(), "a missing attribute is not created");
        for before in ["1\n", "0\n"] {
            std::fs::write(&path, before).unwrap();
            let mut lifted = ForceReadOnly::lift(path.clone(), &areas).unwrap();
            assert_eq!(read().trim(), "0");
            lifted.restore().unwrap();
            assert_eq!(read(), "1", "it was {before:?}");
        }
        assert!(areas.lock().is_empty());
    }

    #[test]
    fn an_interrupted_program_waits_for_the_writer_and_then_protects() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("force_ro");
        std::fs::write(&path, "1\n").unwrap();
        let areas = Arc::default();
        let read = || std::fs::read_to_string(&path).unwrap().trim().to_owned();
        let hung = ForceReadOnly::lift(path.clone(), &areas).unwrap();
        areas.end(Duration::ZERO).unwrap();
        assert_eq!(read(), "1", "a hanging writer is waited for only for a limited time");
        drop(hung);
        let lifted = ForceReadOnly::lift(path.clone(), &areas).unwrap();
        std::thread::scope(|scope| {
            let end = scope.spawn(|| areas.end(Duration::from_secs(60)));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!end.is_finished(), "it is still being written");
            drop(lifted);
            end.join().unwrap().unwrap();
        });
        assert_eq!(read(), "1");
    }
}
