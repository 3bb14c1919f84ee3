//! Faults and cuts that cannot act are errors of the scenario: on something that does not exist, by a call that is
//! never made there, in a range behind the end. Whether a fault acted is checked at the end of the run: it is reached
//! when a call met its effect.

use super::firmware;
use super::schema::{CutSpec, Fault, FaultKind, FaultSpec, Scenario};
use crate::model::time::op_name::{OpName, Target};
use replicator_hal::DeviceName;

/// Room before the drive's partition.
const DRIVE_HEAD_BYTES: u64 = 32 << 10;

type Checked = Result<(), String>;

/// Refuses a fault that cannot act.
///
/// # Errors
/// The reason why it cannot act.
pub fn fault(scenario: &Scenario, spec: &FaultSpec) -> Checked {
    let target = target(scenario, &spec.on)?;
    let when = &spec.when;
    let by = when.by.as_deref().map_or(Ok(target), |by| self::target(scenario, by))?;
    if [when.times, when.nth, when.at].contains(&Some(0)) {
        return Err("times, nth and at count from 1; 0 never matches".into());
    }
    let (kind, physics) = (spec.kind(), spec.kind().physics());
    if kind == FaultKind::PowerCut {
        return Err("a power cut belongs to one boot; write it as `cut` of a [[boot]]".into());
    }
    if !physics.on.contains(&target) {
        return Err(format!("{kind} has no effect on {}", spec.on));
    }
    if let Some(op) = when.op {
        op_on_target(op, by, when.by.as_deref().unwrap_or(&spec.on))?;
        if !physics.may_name.include(op) {
            return Err(format!("{kind} has no effect on {op}"));
        }
    }
    values(scenario, spec)?;
    places(scenario, spec, target)
}

/// Refuses a cut that cannot happen.
///
/// # Errors
/// The reason why it cannot happen.
pub fn cut(scenario: &Scenario, spec: &CutSpec) -> Checked {
    let on = spec.on.as_deref().unwrap_or("*");
    let target = target(scenario, on)?;
    if spec.nth == 0 || spec.at == Some(0) {
        return Err("nth and at count from 1; 0 never matches".into());
    }
    match spec.op {
        Some(op) => op_on_target(op, target, on),
        None => Ok(()),
    }
}

/// The target that a name stands for.
fn target(scenario: &Scenario, name: &str) -> Result<Target, String> {
    if let Some(medium) = scenario.media.get(name) {
        return if medium.absent { Err(format!("{name} is absent")) } else { Ok(Target::Medium) };
    }
    let area = scenario.firmware.as_ref().map(firmware::area_name).transpose()?.flatten();
    match Target::part(name) {
        Some(Target::Drive) if scenario.drive.absent => Err("the drive is absent".into()),
        Some(target) => Ok(target),
        None if area.as_deref() == Some(name) => Ok(Target::Area),
        None => {
            let media = scenario.media.keys().map(String::as_str);
            let parts = Target::PARTS.iter().map(|(part, _)| *part);
            let known: Vec<&str> = media.chain(area.as_deref()).chain(parts).collect();
            Err(format!("a fault is on {name:?}; known are {}", known.join(", ")))
        }
    }
}

fn op_on_target(op: OpName, target: Target, on: &str) -> Checked {
    match op.is_on(target) {
        true => Ok(()),
        false => Err(format!("{op} is never called on {on}")),
    }
}

