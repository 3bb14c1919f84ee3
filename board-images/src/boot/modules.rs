//! Kernel modules of the initramfs: loaded in the order of a list, because there is no modprobe.

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use replicator_hal::host::print;
use std::ffi::CString;
use std::fs::File;
use std::path::Path;

/// One module per line, `/path/to/module.ko parameter=value ...`, after its dependencies; `#` begins a comment.
const LIST: &str = "/etc/replicator/modules";

/// Loads the listed modules. A module that cannot be loaded is reported and skipped; it may not be needed.
pub(super) fn load() {
    let text = match std::fs::read_to_string(LIST) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            print(format_args!("replicator: {LIST}: {error}"));
            return;
        }
    };
    for (path, parameters) in modules(&text) {
        if let Err(what) = load_one(Path::new(path), parameters) {
            print(format_args!("replicator: module {path}: {what}"));
        }
    }
}

fn modules(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| {
        let (path, parameters) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        (path, parameters.trim())
    })
}

fn load_one(path: &Path, parameters: &str) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let parameters = CString::new(parameters).map_err(|error| error.to_string())?;
    match finit_module(&file, &parameters, ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.desc().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_comments_and_parameters() {
        let text = "# USB first\n/lib/a.ko\n\n  /lib/b.ko  debug=1 x=2 # why\n";
        let found: Vec<_> = modules(text).collect();
        assert_eq!(found, [("/lib/a.ko", ""), ("/lib/b.ko", "debug=1 x=2")]);
    }
}
