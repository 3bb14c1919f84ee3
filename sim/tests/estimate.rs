//! The table of what a board would take is the one in docs/performance.md.
//!
//! `INSTA_UPDATE=always cargo test -p replicator-sim --test estimate` writes the table to the page, like a snapshot.

// Test code.
#![allow(clippy::unwrap_used)]

use replicator_sim::run::estimate;
use std::fs;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance.md");
/// The lines of the page before and behind the table.
const MARKS: [&str; 2] = ["<!-- estimate -->\n", "<!-- end of estimate -->\n"];

#[test]
fn the_page_has_the_minutes_of_a_capture_and_of_a_write() {
    let table = estimate::table().unwrap();
    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(MARKS[0]).unwrap();
    let (held, behind) = rest.split_once(MARKS[1]).unwrap();
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(PAGE, [before, MARKS[0], &table, MARKS[1], behind].concat()).unwrap();
        return;
    }
    assert!(held == table, "the table in docs/performance.md is not what the engine does now:\n{table}");
}
