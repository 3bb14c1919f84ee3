//! What media hold when a story begins: partition tables, boot areas, file systems, the golden root file system.
//!
//! Layouts are chosen so that stories can name byte ranges: a single partition starts at 4 MiB as those do that the
//! engine makes, and a second partition of an 8 MiB medium too. Everything is a function of name, seed and length.

mod golden;
mod layout;
mod tables;

pub use golden::{Fate, Golden, GoldenEntry, MARKER};
pub use layout::{Layout, Part, Role, Scheme};

use crate::content::{Entry, FileSystemContent, stamped};
use crate::pages::Pages;
use crate::remember::Remembered;
use crate::scenario::schema::{Content, FileSystemDamage, MediumSpec, Scenario};
use crate::simfs::{Damage, Kind};
use replicator_hal::Result;

/// So many contents differ by the story's seed.
const SEEDS: u64 = 2;

/// Media that were made before.
static MEDIA: Remembered<Pages> = Remembered::new(96);

/// Whose content it is: decides names, secrets and stamps.
#[derive(Debug, Clone)]
pub struct Owner<'a> {
    /// The medium's name.
    pub medium: &'a str,
    /// Root of randomness.
    pub seed: u64,
    /// Stamped sectors tell it: 0 on media, 1 in images, so that old and new bytes can be told apart.
    pub generation: u32,
}

impl<'a> Owner<'a> {
    /// Content of `medium` in a story.
    ///
    /// Of the story's seed little is left here, so that the contents of thousands of stories are few, and made once.
    pub fn in_story(scenario: &Scenario, medium: &'a str, generation: u32) -> Self {
        Self { medium, seed: scenario.seed % SEEDS, generation }
    }
}

/// The golden tree of a medium.
pub fn golden(owner: &Owner<'_>, var_log_link: Option<&str>) -> Golden {
    Golden::new(owner.medium, owner.seed ^ (u64::from(owner.generation) << 32), var_log_link)
}

/// The bytes of a medium as the story begins.
///
/// # Errors
/// If the content does not fit.
pub fn medium(spec: &MediumSpec, owner: &Owner<'_>) -> Result<Pages> {
    MEDIA.get_or_make(format!("{owner:?} {spec:?}"), || make_medium(spec, owner))
}

fn make_medium(spec: &MediumSpec, owner: &Owner<'_>) -> Result<Pages> {
    let mut golden = golden(owner, spec.var_log_link.as_deref()).file_system();
    golden.dirty = spec.dirty;
    golden.damage = match spec.damage {
        None => Damage::None,
        Some(FileSystemDamage::Repairable) => Damage::Repairable,
        Some(FileSystemDamage::Fatal) => Damage::Fatal,
    };
    let mut pages = build(spec.content, spec.len.0, owner, golden)?;
    if let Some(damage) = spec.table {
        tables::damage(damage, Layout::of(spec.content, spec.len.0).as_ref(), &mut pages);
    }
    Ok(pages)
}

/// The bytes of a medium that an image shows.
///
/// # Errors
/// If the content does not fit.
pub fn image(content: Content, len_bytes: u64, owner: &Owner<'_>) -> Result<Pages> {
    build(content, len_bytes, owner, golden(owner, None).file_system())
}

fn build(content: Content, len_bytes: u64, owner: &Owner<'_>, rootfs: FileSystemContent) -> Result<Pages> {
    let mut pages = Pages::zeros(len_bytes);
    let Some(layout) = Layout::of(content, len_bytes) else {
        if content == Content::Stamped {
            pages.write(0, &stamped(owner.medium, owner.generation, len_bytes));
        }
        return Ok(pages);
    };
    // What lies before the first partition is where boot loaders live: every byte of it counts.
    pages.write(0, &stamped(owner.medium, owner.generation, layout.first_start()));
    tables::write(&layout, owner.medium, &mut pages);
    for part in &layout.parts {
        let file_system = match part.role {
            Role::Rootfs => rootfs.clone(),
            Role::Boot => boot_partition(owner),
            Role::Data => data_partition(owner),
        };
        file_system.build(&mut pages, part.start_bytes, part.len_bytes)?;
    }
    Ok(pages)
}

fn boot_partition(owner: &Owner<'_>) -> FileSystemContent {
    let text = format!("boot script of {} generation {}\n", owner.medium, owner.generation);
    let entries = vec![
        Entry::file("boot.scr", text.repeat(20)),
        Entry::file("zImage", stamped("kernel", owner.generation, 60_000)),
        Entry::file("dtb/board.dtb", stamped("dtb", owner.generation, 9000)),
    ];
    FileSystemContent::new(Kind::Vfat, entries).label("boot")
}

fn data_partition(owner: &Owner<'_>) -> FileSystemContent {
    let text = format!("measurements of {} generation {}\n", owner.medium, owner.generation);
    let entries = vec![
        Entry::file("measurements.csv", text.repeat(300)).owner(1000, 1000),
        Entry::directory("log"),
        Entry::file("log/kept.log", "a log on a data partition is data\n"),
    ];
    FileSystemContent::new(Kind::Ext4, entries).label("data")
}
