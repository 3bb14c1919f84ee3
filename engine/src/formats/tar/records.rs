//! Pax records: `<length> <key>=<value>\n`. Only the length determines where a record ends.

use super::{FormatError, damaged, printable};
use replicator_hal::Timestamp;

/// Maximum number of digits of a record's length.
const LENGTH_DIGITS: usize = 10;

/// A key and its value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// Removes the first record from `rest` and returns it; `None` at its end.
///
/// # Errors
/// `Damaged` if the bytes are not a record.
pub(super) fn next_record<'a>(rest: &mut &'a [u8]) -> Result<Option<Record<'a>>, FormatError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let bad = || damaged("a malformed extended header");
    let digits = rest.iter().take(LENGTH_DIGITS + 1).position(|byte| *byte == b' ').ok_or_else(bad)?;
    let len = decimal(&rest[..digits]).and_then(|len| usize::try_from(len).ok()).ok_or_else(bad)?;
    let record = rest.get(digits + 1..len).ok_or_else(bad)?;
    let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
    let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
    if equals == 0 {
        return Err(bad());
    }
    *rest = &rest[len..];
    Ok(Some((&record[..equals], &record[equals + 1..])))
}

/// Appends a record. Its length includes the length itself, so it may need one more digit.
pub(super) fn push_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let mut len = rest + digits(rest);
    if digits(len) > digits(rest) {
        len = rest + digits(len);
    }
    records.extend_from_slice(format!("{len} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Decimal digits only, within 64 bits.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A decimal number in the value of `key`.
pub(super) fn number_of<T: TryFrom<u64>>(key: &str, value: &[u8]) -> Result<T, FormatError> {
    decimal(value)
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| damaged(format!("the record {key}={} is not a valid number", printable(value))))
}

/// Seconds with an optional sign and fraction, rounded down to a nanosecond.
pub(super) fn timestamp(value: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match value.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, value),
    };
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let fraction = text.get(point + 1..).unwrap_or(&[]);
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = (0..9)
        .fold(0_i128, |nanos, at| nanos * 10 + i128::from(fraction.get(at).map_or(0, |digit| digit - b'0')));
    let finer = fraction.iter().skip(9).any(|digit| *digit != b'0');
    let magnitude = i128::from(decimal(&text[..point])?) * 1_000_000_000 + nanos;
    let total = if negative { -magnitude - i128::from(finer) } else { magnitude };
    Some(Timestamp {
        seconds: i64::try_from(total.div_euclid(1_000_000_000)).ok()?,
        nanos: u32::try_from(total.rem_euclid(1_000_000_000)).ok()?,
    })
}

/// The shortest text that [`timestamp`] reads as `time`.
pub(super) fn timestamp_text(time: Timestamp) -> String {
    let total = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let sign = if total < 0 { "-" } else { "" };
    let (seconds, nanos) = (total.unsigned_abs() / 1_000_000_000, total.unsigned_abs() % 1_000_000_000);
    if nanos == 0 {
        return format!("{sign}{seconds}");
    }
    format!("{sign}{seconds}.{nanos:09}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_by_their_length() {
        let mut rest = &b"15 a=b\n1 c=d\ne\n12 k=\0\n\n=v2\n5 e=\n"[..];
        let mut found = Vec::new();
        while let Some((key, value)) = next_record(&mut rest).unwrap() {
            found.push((key, value));
        }
        assert_eq!(found, [(&b"a"[..], &b"b\n1 c=d\ne"[..]), (b"k", b"\0\n\n=v2"), (b"e", b"")]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"9 a=b\n"[..],
            b"6 a=bb\n",
            b"x a=b\n",
            b" a=b\n",
            b"6 ab=\0",
            b"4 a\n",
            b"5 =b\n",
            b"+6 a=b\n",
            b"18446744073709551615 a=b\n",
            b"99999999999999999999999 a=b\n",
            b"0 a=b\n",
            b"2 a=b\n",
            b"6a=b\n",
            b"\0\0\0",
        ] {
            assert!(next_record(&mut &bad[..]).is_err(), "{:?}", printable(bad));
        }
    }

    #[test]
    fn every_length_counts_itself() {
        for value_len in 0..1_100 {
            let mut records = Vec::new();
            let value = vec![b'\n'; value_len];
            push_record(&mut records, b"k", &value);
            let mut rest = &records[..];
            assert_eq!(next_record(&mut rest).unwrap(), Some((&b"k"[..], &value[..])));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn times_keep_sign_and_nanoseconds() {
        let time = |seconds, nanos| Timestamp { seconds, nanos };
        for (text, value) in [
            ("0", time(0, 0)),
            ("1700000000.123456789", time(1_700_000_000, 123_456_789)),
            ("-5.25", time(-6, 750_000_000)),
            ("-0.5", time(-1, 500_000_000)),
            ("12.000000001", time(12, 1)),
            ("9223372036854775807.999999999", time(i64::MAX, 999_999_999)),
            ("-9223372036854775808", time(i64::MIN, 0)),
        ] {
            assert_eq!(timestamp(text.as_bytes()), Some(value), "{text}");
            assert_eq!(timestamp_text(value), text);
        }
        assert_eq!(timestamp(b"1.9999999999"), Some(time(1, 999_999_999)));
        assert_eq!(timestamp(b"-1.0000000001"), Some(time(-2, 999_999_999)));
        assert_eq!(timestamp(b"1."), Some(time(1, 0)));
        for bad in
            ["", "-", ".5", "1.x", "--1", "+1", "1e3", "9223372036854775808", "-9223372036854775808.1", "1 "]
        {
            assert_eq!(timestamp(bad.as_bytes()), None, "{bad}");
        }
    }
}
