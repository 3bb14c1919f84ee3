//! Faults and cuts that cannot act are errors of the scenario: on what is not there, by a call that is never made there, in
//! a range behind the end, with a key that their kind does not look at. What only the run can tell is judged at its end:
//! a fault counts as reached when a call met what it does.

use super::firmware;
use super::schema::{CutSpec, FaultKind, FaultSpec, Scenario, Size};
use crate::op_name::{OpName, Target};
use std::ops::Range;

/// Room before the drive's partition.
const DRIVE_HEAD_BYTES: u64 = 32 << 10;

type Checked = Result<(), String>;

/// `"4 MiB.."`, `"0..512"`, `"1 MiB..2 MiB"`.
///
/// # Errors
/// In words, with how it is written.
pub fn range(text: &str) -> Result<Range<u64>, String> {
    let hint = || format!("{text:?} is no range; write it like \"4 MiB..\" or \"0..512\"");
    let (start, end) = text.split_once("..").ok_or_else(hint)?;
    let size = |part: &str, otherwise| match part.trim() {
        "" => Ok(otherwise),
        part => Size::parse(part).map(|size| size.0),
    };
    let range = size(start, 0)?..size(end, u64::MAX)?;
    if range.is_empty() { Err(hint()) } else { Ok(range) }
}

/// Refuses a fault that cannot act.
///
/// # Errors
/// Why it cannot, in words.
pub fn fault(scenario: &Scenario, spec: &FaultSpec) -> Checked {
    let target = target(scenario, &spec.on)?;
    let by = spec.by.as_deref().map_or(Ok(target), |by| self::target(scenario, by))?;
    if spec.times == Some(0) || spec.nth == Some(0) {
        return Err("times and nth count from 1; 0 never comes".into());
    }
    kind_on_target(spec, target)?;
    if let Some(op) = spec.op {
        op_on_target(op, by, spec.by.as_deref().unwrap_or(&spec.on))?;
        kind_by_op(spec.kind, op)?;
    }
    keys(spec)?;
    places(scenario, spec, target)
}

/// Refuses a cut that cannot come.
///
/// # Errors
/// Why it cannot, in words.
pub fn cut(scenario: &Scenario, spec: &CutSpec) -> Checked {
    let on = spec.on.as_deref().unwrap_or("*");
    let target = target(scenario, on)?;
    if spec.nth == 0 || spec.at == Some(0) {
        return Err("nth and at count from 1; 0 never comes".into());
    }
    match spec.op {
        Some(op) => op_on_target(op, target, on),
        None => Ok(()),
    }
}

/// What a name stands for.
fn target(scenario: &Scenario, name: &str) -> Result<Target, String> {
    if let Some(medium) = scenario.media.get(name) {
        return if medium.absent { Err(format!("{name} is absent")) } else { Ok(Target::Medium) };
    }
    let area = scenario.firmware.as_ref().map(firmware::area_name).transpose()?.flatten();
    Ok(match name {
        "drive" if scenario.drive.absent => return Err("the drive is absent".into()),
        "drive" => Target::Drive,
        "image" => Target::Image,
        "leds" => Target::Leds,
        "system" => Target::System,
        "clock" => Target::Clock,
        "firmware" => Target::Firmware,
        "devices" => Target::Devices,
        "*" => Target::Any,
        name if area.as_deref() == Some(name) => Target::Area,
        name => {
            let media = scenario.media.keys().map(String::as_str);
            let parts = ["drive", "image", "leds", "system", "clock", "firmware", "devices", "*"];
            let known: Vec<&str> = media.chain(area.as_deref()).chain(parts).collect();
            return Err(format!("a fault is on {name:?}; known are {}", known.join(", ")));
        }
    })
}

fn op_on_target(op: OpName, target: Target, on: &str) -> Checked {
    match op.is_on(target) {
        true => Ok(()),
        false => Err(format!("{op} is never called on {on}")),
    }
}

/// Where a kind of fault can be.
fn kind_on_target(spec: &FaultSpec, target: Target) -> Checked {
    use Target::{Any, Area, Clock, Drive, Image, Leds, Medium};
    let right = match spec.kind {
        FaultKind::LedFails => target == Leds,
        FaultKind::ClockJump => target == Clock,
        FaultKind::IoError | FaultKind::Hang => target != Clock,
        FaultKind::OutOfSpace | FaultKind::SpaceLies | FaultKind::FileSizeLimit | FaultKind::FileTooLarge => {
            matches!(target, Drive | Image | Medium)
        }
        FaultKind::FsckFails | FaultKind::FsckExit => matches!(target, Drive | Image | Medium | Any),
        FaultKind::UnmountBusy => matches!(target, Drive | Image | Medium | Any),
        FaultKind::ShortIo => matches!(target, Drive | Image | Medium | Area | Any),
        FaultKind::ReadOnlyFlip | FaultKind::TransientFlip => matches!(target, Drive | Image | Medium | Area),
        FaultKind::Replug | FaultKind::FakeLimbo | FaultKind::FakeWraparound | FaultKind::FakeChain => {
            matches!(target, Drive | Medium)
        }
        FaultKind::Vanish
        | FaultKind::LatentError
        | FaultKind::DropWrites
        | FaultKind::MisdirectedWrite
        | FaultKind::BitFlip => matches!(target, Drive | Medium | Area),
    };
    if right { Ok(()) } else { Err(format!("{:?} has no effect on {}", spec.kind, spec.on)) }
}

