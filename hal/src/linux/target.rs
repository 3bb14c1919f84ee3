//! A block device that is written: exclusive, with few dirty pages in the page cache, and read back past it.

use super::direct::DirectReader;
use super::force_ro::ForceReadOnly;
use super::holders;
use super::ioctl;
use super::node::{self, OpenMode, io_error, medium_len_bytes, open_node};
use super::roots::KernelRoots;
use super::source::closed;
use super::sysfs;
use super::write_back::{Full, WriteBack};
use super::write_protection;
use crate::{CacheBypass, DeviceName, Discarded, Error, ErrorKind, Result, Target};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

/// Longest range for one zeroing ioctl, which cannot be interrupted.
const ZERO_STEP_BYTES: u64 = 64 << 20;

/// An open target.
pub(super) struct BlockTarget {
    roots: KernelRoots,
    device: DeviceName,
    file: Option<File>,
    len_bytes: u64,
    sector_len_bytes: u32,
    discard_unit_bytes: Option<u64>,
    write_back: WriteBack,
    /// After a failed write-back the kernel does not keep which pages are lost, so a later sync proves nothing.
    sync_failed: bool,
    verifying: Verifying,
    use_as: UseAs,
}

/// The purpose of a target.
pub(super) enum UseAs {
    /// Writing a medium.
    Medium,
    /// Writing a bootloader area, which is write-protected again at the end.
    Area(ForceReadOnly),
    /// Reading a bootloader area.
    AreaReadOnly,
}

enum Verifying {
    No,
    Direct(DirectReader),
    Dropped,
}

impl BlockTarget {
    /// Opens `device`.
    pub(super) fn open(roots: &KernelRoots, device: &DeviceName, use_as: UseAs) -> Result<Self> {
        let directory = roots.class_block(device);
        if directory.join("partition").exists() {
            let detail = "a partition, not a whole device";
            return Err(Error::new(ErrorKind::WrongDevice, "opening", device.as_str(), detail));
        }
        let read_only = matches!(use_as, UseAs::AreaReadOnly);
        if matches!(use_as, UseAs::Medium) {
            write_protection::recover(roots, device)?;
        }
        let mode = if read_only { OpenMode::ExclusiveRead } else { OpenMode::Exclusive };
        let file = open_node(roots, device, mode)?;
        let failed = |error| Error::from_io(error, "opening", device.as_str());
        let len_bytes = medium_len_bytes(&file, device)?;
        if !read_only && ioctl::is_read_only(&file).map_err(failed)? {
            return Err(node::refused(device));
        }
        if matches!(use_as, UseAs::Medium) {
            if let Some(holder) = holders::behind_a_loop_device(roots, device) {
                return Err(Error::new(ErrorKind::Busy, "opening", device.as_str(), holder));
            }
            holders::wait_for_writers(roots, device)?;
        }
        let sector_len_bytes = ioctl::sector_len_bytes(&file).map_err(failed)?;
        // Only a medium is discarded. The boot areas of an eMMC share the queue limits of its user area.
        let is_medium = matches!(use_as, UseAs::Medium);
        let unit = sysfs::discard_unit_bytes(&directory, sector_len_bytes);
        Ok(Self {
            roots: roots.clone(),
            device: device.clone(),
            len_bytes,
            sector_len_bytes,
            discard_unit_bytes: unit.filter(|_| is_medium),
            file: Some(file),
            write_back: WriteBack::new(sysfs::erase_group_bytes(&directory)),
            sync_failed: false,
            verifying: Verifying::No,
            use_as,
        })
    }

    fn file(&self, operation: &str) -> Result<&File> {
        self.file.as_ref().ok_or_else(|| closed(&self.device, operation))
    }

    fn refuse_if_read_only(&self, operation: &str) -> Result<()> {
        if matches!(self.use_as, UseAs::AreaReadOnly) {
            let detail = "the area was opened for reading";
            return Err(Error::new(ErrorKind::ReadOnly, operation, self.device.as_str(), detail));
        }
        Ok(())
    }

