//! Converts the command line to a request for the engine.

use crate::cli::RunArgs;
use crate::profiles;
use crate::usage::UsageError;
use replicator_engine::boot::Request;
use replicator_engine::drive::DriveChoice;
use replicator_engine::profile::{self, BoardChoice, MediumKind, Profile};
use replicator_engine::tuning::Tuning;
use replicator_hal::DeviceName;
use std::collections::BTreeMap;
use std::path::Path;

/// The request of `args`. `resolve` returns the kernel's name of the block device at a path.
pub(crate) fn request(
    args: &RunArgs,
    resolve: impl Fn(&Path) -> Result<DeviceName, String>,
) -> Result<Request, UsageError> {
    let device = |option: &'static str, path: &Path| {
        resolve(path).map_err(|detail| UsageError::Device { option, path: path.to_owned(), detail })
    };
    let profile = profiles::choose(&args.board)?;
    let media = named_media(&profile, args, |path| device("--media", path))?;
    let drive = device("--drive", &args.drive)?;
    Ok(Request {
        board: BoardChoice::Named(Box::new(profile)),
        firmware_names: profile::firmware_names(&profiles::embedded()?),
        drive: DriveChoice::Named(drive),
        media,
        tuning: Tuning::default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// The media of the command line; `None` if the profile searches for them.
fn named_media(
    profile: &Profile,
    args: &RunArgs,
    device: impl Fn(&Path) -> Result<DeviceName, UsageError>,
) -> Result<Option<BTreeMap<String, DeviceName>>, UsageError> {
    if args.media.is_empty() {
        return match profile.media.iter().find(|medium| medium.kind != MediumKind::Any) {
            Some(_) => Ok(None),
            None => Err(UsageError::NoMedia {
                board: profile.name.clone(),
                example: profile.media.first().map_or("sd", |medium| &medium.name).to_owned(),
            }),
        };
    }
    let mut media: BTreeMap<String, DeviceName> = BTreeMap::new();
    for named in &args.media {
        if !profile.media.iter().any(|medium| medium.name == named.name) {
            return Err(UsageError::UnknownMedium {
                board: profile.name.clone(),
                wanted: named.name.clone(),
                known: profile.media.iter().map(|medium| medium.name.clone()).collect(),
            });
        }
        let found = device(&named.device)?;
        if media.contains_key(&named.name) {
            return Err(UsageError::NamedTwice(named.name.clone()));
        }
        if media.values().any(|other| *other == found) {
            return Err(UsageError::NamedTwice(found.to_string()));
        }
        media.insert(named.name.clone(), found);
    }
    Ok(Some(media))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parse(arguments: &[&str]) -> Result<Request, String> {
        let line = ["replicator", "run", "--drive", "/dev/drive"].iter().chain(arguments);
        let Command::Run(args) = Cli::try_parse_from(line).unwrap().command else { unreachable!() };
        let resolve = |path: &Path| match path.strip_prefix("/dev") {
            Ok(name) if name != Path::new("absent") => Ok(DeviceName::parse(name.to_str().unwrap()).unwrap()),
            _ => Err("not a block device".to_owned()),
        };
        request(&args, resolve).map_err(|error| error.to_string())
    }

    #[test]
    fn media_of_the_command_line_replace_discovery() {
        let named = parse(&["--board", "tsimx6", "--media", "emmc=/dev/loop0"]).unwrap();
        assert_eq!(named.drive, DriveChoice::Named(DeviceName::parse("drive").unwrap()));
        assert_eq!(
            named.media,
            Some(BTreeMap::from([("emmc".to_owned(), DeviceName::parse("loop0").unwrap())]))
        );
        assert_eq!(parse(&["--board", "tsimx6"]).unwrap().media, None);
    }

    #[test]
    fn errors_state_the_correct_usage() {
        let error = |arguments: &[&str]| parse(arguments).unwrap_err();
        assert!(error(&["--board", "generic"]).contains("--media sd=/dev/"));
        let unknown = error(&["--board", "ts7180", "--media", "sata=/dev/loop0"]);
        assert!(unknown.contains("no medium sata; it has sd, emmc"), "{unknown}");
        let absent = error(&["--board", "ts7180", "--media", "sd=/dev/absent"]);
        assert!(absent.contains("--media /dev/absent: not a block device"), "{absent}");
        let twice = error(&["--board", "generic", "--media", "sd=/dev/a", "--media", "sd=/dev/b"]);
        assert!(twice.contains("sd is named twice"), "{twice}");
        let twice = error(&["--board", "generic", "--media", "sd=/dev/a", "--media", "emmc=/dev/a"]);
        assert!(twice.contains("a is named twice"), "{twice}");
    }
}
