//! Runs a program to its end: without a shell, with a time limit and bounded output, and without leaving processes
//! behind.
//!
//! Hooks, updaters and file-system tools are run this way. The output pipe is always drained, so a program with much
//! output never blocks. Of a long output the beginning and the end are kept.

use crate::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, pipe2};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes that are kept of the beginning, and of the end, of an output.
const KEPT_LEN_BYTES: usize = 32 * 1024;

// A control character becomes at most six bytes, also an 8-bit one: `\u{9b}`.
const _: () = assert!(2 * KEPT_LEN_BYTES * 6 + 100 < crate::HookEnd::OUTPUT_LEN_MAX_BYTES);

/// Interval between checks whether the program has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Time for a killed program to end. A program that waits for a removed device may never end.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// Where programs are searched for if there is no `PATH`.
const DEFAULT_SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where programs of the system are searched for, as in `PATH`.
pub(super) fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_SEARCH_PATH.into())
}

/// A program to run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    program: PathBuf,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    timeout: Duration,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It ended with this status.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

/// The end of a program that was not killed by the time limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChildEnd {
    /// How it ended.
    pub(crate) exit: Exit,
    /// Its output on standard output and standard error, in order of time.
    pub(crate) output: String,
}

impl Program {
    /// `program` is a path, or a name that is searched for in `PATH`. It is killed after `timeout`.
    ///
    /// Its environment has only our `PATH`, and `LC_ALL=C` so that its output can be parsed.
    pub(crate) fn new(program: impl Into<PathBuf>, timeout: Duration) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            directory: None,
            environment: Vec::new(),
            timeout,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[cfg(feature = "linux")]
    #[must_use]
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub(crate) fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub(crate) fn environment(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs the program to its end, and kills all processes that are left in its process group.
    ///
    /// # Errors
    /// `ToolFailed` if it cannot be started; `TimedOut` if it had to be killed. An exit status is not an error.
    pub(crate) fn run(&self) -> Result<ChildEnd> {
        let (mut child, mut stream) = self.start()?;
        let started = Instant::now();
        let ended = loop {
            stream.wait(POLL_INTERVAL).map_err(|error| self.failed(error, "reading the output of"))?;
            if has_ended(&child).map_err(|errno| self.failed(errno.into(), "waiting for"))? {
                break true;
            }
            if started.elapsed() >= self.timeout {
                break false;
            }
        };
        // Before the program is reaped: while it is a zombie, no other process group can have its number.
        kill_group(&child).map_err(|errno| self.failed(errno.into(), "killing"))?;
        let status = if ended {
            Some(child.wait().map_err(|error| self.failed(error, "waiting for"))?)
        } else {
            wait_briefly(&mut child).map_err(|error| self.failed(error, "waiting for"))?
        };
        stream.wait(Duration::ZERO).map_err(|error| self.failed(error, "reading the output of"))?;
        let output = stream.kept.into_text();
        match status {
            Some(status) if ended => Ok(ChildEnd { exit: exit_of(status), output }),
            status => Err(self.timed_out(status.is_none(), &output)),
        }
    }

    fn start(&self) -> Result<(Child, Stream)> {
        let fail = |error: io::Error| self.failed(error, "starting");
        let (output, output_end) = pipe().map_err(fail)?;
        let errors_end = output_end.try_clone().map_err(fail)?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", search_path())
            .env("LC_ALL", "C")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output_end)
            .stderr(errors_end)
            .process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let child = spawn(&mut command).map_err(fail)?;
        // `command` is dropped here and closes our write ends, so that the pipe ends with the program.
        Ok((child, Stream::new(output)))
    }

    fn failed(&self, error: io::Error, operation: &str) -> Error {
        Error::caused_by(ErrorKind::ToolFailed, operation, self.program.display().to_string(), error)
    }

    fn timed_out(&self, still_there: bool, output: &str) -> Error {
        let fate = if still_there { "does not end even when killed" } else { "was killed" };
        let detail = format!("{fate} after {:?}; its last output: {}", self.timeout, last_line(output));
        Error::new(ErrorKind::TimedOut, "running", self.program.display().to_string(), detail)
    }
}

/// The last line of an output that is not blank, for an error's detail.
pub(crate) fn last_line(output: &str) -> &str {
    output.lines().rfind(|line| !line.trim().is_empty()).map_or("it printed nothing", str::trim)
}

/// The pipe with the program's output.
struct Stream {
    /// `None` once it has ended.
    pipe: Option<File>,
    kept: Kept,
}

