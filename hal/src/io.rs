//! Whole reads and writes with calls that may be short or interrupted.
//!
//! A backend may read or write less than requested, as the kernel may. These helpers repeat the call until all is done.
//! They are the only place where `Interrupted` is retried; whether an error of a medium is retried is decided in the
//! engine.

use crate::{Error, ErrorKind, Result, Source, Target, VolumeFile};

/// Fills `buffer` by calling `read(offset_in_buffer, rest)` until it is full or the end is reached.
///
/// Returns the number of bytes read, which is less than the buffer only at the end.
///
/// # Errors
/// The first error of `read` other than `Interrupted`.
pub fn read_full(buffer: &mut [u8], mut read: impl FnMut(u64, &mut [u8]) -> Result<usize>) -> Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match read(done as u64, &mut buffer[done..]) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `data` by calling `write(offset_in_data, rest)` until nothing is left.
///
/// # Errors
/// The first error of `write` other than `Interrupted`; `NoSpace` if it returns `Ok(0)`.
pub fn write_full(data: &[u8], mut write: impl FnMut(u64, &[u8]) -> Result<usize>) -> Result<()> {
    let mut done = 0;
    while done < data.len() {
        match write(done as u64, &data[done..]) {
            Ok(0) => {
                return Err(Error::new(ErrorKind::NoSpace, "writing", "", "no more bytes can be written"));
            }
            Ok(len) => done += len,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads from a source until `buffer` is full or the source ends.
///
/// # Errors
/// Those of [`Source::read_at`].
pub fn read_source(source: &mut dyn Source, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
    read_full(buffer, |done, rest| source.read_at(offset_bytes + done, rest))
}

/// Reads from a target until `buffer` is full or the target ends.
///
/// # Errors
/// Those of [`Target::read_at`].
pub fn read_target(target: &mut dyn Target, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
    read_full(buffer, |done, rest| target.read_at(offset_bytes + done, rest))
}

/// Writes all of `data` to a target.
///
/// # Errors
/// Those of [`Target::write_at`].
pub fn write_target(target: &mut dyn Target, offset_bytes: u64, data: &[u8]) -> Result<()> {
    write_full(data, |done, rest| target.write_at(offset_bytes + done, rest))
}

/// Reads from a file until `buffer` is full or the file ends.
///
/// # Errors
/// Those of [`VolumeFile::read_at`].
pub fn read_file(file: &mut dyn VolumeFile, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
    read_full(buffer, |done, rest| file.read_at(offset_bytes + done, rest))
}

/// Writes all of `data` to a file.
///
/// # Errors
/// Those of [`VolumeFile::write_at`].
pub fn write_file(file: &mut dyn VolumeFile, offset_bytes: u64, data: &[u8]) -> Result<()> {
    write_full(data, |done, rest| file.write_at(offset_bytes + done, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_interrupted_reads_are_joined() {
        let content = b"0123456789";
        let mut calls = 0;
        let mut buffer = [0; 16];
        let len = read_full(&mut buffer, |offset, rest| {
            calls += 1;
            if calls % 2 == 0 {
                return Err(Error::new(ErrorKind::Interrupted, "reading", "", ""));
            }
            let left = &content[offset as usize..];
            let len = left.len().min(3).min(rest.len());
            rest[..len].copy_from_slice(&left[..len]);
            Ok(len)
        })
        .unwrap();
        assert_eq!(&buffer[..len], content);
    }

    #[test]
    fn a_write_of_zero_bytes_means_no_space() {
        let error = write_full(b"abc", |_, _| Ok(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
    }
}
