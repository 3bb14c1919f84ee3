//! Archives that are cut, damaged or hostile are refused, without a panic, an endless loop or memory beyond the limits.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

use replicator_engine::formats::FormatError;
use replicator_engine::formats::tar::{Entry, EntryKind, Reader, ReaderLimits, Writer};
use replicator_hal::{NodeKind, Owner, RelativePath, Timestamp, Xattr};
use std::io::{self, Read};

const END: [u8; 1024] = [0; 1024];

/// Reads everything. Returns also the entries before an error.
fn read_all(archive: impl Read) -> (Vec<Entry>, Result<(), FormatError>) {
    let mut reader = Reader::new(archive, ReaderLimits::default());
    let mut entries = Vec::new();
    let mut buffer = [0; 333];
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => return (entries, Ok(())),
            Err(error) => return (entries, Err(error)),
        }
        loop {
            match reader.read_data(&mut buffer) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return (entries, Err(error)),
            }
        }
    }
}

fn code(archive: &[u8]) -> &'static str {
    read_all(archive).1.map_or_else(|error| error.code(), |()| "ok")
}

struct Raw {
    header: ::tar::Header,
    payload: Vec<u8>,
}

/// A header with its payload.
fn raw(type_byte: u8, name: &str, payload: &[u8]) -> Raw {
    let mut header = ::tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(::tar::EntryType::new(type_byte));
    header.as_old_mut().linkflag[0] = type_byte;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(payload.len() as u64);
    Raw { header, payload: payload.to_vec() }
}

impl Raw {
    fn size(mut self, size: u64) -> Self {
        self.header.set_size(size);
        self
    }

    fn link(mut self, name: &str) -> Self {
        self.header.as_old_mut().linkname[..name.len()].copy_from_slice(name.as_bytes());
        self
    }

    fn field(mut self, at: usize, bytes: &[u8]) -> Self {
        self.header.as_mut_bytes()[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn bytes(mut self) -> Vec<u8> {
        self.header.set_cksum();
        let mut bytes = self.header.as_bytes().to_vec();
        bytes.extend_from_slice(&self.payload);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

fn archive(parts: impl IntoIterator<Item = Raw>) -> Vec<u8> {
    let mut bytes: Vec<u8> = parts.into_iter().flat_map(Raw::bytes).collect();
    bytes.extend_from_slice(&END);
    bytes
}

fn pax(pairs: &[(&str, &str)]) -> Raw {
    let mut records = String::new();
    for (key, value) in pairs {
        let rest = key.len() + value.len() + 3;
        let len = (rest + 1..).find(|len| len - rest == len.to_string().len()).unwrap();
        records.push_str(&format!("{len} {key}={value}\n"));
    }
    raw(b'x', "PaxHeaders/x", records.as_bytes())
}

/// An archive with every kind of entry, made by the writer and by hand.
fn sample() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let kinds = [
        EntryKind::Directory,
        EntryKind::File { len_bytes: 700, data: std::iter::once(0..700).collect() },
        EntryKind::File { len_bytes: 9_000, data: vec![100..200, 5_000..5_600] },
        EntryKind::Symlink { text: b"to".to_vec() },
        EntryKind::HardLink { existing: RelativePath::parse("f0").unwrap() },
        EntryKind::Node(NodeKind::CharDevice { major: 1, minor: 2 }),
    ];
    for (at, kind) in kinds.into_iter().enumerate() {
        let entry = Entry {
            path: RelativePath::parse(format!("f{at}")).unwrap(),
            mode: 0o644,
            owner: Owner { uid: 3_000_000, gid: 1 },
            modified: Timestamp { seconds: -1, nanos: 5 },
            xattrs: vec![Xattr { name: b"user.x".to_vec(), value: b"\n\0".to_vec() }],
            flags: replicator_hal::InodeFlags::NO_DUMP,
            kind,
        };
        writer.append(&entry).unwrap();
        if let EntryKind::File { data, .. } = &entry.kind {
            let len: u64 = data.iter().map(|range| range.end - range.start).sum();
            writer.write_data(&vec![b'd'; usize::try_from(len).unwrap()]).unwrap();
        }
    }
    let mut bytes = writer.finish().unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(512));
    bytes.extend(raw(b'L', "././@LongLink", b"a/long/name\0").bytes());
    bytes.extend(old_sparse(&[(512, 10), (2_048, 20)], 4_096, &[b's'; 30]).bytes());
    bytes.extend(raw(b'g', "global", b"9 uid=12\n").bytes());
    bytes.extend(raw(b'0', "last", b"data").bytes());
    bytes.extend_from_slice(&END);
    bytes
}

fn old_sparse(pieces: &[(u64, u64)], real_size: u64, data: &[u8]) -> Raw {
    let mut part = raw(b'S', "sparse", data);
    part = part.field(257, b"ustar  \0").field(345, &[0; 167]);
    let gnu = part.header.as_gnu_mut().unwrap();
    for (slot, (offset, len)) in gnu.sparse.iter_mut().zip(pieces) {
        slot.set_offset(*offset);
        slot.set_length(*len);
    }
    gnu.set_real_size(real_size);
    part
}

#[test]
fn every_truncation_is_an_error() {
    let whole = sample();
    let (entries, result) = read_all(&whole[..]);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(entries.len(), 8);
    for len in 0..whole.len() {
        assert_eq!(code(&whole[..len]), "F-TRUNCATED", "cut to {len} of {}", whole.len());
    }
}

#[test]
fn no_damaged_byte_causes_a_panic_and_damaged_headers_are_found() {
    let whole = sample();
    let intact = read_all(&whole[..]).0;
    for at in 0..whole.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            let (entries, result) = read_all(&damaged[..]);
            assert!(entries.len() <= intact.len() + 1, "byte {at}");
            // A header's checksum covers the whole header, so a damaged one is never returned. Only the byte that ends
            // the checksum may be a space as well.
            if at < 512 && !(at == 155 && flip == 0x20) {
                assert!(entries.is_empty() && result.is_err(), "byte {at} ^ {flip:#x}");
            }
        }
    }
}

