//! What a run is going to do, decided from the names on the drive and the media that are there.

use crate::capture;
use crate::error::{Error, Refusal, Result};
use crate::firmware;
use crate::media::Medium;
use crate::names::{self, Packing};
use crate::write::{self, Checking};
use replicator_hal::BlockDevice;

/// Capture or write, with one item per medium.
pub enum Plan {
    /// Media to images.
    Capture(Vec<capture::Item>),
    /// Images to media, and firmware.
    Write {
        /// The media.
        items: Vec<write::Item>,
        /// The firmware; may be nothing.
        firmware: Box<firmware::Wish>,
    },
}

impl Plan {
    /// A write of every image on the drive, and of the firmware.
    ///
    /// # Errors
    /// `MediumAbsent` if there is no firmware, and every image is for a medium that this board does not have.
    pub fn for_write(media: &[Medium], drive_names: &[Vec<u8>], firmware: firmware::Wish) -> Result<Self> {
        let items = write::plan(media, drive_names);
        if items.is_empty() && firmware.is_empty() {
            let known: Vec<_> = media.iter().map(|medium| medium.name().to_owned()).collect();
            return Err(Error::refused(
                Refusal::MediumAbsent,
                format!("no image on the drive is for a medium of this board ({})", known.join(", ")),
            ));
        }
        Ok(Self::Write { items, firmware: Box::new(firmware) })
    }

    /// `capture` or `write`.
    pub fn mode(&self) -> &'static str {
        match self {
            Self::Capture(_) => "capture",
            Self::Write { .. } => "write",
        }
    }

    /// The plan in words, a line per medium and per step of the firmware.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Capture(items) => items.iter().map(capture_line).collect(),
            Self::Write { items, firmware } => {
                firmware.lines().into_iter().chain(items.iter().map(write_line)).collect()
            }
        }
    }
}

fn device_text(device: Option<&BlockDevice>) -> String {
    device.map_or_else(
        || "not present".to_owned(),
        |device| format!("{} ({}, {})", device.name, device.kind, size_text(device.len_bytes)),
    )
}

/// A size for people: `7.4 GiB`, `118.5 MiB`, `640 KiB`.
fn size_text(len_bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    let len = len_bytes as f64;
    if len >= KIB * KIB * KIB {
        format!("{:.1} GiB", len / (KIB * KIB * KIB))
    } else if len >= KIB * KIB {
        format!("{:.1} MiB", len / (KIB * KIB))
    } else {
        format!("{:.0} KiB", len / KIB)
    }
}

fn capture_line(item: &capture::Item) -> String {
    let name = item.medium.name();
    match &item.skip {
        Some(reason) => format!("plan: {name} is not captured: {reason}"),
        None => format!("plan: capture {name} from {}", device_text(item.medium.device.as_ref())),
    }
}

fn write_line(item: &write::Item) -> String {
    let device = device_text(item.medium.device.as_ref());
    let into = match item.image.packing() {
        Packing::Disk => String::new(),
        Packing::Tar => {
            let flavour = item.medium.profile.file_system;
            format!(" as one {:?} partition ({:?})", flavour.flavour(), flavour.scheme()).to_lowercase()
        }
    };
    format!("plan: write {} to {} {device}{into}", item.image, item.medium.name())
}

/// What the pre-flight of one image showed, as a line.
pub(crate) fn verdict(checking: &Checking) -> String {
    let name = &checking.item.image;
    match &checking.checked {
        Ok(checked) => {
            let mut line = format!("{name}: fit to be written");
            if let Some(len_bytes) = checked.content_len_bytes {
                line.push_str(&format!(", {} uncompressed", size_text(len_bytes)));
            }
            let sidecars: Vec<_> = checked
                .image
                .file
                .iter()
                .chain(&checked.image.content)
                .map(|promise| promise.sidecar.as_str())
                .collect();
            if sidecars.is_empty() {
                line.push_str(", no sidecar");
            } else {
                line.push_str(&format!(", sidecar {}", sidecars.join(", ")));
            }
            for note in &checked.notes {
                line.push_str(&format!(", {note}"));
            }
            line
        }
        Err(error) => format!("{name}: would be refused: {error}; {}", error.advice()),
    }
}

/// The image names a board accepts, for help texts: the first few of each medium.
pub fn accepted_summary(media: &[String]) -> String {
    media
        .iter()
        .map(|medium| {
            let all: Vec<_> = names::accepted(medium).iter().map(ToString::to_string).collect();
            all.join(" ")
        })
        .collect::<Vec<_>>()
        .join("\n")
}
