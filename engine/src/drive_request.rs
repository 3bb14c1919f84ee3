//! What the drive requests on this board: the names in its root, its board profiles, its options.
//!
//! It is read once per state of the drive: after the first mount, and again after the drive was grown.

use crate::drive::{self, Drive};
use crate::error::{Error, Refusal, Result};
use crate::media::Medium;
use crate::names::{self, FirmwareNames};
use crate::operation::Operation;
use crate::options::Options;
use crate::printable;
use crate::profile::{self, BoardChoice, Profile};
use crate::report::Report;
use replicator_hal::{DeviceName, ErrorKind, FileKind, Metadata, RelativePath, Volume};
use std::collections::BTreeSet;

/// The requests of the drive in its present state.
///
/// It borrows the drive. A step that mounts the drive again needs it mutably, so the compiler refuses any use of an old
/// request after that.
pub(crate) struct DriveRequest<'d> {
    drive: &'d Drive,
    /// The names in the root, sorted.
    pub names: Vec<Vec<u8>>,
    /// The board's profile.
    pub profile: Profile,
    /// The option files and the settings together.
    pub options: Options,
    /// Names of the firmware files of all boards whose profiles are known.
    firmware_names: Vec<String>,
}

impl<'d> DriveRequest<'d> {
    /// Reads the drive's root, on a board with these `compatible` strings. `firmware_names` are those of all known boards.
    /// The report gets the board's name.
    ///
    /// # Errors
    /// `WrongBoard`, `BadOptions`, `ShellOnly`; errors of the drive.
    pub(crate) fn read(
        drive: &'d Drive,
        board: &BoardChoice,
        firmware_names: &[String],
        compatible: &[String],
        report: &mut Report,
    ) -> Result<Self> {
        let volume = &*drive.volume;
        let names = drive::root_names(&volume)?;
        // The board is checked first: a drive for another board gets that error, and not one about its settings. Without
        // a device tree, the settings name the board.
        let mut firmware_names = firmware_names.to_vec();
        let (profile, settings) = match board {
            BoardChoice::Named(profile) => ((**profile).clone(), None),
            BoardChoice::Discover(known) => {
                let more = drive::read_profiles(&volume, &names)?;
                firmware_names.extend(profile::firmware_names(&more));
                let settings = match compatible.is_empty() {
                    true => Some(drive::read_settings(&volume, &names)?),
                    false => None,
                };
                let named = settings.as_ref().and_then(|settings| settings.board.as_deref());
                (profile::choose(known, &more, compatible, named)?, settings)
            }
        };
        report.board = Some(profile.name.clone());
        let settings = settings.map_or_else(|| drive::read_settings(&volume, &names), Ok)?;
        let media: Vec<_> = profile.media.iter().map(|medium| medium.name.clone()).collect();
        let options = Options::new(&names, settings, &media);
        if let Some(wanted) = options.settings.board.as_ref().filter(|wanted| **wanted != profile.name) {
            return Err(Error::refused(
                Refusal::WrongBoard,
                format!("the drive is for board {wanted}, this is {}", profile.name),
            ));
        }
        if options.shell_only {
            return Err(Error::refused(Refusal::ShellOnly, "IR_SHELL_ONLY is on the drive: nothing is done"));
        }
        Ok(Self { drive, names, profile, options, firmware_names })
    }

    /// The drive.
    pub(crate) fn volume(&self) -> &'d dyn Volume {
        &*self.drive.volume
    }

    /// The device that the drive is on.
    pub(crate) fn drive_disk(&self) -> &'d DeviceName {
        &self.drive.place.disk.name
    }

    /// Whether an image is among the names. Names that are ignored are added to `notes`.
    ///
    /// # Errors
    /// `MisspeltNames` for names of files that would be ignored although they seem to be meant; errors of the drive.
    pub(crate) fn has_image(
        &self,
        operation: &Operation<'_>,
        compatible: &[String],
        media: &[Medium],
        notes: &mut Vec<String>,
    ) -> Result<bool> {
        let (present, absent): (Vec<_>, Vec<_>) = media.iter().partition(|medium| medium.device.is_some());
        let media: Vec<String> =
            present.iter().chain(&absent).map(|medium| medium.name().to_owned()).collect();
        let linked = self.linked_names(operation, &media)?;
        let firmware_files = self.profile.firmware_files(compatible);
        let is_directory = |name: &[u8]| self.is_directory(name);
        let context = names::root::Context {
            media: &media,
            firmware: FirmwareNames { own: &firmware_files, all: &self.firmware_names },
            linked: &linked,
            is_directory: &is_directory,
        };
        let root = names::root::check_all(&self.names, &context);
        if !root.refused.is_empty() {
            return Err(Error::refused(Refusal::MisspeltNames, printable::few(&root.refused, "; ")));
        }
        notes.extend(printable::first(&root.notes));
        Ok(root.has_image)
    }

    /// Whether a name in the root is a directory, as far as that can be read.
    fn is_directory(&self, name: &[u8]) -> bool {
        let metadata = RelativePath::parse(name).map(|path| self.drive.volume.metadata(&path));
        matches!(metadata, Ok(Ok(Metadata { kind: FileKind::Directory, .. })))
    }

    /// Names in the root that are targets of accepted names.
    fn linked_names(&self, operation: &Operation<'_>, media: &[String]) -> Result<BTreeSet<Vec<u8>>> {
        let mut linked = BTreeSet::new();
        for image in media.iter().flat_map(|medium| names::accepted(medium)) {
            let name = image.to_string();
            if !self.names.iter().any(|found| found.as_slice() == name.as_bytes()) {
                continue;
            }
            let Ok(path) = RelativePath::parse(&name) else { continue };
            match operation.retry(|| self.drive.volume.resolve(&path)) {
                Ok(target) if target != path => {
                    linked.insert(target.as_bytes().to_vec());
                }
                Ok(_) => {}
                // A dangling link is refused later, with its medium.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::NotFound | ErrorKind::SymlinkInPath | ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(Error::hal(format!("following {name}"))(error)),
            }
        }
        Ok(linked)
    }
}
