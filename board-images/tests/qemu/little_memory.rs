//! A board with 128 MB of memory: an armv7 board captures a medium of 1 GiB and writes it to another one. Its kernel, the files
//! of the initramfs and the page cache share this memory with the run.

use super::drive::Drive;
use super::machine::{Board, Bus, Kind};
use super::media::{self, MIB, Mounted};
use super::run;
use super::stage::Stage;
use super::tools::{partition, shell};
use replicator_hal::Status;
use std::path::Path;

const LEN_BYTES: u64 = 1024 * MIB;
const MEMORY_MIB: u32 = 128;
/// Bytes that do not compress: xz stores them, so that they take an emulated board little time.
const RANDOM_BYTES: u64 = 260 * MIB;
/// Text, which the board does compress.
const TEXT_BYTES: u64 = 40 * MIB;

#[test]
fn an_armv7_board_with_128_mb_captures_and_writes_a_medium_of_1_gib() {
    let Some(stage) = Stage::new("little-memory", Kind::VirtArmv7) else { return };
    let golden = stage.path("golden.img");
    make_golden(&golden);
    let wanted = content(&golden);
    let drive = Drive::new(&stage, "drive.img");

    let board = |disk| Board {
        memory_mib: Some(MEMORY_MIB),
        ..Board::new(&stage, vec![(Bus::Usb, drive.file.as_path()), (Bus::Nvme, disk)])
    };
    let text = run::finish(&stage, &mut board(&golden).switch_on("capture"), Status::Success);
    assert_memory_was_enough(&text);
    drive.check();
    assert!(drive.names().contains(&"nvmeimage.dd.xz".to_owned()), "{:?}", drive.names());

    let blank = stage.path("blank.img");
    media::blank(&blank, LEN_BYTES);
    let text = run::finish(&stage, &mut board(&blank).switch_on("write"), Status::Success);
    assert_memory_was_enough(&text);
    assert_eq!(content(&blank), wanted);
}

/// A medium with two partitions, so that it is captured as a disk image.
fn make_golden(medium: &Path) {
    media::blank(medium, LEN_BYTES);
    partition(medium, "label: dos\nstart=1MiB, size=960MiB, type=83\nstart=962MiB, size=16MiB, type=da");
    media::make_ext4(medium, "golden");
    let mounted = Mounted::read_write(medium);
    let fill = r#"
    mkdir -p "$1/srv"
    head -c "$2" /dev/urandom >"$1/srv/random"
    head -c "$3" < <(yes 'A line of text, of which a file has many; each has a number.' | cat -n) >"$1/srv/text""#;
    shell(
        fill,
        [mounted.path.as_os_str(), RANDOM_BYTES.to_string().as_ref(), TEXT_BYTES.to_string().as_ref()],
    );
    mounted.end();
}

/// The digests of the files on a medium.
fn content(medium: &Path) -> String {
    media::check(medium);
    let mounted = Mounted::read_only(medium);
    let sums = shell("cd \"$1\" && md5sum srv/random srv/text", [&mounted.path]);
    mounted.end();
    sums
}

/// Fails if the kernel had to kill a process.
#[track_caller]
fn assert_memory_was_enough(text: &str) {
    for sign in ["Out of memory", "oom-kill", "page allocation failure"] {
        assert!(!text.contains(sign), "{sign}: {text}");
    }
}