    fn error(&self, error: std::io::Error, operation: &str, offset_bytes: u64) -> Error {
        io_error(&self.roots, &self.device, error, operation, offset_bytes)
    }

    /// Records a write, and limits the dirty pages.
    fn wrote(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        let Some(Full { start, wait }) = self.write_back.wrote(offset_bytes, len_bytes) else {
            return Ok(());
        };
        let write_back = |range: &Range<u64>, wait| {
            let file = self.file("writing")?;
            ioctl::write_back(file, range.start, range.end - range.start, wait)
                .map_err(|error| self.error(error, "writing", range.start))
        };
        let started = write_back(&start, false);
        let waited = wait.map_or(Ok(()), |range| write_back(&range, true));
        let result = started.and(waited);
        self.sync_failed |= result.is_err();
        result
    }

    fn write_zeros(&mut self, range: Range<u64>) -> Result<()> {
        let zeros = vec![0; 1 << 20];
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(zeros.len() as u64);
            crate::io::write_full(&zeros[..len as usize], |done, rest| self.write_at(at + done, rest))?;
            at += len;
        }
        Ok(())
    }

    /// Zeroes whole sectors; `Ok(false)` if the kernel does not support it for this device.
    fn zero_by_ioctl(&mut self, range: Range<u64>) -> Result<bool> {
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(ZERO_STEP_BYTES);
            match ioctl::zero_out(self.file("zeroing")?, at, len) {
                Ok(()) => at += len,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if is_unsupported(&error) => return Ok(false),
                Err(error) => return Err(self.error(error, "zeroing", at)),
            }
        }
        Ok(true)
    }

    /// Opens the same device again for direct reads, and tries one read.
    fn direct_reader(&self) -> Result<Option<DirectReader>> {
        let file = self.file("verifying")?;
        // Through the descriptor and not by name, so that it is the same device even if `/dev` has changed.
        let path = self.roots.proc.join(format!("self/fd/{}", file.as_raw_fd()));
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
        let tried = opened.and_then(|file| {
            let mut reader = DirectReader::new(file, self.sector_len_bytes, self.len_bytes);
            reader.read_at(0, &mut [0; 512]).map(|_| reader)
        });
        match tried {
            Ok(reader) => Ok(Some(reader)),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => Ok(None),
            // Without /proc there is no second descriptor. Then only dropping the cache is left.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error(error, "verifying", 0)),
        }
    }
}

/// Whether the kernel or the device does not know the request.
fn is_unsupported(error: &std::io::Error) -> bool {
    let unsupported = [libc::EOPNOTSUPP, libc::ENOTTY, libc::EINVAL, libc::EREMOTEIO];
    error.raw_os_error().is_some_and(|errno| unsupported.contains(&errno))
}

impl Target for BlockTarget {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize> {
        self.file("writing")?;
        self.refuse_if_read_only("writing")?;
        if data.is_empty() {
            return Ok(0);
        }
        let Some(left) = self.len_bytes.checked_sub(offset_bytes).filter(|left| *left > 0) else {
            let object = format!("{} at {offset_bytes}", self.device);
            return Err(Error::new(ErrorKind::NoSpace, "writing", object, "past the end of the device"));
        };
        self.verifying = Verifying::No;
        let data = &data[..data.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        let len = self
            .file("writing")?
            .write_at(data, offset_bytes)
            .map_err(|error| self.error(error, "writing", offset_bytes))?;
        self.wrote(offset_bytes, len as u64)?;
        Ok(len)
    }

