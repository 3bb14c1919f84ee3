//! Block maps on real block devices: a clone gets only what its image uses; maps are exchanged with bmaptool in both directions.

use super::devices::{Medium, Mount};
use super::replicator::{Board, make_drive};
use super::rootfs;
use super::stage::Stage;
use super::tools::{run, shell};
use std::fs;

const MIB: u64 = 1 << 20;
const LEN_BYTES: u64 = 512 * MIB;
const BALLAST_LEN_BYTES: u64 = 24 * MIB;
const TABLE: &str =
    "label: dos\nlabel-id: 0x0badcafe\nstart=4MiB, size=36MiB, type=c, bootable\nstart=40MiB, type=83";
/// What ext4, FAT and the replicator write beside the files: tables, journal, the first MiB as a placeholder.
const OVERHEAD_LEN_BYTES: u64 = 48 * MIB;

/// How many bytes were written to the device since it exists.
fn written_bytes(medium: &Medium) -> u64 {
    let name = medium.device.file_name().unwrap().to_str().unwrap();
    let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
    stat.split_whitespace().nth(6).unwrap().parse::<u64>().unwrap() * 512
}

/// A medium with a FAT and an ext4 partition, of which little is used, and with deleted data.
fn golden(stage: &Stage) -> Medium {
    let mut medium = Medium::partitioned(&stage.path("golden"), LEN_BYTES, TABLE);
    run("mkfs.vfat", ["-nBOOT".as_ref(), medium.partition(1).as_os_str()]);
    run("mkfs.ext4", ["-q".as_ref(), "-Lroot".as_ref(), medium.partition(2).as_os_str()]);
    let mount = Mount::new(&medium.partition(2), &stage.path("root"));
    rootfs::small(&mount.path, BALLAST_LEN_BYTES);
    shell("head -c 32M /dev/urandom > \"$1/gone\" && sync && rm \"$1/gone\"", [&mount.path]);
    drop(mount);
    medium.hide_partitions();
    medium
}

/// Arguments: a map of version 2.0, its image, and the same map of version 1.3.
const TO_VERSION_1_3: &str = r#"
import hashlib, re, sys
text, image = open(sys.argv[1]).read(), open(sys.argv[2], "rb").read()
def checksum(match):
    first, _, last = match[1].strip().partition("-")
    first, last = int(first), int(last or first)
    return f'<Range sha1="{hashlib.sha1(image[first * 4096:(last + 1) * 4096]).hexdigest()}">{match[1]}</Range>'
text = re.sub(r"<Range chksum=\"\w+\">([^<]*)</Range>", checksum, text)
text = re.sub(r"<ChecksumType>[^<]*</ChecksumType>", "", text).replace('version="2.0"', 'version="1.3"')
text = re.sub(r"<BmapFileChecksum>[^<]*</BmapFileChecksum>", f"<BmapFileSHA1> {40 * '0'} </BmapFileSHA1>", text)
own = hashlib.sha1(text.encode()).hexdigest()
open(sys.argv[3], "w").write(text.replace(40 * "0", own, 1))
"#;

#[test]
fn a_clone_gets_what_its_image_uses_and_maps_are_those_of_bmaptool() {
    let Some(stage) = Stage::in_memory() else { return };
    let sd = golden(&stage);
    let drive = make_drive(&stage.path("drive"), 1 << 30);
    Board { stage: &stage, drive: &drive, media: vec![("sd", &sd)] }.run().assert_success();
    let image = stage.path("image");
    let files = Mount::read_only(&drive.device, &stage.path("drive-files"));
    shell(
        "xz -dc \"$1\" | cp --sparse=always /dev/stdin \"$2\"",
        [&files.path.join("sdimage.dd.xz"), &image],
    );

    // bmaptool accepts the map: it compares every checksum while it copies.
    let copy = stage.path("copy");
    let map = files.path.join("sdimage.dd.bmap");
    run(
        "bmaptool",
        ["copy".as_ref(), "--bmap".as_ref(), map.as_os_str(), image.as_os_str(), copy.as_os_str()],
    );
    run("cmp", [&image, &copy]);
    drop(files);

    let clone = Medium::used(&stage.path("clone"), LEN_BYTES);
    let before = written_bytes(&clone);
    let written = Board { stage: &stage, drive: &drive, media: vec![("sd", &clone)] }.run();
    written.assert_success();
    let by_capture = written_bytes(&clone) - before;
    assert!(written.console.contains("that the block map leaves out"), "{}", written.console);
    assert!(by_capture < BALLAST_LEN_BYTES + OVERHEAD_LEN_BYTES, "{by_capture} bytes were written");
    clone.flush();
    run("cmp", [&image, &clone.file]);

    // A map of bmaptool, with its usual name; the image is sparse, as one of Yocto.
    let by_bmaptool = stage.path("by-bmaptool");
    run("bmaptool", ["create".as_ref(), "-o".as_ref(), by_bmaptool.as_os_str(), image.as_os_str()]);
    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    shell(
        "cd \"$1\" && rm sdimage.* && xz -0 -c \"$2\" > sdimage.wic.xz && cp \"$3\" sdimage.wic.bmap",
        [&files.path, &image, &by_bmaptool],
    );
    drop(files);
    let foreign = Medium::used(&stage.path("foreign"), LEN_BYTES);
    let before = written_bytes(&foreign);
    let written = Board { stage: &stage, drive: &drive, media: vec![("sd", &foreign)] }.run();
    written.assert_success();
    let of_foreign = written_bytes(&foreign) - before;
    assert!(written.console.contains("that the block map leaves out"), "{}", written.console);
    assert!(of_foreign < BALLAST_LEN_BYTES + OVERHEAD_LEN_BYTES, "{of_foreign} bytes were written");
    foreign.flush();
    run("cmp", [&image, &foreign.file]);

    // A map of version 1.3, which bmaptool made before it had other checksums than SHA-1.
    let of_1_3 = stage.path("of-1.3");
    run(
        "python3",
        [
            "-c".as_ref(),
            TO_VERSION_1_3.as_ref(),
            by_bmaptool.as_os_str(),
            image.as_os_str(),
            of_1_3.as_os_str(),
        ],
    );
    run(
        "bmaptool",
        ["copy".as_ref(), "--bmap".as_ref(), of_1_3.as_os_str(), image.as_os_str(), copy.as_os_str()],
    );
    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    shell("cp \"$2\" \"$1/sdimage.wic.bmap\"", [&files.path, &of_1_3]);
    drop(files);
    let written = Board { stage: &stage, drive: &drive, media: vec![("sd", &foreign)] }.run();
    written.assert_success();
    assert!(written.console.contains("that the block map leaves out"), "{}", written.console);
    foreign.flush();
    run("cmp", [&image, &foreign.file]);

    // One changed digit.
    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    shell("cd \"$1\" && sed -i '0,/sha1=\"./s//sha1=\"x/' sdimage.wic.bmap", [&files.path]);
    drop(files);
    let fingerprint = foreign.fingerprint();
    Board { stage: &stage, drive: &drive, media: vec![("sd", &foreign)] }.run().assert_failure("R-MAP");
    assert_eq!(foreign.fingerprint(), fingerprint, "a medium was changed in spite of a damaged map");
}
