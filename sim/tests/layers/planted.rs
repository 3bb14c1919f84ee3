//! Planted imports: an upward import is found in every form, with its line; an allowed import is not reported.

use crate::sources::Sources;
use crate::table::CrateRules;
use std::collections::BTreeMap;

/// A crate of three layers with one planted file in the lowest.
fn planted(text: &str) -> Vec<String> {
    let rules = CrateRules {
        directory: "planted",
        root: "lib.rs",
        crates: &["replicator_hal"],
        layers: &[&["above", "beside"], &["group::upper"], &["group::lower"]],
    };
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let files = BTreeMap::from([
        file("lib.rs", "mod above; mod beside; mod group; pub use above::World; pub use group::lower::Page;"),
        file("above.rs", "use crate::group::lower::Page; pub struct World;"),
        file("beside.rs", ""),
        file("group/mod.rs", "pub mod lower; pub mod upper;"),
        file("group/upper.rs", "pub struct Disk;"),
        file("group/lower/mod.rs", "pub mod deep; pub struct Page;"),
        file("group/lower/deep.rs", text),
    ]);
    rules.errors(&Sources::read("lib.rs", &files).unwrap())
}

#[test]
fn an_import_from_the_same_module_or_a_lower_layer_is_allowed() {
    let text = "use super::Page; use std::fmt; pub(in crate::group) fn f(page: &crate::group::lower::Page) {} \
                #[cfg(test)] mod tests { use super::*; use crate::Page; }";
    assert_eq!(planted(text), Vec::<String>::new());
}

#[test]
fn an_upward_import_is_found_in_every_form() {
    for text in [
        "use crate::above::World;",
        "fn f() -> crate::above::World { todo!() }",
        "fn f() { let _ = crate::above::make(); }",
        "fn f() { println!(\"{}\", crate::above::name()); }",
        "fn f() { assert!(matches!(1, 1 if g(&[crate::above::name()]))); }",
        "use crate::{group::lower::Page, above::{self, World}};",
        "use super::super::super::above::World;",
        "use super::super::upper::Disk;",
        "use crate::World;",
        "pub use crate::above::World;",
        "use crate::above::*;",
        "use crate::above::World as Sphere;",
        "mod inner { use super::super::super::upper::Disk; }",
        "fn f() { use crate::above::World; }",
        "#[cfg(test)] mod tests { use crate::above::World; }",
        "impl crate::above::Shown for Disk {}",
        "use crate::*;",
        "use replicator_engine::boot;",
    ] {
        let found = planted(&format!("\n{text}"));
        assert!(!found.is_empty(), "not found: {text}");
        assert!(
            found.iter().all(|line| line.starts_with("planted/src/group/lower/deep.rs:2: ")),
            "{found:?}"
        );
    }
}

#[test]
fn a_module_that_the_table_lacks_is_found() {
    let rules = CrateRules { directory: "planted", root: "lib.rs", crates: &[], layers: &[&["one"]] };
    let files = BTreeMap::from([("lib.rs".to_owned(), "mod other { }".to_owned())]);
    let found = rules.errors(&Sources::read("lib.rs", &files).unwrap());
    assert_eq!(
        found,
        [
            "planted/src: module one of the table does not exist",
            "planted/src: module other is not in the table"
        ]
    );
}

#[test]
fn a_file_that_no_module_leads_to_is_refused() {
    let files = BTreeMap::from(
        [("lib.rs", ""), ("lost.rs", "")].map(|(name, text)| (name.to_owned(), text.to_owned())),
    );
    assert!(Sources::read("lib.rs", &files).unwrap_err().starts_with("lost.rs: "));
}
