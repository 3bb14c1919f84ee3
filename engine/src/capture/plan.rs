//! Plans what to capture. It only reads the drive and the media.

use super::sanitise;
use super::session::{Record, Session};
use super::work::{self, Work};
use crate::context::Context;
use crate::drive_file::read_small;
use crate::error::{Error, Refusal, Result};
use crate::media::{self, Medium};
use crate::names::{self, ImageName};
use crate::operation::Operation;
use crate::source_record::{self, SourceRecord};
use crate::verify::CapturedBefore;
use replicator_hal::{FileKind, RelativePath};

/// One medium of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The medium.
    pub medium: Medium,
    /// Why it is not captured now; `None` if it is.
    pub skip: Option<String>,
    /// The finished image, if it was captured already in this session.
    pub(super) captured: Option<CapturedBefore>,
}

impl Item {
    /// The plan in words.
    pub fn line(&self) -> String {
        let name = self.medium.name();
        match &self.skip {
            Some(reason) => format!("plan: {name} is not captured: {reason}"),
            None => format!("plan: capture {name} from {}", self.medium.device_text()),
        }
    }
}

/// What a capture would do. Only reads.
///
/// # Errors
/// `SessionOfAnotherUnit`, `MediumAbsent` if an unfinished capture cannot be resumed here; `WouldReplace` if an image is
/// there; `MediumBusy` if a medium is in use; `NothingToDo`; and those of the rule file and the drive.
pub fn plan(context: &Context<'_>) -> Result<Vec<Item>> {
    let operation = context.operation("capture", "capture");
    let work = Work::new(context.drive)?;
    let session = Session::look(&operation, &work)?;
    if let Session::Begun(record) = &session {
        record.check_unit(&context.profile.name, context.media)?;
    }
    // An error in the rule file must show here, and not after an hour of copying.
    sanitise::load(context, &operation)?;
    let names: Vec<Vec<u8>> = operation
        .retry(|| context.drive.list(&RelativePath::root()))
        .map_err(Error::hal("listing the drive's root"))?
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    let mut items = Vec::new();
    for medium in context.media {
        items.push(item(context, &operation, &session, medium, &names)?);
    }
    if let Session::Begun(record) = &session {
        check_nothing_is_missing(context, record, &items)?;
    }
    let is_to_do = items.iter().any(|item| item.skip.is_none());
    let is_done = items.iter().any(|item| item.captured.is_some());
    if !is_to_do && !is_done {
        let reasons: Vec<String> = items
            .iter()
            .map(|item| format!("{}: {}", item.medium.name(), item.skip.as_deref().unwrap_or_default()))
            .collect();
        let reasons =
            if reasons.is_empty() { "the board has no media".to_owned() } else { reasons.join("; ") };
        return Err(Error::refused(Refusal::NothingToDo, format!("there is nothing to capture: {reasons}")));
    }
    Ok(items)
}

fn item(
    context: &Context<'_>,
    operation: &Operation<'_>,
    session: &Session,
    medium: &Medium,
    names: &[Vec<u8>],
) -> Result<Item> {
    let skipped =
        |reason: &str| Item { medium: medium.clone(), skip: Some(reason.to_owned()), captured: None };
    if let Some(image) = names::choose(medium.name(), names) {
        if session == &Session::None {
            return Err(Error::refused(Refusal::WouldReplace, format!("{image} is on the drive already")));
        }
        let captured = captured_before(context, operation, medium, image)?;
        return Ok(Item { captured: Some(captured), ..skipped("captured already") });
    }
    if context.options.skip_capture.contains(medium.name()) {
        return Ok(skipped("an option excludes it"));
    }
    let Some(device) = &medium.device else { return Ok(skipped("no medium inserted")) };
    media::check_not_in_use(medium.name(), device)?;
    Ok(Item { medium: medium.clone(), skip: None, captured: None })
}

/// Checks by its record that a finished image was made by this session, from this unit's medium.
fn captured_before(
    context: &Context<'_>,
    operation: &Operation<'_>,
    medium: &Medium,
    image: ImageName,
) -> Result<CapturedBefore> {
    let name = SourceRecord::file_name(medium.name());
    let path = work::in_root(&name)?;
    let is_file = work::kind_of(operation, &context.drive, &path)? == Some(FileKind::File);
    let record = if is_file {
        let content = operation
            .retry(|| read_small(&context.drive, &path, source_record::LIMIT_BYTES))
            .map_err(Error::hal(format!("reading {name} on the drive")))?;
        SourceRecord::parse(&content)
    } else {
        None
    };
    let identity = medium.device.as_ref().and_then(|device| device.identity.as_deref());
    CapturedBefore::check(image, record.as_ref(), identity)
}

/// Refuses to continue without a medium for which the session was begun.
fn check_nothing_is_missing(context: &Context<'_>, record: &Record, items: &[Item]) -> Result<()> {
    for recorded in &record.media {
        let item = items.iter().find(|item| item.medium.name() == recorded.name);
        let is_there = item.is_some_and(|item| item.captured.is_some() || item.medium.device.is_some());
        if !is_there && !context.options.skip_capture.contains(&recorded.name) {
            return Err(Error::refused(
                Refusal::MediumAbsent,
                format!("the unfinished capture includes {}, which is not present now", recorded.name),
            ));
        }
    }
    Ok(())
}
