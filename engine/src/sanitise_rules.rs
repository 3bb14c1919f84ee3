//! The rules for sanitising: the format of rule files, and the built-in list.
//!
//! A rule file is strict: anything without a meaning is an error with the rule and the line, because a rule without
//! effect would leave a secret in every clone. This module defines which paths a rule matches; `capture` walks a file
//! system and changes it. The format is described at the top of the built-in list, `sanitise_default.toml`.

mod pattern;

pub use pattern::{InvalidPattern, Pattern, Positions};

use crate::from_toml::{self, Placed};
use replicator_hal::RelativePath;
use serde::Deserialize;
use std::fmt;
use std::sync::OnceLock;

/// The text of the built-in rules.
pub const DEFAULT_TEXT: &str = include_str!("sanitise_default.toml");

/// Longest rule file, in bytes.
const TEXT_LIMIT_BYTES: usize = 64 * 1024;

/// What a rule does to the files that its paths match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Removes the file, or the directory with everything in it.
    Remove,
    /// Removes everything in the directory and keeps the directory.
    RemoveContent,
    /// Removes everything below the directory except directories, at any depth.
    RemoveFiles,
    /// Truncates the file to no length; owner, mode and attributes stay.
    Empty,
    /// Makes an empty file if none exists.
    Touch,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Remove => "remove",
            Self::RemoveContent => "remove-content",
            Self::RemoveFiles => "remove-files",
            Self::Empty => "empty",
            Self::Touch => "touch",
        })
    }
}

/// The file systems of a medium to which a rule applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Every root file system, with the file systems that it mounts.
    Root,
    /// The file system that `/etc/fstab` mounts at this path; the rule's paths start at its own root.
    MountedAt(RelativePath),
    /// File systems with this label.
    Label(String),
    /// The partition of this number.
    Partition(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the root file system"),
            Self::MountedAt(path) => write!(f, "what is mounted at /{path}"),
            Self::Label(label) => write!(f, "the file system labelled `{}`", label.escape_debug()),
            Self::Partition(number) => write!(f, "partition {number}"),
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, for the log and the report.
    pub what: String,
    /// The file systems to which it applies.
    pub place: Place,
    /// What to do.
    pub action: Action,
    /// The files or directories, depending on the action. For [`Action::Touch`] without wildcards.
    pub paths: Vec<Pattern>,
    /// Exceptions from `paths`: these paths, everything below them, and the directories above them stay.
    pub keep: Vec<Pattern>,
    /// Whether it is an error if nothing matches.
    pub required: bool,
    /// The mode of a file made by [`Action::Touch`].
    pub mode: u32,
}

impl Rule {
    /// Whether the rule erases the content of the file at `path`, directly or with a directory above it.
    pub fn erases(&self, path: &RelativePath) -> bool {
        let is_kept = self.keep.iter().any(|pattern| pattern.matches_or_holds(path));
        let is_meant = |pattern: &Pattern| match self.action {
            Action::Remove => pattern.matches_or_holds(path),
            Action::RemoveContent | Action::RemoveFiles => {
                path.parent().is_some_and(|parent| pattern.matches_or_holds(&parent))
            }
            Action::Empty => pattern.matches(path),
            Action::Touch => false,
        };
        !is_kept && self.place == Place::Root && self.paths.iter().any(is_meant)
    }
}

/// Why a rule file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// It is too long.
    #[error("the rule file has {len_bytes} bytes; the limit is {TEXT_LIMIT_BYTES}")]
    TooLong {
        /// Its length.
        len_bytes: usize,
    },
    /// It has no rules. To use none, set `capture.sanitise = false`.
    #[error("the rule file has no rules")]
    Empty,
    /// A rule, or the text before the first rule, is invalid.
    #[error("line {line}, rule {rule}{}: {detail}", name_of(.what))]
    Rule {
        /// Which rule, from 1; 0 before the first.
        rule: usize,
        /// Its name, if it is known.
        what: String,
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        detail: String,
    },
}

fn name_of(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!(" \"{}\"", what.escape_debug()) }
}

/// A list of rules, in the order in which they apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The rules.
    pub rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRules {
    #[serde(default)]
    rule: Vec<Placed<RawRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    what: String,
    action: Action,
    at: Option<Placed<String>>,
    label: Option<Placed<String>>,
    partition: Option<Placed<i64>>,
    paths: Vec<Placed<String>>,
    #[serde(default)]
    keep: Vec<Placed<String>>,
    required: Option<Placed<bool>>,
    mode: Option<Placed<i64>>,
}

