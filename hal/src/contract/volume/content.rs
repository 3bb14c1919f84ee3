//! Content of files: reading, writing, length, holes.

use super::fixture::VolumeFixture;
use crate::contract::{kind, path, pattern, read_all, read_rest, skipped, write_new};
use crate::{Access, ErrorKind, NodeKind, Volume, VolumeFile, io};

fn create(volume: &dyn Volume, name: &str) -> Box<dyn VolumeFile> {
    volume.create_new(&path(name), 0o644).unwrap()
}

/// A file reads back what was written, synced or not, through every open handle.
pub fn content_reads_back_before_a_sync(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let data = pattern(0x11, 100_000);
    let mut file = create(volume, "a");
    io::write_file(file.as_mut(), 0, &data).unwrap();
    assert!(read_rest(file.as_mut()) == data);
    assert!(read_all(volume, &path("a")) == data);
    assert_eq!(volume.metadata(&path("a")).unwrap().len_bytes, 100_000);
    file.close().unwrap();
    assert!(read_all(volume, &path("a")) == data);
}

/// A read at or past the end returns 0 bytes.
pub fn reading_at_and_over_the_end_returns_nothing(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    write_new(volume, &path("a"), b"12345");
    write_new(volume, &path("empty"), b"");
    let mut buffer = [7; 16];
    let mut file = volume.open(&path("a")).unwrap();
    for offset in [5, 6, 4096, 1 << 40, u64::MAX] {
        assert_eq!(file.read_at(offset, &mut buffer).unwrap(), 0, "at {offset}");
    }
    assert_eq!(file.read_at(0, &mut []).unwrap(), 0);
    file.close().unwrap();
    let mut file = volume.open(&path("empty")).unwrap();
    assert_eq!(file.read_at(0, &mut buffer).unwrap(), 0);
    assert_eq!(file.len_bytes().unwrap(), 0);
    file.close().unwrap();
    assert_eq!(buffer, [7; 16]);
}

/// Announced files read as others do; an announcement of something else changes nothing, and keeps nothing busy.
pub fn announced_files_are_read_as_they_are(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let names: Vec<_> = (0..100).map(|number| format!("file-{number}")).collect();
    for name in &names {
        write_new(volume, &path(name), name.as_bytes());
    }
    write_new(volume, &path("empty"), b"");
    volume.create_dir(&path("directory"), 0o755).unwrap();
    volume.sync().unwrap();
    for access in [Access::ReadWrite, Access::ReadOnly] {
        volume.remount(access).unwrap();
        let others = ["missing", "directory", "empty", "directory/missing"];
        let announced: Vec<_> = names.iter().map(String::as_str).chain(others).map(path).collect();
        volume.read_ahead(&announced);
        volume.read_ahead(&announced);
        assert_eq!(kind(volume.open(&path("missing"))), ErrorKind::NotFound);
        assert_eq!(kind(volume.open(&path("directory"))), ErrorKind::IsADirectory);
        // Also in another order, and twice.
        for name in names.iter().rev().chain(&names) {
            assert!(read_all(volume, &path(name)) == name.as_bytes(), "{name}");
        }
        volume.read_ahead(&announced);
    }
    // A change is seen, although the file was announced before.
    volume.remount(Access::ReadWrite).unwrap();
    let mut file = volume.open_write(&path("file-99")).unwrap();
    io::write_file(file.as_mut(), 0, b"changed and longer").unwrap();
    file.close().unwrap();
    assert!(read_all(volume, &path("file-99")) == b"changed and longer");
    volume.remove_file(&path("file-98")).unwrap();
    assert_eq!(kind(volume.open(&path("file-98"))), ErrorKind::NotFound);
    volume.unmount().unwrap();
}

/// A read across the end fills a part of the buffer.
pub fn a_read_across_the_end_is_short(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let data = pattern(0x22, 5000);
    write_new(volume, &path("a"), &data);
    let mut file = volume.open(&path("a")).unwrap();
    let mut buffer = [0; 4096];
    assert_eq!(io::read_file(file.as_mut(), 4900, &mut buffer).unwrap(), 100);
    assert_eq!(buffer[..100], data[4900..]);
    file.close().unwrap();
}

