//! QEMU's monitor: unplugs devices, finds objects, starts a machine, and receives its events.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A connection to the monitor.
pub(crate) struct Qmp {
    /// Messages of the monitor; closed when the machine ends.
    messages: Receiver<Value>,
    writer: UnixStream,
    /// Events so far.
    events: Vec<Event>,
}

/// An event of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// QEMU's name for it, such as `SHUTDOWN`.
    pub(crate) name: String,
    /// Its `reason` or `action`, if it has one.
    pub(crate) why: String,
}

impl Qmp {
    /// Connects to the monitor.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let reader = BufReader::new(stream.try_clone().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut qmp = Self { messages, writer: stream, events: Vec::new() };
        let greeting = qmp.messages.recv().unwrap();
        assert!(greeting["QMP"].is_object(), "{greeting}");
        qmp.command("qmp_capabilities", &json!({}));
        qmp
    }

    /// Runs a command and returns its result.
    #[track_caller]
    pub(crate) fn command(&mut self, name: &str, arguments: &Value) -> Value {
        let line = json!({ "execute": name, "arguments": arguments }).to_string();
        self.writer.write_all(line.as_bytes()).unwrap();
        loop {
            let answer = self.messages.recv().unwrap();
            assert!(answer["error"].is_null(), "{name} {arguments}: {answer}");
            if !answer["return"].is_null() {
                return answer["return"].clone();
            }
            self.keep(&answer);
        }
    }

    /// Events so far.
    pub(crate) fn events(&mut self) -> &[Event] {
        while let Ok(message) = self.messages.try_recv() {
            self.keep(&message);
        }
        &self.events
    }

    /// Waits for the event `wanted`, up to the time limit; returns whether it came.
    pub(crate) fn wait_for(&mut self, wanted: &str, time_limit: Duration) -> bool {
        let deadline = Instant::now() + time_limit;
        while !self.events.iter().any(|event| event.name == wanted) {
            match self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(message) => self.keep(&message),
                Err(_) => return false,
            }
        }
        true
    }

    fn keep(&mut self, message: &Value) {
        let Some(name) = message["event"].as_str() else { return };
        let data = &message["data"];
        let why = data["reason"].as_str().or(data["action"].as_str()).unwrap_or_default();
        self.events.push(Event { name: name.to_owned(), why: why.to_owned() });
    }

    /// Path of the only child of `parent` in the object tree whose name and type are `wanted`.
    #[track_caller]
    pub(crate) fn path_of(&mut self, parent: &str, wanted: impl Fn(&str, &str) -> bool) -> String {
        let children = self.command("qom-list", &json!({ "path": parent }));
        let text = |child: &Value, key: &str| child[key].as_str().unwrap_or_default().to_owned();
        let mut found = children.as_array().unwrap().iter().filter_map(|child| {
            let (name, kind) = (text(child, "name"), text(child, "type"));
            wanted(&name, &kind).then(|| format!("{parent}/{name}"))
        });
        found.next().unwrap_or_else(|| panic!("no such object in {parent}: {children}"))
    }
}