/// Checks the values of fields.
fn values(scenario: &Scenario, spec: &FaultSpec) -> Checked {
    match &spec.fault {
        Fault::BitFlip { .. } if spec.when.nth.or(spec.when.times).or(spec.when.at).is_some() => {
            Err("bit-flip waits for the first read of its range; leave nth, times and at out".into())
        }
        Fault::Interrupted if spec.when.times.is_none() => {
            Err("a call cannot be interrupted for ever; give times".into())
        }
        Fault::ClockJump { seconds: 0 } => Err("seconds must not be 0".into()),
        Fault::Hang { duration_ms: Some(0) } => Err("duration_ms must not be 0".into()),
        Fault::Replug { device, .. } if DeviceName::parse(device.as_str()).is_err() => {
            Err(format!("{device:?} is not the name of a device"))
        }
        Fault::Replug { taken_by: Some(other), .. }
            if *other == spec.on || target(scenario, other)? != Target::Medium =>
        {
            Err(format!("taken_by is another medium, not {other}"))
        }
        Fault::HubReset { with } => {
            with.iter().enumerate().try_for_each(|(index, other)| match target(scenario, other)? {
                Target::Medium | Target::Drive if *other != spec.on && !with[..index].contains(other) => {
                    Ok(())
                }
                _ => Err(format!("with names other media or the drive, each once, not {other}")),
            })
        }
        _ => Ok(()),
    }
}

