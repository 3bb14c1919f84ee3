//! Runs scenarios on simulated boards.
fn main() {}
