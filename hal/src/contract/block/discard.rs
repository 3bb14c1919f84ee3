//! The part of the contract about discards.

use super::{DeviceFixture, read, target};
use crate::contract::{kind, pattern};
use crate::{Discarded, ErrorKind, io};

/// The bytes that are discarded are whole units of the range, and those beside them are unchanged.
pub fn a_discard_leaves_the_bytes_beside_its_whole_units(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let len = writer.len_bytes();
    let mut expected = pattern(0x89, len as usize);
    io::write_target(writer.as_mut(), 0, &expected).unwrap();
    writer.sync().unwrap();
    let unit = writer.discard_unit_bytes();
    assert!(unit.is_none_or(u64::is_power_of_two), "{unit:?}");
    for (offset, wanted) in [(1, len - 2), (0, 0), (700, 10), (len / 2, len / 4)] {
        let found = writer.discard(offset, wanted).unwrap();
        let (Some(unit), Discarded::Accepted(range)) = (unit, found.clone()) else {
            assert_eq!(found, Discarded::Unsupported);
            continue;
        };
        if range.is_empty() {
            assert!(wanted < 2 * unit, "{wanted} bytes hold a whole unit of {unit}");
            continue;
        }
        assert!(range.start % unit == 0 && range.end % unit == 0, "{range:?}");
        assert!(range.start >= offset && range.end <= offset + wanted, "{range:?}");
        assert!(range.start - offset < unit && offset + wanted - range.end < unit, "{range:?}");
        expected[range.start as usize..range.end as usize].fill(0xaa);
    }
    writer.begin_verify().unwrap();
    let found = read(writer.as_mut(), 0, expected.len());
    let beside = expected.iter().zip(&found).all(|(expected, found)| *expected == 0xaa || expected == found);
    assert!(beside, "the bytes beside the discarded ones are unchanged");
    writer.close().unwrap();
}

/// The content of a discarded range is what is written into it later.
pub fn discarded_bytes_can_be_written_again(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    io::write_target(writer.as_mut(), 0, &pattern(0x8a, 65_536)).unwrap();
    writer.sync().unwrap();
    writer.discard(0, 65_536).unwrap();
    let data = pattern(0x8b, 20_000);
    io::write_target(writer.as_mut(), 10_001, &data).unwrap();
    writer.begin_verify().unwrap();
    assert!(read(writer.as_mut(), 10_001, data.len()) == data);
    writer.close().unwrap();
    assert!(fixture.medium_bytes()[10_001..30_001] == data);
}

/// A range across the end is an error of the caller, as with a write.
pub fn a_discard_over_the_end_is_refused(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let len_bytes = writer.len_bytes();
    assert_eq!(kind(writer.discard(len_bytes - 512, 1024)), ErrorKind::NoSpace);
    assert_eq!(kind(writer.discard(len_bytes, 1)), ErrorKind::NoSpace);
    assert_eq!(kind(writer.discard(u64::MAX, u64::MAX)), ErrorKind::NoSpace);
    writer.close().unwrap();
    assert_eq!(fixture.medium_bytes().len() as u64, len_bytes);
}

/// A discard after a verification changes what the medium holds, and the next verification shows that.
pub fn a_discard_ends_verification(fixture: &dyn DeviceFixture) {
    let mut writer = target(fixture);
    let data = pattern(0x8c, 65_536);
    io::write_target(writer.as_mut(), 0, &data).unwrap();
    writer.begin_verify().unwrap();
    assert!(read(writer.as_mut(), 0, data.len()) == data);
    writer.discard(0, 65_536).unwrap();
    io::write_target(writer.as_mut(), 0, &data[..512]).unwrap();
    writer.begin_verify().unwrap();
    assert!(read(writer.as_mut(), 0, 512) == data[..512]);
    let found = read(writer.as_mut(), 0, data.len());
    writer.close().unwrap();
    assert!(fixture.medium_bytes()[..65_536] == found, "the read returns the bytes of the medium");
}
