//! The LEDs of a board, for the backend that controls them.

use super::{Profile, is_for};
use replicator_hal::{GpioChip, GpioLine, InvalidLedPlace, LedName};
use serde::Deserialize;

/// The two LEDs of a board.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedProfile {
    /// `compatible` strings of the boards that have these LEDs; empty if all of the profile have them.
    #[serde(default)]
    pub only: Vec<String>,
    /// The green one.
    #[serde(default)]
    pub green: LedLine,
    /// The red one.
    #[serde(default)]
    pub red: LedLine,
}

/// Where one LED is: by name in the LED class, else by GPIO line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "LedText")]
pub struct LedLine {
    /// Exact names below `/sys/class/leds`, the first that exists wins.
    pub names: Vec<LedName>,
    /// The line.
    pub line: Option<GpioLine>,
}

/// An LED as a board file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedText {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    chip: Option<String>,
    #[serde(default)]
    line: Option<u32>,
    #[serde(default)]
    active_low: bool,
}

impl TryFrom<LedText> for LedLine {
    type Error = String;

    fn try_from(text: LedText) -> Result<Self, String> {
        let failed = |error: InvalidLedPlace| error.to_string();
        let names = text.names.into_iter().map(LedName::parse).collect::<Result<_, _>>().map_err(failed)?;
        let line = match (text.chip, text.line) {
            (Some(chip), Some(line)) => {
                let chip = GpioChip::parse(chip).map_err(failed)?;
                Some(GpioLine { chip, line, active_low: text.active_low })
            }
            (None, None) => None,
            _ => return Err("an LED needs both chip and line, or neither".to_owned()),
        };
        Ok(Self { names, line })
    }
}

impl LedProfile {
    /// The names of all `leds`, each once, without lines.
    pub fn names_of<'a>(leds: impl IntoIterator<Item = &'a LedProfile>) -> Self {
        let mut all = Self::default();
        for one in leds {
            for (known, line) in [(&mut all.green.names, &one.green), (&mut all.red.names, &one.red)] {
                for name in &line.names {
                    if !known.contains(name) {
                        known.push(name.clone());
                    }
                }
            }
        }
        all
    }
}

impl Profile {
    /// The LEDs of a board with these `compatible` strings: the first that fit. If none fit, because the profile was
    /// chosen by name on another system, only names are tried: a GPIO line of another board may switch anything.
    pub fn leds_of(&self, compatible: &[String]) -> LedProfile {
        let fitting = self.leds.iter().find(|leds| is_for(&leds.only, compatible));
        fitting.cloned().unwrap_or_else(|| LedProfile::names_of(&self.leds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_leds() -> Profile {
        let text = r#"
            name = "x"
            [[leds]]
            only = ["a,one"]
            green = { names = ["green:power"], chip = "gpio-a", line = 3, active_low = true }
            red = { names = ["red:status", "red-led"] }
            [[leds]]
            only = ["a,two"]
            green = { names = ["green:power", "green-led"], chip = "gpio-b", line = 4 }
            red = { names = ["red:status", "red:"] }
        "#;
        Profile::parse(text, "x.toml").unwrap()
    }

    #[test]
    fn the_first_leds_that_fit_the_board_are_its_leds() {
        let profile = with_leds();
        let line = |compatible: &str| {
            let leds = profile.leds_of(&[compatible.to_owned()]);
            leds.green.line.map(|line| (line.chip.to_string(), line.line, line.active_low))
        };
        assert_eq!(line("a,one"), Some(("gpio-a".into(), 3, true)));
        assert_eq!(line("a,two"), Some(("gpio-b".into(), 4, false)));
    }

    #[test]
    fn on_an_unknown_board_leds_are_tried_by_name_only() {
        let leds = with_leds().leds_of(&[]);
        let names = |line: &LedLine| line.names.iter().map(LedName::to_string).collect::<Vec<_>>();
        assert_eq!(names(&leds.green), ["green:power", "green-led"]);
        assert_eq!(names(&leds.red), ["red:status", "red-led", "red:"]);
        assert_eq!(leds.green.line, None);
    }

    #[test]
    fn a_gpio_line_needs_its_chip() {
        let text = "name = \"x\"\n[[leds]]\ngreen = { line = 3 }";
        let error = Profile::parse(text, "x.toml").unwrap_err().to_string();
        assert!(error.contains("chip and line"), "{error}");
    }

    #[test]
    fn a_name_that_leaves_its_directory_is_refused() {
        for (led, reason) in [
            ("names = [\"../red\"]", "\"../red\" is not the name of an LED"),
            ("chip = \"/etc/shadow\", line = 3", "\"/etc/shadow\" is not the name of a GPIO chip"),
        ] {
            let text = format!("name = \"x\"\n[[leds]]\ngreen = {{ {led} }}");
            let error = Profile::parse(&text, "x.toml").unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
