//! A simulated board for the replicator engine.
pub mod scenario;
