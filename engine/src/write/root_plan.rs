//! Decides the names of the file system and partition for a tarball, so that the clone finds its root, and refuses if it
//! cannot.
//!
//! - Our own tarball gets the names of the golden medium from its record; on the board that it was captured on, also the
//!   table and the partition number.
//! - Any other gets the names that its own files use for their root: `/etc/fstab` first, then the boards' boot files.
//!
//! A clone that certainly would not find its root, because it will not have the UUID, label or partition, is refused
//! before anything is erased, unless `[write] any_root` is set. Possible problems are only reported: kernel names of
//! other partitions, other file systems that fstab needs.

use crate::error::{Error, Refusal};
use crate::formats::partition::{DiskId, Guid, Identity, Scheme};
use crate::fstab::Spec;
use crate::root_names::{Reference, Role};
use crate::source_record::RootRecord;
use replicator_hal::Uuid;
use std::collections::BTreeSet;
use xxhash_rust::xxh3::xxh3_128;

/// Longest label of an ext file system.
const LABEL_LEN_MAX_BYTES: usize = 16;

/// The names of a new root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RootPlan {
    /// Disk and partition.
    pub identity: Identity,
    /// The file system's UUID, if it has to have a certain one.
    pub uuid: Option<Uuid>,
    /// Its label.
    pub label: Option<String>,
    /// Randomness for a new identity, for a medium that must not have the same as another one.
    pub random: [u8; 32],
}

/// The facts of a tarball and its medium.
pub(super) struct Question<'a> {
    /// The image, for messages.
    pub(super) image: &'a str,
    /// The record of the capture that made this very tarball.
    pub(super) record: Option<&'a RootRecord>,
    /// Whether it was captured on this board.
    pub(super) same_board: bool,
    /// The names of file systems in the files of the archive, fstab first.
    pub(super) references: &'a [Reference],
    /// The table of the profile.
    pub(super) scheme: Scheme,
    /// Randomness for new names.
    pub(super) random: [u8; 32],
}

/// The plan, with notes and a refusal.
pub(super) struct Answer {
    pub(super) plan: RootPlan,
    pub(super) notes: Vec<String>,
    pub(super) refusal: Option<Error>,
}

/// Decides the names.
pub(super) fn decide(question: &Question<'_>) -> Answer {
    let mut notes = Vec::new();
    let random = question.random;
    let identity = Identity::fresh(question.scheme, random);
    let mut plan = RootPlan { identity, uuid: None, label: None, random };
    let problems = match question.record {
        Some(record) => of_record(question, record, &mut plan, &mut notes),
        None => of_references(question.references, &mut plan),
    };
    // The golden medium's files are right about its own partition number.
    let golden = question.record.and_then(RootRecord::identity);
    if question.record.is_none() || golden.is_some_and(|golden| golden.number != plan.identity.number) {
        notes.extend(possible_problems(question.references, &plan));
    }
    let refusal = (!problems.is_empty()).then(|| {
        let what = format!("{}: {}; the clone would not find its root", question.image, problems.join("; "));
        Error::refused(Refusal::RootNotFound, what)
    });
    Answer { plan, notes, refusal }
}

/// Takes the golden medium's names. Its own files are right about them, or it would not boot. So only names that the
/// clone cannot have are a problem.
fn of_record(
    question: &Question<'_>,
    record: &RootRecord,
    plan: &mut RootPlan,
    notes: &mut Vec<String>,
) -> Vec<String> {
    plan.uuid = record.uuid();
    plan.label = record.label.clone().filter(|label| fits_label(label));
    if let Some(golden) = record.identity() {
        if question.same_board || golden.scheme() == question.scheme {
            if golden.scheme() != question.scheme || golden.number != 1 {
                let table = table_name(golden.scheme());
                notes.push(format!("{table} and partition {} as on the golden medium", golden.number));
            }
            plan.identity = golden;
        }
    }
    let golden = RootPlan {
        identity: record.identity().unwrap_or_else(|| plan.identity.clone()),
        label: record.label.clone(),
        ..plan.clone()
    };
    let is_lost = |reference: &Reference| {
        !matches!(reference.role, Role::Other(_))
            && golden.is_found_by(&reference.spec) == Some(true)
            && plan.is_found_by(&reference.spec) == Some(false)
    };
    let mut problems: BTreeSet<String> = BTreeSet::new();
    problems.extend(
        question.references.iter().filter(|found| is_lost(found)).map(|found| why_not_found(found, plan)),
    );
    problems.into_iter().collect()
}

