//! Parses the footer of a microcontroller update, and the output of its updater.
//!
//! The layout is that of `tssupervisorupdate`: the payload, then a footer of little-endian fields that ends in a magic.

use crate::profile::Footer;

const MAGIC: &[u8] = b"TS_UC_RA4M2";
const PAYLOAD_LEN_MAX_BYTES: u32 = 128 << 10;
/// The updater sends the payload in pieces of this length.
const PAYLOAD_STEP_BYTES: u32 = 128;
/// Longest update: the largest payload, the larger footer, and padding.
pub(crate) const FILE_LEN_MAX_BYTES: u64 = (PAYLOAD_LEN_MAX_BYTES as u64) + 4096;

/// The content of a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Update {
    /// Revision of the microcontroller after the update.
    pub revision: u16,
    /// The model for which it is made, if the footer has it.
    pub model: Option<u16>,
}

/// The information that the microcontroller reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    /// Its revision.
    pub revision: u16,
    /// Its model, if it reports it.
    pub model: Option<u16>,
}

/// Reads the footer of `file`.
///
/// # Errors
/// What is wrong with the file, as a text that follows its name.
pub(crate) fn parse(footer: Footer, file: &[u8]) -> Result<Update, String> {
    let fields_len = match footer {
        Footer::V0 => 8,
        Footer::V1 => 11,
    };
    let footer_len = fields_len + MAGIC.len();
    let Some(payload_len) = file.len().checked_sub(footer_len).filter(|_| file.ends_with(MAGIC)) else {
        return Err("is not a microcontroller update, or was cut off: its last bytes are not a footer".into());
    };
    let fields = &file[payload_len..payload_len + fields_len];
    let size = u32::from_le_bytes([fields[0], fields[1], fields[2], fields[3]]);
    let word = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
    let fits = size > 0 && size <= PAYLOAD_LEN_MAX_BYTES && size % PAYLOAD_STEP_BYTES == 0;
    if !fits || size as usize > payload_len {
        return Err(format!(
            "is damaged, or its footer has another version: the footer has a length of {size} bytes, the payload {payload_len}"
        ));
    }
    Ok(match footer {
        Footer::V0 => Update { revision: u16::from(fields[4]), model: None },
        Footer::V1 => Update { revision: word(6), model: Some(word(4)) },
    })
}

/// Parses the updater's output for `--info`; `None` if it has no revision.
pub(crate) fn info(output: &str) -> Option<Info> {
    let value =
        |name: &str| output.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
    let revision = value("revision")?.trim().parse().ok()?;
    let model = value("modelnum").map(|text| {
        let text = text.trim();
        u16::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16)
    });
    Some(Info { revision, model: model.transpose().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v0(payload_len: u32, revision: u8) -> Vec<u8> {
        let mut file = vec![0x5a; payload_len as usize];
        file.extend(payload_len.to_le_bytes());
        file.extend([revision, 0, 0, 0]);
        file.extend(MAGIC);
        file
    }

    fn v1(payload_len: u32, model: u16, revision: u16) -> Vec<u8> {
        let mut file = vec![0x5a; payload_len as usize];
        file.extend(payload_len.to_le_bytes());
        file.extend(model.to_le_bytes());
        file.extend(revision.to_le_bytes());
        file.extend([0, 0, 1]);
        file.extend(MAGIC);
        file
    }

    #[test]
    fn footers_are_19_and_22_bytes_long() {
        assert_eq!((v0(128, 8).len(), v1(128, 0x7250, 5).len()), (128 + 19, 128 + 22));
        assert_eq!(parse(Footer::V0, &v0(1024, 8)), Ok(Update { revision: 8, model: None }));
        let update = Update { revision: 300, model: Some(0x7250) };
        assert_eq!(parse(Footer::V1, &v1(128 << 10, 0x7250, 300)), Ok(update));
    }

    #[test]
    fn an_update_that_is_cut_damaged_or_of_the_other_version_is_refused() {
        let whole = v1(1024, 0x7250, 5);
        assert!(parse(Footer::V1, &whole[..whole.len() - 1]).unwrap_err().contains("cut"));
        assert!(parse(Footer::V1, &whole[200..]).unwrap_err().contains("damaged"));
        assert!(parse(Footer::V1, b"TS_UC_RA4M2").is_err());
        assert!(parse(Footer::V0, b"").is_err());
        assert!(parse(Footer::V0, &whole).is_err(), "version 1 for a board of version 0");
        assert!(parse(Footer::V1, &v0(1024, 8)).is_err(), "version 0 for a board of version 1");
        for len in [0, 127, (128 << 10) + 128] {
            assert!(parse(Footer::V0, &v0(len, 8)).is_err(), "{len}");
        }
    }

    #[test]
    fn revision_and_model_are_read_from_the_output() {
        let text = "modelnum=0x7250\nrevision=12\ndirty=0\n";
        assert_eq!(info(text), Some(Info { revision: 12, model: Some(0x7250) }));
        assert_eq!(info("revision=7\n"), Some(Info { revision: 7, model: None }));
        for text in ["", "i2c read failed!\n", "revision=\n", "revision=-1\n", "modelnum=zz\nrevision=1\n"] {
            assert_eq!(info(text), None, "{text:?}");
        }
    }
}
