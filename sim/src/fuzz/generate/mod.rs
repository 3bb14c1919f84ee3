//! Makes a scenario from a seed by swarm testing: first the kinds of things in this scenario are drawn, then the
//! number of each, then each of them. So one scenario has only cuts, and another one everything together.

mod composed;
mod faults;
mod firmware;
mod media;

use crate::model::hardware::simfs::Kind;
use crate::model::time::random::Random;
use crate::scenario::check_faults;
use crate::scenario::schema::{
    BootSpec, Content, CutSpec, DriveFileSystem, DriveSpec, Expectation, FaultKind, FileSpec, MediumSpec,
    Scenario, Size, SurvivalSpec,
};
use std::collections::BTreeMap;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const CONTENTS: [Content; 9] = [
    Content::Single,
    Content::Blank,
    Content::Stamped,
    Content::SingleGpt,
    Content::BootAndRoot,
    Content::RootAndData,
    Content::Gpt,
    Content::Data,
    Content::Logical,
];
const SURVIVALS: [SurvivalSpec; 5] = [
    SurvivalSpec::None,
    SurvivalSpec::All,
    SurvivalSpec::DataLate,
    SurvivalSpec::Subset,
    SurvivalSpec::Garbage,
];
const OPTIONS: [&str; 6] = [
    "IR_NO_COMPRESS",
    "IR_NO_COMPRESS.txt",
    "IR_NO_CAPTURE_SD",
    "ir_no_capture_emmc",
    "IR_WRITE_BACK",
    "IR_NO_SANITISE",
];

/// The kinds of things in this scenario.
struct Swarm {
    random: Random,
    faults: Vec<FaultKind>,
    contents: Vec<Content>,
    survivals: Vec<SurvivalSpec>,
    cuts: bool,
    damage: bool,
    options: bool,
    writes: bool,
    /// Damaged partition tables.
    tables: bool,
    /// Media with a write cache.
    write_caches: bool,
    /// Links, records, directories with names of images; boards with unusual firmware.
    odd: bool,
    /// A board that accepts firmware.
    firmware: bool,
    /// Media that are described partition by partition.
    composed: bool,
}

/// Kinds of file systems that a board's kernel may lack.
const LACKED: [Kind; 4] = [Kind::Btrfs, Kind::Xfs, Kind::F2fs, Kind::Exfat];

/// How often a fault that cannot act is drawn again.
const FAULT_TRIES: u32 = 16;

/// The scenario of a seed.
pub fn scenario(seed: u64) -> Scenario {
    Swarm::new(seed).scenario(seed)
}

/// Settings of a capture. They come from random numbers of their own, so that an older seed stays the same scenario
/// otherwise.
fn capture_settings(seed: u64, is_sanitised: bool) -> Option<FileSpec> {
    let mut random = Random::child(seed, "compress");
    let mut lines = Vec::new();
    if !is_sanitised {
        lines.push("sanitise = false".to_owned());
    }
    match random.below(4) {
        0 => lines.push("compress = \"none\"".to_owned()),
        1 => lines.push("compress = \"zstd\"".to_owned()),
        // Higher levels take more time than the rest of a run.
        2 => {
            lines.extend(["compress = \"zstd\"".to_owned(), format!("zstd_level = {}", 1 + random.below(7))])
        }
        _ => {}
    }
    let text = Some(format!("[capture]\n{}\n", lines.join("\n")));
    (!lines.is_empty()).then(|| FileSpec { text, ..text_file("replicator.toml") })
}

