//! Values and errors are the same as those of `toml`'s own deserializer.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Debug;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Everything {
    text: String,
    #[serde(default)]
    number: i64,
    #[serde(default)]
    small: u8,
    large: Option<u64>,
    flag: Option<bool>,
    kind: Option<Kind>,
    #[serde(default)]
    list: Vec<String>,
    #[serde(default)]
    part: Vec<Part>,
    one: Option<Part>,
    named: Option<Named>,
    #[serde(default)]
    counts: BTreeMap<String, u32>,
    #[serde(default, deserialize_with = "even")]
    even: u32,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Part {
    name: String,
    line: Option<u32>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Named(String);

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Sd,
    Emmc,
}

fn even<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = u32::deserialize(deserializer)?;
    if value % 2 == 0 { Ok(value) } else { Err(de::Error::custom(format!("{value} is odd"))) }
}

/// A text with every kind of value and no mistake.
const WHOLE: &str = r#"text = "a\tb"
number = -7
small = 0xff
large = 18_446_744_073_709_551_615
flag = true
kind = "emmc"
list = ["one", 'two', """three"""]
one = { name = "x", line = 0b11 }
named = "y"
even = 4
[[part]]
name = "first"
[[part]]
name = "second"
line = 2
[counts]
"a key" = 1
b = 2
"#;

type Outcome<T> = Result<T, (String, Option<Range<usize>>)>;

fn outcome<T>(result: Result<T, toml::de::Error>) -> Outcome<T> {
    result.map_err(|error| (error.to_string(), error.span()))
}

fn same<T: DeserializeOwned + Debug + PartialEq>(text: &str) -> Outcome<T> {
    let ours = outcome(parse::<T>(text));
    assert_eq!(ours, outcome(toml::from_str::<T>(text)), "{text:?}");
    ours
}

#[test]
fn every_kind_of_value_is_read() {
    let read = same::<Everything>(WHOLE).unwrap();
    assert_eq!(read.large, Some(u64::MAX));
    assert_eq!(read.part[1], Part { name: "second".to_owned(), line: Some(2) });
    assert_eq!(read.counts["a key"], 1);
}

#[test]
fn an_error_has_its_position() {
    for line in [
        "",
        "txt = 1",
        "text = 1",
        "text = true",
        "text = [1]",
        "text = { a = 1 }",
        "text = 'a' x",
        "number = 9_223_372_036_854_775_808",
        "number = 99999999999999999999",
        "number = 340282366920938463463374607431768211455",
        "number = 999999999999999999999999999999999999999999",
        "small = 256",
        "small = -1",
        "flag = 'yes'",
        "kind = 'usb'",
        "kind = ''",
        "list = 'one'",
        "list = ['one',\n 2]",
        "list = {}",
        "one = 'x'",
        "one = {}",
        "one = { name = 1 }",
        "part = [{ name = 'a', line = -1 }]",
        "part = [{ line = 1 }]",
        "named = 1",
        "counts = { a = 'b' }",
        "even = 3",
        "even = 'x'",
        "even = 4294967296",
    ] {
        let start = if line.starts_with("text") { "" } else { "text = 'a'\n" };
        let outcome_of_line = same::<Everything>(&format!("{start}{line}\n"));
        assert_eq!(outcome_of_line.is_ok(), line.is_empty(), "{line}");
    }
    assert!(same::<Everything>("number = 1\n").unwrap_err().0.contains("missing field `text`"));
}

#[test]
fn types_that_no_file_uses_are_refused() {
    for (line, message) in [
        ("number = 1.50", "invalid type: floating point `1.50`, expected i64"),
        ("list = [1979-05-27]", "invalid type: date or time, expected a string"),
        ("kind = 1", "wanted string"),
        ("kind = { sd = 1 }", "wanted string"),
    ] {
        let error = parse::<Everything>(&format!("text = 'a'\n{line}\n")).unwrap_err();
        assert_eq!(error.message(), message);
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}

#[test]
fn the_position_is_where_the_value_begins() {
    #[derive(Deserialize)]
    struct Places {
        list: Vec<Placed<String>>,
        one: Option<Placed<bool>>,
    }
    let text = "one = true\nlist = ['a',\n 'bc']\n";
    let places: Places = parse(text).unwrap();
    let one = places.one.unwrap();
    assert_eq!((one.at, one.value), (text.find("true").unwrap(), true));
    let list: Vec<_> = places.list.iter().map(|placed| (placed.at, placed.value.as_str())).collect();
    assert_eq!(list, [(text.find("'a'").unwrap(), "a"), (text.find("'bc'").unwrap(), "bc")]);
    let error = parse::<Places>("list = ['a',\n 1]\n").map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("line 2, column 2"), "{error}");
}

proptest! {
    /// Replaces one character of a good text.
    #[test]
    fn mistakes_have_the_errors_of_toml(at in 0..WHOLE.len(), to in "[ a-z0-9='\"\\[\\]{},\n#é-]") {
        let mut text = WHOLE.to_owned();
        text.replace_range(at..=at, &to);
        // Fractions, dates and enums with content are worded differently.
        let known = |text: &str| !["floating", "datetime", "wanted string"].iter().any(|it| text.contains(it));
        let theirs = outcome(toml::from_str::<Everything>(&text));
        if theirs.as_ref().map_or_else(|error| known(&error.0), |_| true) {
            prop_assert_eq!(outcome(parse::<Everything>(&text)), theirs);
        } else {
            prop_assert!(parse::<Everything>(&text).is_err());
        }
    }
}
