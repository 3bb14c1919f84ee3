use super::*;
use proptest::prelude::*;

fn path(text: impl AsRef<[u8]>) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

fn matches(pattern: &str, text: &str) -> bool {
    Pattern::parse(pattern).unwrap().matches(&path(text))
}

#[test]
fn the_default_list_erases_what_must_not_be_cloned_and_nothing_else() {
    let rules = Rules::built_in().unwrap();
    for (erased, what) in [
        ("/tmp/a/b", "temporary files"),
        ("/var/tmp/.hidden", "temporary files"),
        ("/var/log/syslog", "logs"),
        ("/var/log/apt/history.log", "logs"),
        ("/var/log/journal/4c1e/system.journal", "journals"),
        ("/etc/ssh/ssh_host_rsa_key", "ssh host keys"),
        ("/etc/ssh/ssh_host_ed25519_key.pub", "ssh host keys"),
        ("/etc/ssh/ssh_host_ecdsa_key-cert.pub", "ssh host keys"),
        ("/etc/dropbear/dropbear_rsa_host_key", "ssh host keys"),
        ("/etc/machine-id", "machine id"),
        ("/var/lib/dbus/machine-id", "machine id of D-Bus"),
        ("/var/cache/apt/archives/partial/x.deb", "apt packages and lists"),
        ("/var/cache/apt/pkgcache.bin", "apt caches"),
        ("/var/lib/apt/lists/mirror.example.org_InRelease", "apt packages and lists"),
        ("/var/backups/dpkg.status.0", "backups"),
        ("/var/lib/systemd/random-seed", "random seeds"),
        ("/var/lib/urandom/random-seed", "random seeds"),
        ("/var/lib/seedrng/seed.credit", "random seeds"),
        ("/.readahead", "readahead list"),
        ("/run/utmp", "runtime state"),
        ("/root/.bash_history", "shell and editor histories"),
        ("/home/kim/.python_history", "shell and editor histories"),
        ("/var/lib/dhcp/dhclient.eth0.leases", "dhcp leases"),
        ("/var/lib/dhcpcd/eth0.lease", "dhcp leases"),
        ("/var/lib/dhcp/dhcpd.leases", "leases given by a dhcp server"),
        ("/var/lib/NetworkManager/internal-1234-eth0.lease", "dhcp leases"),
        ("/var/lib/NetworkManager/secret_key", "NetworkManager's identity and memory"),
        ("/var/lib/bluetooth/00:11/22:33/info", "bluetooth pairings"),
        ("/root/.ssh/known_hosts", "known ssh hosts"),
        ("/home/kim/.ssh/known_hosts.old", "known ssh hosts"),
    ] {
        assert_eq!(rules.erasing(&path(erased)).map(|rule| rule.what.as_str()), Some(what), "{erased}");
    }
    for kept in [
        "/etc/ssh/trusted_user_ca_keys",
        "/etc/ssh/trusted_user_ca_keys.d/site",
        "/etc/ssh/authorized_keys",
        "/etc/ssh/revoked_keys",
        "/etc/ssh/moduli",
        "/etc/ssh/ssh_config",
        "/etc/ssh/sshd_config",
        "/etc/ssh/ssh_known_hosts",
        "/etc/ssh/monkey.conf",
        "/etc/ssh/keys-site/ssh_host_rsa_key",
        "/root/.ssh/authorized_keys",
        "/home/kim/.ssh/id_ed25519",
        "/home/kim/history",
        "/home/kim/.bashrc",
        "/etc/wpa_supplicant/wpa_supplicant.conf",
        "/etc/NetworkManager/system-connections/office.nmconnection",
        "/var/lib/NetworkManager/NetworkManager.state",
        "/var/lib/connman/wifi_1/settings",
        "/etc/hostname",
        "/etc/shadow",
        "/usr/share/doc/tmp/x",
        "/opt/var/log/app.log",
        "/var/logs/x",
        "/var/lib/dpkg/status",
        "/var/lib/apt/extended_states",
        "/tmp",
        "/var/log",
        "/run",
        "/firstboot",
        "/md5sums.txt",
    ] {
        assert_eq!(rules.erasing(&path(kept)).map(|rule| rule.what.as_str()), None, "{kept}");
    }
    let touched: Vec<RelativePath> = rules
        .rules
        .iter()
        .filter(|rule| rule.action == Action::Touch)
        .flat_map(|rule| rule.paths.iter().map(|pattern| pattern.literal().unwrap()))
        .collect();
    assert_eq!(touched, [path("firstboot"), path("ssh_regenkeys")]);
}

#[test]
fn a_rule_has_all_its_fields() {
    let text = "[[rule]]\r\nwhat = \"a\"\r\naction = \"remove-files\"\r\npaths = [\"/x\"]\r\nkeep = [\"/x/**/y\"]\r\nrequired = true\r\n\
                [[rule]]\r\nwhat = \"b\"\r\naction = \"touch\"\r\npaths = [\"/z\"]\r\nmode = 0o600\r\n";
    let rules = Rules::parse(text).unwrap().rules;
    assert_eq!((rules[0].action, rules[0].required, rules[0].mode), (Action::RemoveFiles, true, 0o644));
    assert!(rules[0].erases(&path("x/a")) && !rules[0].erases(&path("x")));
    assert!(!rules[0].erases(&path("x/y")) && !rules[0].erases(&path("x/a/y/b")));
    assert_eq!((rules[1].action, rules[1].required, rules[1].mode), (Action::Touch, false, 0o600));
    assert!(!rules[1].erases(&path("z")));
}

