//! Contract of [`BlockDevices`], [`crate::Source`] and [`crate::Target`].

mod discard;

pub use discard::*;

use super::{kind, pattern, skipped};
use crate::{BlockDevices, DeviceName, ErrorKind, Source, Target, io};
use std::any::Any;
use std::time::Duration;

/// A device to test. Its content is lost.
pub trait DeviceFixture {
    /// The devices.
    fn devices(&self) -> &dyn BlockDevices;

    /// A whole device that is not in use and can be written, of 64 KiB to 64 MiB.
    fn device(&self) -> DeviceName;

    /// The bytes of the medium of [`DeviceFixture::device`], below all caches of the host.
    fn medium_bytes(&self) -> Vec<u8>;

    /// Changes the medium without the backend, as failing flash would. `false` if that cannot be done here.
    fn corrupt_medium(&self, offset_bytes: u64, data: &[u8]) -> bool;

    /// Opens [`DeviceFixture::device`] as another program would, so that its pages stay cached until the returned value
    /// is dropped. `None` if no other program can do that here.
    fn other_opener(&self) -> Option<Box<dyn Any>> {
        None
    }

    /// Opens [`DeviceFixture::device`] exclusively, as another program would, until the returned value is dropped.
    /// `None` if no other program can do that here.
    fn other_holder(&self) -> Option<Box<dyn Any>> {
        None
    }

    /// A read-only device, if there is one.
    fn read_only_device(&self) -> Option<DeviceName> {
        None
    }

    /// A device with an empty slot, if there is one.
    fn empty_slot(&self) -> Option<DeviceName> {
        None
    }
}

fn source(fixture: &dyn DeviceFixture) -> Box<dyn Source> {
    fixture.devices().open_source(&fixture.device()).unwrap()
}

fn target(fixture: &dyn DeviceFixture) -> Box<dyn Target> {
    fixture.devices().open_target(&fixture.device()).unwrap()
}

#[track_caller]
fn read(target: &mut dyn Target, offset_bytes: u64, len: usize) -> Vec<u8> {
    let mut buffer = vec![0; len];
    let done = io::read_target(target, offset_bytes, &mut buffer).unwrap();
    buffer.truncate(done);
    buffer
}

/// The list has name and capacity of each device.
pub fn the_device_is_listed(fixture: &dyn DeviceFixture) {
    let devices = fixture.devices().list().unwrap();
    let device = devices.iter().find(|device| device.name == fixture.device()).expect("the device is listed");
    assert_eq!(device.len_bytes, fixture.medium_bytes().len() as u64);
    assert!(device.sector_len_bytes >= 512 && device.sector_len_bytes.is_power_of_two());
    assert_eq!(device.in_use, None);
    assert!(!device.read_only);
    assert_eq!(source(fixture).len_bytes(), device.len_bytes);
    assert_eq!(target(fixture).len_bytes(), device.len_bytes);
}

/// Opening a device that does not exist is an error, and creates nothing.
pub fn an_unknown_device_is_not_found(fixture: &dyn DeviceFixture) {
    let (devices, unknown) = (fixture.devices(), DeviceName::parse("nosuchdevice0").unwrap());
    assert_eq!(kind(devices.open_source(&unknown)), ErrorKind::NotFound);
    assert_eq!(kind(devices.open_target(&unknown)), ErrorKind::NotFound);
    assert_eq!(kind(devices.reread_partitions(&unknown)), ErrorKind::NotFound);
    assert!(devices.list().unwrap().iter().all(|device| device.name != unknown));
}

/// A capture reads the bytes of the medium.
pub fn a_source_reads_what_is_on_the_medium(fixture: &dyn DeviceFixture) {
    let content = pattern(0x21, fixture.medium_bytes().len());
    let mut writer = target(fixture);
    io::write_target(writer.as_mut(), 0, &content).unwrap();
    writer.close().unwrap();
    let mut reader = source(fixture);
    let mut read = vec![0; content.len()];
    assert_eq!(io::read_source(reader.as_mut(), 0, &mut read).unwrap(), content.len());
    assert!(read == content, "the source differs from what was written");
    reader.close().unwrap();
}

