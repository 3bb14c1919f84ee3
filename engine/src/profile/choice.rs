//! Chooses the board's profile: by the device tree, or, on a system without one, by the name in the drive's settings.

use super::Profile;
use crate::error::{Error, Refusal, Result};

/// Which board this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoardChoice {
    /// The board of this profile, named by the user. The device tree is ignored.
    Named(Box<Profile>),
    /// The board of one of these profiles, or of one on the drive: see [`choose`].
    Discover(Vec<Profile>),
}

/// The profiles in `more`, then those in `known` that `more` does not replace by the same name.
pub fn joined<'a>(known: &'a [Profile], more: &'a [Profile]) -> Vec<&'a Profile> {
    let stays = |profile: &&Profile| !more.iter().any(|other| other.name == profile.name);
    more.iter().chain(known.iter().filter(stays)).collect()
}

/// The profile of a board with these `compatible` strings, most specific first.
///
/// `drive` are the profiles on the drive, which are [`joined`] with the `known` ones. `named` is the board in the drive's
/// settings. It never overrides a device tree. Without one, it chooses among the profiles for systems without a device
/// tree, which match no `compatible` string.
///
/// # Errors
/// `WrongBoard` if none fits, or two fit equally well.
pub fn choose(
    known: &[Profile],
    drive: &[Profile],
    compatible: &[String],
    named: Option<&str>,
) -> Result<Profile> {
    let all = joined(known, drive);
    if compatible.is_empty() {
        return without_device_tree(&all, named);
    }
    for board in compatible {
        let fitting: Vec<&&Profile> = all.iter().filter(|profile| profile.matches.contains(board)).collect();
        match fitting.as_slice() {
            [] => {}
            [profile] => return Ok((**profile).clone()),
            [one, other, ..] => {
                let what =
                    format!("profiles {} and {} are both for this board ({board})", one.name, other.name);
                return Err(Error::refused(Refusal::WrongBoard, what));
            }
        }
    }
    let what = format!("no profile fits this board ({})", compatible.join(", "));
    Err(Error::refused(Refusal::WrongBoard, what))
}

fn without_device_tree(all: &[&Profile], named: Option<&str>) -> Result<Profile> {
    let refuse = |what: String| Err(Error::refused(Refusal::WrongBoard, what));
    let Some(named) = named else {
        return refuse("this system has no device tree, and the settings name no board".into());
    };
    match all.iter().find(|profile| profile.name == named) {
        None => refuse(format!("the drive is for board {named}, and there is no such profile")),
        Some(profile) if !profile.matches.is_empty() => refuse(format!(
            "the drive is for board {named}, which has a device tree, and this system has none"
        )),
        Some(profile) => Ok((*profile).clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, matches: &[&str]) -> Profile {
        Profile::parse(&format!("name = {name:?}\nmatch = {matches:?}"), "x.toml").unwrap()
    }

    fn chosen(drive: &[Profile], compatible: &[&str], named: Option<&str>) -> String {
        let known = [profile("a", &["v,a"]), profile("soc", &["v,soc"]), profile("pc", &[])];
        let compatible: Vec<String> = compatible.iter().map(|text| (*text).to_owned()).collect();
        match choose(&known, drive, &compatible, named) {
            Ok(profile) => format!("{}:{}", profile.name, profile.products.join("+")),
            Err(error) => format!("{} {error}", error.code()),
        }
    }

    #[test]
    fn the_most_specific_string_decides() {
        assert_eq!(chosen(&[], &["v,a", "v,soc"], None), "a:");
        assert_eq!(chosen(&[], &["v,b", "v,soc"], None), "soc:");
        assert!(chosen(&[], &["v,b"], None).starts_with("R-BOARD no profile fits this board (v,b)"));
    }

    #[test]
    fn the_drives_profiles_extend_the_known_ones_and_replace_them_by_name() {
        let more = profile("b", &["v,b"]);
        assert_eq!(chosen(std::slice::from_ref(&more), &["v,b", "v,soc"], None), "b:");
        let mut newer = profile("a", &["v,a"]);
        newer.products.push("newer".into());
        assert_eq!(chosen(&[more, newer], &["v,a"], None), "a:newer");
        assert!(chosen(&[profile("other", &["v,a"])], &["v,a"], None).contains("other and a are both"));
    }

    #[test]
    fn a_name_is_used_only_without_a_device_tree_and_only_for_a_board_without_one() {
        assert_eq!(chosen(&[], &[], Some("pc")), "pc:");
        assert_eq!(chosen(&[], &["v,a"], Some("pc")), "a:", "the settings are compared with it later");
        for (named, wanted) in
            [(None, "the settings name no board"), (Some("a"), "has a device tree"), (Some("z"), "z")]
        {
            let text = chosen(&[], &[], named);
            assert!(text.starts_with("R-BOARD") && text.contains(wanted), "{text}");
        }
    }
}