impl Swarm {
    fn new(seed: u64) -> Self {
        let mut random = Random::child(seed, "fuzz");
        let faults = if random.coin() {
            FaultKind::all().filter(|kind| random.below(6) < kind.physics().weight).collect()
        } else {
            vec![]
        };
        let mut contents: Vec<Content> = CONTENTS.into_iter().filter(|_| random.below(3) == 0).collect();
        if contents.is_empty() {
            contents.push(Content::Single);
        }
        let mut survivals: Vec<SurvivalSpec> = SURVIVALS.into_iter().filter(|_| random.coin()).collect();
        if survivals.is_empty() {
            survivals.push(SurvivalSpec::None);
        }
        let mut one_in = |count| random.below(count) == 0;
        let (cuts, damage, options, writes) = (one_in(2), one_in(4), one_in(3), one_in(2));
        let (tables, write_caches, odd, firmware) = (one_in(6), one_in(4), one_in(4), one_in(4));
        let composed = one_in(2);
        Self {
            random,
            faults,
            contents,
            survivals,
            cuts,
            damage,
            options,
            writes,
            tables,
            write_caches,
            odd,
            firmware,
            composed,
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize]
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.random.below(count) == 0
    }

    /// A magnitude: small numbers often, large ones sometimes.
    fn magnitude(&mut self, bits_max: u64) -> u64 {
        let bits = self.random.below(bits_max) + 1;
        1 + self.random.below(1 << bits)
    }

    fn content(&mut self) -> Content {
        let contents = self.contents.clone();
        self.pick(&contents)
    }

    fn scenario(mut self, seed: u64) -> Scenario {
        let count = [1, 1, 1, 2, 2, 3][self.random.below(6) as usize];
        let file_system = self.pick(&[DriveFileSystem::Ext4, DriveFileSystem::Vfat, DriveFileSystem::Exfat]);
        let flashed = if self.firmware { self.flashed() } else { None };
        let mut media = BTreeMap::new();
        let mut files = Vec::new();
        // Most bootloaders are on the eMMC.
        let names = if flashed.is_some() { ["emmc", "sd", "sata"] } else { ["sd", "emmc", "sata"] };
        for name in names.into_iter().take(count) {
            if self.writes {
                let (medium, more) = self.written(name, file_system == DriveFileSystem::Ext4);
                media.insert(name.to_owned(), medium);
                files.extend(more);
            } else {
                let medium = self.captured();
                media.insert(name.to_owned(), medium);
            }
        }
        files.extend(flashed.iter().flat_map(|flashed| flashed.files.clone()));
        if self.options {
            files.push(text_file(self.pick(&OPTIONS)));
            if !self.writes {
                let is_sanitised = !self.one_in(4);
                files.extend(capture_settings(seed, is_sanitised));
            }
        }
        let len = self.drive_len(&media, flashed.is_some());
        let drive = DriveSpec { file_system, len, files, ..DriveSpec::default() };
        let fault_count = if self.faults.is_empty() { 0 } else { 1 + self.random.below(3) };
        let mut scenario = Scenario {
            about: format!("Generated from seed {seed}."),
            seed,
            wall_clock: self.one_in(16).then(|| self.random.below(4_000_000_000) as i64),
            firmware: flashed.as_ref().map(|flashed| flashed.spec.clone()),
            kernel_lacks: self.lacked(file_system),
            compatible: None,
            drive,
            media,
            faults: Vec::new(),
            boots: Vec::new(),
            expect: Expectation::nothing(),
        };
        for _ in 0..fault_count {
            // A fault that cannot act in this scenario is drawn again, a few times.
            let mut drawn = (0..FAULT_TRIES).map(|_| self.fault(&scenario.media, flashed.as_ref()));
            let acts = drawn.find(|fault| check_faults::fault(&scenario, fault).is_ok());
            scenario.faults.extend(acts);
        }
        scenario.boots = self.boots();
        scenario
    }

    /// Kinds that the board's kernel cannot mount; never that of the drive.
    fn lacked(&mut self, drive: DriveFileSystem) -> Vec<Kind> {
        match self.one_in(12) {
            true if drive == DriveFileSystem::Exfat => vec![self.pick(&LACKED[..3])],
            true => vec![self.pick(&LACKED)],
            false => Vec::new(),
        }
    }