/// A write changes only its own range.
pub fn writes_change_only_their_range(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let mut expected = pattern(0x33, 20_000);
    write_new(volume, &path("a"), &expected);
    let mut file = volume.open_write(&path("a")).unwrap();
    for (offset, len) in [(0, 1), (4095, 2), (10_000, 7000), (19_999, 500)] {
        let data = vec![0xaa; len];
        io::write_file(file.as_mut(), offset as u64, &data).unwrap();
        expected.resize(expected.len().max(offset + len), 0);
        expected[offset..offset + len].copy_from_slice(&data);
    }
    file.close().unwrap();
    assert!(read_all(volume, &path("a")) == expected);
}

/// A file that is open for reading cannot be changed.
pub fn a_reader_cannot_write(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    write_new(volume, &path("a"), b"content");
    let mut file = volume.open(&path("a")).unwrap();
    let refused = kind(file.write_at(0, b"X"));
    assert!(matches!(refused, ErrorKind::ReadOnly | ErrorKind::PermissionDenied), "{refused:?}");
    file.set_len(0).unwrap_err();
    file.close().unwrap();
    assert_eq!(read_all(volume, &path("a")), b"content");
}

/// Only regular files are opened: opening a fifo would block, and opening a device can have effects.
pub fn opening_needs_a_regular_file(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    volume.create_dir(&path("dir"), 0o755).unwrap();
    assert_eq!(kind(volume.open(&path("dir"))), ErrorKind::IsADirectory);
    assert_eq!(kind(volume.open_write(&path("dir"))), ErrorKind::IsADirectory);
    if !volume.capabilities().unix {
        return skipped("opening_needs_a_regular_file, fifo", "the file system has none");
    }
    volume.make_node(&path("fifo"), NodeKind::Fifo, 0o644).unwrap();
    assert_eq!(kind(volume.open(&path("fifo"))), ErrorKind::InvalidInput);
    assert_eq!(kind(volume.open_write(&path("fifo"))), ErrorKind::InvalidInput);
}

/// Truncated content does not come back when the file grows again.
pub fn set_len_cuts_and_extends_with_zeros(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let mut file = create(volume, "a");
    io::write_file(file.as_mut(), 0, &[0xff; 9000]).unwrap();
    file.set_len(5000).unwrap();
    assert_eq!(file.len_bytes().unwrap(), 5000);
    file.set_len(9000).unwrap();
    let mut expected = vec![0xff; 5000];
    expected.resize(9000, 0);
    assert!(read_rest(file.as_mut()) == expected);
    file.set_len(0).unwrap();
    assert_eq!(read_rest(file.as_mut()), b"");
    file.close().unwrap();
    assert_eq!(volume.metadata(&path("a")).unwrap().len_bytes, 0);
}

/// An image that is too long for the file system is refused before anything of it is written.
pub fn a_file_longer_than_the_limit_is_refused(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let len_max = volume.capabilities().file_len_max_bytes;
    let mut file = create(volume, "a");
    io::write_file(file.as_mut(), 0, b"content").unwrap();
    assert_eq!(kind(file.write_at(len_max, b"X")), ErrorKind::FileTooLarge);
    if let Some(longer) = len_max.checked_add(1) {
        assert_eq!(kind(file.set_len(longer)), ErrorKind::FileTooLarge);
    }
    assert_eq!(read_rest(file.as_mut()), b"content");
    file.close().unwrap();
}

/// A gap before a write reads as zeros.
pub fn a_gap_reads_as_zeros(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let mut file = create(volume, "a");
    io::write_file(file.as_mut(), 0, b"start").unwrap();
    io::write_file(file.as_mut(), 300_001, b"end").unwrap();
    file.close().unwrap();
    let content = read_all(volume, &path("a"));
    assert_eq!(content.len(), 300_004);
    assert!(content.starts_with(b"start") && content.ends_with(b"end"));
    assert!(content[5..300_001].iter().all(|byte| *byte == 0));
}

