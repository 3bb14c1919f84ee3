//! Facts about the media of a scenario that follow from its text: kinds, order, identities, wall clock.
//!
//! The content of media is in `content`; [`crate::run`] makes a board from them.

use super::schema::{MediumSpec, Scenario};
use replicator_engine::profile::MediumKind;
use replicator_hal::{DeviceKind, Timestamp};

/// The name of the drive among the media.
pub const DRIVE: &str = "drive";
/// The wall clock by default: a board with a battery, whose stamps are recognised.
const WALL_CLOCK: Timestamp = Timestamp { seconds: 1_767_225_600, nanos: 0 };
/// The order in which boards name their media.
const ORDER: [&str; 4] = ["sd", "emmc", "sata", "nvme"];

/// The wall clock at boot.
pub fn wall_clock(scenario: &Scenario) -> Timestamp {
    scenario.wall_clock.map_or(WALL_CLOCK, |seconds| Timestamp { seconds, nanos: 0 })
}

/// Identity of the medium `name` at the beginning of the scenario.
pub fn identity_of(name: &str) -> String {
    format!("serial-of-{name}")
}

fn kind_name<'a>(name: &'a str, spec: &'a MediumSpec) -> &'a str {
    spec.kind.as_deref().unwrap_or_else(|| name.trim_end_matches(|last: char| last.is_ascii_digit()))
}

/// The kind of a medium, for a profile and for the board.
///
/// # Errors
/// If the scenario names an unknown kind.
pub fn kinds(name: &str, spec: &MediumSpec) -> Result<(MediumKind, DeviceKind), String> {
    match kind_name(name, spec) {
        "sd" => Ok((MediumKind::Sd, DeviceKind::Sd)),
        "emmc" => Ok((MediumKind::Emmc, DeviceKind::Emmc)),
        "sata" => Ok((MediumKind::Sata, DeviceKind::Sata)),
        "nvme" => Ok((MediumKind::Nvme, DeviceKind::Nvme)),
        other => Err(format!(
            "media.{name}: unknown kind {other:?}; write kind = \"sd\", \"emmc\", \"sata\" or \"nvme\""
        )),
    }
}

/// Names of the scenario's media in the board's order.
pub fn media_names(scenario: &Scenario) -> Vec<String> {
    let mut names: Vec<&String> = scenario.media.keys().collect();
    let place = |name: &str| {
        let kind = kind_name(name, &scenario.media[name]);
        ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
    };
    names.sort_by_key(|name| (place(name), (*name).clone()));
    names.into_iter().cloned().collect()
}
