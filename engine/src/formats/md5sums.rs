//! Lists of the digests of many files, as in `/md5sums.txt` of a captured file system.
//!
//! Lines have `md5sum`'s form, so that `md5sum -c` reads the list too; [`super::sidecar::line`] writes them. A list is read
//! line by line, because that of a whole file system may be larger than memory allows.

use super::FormatError;
use super::digest::{Algorithm, Digest};
use super::sidecar;
use std::io::{BufRead, Read};

/// Longest line: a path of 4096 bytes, each escaped, and the digest.
const LINE_LIMIT_BYTES: u64 = 8192 + 128;

const FORMAT: &str = "digest list";

/// One file of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// Its digest.
    pub digest: Digest,
    /// Its path as it stands in the list, such as `./usr/bin/env`.
    pub name: Vec<u8>,
}

/// Reads a list; iterates over its entries and ends at the first error.
pub struct ListReader<R> {
    input: R,
    algorithm: Algorithm,
    line: u64,
    is_done: bool,
}

impl<R: BufRead> ListReader<R> {
    /// Reads digests of one algorithm from `input`.
    pub fn new(input: R, algorithm: Algorithm) -> Self {
        Self { input, algorithm, line: 0, is_done: false }
    }

    /// The next entry; blank lines are skipped.
    fn read_entry(&mut self) -> Result<Option<ListEntry>, FormatError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            self.line += 1;
            let len = (&mut self.input).take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line)?;
            if len == 0 {
                return Ok(None);
            }
            let Some(content) = line.strip_suffix(b"\n") else {
                // A list that was cut off must not pass for a shorter one.
                if len as u64 == LINE_LIMIT_BYTES {
                    return Err(self.damaged("longer than any path"));
                }
                let detail = format!("line {} has no end", self.line);
                return Err(FormatError::Truncated { format: FORMAT, detail });
            };
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            if content.is_empty() {
                continue;
            }
            let entry =
                sidecar::parse_line(content, self.algorithm).map_err(|detail| self.damaged(&detail))?;
            let Some(name) = entry.name else { return Err(self.damaged("a digest without a name")) };
            return Ok(Some(ListEntry { digest: entry.digest, name }));
        }
    }

    fn damaged(&self, detail: &str) -> FormatError {
        FormatError::Damaged { format: FORMAT, detail: format!("line {}: {detail}", self.line) }
    }
}

impl<R: BufRead> Iterator for ListReader<R> {
    type Item = Result<ListEntry, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let entry = self.read_entry().transpose();
        self.is_done = !matches!(entry, Some(Ok(_)));
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<Result<ListEntry, FormatError>> {
        ListReader::new(text, Algorithm::Md5).collect()
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let names: [&[u8]; 4] = [b"./usr/bin/env", b"./a b", b"./new\nline\\", b"./\xff"];
        let text: Vec<u8> = names
            .iter()
            .flat_map(|name| sidecar::line(&Digest::of(Algorithm::Md5, name), name))
            .chain(*b"\n")
            .collect();
        let entries: Vec<ListEntry> = read(&text).into_iter().map(Result::unwrap).collect();
        assert_eq!(entries.len(), 4);
        for (entry, name) in entries.iter().zip(names) {
            assert_eq!((entry.name.as_slice(), entry.digest), (name, Digest::of(Algorithm::Md5, name)));
        }
        assert!(read(b"").is_empty());
    }

    #[test]
    fn a_damaged_or_cut_list_ends_in_an_error_with_its_line() {
        let good = sidecar::line(&Digest::of(Algorithm::Md5, b""), b"./a");
        let with = |tail: &[u8]| read(&[&good, tail].concat());
        let last = |results: Vec<Result<ListEntry, FormatError>>| {
            assert_eq!(results.len(), 2);
            results.into_iter().next_back().unwrap().unwrap_err()
        };
        let cut = last(with(&good[..good.len() - 2]));
        assert!(matches!(cut, FormatError::Truncated { detail, .. } if detail == "line 2 has no end"));
        for tail in [&b"hello\nmore\n"[..], &good[..32], &[b'a'; 20_000]] {
            let tail = [tail, b"\n"].concat();
            let error = last(with(&tail));
            assert!(
                matches!(&error, FormatError::Damaged { detail, .. } if detail.starts_with("line 2: ")),
                "{error}"
            );
        }
    }
}