#[test]
fn errors_name_the_rule_and_the_line() {
    let good = "[[rule]]\nwhat = \"first\"\naction = \"remove\"\npaths = [\"/a\"]\n";
    let second = |lines: &str| format!("{good}[[rule]]\nwhat = \"second\"\n{lines}");
    for (text, rule, what, line, words) in [
        (second("action = \"remove\"\npaths = [\"/a\",\n \"b\"]\n"), 2, "second", 9, "start with '/'"),
        (second("action = \"remove\"\npaths = []\n"), 2, "second", 5, "empty"),
        (second("action = \"delete\"\npaths = [\"/a\"]\n"), 2, "", 7, "remove-content"),
        (second("action = \"remove\"\npath = [\"/a\"]\n"), 2, "", 8, "unknown field `path`"),
        (second("action = \"remove\"\n"), 2, "", 5, "missing field `paths`"),
        (second("action = \"touch\"\npaths = [\"/a*\"]\n"), 2, "second", 8, "wildcards"),
        (second("action = \"touch\"\npaths = [\"/a\"]\nkeep = [\"/b\"]\n"), 2, "second", 9, "keep"),
        (second("action = \"touch\"\npaths = [\"/a\"]\nrequired = true\n"), 2, "second", 9, "required"),
        (second("action = \"touch\"\npaths = [\"/a\"]\nmode = 0o10000\n"), 2, "second", 9, "0o7777"),
        (second("action = \"empty\"\npaths = [\"/a\"]\nmode = 0o600\n"), 2, "second", 9, "touch"),
        (second("action = \"remove\"\npaths = [\"/**\"]\n"), 2, "second", 8, "everything"),
        (good.replace("first", " "), 1, " ", 1, "name the rule"),
        ("rules = 1\n".to_owned(), 0, "", 1, "unknown field `rules`"),
    ] {
        match Rules::parse(&text) {
            Err(RulesError::Rule { rule: found, what: name, line: place, detail }) => {
                assert_eq!((found, name.as_str(), place), (rule, what, line), "{text}: {detail}");
                assert!(detail.contains(words), "{text}: {detail}");
            }
            other => panic!("{text} gives {other:?}"),
        }
    }
    assert_eq!(Rules::parse("# nothing\n"), Err(RulesError::Empty));
    let long = "#".repeat(TEXT_LIMIT_BYTES + 1);
    assert_eq!(Rules::parse(&long), Err(RulesError::TooLong { len_bytes: long.len() }));
    let shown = Rules::parse(&second("action = \"remove\"\npaths = [\"b\"]\n")).unwrap_err().to_string();
    assert_eq!(shown, "line 8, rule 2 \"second\": \"b\": a path must start with '/'");
}

#[test]
fn wildcards_stay_within_their_component() {
    assert!(matches("/etc/ssh/ssh_host_*_key", "etc/ssh/ssh_host_rsa_key"));
    assert!(!matches("/etc/ssh/ssh_host_*_key", "etc/ssh/ssh_host_rsa_key.pub"));
    assert!(!matches("/etc/*_key", "etc/ssh/rsa_key"));
    assert!(matches("/a/*", "a/.hidden") && !matches("/a/*", "a") && !matches("/a/*", "a/b/c"));
    assert!(matches("/a?c", "abc") && !matches("/a?c", "ac"));
    assert!(matches("/[a-c]x", "bx") && !matches("/[a-c]x", "dx"));
    assert!(matches("/[!a-c]x", "dx") && !matches("/[^a-c]x", "ax"));
    assert!(matches("/a[]]", "a]") && matches("/a[x-]", "a-") && matches("/a[!]]", "ab"));
    assert!(matches("/a\\*", "a*") && !matches("/a\\*", "ab") && matches("/a\\[b", "a[b"));
    assert!(Pattern::parse("/a?b*").unwrap().matches(&path(b"a\xffb\xfe")));
}

#[test]
fn two_stars_take_any_depth_but_never_the_directory_itself() {
    for text in ["a/b", "a/x/b", "a/x/y/b", "a/b/b"] {
        assert!(matches("/a/**/b", text), "{text}");
    }
    assert!(!matches("/a/**/b", "a") && !matches("/a/**/b", "a/b/c"));
    assert!(matches("/a/**", "a/b") && matches("/a/**", "a/b/c") && !matches("/a/**", "a"));
    assert!(matches("/**/core", "core") && matches("/**/core", "x/y/core"));
    assert!(matches("/a/**/**/b", "a/b") && matches("/a/**/**", "a/b") && !matches("/a/**/**", "a"));
}

