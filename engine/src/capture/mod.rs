//! Captures a board's media to image files on the drive.
//!
//! A capture is a session: a directory on the drive. While it exists, every boot continues the capture, and no boot
//! writes to a medium. Each medium is copied whole into a working image. All other steps (check, sanitise, pack) change
//! the image only, so the source keeps every byte. A finished file gets its final name last.

// This module works with lists of ranges, and some lists have one range.
#![allow(clippy::single_range_in_vec_init)]

mod as_tarball;
mod beside;
mod captured;
mod checksums;
mod commit;
mod content_size;
mod copy;
mod digest_list;
mod free_space;
mod gap;
mod give_back;
mod give_back_files;
mod layout;
mod locks;
mod marks;
mod medium;
mod mounted;
mod pack_disk;
mod pack_tar;
mod packer;
mod plan;
mod private_keys;
mod remains;
mod rootfs;
mod sanitise;
mod sanitise_medium;
mod session;
mod subvolumes;
mod survey;
mod tar_entries;
mod tree;
mod wipe;
mod work;

#[cfg(test)]
mod tests;

pub use captured::Captured;
pub(crate) use marks::on_medium as marks_on_medium;
pub use plan::{Item, plan};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::media::Medium;
use crate::operation::Operation;
use crate::report::{Done, End, Outcome};
use crate::sanitise_rules::Rules;
use captured::Files;
use commit::Published;
use replicator_hal::{self as hal, Access, ErrorKind, FileKind, ReadTree, RelativePath};
use session::{Record, Session};
use std::time::Duration;
use work::Work;

