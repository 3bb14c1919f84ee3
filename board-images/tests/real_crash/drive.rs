//! A drive as a PC finds it after a power cut: its class of state, and whether a file on it is wrong.

use super::copy::copy;
use super::devices::{Medium, Mount};
use super::stage::Stage;
use super::tools::{run, shell};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

/// The images of a complete capture, each with its sidecars and record.
const IMAGES: [(&str, [&str; 3]); 2] = [
    ("sdimage.tar.xz", ["sdimage.tar.md5", "sdimage.tar.xz.md5", "sdimage.source"]),
    ("emmcimage.dd.xz", ["emmcimage.dd.md5", "emmcimage.dd.xz.md5", "emmcimage.source"]),
];

/// The state of a drive, as far as it matters to the next boot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    /// There is an unfinished session: no boot may write.
    pub(crate) session: bool,
    /// The session has the record of its unit.
    record: bool,
    /// There are working files.
    work: bool,
    /// There are sidecars or records without their image.
    sidecars_only: bool,
    /// Images with valid names.
    pub(crate) images: usize,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (is_there, what) in [
            (self.session, "session, "),
            (self.record, "record, "),
            (self.work, "working files, "),
            (self.sidecars_only, "sidecars without image, "),
        ] {
            f.write_str(if is_there { what } else { "" })?;
        }
        write!(f, "{} images", self.images)
    }
}

impl Class {
    /// The class of a drive with files at these paths.
    pub(crate) fn of(paths: &BTreeSet<String>) -> Self {
        let has = |path: &str| paths.contains(path);
        let is_work = |path: &str| path.starts_with(".capture/") && path != ".capture/session.toml";
        Self {
            session: has(".capture"),
            record: has(".capture/session.toml"),
            work: paths.iter().any(|path| is_work(path)),
            sidecars_only: IMAGES
                .iter()
                .any(|(image, beside)| !has(image) && beside.iter().any(|name| has(name))),
            images: IMAGES.iter().filter(|(image, _)| has(image)).count(),
        }
    }

    /// All images exist, and the session is removed.
    pub(crate) fn is_complete(&self) -> bool {
        !self.session && self.images == IMAGES.len()
    }
}

/// Inspects a copy of the drive like a PC: mounts it, which replays the journal. Fails if the file system is damaged, or if an
/// image with a valid name is incomplete or lacks a sidecar.
#[track_caller]
pub(crate) fn inspect(stage: &Stage, file: &Path) -> Class {
    let copied = stage.path("inspected");
    copy(file, &copied);
    let drive = Medium::attach(&copied);
    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    let mut paths = BTreeSet::new();
    for directory in ["", ".capture"] {
        let Ok(entries) = fs::read_dir(files.path.join(directory)) else { continue };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            paths.insert(Path::new(directory).join(name).to_str().unwrap().to_owned());
        }
    }
    for (image, beside) in IMAGES.iter().filter(|(image, _)| paths.contains(*image)) {
        for name in beside {
            assert!(paths.contains(*name), "{image} exists without {name}: {paths:?}");
        }
        shell(
            "cd \"$1\"; xz -t \"$2\"; md5sum -c --quiet --strict \"$2.md5\"
             test \"$(xz -dc \"$2\" | md5sum)\" = \"$(sed 's/ .*/  -/' \"${2%.xz}.md5\")\"",
            [files.path.as_os_str(), image.as_ref()],
        );
    }
    drop(files);
    run("e2fsck", ["-fn".as_ref(), drive.device.as_os_str()]);
    let class = Class::of(&paths);
    assert!(
        class.session || class.images == 0 || class.is_complete(),
        "a user would treat this as a complete capture: {paths:?}"
    );
    class
}
