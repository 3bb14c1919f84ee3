//! Checks of a scenario when it is read: keys that exclude each other, lists of partitions that do not fit, faults
//! that cannot act.

use super::check_faults;
use super::composition::{Holds, PartitionSpec, Scheme};
use super::content::Layout;
use super::guid;
use super::schema::{Content, FileSpec, MediumSpec, Scenario};
use std::fmt;

/// The part of a scenario that is wrong. Numbers are from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A medium.
    Medium(String),
    /// A partition of a medium.
    Partition(String, usize),
    /// A file on the drive.
    File(usize),
    /// A partition of an image file.
    FilePartition(usize, usize),
    /// A fault.
    Fault(usize),
    /// A boot.
    Boot(usize),
}

impl Place {
    /// The line of its heading in the scenario's text, from 1; 1 if it is written in another way.
    pub fn line(&self, text: &str) -> usize {
        let medium = |name: &str| (format!("[media.{name}]"), 0);
        let (heading, number) = match self {
            Self::Medium(name) => medium(name),
            Self::Partition(name, number) => (format!("[[media.{name}.partition]]"), *number),
            Self::File(number) => ("[[drive.file]]".to_owned(), *number),
            Self::FilePartition(file, number) => {
                let start = Self::File(*file).line(text) - 1;
                let below = text.lines().enumerate().skip(start);
                let lines = below.filter(|(_, line)| line.trim() == "[[drive.file.partition]]");
                return lines.map(|(at, _)| at + 1).nth(*number).unwrap_or(start + 1);
            }
            Self::Fault(number) => ("[[fault]]".to_owned(), *number),
            Self::Boot(number) => ("[[boot]]".to_owned(), *number),
        };
        let lines = text.lines().enumerate().filter(|(_, line)| line.trim() == heading);
        lines.map(|(at, _)| at + 1).nth(number).unwrap_or(1)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Medium(name) => write!(f, "media.{name}"),
            Self::Partition(name, number) => write!(f, "media.{name}, partition entry {}", number + 1),
            Self::File(number) => write!(f, "drive.file {}", number + 1),
            Self::FilePartition(file, number) => {
                write!(f, "drive.file {}, partition entry {}", file + 1, number + 1)
            }
            Self::Fault(number) => write!(f, "fault {}", number + 1),
            Self::Boot(number) => write!(f, "boot {}", number + 1),
        }
    }
}

/// The line of the key that an error quotes, if `line` is the heading of its table.
pub(super) fn line_of_key(text: &str, line: usize, detail: &str) -> usize {
    let mut lines = text.lines().enumerate().skip(line - 1);
    let is_heading = |line: &str| line.trim_start().starts_with('[');
    let (true, Some(key)) =
        (lines.next().is_some_and(|(_, line)| is_heading(line)), detail.split('`').nth(1))
    else {
        return line;
    };
    let mut table = lines.take_while(|(_, line)| !is_heading(line));
    let found = table.find(|(_, line)| line.split('=').next().is_some_and(|start| start.trim() == key));
    found.map_or(line, |(at, _)| at + 1)
}

/// An error in a scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct InvalidScenario {
    /// Where.
    pub place: Place,
    /// The error, with a hint.
    pub what: String,
}

/// Refuses an invalid scenario.
///
/// # Errors
/// The first error.
pub fn check(scenario: &Scenario) -> Result<(), InvalidScenario> {
    for (name, spec) in &scenario.media {
        check_medium(name, spec)?;
    }
    for (number, file) in scenario.drive.files.iter().enumerate() {
        check_file(number, file)?;
    }
    for (number, spec) in scenario.faults.iter().enumerate() {
        check_faults::fault(scenario, spec)
            .map_err(|what| InvalidScenario { place: Place::Fault(number), what })?;
    }
    for (number, boot) in scenario.boots.iter().enumerate() {
        let checked = boot.cut.as_ref().map_or(Ok(()), |cut| check_faults::cut(scenario, cut));
        checked.map_err(|what| InvalidScenario { place: Place::Boot(number), what })?;
    }
    Ok(())
}

fn check_medium(name: &str, spec: &MediumSpec) -> Result<(), InvalidScenario> {
    if !spec.partitions.is_empty() && spec.content != Content::Blank {
        let what = "content and partition exclude each other; leave content out".to_owned();
        return Err(InvalidScenario { place: Place::Medium(name.to_owned()), what });
    }
    let place = |number| Place::Partition(name.to_owned(), number);
    Layout::of_medium(spec).map_err(|(number, what)| InvalidScenario { place: place(number), what })?;
    check_ids(spec.scheme, spec.disk_id.as_deref(), &spec.partitions, Place::Medium(name.to_owned()), &place)
}

