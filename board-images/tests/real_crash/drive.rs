//! A drive as a PC finds it after a power cut: what kind of state it is in, and whether anything on it lies.

use super::copy::copy;
use super::devices::{Medium, Mount};
use super::stage::Stage;
use super::tools::{run, shell};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

/// The images that a finished capture leaves, with what lies beside each.
const IMAGES: [(&str, [&str; 3]); 2] = [
    ("sdimage.tar.xz", ["sdimage.tar.md5", "sdimage.tar.xz.md5", "sdimage.source"]),
    ("emmcimage.dd.xz", ["emmcimage.dd.md5", "emmcimage.dd.xz.md5", "emmcimage.source"]),
];

/// What is on a drive, as far as the next boot asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    /// An unfinished session: no boot may write.
    pub(crate) session: bool,
    /// The session says which unit it is of.
    record: bool,
    /// There are working files.
    work: bool,
    /// There are sidecars or records whose image is missing.
    beforehand: bool,
    /// Images with valid names.
    pub(crate) images: usize,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (is_there, what) in [
            (self.session, "session, "),
            (self.record, "record, "),
            (self.work, "working files, "),
            (self.beforehand, "sidecars beforehand, "),
        ] {
            f.write_str(if is_there { what } else { "" })?;
        }
        write!(f, "{} images", self.images)
    }
}

impl Class {
    /// By the paths of all files on the drive.
    pub(crate) fn of(paths: &BTreeSet<String>) -> Self {
        let has = |path: &str| paths.contains(path);
        let is_work = |path: &str| path.starts_with(".capture/") && path != ".capture/session.toml";
        Self {
            session: has(".capture"),
            record: has(".capture/session.toml"),
            work: paths.iter().any(|path| is_work(path)),
            beforehand: IMAGES
                .iter()
                .any(|(image, beside)| !has(image) && beside.iter().any(|name| has(name))),
            images: IMAGES.iter().filter(|(image, _)| has(image)).count(),
        }
    }

    /// Every image is there and the session is over.
    pub(crate) fn is_complete(&self) -> bool {
        !self.session && self.images == IMAGES.len()
    }
}

/// Looks at a copy of the drive as a PC would: mounts it, which replays its journal. Fails if its file system is damaged,
/// or if an image with a valid name is not whole or has not all of its sidecars.
#[track_caller]
pub(crate) fn look(stage: &Stage, file: &Path) -> Class {
    let copied = stage.path("looked-at");
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
            assert!(paths.contains(*name), "{image} is there without {name}: {paths:?}");
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
        "a PC would take this for a finished capture: {paths:?}"
    );
    class
}