#[test]
fn no_wrong_field_with_a_right_checksum_causes_a_panic() {
    let whole = sample();
    let mut headers = 0;
    for start in (0..whole.len() - END.len()).step_by(512) {
        let mut header = ::tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&whole[start..start + 512]);
        let stored = header.cksum().unwrap_or(0);
        header.set_cksum();
        if header.cksum().unwrap() != stored {
            continue;
        }
        headers += 1;
        for at in 0..512 {
            for value in [0x00, 0x2f, 0x37, 0x80, 0xff] {
                let mut changed = header.clone();
                changed.as_mut_bytes()[at] = value;
                changed.set_cksum();
                let mut bytes = whole.clone();
                bytes[start..start + 512].copy_from_slice(changed.as_bytes());
                let (entries, _) = read_all(&bytes[..]);
                assert!(entries.len() < 20, "header at {start}, byte {at} = {value:#x}");
            }
        }
    }
    assert_eq!(headers, 6 + 6 + 4);
}

#[test]
fn only_zeros_follow_the_end() {
    let whole = sample();
    let with = |tail: &[u8]| [&whole[..], tail].concat();
    assert_eq!(code(&with(&[0; 51_200])), "ok");
    assert_eq!(code(&with(&[0; 511])), "F-TRUNCATED");
    match read_all(&with(&[&[0; 700][..], b"x"].concat())[..]).1 {
        Err(FormatError::TrailingData { offset_bytes, .. }) => {
            assert_eq!(offset_bytes, whole.len() as u64 + 700)
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(code(&with(&whole)), "F-TRAILING");
    let lone = [&raw(b'5', "d", b"").bytes()[..], &[0; 512], &raw(b'5', "e", b"").bytes()].concat();
    assert_eq!(code(&lone), "F-DAMAGED");
    assert_eq!(code(&END), "ok");
    assert_eq!(code(b""), "F-TRUNCATED");
}

#[test]
fn the_input_is_drained_so_that_its_own_checks_run() {
    /// Zeros, then an error, as from a decoder with a wrong trailer.
    struct BadTrailer(usize);
    impl Read for BadTrailer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(FormatError::Damaged { format: "xz", detail: "check".into() }.into());
            }
            let len = self.0.min(buffer.len());
            self.0 -= len;
            buffer[..len].fill(0);
            Ok(len)
        }
    }
    let error = read_all(BadTrailer(10_240)).1.unwrap_err();
    assert!(matches!(error, FormatError::Damaged { format: "xz", .. }), "{error:?}");
}