/// A read at or past the end returns 0 bytes.
pub fn reading_at_and_over_the_end_returns_nothing(fixture: &dyn DeviceFixture) {
    let mut reader = source(fixture);
    let len_bytes = reader.len_bytes();
    let mut buffer = [7; 512];
    for offset in [len_bytes, len_bytes + 1, len_bytes + 4096, u64::MAX] {
        assert_eq!(reader.read_at(offset, &mut buffer).unwrap(), 0, "at {offset}");
    }
    reader.close().unwrap();
    let mut writer = target(fixture);
    for offset in [len_bytes, len_bytes + 1, u64::MAX] {
        assert_eq!(writer.read_at(offset, &mut buffer).unwrap(), 0, "at {offset}");
    }
    assert_eq!(writer.begin_verify().map(|_| writer.read_at(len_bytes, &mut buffer)).unwrap().unwrap(), 0);
    writer.close().unwrap();
    assert_eq!(buffer, [7; 512]);
}

/// A read across the end fills a part of the buffer.
pub fn a_read_across_the_end_is_short(fixture: &dyn DeviceFixture) {
    let medium = fixture.medium_bytes();
    let offset = medium.len() - 700;
    let mut reader = source(fixture);
    let mut buffer = [0; 2000];
    assert_eq!(io::read_source(reader.as_mut(), offset as u64, &mut buffer).unwrap(), 700);
    assert_eq!(buffer[..700], medium[offset..]);
    reader.close().unwrap();
}

/// Reading a source changes no byte.
pub fn reading_a_source_changes_nothing(fixture: &dyn DeviceFixture) {
    let before = fixture.medium_bytes();
    let mut reader = source(fixture);
    let mut content = vec![0; before.len()];
    for _ in 0..2 {
        assert_eq!(io::read_source(reader.as_mut(), 0, &mut content).unwrap(), before.len());
        assert!(content == before, "the source differs from the medium");
    }
    reader.close().unwrap();
    assert!(fixture.medium_bytes() == before, "the medium changed");
}

/// An image that is too large fails at the last byte, and the file of a device does not grow.
pub fn a_write_over_the_end_is_refused_and_never_extends(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let len_bytes = writer.len_bytes();
    for offset in [len_bytes, len_bytes + 1, len_bytes + (1 << 20), u64::MAX] {
        assert_eq!(kind(writer.write_at(offset, b"x")), ErrorKind::NoSpace, "at {offset}");
    }
    let data = pattern(0x33, 1024);
    assert_eq!(kind(io::write_target(writer.as_mut(), len_bytes - 600, &data)), ErrorKind::NoSpace);
    writer.close().unwrap();
    let medium = fixture.medium_bytes();
    assert_eq!(medium.len() as u64, len_bytes);
    assert!(medium[medium.len() - 600..] == data[..600], "the bytes before the end are written");
}

/// A target reads back what was written, synced or not.
pub fn written_bytes_read_back_before_a_sync(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let data = pattern(0x44, 10_000);
    io::write_target(writer.as_mut(), 4096, &data).unwrap();
    assert_eq!(read(writer.as_mut(), 4096, data.len()), data);
    io::write_target(writer.as_mut(), 5000, b"once more").unwrap();
    assert_eq!(read(writer.as_mut(), 5000, 9), b"once more");
    writer.close().unwrap();
}

/// The ends of images are not aligned to sectors.
pub fn unaligned_writes_keep_their_neighbours(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let ground = pattern(0x55, 8192);
    io::write_target(writer.as_mut(), 0, &ground).unwrap();
    writer.sync().unwrap();
    io::write_target(writer.as_mut(), 513, &[0xee; 777]).unwrap();
    let mut expected = ground;
    expected[513..513 + 777].fill(0xee);
    writer.begin_verify().unwrap();
    assert_eq!(read(writer.as_mut(), 0, 8192), expected);
    assert_eq!(read(writer.as_mut(), 511, 3), expected[511..514]);
    writer.close().unwrap();
    assert!(fixture.medium_bytes()[..8192] == expected);
}

