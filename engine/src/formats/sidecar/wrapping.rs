//! Removes what tools put around the digests in a sidecar: comments, headers, signatures.
//!
//! Only known forms are removed; the other lines must have digests.

use super::super::digest::Algorithm;

/// The remaining lines of a sidecar, with their numbers from 1.
pub(super) fn lines(text: &[u8], algorithm: Algorithm) -> Vec<(usize, &[u8])> {
    let mut found = Vec::new();
    let (mut is_pgp_header, mut is_certutil) = (false, false);
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line == b"-----BEGIN PGP SIGNED MESSAGE-----" {
            is_pgp_header = true;
            continue;
        }
        if line == b"-----BEGIN PGP SIGNATURE-----" {
            break;
        }
        if is_pgp_header {
            is_pgp_header = !line.is_empty();
            continue;
        }
        if line.is_empty() || is_comment(line) || is_table_head(line) {
            continue;
        }
        if is_certutil_head(line, algorithm) {
            is_certutil = true;
            continue;
        }
        if is_certutil && line.to_ascii_lowercase().starts_with(b"certutil") {
            continue;
        }
        found.push((index + 1, line));
    }
    found
}

fn is_comment(line: &[u8]) -> bool {
    [&b"#"[..], b";", b"//"].iter().any(|mark| line.starts_with(mark))
}

/// Whether it is the head of a table of PowerShell's `Get-FileHash`, or the line below it.
fn is_table_head(line: &[u8]) -> bool {
    let words: Vec<&[u8]> = words(line).collect();
    words == [&b"Algorithm"[..], b"Hash", b"Path"]
        || (words.len() == 3 && words.iter().all(|word| word.iter().all(|byte| *byte == b'-')))
}

/// Whether it is the first line of `certutil -hashfile`, `MD5 hash of sdimage.dd:`, in any language.
fn is_certutil_head(line: &[u8], algorithm: Algorithm) -> bool {
    let name = algorithm.to_string().to_ascii_uppercase();
    let upper = line.to_ascii_uppercase();
    let has_name = upper.windows(name.len()).any(|window| window == name.as_bytes());
    line.trim_ascii_end().ends_with(b":") && has_name && words(line).count() > 1
}

/// The words of a line.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}