/// Which calls a kind of fault can wait for.
fn kind_by_op(kind: FaultKind, op: OpName) -> Checked {
    let right = match kind {
        FaultKind::SpaceLies => op == OpName::Space,
        FaultKind::FileTooLarge => op == OpName::Write,
        FaultKind::FsckFails | FaultKind::FsckExit => op == OpName::Fsck,
        FaultKind::TransientFlip => op == OpName::Read,
        FaultKind::ShortIo => matches!(op, OpName::Read | OpName::Write),
        FaultKind::UnmountBusy => {
            matches!(
                op,
                OpName::Unmount
                    | OpName::OpenTarget
                    | OpName::Mount
                    | OpName::RereadPartitions
                    | OpName::Remount
            )
        }
        FaultKind::LedFails => op == OpName::LedShow,
        FaultKind::DropWrites
        | FaultKind::FakeLimbo
        | FaultKind::FakeWraparound
        | FaultKind::FakeChain
        | FaultKind::MisdirectedWrite => op.changes(),
        // Met by the first call that reads the range.
        FaultKind::BitFlip => {
            return Err("BitFlip waits for the first read of its range; leave op out".into());
        }
        _ => true,
    };
    if right { Ok(()) } else { Err(format!("{kind:?} has no effect on {op}")) }
}

/// Keys that the kind needs, and keys that it does not look at.
fn keys(spec: &FaultSpec) -> Checked {
    use FaultKind::{
        BitFlip, ClockJump, FakeChain, FakeLimbo, FakeWraparound, FileSizeLimit, FsckExit, Hang, LatentError,
        LedFails, MisdirectedWrite, OutOfSpace, Replug, SpaceLies, TransientFlip,
    };
    const FAKE: [FaultKind; 3] = [FakeLimbo, FakeWraparound, FakeChain];
    let kind = spec.kind;
    let needed: [(&str, bool, &[FaultKind]); 7] = [
        ("space", spec.space.is_some(), &[SpaceLies, FileSizeLimit]),
        ("to", spec.to.is_some(), &[MisdirectedWrite]),
        ("real", spec.real.is_some(), &FAKE),
        ("seconds", spec.seconds.is_some(), &[ClockJump]),
        ("device", spec.device.is_some(), &[Replug]),
        ("exit", spec.exit.is_some(), &[FsckExit]),
        ("range", spec.range.is_some(), &[LatentError, MisdirectedWrite, BitFlip, TransientFlip]),
    ];
    if let Some((key, ..)) = needed.iter().find(|(_, given, kinds)| !given && kinds.contains(&kind)) {
        return Err(format!("{kind:?} needs the key {key}"));
    }
    let only: [(&str, bool, &[FaultKind]); 8] = [
        ("space", spec.space.is_some(), &[OutOfSpace, SpaceLies, FileSizeLimit]),
        ("to", spec.to.is_some(), &[MisdirectedWrite]),
        ("real", spec.real.is_some(), &FAKE),
        ("cache", spec.cache.is_some(), &FAKE),
        ("duration_ms", spec.duration_ms.is_some(), &[Hang]),
        ("seconds", spec.seconds.is_some(), &[ClockJump]),
        ("device or taken_by", spec.device.is_some() || spec.taken_by.is_some(), &[Replug]),
        ("exit", spec.exit.is_some(), &[FsckExit]),
    ];
    if let Some((key, ..)) = only.iter().find(|(_, given, kinds)| *given && !kinds.contains(&kind)) {
        return Err(format!("{kind:?} does not look at the key {key}"));
    }
    let has_no_place = [SpaceLies, FileSizeLimit, LedFails].contains(&kind) || FAKE.contains(&kind);
    if has_no_place && spec.range.is_some() {
        return Err(format!("{kind:?} does not look at the key range"));
    }
    if kind == BitFlip && (spec.nth.is_some() || spec.times.is_some()) {
        return Err("BitFlip waits for the first read of its range; leave nth and times out".into());
    }
    if spec.seconds == Some(0) || spec.duration_ms == Some(0) {
        return Err("0 is no jump, and no hang".into());
    }
    Ok(())
}