/// A power cut after a sync loses nothing.
pub fn a_sync_brings_bytes_to_the_medium(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let data = pattern(0x66, 20_000);
    io::write_target(writer.as_mut(), 1000, &data).unwrap();
    writer.sync().unwrap();
    assert!(fixture.medium_bytes()[1000..21_000] == data, "synced bytes are not on the medium");
    writer.close().unwrap();
}

/// A verification detects flash that lost data, although the page cache still has the data.
pub fn verification_reads_the_medium_and_not_a_cache(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let data = pattern(0x77, 16_384);
    io::write_target(writer.as_mut(), 8192, &data).unwrap();
    writer.sync().unwrap();
    assert_eq!(read(writer.as_mut(), 8192, data.len()), data);
    if !fixture.corrupt_medium(8192 + 4096, &[0xcd; 512]) {
        writer.close().unwrap();
        return skipped(
            "verification_reads_the_medium_and_not_a_cache",
            "the medium cannot be changed below the caches",
        );
    }
    writer.begin_verify().unwrap();
    let mut expected = data;
    expected[4096..4096 + 512].fill(0xcd);
    assert!(
        read(writer.as_mut(), 8192, expected.len()) == expected,
        "the read returns the bytes of the medium"
    );
    writer.close().unwrap();
}

/// A medium that fails after a verification is detected by the next verification.
pub fn every_verification_reads_the_medium_anew(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let data = pattern(0x78, 8192);
    io::write_target(writer.as_mut(), 0, &data).unwrap();
    writer.begin_verify().unwrap();
    assert!(read(writer.as_mut(), 0, data.len()) == data);
    if !fixture.corrupt_medium(512, &[0xcd; 512]) {
        writer.close().unwrap();
        return skipped(
            "every_verification_reads_the_medium_anew",
            "the medium cannot be changed below the caches",
        );
    }
    writer.begin_verify().unwrap();
    let mut expected = data;
    expected[512..1024].fill(0xcd);
    assert!(read(writer.as_mut(), 0, expected.len()) == expected, "the read returns the bytes of the medium");
    writer.close().unwrap();
}

/// Another program that has the device open keeps its pages cached. A verification bypasses them.
pub fn verification_bypasses_the_cache_of_another_opener(fixture: &dyn DeviceFixture) {
    let Some(other) = fixture.other_opener() else {
        return skipped(
            "verification_bypasses_the_cache_of_another_opener",
            "no other program can open the device here",
        );
    };
    let mut writer = target(fixture);
    let data = pattern(0x79, 16_384);
    io::write_target(writer.as_mut(), 4096, &data).unwrap();
    writer.sync().unwrap();
    let mut expected = data;
    if fixture.corrupt_medium(4096, &[0xcd; 4096]) {
        expected[..4096].fill(0xcd);
    }
    writer.begin_verify().unwrap();
    assert!(
        read(writer.as_mut(), 4096, expected.len()) == expected,
        "the read returns the bytes of the medium"
    );
    writer.close().unwrap();
    drop(other);
}

/// Reads past the caches end at the end of the medium, whatever their alignment.
pub fn a_verified_read_across_the_end_is_short(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let data = pattern(0x7a, 5000);
    let end = writer.len_bytes();
    io::write_target(writer.as_mut(), end - 5000, &data).unwrap();
    writer.begin_verify().unwrap();
    for len in [1, 511, 512, 700, 4096, 4999] {
        let found = read(writer.as_mut(), end - len as u64, len + 3000);
        assert!(found == data[5000 - len..], "the last {len} bytes");
    }
    writer.close().unwrap();
}