impl Stream {
    fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(File::from(pipe)), kept: Kept::default() }
    }

    /// Waits up to `patience` for output and reads it.
    fn wait(&mut self, patience: Duration) -> io::Result<()> {
        let Some(pipe) = &self.pipe else {
            std::thread::sleep(patience);
            return Ok(());
        };
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => self.drain(),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads what is in the pipe; a bounded number of bytes, so that a program that never stops writing cannot block
    /// us.
    fn drain(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        for _ in 0..8 {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(len) => self.kept.push(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The beginning and the end of a stream.
#[derive(Debug, Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out_len_bytes: u64,
}

impl Kept {
    fn push(&mut self, data: &[u8]) {
        let room = KEPT_LEN_BYTES.saturating_sub(self.head.len()).min(data.len());
        self.head.extend_from_slice(&data[..room]);
        self.tail.extend(&data[room..]);
        let surplus = self.tail.len().saturating_sub(KEPT_LEN_BYTES);
        self.tail.drain(..surplus);
        self.left_out_len_bytes += surplus as u64;
    }

    fn into_text(self) -> String {
        let tail: Vec<u8> = self.tail.into();
        let mut text = printable(&String::from_utf8_lossy(&self.head));
        if self.left_out_len_bytes > 0 {
            text.push_str(&format!("\n[{} bytes left out]\n", self.left_out_len_bytes));
        }
        text.push_str(&printable(&String::from_utf8_lossy(&tail)));
        text
    }
}

/// Replaces control characters other than line feeds and tabs: they could control the terminal that shows the log.
pub(super) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' && character != '\t' {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Starts a program. A program file that was just written can be "busy" for a moment, because a thread that forks at
/// that time passes the writer's descriptor to its child until that child's exec.
fn spawn(command: &mut Command) -> io::Result<Child> {
    for _ in 0..20 {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(POLL_INTERVAL);
            }
            other => return other,
        }
    }
    command.spawn()
}

/// A pipe whose read end does not block. No other program inherits its ends.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read_end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read_end, write_end))
}

/// Whether the program has ended; it is left as a zombie.
fn has_ended(child: &Child) -> nix::Result<bool> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(pid_of(child)), flags) {
        Ok(status) => Ok(status != WaitStatus::StillAlive),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn kill_group(child: &Child) -> nix::Result<()> {
    match killpg(pid_of(child), Signal::SIGKILL) {
        // EPERM: all that is left runs as another user, by setuid.
        Ok(()) | Err(Errno::ESRCH | Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn pid_of(child: &Child) -> Pid {
    // The kernel's process numbers are positive i32 (PID_MAX_LIMIT is 2^22).
    Pid::from_raw(child.id() as i32)
}

/// Reaps a killed program; `None` if it does not end.
fn wait_briefly(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + KILL_GRACE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Duration) -> Program {
        Program::new("sh", timeout).arg("-c").arg(script)
    }

    #[test]
    fn exit_status_and_output_are_returned() {
        let end = shell("echo out; echo err >&2; exit 3", Duration::from_secs(20)).run().unwrap();
        assert_eq!(end.exit, Exit::Code(3));
        assert_eq!(end.output, "out\nerr\n");
        assert_eq!(shell("kill -TERM $$", Duration::from_secs(20)).run().unwrap().exit, Exit::Signal(15));
    }

    #[test]
    fn long_output_keeps_both_ends_and_does_not_block() {
        let script =
            "echo first; dd if=/dev/zero bs=1024 count=2000 2>/dev/null | tr '\\0' x; echo; echo last";
        let end = shell(script, Duration::from_secs(60)).run().unwrap();
        assert_eq!(end.exit, Exit::Code(0));
        assert!(end.output.starts_with("first\n") && end.output.ends_with("\nlast\n"));
        assert!(end.output.contains("bytes left out]"));
        assert!(end.output.len() < 2 * KEPT_LEN_BYTES + 100, "{}", end.output.len());
    }

    #[test]
    fn a_hung_program_and_its_children_are_killed() {
        let started = Instant::now();
        let error = shell("echo busy; sleep 100 & sleep 100", Duration::from_millis(200)).run().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("busy"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_child_that_stays_behind_does_not_block() {
        let started = Instant::now();
        let end = shell("sleep 100 & setsid sleep 3 & echo done", Duration::from_secs(50)).run().unwrap();
        assert_eq!((end.exit, end.output.as_str()), (Exit::Code(0), "done\n"));
        assert!(started.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn a_missing_program_is_a_tool_failure() {
        let error = Program::new("/nonexistent/mkfs.ext4", Duration::from_secs(1)).run().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ToolFailed);
    }

    #[test]
    fn the_environment_holds_only_what_is_set() {
        let program = shell("env | sort", Duration::from_secs(20)).environment("REPLICATOR_ROOT", "/mnt");
        let output = program.run().unwrap().output;
        assert!(output.contains("REPLICATOR_ROOT=/mnt\n") && !output.contains("CARGO"), "{output}");
        let output = shell("printf 'a\\033[2Jb'", Duration::from_secs(20)).run().unwrap().output;
        assert_eq!(output, "a\\u{1b}[2Jb");
    }
}
