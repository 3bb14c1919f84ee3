//! A fault in a scenario's file: the keys of every fault, and the fields of its kind.
//!
//! ```toml
//! [[fault]]
//! on = "sd"                   # where
//! kind = "misdirected-write"  # what
//! range = "6 MiB..6148 KiB"   # fields of this kind
//! to = "5 MiB"
//! by = "sd"                   # when: by, op, file, nth, times, at, and `range` for kinds without a field of that name
//! may_be_missed = true
//! ```

use super::schema::CutSpec;
use crate::model::bytes::size::ByteRange;
use crate::model::hardware::fault::RangeMeans;
pub use crate::model::hardware::fault::{Bytes, Fault, FaultKind};
pub use crate::model::hardware::faults::FaultSpec;
use crate::model::hardware::trigger::Trigger;
use crate::model::time::op_name::OpName;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

/// The keys of every fault; all others are fields of its kind.
#[derive(Deserialize)]
struct Keys {
    on: String,
    kind: FaultKind,
    by: Option<String>,
    op: Option<OpName>,
    file: Option<String>,
    nth: Option<u64>,
    times: Option<u64>,
    at: Option<u64>,
    #[serde(default)]
    may_be_missed: bool,
    #[serde(flatten)]
    fields: Table,
}

impl<'de> Deserialize<'de> for FaultSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Keys { on, kind, by, op, file, nth, times, at, may_be_missed, mut fields } =
            Keys::deserialize(deserializer)?;
        let range = match kind.physics().range {
            RangeMeans::Condition => fields.remove("range"),
            RangeMeans::Field => None,
        };
        let range = range.map(ByteRange::deserialize).transpose().map_err(D::Error::custom)?;
        let fault = fault(kind, fields).map_err(D::Error::custom)?;
        let when = Trigger { by, op, file, range, nth, times, at };
        Ok(Self { on, fault, when, may_be_missed })
    }
}

/// The fault of this kind with these fields.
fn fault(kind: FaultKind, fields: Table) -> Result<Fault, String> {
    let given: Vec<String> = fields.keys().cloned().collect();
    let mut whole = fields;
    whole.insert("kind".to_owned(), Value::String(kind.word().to_owned()));
    let fault: Fault = Value::Table(whole).try_into().map_err(|error: toml::de::Error| {
        let what = error.message().trim().to_owned();
        format!("{kind}: {what}")
    })?;
    // Serde accepts any fields for variants without fields.
    let known = Table::try_from(&fault).map_err(|error| error.to_string())?;
    match given.into_iter().find(|key| !known.contains_key(key)) {
        Some(key) => Err(format!("{kind}: unknown field `{key}`, this kind has no fields")),
        None => Ok(fault),
    }
}

impl CutSpec {
    /// The fault that performs the cut.
    pub fn fault(&self) -> FaultSpec {
        let when = Trigger {
            op: self.op,
            file: self.file.clone(),
            nth: Some(self.nth),
            times: Some(1),
            at: self.at,
            ..Trigger::always()
        };
        FaultSpec::new(self.on.as_deref().unwrap_or("*"), Fault::PowerCut { after: self.after }, when)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bytes::size::Size;

    fn read(text: &str) -> Result<FaultSpec, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_fault_is_read_and_written_with_the_fields_of_its_kind() {
        let text = "on = \"sd\"\nkind = \"misdirected-write\"\nrange = \"0..512\"\nto = \"5 MiB\"\nop = \"sync_dir\"\nnth = 2\n";
        let fault = read(text).unwrap();
        let range = ByteRange::new(0..512).unwrap();
        assert_eq!(fault.fault, Fault::MisdirectedWrite { range, to: Size(5 << 20) });
        assert_eq!(fault.when, Trigger { nth: Some(2), ..Trigger::op(OpName::SyncDir) });
        let written = toml::to_string(&fault).unwrap();
        assert_eq!(read(&written), Ok(fault), "{written}");
    }

    #[test]
    fn a_range_is_a_field_or_a_condition() {
        let of_the_call = read("on = \"sd\"\nkind = \"io-error\"\nrange = \"7..9\"").unwrap();
        assert_eq!(of_the_call.when.range, ByteRange::new(7..9));
        let written = toml::to_string(&of_the_call).unwrap();
        assert_eq!(read(&written), Ok(of_the_call), "{written}");
        assert_eq!(
            read("on = \"sd\"\nkind = \"latent-error\"\nrange = \"7..9\"").unwrap().when,
            Trigger::always()
        );
    }

    #[test]
    fn fields_of_other_kinds_are_named() {
        for (text, why) in [
            (
                "kind = \"fake-limbo\"\nreal = 9\nspace = 9",
                "fake-limbo: unknown field `space`, expected `real` or `cache`",
            ),
            ("kind = \"disappear\"\nspace = 9", "disappear: unknown field `space`, this kind has no fields"),
            ("kind = \"clock-jump\"", "clock-jump: missing field `seconds`"),
            ("kind = \"bit-flap\"", "unknown variant `bit-flap`, expected one of `out-of-space`, "),
            ("kind = \"io-error\"\nrange = \"7\"", "4 MiB.."),
        ] {
            let error = read(&format!("on = \"sd\"\n{text}")).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