/// The last close drops the cache: a later open reads the medium.
pub fn the_last_close_drops_the_cache(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let mut expected = pattern(0x7b, 16_384);
    io::write_target(writer.as_mut(), 0, &expected).unwrap();
    writer.close().unwrap();
    if !fixture.corrupt_medium(4096, &[0xcd; 4096]) {
        return skipped("the_last_close_drops_the_cache", "the medium cannot be changed below the caches");
    }
    expected[4096..8192].fill(0xcd);
    let read_again = || {
        let mut reader = source(fixture);
        let mut found = vec![0; expected.len()];
        assert_eq!(io::read_source(reader.as_mut(), 0, &mut found).unwrap(), found.len());
        reader.close().unwrap();
        found == expected
    };
    // A program that scans all devices of a live system may have this one open for a moment.
    let is_read = (0..50).any(|_| {
        let is_read = read_again();
        if !is_read {
            std::thread::sleep(Duration::from_millis(20));
        }
        is_read
    });
    assert!(is_read, "the read returns the bytes of the medium");
}

/// The last step of a write comes after a verification, and is verified too.
pub fn writing_ends_verification_and_it_can_begin_again(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    io::write_target(writer.as_mut(), 4096, &pattern(1, 4096)).unwrap();
    writer.begin_verify().unwrap();
    assert_eq!(read(writer.as_mut(), 4096, 4096), pattern(1, 4096));
    io::write_target(writer.as_mut(), 0, &pattern(2, 4096)).unwrap();
    assert_eq!(read(writer.as_mut(), 0, 4096), pattern(2, 4096));
    writer.begin_verify().unwrap();
    assert_eq!(read(writer.as_mut(), 0, 4096), pattern(2, 4096));
    assert_eq!(read(writer.as_mut(), 4096, 4096), pattern(1, 4096));
    writer.close().unwrap();
}

/// Zeroing removes an old partition table and leaves the bytes beside it.
pub fn zeroing_makes_zeros_and_nothing_else(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let mut expected = pattern(0x88, 32_768);
    io::write_target(writer.as_mut(), 0, &expected).unwrap();
    for (offset, len) in [(0, 512), (4096, 8192), (20_001, 999), (30_000, 0)] {
        writer.zero(offset, len).unwrap();
        expected[offset as usize..(offset + len) as usize].fill(0);
    }
    assert!(read(writer.as_mut(), 0, expected.len()) == expected);
    writer.close().unwrap();
    assert!(fixture.medium_bytes()[..32_768] == expected);
}

/// A range across the end is an error of the caller, as with a write.
pub fn zeroing_over_the_end_is_refused(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let len_bytes = writer.len_bytes();
    assert_eq!(kind(writer.zero(len_bytes - 512, 1024)), ErrorKind::NoSpace);
    assert_eq!(kind(writer.zero(len_bytes, 1)), ErrorKind::NoSpace);
    assert_eq!(kind(writer.zero(u64::MAX, u64::MAX)), ErrorKind::NoSpace);
    writer.zero(len_bytes - 512, 512).unwrap();
    writer.close().unwrap();
    let medium = fixture.medium_bytes();
    assert_eq!(medium.len() as u64, len_bytes);
    assert_eq!(medium[medium.len() - 512..], [0; 512]);
}

/// Two writers cannot use a medium at the same time.
pub fn a_target_is_exclusive_until_it_is_closed(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    assert_eq!(kind(fixture.devices().open_target(&fixture.device())), ErrorKind::Busy);
    writer.close().unwrap();
    target(fixture).close().unwrap();
}

/// An aborted write does not lock its medium.
pub fn dropping_a_target_frees_it(fixture: &dyn DeviceFixture) {
    drop(target(fixture));
    target(fixture).close().unwrap();
}

