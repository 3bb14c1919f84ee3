//! `imx_type`: the variant of a board, by memory and processor, for which a bootloader is made.
//!
//! U-Boot puts the type of the board on the kernel's command line. In a bootloader file it is an entry of the default
//! environment: `imx_type=<value>`. In older files name and value are separate strings, in either order. An unknown type
//! never matches.

use std::collections::BTreeSet;

const NAME: &str = "imx_type";

/// A type, known or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImxType {
    /// This one, such as `ts7970-q-2g-1000mhz-c`.
    Known(String),
    /// It is unknown.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// The type on a kernel command line.
pub(crate) fn of_command_line(command_line: &str) -> ImxType {
    let values = command_line.split_ascii_whitespace().filter_map(|word| {
        word.strip_prefix(NAME)?.strip_prefix('=').map(|value| value.trim_matches('"').to_owned())
    });
    one_of(values.filter(|value| !value.is_empty()).collect(), "the kernel's command line")
}

/// The type in a bootloader file.
pub(crate) fn of_bootloader(content: &[u8]) -> ImxType {
    // As `strings` does it: entries of the environment and texts of the program end with a NUL, and may begin after any
    // byte.
    let strings: Vec<&str> = content
        .split(|byte| !matches!(byte, b' '..=b'~'))
        .filter(|string| !string.is_empty())
        .map(|string| std::str::from_utf8(string).unwrap_or_default())
        .collect();
    let assigned = strings.iter().filter_map(|string| string.strip_prefix(NAME)?.strip_prefix('='));
    let assigned: BTreeSet<String> = assigned.filter(|value| is_value(value)).map(str::to_owned).collect();
    if !assigned.is_empty() {
        return one_of(assigned, "the bootloader");
    }
    let beside = |neighbour: fn(usize) -> Option<usize>| -> BTreeSet<String> {
        let names = strings.iter().enumerate().filter(|(_, string)| **string == NAME);
        let values = names.filter_map(|(index, _)| strings.get(neighbour(index)?));
        values.filter(|value| is_value(value)).map(|value| (*value).to_owned()).collect()
    };
    let before = beside(|index| index.checked_sub(1));
    one_of(if before.is_empty() { beside(|index| index.checked_add(1)) } else { before }, "the bootloader")
}

/// Whether a text can be a type: `ts`, four digits of the product, and the variant.
fn is_value(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("ts") else { return false };
    let (product, variant) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    product.len() == 4 && variant.len() > 1 && variant.starts_with('-') && variant.bytes().all(plain)
}

fn one_of(values: BTreeSet<String>, holder: &str) -> ImxType {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => ImxType::Known(value),
        (None, _) => ImxType::Unknown { reason: format!("{holder} has no {NAME}") },
        (Some(one), Some(other)) => {
            ImxType::Unknown { reason: format!("{holder} has more than one {NAME}: {one}, {other}") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "ts7970-q-2g-1000mhz-c";

    fn known(value: &str) -> ImxType {
        ImxType::Known(value.to_owned())
    }

    fn reason(found: ImxType) -> String {
        match found {
            ImxType::Unknown { reason } => reason,
            ImxType::Known(value) => panic!("{value}"),
        }
    }

    #[test]
    fn every_layout_of_the_environment_is_read() {
        for layout in [
            format!("\u{1}baudrate=115200\0imx_type={VALUE}\0ramdisk=0x1\0\0"),
            format!("uImage\0{VALUE}\0imx_type\0115200\0"),
            format!("{VALUE}\0\0\0imx_type\0\0\0ts7970\0"),
            format!("help text\0imx_type\0{VALUE}\0bootargs\0"),
            format!("imx_type\0\0\0\0{VALUE}\0"),
        ] {
            assert_eq!(of_bootloader(layout.as_bytes()), known(VALUE), "{layout:?}");
        }
        let binary = [&[0xff, 0xfe, 0, 0x80][..], b"imx_type=ts4100-1g", &[0, 0xff]].concat();
        assert_eq!(of_bootloader(&binary), known("ts4100-1g"));
    }

    #[test]
    fn a_use_of_the_variable_is_not_a_value() {
        let script = format!("bootargs=console=ttymxc0 imx_type=${{imx_type}} rw\0imx_type={VALUE}\0");
        assert_eq!(of_bootloader(script.as_bytes()), known(VALUE));
        let only_used = b"cmd=setenv bootargs imx_type=${imx_type}\0imx_type=${x}\0imx_type\0help\0";
        assert!(reason(of_bootloader(only_used)).contains("no imx_type"));
    }

    #[test]
    fn a_type_that_is_missing_or_ambiguous_is_unknown() {
        for content in
            ["", "imx_type=\0", "imx_type\0", "nothing here\0", "imx_type=ts79\0", "imx_type=ts7970\0"]
        {
            assert!(reason(of_bootloader(content.as_bytes())).contains("no imx_type"), "{content:?}");
        }
        let two = "imx_type=ts7970-s-1g-800mhz-i\0imx_type=ts7970-q-2g-1000mhz-c\0";
        assert!(reason(of_bootloader(two.as_bytes())).contains("more than one"));
    }

    #[test]
    fn the_type_is_read_from_the_command_line() {
        let line = |text: &str| of_command_line(text);
        assert_eq!(line("console=ttymxc0,115200 imx_type=ts4100-512m ro"), known("ts4100-512m"));
        assert_eq!(line("imx_type=\"ts4100-512m\" imx_type=ts4100-512m"), known("ts4100-512m"));
        for text in ["", "console=ttymxc0", "imx_type=", "ximx_type=ts4100-512m", "imx_types=ts4100-512m"] {
            assert!(reason(line(text)).contains("command line has no imx_type"), "{text}");
        }
        assert!(reason(line("imx_type=ts4100-1g imx_type=ts4100-512m")).contains("more than one"));
    }
}
