//! A story from a seed, in the manner of a swarm: first it is drawn which kinds of things there are at all in this story,
//! then how many of each, then which. So one story has nothing but cuts, and another everything at once.

use crate::random::Random;
use crate::scenario::schema::{
    BootSpec, Content, CutSpec, DriveFileSystem, DriveSpec, Expectation, FaultKind, FaultSpec, FileSpec,
    FileSystemDamage, ImageDamage, MediumSpec, Scenario, SidecarSpec, Size, StatusSpec, SurvivalSpec,
};
use std::collections::BTreeMap;

const MIB: u64 = 1 << 20;
const FAULTS: [FaultKind; 11] = [
    FaultKind::OutOfSpace,
    FaultKind::ReadOnlyFlip,
    FaultKind::IoError,
    FaultKind::DropWrites,
    FaultKind::BitFlip,
    FaultKind::ShortIo,
    FaultKind::Hang,
    FaultKind::Vanish,
    FaultKind::FsckFails,
    FaultKind::UnmountBusy,
    FaultKind::LedFails,
];
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
const OPS: [&str; 10] =
    ["read", "write", "sync", "sync-dir", "rename", "create", "open", "mount", "begin-verify", "remove-file"];
const DAMAGES: [ImageDamage; 6] = [
    ImageDamage::Truncated,
    ImageDamage::OneByteShort,
    ImageDamage::BitFlipped,
    ImageDamage::Empty,
    ImageDamage::Concatenated,
    ImageDamage::TrailingGarbage,
];
const SIDECARS: [SidecarSpec; 9] = [
    SidecarSpec::None,
    SidecarSpec::Content,
    SidecarSpec::File,
    SidecarSpec::Both,
    SidecarSpec::Sha256,
    SidecarSpec::Crlf,
    SidecarSpec::Wrong,
    SidecarSpec::WrongFile,
    SidecarSpec::Malformed,
];
const FILE_SYSTEMS: [&str; 5] = ["ext2", "ext3", "ext4", "ext4compat", "ext4gpt"];

/// What there is in this story.
struct Swarm {
    random: Random,
    faults: Vec<FaultKind>,
    contents: Vec<Content>,
    cuts: bool,
    damage: bool,
    options: bool,
    writes: bool,
}

/// The story of a seed.
pub fn scenario(seed: u64) -> Scenario {
    Swarm::new(seed).scenario(seed)
}

