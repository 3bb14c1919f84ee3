//! The layers of the workspace: the table of which module may import which.

/// The modules of one crate by layer, the highest first. A module imports modules of lower layers only. The crate's root
/// (`lib.rs`, `main.rs`) is above all layers.
pub(crate) struct CrateRules {
    /// The crate's directory.
    pub(crate) directory: &'static str,
    /// Its root.
    pub(crate) root: &'static str,
    /// The crates of this workspace that it may import.
    pub(crate) crates: &'static [&'static str],
    /// The layers.
    pub(crate) layers: &'static [&'static [&'static str]],
}

/// The crates, the highest first.
pub(crate) const CRATE_RULES: [CrateRules; 7] = [
    CrateRules {
        directory: "board-images",
        root: "main.rs",
        crates: &["replicator_hal", "replicator_engine", "replicator_boards"],
        layers: &[
            &["run"],
            &["boards", "boot", "request"],
            &["leds"],
            &["profiles"],
            &["cli", "interrupt", "usage"],
        ],
    },
    CrateRules {
        directory: "board-images/fixtures",
        root: "lib.rs",
        crates: &[],
        layers: &[&["replicator", "rootfs", "tree"], &["devices", "stage"], &["memory_group", "tools"]],
    },
    CrateRules { directory: "board-images/catalogue", root: "lib.rs", crates: &[], layers: &[] },
    CrateRules { directory: "engine/lzma-sys", root: "lib.rs", crates: &[], layers: &[] },
    CrateRules {
        directory: "sim",
        root: "lib.rs",
        crates: &["replicator_hal", "replicator_engine", "replicator_boards"],
        layers: &[
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
    CrateRules {
        directory: "engine",
        root: "lib.rs",
        crates: &["replicator_hal"],
        layers: &[
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
            &["error", "names", "ranges", "tuning"],
            &["formats", "options", "root_names", "sanitise_rules"],
            &["from_toml", "fstab", "lease", "memory", "printable", "shell", "size"],
        ],
    },
    CrateRules {
        directory: "hal",
        root: "lib.rs",
        crates: &[],
        layers: &[
            &["contract"],
            &["linux"],
            &["host"],
            &["board"],
            &["firmware", "signature"],
            &["filesystem", "io", "system"],
            &["block", "led_state", "volume"],
            &["clock", "device_name", "ext_shape", "leds", "records"],
            &["error", "file_system_kind", "flags", "forward", "led_place", "path", "tasks"],
        ],
    },
];

/// Modules that do not import the engine: the model of the hardware does not depend on what runs on it.
pub(crate) const WITHOUT_ENGINE: [&str; 4] = ["board", "model::hardware", "model::time", "model::bytes"];

/// Modules that name no trait of the HAL: the adapters of `board` implement the traits over them.
pub(crate) const WITHOUT_HAL_TRAITS: [&str; 3] = ["model::hardware", "model::time", "model::bytes"];

/// Test modules that import a higher module: file, module and reason.
pub(crate) const EXEMPT: &[(&str, &str, &str)] = &[
    (
        "engine/src/lease.rs",
        "operation",
        "a lease is renewed by an operation, and the test watches one do it",
    ),
    ("engine/src/lease.rs", "tuning", "the same operation, with the usual tuning"),
];
