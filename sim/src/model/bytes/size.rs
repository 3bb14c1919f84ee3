//! Lengths and ranges of bytes as people write them.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A length such as `"16 MiB"`, `"512"` or a plain number of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// Reads `"16 MiB"`, `"4 KiB"`, `"1 GiB"`, `"512 B"`, `"512"`.
    ///
    /// # Errors
    /// A sentence with the right syntax.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let hint = || format!("{text:?} is not a size; write it like \"16 MiB\", \"4 KiB\" or \"512\"");
        let number: u64 = text[..digits].parse().map_err(|_| hint())?;
        let shift = match text[digits..].trim() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(hint()),
        };
        number.checked_mul(1 << shift).map(Self).ok_or_else(hint)
    }
}

impl Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.into_iter().find(|(_, unit)| self.0 > 0 && self.0 % unit == 0) {
            Some((name, unit)) => serializer.collect_str(&format_args!("{} {name}", self.0 / unit)),
            None => serializer.collect_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Serialize, Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(u64),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Number(number) => Ok(Self(number)),
            Raw::Text(text) => Self::parse(&text).map_err(serde::de::Error::custom),
        }
    }
}

/// Bytes from one place to another: `"4 MiB.."`, `"0..512"`, `"1 MiB..2 MiB"`. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteRange(Range<u64>);

impl ByteRange {
    /// The range, or `None` if it is empty.
    pub fn new(range: Range<u64>) -> Option<Self> {
        (!range.is_empty()).then_some(Self(range))
    }

    /// `len_bytes` bytes from `start` on, but at least one.
    pub fn at(start: u64, len_bytes: u64) -> Self {
        let start = start.min(u64::MAX - 1);
        Self(start..start.saturating_add(len_bytes.max(1)))
    }

    /// Its bytes.
    pub fn bytes(&self) -> Range<u64> {
        self.0.clone()
    }

    /// The byte in its middle.
    pub fn middle(&self) -> u64 {
        self.0.start + (self.0.end - self.0.start) / 2
    }
}

impl TryFrom<String> for ByteRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let hint = || format!("{text:?} is not a range; write it like \"4 MiB..\" or \"0..512\"");
        let (start, end) = text.split_once("..").ok_or_else(hint)?;
        let size = |part: &str, otherwise| match part.trim() {
            "" => Ok(otherwise),
            part => Size::parse(part).map(|size| size.0),
        };
        Self::new(size(start, 0)?..size(end, u64::MAX)?).ok_or_else(hint)
    }
}

impl From<ByteRange> for String {
    fn from(range: ByteRange) -> Self {
        match range.0 {
            Range { start, end: u64::MAX } => format!("{start}.."),
            Range { start, end } => format!("{start}..{end}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read_as_people_write_them() {
        let range = |text: &str| ByteRange::try_from(text.to_owned());
        assert_eq!(range("4 MiB..").unwrap().bytes(), 4 << 20..u64::MAX);
        assert_eq!(range("0..512").unwrap().bytes(), 0..512);
        for text in ["4 MiB..", "0..512", "..7"] {
            let read = range(text).unwrap();
            assert_eq!(range(&String::from(read.clone())).unwrap(), read, "{text}");
        }
        assert!(range("4 MiB").unwrap_err().contains("4 MiB.."));
        assert!(range("7..7").is_err());
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(Size::parse("16 MiB"), Ok(Size(16 << 20)));
        assert_eq!(Size::parse("512"), Ok(Size(512)));
        assert!(Size::parse("16 MB").unwrap_err().contains("16 MiB"));
        assert!(Size::parse("99999999999 GiB").is_err());
    }
}