fn check_file(number: usize, file: &FileSpec) -> Result<(), InvalidScenario> {
    let place = |partition| Place::FilePartition(number, partition);
    Layout::of_image(file, file.shown_len().0)
        .map_err(|(partition, what)| InvalidScenario { place: place(partition), what })?;
    check_ids(file.scheme, file.disk_id.as_deref(), &file.partitions, Place::File(number), &place)
}

/// Identities have their usual text forms, and are given only where they apply.
fn check_ids(
    scheme: Scheme,
    disk_id: Option<&str>,
    partitions: &[PartitionSpec],
    whole: Place,
    place: &dyn Fn(usize) -> Place,
) -> Result<(), InvalidScenario> {
    let gpt = scheme == Scheme::Gpt || partitions.is_empty();
    let disk_id_reads =
        disk_id.is_none_or(|id| guid::parse(id).is_some() && (id.len() == 8 || gpt && id.len() == 36));
    if !disk_id_reads {
        let what = "disk_id is 8 hex digits (MBR) or a GUID (GPT)".to_owned();
        return Err(InvalidScenario { place: whole, what });
    }
    for (number, spec) in partitions.iter().enumerate() {
        let wrong = |what: &str| Err(InvalidScenario { place: place(number), what: what.to_owned() });
        if spec.uuid.as_deref().is_some_and(|id| guid::parse(id).is_none()) {
            return wrong("uuid is written like \"0f0e0d0c-0b0a-0908-0706-050403020100\" or \"1234-ABCD\"");
        }
        if !gpt && (spec.part_name.is_some() || spec.part_uuid.is_some()) {
            return wrong("part_name and part_uuid are for scheme = \"gpt\"");
        }
        if spec.part_uuid.as_deref().is_some_and(|id| guid::parse_gpt(id).is_none()) {
            return wrong("part_uuid is a GUID such as \"0f0e0d0c-0b0a-0908-0706-050403020100\"");
        }
        let type_reads = |text: &str| match gpt {
            true => guid::parse_gpt(text).is_some(),
            false => text.len() == 2 && u8::from_str_radix(text, 16).is_ok(),
        };
        if spec.part_type.as_deref().is_some_and(|text| !type_reads(text)) {
            return wrong("type is two hex digits such as \"83\" (MBR) or a GUID (GPT)");
        }
        if let Some(letter) = spec.files.iter().find_map(|file| file.inode_flags().err()) {
            return wrong(&format!("flags are letters of \"iadAS\", not {letter:?}"));
        }
        if spec.holds != Holds::Rootfs && (spec.fstab.is_some() || spec.var_log_link.is_some()) {
            return wrong("fstab and var_log_link are for holds = \"rootfs\"");
        }
        if spec.kind().is_none() && (!spec.files.is_empty() || spec.file_system.is_some()) {
            return wrong("file and file_system are for partitions with files: rootfs, data, boot, empty");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(middle: &str) -> String {
        let text = format!("about = \"x.\"\n{middle}\n[expect]\nstatus = \"success\"\n");
        Scenario::parse(&text, "x.toml").unwrap_err().to_string()
    }

    #[test]
    fn an_error_is_reported_with_its_line_and_a_hint() {
        let emmc = "[media.emmc]\n[[media.emmc.partition]]\nholds = \"rootfs\"\nlen = \"2 MiB\"\n[[media.emmc.partition]]\nholds = \"data\"\n";
        for (more, line, hint) in [
            ("start = \"1 MiB\"", 6, "overlaps"),
            ("len = \"16 MiB\"", 6, "the end of the medium"),
            ("len = 1000", 6, "whole sectors"),
            ("uuid = \"x\"", 6, "0f0e0d0c-"),
            ("part_name = \"x\"", 6, "scheme = \"gpt\""),
            ("type = \"linux\"", 6, "\"83\""),
            ("fstab = \"x\"", 6, "holds = \"rootfs\""),
            ("[[media.emmc.partition]]\nholds = \"swap\"", 6, "len is missing"),
            (
                "[[drive.file]]\nname = \"sdimage.dd\"\n[[drive.file.partition]]\nholds = \"swap\"\nfile_system = \"ext4\"",
                10,
                "rootfs, data, boot, empty",
            ),
        ] {
            let found = error(&format!("{emmc}{more}"));
            assert!(
                found.starts_with(&format!("x.toml:{line}: ")) && found.contains(hint),
                "{more}: {found}"
            );
        }
        let both = emmc.replace("[media.emmc]\n", "[media.emmc]\ncontent = \"single\"\n");
        assert!(error(&both).starts_with("x.toml:2: media.emmc: content and partition exclude each other"));
        let none = emmc.replace("[media.emmc]\n", "[media.emmc]\nscheme = \"none\"\n");
        assert!(error(&none).contains("one file system only"));
    }
}
