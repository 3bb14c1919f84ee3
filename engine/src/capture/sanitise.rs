//! Sanitises a root file system in the image: rules and hooks remove what must not be cloned.
//!
//! Everything here happens inside of the mounted image. No rule follows a symlink out of it. If a rule fails, the capture
//! fails: an image with secrets in it is worse than no image.

pub(super) mod apply;
mod first_boot;
mod first_boot_script;
mod hooks;
pub(super) mod host_keys;
mod swap_files;

use super::locks::Locks;
use super::private_keys::PrivateKeys;
use super::{checksums, work};
use crate::context::Context;
use crate::drive_file::read_small;
use crate::error::{Error, Refusal, Result};
use crate::formats::text;
use crate::operation::Operation;
use crate::options::HostKeys;
use crate::sanitise_rules::{Action, Place, Rule, Rules};
use crate::source_record::stamp;
use first_boot_script::Wanted;
use host_keys::HostKey;
use replicator_hal::{self as hal, RelativePath, Volume, WriteTree};
use std::collections::BTreeSet;

/// The file in the image that has the date of the capture.
const VERSION_FILE: &str = "root.version-cust";

/// Longest rule file that is read; the parser's own limit is smaller.
const RULES_LIMIT_BYTES: usize = 128 * 1024;

/// The rules from the drive, or the built-in rules; `None` if the options turn sanitising off.
///
/// # Errors
/// `BadOptions` if the rule file is missing or has a fault.
pub(super) fn load(context: &Context<'_>, operation: &Operation<'_>) -> Result<Option<Rules>> {
    let settings = &context.options.settings.capture;
    if !settings.sanitise {
        return Ok(None);
    }
    let Some(file) = &settings.rules else {
        return Rules::built_in()
            .map(Some)
            .map_err(|error| Error::Internal { detail: format!("the default rules: {error}") });
    };
    let bad = |detail: String| Error::refused(Refusal::BadOptions, format!("rule file {file}: {detail}"));
    let path = RelativePath::parse(file).map_err(|error| bad(error.to_string()))?;
    let content = operation
        .retry(|| {
            let resolved = context.drive.resolve(&path)?;
            read_small(&context.drive, &resolved, RULES_LIMIT_BYTES)
        })
        .map_err(|error| bad(error.to_string()))?;
    let text = text::decode(&content).map_err(|error| bad(error.to_string()))?;
    Rules::parse(text).map(Some).map_err(|error| bad(error.to_string()))
}

/// Sanitises a root file system of `medium`, in its partition `number`, mounted as `volume`.
///
/// Rules that make files come last, so that a full file system has room by then. `elsewhere` are the numbers of the rules
/// that matched something in other file systems. If `is_packed_as_files`, the list of digests is made when the files are
/// packed, and not here. Returns lines for the report.
pub(super) fn sanitise(
    context: &Context<'_>,
    operation: &Operation<'_>,
    rules: &Rules,
    elsewhere: &BTreeSet<usize>,
    (medium, number): (&str, u32),
    is_packed_as_files: bool,
    volume: &dyn Volume,
) -> Result<Vec<String>> {
    let hook = |name| hooks::run(context, operation, name, (medium, number), volume);
    let locks = Locks::clear(operation, volume)?;
    hook("sanitise-before")?;
    let keys = host_keys::present(operation, &volume)?;
    let settings = &context.options.settings.capture;
    let wanted = match settings.host_keys {
        HostKeys::FirstBoot => Some(first_boot::wanted(operation, &volume, &keys)?),
        HostKeys::System => None,
    };
    for makes_files in [false, true] {
        for (number, rule) in rules.rules.iter().enumerate() {
            if rule.place != Place::Root || (rule.action == Action::Touch) != makes_files {
                continue;
            }
            operation.board.leds.renew(operation.tuning.tool_lease);
            let is_matched = apply::apply(operation, &volume, rule, &apply::Base::root())?;
            if rule.required && !is_matched && !elsewhere.contains(&number) {
                return Err(missing(rule));
            }
        }
    }
    if settings.rules.is_none() {
        for key in &keys {
            host_keys::remove(operation, &volume, key)?;
        }
    }
    hook("sanitise-after")?;
    let mut notes = Vec::new();
    notes.extend(make_keys_again(operation, wanted, keys, &volume)?);
    let swap_files = swap_files::clear_all(operation, &volume)?;
    write_version(context, operation, &volume)?;
    let private_keys = match is_packed_as_files {
        true => checksums::remove_list(operation, &volume).map(|()| PrivateKeys::default()),
        false => checksums::write_list(operation, &volume),
    }?;
    locks.restore(operation, volume)?;
    operation.board.leds.renew(operation.tuning.tool_lease);
    volume.sync().map_err(Error::hal("syncing the image"))?;
    notes.extend(swap_files::note(&swap_files));
    notes.extend(private_keys.notes());
    Ok(notes)
}

/// Writes the list of digests into a root file system that was sanitised for a tarball and becomes a disk image. Returns
/// lines for the report.
pub(super) fn add_list(operation: &Operation<'_>, volume: &dyn Volume) -> Result<Vec<String>> {
    let locks = Locks::clear(operation, volume)?;
    let private_keys = checksums::write_list(operation, &volume)?;
    locks.restore(operation, volume)?;
    volume.sync().map_err(Error::hal("syncing the image"))?;
    Ok(private_keys.notes())
}

/// Makes sure that a clone makes new host keys for those that were removed: by a script for the first boot, if one is
/// `wanted`. Returns a line for the report if nothing known makes them.
fn make_keys_again(
    operation: &Operation<'_>,
    wanted: Option<Vec<(HostKey, Wanted)>>,
    keys: Vec<HostKey>,
    volume: &dyn WriteTree,
) -> Result<Option<String>> {
    let mut gone = Vec::new();
    for key in keys {
        if host_keys::is_removed(operation, &volume, &key)? {
            gone.push(key);
        }
    }
    if gone.is_empty() && !host_keys::has_server(operation, &volume)? {
        return Ok(None);
    }
    if let Some(mut wanted) = wanted {
        wanted.retain(|(key, _)| gone.contains(key));
        first_boot::install(operation, volume, wanted.into_iter().map(|(_, wanted)| wanted).collect())?;
        return Ok(Some("ssh host keys are made at the first boot".to_owned()));
    }
    if host_keys::are_made_at_boot(operation, &volume)? {
        return Ok(None);
    }
    let what = "nothing in the image is known to make ssh host keys at first boot: without them a clone cannot be reached \
                by ssh; set host_keys = \"first-boot\" under [capture]";
    Ok(Some(what.to_owned()))
}

/// The error for a required rule that matches nothing.
pub(super) fn missing(rule: &Rule) -> Error {
    let detail = "nothing matches this required rule".to_owned();
    Error::Sanitise { rule: rule.what.clone(), detail }
}

/// The date of the capture as its only line, in UTC, as `date -u +%Y-%m-%dT%H:%M:%SZ` prints it.
fn write_version(context: &Context<'_>, operation: &Operation<'_>, volume: &dyn WriteTree) -> Result<()> {
    let text = format!("{}\n", stamp(context.board.clock.wall()));
    let path = work::in_root(VERSION_FILE)?;
    work::remove_if_there(operation, volume, &path)?;
    let doing = || format!("writing /{VERSION_FILE} in the image");
    let mut file = operation.retry(|| volume.create_new(&path, 0o644)).map_err(Error::hal(doing()))?;
    hal::io::write_full(text.as_bytes(), |at, rest| operation.retry(|| file.write_at(at, rest)))
        .and_then(|()| file.close())
        .map_err(Error::hal(doing()))
}
