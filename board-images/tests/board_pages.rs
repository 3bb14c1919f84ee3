//! The pages in `docs/boards` have the facts of the board files: the part of a page between the two markers is generated from the
//! board file, and the table of the index from all board files. Text outside of the markers is written by hand.
//!
//! `INSTA_UPDATE=always cargo test -p replicator-boot --test board_pages` updates the generated parts, and adds a page for a new
//! board.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_engine::profile::{LedLine, Profile};
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- generated from the board file";
const END: &str = "<!-- end -->";
const HOW: &str = "INSTA_UPDATE=always cargo test -p replicator-boot --test board_pages";

/// A board file: the profile, and the keys of the drive that a page shows.
struct Board {
    profile: Profile,
    drive: Option<Drive>,
}

#[derive(Deserialize)]
struct File {
    drive: Option<Drive>,
}

#[derive(Deserialize)]
struct Drive {
    starts: String,
    kernel: Option<String>,
    #[serde(default)]
    load_address: String,
    #[serde(default)]
    scripts: Vec<String>,
    #[serde(default)]
    dtbs: Vec<String>,
    partition_table: Option<String>,
    file_system: Option<String>,
}

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/boards")
}

fn boards() -> Vec<Board> {
    let read = |(name, text): &(&str, &str)| Board {
        profile: Profile::parse(text, name).unwrap(),
        drive: toml::from_str::<File>(text).unwrap().drive,
    };
    replicator_boards::BOARDS.iter().map(read).collect()
}

/// Whether this is a real board, which has a page.
fn is_real(board: &Board) -> bool {
    board.drive.is_some() && !board.profile.name.starts_with("qemu-")
}

/// `1047552` as `1,047,552`.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let group = |(index, digit): (usize, char)| {
        let begins = index > 0 && (digits.len() - index) % 3 == 0;
        [begins.then_some(','), Some(digit)].into_iter().flatten()
    };
    digits.char_indices().flat_map(group).collect()
}

fn quoted(text: &str) -> String {
    format!("`{text}`")
}

fn list<T: AsRef<str>>(texts: &[T]) -> String {
    texts.iter().map(|text| quoted(text.as_ref())).collect::<Vec<_>>().join(", ")
}

fn or_none(text: Option<&str>) -> String {
    text.map_or("none".into(), quoted)
}

fn boards_of(only: &[String]) -> String {
    if only.is_empty() { "all".into() } else { list(only) }
}

/// A section with a table; empty without rows.
fn table(title: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("## {title}\n\n| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        writeln!(text, "| {} |", row.join(" | ")).unwrap();
    }
    text + "\n"
}

fn media(profile: &Profile) -> String {
    let rows: Vec<Vec<String>> = profile
        .media
        .iter()
        .map(|medium| {
            vec![
                quoted(&medium.name),
                boards_of(&medium.only),
                format!("{:?}", medium.kind).to_lowercase(),
                or_none(medium.controller.as_deref()),
                or_none(medium.device.as_deref()),
                format!("{:?}", medium.file_system).to_lowercase(),
                medium.rootfs_partition.to_string(),
            ]
        })
        .collect();
    let head = [
        "medium",
        "boards",
        "kind",
        "controller",
        "fallback device",
        "file system of a tarball",
        "rootfs partition",
    ];
    let meaning = "The controller is a part of the path below `/sys/devices`; the fallback device is used only if no device \
                   is found by the controller.\n\n";
    table("Media", &head, &rows) + meaning
}

fn leds(profile: &Profile) -> String {
    let mut rows = Vec::new();
    for leds in &profile.leds {
        for (color, led) in [("green", &leds.green), ("red", &leds.red)] {
            let LedLine { names, line } = led;
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let (place, lit) = match line {
                None => ("none".into(), ""),
                Some(line) => {
                    let lit = if line.active_low { "low" } else { "high" };
                    (format!("`{}` {}", line.chip, line.line), lit)
                }
            };
            rows.push(vec![boards_of(&leds.only), color.into(), list(&names), place, lit.into()]);
        }
    }
    table("LEDs", &["boards", "LED", "names, in this order", "GPIO chip and line", "active level"], &rows)
}

fn drive(drive: &Drive) -> String {
    let mut rows = vec![vec!["the bootloader starts the drive".into(), drive.starts.clone()]];
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push(vec![name.into(), value]);
        }
    };
    row(
        "boot script",
        drive.scripts.iter().map(|place| format!("`/{place}`")).collect::<Vec<_>>().join(", "),
    );
    let address = if drive.load_address.is_empty() {
        String::new()
    } else {
        format!(", load address {}", drive.load_address)
    };
    row("kernel", drive.kernel.as_ref().map(|kernel| format!("`{kernel}`{address}")).unwrap_or_default());
    row("device trees", list(&drive.dtbs));
    let table_kind = drive.partition_table.as_deref().unwrap_or("mbr");
    row(
        "partition table, file system",
        format!("{table_kind}, {}", drive.file_system.as_deref().unwrap_or("ext4")),
    );
    table("The drive", &["what", "on this board"], &rows)
}

