//! Checks tables with `sfdisk`, `sgdisk` and `parted`, on files. A check whose tool is not installed is skipped.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // The tools work on real files.

use super::*;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

const MIB: u64 = 1024 * 1024;

/// Number, start and length in sectors, bootable.
type Row = (u32, u64, u64, bool);

impl ReadAt for File {
    fn len_bytes(&self) -> u64 {
        self.metadata().unwrap().len()
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset_bytes)
    }
}

struct Image {
    file: tempfile::NamedTempFile,
}

impl Image {
    fn new(len_bytes: u64) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(len_bytes).unwrap();
        Self { file }
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    fn apply(&self, patches: &[Patch]) {
        let mut file = self.file.as_file();
        for patch in patches {
            file.seek(SeekFrom::Start(patch.offset_bytes)).unwrap();
            file.write_all(&patch.bytes).unwrap();
        }
    }

    fn read(&self, sector_len_bytes: u32) -> Option<Table> {
        read(&mut self.file.reopen().unwrap(), sector_len_bytes).unwrap()
    }

    fn grow(&self, sector_len_bytes: u32) -> Growth {
        let growth = grow_last(&mut self.file.reopen().unwrap(), sector_len_bytes).unwrap().unwrap();
        self.apply(&growth.patches);
        growth
    }

    /// Runs a tool with this file as its last argument; `None` if it is not installed.
    fn run(&self, tool: &str, arguments: &[&str], input: &str) -> Option<String> {
        let child = Command::new(tool)
            .args(arguments)
            .arg(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            child => child.unwrap(),
        };
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{tool} {arguments:?}: {text}");
        Some(text)
    }

    /// The label and the partitions as sfdisk reads them.
    fn sfdisk(&self) -> Option<(String, Vec<Row>)> {
        let text = self.run("sfdisk", &["--json"], "")?;
        // There may be warnings around it.
        let json = &text[text.find('{').unwrap()..];
        let json: serde_json::Value =
            serde_json::Deserializer::from_str(json).into_iter().next().unwrap().unwrap();
        let table = &json["partitiontable"];
        let node_prefix = self.path().to_str().unwrap();
        let partitions = table["partitions"].as_array().into_iter().flatten();
        let partitions =
            partitions.filter(|entry| !["5", "f", "85"].contains(&entry["type"].as_str().unwrap()));
        let partitions = partitions.map(|entry| {
            let number = entry["node"].as_str().unwrap().strip_prefix(node_prefix).unwrap();
            let bootable = entry["bootable"].as_bool() == Some(true)
                || entry["attrs"]
                    .as_str()
                    .is_some_and(|attributes| attributes.contains("LegacyBIOSBootable"));
            (
                number.trim_start_matches('p').parse().unwrap(),
                entry["start"].as_u64().unwrap(),
                entry["size"].as_u64().unwrap(),
                bootable,
            )
        });
        Some((table["label"].as_str().unwrap().to_owned(), partitions.collect()))
    }

    /// Compares what we read with what sfdisk reads, for sectors of 512 bytes.
    fn compare(&self) {
        let Some((label, theirs)) = self.sfdisk() else { return };
        let table = self.read(512).unwrap();
        assert_eq!(label, if table.scheme == Scheme::Mbr { "dos" } else { "gpt" });
        let ours: Vec<Row> = table
            .partitions
            .iter()
            .map(|partition| {
                let (start, len) = (partition.start_bytes / 512, partition.len_bytes / 512);
                (partition.number, start, len, partition.bootable)
            })
            .collect();
        assert_eq!(ours, theirs);
    }

    /// Checks the table with the tools.
    fn check(&self, scheme: Scheme, sector_len_bytes: u32) {
        let complaints = ["mismatch", "orrupt", "invalid", "not properly", "overlap", "omitting"];
        let texts = [
            self.run("fdisk", &["-b", &sector_len_bytes.to_string(), "-l"], ""),
            (sector_len_bytes == 512).then(|| self.run("sfdisk", &["--verify"], "")).flatten(),
        ];
        for text in texts.into_iter().flatten() {
            assert!(!complaints.iter().any(|word| text.contains(word)), "{text}");
        }
        if scheme == Scheme::Gpt && sector_len_bytes == 512 {
            if let Some(text) = self.run("sgdisk", &["--verify"], "") {
                assert!(text.contains("No problems found"), "{text}");
            }
        }
    }

