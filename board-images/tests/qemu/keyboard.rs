//! Somebody at the board's console: types, asks the shell, and reads its answers in the console's file.

use super::machine::Machine;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// What the shell of the initramfs says when it waits for a command.
const PROMPT: &str = "/ # ";
/// What is said once the console offers a shell.
const OFFER: &str = "Press Enter for a shell.";

/// The keyboard at a console.
pub(crate) struct Keyboard {
    stream: UnixStream,
    questions: usize,
}

impl Keyboard {
    /// At the other end is the console. What it says is read here only so that it never waits: QEMU keeps it in a file.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let mut said = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while matches!(said.read(&mut buffer), Ok(len_bytes) if len_bytes > 0) {}
        });
        Self { stream, questions: 0 }
    }

    /// Presses these keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.stream.write_all(keys.as_bytes()).unwrap();
    }
}

impl Machine {
    /// Waits until a shell is offered for the `number`-th time, asks for it, and waits for its prompt.
    #[track_caller]
    pub(crate) fn open_shell(&mut self, number: usize) {
        self.wait_until(OFFER, |text| (text.matches(OFFER).count() >= number).then_some(()));
        let prompts = self.text().matches(PROMPT).count();
        self.keyboard.press("\n");
        self.wait_for_prompt(prompts);
    }

    /// Interrupts what runs in the shell, by Ctrl-C.
    #[track_caller]
    pub(crate) fn interrupt(&mut self) {
        let prompts = self.text().matches(PROMPT).count();
        self.keyboard.press("\x03");
        self.wait_for_prompt(prompts);
    }

    /// What the shell answers to a command.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.keyboard.questions += 1;
        let [begin, end] = ["BEGIN", "END"].map(|word| format!("{word}-{}", self.keyboard.questions));
        // Put together by the shell: the echo of what is typed has neither of them.
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
