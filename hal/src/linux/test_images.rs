//! Image files for tests, made by the tools that make real ones.

use super::byte_range::FileRange;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Whether a program is installed; prints that the test is skipped if not.
pub(super) fn have_tool(name: &str) -> bool {
    let found =
        ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(name).exists());
    if !found {
        println!("skipped: needs {name}");
    }
    found
}

/// Whether loop devices can be attached; prints that the test is skipped if not.
pub(super) fn have_loop_devices(test: &str) -> bool {
    let found = nix::unistd::geteuid().is_root() && Path::new("/dev/loop-control").exists();
    if !found {
        // Not through the test harness, which shows nothing of a test that passes.
        let line = format!("skipped: {test}: needs root and loop devices\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    found
}

/// A temporary image file.
pub(super) struct Image {
    file: tempfile::NamedTempFile,
}

impl Image {
    pub(super) fn empty(len_bytes: u64) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(len_bytes).unwrap();
        Self { file }
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut image = Self::empty(0);
        image.file.write_all(bytes).unwrap();
        image
    }

    /// An image with a file system that `mke2fs` makes with these options.
    pub(super) fn ext(len_bytes: u64, options: &[&str]) -> Self {
        let image = Self::empty(len_bytes);
        let mut all = vec!["-q", "-F"];
        all.extend(options);
        image.run("mke2fs", &all);
        image
    }

    /// Runs a tool with the path of the image as the last argument. Returns its output.
    pub(super) fn run(&self, tool: &str, options: &[&str]) -> String {
        let output = Command::new(tool)
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args(options)
            .arg(self.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{tool} {options:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Changes bytes in place.
    pub(super) fn write_at(&self, offset_bytes: u64, bytes: &[u8]) {
        std::os::unix::fs::FileExt::write_all_at(self.file.as_file(), bytes, offset_bytes).unwrap();
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.file.as_file().metadata().unwrap().len()
    }

    /// The whole image for reading.
    pub(super) fn range(&self) -> FileRange {
        FileRange::new(File::open(self.path()).unwrap(), "image".to_owned(), 0, self.len_bytes())
    }
}