    /// Start and end in bytes of the first partition, as fdisk lists it.
    fn fdisk_range(&self, sector_len_bytes: u64) -> Option<(u64, u64)> {
        let text = self.run("fdisk", &["-b", &sector_len_bytes.to_string(), "-o", "Start,End", "-l"], "")?;
        let row = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap();
        let numbers: Vec<u64> = row.split_whitespace().map(|word| word.parse().unwrap()).collect();
        Some((numbers[0] * sector_len_bytes, (numbers[1] + 1) * sector_len_bytes))
    }
}

#[test]
fn the_tools_accept_new_layouts() {
    for scheme in [Scheme::Mbr, Scheme::Gpt] {
        for sector_len in [512, 4096] {
            for len_bytes in [64 * MIB, 100 * MIB + 3 * 4096] {
                let image = Image::new(len_bytes);
                let id = std::array::from_fn(|index| index as u8 * 7 + 1);
                let layout = single_partition(&Identity::fresh(scheme, id), len_bytes, sector_len).unwrap();
                image.apply(&layout.patches);
                image.check(scheme, sector_len);
                if sector_len == 512 {
                    image.compare();
                }
                if let Some((start, end)) = image.fdisk_range(u64::from(sector_len)) {
                    assert_eq!(start..end, layout.region);
                }
            }
        }
    }
}

#[test]
fn layouts_are_where_parted_would_put_the_partition() {
    for (scheme, label) in [(Scheme::Mbr, "msdos"), (Scheme::Gpt, "gpt")] {
        for len_bytes in [64 * MIB, 100 * MIB + 3 * 512] {
            let (theirs, ours) = (Image::new(len_bytes), Image::new(len_bytes));
            let path = theirs.path().to_str().unwrap().to_owned();
            let arguments = ["-s", &path, "mklabel", label, "mkpart", "primary", "ext4", "4MiB", "100%"];
            let output = match Command::new("parted").args(arguments).output() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                output => output.unwrap(),
            };
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            ours.apply(&single_partition(&Identity::fresh(scheme, [3; 32]), len_bytes, 512).unwrap().patches);
            let range = |image: &Image| image.read(512).unwrap().partitions[0].range();
            let (ours, theirs) = (range(&ours), range(&theirs));
            assert_eq!(ours.start, theirs.start);
            assert!(ours.end <= theirs.end && theirs.end - ours.end < 4096, "{label}: {ours:?} {theirs:?}");
        }
    }
}

#[test]
fn tables_made_by_sfdisk_are_read_and_grown() {
    let mbr = "label: dos\nstart=2048, size=4096, type=c, bootable\nstart=8192, size=20480, type=5\n\
               start=32768, size=4096, type=83\nstart=10240, size=2048, type=83\nstart=14336, size=2048, type=82\n";
    let gpt = "label: gpt\nstart=2048, size=4096\nstart=16384, size=4096, attrs=\"LegacyBIOSBootable\"\nstart=8192, size=2048\n";
    for (script, scheme, last) in [(mbr, Scheme::Mbr, 3), (gpt, Scheme::Gpt, 2)] {
        let image = Image::new(32 * MIB);
        if image.run("sfdisk", &["--quiet"], script).is_none() {
            return;
        }
        image.compare();
        image.file.as_file().set_len(96 * MIB + 5 * 512).unwrap();
        let before = image.sfdisk().unwrap().1;
        let growth = image.grow(512);
        assert_eq!(growth.partition_number, last);
        image.compare();
        image.check(scheme, 512);
        let after = image.sfdisk().unwrap().1;
        for (old, new) in before.iter().zip(after) {
            let len = if old.0 == last { growth.new_len_bytes / 512 } else { old.2 };
            assert_eq!(new, (old.0, old.1, len, old.3));
        }
    }
}

#[test]
fn file_systems_over_a_whole_medium_are_no_table() {
    for (tool, arguments) in [
        ("mkfs.vfat", &["-I"][..]),
        ("mkfs.vfat", &["-I", "-F", "32"]),
        ("mkfs.vfat", &["--mbr=yes"]),
        ("mkfs.exfat", &[]),
        ("mkfs.ext4", &["-q", "-F"]),
    ] {
        let image = Image::new(64 * MIB);
        if image.run(tool, arguments, "").is_some() {
            assert_eq!(image.read(512), None, "{tool} {arguments:?}");
        }
    }
}