    /// Enough for all images and a working copy, or sometimes, without firmware files, too little for any capture.
    fn drive_len(&mut self, media: &BTreeMap<String, MediumSpec>, has_firmware: bool) -> Size {
        let lens = media.values().map(|spec| spec.len.0);
        let enough = 8 * MIB + 2 * lens.clone().sum::<u64>() + lens.max().unwrap_or(0);
        Size(if !self.writes && self.one_in(12) && !has_firmware { 2 * MIB } else { enough })
    }

    fn boots(&mut self) -> Vec<BootSpec> {
        if !self.cuts {
            // After faults that have ended, a further boot must reach a good end.
            let more = self.one_in(if self.faults.is_empty() { 4 } else { 2 });
            return if more { vec![BootSpec::default(), BootSpec::default()] } else { Vec::new() };
        }
        let count = 1 + self.random.below(3);
        let mut boots: Vec<BootSpec> = (0..count).map(|_| self.cut()).collect();
        boots.push(BootSpec::default());
        boots
    }

    fn cut(&mut self) -> BootSpec {
        let survivals = self.survivals.clone();
        let survive = self.pick(&survivals);
        let op = self.one_in(3).then(|| self.pick(&faults::OPS));
        let cut = CutSpec {
            on: None,
            file: None,
            nth: if op.is_some() { self.magnitude(5) } else { 1 },
            after: self.one_in(2),
            at: if op.is_some() { None } else { Some(self.magnitude(10)) },
            op,
        };
        let seeded = matches!(survive, SurvivalSpec::Subset | SurvivalSpec::Garbage);
        let survive_seed = seeded.then(|| self.random.below(1000));
        BootSpec { cut: Some(cut), survive, survive_seed, ..BootSpec::default() }
    }
}

