//! The layers of the workspace: the one table of what may name what.

/// The rooms of one crate, floor by floor, the highest first. A room names rooms on lower floors only: none above, and none
/// on its own floor. The crate's root (`lib.rs`, `main.rs`) is above them all.
pub(crate) struct House {
    /// The crate's directory.
    pub(crate) directory: &'static str,
    /// Its root.
    pub(crate) root: &'static str,
    /// The crates of this workspace that it may name.
    pub(crate) crates: &'static [&'static str],
    /// The floors.
    pub(crate) floors: &'static [&'static [&'static str]],
}

/// The crates, the highest first.
pub(crate) const HOUSES: [House; 6] = [
    House {
        directory: "board-images",
        root: "main.rs",
        crates: &["replicator_hal", "replicator_engine", "replicator_boards"],
        floors: &[
            &["run"],
            &["boards", "boot", "request"],
            &["leds"],
            &["profiles"],
            &["cli", "interrupt", "usage"],
        ],
    },
    House {
        directory: "board-images/fixtures",
        root: "lib.rs",
        crates: &[],
        floors: &[&["replicator", "rootfs", "tree"], &["devices", "stage"], &["tools"]],
    },
    House { directory: "board-images/catalogue", root: "lib.rs", crates: &[], floors: &[] },
    House {
        directory: "sim",
        root: "lib.rs",
        crates: &["replicator_hal", "replicator_engine", "replicator_boards"],
        floors: &[
            &["cli"],
            &["fuzz"],
            &["explore"],
            &["judge"],
            &["run"],
            &["board", "scenario"],
            &["model::hardware"],
            &["model::time"],
            &["model::bytes"],
        ],
    },
    House {
        directory: "engine",
        root: "lib.rs",
        crates: &["replicator_hal"],
        floors: &[
            &["boot"],
            &["plan"],
            &["provision"],
            &["capture", "firmware", "write"],
            &["context", "drive_request", "expand", "jobs"],
            &["drive", "media", "report", "table"],
            &["verify"],
            &["sidecars"],
            &["drive_file"],
            &["operation", "profile", "source_record"],
            &["error", "names", "tuning"],
            &["formats", "options", "root_names", "sanitise_rules"],
            &["from_toml", "fstab", "lease", "printable", "shell", "size"],
        ],
    },
    House {
        directory: "hal",
        root: "lib.rs",
        crates: &[],
        floors: &[
            &["contract"],
            &["linux"],
            &["host"],
            &["board"],
            &["firmware", "signature"],
            &["filesystem", "io", "system"],
            &["block", "led_state", "volume"],
            &["clock", "device_name", "ext_shape", "leds", "records"],
            &["error", "file_system_kind", "flags", "forward", "path", "tasks"],
        ],
    },
];

/// Rooms that do not know the engine: hardware is the same whatever runs on it.
pub(crate) const WITHOUT_ENGINE: [&str; 4] = ["board", "model::hardware", "model::time", "model::bytes"];

/// Rooms that name no trait of the HAL: they are what the adapters of `board` show as one.
pub(crate) const WITHOUT_HAL_TRAITS: [&str; 3] = ["model::hardware", "model::time", "model::bytes"];

/// Test modules that name a higher room: file, room and reason.
pub(crate) const EXEMPT: &[(&str, &str, &str)] = &[
    (
        "engine/src/lease.rs",
        "operation",
        "a lease is renewed by an operation, and the test watches one do it",
    ),
    ("engine/src/lease.rs", "tuning", "the same operation, with the usual tuning"),
];