#[test]
fn names_types_and_identities_are_read_as_tools_set_them() {
    let gpt = Image::new(16 * MIB);
    let script = "label: gpt\n\
        size=4MiB, type=L, name=\"rootfs ä\", uuid=ABCDEF01-2345-6789-ABCD-EF0123456789\n\
        size=4MiB, type=U\n";
    if gpt.run("sfdisk", &["-q"], script).is_none() {
        return;
    }
    let partitions = gpt.read(512).unwrap().partitions;
    assert_eq!(partitions[0].name.as_deref(), Some("rootfs ä"));
    assert_eq!(partitions[0].uuid.as_deref(), Some("abcdef01-2345-6789-abcd-ef0123456789"));
    assert_eq!(partitions[1].name, None);
    assert_eq!([true, false], [0, 1].map(|index| partitions[index].is_linux()));
    let mbr = Image::new(16 * MIB);
    mbr.run("sfdisk", &["-q"], "label: dos\nlabel-id: 0x00c0ffee\n,4M,L\n,4M,E\n,2M,c\n").unwrap();
    let partitions = mbr.read(512).unwrap().partitions;
    assert_eq!(partitions[0].uuid.as_deref(), Some("00c0ffee-01"));
    assert!(partitions[0].is_linux() && !partitions[1].is_linux());
}

#[test]
fn an_identity_made_by_sfdisk_is_kept_in_a_new_table() {
    let mbr = "label: dos\nlabel-id: 0x5eed01fe\n2 : start=4096, size=20480, type=83\n";
    let gpt = "label: gpt\nlabel-id: 01234567-89AB-4CDE-8F01-23456789ABCD\n3 : start=4096, size=20480, \
               type=69DAD710-2CE4-4E3C-B16C-21A1D49ABED3, uuid=FEDCBA98-7654-4321-8FED-CBA987654321, name=\"r\u{f6}\u{f6}t/a\"\n";
    for (script, partuuid) in [(mbr, "5eed01fe-02"), (gpt, "fedcba98-7654-4321-8fed-cba987654321")] {
        let golden = Image::new(32 * MIB);
        if golden.run("sfdisk", &["--quiet"], script).is_none() {
            return;
        }
        let identity = golden.read(512).unwrap().identity.unwrap();
        assert_eq!(identity.partuuid().unwrap(), partuuid);
        let clone = Image::new(64 * MIB);
        let layout = single_partition(&identity, 64 * MIB, 512).unwrap();
        clone.apply(&layout.patches);
        clone.check(identity.scheme(), 512);
        let read = clone.read(512).unwrap();
        assert_eq!((read.identity.as_ref(), read.partitions[0].range()), (Some(&identity), layout.region));
        // All identities as the tool prints them: id, type, uuid, name; not the place.
        let named = |image: &Image| {
            let text = image.run("sfdisk", &["--dump"], "").unwrap();
            let label = text.lines().find(|line| line.starts_with("label-id")).unwrap().to_owned();
            let entry = text.lines().find(|line| line.contains("type=")).unwrap();
            let number = entry.split(' ').next().unwrap().chars().last();
            let words: Vec<_> = entry
                .split(", ")
                .filter(|word| ["type=", "uuid=", "name="].iter().any(|key| word.starts_with(key)))
                .map(str::to_owned)
                .collect();
            (label, number, words)
        };
        assert_eq!(named(&clone), named(&golden));
    }
}

#[test]
fn a_medium_has_an_identity_only_with_one_partition_that_a_new_table_can_have() {
    for script in [
        "label: dos\nstart=2048, size=2048, type=83\nstart=4096, size=2048, type=83\n",
        "label: dos\nstart=2048, size=20480, type=5\nstart=4096, size=2048, type=83\n",
        "label: gpt\n",
    ] {
        let image = Image::new(32 * MIB);
        if image.run("sfdisk", &["--quiet"], script).is_none() {
            return;
        }
        assert_eq!(image.read(512).unwrap().identity, None, "{script}");
    }
    let beyond = Identity { number: 5, ..Identity::fresh(Scheme::Mbr, [1; 32]) };
    assert!(matches!(single_partition(&beyond, 64 * MIB, 512), Err(FormatError::Unsupported { .. })));
}
