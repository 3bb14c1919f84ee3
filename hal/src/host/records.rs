//! Records as files in a directory, and a console.
//!
//! There is one file per operation, which the first line of a new run replaces, and `report.json`, which is replaced
//! atomically. The first write that fails is reported on the console; later ones are ignored.

use super::child::printable;
use crate::Records;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Records in a directory such as `/tmp/logs`.
pub struct FileRecords {
    directory: PathBuf,
    terminal: bool,
    state: Mutex<State>,
}

struct State {
    console: Box<dyn Write + Send>,
    /// Whether the last line on the console is a progress line, which the next one overwrites.
    progress_shown: bool,
    /// Open logs; `None` for one that cannot be written.
    logs: BTreeMap<String, Option<File>>,
    is_error_reported: bool,
}

impl FileRecords {
    /// Records in `directory`, which is created if needed. On a `terminal`, progress lines overwrite each other.
    pub fn new(directory: impl Into<PathBuf>, console: Box<dyn Write + Send>, terminal: bool) -> Self {
        let records = Self {
            directory: directory.into(),
            terminal,
            state: Mutex::new(State {
                console,
                progress_shown: false,
                logs: BTreeMap::new(),
                is_error_reported: false,
            }),
        };
        let made = std::fs::create_dir_all(&records.directory);
        records.with_state(|state| state.note(made, "creating the log directory"));
        records
    }

    /// Records in `directory` and on standard error.
    pub fn on_stderr(directory: impl Into<PathBuf>) -> Self {
        let terminal = io::IsTerminal::is_terminal(&io::stderr());
        Self::new(directory, Box::new(io::stderr()), terminal)
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open_log(&self, operation: &str) -> io::Result<File> {
        // The directory is often in /tmp, where another user could have put a symlink.
        OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(self.directory.join(operation))
    }

    fn write_report(&self, json: &str) -> io::Result<()> {
        let unfinished = self.directory.join("report.json.new");
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).open(&unfinished)?;
        file.write_all(json.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(unfinished, self.directory.join("report.json"))
    }
}

impl State {
    /// Errors of the console are ignored: they cannot be reported anywhere.
    fn print(&mut self, line: &str, end: &str) {
        let start = if self.progress_shown { "\r\x1b[K" } else { "" };
        drop(write!(self.console, "{start}{}{end}", printable(line)).and_then(|()| self.console.flush()));
    }

    /// Reports the first error of a file.
    fn note(&mut self, result: io::Result<()>, operation: &str) {
        let Err(error) = result else { return };
        if !self.is_error_reported {
            self.is_error_reported = true;
            self.print(&format!("logs are incomplete from here on: {operation}: {error}"), "\n");
            self.progress_shown = false;
        }
    }
}

/// Names consist of letters, digits, `-` and `_`. Another character must not select a file elsewhere.
fn file_name(operation: &str) -> String {
    let safe = |character: char| {
        if character.is_ascii_alphanumeric() || matches!(character, '-' | '_') { character } else { '_' }
    };
    if operation.is_empty() { "_".to_owned() } else { operation.chars().take(100).map(safe).collect() }
}

impl Records for FileRecords {
    fn console(&self, line: &str) {
        self.with_state(|state| {
            state.print(line, "\n");
            state.progress_shown = false;
        });
    }

    fn progress(&self, line: &str) {
        self.with_state(|state| {
            state.print(line, if self.terminal { "" } else { "\n" });
            state.progress_shown = self.terminal;
        });
    }

    fn log(&self, operation: &str, line: &str) {
        let name = file_name(operation);
        self.with_state(|state| {
            if !state.logs.contains_key(&name) {
                let opened = self.open_log(&name);
                let log = match opened {
                    Ok(file) => Some(file),
                    Err(error) => {
                        state.note(Err(error), &format!("opening the log {name}"));
                        None
                    }
                };
                state.logs.insert(name.clone(), log);
            }
            let written = match state.logs.get_mut(&name) {
                Some(Some(file)) => file.write_all(format!("{line}\n").as_bytes()),
                _ => Ok(()),
            };
            state.note(written, &format!("writing the log {name}"));
        });
    }

    fn report(&self, json: &str) {
        let written = self.write_report(json);
        self.with_state(|state| state.note(written, "writing report.json"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Console(Arc<Mutex<Vec<u8>>>);

    impl Write for Console {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(data);
            Ok(data.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Console {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn a_log_is_replaced_by_the_next_run_and_cannot_leave_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        for run in ["first", "second"] {
            let records = FileRecords::new(directory.path().join("logs"), Box::new(io::sink()), false);
            records.log("sd-capture", run);
            records.log("sd-capture", "more");
            records.log("../escape", run);
            records.report("{}");
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join("logs").join(name)).unwrap();
        assert_eq!(read("sd-capture"), "second\nmore\n");
        assert_eq!(read("___escape"), "second\n");
        assert_eq!(read("report.json"), "{}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_first_error_is_reported_and_the_work_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("not-a-directory");
        std::fs::write(&file, b"").unwrap();
        let console = Console::default();
        let records = FileRecords::new(&file, Box::new(console.clone()), false);
        records.log("sd-capture", "a");
        records.report("{}");
        records.console("sd: success");
        let text = console.text();
        assert_eq!(text.matches("logs are incomplete").count(), 1, "{text}");
        assert!(text.ends_with("sd: success\n"), "{text}");
    }

    #[test]
    fn progress_is_overwritten_on_a_terminal_only() {
        let directory = tempfile::tempdir().unwrap();
        for (terminal, expected) in [(true, "10 %\r\x1b[K20 %\r\x1b[Kdone\n"), (false, "10 %\n20 %\ndone\n")]
        {
            let console = Console::default();
            let records = FileRecords::new(directory.path(), Box::new(console.clone()), terminal);
            records.progress("10 %");
            records.progress("20 %");
            records.console("done");
            assert_eq!(console.text(), expected);
        }
    }
}
