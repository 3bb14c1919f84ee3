//! Partition tables.

/// Kind of table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// MBR.
    Mbr,
    /// GPT.
    Gpt,
}
