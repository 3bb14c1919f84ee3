//! What the file system and the partition of a tarball will be called, so that the clone finds its root; and whether it
//! can.
//!
//! - Our own tarball gets the names of the golden medium, out of its record: table and partition number too, on the board
//!   that it was captured on.
//! - Any other gets those by which its own files name their root: `/etc/fstab` first, then the files that boards boot by.
//!
//! A clone that provably does not find its root is refused before anything is erased, unless `[write] any_root` says
//! otherwise: a UUID, label or partition that it will not have. What only may go wrong is told: kernel names of other
//! partitions, other file systems that fstab wants.

use crate::capture::root_record::RootRecord;
use crate::error::{Error, Refusal};
use crate::formats::partition::{DiskId, Guid, Identity, Scheme};
use crate::fstab::Spec;
use crate::root_names::{Reference, Role};
use replicator_hal::Uuid;
use std::collections::BTreeSet;

/// Longest label of an ext file system.
const LABEL_LEN_MAX_BYTES: usize = 16;

/// What a new root file system will be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootPlan {
    /// Disk and partition.
    pub identity: Identity,
    /// The file system; a random UUID if there is none.
    pub uuid: Option<Uuid>,
    /// Its label.
    pub label: Option<String>,
    /// A new identity for a medium that must not have the same as another one.
    pub spare: Identity,
}

/// What is known of a tarball and its medium.
pub(super) struct Question<'a> {
    /// The image, for messages.
    pub(super) image: &'a str,
    /// The record of the capture that made this very tarball.
    pub(super) record: Option<&'a RootRecord>,
    /// Whether it was captured on this board.
    pub(super) same_board: bool,
    /// By which names the files in the archive call file systems, fstab first.
    pub(super) references: &'a [Reference],
    /// New names, with the table that the profile wants.
    pub(super) fresh: Identity,
}

/// An answer, with what is worth knowing and what stands against it.
pub(super) struct Answer {
    pub(super) plan: RootPlan,
    pub(super) notes: Vec<String>,
    pub(super) refusal: Option<Error>,
}

/// Decides.
pub(super) fn decide(question: &Question<'_>) -> Answer {
    let mut notes = Vec::new();
    let spare = question.fresh.clone();
    let mut plan = RootPlan { identity: question.fresh.clone(), uuid: None, label: None, spare };
    let problems = match question.record {
        Some(record) => of_record(question, record, &mut plan, &mut notes),
        None => of_references(question.references, &mut plan),
    };
    if question.record.is_none() {
        notes.extend(told(question.references, &plan));
    }
    let refusal = (!problems.is_empty()).then(|| {
        let what = format!("{}: {}; the clone would not find its root", question.image, problems.join("; "));
        Error::refused(Refusal::RootNotFound, what)
    });
    Answer { plan, notes, refusal }
}

/// The golden medium's names. Its own files are right about them, or it would not boot either; so only what the clone
/// has otherwise can go wrong.
fn of_record(
    question: &Question<'_>,
    record: &RootRecord,
    plan: &mut RootPlan,
    notes: &mut Vec<String>,
) -> Vec<String> {
    plan.uuid = record.uuid();
    plan.label = record.label.clone().filter(|label| fits_label(label));
    if let Some(golden) = record.identity() {
        if question.same_board || golden.scheme() == question.fresh.scheme() {
            if golden.scheme() != question.fresh.scheme() || golden.number != 1 {
                let table = table_name(golden.scheme());
                notes.push(format!("{table} and partition {} as on the golden medium", golden.number));
            }
            plan.identity = golden;
        }
    }
    let golden = RootPlan {
        identity: record.identity().unwrap_or_else(|| plan.spare.clone()),
        label: record.label.clone(),
        ..plan.clone()
    };
    let is_lost = |reference: &Reference| {
        !matches!(reference.role, Role::Other(_))
            && golden.answers(&reference.spec) == Some(true)
            && plan.answers(&reference.spec) == Some(false)
    };
    let mut problems: BTreeSet<String> = BTreeSet::new();
    problems
        .extend(question.references.iter().filter(|found| is_lost(found)).map(|found| unmet(found, plan)));
    problems.into_iter().collect()
}

