//! Checks of the repository: every script in `ci/` has `--help`, which does nothing else; scripts that pages and workflows name
//! exist; links lead to files.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that `--help` of a script may call, and programs that it must not call.
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

/// Fills a directory for `PATH` with the allowed programs, and with a trap for the forbidden ones.
fn tools(directory: &Path) {
    for name in ALLOWED {
        // Python prints its own path: the program in `PATH` may be the shim of a version manager, which needs other programs.
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
fn help_of_every_script_has_all_sections_and_does_nothing_else() {
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
            assert!(text.contains(wanted), "ci/{name} --help lacks {wanted}:\n{text}");
        }
        assert!(text.contains(&format!("ci/{name}")), "{name}: the usage has a wrong name:\n{text}");
        let called = fs::read_to_string(directory.path().join("called")).unwrap_or_default();
        assert_eq!(called, "", "ci/{name} --help calls a forbidden program");
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
            // Skip the end of another path.
            let before = text[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || "/.-_".contains(before) {
                continue;
            }
            let end = |c: char| !(c.is_ascii_lowercase() || c == '-');
            let name = text[at + 3..].split(end).next().unwrap_or_default();
            if !name.is_empty() {
                assert!(known.contains(name), "{}: ci/{name} does not exist", page.display());
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
    assert!(workflow.contains(&wanted), "tests.yml lacks {wanted}");
}

/// Checks the file of each link; the part after `#` is ignored.
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