fn text_file(name: &str) -> FileSpec {
    FileSpec { name: name.to_owned(), text: Some(String::new()), ..FileSpec::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::setup;
    use crate::scenario::catalogue;
    use crate::scenario::composition::PartitionSpec;
    use crate::scenario::schema::{
        Fault, FirmwareFileSpec, FirmwareKind, FirmwareSpec, ImageDamage, TableDamage,
    };

    #[test]
    fn a_seed_gives_one_scenario_which_survives_writing_and_parsing() {
        for seed in 0..600 {
            let scenario = scenario(seed);
            assert_eq!(format!("{scenario:?}"), format!("{:?}", super::scenario(seed)));
            let written = scenario.to_toml().unwrap();
            let again = Scenario::parse(&written, "generated").unwrap();
            assert_eq!(format!("{scenario:?}"), format!("{again:?}"), "{written}");
        }
    }

    #[test]
    fn every_scenario_can_be_set_up() {
        let invalid: Vec<String> = (0..500)
            .filter_map(|seed| setup::world(&scenario(seed)).err().map(|what| format!("{seed}: {what}")))
            .collect();
        assert_eq!(invalid, Vec::<String>::new());
    }

    #[test]
    fn generated_scenarios_are_of_all_kinds() {
        let scenarios: Vec<Scenario> = (0..1500).map(scenario).collect();
        let share = |of: &dyn Fn(&Scenario) -> bool| scenarios.iter().filter(|scenario| of(scenario)).count();
        assert!(share(&|scenario| scenario.faults.is_empty()) > 200);
        assert!(share(&|scenario| scenario.boots.len() > 1) > 200);
        let file = |of: &dyn Fn(&FileSpec) -> bool| share(&|scenario| scenario.drive.files.iter().any(of));
        let medium = |of: &dyn Fn(&MediumSpec) -> bool| share(&|scenario| scenario.media.values().any(of));
        assert!(file(&|file| file.image.is_some()) > 200);
        for kind in FaultKind::all().filter(|kind| kind.physics().weight > 0) {
            assert!(
                share(&|scenario| scenario.faults.iter().any(|fault| fault.kind() == kind)) > 5,
                "{kind:?}"
            );
        }
        for survival in SURVIVALS {
            let in_boot = |boot: &BootSpec| boot.cut.is_some() && boot.survive == survival;
            assert!(share(&|scenario| scenario.boots.iter().any(in_boot)) > 20, "{survival:?}");
        }
        for content in CONTENTS {
            assert!(medium(&|medium| medium.content == content) > 10, "{content:?}");
        }
        for table in
            [TableDamage::Overlapping, TableDamage::PastEnd, TableDamage::Hybrid, TableDamage::ProtectiveOnly]
        {
            assert!(medium(&|medium| medium.table == Some(table)) > 0, "{table:?}");
        }
        assert!(medium(&|medium| medium.write_cache) > 50);
        for discard in media::DISCARDS {
            assert!(medium(&|medium| medium.discard == discard) > 20, "{discard:?}");
        }
        assert!(medium(&|medium| medium.no_identity) > 20);
        assert!(share(&|scenario| !scenario.kernel_lacks.is_empty()) > 20);
        let part = |of: &dyn Fn(&PartitionSpec) -> bool| medium(&|medium| medium.partitions.iter().any(of));
        for name in ["UUID=", "LABEL=", "PARTUUID=", "/dev/mmcblk0p"] {
            let is_named = |part: &PartitionSpec| {
                let lines = part.fstab.iter().flat_map(|fstab| fstab.lines());
                lines.into_iter().any(|line| line.starts_with(name) && line.contains(" / "))
            };
            assert!(part(&is_named) > 5, "{name}");
        }
        assert!(part(&|part| part.files.iter().any(|file| file.flags.is_some())) > 50);
        for kind in [Kind::Btrfs, Kind::Xfs] {
            assert!(part(&|part| part.file_system == Some(kind)) > 3, "{kind:?}");
        }
        let contents: Vec<_> = scenarios.iter().map(catalogue::contents).collect();
        for word in [
            "several-roots",
            "fstab",
            "secrets-beside-the-root",
            "deleted-files",
            "times",
            "holds:data",
            "holds:boot",
            "holds:swap",
            "holds:empty",
            "holds:blank",
            "scheme:none",
            "scheme:logical",
            "gap:bootloader",
        ] {
            assert!(contents.iter().filter(|words| words.contains(word)).count() > 10, "{word}");
        }
        for word in ["holds:luks", "holds:lvm", "holds:raw"] {
            assert!(contents.iter().any(|words| words.contains(word)), "{word}");
        }
        assert!(file(&|file| file.link.is_some()) > 5);
        assert!(file(&|file| file.directory) > 0);
        assert!(file(&|file| file.captured_from.is_some()) > 5);
        for damage in [ImageDamage::CrcMismatch, ImageDamage::TarCutAtMember, ImageDamage::Concatenated] {
            assert!(file(&|file| file.damage == Some(damage)) > 0, "{damage:?}");
        }
        assert!(
            share(&|scenario| scenario
                .faults
                .iter()
                .any(|fault| matches!(fault.fault, Fault::Replug { taken_by: Some(_), .. })))
                > 0
        );
        let firmware =
            |of: &dyn Fn(&FirmwareFileSpec) -> bool| file(&|file| file.firmware.as_ref().is_some_and(of));
        for kind in [
            FirmwareKind::Raw,
            FirmwareKind::Imx,
            FirmwareKind::Imx93,
            FirmwareKind::Kwb,
            FirmwareKind::MicroV0,
            FirmwareKind::MicroV1,
            FirmwareKind::Program,
        ] {
            assert!(firmware(&|firmware| firmware.kind == kind) > 3, "{kind:?}");
        }
        let board = |of: &dyn Fn(&FirmwareSpec) -> bool| {
            share(&|scenario| scenario.firmware.as_ref().is_some_and(of))
        };
        assert!(board(&|board| board.area_is_new) > 20);
        assert!(board(&|board| board.area_locked || board.area_absent) > 3);
        for place in ["emmc-boot0", "flash", "firmware"] {
            assert!(share(&|scenario| scenario.faults.iter().any(|fault| fault.on == place)) > 3, "{place}");
        }
    }
}
