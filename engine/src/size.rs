//! Formats lengths in messages, in one style.

use std::fmt;

/// A length in bytes. `{}` shows it rounded (`7.4 GiB`, `640.0 KiB`, `512 bytes`); `{:#}` adds the exact number (`7.4 GiB
/// (7948206080 bytes)`), for messages that compare lengths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size(pub(crate) u64);

const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len_bytes = self.0;
        let Some((shift, unit)) = UNITS.iter().find(|(shift, _)| len_bytes >> shift > 0) else {
            return write!(f, "{len_bytes} bytes");
        };
        write!(f, "{:.1} {unit}", len_bytes as f64 / (1_u64 << shift) as f64)?;
        if f.alternate() {
            write!(f, " ({len_bytes} bytes)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_one_decimal_and_in_the_long_form_its_exact_number() {
        for (len_bytes, text, exact) in [
            (0, "0 bytes", "0 bytes"),
            (512, "512 bytes", "512 bytes"),
            (1536, "1.5 KiB", "1.5 KiB (1536 bytes)"),
            (8 << 20, "8.0 MiB", "8.0 MiB (8388608 bytes)"),
            (7_948_206_080, "7.4 GiB", "7.4 GiB (7948206080 bytes)"),
            (3 << 40, "3.0 TiB", "3.0 TiB (3298534883328 bytes)"),
        ] {
            let size = Size(len_bytes);
            assert_eq!((format!("{size}"), format!("{size:#}")), (text.to_owned(), exact.to_owned()));
        }
    }
}
