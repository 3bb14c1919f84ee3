//! Clones of tarballs find their root by the names in their own files, and a lost bootloader before the first partition is
//! reported. Names are read with blkid, sfdisk and sgdisk.

use super::devices::{Medium, Mount};
use super::replicator::{Board, Run, make_drive};
use super::rootfs;
use super::stage::Stage;
use super::tools::{run, shell};
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

const MIB: u64 = 1 << 20;
const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
const GUID: &str = "fedcba98-7654-4210-8123-456789abcdef";
/// A board with MBR tables, and one with GPT.
const MBR_BOARD: &str = "tsimx6";
const GPT_BOARD: &str = "tsimx9";
const MBR: &str = "label: dos\nlabel-id: 0x5eed5eed\nstart=4MiB, type=83, bootable";
const MBR_SLOT_3: &str = "label: dos\nlabel-id: 0x5eed5eed\n3 : start=4MiB, type=83";

/// A drive and a stage.
struct Bench {
    stage: Stage,
    drive: Medium,
}

impl Bench {
    fn new() -> Option<Self> {
        let stage = Stage::new()?;
        let drive = make_drive(&stage.path("drive"), 256 * MIB);
        Some(Self { stage, drive })
    }

    fn drive_files(&self) -> Mount {
        Mount::new(&self.drive.device, &self.stage.path("drive-files"))
    }

    fn empty_drive(&self) {
        let files = self.drive_files();
        shell("find \"$1\" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -r {} +", [&files.path]);
    }

    /// A golden medium: `table`, and in its partition `number` a root file system with this fstab.
    fn golden(&self, table: &str, number: u32, fstab: &str) -> Medium {
        let mut medium = Medium::partitioned(&self.stage.path("golden-medium"), 64 * MIB, table);
        let device = medium.partition(number);
        run("mkfs.ext4", ["-q", "-Lgolden", "-U", UUID, device.to_str().unwrap()]);
        {
            let files = Mount::new(&device, &self.stage.path("golden"));
            rootfs::small(&files.path, 1000);
            fs::write(files.path.join("etc/fstab"), fstab).unwrap();
        }
        medium.hide_partitions();
        medium
    }

    /// Puts a tarball of another tool on the drive.
    fn put_tarball(&self, name: &str, fstab: &str, settings: &str) {
        self.empty_drive();
        let tree = self.stage.path("tree");
        rootfs::small(&tree, 1000);
        fs::write(tree.join("etc/fstab"), fstab).unwrap();
        let files = self.drive_files();
        shell("tar -C \"$1\" -cJf \"$2\" .", [&tree, &files.path.join(name)]);
        if !settings.is_empty() {
            fs::write(files.path.join("replicator.toml"), settings).unwrap();
        }
    }

    fn new_medium(&self, name: &str) -> Medium {
        Medium::used(&self.stage.path(name), 96 * MIB)
    }

