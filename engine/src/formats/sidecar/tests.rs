#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // The real md5sum is the judge here.

use super::*;
use proptest::prelude::*;

const HEX: &str = "900150983cd24fb0d6963f7d28e17f72";
const OTHER: &str = "d41d8cd98f00b204e9800998ecf8427e";

fn abc() -> Digest {
    Digest::of(Algorithm::Md5, b"abc")
}

fn read(text: &str) -> Result<Digest, SidecarError> {
    parse(text.as_bytes(), Algorithm::Md5, &["sdimage.dd", "golden.dd"])
}

#[test]
fn every_form_in_use_is_understood() {
    for text in [
        format!("{HEX}  sdimage.dd\n"),
        format!("{HEX} *sdimage.dd\n"),
        format!("{HEX} sdimage.dd"),
        format!("{HEX}\tsdimage.dd\n"),
        format!("{}  sdimage.dd\r\n\r\n\n", HEX.to_uppercase()),
        format!("\u{feff}{HEX}  sdimage.dd\r\n"),
        format!("\n  {HEX}  sdimage.dd\n"),
        format!("# made by hand\n{HEX}  sdimage.dd\n"),
        format!("{HEX}  /mnt/usb.1/x/sdimage.dd\n"),
        format!("{HEX} *C:\\images\\sdimage.dd\r\n"),
        format!("\\{HEX}  a\\\\b\\n\\r/sdimage.dd\n"),
        format!("{HEX}\n"),
        format!("{HEX}  \r\n"),
        HEX.to_owned(),
        format!("MD5 (sdimage.dd) = {HEX}\n"),
        format!("MD5(/tmp/(x) = y/sdimage.dd)= {HEX}\r\n"),
        format!("{HEX}  golden.dd\n"),
        format!("{OTHER}  emmcimage.dd\n{HEX}  sdimage.dd\n{OTHER}  golden.dd\n"),
        format!("{HEX}  sdimage.dd\n{HEX}  ./sdimage.dd\n"),
    ] {
        assert_eq!(read(&text), Ok(abc()), "{text:?}");
    }
    let sha256 = Digest::of(Algorithm::Sha256, b"abc");
    for text in [format!("{sha256}  sdimage.dd\n"), format!("SHA2-256(sdimage.dd)= {sha256}\n")] {
        assert_eq!(parse(text.as_bytes(), Algorithm::Sha256, &["sdimage.dd"]), Ok(sha256));
    }
}

#[test]
fn a_line_that_cannot_be_understood_is_told() {
    for (text, expected_line, words) in [
        (format!("{HEX}  sdimage.dd\n\nhello\n"), 3, "hello"),
        (format!("{}  sdimage.dd\n", &HEX[1..]), 1, "31 hexadecimal digits where md5 has 32"),
        (format!("{HEX}{HEX}  sdimage.dd\n"), 1, "64 hexadecimal digits"),
        (format!("{HEX}x  sdimage.dd\n"), 1, "where 32"),
        (format!("\\{HEX}  sd\\timage.dd\n"), 1, "escape"),
        (format!("\\{HEX}  sdimage.dd\\\n"), 1, "escape"),
        (format!("{HEX}  sd\0image.dd\n"), 1, "NUL"),
        ("MD5 (sdimage.dd) = 12\n".to_owned(), 1, "2 hexadecimal digits"),
        ("\u{1b}[2J\n".to_owned(), 1, "\"?[2J\""),
    ] {
        match read(&text) {
            Err(SidecarError::Malformed { line, detail }) => {
                assert_eq!(line, expected_line, "{text:?}");
                assert!(detail.contains(words), "{text:?}: {detail}");
            }
            other => panic!("{text:?} gives {other:?}"),
        }
    }
    let utf16 = parse(b"\xff\xfe9\x000\x00", Algorithm::Md5, &["x"]);
    assert!(matches!(utf16, Err(SidecarError::Malformed { line: 1, detail }) if detail.contains("UTF-16")));
}

#[test]
fn a_digest_of_another_file_is_no_digest_of_this_one() {
    let error = read(&format!("{HEX}  emmcimage.dd\n")).unwrap_err();
    assert_eq!(error.to_string(), "the sidecar names emmcimage.dd, not sdimage.dd");
    assert!(matches!(error, SidecarError::WrongName { digest: Some(digest), .. } if digest == abc()));
    for text in [
        format!("{HEX}  a\n{HEX}  b\n"),
        format!("{HEX}\n{OTHER}\n"),
        format!("{HEX}  SDIMAGE.DD\n{HEX}  sdimage.dd.xz\n"),
        // Escaped, the backslash is a part of the name.
        format!("\\{HEX}  x\\\\sdimage.dd\n{HEX}\n"),
    ] {
        assert!(matches!(read(&text), Err(SidecarError::WrongName { digest: None, .. })), "{text:?}");
    }
}

#[test]
fn empty_contradicting_and_huge_sidecars_are_refused() {
    for text in ["", "\n\r\n", "# nothing\n"] {
        assert_eq!(read(text), Err(SidecarError::Empty));
    }
    let text = format!("{HEX}  sdimage.dd\n{OTHER} *sdimage.dd\n");
    assert_eq!(read(&text), Err(SidecarError::Contradiction { line: 2, name: "sdimage.dd".into() }));
    assert_eq!(
        read(&"\n".repeat(LIMIT_BYTES + 1)),
        Err(SidecarError::TooLong { len_bytes: LIMIT_BYTES + 1 })
    );
}

#[test]
fn lines_are_what_md5sum_prints() {
    assert_eq!(line(&abc(), b"sdimage.dd"), format!("{HEX}  sdimage.dd\n").into_bytes());
    assert_eq!(line(&abc(), b"a\\b\nc\rd"), format!("\\{HEX}  a\\\\b\\nc\\rd\n").into_bytes());
    let directory = tempfile::tempdir().unwrap();
    for name in
        ["plain", "a b", "back\\slash", "new\nline", "carriage\rreturn", " leading", "*star", "ümlaut"]
    {
        std::fs::write(directory.path().join(name), b"abc").unwrap();
        for (tool, algorithm) in [("md5sum", Algorithm::Md5), ("sha256sum", Algorithm::Sha256)] {
            let output = std::process::Command::new(tool)
                .arg("--")
                .arg(name)
                .current_dir(directory.path())
                .output()
                .unwrap();
            let ours = line(&Digest::of(algorithm, b"abc"), name.as_bytes());
            assert_eq!(output.stdout.escape_ascii().to_string(), ours.escape_ascii().to_string());
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(name in prop::collection::vec(1_u8.., 1..30), data: Vec<u8>) {
        // Nothing but blanks is taken for the end of a line without a name.
        prop_assume!(!name.trim_ascii().is_empty());
        let digest = Digest::of(Algorithm::Sha256, &data);
        let text = line(&digest, &name);
        let entry = parse_line(text.strip_suffix(b"\n").unwrap(), Algorithm::Sha256).unwrap();
        prop_assert_eq!(entry.digest, digest);
        prop_assert_eq!(entry.name, Some(name));
    }

    #[test]
    fn no_bytes_make_the_parser_fail_badly(text in prop::collection::vec(
        prop_oneof![Just(b'\n'), Just(b'\\'), Just(b' '), Just(b'a'), Just(b'('), any::<u8>()], 0..200,
    )) {
        let random = parse(&text, Algorithm::Md5, &["a"]);
        let after_digest = parse(&[HEX.as_bytes(), &text].concat(), Algorithm::Md5, &["a"]);
        prop_assert!(random.is_err());
        prop_assert!(after_digest.is_err() || after_digest == Ok(abc()));
    }
}
