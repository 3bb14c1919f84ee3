//! The judges detect wrong runs: the checkers, the oracle and the explorers judge scenarios as they are, runs on
//! faulty boards, and bytes that were tampered with.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

mod archives;
mod checkers;
mod explore;
mod faults;
mod faulty;
mod firmware;