/// Takes the names that the archive's files use. Returns those that the clone cannot have.
fn of_references(references: &[Reference], plan: &mut RootPlan) -> Vec<String> {
    let roots: Vec<&Reference> =
        references.iter().filter(|found| !matches!(found.role, Role::Other(_))).collect();
    let mut has_partuuid = false;
    for reference in &roots {
        match &reference.spec {
            // Zeros mean that there is no UUID.
            Spec::Uuid(text) if plan.uuid.is_none() => {
                plan.uuid = Uuid::parse(text).filter(|uuid| uuid.0 != [0; 16]);
            }
            Spec::Label(text) if plan.label.is_none() && fits_label(text) => plan.label = Some(text.clone()),
            Spec::PartUuid(text) if !has_partuuid => has_partuuid = plan.take_partuuid(text),
            Spec::PartLabel(text) => plan.take_part_label(text),
            _ => {}
        }
    }
    let is_not_found = |reference: &Reference| plan.is_found_by(&reference.spec) == Some(false);
    let mut problems: Vec<String> = Vec::new();
    for reference in roots.iter().filter(|reference| is_not_found(reference)) {
        // Of several boot entries one is enough.
        let mut others = roots.iter().filter(|other| other.file == reference.file);
        if reference.role == Role::Menu && others.any(|other| plan.is_found_by(&other.spec) == Some(true)) {
            continue;
        }
        let problem = why_not_found(reference, plan);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

impl RootPlan {
    /// Whether `spec` finds this root; `None` if that does not depend on names.
    fn is_found_by(&self, spec: &Spec) -> Option<bool> {
        let same =
            |text: &str, ours: Option<String>| ours.is_some_and(|ours| ours.eq_ignore_ascii_case(text));
        match spec {
            Spec::Uuid(text) => Some(same(text, self.uuid.map(|uuid| uuid.to_string()))),
            Spec::Label(text) => Some(self.label.as_ref() == Some(text)),
            // The kernel counts from another partition: PARTUUID=...-01/PARTNROFF=1.
            Spec::PartUuid(text) if text.contains('/') => None,
            Spec::PartUuid(text) => Some(same(text, self.identity.partuuid())),
            Spec::PartLabel(text) => Some(match &self.identity.disk {
                DiskId::Mbr { .. } => false,
                DiskId::Gpt { name, .. } => name == text,
            }),
            Spec::Partition { .. } | Spec::Other(_) => None,
        }
    }

    /// The UUID of the new file system: the required one, else a new one (version 4). It is always known, so that an old
    /// file system cannot be mistaken for the new one.
    pub(super) fn file_system_uuid(&self) -> Uuid {
        self.uuid.unwrap_or_else(|| {
            // A hash, because disk and partition are named after the bytes themselves.
            let mut bytes = xxh3_128(&self.random).to_be_bytes();
            bytes[6] = bytes[6] & 0x0F | 0x40;
            bytes[8] = bytes[8] & 0x3F | 0x80;
            Uuid(bytes)
        })
    }

    /// Sets the signature or GUID of a `PARTUUID`, if the table can have it. Returns whether it can.
    fn take_partuuid(&mut self, text: &str) -> bool {
        let number = self.identity.number;
        match &mut self.identity.disk {
            DiskId::Mbr { signature, .. } => {
                let Some((disk, partition)) = text.split_once('-') else { return false };
                let wanted = u32::from_str_radix(disk, 16).ok().filter(|wanted| *wanted != 0);
                match (wanted, u32::from_str_radix(partition, 16)) {
                    (Some(wanted), Ok(found)) if disk.len() == 8 && found == number => *signature = wanted,
                    _ => return false,
                }
            }
            DiskId::Gpt { partition, .. } => match Guid::parse(text) {
                Some(guid) => *partition = guid,
                None => return false,
            },
        }
        true
    }

    /// Sets the name of the partition, if the table has names.
    fn take_part_label(&mut self, text: &str) {
        if let DiskId::Gpt { name, .. } = &mut self.identity.disk {
            if text.encode_utf16().count() <= 36 {
                text.clone_into(name);
            }
        }
    }

    /// Whether the two have an identity in common that two media of a unit must not share.
    pub(super) fn clashes_with(&self, other: &Self) -> bool {
        let same_uuid = self.uuid.is_some() && self.uuid == other.uuid;
        let same_disk = match (&self.identity.disk, &other.identity.disk) {
            (DiskId::Mbr { signature, .. }, DiskId::Mbr { signature: theirs, .. }) => {
                *signature != 0 && signature == theirs
            }
            (
                DiskId::Gpt { disk, partition, .. },
                DiskId::Gpt { disk: their_disk, partition: theirs, .. },
            ) => disk == their_disk || partition == theirs,
            _ => false,
        };
        same_uuid || same_disk
    }

    /// Replaces every name by a new one; number, type and table stay.
    pub(super) fn rename(&mut self) {
        let mut new = Identity::fresh(self.identity.scheme(), self.random);
        match (&self.identity.disk, &mut new.disk) {
            (DiskId::Mbr { kind, .. }, DiskId::Mbr { kind: kept, .. }) => *kept = *kind,
            (DiskId::Gpt { kind, .. }, DiskId::Gpt { kind: kept, .. }) => *kept = *kind,
            _ => {}
        }
        new.number = self.identity.number;
        self.identity = new;
        self.uuid = None;
        self.label = None;
    }
}

/// Why a name would find nothing.
fn why_not_found(reference: &Reference, plan: &RootPlan) -> String {
    let has = match &reference.spec {
        Spec::Uuid(_) => plan.uuid.map_or("a new UUID".to_owned(), |uuid| format!("UUID {uuid}")),
        Spec::Label(text) if !fits_label(text) => {
            format!("a file system whose label has {LABEL_LEN_MAX_BYTES} bytes at most")
        }
        Spec::Label(_) => {
            plan.label.as_ref().map_or("no label".to_owned(), |label| format!("the label \"{label}\""))
        }
        Spec::PartUuid(_) => format!(
            "partition {} in {}, PARTUUID {}",
            plan.identity.number,
            table_name(plan.identity.scheme()),
            plan.identity.partuuid().unwrap_or_else(|| "none".to_owned())
        ),
        _ => format!("{} with other names", table_name(plan.identity.scheme())),
    };
    format!("/{} names the root {}, and the clone will have {has}", reference.file, reference.spec)
}

/// What may go wrong at boot, or makes a system wait for a missing file system.
fn possible_problems(references: &[Reference], plan: &RootPlan) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for reference in references {
        let (file, spec) = (&reference.file, &reference.spec);
        let is_other_partition =
            matches!(spec, Spec::Partition { number, .. } if *number != plan.identity.number);
        let note = match &reference.role {
            Role::Other(at) if plan.is_found_by(spec) == Some(false) || is_partition(spec) => {
                format!("/{file} mounts {spec} at {at}, which is not on this medium")
            }
            Role::Root | Role::Menu if is_other_partition => {
                format!("/{file} names the root {spec}, and the clone has partition {}", plan.identity.number)
            }
            Role::Root if is_device_of_a_layer(spec) => {
                format!("/{file} names the root {spec}, and the clone has a plain partition")
            }
            _ => match reference.kind.as_deref() {
                Some(kind) if !matches!(kind, "auto" | "ext2" | "ext3" | "ext4" | "rootfs") => {
                    format!("/{file} has {kind} as the type of the root, and the clone has ext")
                }
                _ => continue,
            },
        };
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

fn is_partition(spec: &Spec) -> bool {
    matches!(spec, Spec::Partition { .. })
}

/// Whether this is a device of LVM, LUKS, RAID or UBI, which a clone of a tarball does not have.
fn is_device_of_a_layer(spec: &Spec) -> bool {
    const LAYERS: [&str; 4] = ["/dev/mapper/", "/dev/md", "ubi", "/dev/ubi"];
    matches!(spec, Spec::Other(name) if LAYERS.iter().any(|layer| name.starts_with(layer)))
}

fn fits_label(text: &str) -> bool {
    // Blanks at the end, and text that was no UTF-8 on the golden medium, cannot be read back as written.
    let is_whole = text.trim_end() == text && !text.contains(['\0', char::REPLACEMENT_CHARACTER]);
    !text.is_empty() && text.len() <= LABEL_LEN_MAX_BYTES && is_whole
}

fn table_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Mbr => "an MBR",
        Scheme::Gpt => "a GPT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root_names;

    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
    const GUID: &str = "fedcba98-7654-4210-8123-456789abcdef";
    const RANDOM: [u8; 32] = [7; 32];

    fn references(files: &[(&str, &str)]) -> Vec<Reference> {
        files.iter().flat_map(|(path, text)| root_names::read(path, text.as_bytes())).collect()
    }

    fn decide_for(
        record: Option<&RootRecord>,
        same_board: bool,
        scheme: Scheme,
        files: &[(&str, &str)],
    ) -> Answer {
        let references = references(files);
        let image = "sdimage.tar.xz";
        decide(&Question { image, record, same_board, references: &references, scheme, random: RANDOM })
    }

    fn foreign(scheme: Scheme, fstab: &str) -> Answer {
        decide_for(None, false, scheme, &[("etc/fstab", fstab)])
    }

    fn refused(answer: &Answer) -> String {
        answer.refusal.as_ref().map(|error| format!("{} {error}", error.code())).unwrap_or_default()
    }

    fn mbr(signature: u32, number: u32) -> Identity {
        Identity { disk: DiskId::Mbr { signature, kind: 0x83 }, number }
    }

    fn gpt(number: u32) -> Identity {
        let Identity { disk: DiskId::Gpt { disk, kind, .. }, .. } = Identity::fresh(Scheme::Gpt, [9; 32])
        else {
            unreachable!("a new identity for a GPT is one of a GPT");
        };
        let partition = Guid::parse(GUID).unwrap();
        Identity { disk: DiskId::Gpt { disk, partition, kind, name: "golden".into() }, number }
    }

    #[test]
    fn a_foreign_tarball_gets_the_names_in_its_files() {
        let uuid = format!("UUID={UUID} / ext4\n");
        for scheme in [Scheme::Mbr, Scheme::Gpt] {
            let answer = foreign(scheme, &uuid);
            assert_eq!((refused(&answer), answer.plan.uuid), (String::new(), Uuid::parse(UUID)));
            assert_eq!(answer.plan.identity, Identity::fresh(scheme, RANDOM));
            let answer = foreign(scheme, "LABEL=my\\040root / ext4\n");
            assert_eq!((refused(&answer), answer.plan.label), (String::new(), Some("my root".to_owned())));
        }
        let answer = foreign(Scheme::Mbr, "PARTUUID=5EED5EED-01 / ext4\n");
        assert_eq!((refused(&answer), answer.plan.identity), (String::new(), mbr(0x5eed_5eed, 1)));
        let answer = foreign(Scheme::Gpt, &format!("PARTUUID={GUID} / ext4\nPARTLABEL=x / ext4\n"));
        assert_eq!(refused(&answer), "");
        let DiskId::Gpt { partition, name, .. } = &answer.plan.identity.disk else { panic!("no GPT") };
        assert_eq!((partition.to_string().as_str(), name.as_str()), (GUID, "x"));
        // All at once, in several files.
        let command_line = ("boot/cmdline.txt", "root=PARTUUID=5eed5eed-01 rootwait");
        let answer = decide_for(None, false, Scheme::Mbr, &[("etc/fstab", &uuid), command_line]);
        assert_eq!((refused(&answer), answer.plan.uuid), (String::new(), Uuid::parse(UUID)));
        assert_eq!(answer.plan.identity, mbr(0x5eed_5eed, 1));
    }

    #[test]
    fn names_that_the_clone_cannot_have_are_refused() {
        let guid = format!("PARTUUID={GUID} / ext4");
        for (scheme, fstab, words) in [
            (Scheme::Mbr, "PARTUUID=5eed5eed-02 / ext4", "partition 1 in an MBR"),
            (Scheme::Mbr, "PARTUUID=00000000-01 / ext4", "PARTUUID"),
            (Scheme::Mbr, &*guid, "partition 1 in an MBR"),
            (Scheme::Mbr, "PARTLABEL=rootfs2 / ext4", "an MBR with other names"),
            (Scheme::Gpt, "PARTUUID=5eed5eed-01 / ext4", "partition 1 in a GPT"),
            (Scheme::Gpt, "LABEL=a-label-of-17-byte / ext4", "16 bytes at most"),
            (Scheme::Gpt, "UUID=ABCD-1234 / vfat", "a new UUID"),
            (Scheme::Gpt, "UUID=00000000-0000-0000-0000-000000000000 / ext4", "a new UUID"),
        ] {
            let refusal = refused(&foreign(scheme, fstab));
            assert!(refusal.starts_with("R-ROOT ") && refusal.contains(words), "{fstab}: {refusal:?}");
        }
        // Two files with different names.
        let files = [("etc/fstab", "LABEL=a / ext4"), ("boot/cmdline.txt", "root=LABEL=b")];
        let refusal = refused(&decide_for(None, false, Scheme::Mbr, &files));
        assert!(refusal.contains("/boot/cmdline.txt names the root LABEL=b"), "{refusal}");
        // Of a menu one entry is enough.
        let menu = [("boot/grub/grub.cfg", "linux root=LABEL=a\nlinux root=LABEL=b\n")];
        assert_eq!(refused(&decide_for(None, false, Scheme::Mbr, &menu)), "");
    }

    #[test]
    fn possible_problems_are_noted() {
        let fstab = "/dev/mmcblk0p2 / btrfs\nLABEL=data /data ext4\n";
        let answer = foreign(Scheme::Mbr, fstab);
        assert_eq!(refused(&answer), "");
        let notes = answer.notes.join("\n");
        for words in ["the root /dev/mmcblk0p2, and the clone has partition 1", "LABEL=data at /data"] {
            assert!(notes.contains(words), "{words:?} is not in {notes}");
        }
        assert_eq!(foreign(Scheme::Mbr, "/dev/mmcblk0p1 / ext4\nproc /proc proc\n").notes, [""; 0]);
    }

    #[test]
    fn an_own_tarball_gets_the_golden_names() {
        let fstab = format!("UUID={UUID} / ext4");
        let files = [("etc/fstab", fstab.as_str()), ("boot/cmdline.txt", "root=PARTUUID=5eed5eed-03")];
        let label = Some("golden".to_owned());
        let record = RootRecord::new(Uuid::parse(UUID), label.clone(), Some(&mbr(0x5eed_5eed, 3)));
        // The same board: also table and number, although the profile has others.
        for scheme in [Scheme::Mbr, Scheme::Gpt] {
            let answer = decide_for(Some(&record), true, scheme, &files);
            assert_eq!(refused(&answer), "");
            let expected = (mbr(0x5eed_5eed, 3), Uuid::parse(UUID), label.clone());
            assert_eq!((answer.plan.identity, answer.plan.uuid, answer.plan.label), expected);
            assert!(answer.notes.join("\n").contains("an MBR and partition 3 as on the golden medium"));
        }
        // Another board with another table: it can have UUID and label, but not the PARTUUID.
        let other = decide_for(Some(&record), false, Scheme::Gpt, &files);
        assert_eq!((other.plan.identity.number, other.plan.uuid), (1, Uuid::parse(UUID)));
        let refusal = refused(&other);
        assert!(refusal.starts_with("R-ROOT ") && refusal.contains("PARTUUID=5eed5eed-03"), "{refusal}");
        // There a kernel name may be that of another partition.
        let other = decide_for(Some(&record), false, Scheme::Gpt, &[("etc/fstab", "/dev/mmcblk0p3 / ext4")]);
        assert_eq!(refused(&other), "");
        assert!(other.notes.join("\n").contains("the clone has partition 1"), "{:?}", other.notes);
        // References of the golden files to other media are ignored.
        let stale = decide_for(Some(&record), true, Scheme::Mbr, &[("etc/fstab", "LABEL=elsewhere / ext4")]);
        assert_eq!(refused(&stale), "");
    }

    #[test]
    fn renamed_media_share_no_name_and_keep_their_layout() {
        for golden in [mbr(0x5eed_5eed, 3), gpt(7)] {
            for scheme in [Scheme::Mbr, Scheme::Gpt] {
                let record = RootRecord::new(Uuid::parse(UUID), Some("golden".into()), Some(&golden));
                let first = decide_for(Some(&record), true, scheme, &[]).plan;
                let mut second = first.clone();
                second.random = [8; 32];
                assert!(second.clashes_with(&first));
                second.rename();
                assert!(!second.clashes_with(&first));
                assert_eq!((second.uuid, second.label.as_deref()), (None, None));
                assert_ne!(second.identity.partuuid(), first.identity.partuuid());
                let layout = |plan: &RootPlan| (plan.identity.scheme(), plan.identity.number);
                assert_eq!(layout(&second), layout(&first));
                assert!(second.identity.has_valid_number());
            }
        }
    }
}