    #[track_caller]
    fn run(&self, board: &str, media: &[(&'static str, &Medium)]) -> Run {
        Board { stage: &self.stage, drive: &self.drive, media: media.to_vec() }.run_as(board)
    }
}

/// The names of the only partition of a medium and of its file system.
#[derive(Debug, PartialEq)]
struct Names {
    number: u32,
    uuid: String,
    label: String,
    part_uuid: String,
    fstab: String,
}

#[track_caller]
fn names(stage: &Stage, medium: &mut Medium) -> Names {
    medium.flush();
    let file = &medium.file;
    let nodes = shell("sfdisk --dump \"$1\" | grep -c start=", [file]);
    assert_eq!(nodes.trim(), "1", "one partition");
    let number = shell("sfdisk --dump \"$1\" | sed -n 's/^[^:]*[^0-9:]\\([0-9]*\\) : .*/\\1/p'", [file]);
    let number: u32 = number.trim().parse().unwrap();
    let part_uuid = shell(
        "case $(sfdisk --json \"$1\" | sed -n 's/.*\"label\":\"\\([a-z]*\\)\".*/\\1/p;s/.*\"label\": \"\\([a-z]*\\)\".*/\\1/p') in \
         gpt) sfdisk --part-uuid \"$1\" \"$2\" | tr A-F a-f;; \
         *) printf '%s-%02x' \"$(sfdisk --disk-id \"$1\" | sed s/0x//)\" \"$2\";; esac",
        [file.as_os_str(), number.to_string().as_ref()],
    );
    medium.show_partitions();
    let device = medium.partition(number);
    let tag = |tag: &str| {
        let value = shell("blkid -p -s \"$2\" -o value \"$1\" || true", [device.as_os_str(), tag.as_ref()]);
        value.trim().to_owned()
    };
    let (uuid, label) = (tag("UUID"), tag("LABEL"));
    run("e2fsck", ["-fn".as_ref(), device.as_os_str()]);
    let fstab = {
        let files = Mount::read_only(&device, &stage.path("clone"));
        fs::read_to_string(files.path.join("etc/fstab")).unwrap()
    };
    medium.hide_partitions();
    Names { number, uuid, label, part_uuid: part_uuid.trim().to_owned(), fstab }
}

impl Names {
    /// Whether the first line of the fstab finds this file system, as mount(8) would.
    fn finds_root(&self) -> bool {
        let spec = self.fstab.split_whitespace().next().unwrap();
        let ours = [
            format!("UUID={}", self.uuid),
            format!("LABEL={}", self.label),
            format!("PARTUUID={}", self.part_uuid),
        ];
        ours.iter().any(|name| name == spec)
    }
}

#[test]
fn a_captured_tarball_gets_the_names_of_the_golden_medium() {
    let Some(bench) = Bench::new() else { return };
    let gpt = format!("label: gpt\nstart=4MiB, type=L, uuid={GUID}, name=golden");
    for (board, table, number, part_uuid) in [
        (MBR_BOARD, MBR, 1, "5eed5eed-01".to_owned()),
        (MBR_BOARD, MBR_SLOT_3, 3, "5eed5eed-03".to_owned()),
        (GPT_BOARD, &*gpt, 1, GUID.to_owned()),
        (GPT_BOARD, MBR, 1, "5eed5eed-01".to_owned()),
    ] {
        for spec in [format!("UUID={UUID}"), "LABEL=golden".to_owned(), format!("PARTUUID={part_uuid}")] {
            let case = format!("{board}, partition {number}, {spec}");
            bench.empty_drive();
            let fstab = format!("{spec} / ext4 errors=remount-ro 0 1\n");
            let mut golden = bench.golden(table, number, &fstab);
            bench.run(board, &[("sd", &golden)]).assert_success();
            let mut clone = bench.new_medium("clone-medium");
            bench.run(board, &[("sd", &clone)]).assert_success();
            let found = names(&bench.stage, &mut clone);
            assert!(found.finds_root(), "{case}: {found:?}");
            assert_eq!(found, names(&bench.stage, &mut golden), "{case}");
        }
    }
}

#[test]
fn the_record_of_another_tarball_is_ignored() {
    let Some(bench) = Bench::new() else { return };
    let golden = bench.golden(MBR, 1, &format!("UUID={UUID} / ext4\n"));
    bench.run(MBR_BOARD, &[("sd", &golden)]).assert_success();
    {
        // Unpacked, changed and packed again.
        let files = bench.drive_files();
        let tree = bench.stage.path("changed");
        fs::create_dir(&tree).unwrap();
        let image = files.path.join("sdimage.tar.xz");
        shell(
            "tar -C \"$1\" -xJf \"$2\"; echo LABEL=mine / ext4 > \"$1/etc/fstab\"; rm \"$3\"/*.md5; tar -C \"$1\" -cJf \"$2\" .",
            [&tree, &image, &files.path],
        );
    }
    let mut clone = bench.new_medium("clone-medium");
    let run = bench.run(MBR_BOARD, &[("sd", &clone)]);
    run.assert_success();
    assert!(run.console.contains("for another image"), "{}", run.console);
    let found = names(&bench.stage, &mut clone);
    assert!(found.finds_root() && found.label == "mine", "{found:?}");
    assert!(found.uuid != UUID && found.part_uuid != "5eed5eed-01", "{found:?}");
}

#[test]
fn a_foreign_tarball_gets_the_names_in_its_fstab() {
    let Some(bench) = Bench::new() else { return };
    let guid = format!("PARTUUID={GUID}");
    let uuid = format!("UUID={UUID}");
    for (board, spec) in [
        (MBR_BOARD, &*uuid),
        (MBR_BOARD, "LABEL=theirs"),
        (MBR_BOARD, "PARTUUID=0badcafe-01"),
        (GPT_BOARD, &*uuid),
        (GPT_BOARD, "LABEL=theirs"),
        (GPT_BOARD, &*guid),
    ] {
        bench.put_tarball("sdimage.tar.xz", &format!("{spec} / ext4 defaults 0 1\n"), "");
        let mut clone = bench.new_medium("clone-medium");
        bench.run(board, &[("sd", &clone)]).assert_success();
        let found = names(&bench.stage, &mut clone);
        assert!(found.finds_root() && found.fstab.starts_with(spec), "{board}: {found:?}");
    }
}

#[test]
fn a_clone_that_cannot_find_its_root_is_refused_before_erasing() {
    let Some(bench) = Bench::new() else { return };
    let medium = bench.new_medium("medium");
    let before = medium.fingerprint();
    let guid = format!("PARTUUID={GUID}");
    for (board, spec) in
        [(MBR_BOARD, "PARTUUID=0badcafe-02"), (MBR_BOARD, &*guid), (GPT_BOARD, "PARTUUID=0badcafe-01")]
    {
        let fstab = format!("{spec} / ext4 defaults 0 1\n");
        bench.put_tarball("sdimage.tar.xz", &fstab, "");
        let run = bench.run(board, &[("sd", &medium)]);
        run.assert_failure("R-ROOT");
        assert!(run.console.contains(&format!("/etc/fstab names the root {spec}")), "{}", run.console);
        assert_eq!(medium.fingerprint(), before, "{board}, {spec}");
    }
    let fstab = "PARTUUID=0badcafe-02 / ext4 defaults 0 1\n";
    bench.put_tarball("sdimage.tar.xz", fstab, "[write]\nany_root = true\n");
    let run = bench.run(MBR_BOARD, &[("sd", &medium)]);
    run.assert_success();
    assert!(run.console.contains("because of any_root"), "{}", run.console);
    let mut medium = medium;
    assert_eq!(names(&bench.stage, &mut medium).fstab, fstab);
}

#[test]
fn two_media_of_one_tarball_get_different_names() {
    let Some(bench) = Bench::new() else { return };
    for (board, spec) in [(MBR_BOARD, "PARTUUID=0badcafe-01".to_owned()), (GPT_BOARD, format!("UUID={UUID}"))]
    {
        bench.put_tarball("sdimage.tar.xz", &format!("{spec} / ext4 defaults 0 1\n"), "");
        symlink("sdimage.tar.xz", bench.drive_files().path.join("emmcimage.tar.xz")).unwrap();
        let (mut sd, mut emmc) = (bench.new_medium("sd"), bench.new_medium("emmc"));
        let run = bench.run(board, &[("sd", &sd), ("emmc", &emmc)]);
        run.assert_success();
        assert!(run.console.contains("because sd gets those of the image"), "{}", run.console);
        let (first, second) = (names(&bench.stage, &mut sd), names(&bench.stage, &mut emmc));
        assert!(first.finds_root(), "{board}: {first:?}");
        assert!(first.uuid != second.uuid && first.part_uuid != second.part_uuid, "{first:?}, {second:?}");
    }
}

/// Writes a bootloader between table and first partition, and returns it.
fn plant_bootloader(medium: &Medium) -> Vec<u8> {
    let bootloader: Vec<u8> = (0..100_000_u32).map(|index| (index % 251) as u8 + 1).collect();
    let device = fs::File::options().write(true).open(&medium.device).unwrap();
    device.write_all_at(&bootloader, 8 << 10).unwrap();
    bootloader
}

fn bytes_at(file: &Path, offset_bytes: u64, len_bytes: usize) -> Vec<u8> {
    let mut bytes = vec![0; len_bytes];
    fs::File::open(file).unwrap().read_exact_at(&mut bytes, offset_bytes).unwrap();
    bytes
}

#[test]
fn a_bootloader_in_the_gap_is_kept_or_reported() {
    let Some(bench) = Bench::new() else { return };
    let fstab = format!("UUID={UUID} / ext4\n");
    let golden = bench.golden(MBR, 1, &fstab);
    let bootloader = plant_bootloader(&golden);
    // The board may boot from it.
    let run = bench.run("generic", &[("sd", &golden)]);
    run.assert_success();
    assert!(run.console.contains("the gap before partition 1 holds data"), "{}", run.console);
    assert!(bench.drive_files().path.join("sdimage.dd.xz").exists());
    let mut clone = bench.new_medium("clone-medium");
    bench.run("generic", &[("sd", &clone)]).assert_success();
    clone.flush();
    assert_eq!(bytes_at(&clone.file, 8 << 10, bootloader.len()), bootloader);
    assert!(names(&bench.stage, &mut clone).finds_root());
    // The board boots from elsewhere.
    bench.empty_drive();
    let run = bench.run(MBR_BOARD, &[("sd", &golden)]);
    run.assert_success();
    assert!(run.console.contains("are not in the tarball"), "{}", run.console);
    assert!(bench.drive_files().path.join("sdimage.tar.xz").exists());
}
