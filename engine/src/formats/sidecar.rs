//! Sidecars: small files beside an image with its digest, in the format of `md5sum`.
//!
//! Users make them with many tools, so the reader accepts many forms: binary marks, escaped names, carriage returns,
//! UTF-16, upper-case digits, a digest alone, the BSD form, comments, and the lines that `certutil`, `Get-FileHash` and
//! PGP add. A line of any other form is an error, so that a check is never silently left out. Only the digest is
//! compared; a file name other than the file's is reported. The writer produces exactly the output of `md5sum` and
//! `sha256sum`. `/md5sums.txt` of a captured file system has the same form.

mod wrapping;

use super::digest::{Algorithm, Digest};
use super::text;

/// Longest sidecar, in bytes; a list of a whole release fits.
pub const LIMIT_BYTES: usize = 64 * 1024;

/// Why a sidecar cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SidecarError {
    /// It is too long.
    #[error("the sidecar has {len_bytes} bytes; the limit is {LIMIT_BYTES}")]
    TooLong {
        /// Its length.
        len_bytes: usize,
    },
    /// It has no digest.
    #[error("the sidecar is empty")]
    Empty,
    /// A line is invalid.
    #[error("line {line} of the sidecar: {detail}")]
    Malformed {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        detail: String,
    },
    /// It has several digests, and none for this file.
    #[error("the sidecar holds {count} digests, the first of {found}, and none of {wanted}")]
    WrongName {
        /// How many digests it holds.
        count: usize,
        /// The first name in it, or a text if it has none.
        found: String,
        /// The first name of the file.
        wanted: String,
    },
    /// It has two different digests for one file.
    #[error("line {line} of the sidecar contradicts an earlier one about {name}")]
    Contradiction {
        /// The later line, from 1.
        line: usize,
        /// The file.
        name: String,
    },
}

/// One line of digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    /// The name with its path; `None` for a digest alone.
    pub(super) name: Option<Vec<u8>>,
    /// Whether the name was escaped: if so, a backslash in it is a part of the name.
    escaped: bool,
}

impl Entry {
    /// The name without its path. In a name without escapes, a backslash separates the parts of a Windows path.
    fn base_name(&self) -> Option<&[u8]> {
        let is_separator = |byte: &u8| *byte == b'/' || (*byte == b'\\' && !self.escaped);
        self.name.as_deref().map(|name| name.rsplit(is_separator).next().unwrap_or(name))
    }
}

/// The content of a sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// The digest of the file.
    pub digest: Digest,
    /// The file name in the sidecar, if it is not one of the file's names.
    pub other_name: Option<String>,
}

/// Reads the digest of a file from the content of its sidecar. `wanted_names` are the names of the file, the preferred
/// ones first.
///
/// Paths before the names in the sidecar are ignored. A sidecar is beside its file, so if it has only one digest, that is
/// used with any name.
///
/// # Errors
/// If a line is malformed, or several lines are for other files.
pub fn parse(text: &[u8], algorithm: Algorithm, wanted_names: &[&str]) -> Result<Sidecar, SidecarError> {
    let entries = entries(text, algorithm)?;
    for wanted in wanted_names {
        let mut about = entries.iter().filter(|(_, entry)| entry.base_name() == Some(wanted.as_bytes()));
        let Some((_, first)) = about.next() else { continue };
        if let Some((line, _)) = about.find(|(_, entry)| entry.digest != first.digest) {
            return Err(SidecarError::Contradiction { line: *line, name: (*wanted).to_owned() });
        }
        return Ok(Sidecar { digest: first.digest, other_name: None });
    }
    let Some((_, first)) = entries.first() else { return Err(SidecarError::Empty) };
    let other_name = first.base_name().map(printable);
    if entries.iter().all(|(_, entry)| entry.digest == first.digest) {
        return Ok(Sidecar { digest: first.digest, other_name });
    }
    Err(SidecarError::WrongName {
        count: entries.len(),
        found: other_name.unwrap_or_else(|| "a file without a name".into()),
        wanted: wanted_names.first().map_or_else(String::new, |name| (*name).to_owned()),
    })
}

/// All lines that hold a digest, with their numbers from 1.
fn entries(text: &[u8], algorithm: Algorithm) -> Result<Vec<(usize, Entry)>, SidecarError> {
    if text.len() > LIMIT_BYTES {
        return Err(SidecarError::TooLong { len_bytes: text.len() });
    }
    let text = text::lenient(text);
    let mut entries: Vec<(usize, Entry)> = Vec::new();
    for (line, content) in wrapping::lines(&text, algorithm) {
        let malformed = |detail| SidecarError::Malformed { line, detail };
        match parse_listed(content, algorithm).map_err(malformed)? {
            Some(Listed::Digest(digest)) => {
                entries.push((line, Entry { digest, name: None, escaped: false }))
            }
            Some(Listed::Path(path)) => {
                if let Some((_, entry)) = entries.last_mut().filter(|(_, entry)| entry.name.is_none()) {
                    entry.name = Some(path.to_vec());
                }
            }
            Some(Listed::Algorithm) => {}
            None => entries.push((line, parse_line(content, algorithm).map_err(malformed)?)),
        }
    }
    Ok(entries)
}

/// One line of the output of `Get-FileHash | Format-List`.
enum Listed<'a> {
    Algorithm,
    Digest(Digest),
    Path(&'a [u8]),
}

