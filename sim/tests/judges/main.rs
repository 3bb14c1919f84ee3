//! The judges see what they are there for: the checkers, the oracle and the explorers, each shown scenarios as they are,
//! boards that lie, and bytes that were tampered with.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

mod archives;
mod checkers;
mod explore;
mod faults;
mod faulty;
mod firmware;
