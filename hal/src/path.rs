//! A path inside a volume that cannot leave it.
//!
//! Names are bytes, as in every Linux file system. A [`RelativePath`] never contains an empty component, `.`, `..` or a
//! NUL byte, so no backend has to check again. It does not resolve symlinks: see [`crate::ReadTree::resolve`].

use std::fmt;

/// Why bytes are not a valid [`RelativePath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a path inside a volume: {reason}")]
pub struct InvalidPath {
    reason: &'static str,
}

/// A normalised path relative to a volume's root; empty means the root itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RelativePath {
    /// Components joined by `/`, without a leading or trailing one.
    bytes: Vec<u8>,
}

impl RelativePath {
    /// The volume's root directory.
    pub fn root() -> Self {
        Self::default()
    }

    /// Parses `bytes` as a path below the root. Leading and repeated slashes and `.` components are dropped.
    ///
    /// # Errors
    /// If a component is `..` or contains a NUL byte.
    pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self, InvalidPath> {
        let mut path = Self::root();
        for component in bytes.as_ref().split(|byte| *byte == b'/') {
            if component.is_empty() || component == b"." {
                continue;
            }
            path = path.join(component)?;
        }
        Ok(path)
    }

    /// This path with one more component.
    ///
    /// # Errors
    /// If `name` is empty, `.`, `..`, or contains a slash or a NUL byte.
    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<Self, InvalidPath> {
        let name = name.as_ref();
        let reason = if name.is_empty() {
            "an empty name"
        } else if name == b".." {
            "'..' may leave the volume"
        } else if name == b"." {
            "'.' is not a name"
        } else if name.contains(&b'/') {
            "a name with a slash"
        } else if name.contains(&0) {
            "a name with a NUL byte"
        } else {
            let mut bytes = self.bytes.clone();
            if !bytes.is_empty() {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(name);
            return Ok(Self { bytes });
        };
        Err(InvalidPath { reason })
    }

    /// This path followed by `tail`.
    #[must_use]
    pub fn join_path(&self, tail: &RelativePath) -> Self {
        if self.is_root() {
            return tail.clone();
        }
        let mut bytes = self.bytes.clone();
        if !tail.is_root() {
            bytes.push(b'/');
            bytes.extend_from_slice(&tail.bytes);
        }
        Self { bytes }
    }

    /// The bytes: components joined by `/`; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether this is the volume's root.
    pub fn is_root(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.bytes.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
    }

    /// The last component; `None` for the root.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// The path without its last component; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self { bytes: self.bytes[..end].to_vec() })
    }

    /// Whether this path is `ancestor` or lies below it.
    pub fn starts_with(&self, ancestor: &RelativePath) -> bool {
        ancestor.is_root()
            || self.bytes == ancestor.bytes
            || (self.bytes.starts_with(&ancestor.bytes) && self.bytes[ancestor.bytes.len()] == b'/')
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str("/");
        }
        // Names come from outside: control characters must not reach a terminal.
        for chunk in self.bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing_normalises_and_refuses_to_leave_the_root() {
        let path = RelativePath::parse("/etc//./ssh/").unwrap();
        assert_eq!(path.as_bytes(), b"etc/ssh");
        assert_eq!(path.parent().unwrap().as_bytes(), b"etc");
        assert_eq!(path.file_name(), Some(&b"ssh"[..]));
        assert!(RelativePath::parse("./").unwrap().is_root());
        for bad in ["..", "a/../b", "../etc/passwd", "a\0b"] {
            assert!(RelativePath::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "a/b"] {
            assert!(RelativePath::root().join(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn starts_with_compares_whole_components() {
        let path = |text: &str| RelativePath::parse(text).unwrap();
        assert!(path("var/log/a").starts_with(&path("var/log")));
        assert!(path("var/log").starts_with(&path("var/log")));
        assert!(!path("var/logs").starts_with(&path("var/log")));
        assert!(path("x").starts_with(&RelativePath::root()));
    }

    #[test]
    fn control_characters_are_escaped_for_display() {
        let path = RelativePath::parse(b"a\x1b[31m/\xff\n").unwrap();
        assert_eq!(path.to_string(), "a\\u{1b}[31m/\\xff\\n");
    }
}