/// `Algorithm : MD5`, `Hash : <hex>`, `Path : <path>`; `None` for other lines.
fn parse_listed(line: &[u8], algorithm: Algorithm) -> Result<Option<Listed<'_>>, String> {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Ok(None) };
    let (key, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
    match key {
        b"Algorithm" if value.eq_ignore_ascii_case(algorithm.to_string().as_bytes()) => {
            Ok(Some(Listed::Algorithm))
        }
        b"Algorithm" => Err(format!("the digest is {}, not {algorithm}", printable(value))),
        b"Hash" => parse_hex(value, algorithm).map(|digest| Some(Listed::Digest(digest))),
        b"Path" if !value.is_empty() => Ok(Some(Listed::Path(value))),
        _ => Ok(None),
    }
}

/// Parses one line without its end.
pub(super) fn parse_line(line: &[u8], algorithm: Algorithm) -> Result<Entry, String> {
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (digest, name) = match parse_bsd(line, algorithm).or_else(|| parse_tagged(line, algorithm)) {
        Some(parts) => parts?,
        None => parse_gnu(line, algorithm)?,
    };
    let name = name.map(|name| if escaped { unescape(name) } else { Ok(name.to_vec()) }).transpose()?;
    if name.as_ref().is_some_and(|name| name.is_empty() || name.contains(&0)) {
        return Err("the name is empty or holds a NUL byte".to_owned());
    }
    Ok(Entry { digest, name, escaped })
}

type Parts<'a> = (Digest, Option<&'a [u8]>);

/// `<hex>  <name>`, `<hex> *<name>`, or `<hex>` alone.
fn parse_gnu(line: &[u8], algorithm: Algorithm) -> Result<Parts<'_>, String> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let hex_len = line.iter().position(is_blank).unwrap_or(line.len());
    let (hex, rest) = line.split_at(hex_len);
    let digest = parse_hex(hex, algorithm)?;
    if rest.trim_ascii().is_empty() {
        return Ok((digest, None));
    }
    // A blank, then a mark for text or binary, which some tools leave out.
    let rest = &rest[1..];
    let name = match rest.first() {
        Some(b' ' | b'*' | b'\t') => &rest[1..],
        _ => rest,
    };
    Ok((digest, Some(name)))
}

/// `MD5 (<name>) = <hex>`; `None` if the line does not start like that.
fn parse_bsd(line: &[u8], algorithm: Algorithm) -> Option<Result<Parts<'_>, String>> {
    let tag: &[u8] = match algorithm {
        Algorithm::Md5 => b"MD5",
        Algorithm::Sha1 => b"SHA1",
        Algorithm::Sha256 => b"SHA256",
    };
    let rest = line.strip_prefix(tag).or_else(|| line.strip_prefix(b"SHA2-256"))?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest).strip_prefix(b"(")?;
    // A name may hold the same text as the end; a digest cannot.
    let end = rest.iter().rposition(|byte| *byte == b')')?;
    let hex = rest[end + 1..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
    Some(parse_hex(hex, algorithm).map(|digest| (digest, Some(&rest[..end]))))
}

/// `MD5  <hex>  <path>`, a row of a table of `Get-FileHash`, or `md5:<hex>`; `None` if the line does not start like that.
fn parse_tagged(line: &[u8], algorithm: Algorithm) -> Option<Result<Parts<'_>, String>> {
    let tag = algorithm.to_string();
    let (start, rest) = line.split_at_checked(tag.len())?;
    if !start.eq_ignore_ascii_case(tag.as_bytes()) {
        return None;
    }
    let rest = rest.strip_prefix(b"sum").unwrap_or(rest);
    let trimmed = rest.trim_ascii_start();
    let value = trimmed.strip_prefix(b":").or_else(|| trimmed.strip_prefix(b"="));
    match value {
        Some(value) => Some(parse_gnu(value.trim_ascii(), algorithm)),
        None if trimmed.len() < rest.len() => {
            let parts = parse_gnu(trimmed, algorithm);
            Some(
                parts.map(|(digest, name)| {
                    (digest, name.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()))
                }),
            )
        }
        None => None,
    }
}

fn parse_hex(hex: &[u8], algorithm: Algorithm) -> Result<Digest, String> {
    Digest::from_hex(algorithm, hex).ok_or_else(|| {
        let digits = 2 * algorithm.len_bytes();
        if hex.iter().all(u8::is_ascii_hexdigit) {
            format!("{} hexadecimal digits where {algorithm} has {digits}", hex.len())
        } else {
            format!("\"{}\" where {digits} hexadecimal digits of {algorithm} should be", printable(hex))
        }
    })
}

fn unescape(name: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            plain.push(*byte);
            continue;
        }
        plain.push(match bytes.next() {
            Some(b'\\') => b'\\',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            _ => return Err("an unknown escape in the name".to_owned()),
        });
    }
    Ok(plain)
}

/// Bytes from outside, safe for a terminal and limited in length.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(80).map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// The line that `md5sum` (or `sha256sum`) prints for a file `name`, with its end.
pub fn line(digest: &Digest, name: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(name.len() + 70);
    if name.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r')) {
        line.push(b'\\');
    }
    line.extend_from_slice(digest.to_string().as_bytes());
    line.extend_from_slice(b"  ");
    for byte in name {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
