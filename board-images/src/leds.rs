//! Converts the LEDs of a profile to the configuration of the backend.

use crate::cli::LedAccess;
use crate::usage::UsageError;
use replicator_engine::profile::{self, LedLine, LedProfile, Profile};
use replicator_hal::linux::{LedConfig, LedSource};

/// The LEDs of the board called `board`.
///
/// # Errors
/// If they are driven by GPIO and the profile has no line for this board.
pub(crate) fn config(access: LedAccess, board: &str, leds: LedProfile) -> Result<LedConfig, UsageError> {
    match access {
        LedAccess::None => Ok(LedConfig::None),
        LedAccess::Class => Ok(LedConfig::Class { red: leds.red.names, green: leds.green.names }),
        LedAccess::Gpio => match (leds.red.line, leds.green.line) {
            (Some(red), Some(green)) => Ok(LedConfig::Gpio { red, green }),
            _ => Err(UsageError::NoLedLines { board: board.to_owned() }),
        },
    }
}

/// The LEDs of the board with these `compatible` strings, by name or else by line. If no profile matches the board, the LED
/// names of all profiles.
pub(crate) fn of_board(profiles: &[Profile], compatible: &[String]) -> LedConfig {
    let source = |led: LedLine| LedSource { names: led.names, line: led.line };
    if let Ok(profile) = profile::choose(profiles, &[], compatible, None) {
        let leds = profile.leds_of(compatible);
        return LedConfig::Fallback { red: source(leds.red), green: source(leds.green) };
    }
    let all = LedProfile::names_of(profiles.iter().flat_map(|profile| &profile.leds));
    LedConfig::Class { red: all.red.names, green: all.green.names }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles;
    use replicator_hal::{GpioChip, GpioLine, LedName};

    fn names(names: &[LedName]) -> Vec<&str> {
        names.iter().map(LedName::as_str).collect()
    }

    #[test]
    fn gpio_lines_depend_on_the_compatible_string() {
        let profile = profiles::choose("tsimx6").unwrap();
        let leds = |board: &str| {
            config(LedAccess::Gpio, "tsimx6", profile.leds_of(&[board.to_owned()]))
                .map_err(|error| error.to_string())
        };
        let low =
            |chip: &str, line| GpioLine { chip: GpioChip::parse(chip).unwrap(), line, active_low: true };
        assert_eq!(
            leds("technologic,imx6q-ts7970").unwrap(),
            LedConfig::Gpio { red: low("209c000.gpio", 2), green: low("20a4000.gpio", 27) }
        );
        assert!(leds("fsl,another-board").unwrap_err().contains("--leds class"));
    }

    #[test]
    fn an_unknown_board_uses_the_led_names_of_all_profiles() {
        let profiles = profiles::embedded().unwrap();
        let LedConfig::Class { red, green } = of_board(&profiles, &["some,board".into()]) else { panic!() };
        assert!(names(&red).contains(&"red:status") && names(&red).contains(&"red-led"));
        assert!(names(&green).contains(&"green:power"));
        let LedConfig::Fallback { red, .. } = of_board(&profiles, &["technologic,imx6q-ts7970".into()])
        else {
            panic!()
        };
        assert_eq!(red.line.map(|line| line.line), Some(2));
        assert_eq!(red.names.first().map(LedName::as_str), Some("red:status"));
    }

    #[test]
    fn names_come_in_order_of_preference() {
        let profile = profiles::choose("ts7250v3").unwrap();
        let config = config(LedAccess::Class, "ts7250v3", profile.leds_of(&[])).unwrap();
        let LedConfig::Class { red, green } = config else { panic!("{config:?}") };
        assert_eq!(names(&red), ["red:indicator", "red:status", "red-led"]);
        assert_eq!(names(&green), ["green:power", "green-led"]);
    }
}