impl Swarm {
    fn new(seed: u64) -> Self {
        let mut random = Random::child(seed, "fuzz");
        let faults = if random.coin() {
            FAULTS.into_iter().filter(|_| random.below(4) == 0).collect()
        } else {
            vec![]
        };
        let mut contents: Vec<Content> = CONTENTS.into_iter().filter(|_| random.below(3) == 0).collect();
        if contents.is_empty() {
            contents.push(Content::Single);
        }
        let mut one_in = |count| random.below(count) == 0;
        let (cuts, damage, options, writes) = (one_in(2), one_in(4), one_in(3), one_in(2));
        Self { faults, contents, cuts, damage, options, writes, random }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize]
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.random.below(count) == 0
    }

    /// Small numbers often, large ones now and then.
    fn magnitude(&mut self, bits_max: u64) -> u64 {
        let bits = self.random.below(bits_max) + 1;
        1 + self.random.below(1 << bits)
    }

    fn scenario(mut self, seed: u64) -> Scenario {
        let count = [1, 1, 1, 2, 2, 3][self.random.below(6) as usize];
        let mut media = BTreeMap::new();
        let mut files = Vec::new();
        for name in ["sd", "emmc", "sata"].into_iter().take(count) {
            if self.writes {
                let (medium, file) = self.written(name);
                media.insert(name.to_owned(), medium);
                files.extend(file);
            } else {
                let medium = self.captured();
                media.insert(name.to_owned(), medium);
            }
        }
        if self.options {
            let option =
                self.pick(&["IR_NO_COMPRESS", "IR_NO_COMPRESS.txt", "IR_NO_CAPTURE_SD", "IR_WRITE_BACK"]);
            files.push(text_file(option));
        }
        let drive = DriveSpec {
            file_system: self.pick(&[DriveFileSystem::Ext4, DriveFileSystem::Vfat, DriveFileSystem::Exfat]),
            len: Size(if self.one_in(12) { 4 * MIB } else { (16 + 12 * count as u64) * MIB }),
            files,
            ..DriveSpec::default()
        };
        let names: Vec<String> = media.keys().cloned().collect();
        let fault_count = if self.faults.is_empty() { 0 } else { 1 + self.random.below(3) };
        let faults = (0..fault_count).map(|_| self.fault(&names)).collect();
        let boots = self.boots();
        Scenario {
            about: format!("Made up from seed {seed}."),
            seed,
            wall_clock: None,
            drive,
            media,
            firmware: None,
            compatible: None,
            faults,
            boots,
            expect: expectation(),
        }
    }

    fn captured(&mut self) -> MediumSpec {
        let content = {
            let contents = self.contents.clone();
            self.pick(&contents)
        };
        let small = content != Content::Logical && !self.one_in(4);
        let damage = (self.damage && self.one_in(2))
            .then(|| self.pick(&[FileSystemDamage::Repairable, FileSystemDamage::Fatal]));
        MediumSpec {
            absent: self.one_in(16),
            dirty: self.one_in(4),
            damage,
            ..medium(content, if small { 4 * MIB } else { 8 * MIB })
        }
    }

    fn written(&mut self, name: &str) -> (MediumSpec, Option<FileSpec>) {
        let tarball = self.one_in(2);
        let compression = self.pick(&["xz", "gz", "zst", "bz2", ""]);
        let dot = if compression.is_empty() { "" } else { "." };
        let packing = if tarball { "tar" } else { "dd" };
        let content = {
            let contents = self.contents.clone();
            self.pick(&contents)
        };
        let image_len = if content == Content::Logical { 8 * MIB } else { 4 * MIB };
        let medium_len = if tarball || self.one_in(4) { 8 * MIB } else { image_len };
        let sidecars = if self.damage { &SIDECARS[..] } else { &SIDECARS[..6] };
        let mut file = text_file(&format!("{name}image.{packing}{dot}{compression}"));
        file.text = None;
        file.image = Some(if tarball { Content::Rootfs } else { content });
        file.image_len = (!tarball).then_some(Size(image_len));
        file.sidecar = self.pick(sidecars);
        file.damage = (self.damage && self.one_in(3)).then(|| self.pick(&DAMAGES));
        let before = self.pick(&[Content::Blank, Content::Stamped, Content::Stamped]);
        let mut medium = medium(before, medium_len);
        medium.file_system = self.one_in(2).then(|| self.pick(&FILE_SYSTEMS).to_owned());
        medium.held_open = self.one_in(4);
        (medium, (!self.one_in(8)).then_some(file))
    }

    fn fault(&mut self, media: &[String]) -> FaultSpec {
        let kinds = self.faults.clone();
        let kind = self.pick(&kinds);
        let places: Vec<&str> = media.iter().map(String::as_str).chain(["drive"]).collect();
        let on = match kind {
            FaultKind::OutOfSpace => "drive",
            FaultKind::LedFails => "leds",
            FaultKind::FsckFails | FaultKind::UnmountBusy => self.pick(&["drive", "image", "*"]),
            FaultKind::DropWrites | FaultKind::BitFlip if !self.one_in(4) => {
                self.pick(&places[..media.len()])
            }
            _ => self.pick(&places),
        };
        let mut fault = FaultSpec::any(on, kind);
        match kind {
            FaultKind::OutOfSpace if self.one_in(2) => fault.space = Some(Size(self.magnitude(22))),
            FaultKind::DropWrites => fault.range = Some(self.range()),
            FaultKind::BitFlip => fault.range = Some(self.range()),
            FaultKind::ShortIo | FaultKind::LedFails => {}
            FaultKind::FsckFails | FaultKind::UnmountBusy => fault.nth = Some(self.magnitude(2)),
            _ => {
                fault.op = self.one_in(2).then(|| self.pick(&OPS).to_owned());
                fault.nth = Some(self.magnitude(8));
            }
        }
        if matches!(kind, FaultKind::IoError | FaultKind::UnmountBusy) && self.one_in(2) {
            fault.times = Some(self.magnitude(2));
        }
        fault
    }

    fn range(&mut self) -> String {
        let start = self.random.below(4 * MIB) & !511;
        let len = 512 * self.magnitude(10);
        format!("{start}..{}", start + len)
    }

    fn boots(&mut self) -> Vec<BootSpec> {
        if !self.cuts {
            return if self.one_in(4) { vec![BootSpec::default(), BootSpec::default()] } else { Vec::new() };
        }
        let count = 1 + self.random.below(3);
        let mut boots: Vec<BootSpec> = (0..count).map(|_| self.cut()).collect();
        boots.push(BootSpec::default());
        boots
    }

    fn cut(&mut self) -> BootSpec {
        let at = self.magnitude(10);
        let survive =
            self.pick(&[SurvivalSpec::None, SurvivalSpec::All, SurvivalSpec::DataLate, SurvivalSpec::Subset]);
        let cut = CutSpec { on: None, op: None, file: None, nth: 1, after: self.one_in(2), at: Some(at) };
        let survive_seed = (survive == SurvivalSpec::Subset).then(|| self.random.below(1000));
        BootSpec { cut: Some(cut), survive, survive_seed, ..BootSpec::default() }
    }
}

