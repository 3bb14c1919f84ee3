//! Reads `/etc/fstab`: which file systems a root file system mounts, and where.
//!
//! It follows libmount (fstab(5)): fields between blanks, octal escapes (`\040` is a blank), quotes around the value of a
//! tag, comments as whole lines. An invalid line is ignored, as mount(8) does. Which partition a specification names on a
//! medium is not decided here.

use replicator_hal::RelativePath;
use std::fmt;

/// Longest file that is read, in bytes.
pub(crate) const LIMIT_BYTES: usize = 256 * 1024;

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spec {
    /// `UUID=` or `/dev/disk/by-uuid/`: the file system's UUID or serial number.
    Uuid(String),
    /// `LABEL=` or `/dev/disk/by-label/`: the file system's label.
    Label(String),
    /// `PARTUUID=` or `/dev/disk/by-partuuid/`: the partition's identity in its table.
    PartUuid(String),
    /// `PARTLABEL=` or `/dev/disk/by-partlabel/`: the partition's name in a GPT.
    PartLabel(String),
    /// A disk's partition by kernel name, such as `/dev/mmcblk0p2`; number 0 is the whole disk.
    Partition {
        /// The disk, such as `mmcblk0`.
        disk: String,
        /// The partition's number.
        number: u32,
    },
    /// Anything else: `tmpfs`, `/dev/root`, `/dev/mapper/data`, `server:/share`.
    Other(String),
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(value) => write!(f, "UUID={value}"),
            Self::Label(value) => write!(f, "LABEL={value}"),
            Self::PartUuid(value) => write!(f, "PARTUUID={value}"),
            Self::PartLabel(value) => write!(f, "PARTLABEL={value}"),
            Self::Partition { disk, number: 0 } => write!(f, "/dev/{disk}"),
            Self::Partition { disk, number } => {
                let between = if disk.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
                write!(f, "/dev/{disk}{between}{number}")
            }
            Self::Other(value) => f.write_str(value),
        }
    }
}

impl Spec {
    /// Parses the first field of a line, in which escapes were replaced.
    pub(crate) fn parse(field: &str) -> Self {
        type Tag = (&'static str, &'static str, fn(String) -> Spec);
        const TAGS: [Tag; 4] = [
            ("UUID=", "/dev/disk/by-uuid/", Spec::Uuid),
            ("LABEL=", "/dev/disk/by-label/", Spec::Label),
            ("PARTUUID=", "/dev/disk/by-partuuid/", Spec::PartUuid),
            ("PARTLABEL=", "/dev/disk/by-partlabel/", Spec::PartLabel),
        ];
        for (tag, directory, spec) in TAGS {
            if let Some(value) = field.strip_prefix(tag) {
                let quoted = |quote| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
                return spec(quoted('"').or_else(|| quoted('\'')).unwrap_or(value).to_owned());
            }
            if let Some(value) = field.strip_prefix(directory) {
                return spec(without_hex_escapes(value));
            }
        }
        match field.strip_prefix("/dev/").and_then(partition_of_name) {
            Some((disk, number)) => Self::Partition { disk, number },
            None => Self::Other(field.to_owned()),
        }
    }
}

/// Splits a kernel name: `mmcblk0p2`, `nvme0n1p1`, `sda3`, `mmcblk0`.
fn partition_of_name(name: &str) -> Option<(String, u32)> {
    const NUMBERED: [&str; 4] = ["mmcblk", "nvme", "loop", "nbd"];
    const LETTERED: [&str; 4] = ["sd", "vd", "hd", "xvd"];
    if name.contains('/') {
        return None;
    }
    let digits = name.len() - name.trim_end_matches(|last: char| last.is_ascii_digit()).len();
    let (head, number) = name.split_at(name.len() - digits);
    if NUMBERED.iter().any(|prefix| name.starts_with(prefix)) {
        return match head.strip_suffix('p') {
            Some(disk) if disk.ends_with(|last: char| last.is_ascii_digit()) => {
                Some((disk.to_owned(), number.parse().ok()?))
            }
            // The boot areas of an eMMC have no partitions.
            _ if digits > 0 && !head.contains("boot") => Some((name.to_owned(), 0)),
            _ => None,
        };
    }
    let is_lettered = LETTERED.iter().any(|prefix| {
        head.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|letter| letter.is_ascii_lowercase()))
    });
    if !is_lettered {
        return None;
    }
    let number = if digits == 0 { 0 } else { number.parse().ok()? };
    Some((head.to_owned(), number))
}

/// udev writes `\x20` for a blank in the names of links.
fn without_hex_escapes(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = rest.strip_prefix(b"\\x").and_then(|hex| {
            let hex = std::str::from_utf8(hex.get(..2)?).ok()?;
            u8::from_str_radix(hex, 16).ok()
        });
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is mounted.
    pub spec: Spec,
    /// Where, as written; `none` or `swap` for swap space.
    pub mount_point: Vec<u8>,
    /// The file system's type, such as `ext4` or `auto`.
    pub kind: String,
    /// The options, in order.
    pub options: Vec<String>,
}

impl Entry {
    /// The mount point inside of the root file system; `None` for swap and for anything but an absolute path.
    pub(crate) fn path(&self) -> Option<RelativePath> {
        if self.kind == "swap" || self.mount_point.first() != Some(&b'/') {
            return None;
        }
        RelativePath::parse(self.mount_point.clone()).ok()
    }

    /// Whether this is the root file system itself.
    pub(crate) fn is_root(&self) -> bool {
        self.path().is_some_and(|path| path == RelativePath::root())
    }

    /// Whether an option without a value is set.
    pub(crate) fn has_option(&self, name: &str) -> bool {
        self.options.iter().any(|option| option == name)
    }

