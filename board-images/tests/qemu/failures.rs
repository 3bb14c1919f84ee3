//! Runs that must show failure and leave no medium bootable: truncated images, an image that is too large, a drive for another
//! board, no drive.

use super::devices::fingerprint;
use super::drive::Drive;
use super::machine::{Board, Bus, Kind};
use super::media::{self, MIB};
use super::run;
use super::stage::Stage;
use super::tools::shell;
use replicator_hal::Status;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// An SD card's size is a power of two.
const MEDIUM_LEN_BYTES: u64 = 64 * MIB;
/// By then the board would have rebooted after a success; the LEDs were recorded during its waiting time.
const REBOOT_MARGIN: Duration = Duration::from_secs(5);

#[test]
fn failures_are_reported_and_leave_no_medium_bootable() {
    let Some(stage) = Stage::new("failures", Kind::VirtArm64) else { return };
    let [sd, sata, nvme] = ["sd.img", "sata.img", "nvme.img"].map(|name| stage.path(name));
    for medium in [&sd, &sata, &nvme] {
        media::two_partitions(medium);
    }
    let on = |drive: Option<&Drive>, boot: &str| {
        let mut disks =
            vec![(Bus::Sd, sd.as_path()), (Bus::Sata, sata.as_path()), (Bus::Nvme, nvme.as_path())];
        disks.extend(drive.map(|drive| (Bus::Usb, drive.file.as_path())));
        Board::new(&stage, disks).switch_on(boot)
    };
    let fingerprints = || [&sd, &sata, &nvme].map(|medium| fingerprint(medium));
    let before = fingerprints();

    let text = run::finish(&stage, &mut on(None, "no-drive"), Status::Failure);
    assert!(text.contains("no drive was found on USB"), "{text}");

    let drive = Drive::new(&stage, "drive.img");
    images(&drive);
    let other = drive.copy(&stage, "other.img");
    other.put("replicator.toml", b"board = \"tsimx6\"\n");
    let untouched = fingerprint(&other.file);
    let text = run::finish(&stage, &mut on(Some(&other), "wrong-board"), Status::Failure);
    assert!(text.contains("tsimx6"), "{text}");
    assert_eq!(fingerprint(&other.file), untouched, "a drive of another board was changed");
    assert_eq!(fingerprints(), before, "a medium was changed");

    // This setting applies only to a success.
    drive.put("replicator.toml", b"after = \"reboot\"\n");
    let mut machine = on(Some(&drive), "bad-images");
    let text = run::finish(&stage, &mut machine, Status::Failure);
    for medium in ["sd: FAILED", "sata: FAILED", "nvme: FAILED"] {
        let line = text.lines().find(|line| line.contains(medium));
        stage.print(line.unwrap_or_else(|| panic!("no {medium} in {text}")));
    }
    sleep(REBOOT_MARGIN);
    machine.assert_still_on();
    drop(machine);
    // The tarball was decoded, and the length of the large image was known, before anything was erased.
    let after = fingerprints();
    assert_eq!([after[0], after[2]], [before[0], before[2]], "SD card or NVMe disk was changed");
    assert!(after[1] == before[1] || !media::has_partition_table(&sata), "the SATA disk looks bootable");
}

/// A truncated tarball, a truncated disk image, and a disk image that is larger than its medium.
fn images(drive: &Drive) {
    drive.change(|root: &Path| {
        shell(
            r#"cd "$1"
            mkdir -p root/etc root/bin root/usr
            echo ID=test >root/etc/os-release
            head -c 3000000 /dev/urandom >root/usr/ballast
            tar -C root -cf - . | xz -1 >whole
            head -c 2000000 whole >sdimage.tar.xz
            (cat root/usr/ballast; head -c 20000000 /dev/zero) | xz -1 --block-size=1MiB >whole
            head -c "$(($(stat -c %s whole) - 1000))" whole >sataimage.dd.xz
            head -c "$(($2 + 1048576))" /dev/zero | xz -1 >nvmeimage.dd.xz
            rm -r root whole"#,
            [root.as_os_str(), MEDIUM_LEN_BYTES.to_string().as_ref()],
        );
    });
}
