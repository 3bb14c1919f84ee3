//! Tests of the options.

use super::*;
use proptest::prelude::*;

fn options(names: &[&str], settings: Option<&str>) -> Result<Options, OptionsError> {
    let names: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
    let settings = settings.map(Settings::parse).transpose()?.unwrap_or_default();
    Ok(Options::new(&names, settings, &["sd".to_owned(), "emmc".to_owned()]))
}

fn skipped(options: &Options) -> Vec<&str> {
    options.skip_capture.iter().map(String::as_str).collect()
}

#[test]
fn an_empty_drive_has_no_options() {
    let options = options(&["README.txt", "sdimage.dd.xz", "irish.txt"], None).unwrap();
    assert!(options.compress == CaptureCompression::Xz && !options.shell_only && !options.write_back);
    assert!(options.skip_capture.is_empty() && options.unknown.is_empty());
    assert_eq!(options.settings, Settings::default());
    assert!(options.settings.capture.sanitise && options.settings.expand.enabled);
}

#[test]
fn option_files_are_read_in_any_case_and_with_any_extension() {
    for name in ["IR_NO_COMPRESS", "ir_no_compress", "Ir_No_Compress.TXT", "IR_NO_COMPRESS.txt.txt"] {
        let options = options(&[name], None).unwrap();
        assert!(options.compress == CaptureCompression::None && options.unknown.is_empty(), "{name}");
    }
    let options =
        options(&["IR_SHELL_ONLY.txt", "ir_write_back", "IR_NO_CAPTURE_EMMC.rtf", "IR_NO_CAPTURE_sd"], None)
            .unwrap();
    assert!(options.shell_only && options.write_back);
    assert_eq!(options.compress, CaptureCompression::Xz);
    assert_eq!(skipped(&options), ["emmc", "sd"]);
}

#[test]
fn unknown_options_and_absent_media_are_reported_and_harmless() {
    let options = options(
        &["IR_NO_COMPRES", "IR_NO_CAPTURE_SATA", "IR_", "IR_X;\u{1b}[31m", "IR_NO_CAPTURE_"],
        Some("capture.skip = [\"sata\", \"EMMC\"]"),
    )
    .unwrap();
    assert_eq!(options.compress, CaptureCompression::Xz);
    assert_eq!(skipped(&options), ["emmc"]);
    assert_eq!(
        options.unknown,
        [
            "IR_",
            "IR_NO_CAPTURE_",
            "IR_NO_CAPTURE_SATA",
            "IR_NO_COMPRES",
            "IR_X;?[31m",
            "capture.skip \"sata\""
        ]
    );
}

