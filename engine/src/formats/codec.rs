//! Names of the compressions, and what codecs may take.

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// xz.
    Xz,
    /// bzip2.
    Bzip2,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// What a decoder may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Memory of one decoder.
    pub memory_bytes: u64,
    /// Memory for an index.
    pub index_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 80 << 20, index_bytes: 8 << 20 }
    }
}

/// How xz compresses.
#[derive(Debug, Clone)]
pub struct XzSettings {
    /// 0 to 9.
    pub preset: u32,
    /// Dictionary, if not the preset's.
    pub dictionary_len_bytes: Option<u32>,
    /// Block length.
    pub block_len_bytes: u64,
}

impl Default for XzSettings {
    fn default() -> Self {
        Self { preset: 2, dictionary_len_bytes: None, block_len_bytes: 4 << 20 }
    }
}

impl Compression {
    /// The extension with its dot; empty for [`Compression::None`].
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Xz => ".xz",
            Self::Bzip2 => ".bz2",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}
