//! Running a program that a drive brings along.

use super::Volumes;
use super::child::{Exit, Program};
use crate::{Error, ErrorKind, FileKind, Hook, HookEnd, Result};

/// Runs `hook` to its end, with the volume it works on as its working directory and in `REPLICATOR_ROOT`.
///
/// # Errors
/// Those of [`crate::System::run_hook`].
pub fn run(volumes: &Volumes, hook: &Hook) -> Result<HookEnd> {
    let program_tree = volumes.tree(hook.program_volume)?;
    let work_tree = volumes.tree(hook.tree)?;
    let program = program_tree.resolve(&hook.program)?;
    if program_tree.metadata(&program)?.kind != FileKind::File {
        let detail = "a hook must be a regular file";
        return Err(Error::new(ErrorKind::ToolFailed, "starting", hook.program.to_string(), detail));
    }
    // The program's working directory is another one, so a relative way to it would be lost.
    let path = std::path::absolute(program_tree.host_path(&program))
        .map_err(|error| Error::from_io(error, "starting", hook.program.to_string()))?;
    let root = std::path::absolute(work_tree.root_path())
        .map_err(|error| Error::from_io(error, "starting", hook.program.to_string()))?;
    let mut child = Program::new(path, hook.timeout).directory(&root).environment("REPLICATOR_ROOT", &root);
    for (name, value) in &hook.environment {
        child = child.environment(name, value);
    }
    let end = child.run()?;
    let exit_status = match end.exit {
        Exit::Code(code) => Some(code),
        Exit::Signal(_) => None,
    };
    Ok(HookEnd { exit_status, output: end.output })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RelativePath;
    use crate::host::Tree;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    fn run_script(script: &str, timeout: Duration) -> Result<HookEnd> {
        let (drive, rootfs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let program = drive.path().join("hook.sh");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(rootfs.path().join("etc"), b"here").unwrap();
        let volumes = Volumes::default();
        let (program_volume, _drive_tree) = volumes.add(Tree::new(drive.path(), None).unwrap());
        let (tree, _rootfs_tree) = volumes.add(Tree::new(rootfs.path(), None).unwrap());
        run(
            &volumes,
            &Hook {
                program_volume,
                program: RelativePath::parse("hook.sh").unwrap(),
                tree,
                environment: vec![("MEDIUM".to_owned(), "sd".to_owned())],
                timeout,
            },
        )
    }

    #[test]
    fn a_hook_works_in_its_tree() {
        let script = "#!/bin/sh\ncat etc \"$REPLICATOR_ROOT/etc\"; echo \" $MEDIUM\"; exit 7\n";
        let end = run_script(script, Duration::from_secs(20)).unwrap();
        assert_eq!(end, HookEnd { exit_status: Some(7), output: "herehere sd\n".to_owned() });
    }

    #[test]
    fn a_hook_that_hangs_is_killed_and_one_that_is_no_program_fails() {
        let error = run_script("#!/bin/sh\nsleep 100\n", Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let error = run_script("#!/nonexistent/interpreter\n", Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ToolFailed);
    }
}
