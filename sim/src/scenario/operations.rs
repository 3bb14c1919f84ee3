//! The operations that faults and cuts may wait for, and what each is called on.

/// What an operation, a fault or a cut is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A medium of the board.
    Medium,
    /// The drive.
    Drive,
    /// The file system in a working image.
    Image,
    /// A bootloader area.
    Area,
    /// The LEDs.
    Leds,
    /// Hooks, the device tree, the command line.
    System,
    /// The clock.
    Clock,
    /// Registers, updaters, the list of areas.
    Firmware,
    /// The list of devices.
    Devices,
    /// Whatever it is.
    Any,
}

use Target::{Area, Clock, Devices, Drive, Firmware, Image, Leds, Medium, System};

const VOLUME: &[Target] = &[Medium, Drive, Image];
const BYTES: &[Target] = &[Medium, Drive, Image, Area];
const DEVICE: &[Target] = &[Medium, Drive, Area];

/// Name, what it is on, whether it may change something.
const OPERATIONS: [(&str, &[Target], bool); 57] = [
    ("area-list", &[Firmware], false),
    ("begin-verify", DEVICE, true),
    ("close", BYTES, true),
    ("command-line", &[System], false),
    ("compatible", &[System], false),
    ("create", VOLUME, true),
    ("create-dir", VOLUME, true),
    ("device-list", &[Devices], false),
    ("drop-cache", VOLUME, true),
    ("file-len", VOLUME, false),
    ("flags", VOLUME, false),
    ("format", VOLUME, true),
    ("fsck", VOLUME, true),
    ("grow", VOLUME, true),
    ("hard-link", VOLUME, true),
    ("hook", &[System], true),
    ("identify", VOLUME, false),
    ("led-show", &[Leds], false),
    ("list", VOLUME, false),
    ("look-at-area", &[Area], false),
    ("make-node", VOLUME, true),
    ("metadata", VOLUME, false),
    ("mount", VOLUME, true),
    ("next-data", VOLUME, false),
    ("open", &[Medium, Drive, Image, Firmware], false),
    ("open-area", &[Area], true),
    ("open-shared", DEVICE, true),
    ("open-source", DEVICE, false),
    ("open-target", DEVICE, true),
    ("open-write", VOLUME, true),
    ("read", BYTES, false),
    ("read-link", VOLUME, false),
    ("register", &[Firmware], false),
    ("remount", VOLUME, true),
    ("remove-dir", VOLUME, true),
    ("remove-file", VOLUME, true),
    ("rename", VOLUME, true),
    ("reread-partitions", DEVICE, true),
    ("resolve", VOLUME, false),
    ("set-flags", VOLUME, true),
    ("set-len", VOLUME, true),
    ("set-mode", VOLUME, true),
    ("set-modified", VOLUME, true),
    ("set-owner", VOLUME, true),
    ("set-xattr", VOLUME, true),
    ("sleep", &[Clock], false),
    ("space", VOLUME, false),
    ("symlink", VOLUME, true),
    ("sync", BYTES, true),
    ("sync-dir", VOLUME, true),
    ("sync-volume", VOLUME, true),
    ("unmount", VOLUME, true),
    ("updater", &[Firmware], true),
    ("used-map", VOLUME, false),
    ("write", BYTES, true),
    ("xattrs", VOLUME, false),
    ("zero", DEVICE, true),
];

/// The world's name of an operation; underscores are as good as hyphens.
///
/// # Errors
/// In words, with the names that there are.
pub fn named(name: &str) -> Result<String, String> {
    let name = name.replace('_', "-");
    if OPERATIONS.iter().any(|(known, ..)| *known == name) {
        return Ok(name);
    }
    let known: Vec<&str> = OPERATIONS.iter().map(|(known, ..)| *known).collect();
    Err(format!("no operation {name:?}; known are {}", known.join(", ")))
}

/// Whether the operation `name` is ever called on `target`.
pub fn is_on(name: &str, target: Target) -> bool {
    let mut known = OPERATIONS.iter().filter(|(known, ..)| *known == name);
    known.any(|(_, targets, _)| target == Target::Any || targets.contains(&target))
}

/// Whether it may change something.
pub fn changes(name: &str) -> bool {
    OPERATIONS.iter().any(|(known, _, changes)| *known == name && *changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::boots;
    use crate::scenario::builtin;
    use crate::scenario::schema::Scenario;
    use std::collections::BTreeSet;

    #[test]
    fn every_call_of_a_run_is_known_to_be_on_what_it_is_on() {
        let mut wrong = BTreeSet::new();
        for name in [
            "capture-hooks-run",
            "capture-multi-partition-emmc",
            "write-tar-xz",
            "write-dd-xz",
            "firmware-everything-at-once",
        ] {
            let story = Scenario::parse(builtin::find(name).unwrap(), name).unwrap();
            let evidence = boots::run(name, &story).unwrap();
            for event in evidence.boots[0].world.trace().events() {
                let target = match &*event.op.on {
                    "drive" => Drive,
                    "image" => Image,
                    "leds" => Leds,
                    "system" => System,
                    "clock" => Clock,
                    "firmware" => Firmware,
                    "devices" => Devices,
                    medium if story.media.contains_key(medium) => Medium,
                    _ => Area,
                };
                if !is_on(event.op.name, target) || event.op.mutates && !changes(event.op.name) {
                    wrong.insert(format!("{} on {target:?}, changes: {}", event.op.name, event.op.mutates));
                }
            }
        }
        assert_eq!(wrong, BTreeSet::new());
    }
}
