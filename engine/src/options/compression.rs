//! The option `capture.compress`: a name, or a truth value as in version 0.1.

use serde::{Deserialize, Deserializer, de};
use std::fmt;

/// How captured images are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CaptureCompression {
    /// Not at all; `"none"` or `false`.
    None,
    /// With xz, which makes the smallest images; `"xz"` or `true`.
    #[default]
    Xz,
    /// With zstd, which takes the least processor time; `"zstd"`.
    Zstd,
}

impl<'de> Deserialize<'de> for CaptureCompression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CompressionVisitor)
    }
}

struct CompressionVisitor;

impl de::Visitor<'_> for CompressionVisitor {
    type Value = CaptureCompression;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"xz\", \"zstd\" or \"none\"")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<CaptureCompression, E> {
        Ok(if value { CaptureCompression::Xz } else { CaptureCompression::None })
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<CaptureCompression, E> {
        match value {
            "xz" => Ok(CaptureCompression::Xz),
            "zstd" => Ok(CaptureCompression::Zstd),
            "none" => Ok(CaptureCompression::None),
            other => Err(E::unknown_variant(other, &["xz", "zstd", "none"])),
        }
    }
}