#[test]
fn patterns_without_a_meaning_are_refused() {
    for (text, words) in [
        ("", "start with"),
        ("etc", "start with"),
        ("/", "must not be '/'"),
        ("/a/", "end with"),
        ("/a//b", "hold '//'"),
        ("/a/../b", "'..'"),
        ("/./b", "'.'"),
        ("/\\./b", "'.'"),
        ("/a**", "whole component"),
        ("/a[b", "without ']'"),
        ("/a[]", "without ']'"),
        ("/a[", "without ']'"),
        ("/a[z-a]", "upwards"),
        ("/a[\u{fc}]", "ASCII"),
        ("/a\\", "at the end"),
        ("/a\0", "NUL"),
        ("/*", "everything"),
        ("/**/*", "everything"),
        ("/?*", "everything"),
    ] {
        let error = Pattern::parse(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text:?}: {error}");
    }
    assert!(Pattern::parse(&format!("/{}", "a".repeat(1024))).is_err());
}

#[test]
fn a_walk_skips_directories_without_a_possible_match() {
    let pattern = Pattern::parse("/home/*/.ssh/known_hosts").unwrap();
    let step = |names: &[&str]| {
        names.iter().fold(pattern.start(), |positions, name| pattern.advance(&positions, name.as_bytes()))
    };
    assert!(step(&[]).may_match_below() && step(&["home", "kim"]).may_match_below());
    assert!(!step(&["etc"]).may_match_below() && !step(&["home", "kim", "src"]).may_match_below());
    let found = step(&["home", "kim", ".ssh", "known_hosts"]);
    assert!(found.is_match() && !found.may_match_below());
    assert!(pattern.matches_component(1, b"kim") && !pattern.matches_component(2, b"kim"));
    assert!(!pattern.matches_component(4, b"x"));
}

#[test]
fn hostile_patterns_are_matched_quickly() {
    let stars = format!("/{}b", "a*".repeat(400));
    assert!(!matches(&stars, &"a".repeat(255)));
    let depths = format!("/{}b", "**/a/".repeat(150));
    assert!(!matches(&depths, &"a/".repeat(400)));
}

/// Matching by its definition, by trying everything.
fn oracle(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", [])), _) => !path.is_empty(),
        (Some((&"**", rest)), None) => oracle(rest, path),
        (Some((&"**", rest)), Some((_, below))) => oracle(rest, path) || oracle(pattern, below),
        (Some((name, rest)), Some((first, below))) => {
            oracle_name(name.as_bytes(), first.as_bytes()) && oracle(rest, below)
        }
        _ => false,
    }
}

fn oracle_name(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|taken| oracle_name(rest, &name[taken..])),
        [b'[', low, b'-', high, b']', rest @ ..] => {
            matches!(name, [first, below @ ..] if (low..=high).contains(&first) && oracle_name(rest, below))
        }
        [wanted, rest @ ..] => {
            matches!(name, [first, below @ ..] if (*wanted == b'?' || wanted == first) && oracle_name(rest, below))
        }
    }
}

proptest! {
    #[test]
    fn matching_agrees_with_trying_everything(
        pattern in prop::collection::vec("(\\*\\*|(a|b|\\?|\\[a-b\\]|\\*[ab]){0,5}\\*?)", 1..5),
        names in prop::collection::vec("[abc]{1,6}", 0..5),
    ) {
        let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Ok(parsed) = Pattern::parse(&format!("/{}", pattern.join("/"))) {
            prop_assert_eq!(parsed.matches(&path(names.join("/"))), oracle(&pattern, &names));
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_an_error(
        text in "/[a-c/*?\\[\\]!\\\\.-]{0,20}",
        name in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        if let Ok(pattern) = Pattern::parse(&text) {
            let here = pattern.advance(&pattern.start(), &name);
            if let Ok(path) = RelativePath::root().join(&name) {
                prop_assert_eq!(here.is_match(), pattern.matches(&path));
            }
            if let Some(literal) = pattern.literal() {
                prop_assert!(pattern.matches(&literal));
            }
        }
    }
}

#[test]
fn a_rule_names_one_place() {
    let of = |place: &str| {
        Rules::parse(&format!("[[rule]]\nwhat = \"x\"\naction = \"remove\"\npaths = [\"/a\"]\n{place}\n"))
    };
    let place = |text: &str| of(text).unwrap().rules.remove(0).place;
    assert_eq!(place(""), Place::Root);
    assert_eq!(place("at = \"/data\""), Place::MountedAt(RelativePath::parse("data").unwrap()));
    assert_eq!(place("label = \"my data\""), Place::Label("my data".to_owned()));
    assert_eq!(place("partition = 3"), Place::Partition(3));
    for wrong in [
        "at = \"data\"",
        "at = \"/\"",
        "at = \"/a/../..\"",
        "label = \"\"",
        "partition = 0",
        "partition = 1\nlabel = \"x\"",
    ] {
        assert!(matches!(of(wrong), Err(RulesError::Rule { rule: 1, .. })), "{wrong}");
    }
    // A rule for another place erases nothing in the root.
    let rules = of("label = \"data\"").unwrap();
    assert_eq!(rules.erasing(&RelativePath::parse("a").unwrap()), None);
}