    /// The value of an option such as `subvol=@`.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether another directory of the tree is mounted here, and not a file system.
    pub(crate) fn is_bind(&self) -> bool {
        self.has_option("bind") || self.has_option("rbind")
    }
}

/// Reads the whole file.
pub(crate) fn parse(text: &[u8]) -> Vec<Entry> {
    text.split(|byte| *byte == b'\n').enumerate().filter_map(|(index, line)| entry(index + 1, line)).collect()
}

fn entry(number: usize, line: &[u8]) -> Option<Entry> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let mut fields = line.split(is_blank).filter(|field| !field.is_empty());
    let spec = fields.next().filter(|field| field[0] != b'#')?;
    let mount_point = unescaped(fields.next()?);
    let text = |field: &[u8]| String::from_utf8_lossy(&unescaped(field)).into_owned();
    let kind = fields.next().map_or_else(|| "auto".to_owned(), text);
    let options = fields.next().map(text).unwrap_or_default();
    let options = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
    Some(Entry { line: number, spec: Spec::parse(&text(spec)), mount_point, kind, options })
}

/// Replaces `\ooo`.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &rest[4..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn specs(text: &str) -> Vec<Spec> {
        parse(text.as_bytes()).into_iter().map(|entry| entry.spec).collect()
    }

    #[test]
    fn lines_of_installers_are_read() {
        let text = "# /etc/fstab: static file system information.\n\
            UUID=0a3407de-014b-458b-b5c1-848e92a327a3 / ext4 errors=remount-ro 0 1\n\
            \tLABEL=\"data\"   /data\tauto  noatime,subvol=/@data,x-systemd.automount 0 2\r\n\
            #LABEL=old /old ext4 defaults 0 0\n\
            \n\
            PARTUUID=1234abcd-02 /my\\040files ext4\n\
            /dev/mmcblk1p3 none swap sw 0 0\n\
            /data/home /home none bind,nofail 0 0\n\
            tmpfs /tmp tmpfs\n\
            lonely\n";
        let entries = parse(text.as_bytes());
        let shown: Vec<String> = entries.iter().map(|entry| entry.spec.to_string()).collect();
        let expected = [
            "UUID=0a3407de-014b-458b-b5c1-848e92a327a3",
            "LABEL=data",
            "PARTUUID=1234abcd-02",
            "/dev/mmcblk1p3",
            "/data/home",
            "tmpfs",
        ];
        assert_eq!(shown, expected);
        assert_eq!(entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [2, 3, 6, 7, 8, 9]);
        assert!(entries[0].is_root() && entries[0].option("errors") == Some("remount-ro"));
        assert_eq!(entries[2].path(), RelativePath::parse("my files").ok());
        assert_eq!((entries[2].kind.as_str(), entries[2].options.len()), ("ext4", 0));
        assert_eq!(entries[3].path(), None, "swap is mounted nowhere");
        assert!(entries[4].is_bind() && !entries[2].is_bind());
        assert_eq!((entries[5].kind.as_str(), entries[5].path()), ("tmpfs", RelativePath::parse("tmp").ok()));
    }

    #[test]
    fn every_kind_of_name_has_its_meaning() {
        let partition = |disk: &str, number| Spec::Partition { disk: disk.to_owned(), number };
        for (text, spec) in [
            ("LABEL=a\\040b", Spec::Label("a b".into())),
            ("UUID=\"1234-ABCD\"", Spec::Uuid("1234-ABCD".into())),
            ("PARTLABEL='x'", Spec::PartLabel("x".into())),
            ("/dev/disk/by-label/a\\x20b", Spec::Label("a b".into())),
            ("/dev/disk/by-partuuid/1-02", Spec::PartUuid("1-02".into())),
            ("/dev/mmcblk0p12", partition("mmcblk0", 12)),
            ("/dev/mmcblk0", partition("mmcblk0", 0)),
            ("/dev/mmcblk0boot0", Spec::Other("/dev/mmcblk0boot0".into())),
            ("/dev/nvme0n1p2", partition("nvme0n1", 2)),
            ("/dev/nvme0n1", partition("nvme0n1", 0)),
            ("/dev/sdb3", partition("sdb", 3)),
            ("/dev/sda", partition("sda", 0)),
            ("/dev/sd1", Spec::Other("/dev/sd1".into())),
            ("/dev/sda99999999999", Spec::Other("/dev/sda99999999999".into())),
            ("/dev/root", Spec::Other("/dev/root".into())),
            ("/dev/mapper/data", Spec::Other("/dev/mapper/data".into())),
            ("server:/share", Spec::Other("server:/share".into())),
        ] {
            assert_eq!(specs(&format!("{text} /x auto\n")), [spec], "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let lines = text.split(|byte| *byte == b'\n').count();
            for entry in parse(&text) {
                prop_assert!(entry.line <= lines && !entry.mount_point.is_empty());
                prop_assert!(entry.path().is_none_or(|path| path.as_bytes().len() < entry.mount_point.len()));
            }
        }

        #[test]
        fn escapes_give_back_what_was_escaped(name in prop::collection::vec(1u8..=255, 1..20)) {
            let escaped: String = name.iter().map(|byte| format!("\\{byte:03o}")).collect();
            let entries = parse(format!("LABEL=x {escaped} ext4\n").as_bytes());
            prop_assert_eq!(&entries[0].mount_point, &name);
        }

        #[test]
        fn a_name_is_read_as_it_is_shown(disk in "(mmcblk[0-9]|nvme[0-9]n1|sd[a-z]{1,2})", number in 0u32..200) {
            let spec = Spec::Partition { disk, number };
            prop_assert_eq!(Spec::parse(&spec.to_string()), spec);
        }
    }
}
