//! A simulated board for the replicator engine.