fn medium(content: Content, len_bytes: u64) -> MediumSpec {
    MediumSpec {
        kind: None,
        absent: false,
        len: Size(len_bytes),
        content,
        dirty: false,
        damage: None,
        var_log_link: None,
        file_system: None,
        rootfs_partition: None,
        held_open: false,
        table: None,
        write_cache: false,
    }
}

fn text_file(name: &str) -> FileSpec {
    FileSpec {
        name: name.to_owned(),
        text: Some(String::new()),
        link: None,
        directory: false,
        device_node: false,
        image: None,
        firmware: None,
        image_len: None,
        packing: None,
        compression: None,
        damage: None,
        sidecar: SidecarSpec::None,
        captured_from: None,
    }
}

/// Nothing that anybody would believe: only the checkers judge.
fn expectation() -> Expectation {
    Expectation {
        status: StatusSpec::Success,
        code: None,
        media: BTreeMap::new(),
        drive_has: Vec::new(),
        drive_lacks: Vec::new(),
        console: Vec::new(),
        drive_unchanged: false,
        show_leds: false,
        wave_forms: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_story_and_survives_being_written() {
        for seed in 0..200 {
            let story = scenario(seed);
            assert_eq!(format!("{story:?}"), format!("{:?}", scenario(seed)));
            let written = story.to_toml().unwrap();
            let again = Scenario::parse(&written, "made-up").unwrap();
            assert_eq!(format!("{story:?}"), format!("{again:?}"), "{written}");
        }
    }

    #[test]
    fn stories_are_of_all_sorts() {
        let stories: Vec<Scenario> = (0..300).map(scenario).collect();
        let share = |of: &dyn Fn(&Scenario) -> bool| stories.iter().filter(|story| of(story)).count();
        assert!(share(&|story| story.faults.is_empty()) > 50);
        assert!(share(&|story| story.boots.len() > 1) > 50);
        assert!(share(&|story| story.drive.files.iter().any(|file| file.image.is_some())) > 50);
        for kind in FAULTS {
            assert!(share(&|story| story.faults.iter().any(|fault| fault.kind == kind)) > 5, "{kind:?}");
        }
    }
}
