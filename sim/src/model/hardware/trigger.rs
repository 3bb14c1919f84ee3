//! When a fault acts: the conditions for calls, and which calls match them.

use crate::model::bytes::size::ByteRange;
use crate::model::time::op::Op;
use crate::model::time::op_name::OpName;
use serde::Serialize;
use std::ops::Range;

/// When a fault acts. All given conditions must hold; without any, it always acts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Trigger {
    /// Whose calls count, if not those on the fault's own target: the other devices of a board, `devices` for their
    /// list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<OpName>,
    /// Pattern of the file's path or the device's name; `*` stands for any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The call touches these bytes of its object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<ByteRange>,
    /// It acts from the n-th matching call on, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// It acts so many times; for ever by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Number of the call in the boot, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

impl Trigger {
    /// Always.
    pub fn always() -> Self {
        Self::default()
    }

    /// At the `nth` call of `op`, once.
    pub fn nth(op: OpName, nth: u64) -> Self {
        Self { nth: Some(nth), times: Some(1), ..Self::op(op) }
    }

    /// At every call of `op`.
    pub fn op(op: OpName) -> Self {
        Self { op: Some(op), ..Self::default() }
    }

    /// At the call with this number, once.
    pub fn at(number: u64) -> Self {
        Self { at: Some(number), times: Some(1), ..Self::default() }
    }

    /// The same, for calls that touch these bytes.
    #[must_use]
    pub fn range(mut self, range: Range<u64>) -> Self {
        self.range = ByteRange::new(range);
        self
    }

    /// The same, for files or devices that match the pattern.
    #[must_use]
    pub fn file(mut self, pattern: &str) -> Self {
        self.file = Some(pattern.to_owned());
        self
    }

    /// The same, acting so many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    pub(crate) fn is_always(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn matches(&self, op: &Op, number: u64) -> bool {
        let touches = |range: &ByteRange| {
            let (range, bytes) = (range.bytes(), op.bytes());
            bytes.start < range.end && bytes.end > range.start
        };
        self.op.is_none_or(|name| name == op.name)
            && self.at.is_none_or(|at| at == number)
            && self.range.as_ref().is_none_or(touches)
            && self.file.as_ref().is_none_or(|pattern| glob(pattern.as_bytes(), op.object.as_bytes()))
    }
}

/// Whether a text matches a pattern in which `*` stands for any text.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut star) = ((0, 0), None);
    while at.1 < text.len() {
        match pattern.get(at.0) {
            Some(b'*') => {
                star = Some((at.0 + 1, at.1));
                at.0 += 1;
            }
            Some(byte) if *byte == text[at.1] => at = (at.0 + 1, at.1 + 1),
            _ => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    at = (after, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at.0..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text, yes) in [
            ("*.dd.xz", ".capture/sdimage.dd.xz", true),
            ("*.dd.xz", "sdimage.dd.xz.md5", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), yes, "{pattern} {text}");
        }
    }
}
