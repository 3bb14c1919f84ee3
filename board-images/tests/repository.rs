//! The repository explains itself: every script in `ci/` has `--help` that does nothing else, and the scripts that pages and
//! workflows name exist.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `--help` of a script may call, and what would be more than help.
const ALLOWED: [&str; 5] = ["bash", "sed", "python3", "dirname", "env"];
const FORBIDDEN: [&str; 12] = [
    "apt-get",
    "apt-cache",
    "cargo",
    "dpkg-query",
    "git",
    "mkdir",
    "mktemp",
    "pip",
    "rm",
    "rustc",
    "touch",
    "flock",
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn scripts() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(top().join("ci"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.metadata().unwrap().permissions().mode() & 0o111 != 0)
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A directory for `PATH` in which a script finds what is allowed, and a trap for everything else.
fn tools(directory: &Path) {
    for name in ALLOWED {
        // Python tells where it is: what is in `PATH` may be the shim of a version manager, which needs more.
        let ask = if name == "python3" {
            "python3 -c 'import sys; print(sys.executable)'"
        } else {
            "command -v \"$0\""
        };
        let output = Command::new("sh").args(["-c", ask, name]).output().unwrap();
        let real = String::from_utf8(output.stdout).unwrap();
        assert!(Path::new(real.trim()).is_file(), "{name} is not installed");
        symlink(real.trim(), directory.join(name)).unwrap();
    }
    fs::write(
        directory.join("trap"),
        "#!/bin/sh\necho \"$0\" >>\"$(/usr/bin/dirname \"$0\")/called\"\nexit 1\n",
    )
    .unwrap();
    for name in FORBIDDEN {
        symlink("trap", directory.join(name)).unwrap();
    }
    fs::set_permissions(directory.join("trap"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn every_script_says_what_it_does_needs_leaves_out_and_takes_and_does_nothing_else() {
    assert!(scripts().len() >= 9, "{:?}", scripts());
    for name in scripts() {
        let directory = tempfile::tempdir().unwrap();
        tools(directory.path());
        let output = Command::new(top().join("ci").join(&name))
            .arg("--help")
            .env("PATH", directory.path())
            .current_dir(directory.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {:?}", output.stderr);
        for wanted in ["usage:", "needs:", "left out:", "takes:"] {
            assert!(text.contains(wanted), "ci/{name} --help does not say {wanted}:\n{text}");
        }
        assert!(text.contains(&format!("ci/{name}")), "{name}: the usage has another name:\n{text}");
        let called = fs::read_to_string(directory.path().join("called")).unwrap_or_default();
        assert_eq!(called, "", "ci/{name} --help does more than help");
    }
}

/// The pages and workflows of the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for directory in ["", "docs", "docs/boards", ".github", ".github/workflows", ".github/ISSUE_TEMPLATE"] {
        for entry in fs::read_dir(top().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md" || extension == "yml") {
                pages.push(path);
            }
        }
    }
    pages
}

#[test]
fn every_script_that_a_page_or_workflow_names_exists() {
    let known: BTreeSet<String> = scripts().into_iter().collect();
    let mut named = BTreeSet::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("ci/") {
            // Not the end of another path.
            let before = text[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || "/.-_".contains(before) {
                continue;
            }
            let end = |c: char| !(c.is_ascii_lowercase() || c == '-');
            let name = text[at + 3..].split(end).next().unwrap_or_default();
            if !name.is_empty() {
                assert!(known.contains(name), "{}: there is no ci/{name}", page.display());
                named.insert(name.to_owned());
            }
        }
    }
    assert!(named.contains("test") && named.contains("deny"), "{named:?}");
}

#[test]
fn the_workflow_checks_with_the_oldest_compiler_that_cargo_toml_names() {
    let manifest = fs::read_to_string(top().join("Cargo.toml")).unwrap();
    let oldest = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let workflow = fs::read_to_string(top().join(".github/workflows/tests.yml")).unwrap();
    let wanted = format!("rust-toolchain@{}", oldest.trim_matches('"'));
    assert!(workflow.contains(&wanted), "tests.yml does not have {wanted}");
}

/// Links between pages, without what follows a `#`.
#[test]
fn every_link_of_a_page_to_a_file_leads_to_one() {
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#', ' ']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            assert!(page.parent().unwrap().join(target).exists(), "{}: {target}", page.display());
        }
    }
    assert!(links > 50, "{links}");
}
