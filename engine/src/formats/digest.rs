//! Digests of images and files: MD5 by tradition, SHA-256 by choice, SHA-1 in old block maps.
//!
//! All find accidental changes. None protects against forgery, because an attacker can change the sidecar, too.
//! [`super::sidecar`] reads and writes digests in files.

use md5::Digest as _;
use std::fmt;
use std::io;

/// A digest's algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// MD5, 16 bytes.
    Md5,
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
}

impl Algorithm {
    /// The algorithms of sidecars, the traditional one first.
    pub const ALL: [Self; 2] = [Self::Md5, Self::Sha256];

    /// The sidecar's extension with its dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Md5 => ".md5",
            Self::Sha1 => ".sha1",
            Self::Sha256 => ".sha256",
        }
    }

    /// Length of a digest.
    pub fn len_bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        })
    }
}

/// A digest; `Display` gives it in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// The digest; a shorter one is followed by zeros.
    bytes: [u8; 32],
}

impl Digest {
    /// The digest of `data`.
    pub fn of(algorithm: Algorithm, data: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(data);
        hasher.finish()
    }

    /// From hexadecimal digits, in lower or upper case; `None` if their number is not that of the algorithm.
    pub fn from_hex(algorithm: Algorithm, hex: &[u8]) -> Option<Self> {
        if hex.len() != 2 * algorithm.len_bytes() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Some(Self { algorithm, bytes })
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.len_bytes()]
    }

    fn from_bytes(algorithm: Algorithm, digest: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes[..digest.len()].copy_from_slice(digest);
        Self { algorithm, bytes }
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.algorithm)
    }
}

/// Computes a digest of the bytes that are written to it.
pub struct Hasher {
    state: State,
}

enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Hasher {
    /// A new hasher.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Md5 => State::Md5(md5::Md5::new()),
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
        };
        Self { state }
    }

    /// Adds bytes.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.state {
            State::Md5(state) => state.update(data),
            State::Sha1(state) => state.update(data),
            State::Sha256(state) => state.update(data),
        }
    }

    /// The digest of all bytes.
    pub fn finish(self) -> Digest {
        match self.state {
            State::Md5(state) => Digest::from_bytes(Algorithm::Md5, &state.finalize()),
            State::Sha1(state) => Digest::from_bytes(Algorithm::Sha1, &state.finalize()),
            State::Sha256(state) => Digest::from_bytes(Algorithm::Sha256, &state.finalize()),
        }
    }
}

impl io::Write for Hasher {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.update(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn digests_of_the_standards_examples() {
        let table = [
            (Algorithm::Md5, "", "d41d8cd98f00b204e9800998ecf8427e"),
            (Algorithm::Md5, "abc", "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Sha256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ];
        for (algorithm, data, hex) in table {
            assert_eq!(Digest::of(algorithm, data.as_bytes()).to_string(), hex);
            let mut hasher = Hasher::new(algorithm);
            for byte in data.as_bytes() {
                hasher.write_all(&[*byte]).unwrap();
            }
            assert_eq!(hasher.finish(), Digest::from_hex(algorithm, hex.to_uppercase().as_bytes()).unwrap());
        }
    }

    #[test]
    fn hexadecimal_of_the_wrong_length_or_alphabet_is_none() {
        let digest = Digest::of(Algorithm::Md5, b"").to_string();
        assert!(Digest::from_hex(Algorithm::Sha256, digest.as_bytes()).is_none());
        assert!(Digest::from_hex(Algorithm::Md5, &digest.as_bytes()[1..]).is_none());
        assert!(Digest::from_hex(Algorithm::Md5, digest.replace('d', "g").as_bytes()).is_none());
    }
}