    fn zero(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        self.file("zeroing")?;
        self.refuse_if_read_only("zeroing")?;
        let end = offset_bytes.checked_add(len_bytes).filter(|end| *end <= self.len_bytes);
        let Some(end) = end else {
            let object = format!("{} at {offset_bytes}", self.device);
            return Err(Error::new(ErrorKind::NoSpace, "zeroing", object, "past the end of the device"));
        };
        self.verifying = Verifying::No;
        let sector = u64::from(self.sector_len_bytes);
        let (first, last) = (offset_bytes.next_multiple_of(sector), end - end % sector);
        if first >= last || !self.zero_by_ioctl(first..last)? {
            return self.write_zeros(offset_bytes..end);
        }
        self.write_zeros(offset_bytes..first)?;
        self.write_zeros(last..end)
    }

    fn discard_unit_bytes(&self) -> Option<u64> {
        self.discard_unit_bytes
    }

    fn discard(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<Discarded> {
        self.file("discarding")?;
        self.refuse_if_read_only("discarding")?;
        let end = offset_bytes.checked_add(len_bytes).filter(|end| *end <= self.len_bytes);
        let Some(end) = end else {
            let object = format!("{} at {offset_bytes}", self.device);
            return Err(Error::new(ErrorKind::NoSpace, "discarding", object, "past the end of the device"));
        };
        let Some(unit) = self.discard_unit_bytes else { return Ok(Discarded::Unsupported) };
        let (first, last) = (offset_bytes.next_multiple_of(unit), end - end % unit);
        if first >= last {
            return Ok(Discarded::Accepted(offset_bytes..offset_bytes));
        }
        self.verifying = Verifying::No;
        loop {
            match ioctl::discard(self.file("discarding")?, first, last - first) {
                Ok(()) => return Ok(Discarded::Accepted(first..last)),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if is_unsupported(&error) => return Ok(Discarded::Unsupported),
                Err(error) => return Err(self.error(error, "discarding", first)),
            }
        }
    }

    fn sync(&mut self) -> Result<()> {
        if self.sync_failed {
            let detail = "an earlier write-back failed; the written data is lost";
            return Err(Error::new(ErrorKind::Io, "syncing", self.device.as_str(), detail));
        }
        let result = self.file("syncing")?.sync_all().map_err(|error| self.error(error, "syncing", 0));
        self.sync_failed = result.is_err();
        self.write_back.synced();
        result
    }

    fn begin_verify(&mut self) -> Result<CacheBypass> {
        self.sync()?;
        let file = self.file("verifying")?;
        let dropped = ioctl::flush_buffers(file).and_then(|()| ioctl::drop_clean_pages(file));
        // Direct reads are tried first: pages that another opener of the device uses are not dropped.
        if let Some(reader) = self.direct_reader()? {
            self.verifying = Verifying::Direct(reader);
            return Ok(CacheBypass::Direct);
        }
        dropped.map_err(|error| self.error(error, "dropping the cache of", 0))?;
        self.verifying = Verifying::Dropped;
        Ok(CacheBypass::Dropped)
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        let file = self.file.as_ref().ok_or_else(|| closed(&self.device, "reading"))?;
        if offset_bytes >= self.len_bytes || buffer.is_empty() {
            return Ok(0);
        }
        let result = match &mut self.verifying {
            Verifying::Direct(reader) => reader.read_at(offset_bytes, buffer),
            Verifying::No | Verifying::Dropped => file.read_at(buffer, offset_bytes),
        };
        match result {
            Ok(0) => Err(Error::new(
                ErrorKind::DeviceGone,
                "reading",
                format!("{} at {offset_bytes}", self.device),
                "the device ends early",
            )),
            result => result.map_err(|error| self.error(error, "reading", offset_bytes)),
        }
    }

    fn close(&mut self) -> Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        let synced = self.sync();
        self.verifying = Verifying::No;
        let closed = self.file.take().map_or(Ok(()), |file| {
            ioctl::close_checked(file).map_err(|error| self.error(error, "closing", 0))
        });
        let restored = match &mut self.use_as {
            UseAs::Area(protection) => protection.restore(),
            UseAs::Medium | UseAs::AreaReadOnly => Ok(()),
        };
        synced.and(closed).and(restored)
    }
}