#[test]
fn nothing_is_read_after_an_error() {
    let bytes = archive([raw(b'?', "x", b""), raw(b'0', "y", b"")]);
    let mut reader = Reader::new(&bytes[..], ReaderLimits::default());
    assert_eq!(reader.next_entry().unwrap_err().code(), "F-UNSUPPORTED");
    assert!(reader.next_entry().is_err());
    assert!(reader.read_data(&mut [0; 8]).is_err());
}

#[test]
fn unknown_and_partial_types_are_refused_by_name() {
    for type_byte in [b'D', b'M', b'N', b'A', b'X', b'8', b'Z', b'?', 0xff, b' ', b's'] {
        let bytes = archive([raw(type_byte, "some-name", b"")]);
        let error = read_all(&bytes[..]).1.unwrap_err();
        assert_eq!(error.code(), "F-UNSUPPORTED", "{type_byte}");
        assert!(error.to_string().contains("some-name"), "{error}");
    }
}

#[test]
fn names_that_leave_the_root_are_refused_by_name() {
    for name in ["../evil", "a/../../evil", "..", "/..", "a/.."] {
        for part in [raw(b'0', name, b""), raw(b'5', name, b""), raw(b'1', "x", b"").link(name)] {
            let error = read_all(&archive([part])[..]).1.unwrap_err();
            assert_eq!(error.code(), "F-DAMAGED", "{name}");
            assert!(error.to_string().contains(name) || error.to_string().contains("\"x\""), "{error}");
        }
        let by_record = archive([pax(&[("path", name)]), raw(b'0', "x", b"")]);
        assert_eq!(code(&by_record), "F-DAMAGED", "{name}");
    }
    for part in [
        raw(b'0', "", b""),
        raw(b'0', ".", b""),
        raw(b'2', "./", b"").link("x"),
        raw(b'5', "", b""),
        raw(b'1', "x", b"").link("./x"),
        raw(b'1', "x", b"").link(""),
        raw(b'2', "x", b""),
    ] {
        assert_eq!(code(&archive([part])), "F-DAMAGED");
    }
    assert_eq!(code(&archive([pax(&[("path", "a\0b")]), raw(b'0', "x", b"")])), "F-DAMAGED");
    assert_eq!(code(&archive([pax(&[("linkpath", "a\0b")]), raw(b'2', "x", b"")])), "F-DAMAGED");
}

#[test]
fn absolute_and_dotted_names_lie_below_the_root() {
    let bytes = archive([raw(b'0', "/etc/passwd", b""), raw(b'0', "./a//b", b""), raw(b'0', "old/", b"")]);
    let (entries, result) = read_all(&bytes[..]);
    assert!(result.is_ok());
    let names: Vec<_> = entries.iter().map(|entry| entry.path.as_bytes()).collect();
    assert_eq!(names, [&b"etc/passwd"[..], b"a/b", b"old"]);
    assert_eq!(entries[2].kind, EntryKind::Directory);
}

#[test]
fn only_files_have_data() {
    for part in [
        raw(b'1', "x", b"data").link("y"),
        raw(b'1', "x", b"").link("y").size(4),
        raw(b'2', "x", b"data").link("y"),
        raw(b'5', "x", b"data"),
        raw(b'0', "x/", b"data"),
        raw(b'6', "x", b"data"),
        raw(b'3', "x", b"data"),
    ] {
        assert_eq!(code(&archive([part])), "F-UNSUPPORTED");
    }
    assert_eq!(code(&archive([pax(&[("size", "4")]), raw(b'1', "x", b"").link("y")])), "F-UNSUPPORTED");
}