#[test]
fn many_unknown_options_make_a_short_list() {
    let names: Vec<String> = (0..1000).map(|number| format!("IR_{number:03}{}", "_".repeat(200))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let options = options(&names, None).unwrap();
    assert_eq!(options.unknown.len(), UNKNOWN_LIMIT + 1);
    assert_eq!(options.unknown[UNKNOWN_LIMIT], "and 968 more");
    assert!(options.unknown.iter().all(|name| name.len() < 100));
}

#[test]
fn a_full_settings_file() {
    let text = "\u{feff}board = \"tsimx6\"\r\nafter = \"poweroff\"\r\n[capture]\r\ncompress = false\r\nskip = [\"emmc\"]\r\nxz_preset = 0\r\n\
                xz_dictionary_kib = 1024\r\nsanitise = false\r\nrules = \"rules/site.toml\"\r\n[write]\r\n\
                write_back = true\r\nextent = \"all\"\r\nany_content = true\r\n[expand]\r\nenabled = false\r\n[timeouts]\r\nio_seconds = 30\r\ntool_seconds = 600\r\n";
    let options = options(&[], Some(text)).unwrap();
    assert!(options.compress == CaptureCompression::None && options.write_back);
    assert_eq!(skipped(&options), ["emmc"]);
    let settings = options.settings;
    assert_eq!((settings.board.as_deref(), settings.after), (Some("tsimx6"), After::Poweroff));
    assert_eq!((settings.capture.xz_preset, settings.capture.xz_dictionary_kib), (0, Some(1024)));
    assert_eq!((settings.capture.sanitise, settings.expand.enabled), (false, false));
    assert!(settings.write.any_content);
    assert_eq!(settings.write.extent, WriteExtent::All);
    assert_eq!(settings.capture.rules.as_deref(), Some("rules/site.toml"));
    assert_eq!((settings.timeouts.io_seconds, settings.timeouts.tool_seconds), (Some(30), Some(600)));
}

#[test]
fn the_compression_of_captures_is_named_or_a_truth_value() {
    use CaptureCompression::{None, Xz, Zstd};
    let table = [("\"xz\"", Xz), ("\"zstd\"", Zstd), ("\"none\"", None), ("true", Xz), ("false", None)];
    for (value, expected) in table {
        let text = format!("capture.compress = {value}\ncapture.zstd_level = 19");
        let options = options(&[], Some(&text)).unwrap();
        assert_eq!((options.compress, options.settings.capture.zstd_level), (expected, 19), "{value}");
        let with_file = self::options(&["IR_NO_COMPRESS"], Some(&text)).unwrap();
        assert_eq!(with_file.compress, None, "{value}");
    }
    assert_eq!(options(&[], Some("")).unwrap().settings.capture.zstd_level, 3);
}

#[test]
fn faults_name_the_line_and_the_known_keys() {
    let table: [(&str, usize, &[&str]); 14] = [
        ("[capture]\n\ncompres = true\n", 3, &["compres", "compress", "xz_preset"]),
        ("[captur]\n", 1, &["captur", "timeouts"]),
        ("board = \"a\"\n[capture]\nxz_preset = 10\n", 3, &["10", "0 to 9"]),
        ("[capture]\nxz_dictionary_kib = 3\n", 2, &["4 to 65536"]),
        ("[timeouts]\nio_seconds = -1\n", 2, &["-1", "1 to 86400"]),
        ("[capture]\nrules = \"../x\"\n", 2, &[".."]),
        ("[capture]\nrules = \"/\"\n", 2, &["name of a file"]),
        ("[capture]\ncompress = \"no\"\n", 2, &["no", "xz", "zstd", "none"]),
        ("[capture]\ncompress = 3\n", 2, &["3", "xz", "zstd", "none"]),
        ("[capture]\nzstd_level = 20\n", 2, &["20", "1 to 19"]),
        ("[capture]\nzstd_level = 0\n", 2, &["0", "1 to 19"]),
        ("board = \"a\"\nboard = \"b\"\n", 2, &["duplicate"]),
        ("after = \"halt\"\n", 1, &["halt", "wait", "reboot", "poweroff"]),
        ("\n\n= 3\n", 3, &["key"]),
    ];
    for (text, expected_line, words) in table {
        match options(&[], Some(text)) {
            Err(OptionsError::Settings { line, detail }) => {
                assert_eq!(line, expected_line, "{text:?}: {detail}");
                assert!(words.iter().all(|word| detail.contains(word)), "{text:?}: {detail}");
                assert!(!detail.contains('\n'));
            }
            other => panic!("{text:?} gives {other:?}"),
        }
    }
}

#[test]
fn a_huge_settings_file_is_not_parsed() {
    let text = " ".repeat(SETTINGS_LIMIT_BYTES + 1);
    assert_eq!(options(&[], Some(&text)), Err(OptionsError::TooLong { len_bytes: text.len() }));
    assert!(options(&[], Some(&text[1..])).is_ok());
    // Deep nesting must not exhaust the stack.
    let text = format!("board = {}", "[".repeat(SETTINGS_LIMIT_BYTES - 100));
    assert!(matches!(options(&[], Some(&text)), Err(OptionsError::Settings { .. })));
}

proptest! {
    #[test]
    fn any_text_and_any_names_end_in_options_or_an_error(
        text in "[\\[\\]a-z_=\"0-9.\\n ]{0,200}",
        name in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let with_prefix = [b"IR_".to_vec(), name.clone()].concat();
        let names = [name, with_prefix];
        if let Ok(settings) = Settings::parse(&text) {
            let options = Options::new(&names, settings, &["sd".to_owned()]);
            prop_assert!(options.unknown.iter().all(|name| !name.chars().any(char::is_control)));
        }
    }
}
