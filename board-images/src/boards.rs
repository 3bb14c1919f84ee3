//! `replicator boards`: the profiles in words.

use crate::cli::BoardsArgs;
use crate::profiles;
use crate::usage::UsageError;
use replicator_engine::profile::{MediumProfile, Profile};

/// The text that the command prints.
pub(crate) fn text(args: &BoardsArgs) -> Result<String, UsageError> {
    match &args.check {
        Some(path) => {
            let profile = profiles::read(path)?;
            Ok(format!("{}\n{}: valid\n", describe(&profile), path.display()))
        }
        None => Ok(profiles::embedded()?.iter().map(describe).collect::<Vec<_>>().join("\n")),
    }
}

fn describe(profile: &Profile) -> String {
    let mut text = format!("{}: {}\n", profile.name, profile.products.join(", "));
    for medium in &profile.media {
        text.push_str(&format!("    {:<5} {}\n", medium.name, place(medium)));
    }
    text
}

/// Where a medium is found and what it gets, in one line.
fn place(medium: &MediumProfile) -> String {
    let mut parts = vec![format!("{:?}", medium.kind).to_lowercase()];
    match (&medium.controller, &medium.device) {
        (Some(controller), Some(device)) => parts.push(format!("on {controller}, else {device}")),
        (Some(controller), None) => parts.push(format!("on {controller}")),
        (None, Some(device)) => parts.push(device.clone()),
        (None, None) => parts.push("by --media".to_owned()),
    }
    parts.push(format!("tarballs as {:?}", medium.file_system).to_lowercase());
    if medium.rootfs_partition != 1 {
        parts.push(format!("rootfs in partition {}", medium.rootfs_partition));
    }
    if !medium.only.is_empty() {
        parts.push(format!("only {}", medium.only.join(", ")));
    }
    parts.join("; ")
}
