//! The content of media at the beginning of a scenario: partition tables, boot areas, file systems, the golden root
//! file system.
//!
//! Layouts are chosen so that scenarios can name byte ranges: a single partition starts at 4 MiB, like those that the
//! engine makes, and so does the second partition of an 8 MiB medium. Everything is a function of name, seed and
//! length.

mod areas;
mod golden;
mod held;
mod layout;
mod parts;
mod secrets;
mod tables;

pub use areas::SWAP_PAGE_LEN;
pub use golden::{Fate, Golden, GoldenEntry};
pub use held::{Held, held, held_in, kept_secrets};
pub use layout::{Layout, Part};
pub use secrets::{MARKER, find_all, number_of};
pub(in crate::scenario) use tables::lengthen_last_logical;

use crate::model::bytes::pages::Pages;
use crate::model::hardware::content::stamped;
use crate::scenario::cache::Cache;
use crate::scenario::composition::Gap;
use crate::scenario::schema::{Content, FileSpec, MediumSpec, Scenario};
use replicator_hal::Result;
use secrets::Secrets;
use std::sync::LazyLock;

/// Number of different contents that depend on the scenario's seed.
const SEEDS: u64 = 2;

/// Media that were already made.
static MEDIA: LazyLock<Cache<Key<MediumSpec>, Pages>> = LazyLock::new(|| Cache::new(96));

/// Key of a cached content: medium, seed and generation of its owner, and its description.
pub(super) type Key<S> = (String, u64, u32, S);

/// The owner of a content: decides names, secrets and stamps.
#[derive(Debug, Clone)]
pub struct Owner<'a> {
    /// The medium's name.
    pub medium: &'a str,
    /// Root of randomness.
    pub seed: u64,
    /// Part of stamped sectors: 0 on media, 1 in images, to distinguish old bytes from new ones.
    pub generation: u32,
}

impl<'a> Owner<'a> {
    /// Content of `medium` in a scenario.
    ///
    /// Only a part of the scenario's seed is used, so that thousands of scenarios share few contents, each made once.
    pub fn in_scenario(scenario: &Scenario, medium: &'a str, generation: u32) -> Self {
        Self { medium, seed: scenario.seed % SEEDS, generation }
    }
}

/// Where the bootloader of a gap starts, and how long it is.
const BOOTLOADER: (u64, u64) = (8 << 10, 24 << 10);

impl Owner<'_> {
    /// The key of a content of this owner.
    pub(super) fn key<S: Clone>(&self, spec: &S) -> Key<S> {
        (self.medium.to_owned(), self.seed, self.generation, spec.clone())
    }

    /// Makes the secrets of a partition.
    fn secrets(&self, part: Option<&Part>) -> Secrets {
        let tag = match part.filter(|part| part.is_listed) {
            Some(part) => format!("{}.{}", self.medium, part.number),
            None => self.medium.to_owned(),
        };
        Secrets::new(&tag, self.seed ^ (u64::from(self.generation) << 32))
    }
}

/// The golden tree of a medium without special properties.
pub fn golden(owner: &Owner<'_>, var_log_link: Option<&str>) -> Golden {
    Golden::rootfs(owner.secrets(None), var_log_link, None).finish()
}

/// The bytes of a medium at the beginning of the scenario.
///
/// # Errors
/// If the content does not fit.
pub fn medium(spec: &MediumSpec, owner: &Owner<'_>) -> Result<Pages> {
    MEDIA.get_or_make(owner.key(spec), || {
        let layout = Layout::of_medium(spec).map_err(|(_, what)| parts::invalid(owner.medium, &what))?;
        let mut pages = build(spec.content, layout.as_ref(), spec.len.0, owner)?;
        if let Some(damage) = spec.table {
            tables::damage(damage, layout.as_ref(), &mut pages);
        }
        Ok(pages)
    })
}

/// The bytes of the medium that an image contains.
///
/// # Errors
/// If the content does not fit.
pub fn image(file: &FileSpec, owner: &Owner<'_>) -> Result<Pages> {
    let len_bytes = file.shown_len().0;
    let layout = Layout::of_image(file, len_bytes).map_err(|(_, what)| parts::invalid(&file.name, &what))?;
    build(file.image.unwrap_or(Content::Blank), layout.as_ref(), len_bytes, owner)
}

fn build(content: Content, layout: Option<&Layout>, len_bytes: u64, owner: &Owner<'_>) -> Result<Pages> {
    let mut pages = Pages::zeros(len_bytes);
    let Some(layout) = layout else {
        if content == Content::Stamped {
            pages.write(0, &stamped(owner.medium, owner.generation, len_bytes));
        }
        return Ok(pages);
    };
    write_gap(layout, owner, &mut pages);
    tables::write(layout, owner.medium, &mut pages);
    for part in &layout.parts {
        parts::build(layout, part, owner, &mut pages)?;
    }
    Ok(pages)
}

/// Boot loaders are stored before the first partition, so every byte of it must be kept.
fn write_gap(layout: &Layout, owner: &Owner<'_>, pages: &mut Pages) {
    let room = layout.first_start();
    match layout.gap {
        Gap::Usual if layout.parts.len() == 1 => {}
        Gap::Usual | Gap::Stamped => pages.write(0, &stamped(owner.medium, owner.generation, room)),
        Gap::Bootloader => {
            let (start, len) = BOOTLOADER;
            let name = format!("bootloader of {}", owner.medium);
            let len = len.min(room.saturating_sub(start));
            pages.write(start.min(room), &stamped(&name, owner.generation, len));
        }
        Gap::Zeros => {}
    }
}