/// All bytes outside the ranges of `next_data` are zeros. With support for holes, a large one is reported.
pub fn holes_are_reported_where_supported(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    const STRETCH: u64 = 1 << 20;
    let mut file = create(volume, "a");
    io::write_file(file.as_mut(), 0, &[1; 4096]).unwrap();
    io::write_file(file.as_mut(), 2 * STRETCH, &[2; 4096]).unwrap();
    file.set_len(4 * STRETCH).unwrap();
    file.sync().unwrap();
    let content = read_rest(file.as_mut());
    let (mut data_len, mut end) = (0, 0);
    while let Some(data) = file.next_data(end).unwrap() {
        assert!(
            data.start >= end && data.start < data.end && data.end <= 4 * STRETCH,
            "{data:?} after {end}"
        );
        assert!(content[end as usize..data.start as usize].iter().all(|byte| *byte == 0));
        data_len += data.end - data.start;
        end = data.end;
    }
    assert!(content[end as usize..].iter().all(|byte| *byte == 0));
    assert!(data_len >= 8192);
    for offset in [4 * STRETCH, 4 * STRETCH + 1, u64::MAX] {
        assert_eq!(file.next_data(offset).unwrap(), None, "at {offset}");
    }
    file.close().unwrap();
    if !volume.capabilities().sparse {
        return skipped("holes_are_reported_where_supported, allocation", "the file system has no holes");
    }
    assert!(data_len < STRETCH, "{data_len} bytes count as data");
    let metadata = volume.metadata(&path("a")).unwrap();
    assert!(metadata.allocated_bytes < metadata.len_bytes, "{metadata:?}");
}

/// A range whose blocks were given back reads as zeros. Other bytes, and the length, stay.
pub fn given_back_blocks_read_as_zeros(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let len = 300_000;
    let (start, end) = (70_001, 200_003);
    let mut expected = pattern(0x55, len);
    let mut file = create(volume, "a");
    io::write_file(file.as_mut(), 0, &expected).unwrap();
    file.sync().unwrap();
    let before = volume.metadata(&path("a")).unwrap().allocated_bytes;
    let is_done = file.punch(start as u64, (end - start) as u64).unwrap();
    if is_done {
        expected[start..end].fill(0);
    }
    assert!(read_rest(file.as_mut()) == expected);
    file.drop_cache().unwrap();
    assert!(read_rest(file.as_mut()) == expected);
    file.close().unwrap();
    volume.open(&path("a")).unwrap().punch(0, 1).unwrap_err();
    if !is_done {
        return skipped("given_back_blocks_read_as_zeros", "the file system cannot give blocks back");
    }
    let after = volume.metadata(&path("a")).unwrap().allocated_bytes;
    assert!(after + 100_000 <= before, "{before} bytes before, {after} after");
}

/// Synced content can be read back past the page cache.
pub fn content_survives_a_sync_and_a_dropped_cache(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let data = pattern(0x44, 70_001);
    let mut file = create(volume, "a");
    io::write_file(file.as_mut(), 0, &data).unwrap();
    file.sync().unwrap();
    file.drop_cache().unwrap();
    assert!(read_rest(file.as_mut()) == data);
    io::write_file(file.as_mut(), 5, b"unsynced").unwrap();
    file.drop_cache().unwrap();
    let mut expected = data;
    expected[5..13].copy_from_slice(b"unsynced");
    assert!(read_rest(file.as_mut()) == expected, "dropping the cache includes a sync");
    file.close().unwrap();
    let mut reader = volume.open(&path("a")).unwrap();
    reader.drop_cache().unwrap();
    assert!(read_rest(reader.as_mut()) == expected);
    reader.close().unwrap();
    volume.sync().unwrap();
}

/// After a close every call fails.
pub fn a_closed_file_stays_closed(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let mut file = create(volume, "a");
    io::write_file(file.as_mut(), 0, b"content").unwrap();
    file.close().unwrap();
    file.write_at(0, b"X").unwrap_err();
    file.read_at(0, &mut [0]).unwrap_err();
    file.sync().unwrap_err();
    assert_eq!(read_all(volume, &path("a")), b"content");
}
