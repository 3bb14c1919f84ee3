//! Times and owners that ext cannot store. A time is set to the nearest possible one, and the result reports it; an owner is
//! refused. The error never names the medium as the cause.

use super::workshop::{MIB, Workshop};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// 1901-12-13 and 2446-05-10.
const FIRST: i64 = i32::MIN as i64;
const LAST: i64 = FIRST + (1 << 34) - 1;

/// Times in archives, and the times that are set.
const TIMES: [(i64, i64); 9] = [
    (0, 0),
    (-1, -1),
    (FIRST, FIRST),
    (FIRST - 1, FIRST),
    (-3_000_000_000, FIRST),
    ((1 << 31) + 5, (1 << 31) + 5),
    ((1 << 32) + 5, (1 << 32) + 5),
    (LAST, LAST),
    // The year 2779, which real clocks without a battery have shown.
    (25_531_200_000, LAST),
];

#[test]
fn times_out_of_range_are_set_to_the_nearest_and_reported() {
    let Some(workshop) = Workshop::new(64 * MIB) else { return };
    let mut medium = workshop.used(64 * MIB);
    let mut script: String = TIMES
        .iter()
        .enumerate()
        .map(|(number, (time, _))| format!("add('usr/{number}', data=b'x', mtime={time})\n"))
        .collect();
    script +=
        "add('usr/dir', b'5', mtime=25531200000)\nadd('usr/link', b'2', linkname='0', mtime=25531200000)\n";
    script += "add('usr/fifo', b'6', mtime=25531200000.5)";
    workshop.clear("");
    workshop.pack_with_python(&script);
    for flavour in ["ext4compat", "ext4", "ext3", "ext2"] {
        let run = workshop.run(flavour, &medium);
        run.assert_success();
        let note = "file times that ext cannot keep (before 1901, after 2446) set to the nearest it can: 6, the first of \
                    /usr/3";
        assert!(run.console.contains(note) && run.report.to_string().contains(note), "{}", run.console);
        workshop.with_written(&mut medium, |root, _| {
            for (number, (time, kept)) in TIMES.iter().enumerate() {
                let found = fs::metadata(root.join(format!("usr/{number}"))).unwrap().mtime();
                assert_eq!(found, *kept, "{flavour}, {time}");
            }
            for name in ["dir", "link", "fifo"] {
                let found = fs::symlink_metadata(root.join("usr").join(name)).unwrap().mtime();
                assert_eq!(found, LAST, "{flavour}, {name}");
            }
        });
    }
}

#[test]
fn impossible_times_are_an_error_of_the_archive() {
    let Some(workshop) = Workshop::new(64 * MIB) else { return };
    let medium = workshop.used(64 * MIB);
    for time in ["2**63 - 1", "-2**63", "2**70", "-2**70", "1e30"] {
        workshop.clear("");
        workshop.pack_with_python(&format!("add('usr/odd', data=b'x', mtime={time})"));
        let before = medium.fingerprint();
        let run = workshop.run("ext4", &medium);
        let untouched = medium.fingerprint() == before;
        match run.exit {
            0 => assert!(run.console.contains("file times that ext cannot keep"), "{time}: {}", run.console),
            _ => assert!(untouched && !run.console.contains("V-"), "{time}: {}", run.console),
        }
    }
}

#[test]
fn owners_that_linux_does_not_support_are_refused_with_their_entry() {
    let Some(workshop) = Workshop::new(64 * MIB) else { return };
    let medium = workshop.used(64 * MIB);
    let long = "usr/".to_owned() + &"n".repeat(200);
    for (path, field, id) in [
        ("usr/odd", "uid", 4_294_967_295_u64),
        ("usr/odd", "gid", 4_294_967_295),
        (&*long, "uid", 4_294_967_296),
        (&*long, "gid", 1 << 50),
    ] {
        // As a pax record, and in a GNU tar header.
        for format in ["PAX_FORMAT", "GNU_FORMAT"] {
            workshop.clear("");
            workshop.pack_with_python(&format!("t.format = tarfile.{format}\nadd('{path}', {field}={id})"));
            let entry = format!("\"{path}\"");
            let words = format!("the {field} {id}, which no file on Linux has");
            workshop.assert_refused("ext4", &medium, "F-UNSUPPORTED", &[&entry, &words]);
        }
    }
    workshop.clear("");
    workshop.pack_with_python("add('usr/last', uid=4294967294, gid=4294967294)");
    workshop.run("ext4", &medium).assert_success();
}
