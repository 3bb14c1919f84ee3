//! Bytes and their forms: pages that copies share, partition tables, trees of files, digests. No state and no time.

pub mod digest;
pub(crate) mod file_bytes;
pub mod pages;
pub mod partitions;
pub mod size;
pub mod tree;
