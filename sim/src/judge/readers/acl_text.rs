//! ACLs that an archive stores as text, in the kernel's form. Written separately from the engine's own reader.

use crate::model::bytes::tree::Tree;
use replicator_hal::RelativePath;

/// Temporary keys of texts among a node's attributes, with the resulting attributes.
const FORMS: [(&[u8], &[u8]); 2] = [
    (b"SCHILY.acl.access", b"system.posix_acl_access"),
    (b"SCHILY.acl.default", b"system.posix_acl_default"),
];

/// Whether a record of an archive holds an ACL as text.
pub(in crate::judge) fn is_key(key: &str) -> bool {
    FORMS.iter().any(|(form, _)| *form == key.as_bytes())
}

/// Converts all texts to attributes; names are those of the tree's own `etc/passwd` and `etc/group`.
///
/// # Errors
/// An unknown name, or an invalid text.
pub(in crate::judge) fn resolve(tree: &mut Tree) -> Result<(), String> {
    let file = |name: &str| {
        let node = RelativePath::parse(name).ok().and_then(|path| tree.get(&path));
        node.map(|node| String::from_utf8_lossy(&node.bytes).into_owned()).unwrap_or_default()
    };
    let (users, groups) = (file("etc/passwd"), file("etc/group"));
    for node in tree.values_mut() {
        for (form, attribute) in FORMS {
            let Some(text) = node.xattrs.remove(form) else { continue };
            let value = value(&String::from_utf8_lossy(&text), &users, &groups)?;
            node.xattrs.entry(attribute.to_vec()).or_insert(value);
        }
    }
    Ok(())
}

/// Version 2 of `linux/posix_acl_xattr.h`: tag, rights and number, in the order of the tags.
fn value(text: &str, users: &str, groups: &str) -> Result<Vec<u8>, String> {
    let mut entries: Vec<(u16, u32, u16)> = Vec::new();
    for line in text.split(['\n', ',']).filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split(':').collect();
        let [tag, who, rights] = fields[..] else { return Err(format!("the ACL entry {line:?}")) };
        let bit = |letter: char, bit: u16| if rights.contains(letter) { bit } else { 0 };
        let rights = bit('r', 4) | bit('w', 2) | bit('x', 1);
        let (tag, number) = match (tag, who) {
            ("user", "") => (0x01, u32::MAX),
            ("user", who) => (0x02, number(who, users)?),
            ("group", "") => (0x04, u32::MAX),
            ("group", who) => (0x08, number(who, groups)?),
            ("mask", "") => (0x10, u32::MAX),
            ("other", "") => (0x20, u32::MAX),
            _ => return Err(format!("the ACL entry {line:?}")),
        };
        entries.push((tag, number, rights));
    }
    entries.sort_unstable();
    let bytes = entries.iter().flat_map(|(tag, number, rights)| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &number.to_le_bytes()].concat()
    });
    Ok([2, 0, 0, 0].into_iter().chain(bytes).collect())
}

/// The number of a name in lines `name:password:number:...`.
fn number(name: &str, lines: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let mut rows = lines.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let row = rows.find(|row| row.first() == Some(&name));
    let number = row.and_then(|row| row.get(2)?.parse().ok());
    number.ok_or_else(|| format!("the archive has no user or group {name:?}"))
}
