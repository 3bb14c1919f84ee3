//! Quotes text for a shell: commands in messages, scripts that a capture installs.

/// The text in quotes, as one word of a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The text as a file name in a command, quoted only if needed.
pub(crate) fn file_name(text: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "._-+:@%".contains(character);
    let is_option = text.starts_with('-');
    if !text.is_empty() && !is_option && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let dashed = if is_option { "./" } else { "" };
    format!("{dashed}{}", quoted(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_of_a_shell() {
        assert_eq!(file_name(""), "''");
        assert_eq!(file_name("core-image_1.0.wic.xz"), "core-image_1.0.wic.xz");
        assert_eq!(file_name("my image (1).dd"), "'my image (1).dd'");
        assert_eq!(file_name("it's.dd"), r"'it'\''s.dd'");
        assert_eq!(file_name("-rf.dd"), "./'-rf.dd'");
        assert_eq!(file_name("$(reboot).dd"), "'$(reboot).dd'");
    }
}
