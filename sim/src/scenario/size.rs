//! Lengths as people write them.

use serde::{Deserialize, Serialize};

/// A length such as `"16 MiB"`, `"512"` or a plain number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// Reads `"16 MiB"`, `"4 KiB"`, `"1 GiB"`, `"512 B"`, `"512"`.
    ///
    /// # Errors
    /// A sentence that shows how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let hint = || format!("{text:?} is no size; write it like \"16 MiB\", \"4 KiB\" or \"512\"");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(Size::parse("16 MiB"), Ok(Size(16 << 20)));
        assert_eq!(Size::parse("512"), Ok(Size(512)));
        assert!(Size::parse("16 MB").unwrap_err().contains("16 MiB"));
        assert!(Size::parse("99999999999 GiB").is_err());
    }
}