fn firmware(profile: &Profile) -> String {
    let mut text = String::new();
    if let Some(bootloader) = &profile.bootloader {
        let mut files: Vec<_> = bootloader.files.iter().collect();
        files.sort_by_key(|file| file.block);
        let row = |file: &&replicator_engine::profile::BootloaderFile| {
            let checked = bootloader.checks.iter().find(|check| check.file == file.name);
            vec![
                quoted(&file.name),
                bootloader.area.to_string(),
                file.block.to_string(),
                with_commas(file.len_max_bytes),
                file.format.map_or("not checked".into(), |format| format!("{format:?}").to_lowercase()),
                checked.map_or("no".into(), |check| boards_of(&check.only)),
            ]
        };
        let head =
            ["file", "where", "block of 512 bytes", "maximum, bytes", "format", "`imx_type` is compared on"];
        text += &table("Bootloader", &head, &files.iter().map(row).collect::<Vec<_>>());
    }
    if let Some(micro) = &profile.microcontroller {
        let boards = match micro.board_revisions.as_slice() {
            [] => boards_of(&micro.only),
            revisions => format!("{}, revision {}", boards_of(&micro.only), revisions.join(", ")),
        };
        let then = if micro.reboots {
            "immediately: the unit reboots, and the next boot continues"
        } else {
            "at the next reboot"
        };
        let row = vec![
            quoted(&micro.file),
            quoted(&micro.program),
            boards,
            micro.revision_min.to_string(),
            then.into(),
        ];
        let head = ["file", "written by", "boards", "from its revision", "takes effect"];
        text += &table("Microcontroller", &head, &[row]);
    }
    let fpga: Vec<Vec<String>> = profile
        .fpga
        .iter()
        .map(|fpga| vec![quoted(&fpga.file), fpga.revision.clone().unwrap_or("all".into())])
        .collect();
    text += &table("FPGA", &["program on the drive", "board revision"], &fpga);
    if let Some(revision) = &profile.revision {
        writeln!(
            text,
            "The board revision is bit {} of the register at {:#x}: set means {}, clear means {}.\n",
            revision.bit, revision.register, revision.set, revision.clear
        )
        .unwrap();
    }
    text
}

/// The generated part of a board's page.
fn facts(board: &Board) -> String {
    let Profile { name, products, matches, .. } = &board.profile;
    let mut text = format!(
        "Products: {}. File: [`{name}`](../../board-images/boards/{name}.toml). Recognised by one of these `compatible` \
         strings of the device tree:\n\n",
        products.join(", ")
    );
    for compatible in matches {
        writeln!(text, "- `{compatible}`").unwrap();
    }
    text.push('\n');
    text += &media(&board.profile);
    text += &leds(&board.profile);
    text += &board.drive.as_ref().map(drive).unwrap_or_default();
    text + &firmware(&board.profile)
}

/// The generated part of the index.
fn index(boards: &[Board]) -> String {
    let mut text = String::from("| board | products | the bootloader starts the drive |\n|---|---|---|\n");
    for board in boards {
        let Profile { name, products, .. } = &board.profile;
        let Some(drive) = &board.drive else { continue };
        let page = if is_real(board) { format!("[{name}]({name}.md)") } else { quoted(name) };
        writeln!(text, "| {page} | {} | {} |", products.join(", "), drive.starts).unwrap();
    }
    text + "\n"
}

/// The page with its generated part replaced.
fn with_part(page: &str, part: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    format!("{before}{BEGIN} by `{HOW}` -->\n\n{part}{END}{after}")
}

/// A page for a board that has none.
fn new_page(board: &Board) -> String {
    let title = board.profile.products.join(", ");
    format!("# {title}\n\n{BEGIN}{END}\n\n## Notes\n\n- \n\n## Tested\n\nNot tested on real hardware.\n")
}

/// Asserts that a page is up to date, or updates it.
fn check_or_update(path: &Path, page: &str, part: &str) {
    let wanted = with_part(page, part);
    if fs::read_to_string(path).is_ok_and(|there| there == wanted) {
        return;
    }
    assert!(
        std::env::var("INSTA_UPDATE").is_ok_and(|mode| mode == "always"),
        "{} does not have the facts of the board file; run {HOW}",
        path.display()
    );
    fs::write(path, wanted).unwrap();
}

#[test]
fn every_board_has_a_page_with_the_facts_of_its_file() {
    for board in boards().iter().filter(|board| is_real(board)) {
        let path = pages().join(format!("{}.md", board.profile.name));
        let page = fs::read_to_string(&path).unwrap_or_else(|_| new_page(board));
        check_or_update(&path, &page, &facts(board));
    }
}

#[test]
fn the_index_has_every_board_and_every_page_has_a_board() {
    let boards = boards();
    let path = pages().join("README.md");
    check_or_update(&path, &fs::read_to_string(&path).unwrap(), &index(&boards));
    let mut there: Vec<String> = fs::read_dir(pages())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut wanted: Vec<String> = boards
        .iter()
        .filter(|board| is_real(board))
        .map(|board| format!("{}.md", board.profile.name))
        .chain(["README.md".into()])
        .collect();
    there.sort();
    wanted.sort();
    assert_eq!(there, wanted);
}