/// Whether an unfinished capture is on the drive.
///
/// # Errors
/// If the drive cannot be read.
pub(crate) fn session_exists(drive: &dyn ReadTree) -> hal::Result<bool> {
    let path = RelativePath::root()
        .join(work::DIRECTORY)
        .map_err(|error| hal::Error::new(ErrorKind::InvalidInput, "naming", "", error.to_string()))?;
    match drive.metadata(&path) {
        Ok(metadata) => Ok(metadata.kind == FileKind::Directory),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Captures the media one after the other, and stops at the first failure. The drive is read-only again at the end. The
/// result still has to be compared with what the drive holds after the last write.
pub fn run(context: &Context<'_>, items: Vec<Item>) -> Captured {
    let operation = context.operation("capture", "capture");
    let mut failure = None;
    let mut outcomes = Vec::new();
    let mut files = Vec::new();
    match begin(context, &operation, &items) {
        Ok((work, rules)) => {
            outcomes = capture_all(context, &work, rules.as_ref(), &items, &mut files);
            if work.was_copy_cut() && rules.is_some() {
                report_cut_copy(&operation, &mut outcomes);
            }
            if !outcomes.iter().any(|outcome| matches!(outcome.end, End::Failed(_))) {
                failure = work.remove(&operation).err();
            }
        }
        Err(error) => {
            failure = Some(error);
            outcomes.extend(items.iter().map(|item| not_begun(item, "the capture could not begin")));
        }
    }
    let read_only =
        context.drive.remount(Access::ReadOnly).map_err(Error::hal("making the drive read-only again"));
    for error in failure.into_iter().chain(read_only.err()) {
        fail(&operation, &items, &mut outcomes, error);
    }
    Captured::new(context.tuning, outcomes, files)
}

/// Reports what an interrupted copy may have left on the drive: with the first captured medium, else on the console
/// alone.
fn report_cut_copy(operation: &Operation<'_>, outcomes: &mut [Outcome]) {
    let captured = outcomes.iter_mut().find_map(|outcome| match &mut outcome.end {
        End::Done(done) => Some(done),
        _ => None,
    });
    match captured {
        Some(done) => done.notes.push(work::CUT_COPY.to_owned()),
        None => operation.short_step(work::CUT_COPY),
    }
}

/// Makes the drive writable and the session durable.
fn begin<'a>(
    context: &Context<'a>,
    operation: &Operation<'_>,
    items: &[Item],
) -> Result<(Work<'a>, Option<Rules>)> {
    let rules = sanitise::load(context, operation)?;
    let work = Work::new(context.drive)?;
    context.drive.remount(Access::ReadWrite).map_err(Error::hal("making the drive writable"))?;
    let of_interest = |item: &&Item| item.skip.is_none() || item.captured.is_some();
    let media: Vec<&Medium> = items.iter().filter(of_interest).map(|item| &item.medium).collect();
    let mut record = Record::of(context.version, &context.profile.name, &media);
    if let Session::Begun(earlier) = Session::look(operation, &work)? {
        record = record.with_media_of(&earlier);
    }
    session::begin(operation, &work, &record, rules.is_some())?;
    Ok((work, rules))
}

fn capture_all(
    context: &Context<'_>,
    work: &Work<'_>,
    rules: Option<&Rules>,
    items: &[Item],
    files: &mut Vec<(usize, Files)>,
) -> Vec<Outcome> {
    let mut has_failed = false;
    let mut outcomes = Vec::new();
    for (number, item) in items.iter().enumerate() {
        if let Some(captured) = &item.captured {
            files.push((number, Files::Before(captured.clone())));
        }
        let outcome = if item.skip.is_some() {
            not_begun(item, "")
        } else if has_failed {
            not_begun(item, "not begun: an earlier medium failed")
        } else {
            let (outcome, published) = capture_one(context, work, rules, &item.medium);
            files.extend(published.map(|published| (number, Files::Now(published))));
            outcome
        };
        has_failed |= matches!(outcome.end, End::Failed(_));
        outcomes.push(outcome);
    }
    outcomes
}

fn capture_one(
    context: &Context<'_>,
    work: &Work<'_>,
    rules: Option<&Rules>,
    medium: &Medium,
) -> (Outcome, Option<Published>) {
    let name = medium.name();
    let operation = context.operation(name, format!("{name}-capture"));
    let started = context.board.clock.monotonic();
    let result = medium::capture(context, &operation, work, rules, medium);
    let elapsed = context.board.clock.monotonic().saturating_sub(started);
    let (published, end) = match result {
        Ok((published, done)) => {
            let end = match operation.check_lease() {
                Ok(()) => End::Done(done),
                Err(error) => End::Failed(error),
            };
            (Some(published), end)
        }
        Err(error) => (None, End::Failed(error)),
    };
    if let End::Failed(error) = &end {
        operation.log(&format!("failed: {error}"));
    }
    let image = published.as_ref().map(|published| published.image.clone());
    (outcome(medium, image, end, elapsed), published)
}

/// The outcome of a medium that this boot does not capture. A medium that an earlier boot captured is done.
fn not_begun(item: &Item, otherwise: &str) -> Outcome {
    let end = match (&item.captured, &item.skip) {
        (Some(captured), reason) => {
            End::Done(Done::captured_before(captured, reason.iter().cloned().collect()))
        }
        (None, reason) => End::Skipped(reason.clone().unwrap_or_else(|| otherwise.to_owned())),
    };
    outcome(
        &item.medium,
        item.captured.as_ref().map(|captured| captured.image().to_string()),
        end,
        Duration::ZERO,
    )
}

fn outcome(medium: &Medium, image: Option<String>, end: End, elapsed: Duration) -> Outcome {
    Outcome::of_medium(medium.name(), medium.device.as_ref(), image, end, elapsed)
}

/// Reports a failure of the whole capture as the failure of one medium, so that the run does not succeed. It never
/// replaces an earlier failure.
fn fail(operation: &Operation<'_>, items: &[Item], outcomes: &mut [Outcome], error: Error) {
    operation.log(&format!("failed: {error}"));
    if outcomes.iter().any(|outcome| matches!(outcome.end, End::Failed(_))) {
        return;
    }
    let to_do = items.iter().position(|item| item.skip.is_none());
    let done = items.iter().position(|item| item.captured.is_some());
    if let Some(outcome) = outcomes.get_mut(to_do.or(done).unwrap_or(0)) {
        outcome.end = End::Failed(error);
    }
}
