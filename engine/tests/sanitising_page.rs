//! The page about sanitising lists every built-in rule.

#![allow(clippy::disallowed_methods)] // Reads the page.

use replicator_engine::sanitise_rules::Rules;

#[test]
fn every_rule_is_on_the_page_with_its_reason() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sanitising.md")).unwrap();
    let mut named: Vec<&str> = Vec::new();
    for row in page.lines().filter_map(|line| line.strip_prefix("| ")) {
        let mut cells = row.split(" | ");
        let (Some(names), Some(reason)) = (cells.next(), cells.next()) else { continue };
        assert!(!reason.trim_matches(['|', ' ']).is_empty(), "{row}");
        named.extend(names.split("; "));
    }
    for rule in Rules::built_in().unwrap().rules {
        assert!(named.contains(&rule.what.as_str()), "{:?} is not on the page", rule.what);
    }
}