/// The names that the archive's files ask for; what stays unmet is returned.
fn of_references(references: &[Reference], plan: &mut RootPlan) -> Vec<String> {
    let roots: Vec<&Reference> =
        references.iter().filter(|found| !matches!(found.role, Role::Other(_))).collect();
    let mut has_partuuid = false;
    for reference in &roots {
        match &reference.spec {
            // Zeros mean that there is none.
            Spec::Uuid(text) if plan.uuid.is_none() => {
                plan.uuid = Uuid::parse(text).filter(|uuid| uuid.0 != [0; 16]);
            }
            Spec::Label(text) if plan.label.is_none() && fits_label(text) => plan.label = Some(text.clone()),
            Spec::PartUuid(text) if !has_partuuid => has_partuuid = plan.take_partuuid(text),
            Spec::PartLabel(text) => plan.take_part_label(text),
            _ => {}
        }
    }
    let is_unmet = |reference: &Reference| plan.answers(&reference.spec) == Some(false);
    let mut problems: Vec<String> = Vec::new();
    for reference in roots.iter().filter(|reference| is_unmet(reference)) {
        // Of several ways to boot one is enough.
        let mut others = roots.iter().filter(|other| other.file == reference.file);
        if reference.role == Role::Menu && others.any(|other| plan.answers(&other.spec) == Some(true)) {
            continue;
        }
        let problem = unmet(reference, plan);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

impl RootPlan {
    /// Whether `spec` finds this root; `None` if names do not tell.
    fn answers(&self, spec: &Spec) -> Option<bool> {
        let same =
            |text: &str, ours: Option<String>| ours.is_some_and(|ours| ours.eq_ignore_ascii_case(text));
        match spec {
            Spec::Uuid(text) => Some(same(text, self.uuid.map(|uuid| uuid.to_string()))),
            Spec::Label(text) => Some(self.label.as_ref() == Some(text)),
            // The kernel counts on from another partition: PARTUUID=...-01/PARTNROFF=1.
            Spec::PartUuid(text) if text.contains('/') => None,
            Spec::PartUuid(text) => Some(same(text, self.identity.partuuid())),
            Spec::PartLabel(text) => Some(match &self.identity.disk {
                DiskId::Mbr { .. } => false,
                DiskId::Gpt { name, .. } => name == text,
            }),
            Spec::Partition { .. } | Spec::Other(_) => None,
        }
    }

    /// Takes the signature or GUID of a `PARTUUID`, if the table can have it.
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

    /// Takes the name of a partition, if the table has names.
    fn take_part_label(&mut self, text: &str) {
        if let DiskId::Gpt { name, .. } = &mut self.identity.disk {
            if text.encode_utf16().count() <= 36 {
                text.clone_into(name);
            }
        }
    }

    /// The identities that no two media of a unit may share.
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

    /// Gives up every name that another medium has; number and table stay.
    pub(super) fn rename(&mut self) {
        let number = self.identity.number;
        let disk = match (&self.identity.disk, &self.spare.disk) {
            (DiskId::Mbr { kind, .. }, DiskId::Mbr { signature, .. }) => {
                DiskId::Mbr { signature: *signature, kind: *kind }
            }
            (DiskId::Gpt { kind, .. }, DiskId::Gpt { disk, partition, name, .. }) => {
                DiskId::Gpt { disk: *disk, partition: *partition, kind: *kind, name: name.clone() }
            }
            (_, spare) => spare.clone(),
        };
        self.identity = Identity { disk, number };
        self.uuid = None;
        self.label = None;
    }
}

/// Why a name finds nothing.
fn unmet(reference: &Reference, plan: &RootPlan) -> String {
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

/// What may go wrong, or makes a system wait for what is not there.
fn told(references: &[Reference], plan: &RootPlan) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for reference in references {
        let (file, spec) = (&reference.file, &reference.spec);
        let is_other_partition =
            matches!(spec, Spec::Partition { number, .. } if *number != plan.identity.number);
        let note = match &reference.role {
            Role::Other(at) if plan.answers(spec) == Some(false) || is_partition(spec) => {
                format!("/{file} wants {spec} at {at}, which is not on this medium")
            }
            Role::Root | Role::Menu if is_other_partition => {
                format!("/{file} names the root {spec}, and the clone has partition {}", plan.identity.number)
            }
            Role::Root if is_device_of_a_layer(spec) => {
                format!("/{file} names the root {spec}, and the clone has a plain partition")
            }
            _ => match reference.kind.as_deref() {
                Some(kind) if !matches!(kind, "auto" | "ext2" | "ext3" | "ext4" | "rootfs") => {
                    format!("/{file} says that the root is {kind}, and the clone has ext")
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

/// LVM, LUKS, RAID, UBI: a tarball becomes none of them.
fn is_device_of_a_layer(spec: &Spec) -> bool {
    const LAYERS: [&str; 4] = ["/dev/mapper/", "/dev/md", "ubi", "/dev/ubi"];
    matches!(spec, Spec::Other(name) if LAYERS.iter().any(|layer| name.starts_with(layer)))
}

fn fits_label(text: &str) -> bool {
    // What cannot be read back as it was written: blanks at the end, and what was no UTF-8 on the golden medium.
    let is_whole = text.trim_end() == text && !text.contains(['\0', char::REPLACEMENT_CHARACTER]);
    !text.is_empty() && text.len() <= LABEL_LEN_MAX_BYTES && is_whole
}

fn table_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Mbr => "an MBR",
        Scheme::Gpt => "a GPT",
    }
}
