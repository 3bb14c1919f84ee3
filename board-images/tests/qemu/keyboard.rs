//! A user at the console of the board: types keys, runs commands in the shell, and reads their output from the console log.

use super::machine::Machine;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// The prompt of the shell in the initramfs.
const PROMPT: &str = "/ # ";
/// Printed when the console offers a shell.
const OFFER: &str = "Press Enter for a shell.";

/// The keyboard at a console.
pub(crate) struct Keyboard {
    stream: UnixStream,
    commands: usize,
}

impl Keyboard {
    /// Connects to the console. Its output is read and dropped, so that it never blocks; QEMU logs it to a file.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let mut output = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while matches!(output.read(&mut buffer), Ok(len_bytes) if len_bytes > 0) {}
        });
        Self { stream, commands: 0 }
    }

    /// Presses these keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.stream.write_all(keys.as_bytes()).unwrap();
    }
}

impl Machine {
    /// Waits until a shell is offered for the `number`-th time, presses Enter, and waits for the prompt.
    #[track_caller]
    pub(crate) fn open_shell(&mut self, number: usize) {
        self.wait_until(OFFER, |text| (text.matches(OFFER).count() >= number).then_some(()));
        let prompts = self.text().matches(PROMPT).count();
        self.keyboard.press("\n");
        self.wait_for_prompt(prompts);
    }

    /// Interrupts the command in the shell with Ctrl-C.
    #[track_caller]
    pub(crate) fn interrupt(&mut self) {
        let prompts = self.text().matches(PROMPT).count();
        self.keyboard.press("\x03");
        self.wait_for_prompt(prompts);
    }

    /// Runs a command in the shell and returns its output.
    #[track_caller]
    pub(crate) fn run_command(&mut self, command: &str) -> String {
        self.keyboard.commands += 1;
        let [begin, end] = ["BEGIN", "END"].map(|word| format!("{word}-{}", self.keyboard.commands));
        // The shell joins the words, so that the echo of the typed line contains neither of them.
        let quoted = |word: &str| word.replace('-', "\"-\"");
        self.keyboard.press(&format!("echo {}; {command}; echo {}\n", quoted(&begin), quoted(&end)));
        self.wait_until(&end, |text| {
            let from = text.find(&begin)? + begin.len();
            let len_bytes = text[from..].find(&end)?;
            Some(text[from..from + len_bytes].replace('\r', "").trim().to_owned())
        })
    }

    #[track_caller]
    fn wait_for_prompt(&mut self, before: usize) {
        self.wait_until("the shell's prompt", |text| (text.matches(PROMPT).count() > before).then_some(()));
    }
}
