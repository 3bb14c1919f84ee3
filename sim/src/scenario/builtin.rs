//! The scenarios that are compiled into the program, so that it works from any directory.

include!(concat!(env!("OUT_DIR"), "/builtin_scenarios.rs"));

/// The text of the built-in scenario called `name`.
pub fn find(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// At most three names of built-in scenarios similar to `name`, the most similar first.
pub fn near(name: &str) -> Vec<&'static str> {
    let mut scored: Vec<(usize, &str)> =
        BUILTIN.iter().map(|(known, _)| (distance(name, known), *known)).collect();
    scored.sort();
    let limit = (name.len() / 3).max(2);
    let contained = BUILTIN.iter().map(|(known, _)| *known).filter(|known| known.contains(name));
    let mut near: Vec<&str> = contained.collect();
    near.extend(scored.iter().filter(|(score, _)| *score <= limit).map(|(_, known)| *known));
    let mut seen = std::collections::BTreeSet::new();
    near.retain(|known| seen.insert(*known));
    near.truncate(3);
    near
}

/// Levenshtein's distance.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, left) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, right) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::schema::Scenario;

    #[test]
    fn every_built_in_scenario_parses_and_has_a_description() {
        assert!(BUILTIN.len() > 100);
        for (name, text) in BUILTIN {
            let scenario = Scenario::parse(text, name).unwrap();
            assert!(scenario.about.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn a_misspelt_name_finds_the_similar_one() {
        assert_eq!(near("write-dd-xs").first(), Some(&"write-dd-xz"));
        assert!(near("card-drops").contains(&"write-card-drops-writes"));
        assert!(near("something else entirely").is_empty());
    }
}
