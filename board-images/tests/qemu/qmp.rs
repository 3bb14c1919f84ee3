//! QEMU's monitor: pulls devices, finds objects, lets a machine begin, and hears what becomes of it.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A connection to the monitor.
pub(crate) struct Qmp {
    /// What the monitor says; its end is the machine's.
    said: Receiver<Value>,
    writer: UnixStream,
    /// What has happened so far.
    events: Vec<Event>,
}

/// Something that happened to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// QEMU's name for it, such as `SHUTDOWN`.
    pub(crate) name: String,
    /// Its `reason` or `action`, if it has one.
    pub(crate) why: String,
}

impl Qmp {
    /// Greets the monitor at the other end.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let reader = BufReader::new(stream.try_clone().unwrap());
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut qmp = Self { said, writer: stream, events: Vec::new() };
        let greeting = qmp.said.recv().unwrap();
        assert!(greeting["QMP"].is_object(), "{greeting}");
        qmp.command("qmp_capabilities", &json!({}));
        qmp
    }

    /// One command and what it returns.
    #[track_caller]
    pub(crate) fn command(&mut self, name: &str, arguments: &Value) -> Value {
        let line = json!({ "execute": name, "arguments": arguments }).to_string();
        self.writer.write_all(line.as_bytes()).unwrap();
        loop {
            let answer = self.said.recv().unwrap();
            assert!(answer["error"].is_null(), "{name} {arguments}: {answer}");
            if !answer["return"].is_null() {
                return answer["return"].clone();
            }
            self.keep(&answer);
        }
    }

    /// What happened up to now.
    pub(crate) fn events(&mut self) -> &[Event] {
        while let Ok(said) = self.said.try_recv() {
            self.keep(&said);
        }
        &self.events
    }

    /// Waits until `wanted` has happened, for so long at most; whether it has.
    pub(crate) fn wait_for(&mut self, wanted: &str, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while !self.events.iter().any(|event| event.name == wanted) {
            match self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(said) => self.keep(&said),
                Err(_) => return false,
            }
        }
        true
    }

    fn keep(&mut self, said: &Value) {
        let Some(name) = said["event"].as_str() else { return };
        let data = &said["data"];
        let why = data["reason"].as_str().or(data["action"].as_str()).unwrap_or_default();
        self.events.push(Event { name: name.to_owned(), why: why.to_owned() });
    }

    /// Path of the only object of a type among those that the machine has made for itself, or of a child of its SoC.
    #[track_caller]
    pub(crate) fn path_of(&mut self, parent: &str, wanted: impl Fn(&str, &str) -> bool) -> String {
        let children = self.command("qom-list", &json!({ "path": parent }));
        let text = |child: &Value, key: &str| child[key].as_str().unwrap_or_default().to_owned();
        let mut found = children.as_array().unwrap().iter().filter_map(|child| {
            let (name, kind) = (text(child, "name"), text(child, "type"));
            wanted(&name, &kind).then(|| format!("{parent}/{name}"))
        });
        found.next().unwrap_or_else(|| panic!("nothing of the kind in {parent}: {children}"))
    }
}