/// Checks that the bytes exist.
fn places(scenario: &Scenario, spec: &FaultSpec, target: Target) -> Checked {
    let media = scenario.media.values().filter(|medium| !medium.absent).map(|medium| medium.len.0);
    let len = match target {
        Target::Medium => scenario.media.get(&spec.on).map(|medium| medium.len.0),
        Target::Drive => {
            let drive = &scenario.drive;
            Some(drive.disk_len.unwrap_or(drive.len).0.max(drive.len.0) + DRIVE_HEAD_BYTES)
        }
        Target::Image => media.max(),
        _ => None,
    };
    let Some(len) = len else { return Ok(()) };
    let condition = spec.when.range.iter().map(|range| ("the start of range", range.bytes().start));
    match spec.fault.places().into_iter().chain(condition).find(|(_, at)| *at >= len) {
        Some((what, at)) => Err(format!("{what} is byte {at}, but {} ends at byte {len}", spec.on)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(fault: &str) -> String {
        let media = "about = \"x.\"\n[media.sd]\n[media.emmc]\nabsent = true\n";
        let text = format!("{media}[[fault]]\n{fault}\n[expect]\nstatus = \"success\"\n");
        Scenario::parse(&text, "x.toml").map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn faults_that_can_act_are_accepted() {
        for fault in [
            "on = \"sd\"\nkind = \"drop-writes\"\nrange = \"4 MiB..\"",
            "on = \"sd\"\nkind = \"replug\"\nop = \"open_target\"\nnth = 1\ndevice = \"mmcblk7\"",
            "on = \"drive\"\nkind = \"out-of-space\"\nop = \"rename\"",
            "on = \"clock\"\nkind = \"clock-jump\"\nby = \"sd\"\nop = \"write\"\nseconds = -5",
            "on = \"*\"\nkind = \"unmount-busy\"\nnth = 2",
        ] {
            assert_eq!(error(fault), "", "{fault}");
        }
    }

    #[test]
    fn a_fault_that_cannot_act_is_an_error_with_its_line() {
        for (fault, why) in [
            ("on = \"usb\"\nkind = \"io-error\"", "known are emmc, sd, drive"),
            ("on = \"emmc\"\nkind = \"io-error\"", "emmc is absent"),
            ("on = \"sd\"\nkind = \"io-error\"\nop = \"hook\"", "hook is never called on sd"),
            ("on = \"image\"\nkind = \"io-error\"\nop = \"open-target\"", "never called on image"),
            ("on = \"sd\"\nkind = \"io-error\"\nby = \"leds\"\nop = \"read\"", "never called on leds"),
            ("on = \"sd\"\nkind = \"io-error\"\ntimes = 0", "0 never matches"),
            ("on = \"sd\"\nkind = \"io-error\"\nnth = 0", "0 never matches"),
            ("on = \"sd\"\nkind = \"led-fails\"", "no effect on sd"),
            ("on = \"leds\"\nkind = \"drop-writes\"", "no effect on leds"),
            ("on = \"image\"\nkind = \"drop-writes\"", "no effect on image"),
            ("on = \"drive\"\nkind = \"file-too-large\"\nop = \"rename\"", "no effect on rename"),
            ("on = \"sd\"\nkind = \"drop-writes\"\nop = \"read\"", "no effect on read"),
            ("on = \"sd\"\nkind = \"drop-writes\"\nrange = \"8 MiB..\"", "ends at byte"),
            ("on = \"drive\"\nkind = \"latent-error\"\nrange = \"17 MiB..18 MiB\"", "ends at byte"),
            ("on = \"sd\"\nkind = \"bit-flip\"\nrange = \"4 MiB..\"", "the middle of range"),
            ("on = \"sd\"\nkind = \"bit-flip\"\nrange = \"0..512\"\nnth = 3", "leave nth, times and at out"),
            ("on = \"sd\"\nkind = \"misdirected-write\"\nrange = \"0..512\"\nto = \"8 MiB\"", "ends at byte"),
            ("on = \"sd\"\nkind = \"fake-limbo\"\nreal = \"8 MiB\"", "ends at byte"),
            ("on = \"clock\"\nkind = \"clock-jump\"\nseconds = 0", "seconds must not be 0"),
            ("on = \"sd\"\nkind = \"interrupted\"", "give times"),
            ("on = \"sd\"\nkind = \"replug\"\ndevice = \"x\"\ntaken_by = \"sd\"", "another medium"),
            ("on = \"sd\"\nkind = \"replug\"\ndevice = \"x\"\ntaken_by = \"emmc\"", "emmc is absent"),
            ("on = \"drive\"\nkind = \"hub-reset\"\nwith = [\"emmc\"]", "emmc is absent"),
            ("on = \"drive\"\nkind = \"hub-reset\"\nwith = [\"sd\", \"sd\"]", "each once, not sd"),
            ("on = \"drive\"\nkind = \"hub-reset\"\nwith = [\"leds\"]", "not leds"),
        ] {
            let found = error(fault);
            assert!(found.starts_with("x.toml:5: fault 1: ") && found.contains(why), "{fault}: {found}");
        }
    }

    #[test]
    fn a_fault_that_does_not_parse_is_an_error_with_the_line_of_its_key() {
        for (fault, line, why) in [
            (
                "on = \"sd\"\nop = \"raed\"\nkind = \"io-error\"",
                7,
                "no operation \"raed\"; known are area-list, ",
            ),
            ("on = \"sd\"\nkind = \"misdirected-write\"\nrange = \"0..512\"", 5, "missing field `to`"),
            ("on = \"sd\"\nkind = \"io-error\"\nnth = 1\nspace = \"1 MiB\"", 9, "unknown field `space`"),
            ("on = \"sd\"\nkind = \"fake-chain\"\nto = 1\nreal = 9", 8, "expected `real` or `cache`"),
            (
                "on = \"drive\"\nrange = \"0..1\"\nkind = \"wrong-free-space\"\nspace = \"1 MiB\"",
                7,
                "unknown field `range`",
            ),
            ("on = \"sd\"\nkind = \"bit-flap\"", 7, "expected one of `out-of-space`, "),
        ] {
            let found = error(fault);
            assert!(
                found.starts_with(&format!("x.toml:{line}: ")) && found.contains(why),
                "{fault}: {found}"
            );
        }
    }

    #[test]
    fn a_cut_that_cannot_happen_is_an_error_too() {
        let error = |cut: &str| {
            let text =
                format!("about = \"x.\"\n[media.sd]\n[[boot]]\n{cut}\n[expect]\nstatus = \"success\"\n");
            Scenario::parse(&text, "x.toml").unwrap_err().to_string()
        };
        for (cut, why) in [
            ("cut = { on = \"leds\", op = \"write\" }", "never called on leds"),
            ("cut = { on = \"emmc\" }", "known are sd"),
            ("cut = { at = 0 }", "0 never matches"),
        ] {
            let found = error(cut);
            assert!(found.starts_with("x.toml:3: boot 1: ") && found.contains(why), "{cut}: {found}");
        }
    }
}
