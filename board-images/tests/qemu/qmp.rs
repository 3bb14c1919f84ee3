//! QEMU's monitor: pulls devices, finds objects, lets a machine begin.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// A connection to the monitor.
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Qmp {
    /// Greets the monitor at the other end.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let mut qmp = Self { reader: BufReader::new(stream.try_clone().unwrap()), writer: stream };
        let greeting = qmp.read();
        assert!(greeting["QMP"].is_object(), "{greeting}");
        qmp.command("qmp_capabilities", &json!({}));
        qmp
    }

    /// One command and what it returns; events in between are dropped.
    #[track_caller]
    pub(crate) fn command(&mut self, name: &str, arguments: &Value) -> Value {
        let line = json!({ "execute": name, "arguments": arguments }).to_string();
        self.writer.write_all(line.as_bytes()).unwrap();
        loop {
            let answer = self.read();
            assert!(answer["error"].is_null(), "{name} {arguments}: {answer}");
            if !answer["return"].is_null() {
                return answer["return"].clone();
            }
        }
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

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}
