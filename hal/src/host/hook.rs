//! Runs hooks from a drive, and updaters.

use super::Volumes;
use super::child::{Exit, Program, search_path};
use crate::{
    Argument, Error, ErrorKind, FileKind, Hook, HookEnd, RelativePath, Result, Updater, UpdaterProgram,
    VolumeId,
};
use std::path::PathBuf;

/// Runs `hook` to its end. The volume on which it works is its working directory and is in `REPLICATOR_ROOT`.
///
/// # Errors
/// Those of [`crate::System::run_hook`].
pub(crate) fn run(volumes: &Volumes, hook: &Hook) -> Result<HookEnd> {
    let path = program_file(volumes, hook.program_volume, &hook.program)?;
    let root = std::path::absolute(volumes.tree(hook.tree)?.root_path())
        .map_err(|error| Error::from_io(error, "starting", hook.program.to_string()))?;
    let mut child = Program::new(path, hook.timeout).directory(&root).environment("REPLICATOR_ROOT", &root);
    for (name, value) in &hook.environment {
        child = child.environment(name, value);
    }
    to_its_end(volumes, &child)
}

/// Runs `updater` to its end, in the root directory. Programs of the system are searched for in `PATH`.
///
/// # Errors
/// Those of [`crate::Firmware::run_updater`].
pub(crate) fn run_updater(volumes: &Volumes, updater: &Updater) -> Result<HookEnd> {
    let path = match &updater.program {
        UpdaterProgram::File { volume, path } => program_file(volumes, *volume, path)?,
        UpdaterProgram::System(name) => system_program(name)?,
    };
    let mut child = Program::new(path, updater.timeout).directory("/");
    for argument in &updater.arguments {
        child = match argument {
            Argument::Text(text) => child.arg(text),
            Argument::File { volume, path } => child.arg(regular_file(volumes, *volume, path)?),
        };
    }
    to_its_end(volumes, &child)
}

fn to_its_end(volumes: &Volumes, program: &Program) -> Result<HookEnd> {
    let end = program.run();
    // The program may have renamed or removed directories.
    volumes.forget_directories();
    let end = end?;
    let exit_status = match end.exit {
        Exit::Code(code) => Some(code),
        Exit::Signal(_) => None,
    };
    Ok(HookEnd { exit_status, output: end.output })
}

/// The path of a program on a volume.
fn program_file(volumes: &Volumes, volume: VolumeId, program: &RelativePath) -> Result<PathBuf> {
    regular_file(volumes, volume, program).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => {
            let detail = "a program must be a regular file";
            Error::new(ErrorKind::ToolFailed, "starting", program.to_string(), detail)
        }
        _ => error,
    })
}

/// The path of a regular file on a volume. It is absolute, because the program has another working directory.
fn regular_file(volumes: &Volumes, volume: VolumeId, path: &RelativePath) -> Result<PathBuf> {
    let tree = volumes.tree(volume)?;
    let file = tree.resolve(path)?;
    if tree.metadata(&file)?.kind != FileKind::File {
        return Err(Error::new(ErrorKind::InvalidInput, "starting", path.to_string(), "not a regular file"));
    }
    std::path::absolute(tree.host_path(&file))
        .map_err(|error| Error::from_io(error, "starting", path.to_string()))
}

/// The path of a program of the system.
fn system_program(name: &str) -> Result<PathBuf> {
    if name.is_empty() || name.contains(['/', '\0']) {
        return Err(Error::new(ErrorKind::InvalidInput, "starting", name, "not the name of a program"));
    }
    let found = std::env::split_paths(&search_path())
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| Error::new(ErrorKind::NotFound, "starting", name, "no such program on this system"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RelativePath;
    use crate::host::Tree;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    fn run_script(script: &str, timeout: Duration) -> Result<HookEnd> {
        run_script_between(script, timeout, |_| (), |_| ())
    }

    /// Runs a script, and looks at the tree that it works on before and after that.
    fn run_script_between(
        script: &str,
        timeout: Duration,
        before: impl FnOnce(&Tree),
        after: impl FnOnce(&Tree),
    ) -> Result<HookEnd> {
        let (drive, rootfs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let program = drive.path().join("hook.sh");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(rootfs.path().join("etc"), b"here").unwrap();
        let volumes = Volumes::default();
        let (program_volume, _drive_tree) = volumes.add(Tree::new(drive.path(), None).unwrap());
        let (tree, rootfs_tree) = volumes.add(Tree::new(rootfs.path(), None).unwrap());
        before(&rootfs_tree);
        let end = run(
            &volumes,
            &Hook {
                program_volume,
                program: RelativePath::parse("hook.sh").unwrap(),
                tree,
                environment: vec![("MEDIUM".to_owned(), "sd".to_owned())],
                timeout,
            },
        );
        after(&rootfs_tree);
        end
    }

    #[test]
    fn a_directory_that_a_hook_replaced_is_looked_up_anew() {
        let file = RelativePath::parse("d/file").unwrap();
        run_script_between(
            "#!/bin/sh\nmv d moved && mkdir d\n",
            Duration::from_secs(20),
            |tree| {
                tree.create_dir(&RelativePath::parse("d").unwrap(), 0o755).unwrap();
                drop(tree.create_file(&file, 0o644).unwrap());
            },
            |tree| assert_eq!(tree.metadata(&file).unwrap_err().kind(), ErrorKind::NotFound),
        )
        .unwrap();
    }

    #[test]
    fn a_hook_works_in_its_tree() {
        let script = "#!/bin/sh\ncat etc \"$REPLICATOR_ROOT/etc\"; echo \" $MEDIUM\"; exit 7\n";
        let end = run_script(script, Duration::from_secs(20)).unwrap();
        assert_eq!(end, HookEnd { exit_status: Some(7), output: "herehere sd\n".to_owned() });
    }

    #[test]
    fn a_hook_that_hangs_is_killed_and_one_that_is_not_a_program_fails() {
        let error = run_script("#!/bin/sh\nsleep 100\n", Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let error = run_script("#!/nonexistent/interpreter\n", Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ToolFailed);
    }
}
