//! The boot binary of the replicator.
fn main() {}