impl Rules {
    /// The built-in rules.
    ///
    /// # Errors
    /// None in practice: a test parses the list.
    pub fn built_in() -> Result<Self, RulesError> {
        static SHIPPED: OnceLock<Rules> = OnceLock::new();
        if let Some(known) = SHIPPED.get() {
            return Ok(known.clone());
        }
        let rules = Self::parse(DEFAULT_TEXT)?;
        Ok(SHIPPED.get_or_init(|| rules).clone())
    }

    /// Parses a rule file.
    ///
    /// # Errors
    /// The rule and the line, if anything in it is unknown or has no meaning.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        if text.len() > TEXT_LIMIT_BYTES {
            return Err(RulesError::TooLong { len_bytes: text.len() });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let raw: RawRules = from_toml::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = line_of(text, at);
            let rule =
                text.lines().take(line).filter(|line| line.trim_start().starts_with("[[rule]]")).count();
            let detail = error.message().trim().replace('\n', "; ");
            RulesError::Rule { rule, what: String::new(), line, detail }
        })?;
        let rules = raw
            .rule
            .into_iter()
            .enumerate()
            .map(|(index, raw)| {
                let Placed { at: start, value: raw } = raw;
                let what = raw.what.clone();
                rule(raw).map_err(|(at, detail)| RulesError::Rule {
                    rule: index + 1,
                    what,
                    line: line_of(text, at.unwrap_or(start)),
                    detail,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if rules.is_empty() { Err(RulesError::Empty) } else { Ok(Self { rules }) }
    }

    /// The first rule that erases the content of the file at `path`.
    pub fn erasing(&self, path: &RelativePath) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.erases(path))
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The position in the text, if it is not the rule's start, and the error.
type Fault = (Option<usize>, String);

fn rule(raw: RawRule) -> Result<Rule, Fault> {
    if raw.what.trim().is_empty() || raw.what.chars().any(char::is_control) {
        return Err((None, "\"what\" must name the rule, in one line".to_owned()));
    }
    if raw.paths.is_empty() {
        return Err((None, "\"paths\" is empty".to_owned()));
    }
    let place = place(&raw)?;
    let paths = patterns(&raw.paths)?;
    let keep = patterns(&raw.keep)?;
    let is_touch = raw.action == Action::Touch;
    if is_touch {
        if let Some((_, place)) =
            paths.iter().zip(&raw.paths).find(|(pattern, _)| pattern.literal().is_none())
        {
            return Err((Some(place.at), "\"touch\" needs paths without wildcards".to_owned()));
        }
        if let Some(place) = raw.keep.first() {
            return Err((Some(place.at), "\"keep\" has no meaning with \"touch\"".to_owned()));
        }
    }
    let required = match &raw.required {
        Some(place) if is_touch => {
            return Err((Some(place.at), "\"required\" has no meaning with \"touch\"".to_owned()));
        }
        required => required.as_ref().is_some_and(|required| required.value),
    };
    let mode = match &raw.mode {
        None => 0o644,
        Some(place) if !is_touch => {
            return Err((Some(place.at), "\"mode\" has a meaning with \"touch\" only".to_owned()));
        }
        Some(place) => u32::try_from(place.value)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .ok_or_else(|| (Some(place.at), "\"mode\" is not within 0o0 to 0o7777".to_owned()))?,
    };
    Ok(Rule { what: raw.what, place, action: raw.action, paths, keep, required, mode })
}

fn place(raw: &RawRule) -> Result<Place, Fault> {
    match (&raw.at, &raw.label, &raw.partition) {
        (None, None, None) => Ok(Place::Root),
        (Some(at), None, None) => match at.value.strip_prefix('/').map(RelativePath::parse) {
            Some(Ok(path)) if !path.is_root() => Ok(Place::MountedAt(path)),
            _ => Err((Some(at.at), "\"at\" must be the absolute path of a mount point below /".to_owned())),
        },
        (None, Some(label), None) if !label.value.is_empty() => Ok(Place::Label(label.value.clone())),
        (None, Some(label), None) => Err((Some(label.at), "\"label\" is empty".to_owned())),
        (None, None, Some(number)) => match u32::try_from(number.value) {
            Ok(number @ 1..) => Ok(Place::Partition(number)),
            _ => Err((Some(number.at), "\"partition\" counts from 1".to_owned())),
        },
        _ => Err((None, "only one of \"at\", \"label\" and \"partition\" can be given".to_owned())),
    }
}

fn patterns(raw: &[Placed<String>]) -> Result<Vec<Pattern>, Fault> {
    raw.iter()
        .map(|text| Pattern::parse(&text.value).map_err(|error| (Some(text.at), error.to_string())))
        .collect()
}

#[cfg(test)]
mod tests;