/// Bytes that are not there, and devices that are not.
fn places(scenario: &Scenario, spec: &FaultSpec, target: Target) -> Checked {
    if let Some(other) = &spec.taken_by {
        if *other == spec.on || self::target(scenario, other)? != Target::Medium {
            return Err(format!("taken_by is another medium, not {other}"));
        }
    }
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
    let range = spec.range.as_deref().map(range).transpose()?;
    let Some(len) = len else { return Ok(()) };
    let behind = |what: &str, at: u64| {
        Err(format!("{what} is byte {at}, and {} ends at byte {len}: nothing is there", spec.on))
    };
    if let Some(range) = range {
        let flips = matches!(spec.kind, FaultKind::BitFlip | FaultKind::TransientFlip);
        let middle = range.start + (range.end - range.start) / 2;
        if range.start >= len {
            return behind("the start of range", range.start);
        }
        if flips && middle >= len {
            return behind("the middle of range, where the bit flips,", middle);
        }
    }
    match (spec.to, spec.real) {
        (Some(to), _) if to.0 >= len => behind("to", to.0),
        (_, Some(real)) if real.0 >= len => behind("real", real.0),
        _ => Ok(()),
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
    fn what_can_act_is_taken() {
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
    fn what_cannot_act_is_an_error_with_its_line() {
        for (fault, why) in [
            ("on = \"usb\"\nkind = \"io-error\"", "known are emmc, sd, drive"),
            ("on = \"emmc\"\nkind = \"io-error\"", "emmc is absent"),
            ("on = \"sd\"\nkind = \"io-error\"\nop = \"hook\"", "hook is never called on sd"),
            ("on = \"image\"\nkind = \"io-error\"\nop = \"open-target\"", "never called on image"),
            ("on = \"sd\"\nkind = \"io-error\"\nop = \"raed\"", "no operation \"raed\""),
            ("on = \"sd\"\nkind = \"io-error\"\nby = \"leds\"\nop = \"read\"", "never called on leds"),
            ("on = \"sd\"\nkind = \"io-error\"\ntimes = 0", "0 never comes"),
            ("on = \"sd\"\nkind = \"io-error\"\nnth = 0", "0 never comes"),
            ("on = \"sd\"\nkind = \"led-fails\"", "no effect on sd"),
            ("on = \"leds\"\nkind = \"drop-writes\"", "no effect on leds"),
            ("on = \"image\"\nkind = \"drop-writes\"", "no effect on image"),
            ("on = \"drive\"\nkind = \"file-too-large\"\nop = \"rename\"", "no effect on rename"),
            ("on = \"sd\"\nkind = \"drop-writes\"\nop = \"read\"", "no effect on read"),
            ("on = \"sd\"\nkind = \"drop-writes\"\nrange = \"8 MiB..\"", "nothing is there"),
            ("on = \"drive\"\nkind = \"latent-error\"\nrange = \"17 MiB..18 MiB\"", "nothing is there"),
            ("on = \"sd\"\nkind = \"bit-flip\"\nrange = \"4 MiB..\"", "the middle of range"),
            ("on = \"sd\"\nkind = \"bit-flip\"\nrange = \"0..512\"\nnth = 3", "leave nth and times out"),
            (
                "on = \"sd\"\nkind = \"misdirected-write\"\nrange = \"0..512\"\nto = \"8 MiB\"",
                "nothing is there",
            ),
            ("on = \"sd\"\nkind = \"misdirected-write\"\nrange = \"0..512\"", "needs the key to"),
            ("on = \"sd\"\nkind = \"fake-limbo\"\nreal = \"8 MiB\"", "nothing is there"),
            ("on = \"sd\"\nkind = \"io-error\"\nspace = \"1 MiB\"", "does not look at the key space"),
            ("on = \"drive\"\nkind = \"space-lies\"\nspace = \"1 MiB\"\nrange = \"0..1\"", "key range"),
            ("on = \"clock\"\nkind = \"clock-jump\"\nseconds = 0", "0 is no jump"),
            ("on = \"sd\"\nkind = \"replug\"\ndevice = \"x\"\ntaken_by = \"sd\"", "another medium"),
            ("on = \"sd\"\nkind = \"replug\"\ndevice = \"x\"\ntaken_by = \"emmc\"", "emmc is absent"),
        ] {
            let found = error(fault);
            assert!(found.starts_with("x.toml:5: fault 1: ") && found.contains(why), "{fault}: {found}");
        }
    }

    #[test]
    fn a_cut_that_cannot_come_is_an_error_too() {
        let error = |cut: &str| {
            let text =
                format!("about = \"x.\"\n[media.sd]\n[[boot]]\n{cut}\n[expect]\nstatus = \"success\"\n");
            Scenario::parse(&text, "x.toml").unwrap_err().to_string()
        };
        for (cut, why) in [
            ("cut = { on = \"leds\", op = \"write\" }", "never called on leds"),
            ("cut = { on = \"emmc\" }", "known are sd"),
            ("cut = { at = 0 }", "0 never comes"),
            ("cut = { op = \"wirte\" }", "no operation"),
        ] {
            let found = error(cut);
            assert!(found.starts_with("x.toml:3: boot 1: ") && found.contains(why), "{cut}: {found}");
        }
    }

    #[test]
    fn ranges_read_as_people_write_them() {
        assert_eq!(range("4 MiB.."), Ok(4 << 20..u64::MAX));
        assert_eq!(range("0..512"), Ok(0..512));
        assert!(range("4 MiB").unwrap_err().contains("4 MiB.."));
    }
}