#[test]
fn a_claimed_length_is_refused_before_memory_is_taken() {
    for type_byte in [b'x', b'g', b'L', b'K'] {
        for size in [16 << 30, u64::MAX, (1 << 20) + 1] {
            assert_eq!(code(&archive([raw(type_byte, "x", b"").size(size)])), "F-MEMORY", "{size}");
        }
    }
    // The limit is for all headers of an entry together.
    let half = vec![b'n'; 600_000];
    let two = archive([raw(b'L', "l", &half), raw(b'K', "k", &half), raw(b'2', "x", b"")]);
    assert_eq!(code(&two), "F-MEMORY");
    let globals =
        archive((0..4).map(|_| pax(&[("comment", &"c".repeat(600_000))])).map(|part| part.field(156, b"g")));
    assert_eq!(code(&globals), "ok");
}

#[test]
fn lengths_near_the_end_of_64_bits_do_not_overflow() {
    for size in [u64::MAX, u64::MAX - 511, u64::MAX - 512, i64::MAX as u64, 1 << 40] {
        assert_eq!(code(&archive([raw(b'0', "x", b"").size(size)])), "F-TRUNCATED", "{size}");
        let by_record = archive([pax(&[("size", &size.to_string())]), raw(b'0', "x", b"")]);
        assert_eq!(code(&by_record), "F-TRUNCATED", "{size}");
        let label = archive([raw(b'V', "x", b"").size(size)]);
        assert_eq!(code(&label), "F-TRUNCATED", "{size}");
    }
    let too_long = raw(b'0', "x", b"").field(124, b"\x80\0\0\x01\0\0\0\0\0\0\0\0");
    assert_eq!(code(&archive([too_long])), "F-DAMAGED");
    let negative = raw(b'0', "x", b"").field(124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    assert_eq!(code(&archive([negative])), "F-DAMAGED");
    let owner = raw(b'0', "x", b"").field(108, b"\x80\0\0\x01\0\0\0\0");
    assert_eq!(code(&archive([owner])), "F-UNSUPPORTED");
    let nobody = raw(b'0', "x", b"").field(108, b"\x80\0\0\0\xff\xff\xff\xff");
    assert_eq!(code(&archive([nobody])), "F-UNSUPPORTED");
}

#[test]
fn the_recorded_length_of_a_file_overrides_that_of_the_header() {
    // A reader that uses the header's length would read the data of the first file as a second file.
    let hidden = raw(b'0', "smuggled", b"").bytes();
    for header_size in [0, 1_024, 8] {
        let bytes = archive([
            pax(&[("size", "512")]),
            raw(b'0', "a", &hidden).size(header_size),
            raw(b'0', "b", b""),
        ]);
        let (entries, result) = read_all(&bytes[..]);
        assert!(result.is_ok(), "{result:?}");
        let names: Vec<_> = entries.iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(names, ["a", "b"], "the header has {header_size}");
    }
}

#[test]
fn records_apply_to_the_entry_and_not_to_a_header_between() {
    // GHSA-3pv8-6f4r-ffg2: `size` must not be used as the length of the long name.
    let hidden = raw(b'0', "smuggled", b"").bytes();
    let long = raw(b'L', "././@LongLink", &[b"long/name\0".to_vec(), vec![0; 502], hidden.clone()].concat());
    let bytes = archive([pax(&[("size", "10")]), long, raw(b'0', "x", b"0123456789"), raw(b'0', "b", b"")]);
    let (entries, result) = read_all(&bytes[..]);
    assert!(result.is_ok(), "{result:?}");
    let names: Vec<_> = entries.iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(names, ["long/name", "b"]);
    // A record overrides a long name, in any order.
    for swap in [false, true] {
        let mut heads = vec![pax(&[("path", "by-record")]), raw(b'L', "l", b"by-long-name\0")];
        if swap {
            heads.reverse();
        }
        heads.push(raw(b'0', "x", b""));
        assert_eq!(read_all(&archive(heads)[..]).0[0].path.to_string(), "by-record");
    }
}

#[test]
fn ambiguous_headers_are_refused() {
    let file = || raw(b'0', "x", b"");
    for parts in [
        vec![pax(&[("path", "a")]), pax(&[("path", "b")]), file()],
        vec![raw(b'L', "l", b"a\0"), raw(b'L', "l", b"b\0"), file()],
        vec![raw(b'K', "l", b"a\0"), raw(b'K', "l", b"b\0"), file()],
        vec![raw(b'L', "l", b"\0"), file()],
        vec![pax(&[("path", "a")])],
        vec![raw(b'L', "l", b"a\0")],
        vec![pax(&[("path", "a")]), raw(b'V', "label", b""), file()],
        vec![raw(b'x', "x", b"11 path=a\n"), file()],
        vec![raw(b'x', "x", b"10 path=a\n\0\0"), file()],
    ] {
        assert_eq!(code(&archive(parts)), "F-DAMAGED");
    }
    assert_eq!(code(&archive([pax(&[("path", "a")]).field(156, b"g"), file()])), "F-UNSUPPORTED");
}

#[test]
fn sparse_maps_that_do_not_fit_are_refused() {
    let data = [b's'; 30];
    let mut end_in_between = old_sparse(&[(512, 10), (2_048, 20)], 4_096, &data);
    end_in_between.header.as_gnu_mut().unwrap().set_is_extended(true);
    for part in [
        old_sparse(&[(2_048, 20), (512, 10)], 4_096, &data),
        old_sparse(&[(512, 10), (515, 20)], 4_096, &data),
        old_sparse(&[(512, 10), (4_080, 20)], 4_096, &data),
        old_sparse(&[(512, 10), (2_048, 21)], 4_096, &data),
        old_sparse(&[(512, 10), (2_048, 19)], 4_096, &data),
        old_sparse(&[(u64::MAX - 5, 10), (2_048, 20)], 4_096, &data),
        end_in_between,
    ] {
        assert_eq!(code(&archive([part])), "F-DAMAGED");
    }
    assert_eq!(code(&archive([raw(b'S', "x", b"")])), "F-UNSUPPORTED");
    for (pairs, expected) in [
        (&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")][..], "F-DAMAGED"),
        (&[("GNU.sparse.major", "2"), ("GNU.sparse.realsize", "9")], "F-UNSUPPORTED"),
        (&[("GNU.sparse.name", "../x")], "F-DAMAGED"),
        (
            &[("GNU.sparse.size", "9"), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "0,4,5")],
            "F-DAMAGED",
        ),
        (&[("GNU.sparse.size", "9"), ("GNU.sparse.numblocks", "2"), ("GNU.sparse.map", "0,4")], "F-DAMAGED"),
        (&[("GNU.sparse.size", "9"), ("GNU.sparse.map", "0,4")], "F-DAMAGED"),
        (
            &[("GNU.sparse.size", "9"), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.numbytes", "4")],
            "F-DAMAGED",
        ),
        (&[("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "9")], "F-DAMAGED"),
        (&[("GNU.sparse.size", "9"), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "5,4")], "ok"),
    ] {
        assert_eq!(code(&archive([pax(pairs), raw(b'0', "x", b"data")])), expected, "{pairs:?}");
    }
}

#[test]
fn the_number_of_extents_is_bounded() {
    let limits = ReaderLimits { sparse_ranges: 10, ..ReaderLimits::default() };
    let records =
        pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "100")]);
    let map: String = (0..20).map(|at| format!("{}\n1\n", at * 2)).collect();
    for count in ["20", "12", "18446744073709551615"] {
        let bytes = archive([
            Raw { header: records.header.clone(), payload: records.payload.clone() },
            raw(b'0', "x", &[format!("{count}\n{map}").as_bytes(), &[b'd'; 600]].concat()),
        ]);
        let error = Reader::new(&bytes[..], limits).next_entry().unwrap_err();
        assert_eq!(error.code(), "F-MEMORY", "{count}");
    }
}

#[test]
fn attributes_that_cannot_be_kept_are_refused() {
    let with = |key, value| code(&archive([pax(&[(key, value)]), raw(b'0', "x", b"")]));
    assert_eq!(
        with("SCHILY.acl.access", "user::rw-,user:joe:r--,group::r--,mask::r--,other::r--"),
        "F-UNSUPPORTED"
    );
    assert_eq!(with("SCHILY.acl.ace", "owner@:r::allow"), "F-UNSUPPORTED");
    assert_eq!(with("LIBARCHIVE.xattr.user.a", "***"), "F-DAMAGED");
    assert_eq!(with("SCHILY.xattr.", "x"), "F-DAMAGED");
    assert_eq!(with("GNU.dumpdir", "Yx"), "F-UNSUPPORTED");
}
