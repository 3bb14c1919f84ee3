//! Reads extended attributes from pax records, in all forms that are in use.

use super::{FormatError, acl, damaged};
use crate::formats::base64;
use replicator_hal::Xattr;
use std::collections::BTreeMap;

/// The attributes in the records of one entry.
#[derive(Default)]
pub(super) struct Attributes {
    /// `SCHILY.xattr.*`: raw values.
    schily: BTreeMap<Vec<u8>, Vec<u8>>,
    /// `LIBARCHIVE.xattr.*`: the same attributes in base64.
    libarchive: BTreeMap<Vec<u8>, Vec<u8>>,
    acl_access: Option<Vec<u8>>,
    acl_default: Option<Vec<u8>>,
    selinux: Option<Vec<u8>>,
}

impl Attributes {
    /// Adds a record if it is for attributes. Returns whether it is.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<bool, FormatError> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            self.schily.insert(attribute_name(name)?, value.to_vec());
        } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let value = base64::decode(value).ok_or_else(|| damaged("an attribute that is not base64"))?;
            self.libarchive.insert(attribute_name(name)?, value);
        } else {
            match key {
                b"SCHILY.acl.access" => self.acl_access = Some(value.to_vec()),
                b"SCHILY.acl.default" => self.acl_default = Some(value.to_vec()),
                // GNU tar stores the context as text; the kernel keeps it with a NUL.
                b"RHT.security.selinux" => self.selinux = Some([value, b"\0"].concat()),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Whether no record is for attributes.
    pub(super) fn is_empty(&self) -> bool {
        self.schily.is_empty()
            && self.libarchive.is_empty()
            && self.acl_access.is_none()
            && self.acl_default.is_none()
            && self.selinux.is_none()
    }

    /// The attributes, sorted by name. If two forms have the same one, the raw form is used. `number` finds the number of
    /// a user or group in an ACL; `strange` gets attributes that no Linux file system has.
    ///
    /// # Errors
    /// Those of [`acl::access`].
    pub(super) fn into_xattrs(
        self,
        number: &mut acl::Number<'_>,
        mut strange: impl FnMut(&[u8]),
    ) -> Result<Vec<Xattr>, FormatError> {
        let mut merged = self.libarchive;
        merged.extend(self.schily);
        // If there is the raw form, the text is ignored: the names in it may be those of another system.
        for (name, text, convert) in [
            (&b"system.posix_acl_access"[..], self.acl_access, acl::access as acl::Convert),
            (b"system.posix_acl_default", self.acl_default, acl::default),
        ] {
            if let Some(text) = text.filter(|_| !merged.contains_key(name)) {
                merged.extend(convert(&text, number)?.map(|value| (name.to_vec(), value)));
            }
        }
        if let Some(context) = self.selinux {
            merged.entry(b"security.selinux".to_vec()).or_insert(context);
        }
        merged.retain(|name, _| {
            let known = is_of_linux(name);
            if !known {
                strange(name);
            }
            known
        });
        Ok(merged.into_iter().map(|(name, value)| Xattr { name, value }).collect())
    }
}

/// Whether the name is in one of the namespaces of xattr(7) (of the `system` namespace only the two names that ext4 has).
/// Other names are properties of another file system (`btrfs.compression`) or another operating system
/// (`com.apple.quarantine`), which ext4 does not accept.
fn is_of_linux(name: &[u8]) -> bool {
    let has = |prefix: &&[u8]| name.len() > prefix.len() && name.starts_with(prefix);
    [&b"user."[..], b"trusted.", b"security."].iter().any(has)
        || matches!(name, b"system.posix_acl_access" | b"system.posix_acl_default")
}

/// The pax key of an attribute. GNU tar escapes the two characters that a key cannot hold or that begin an escape.
pub(super) fn record_key(name: &[u8]) -> Vec<u8> {
    let mut key = b"SCHILY.xattr.".to_vec();
    for byte in name {
        match byte {
            b'=' => key.extend_from_slice(b"%3D"),
            b'%' => key.extend_from_slice(b"%25"),
            other => key.push(*other),
        }
    }
    key
}

/// The reverse of [`record_key`] and of the wider escaping of libarchive. Invalid escapes stay unchanged.
fn attribute_name(escaped: &[u8]) -> Result<Vec<u8>, FormatError> {
    let mut name = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((first, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                name.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => {
                name.push(*first);
                rest = tail;
            }
        }
    }
    if name.is_empty() || name.contains(&0) {
        return Err(damaged("an attribute without a proper name"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_escaping() {
        for name in [&b"user.a=b%25"[..], b"user.%", b"user.\xff\n", b"user.100%3"] {
            let key = record_key(name);
            assert!(!key.contains(&b'='));
            assert_eq!(attribute_name(key.strip_prefix(b"SCHILY.xattr.").unwrap()).unwrap(), name);
        }
        assert!(attribute_name(b"").is_err());
        assert!(attribute_name(b"user.%00").is_err());
    }

    #[test]
    fn the_raw_form_of_an_attribute_is_used() {
        let mut attributes = Attributes::default();
        for (key, value) in [
            ("SCHILY.xattr.user.a", &b"raw"[..]),
            ("LIBARCHIVE.xattr.user.a", b"b3RoZXI"),
            ("LIBARCHIVE.xattr.user.b", b"dmFs"),
            ("SCHILY.acl.access", b"user::rw-\nuser:1:r--\ngroup::r--\nmask::r--\nother::r--\n"),
            ("SCHILY.xattr.system.posix_acl_access", b"bytes"),
            ("RHT.security.selinux", b"u:r:t"),
        ] {
            assert!(attributes.record(key.as_bytes(), value).unwrap(), "{key}");
        }
        assert!(!attributes.record(b"mtime", b"1").unwrap());
        for name in ["com.apple.quarantine", "btrfs.compression", "system.nfs4_acl", "user."] {
            assert!(attributes.record(format!("SCHILY.xattr.{name}").as_bytes(), b"x").unwrap());
        }
        let mut strange = Vec::new();
        let found = attributes.into_xattrs(&mut |_, _| Ok(7), |name| strange.push(name.to_vec())).unwrap();
        assert_eq!(
            strange,
            [&b"btrfs.compression"[..], b"com.apple.quarantine", b"system.nfs4_acl", b"user."]
        );
        let found: Vec<_> = found.into_iter().map(|x| (x.name, x.value)).collect();
        let expected = [
            (&b"security.selinux"[..], &b"u:r:t\0"[..]),
            (b"system.posix_acl_access", b"bytes"),
            (b"user.a", b"raw"),
            (b"user.b", b"val"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_vec(), value.to_vec())));
    }
}