/// While a medium is captured, it cannot be written, and not be captured a second time.
pub fn a_source_is_exclusive_until_it_is_closed(fixture: &dyn DeviceFixture) {
    let (devices, device) = (fixture.devices(), fixture.device());
    let mut reader = source(fixture);
    assert_eq!(kind(devices.open_target(&device)), ErrorKind::Busy);
    assert_eq!(kind(devices.open_source(&device)), ErrorKind::Busy);
    reader.close().unwrap();
    target(fixture).close().unwrap();
    drop(source(fixture));
    let mut writer = target(fixture);
    assert_eq!(kind(devices.open_source(&device)), ErrorKind::Busy);
    writer.close().unwrap();
    source(fixture).close().unwrap();
}

/// A shared open needs no claim, makes none, and reads the current bytes.
pub fn a_shared_open_is_allowed_beside_any_use(fixture: &dyn DeviceFixture) {
    let content = pattern(0x7d, 4096);
    let look = || {
        let mut shared = fixture.devices().open_shared(&fixture.device()).unwrap();
        let mut read = vec![0; content.len()];
        assert_eq!(io::read_source(shared.as_mut(), 0, &mut read).unwrap(), content.len());
        shared.close().unwrap();
        read
    };
    let mut writer = target(fixture);
    io::write_target(writer.as_mut(), 0, &content).unwrap();
    writer.sync().unwrap();
    assert!(look() == content, "beside a target");
    writer.close().unwrap();
    let mut reader = source(fixture);
    assert!(look() == content, "beside a source");
    reader.close().unwrap();
    let shared = fixture.devices().open_shared(&fixture.device()).unwrap();
    source(fixture).close().unwrap();
    target(fixture).close().unwrap();
    drop(shared);
    let unknown = DeviceName::parse("nosuchdevice0").unwrap();
    assert_eq!(kind(fixture.devices().open_shared(&unknown)), ErrorKind::NotFound);
}

/// A device that another program has claimed is neither read nor written, although the list does not show the claim.
pub fn a_device_in_use_elsewhere_is_busy(fixture: &dyn DeviceFixture) {
    let Some(holder) = fixture.other_holder() else {
        return skipped("a_device_in_use_elsewhere_is_busy", "no other program can claim the device here");
    };
    assert_eq!(kind(fixture.devices().open_source(&fixture.device())), ErrorKind::Busy);
    assert_eq!(kind(fixture.devices().open_target(&fixture.device())), ErrorKind::Busy);
    drop(holder);
    source(fixture).close().unwrap();
    target(fixture).close().unwrap();
}

/// A card with its write-protect switch on is detected before anything is written.
pub fn a_read_only_device_is_not_a_target(fixture: &dyn DeviceFixture) {
    let Some(device) = fixture.read_only_device() else {
        return skipped("a_read_only_device_is_not_a_target", "no such device");
    };
    assert_eq!(kind(fixture.devices().open_target(&device)), ErrorKind::ReadOnly);
    let devices = fixture.devices().list().unwrap();
    assert!(devices.iter().any(|found| found.name == device && found.read_only));
    fixture.devices().open_source(&device).unwrap().close().unwrap();
}

/// An empty slot and a missing device have different errors.
pub fn an_empty_slot_has_its_own_error(fixture: &dyn DeviceFixture) {
    let Some(device) = fixture.empty_slot() else {
        return skipped("an_empty_slot_has_its_own_error", "no such device");
    };
    let devices = fixture.devices().list().unwrap();
    assert!(devices.iter().any(|found| found.name == device && found.len_bytes == 0));
    assert_eq!(kind(fixture.devices().open_source(&device)), ErrorKind::DeviceGone);
    assert_eq!(kind(fixture.devices().open_target(&device)), ErrorKind::DeviceGone);
}

/// The kernel reads the partition table again on request.
pub fn partitions_of_an_idle_device_can_be_read_again(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    writer.zero(0, 4096).unwrap();
    writer.close().unwrap();
    fixture.devices().reread_partitions(&fixture.device()).unwrap();
    let devices = fixture.devices().list().unwrap();
    assert!(devices.iter().any(|device| device.name == fixture.device() && device.partitions.is_empty()));
}
