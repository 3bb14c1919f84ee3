//! Reads values from TOML text: settings, rules, profiles, records.
//!
//! The `toml` crate parses the text and formats the errors. Its own deserializer consumes the tree and is compiled again
//! for the type of every field. With it, the boot binary would have 2.82 MB instead of 2.62 on armv7, and 3.77 MB instead
//! of 3.55 on x86-64, where `ci/cross` allows 3.6. The deserializer here only borrows the tree, and an error is one
//! pointer. Types that no file of the replicator uses are refused as the wrong type: numbers with a fraction, dates, and
//! enums with fields.

use serde::Deserialize;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use std::fmt::{self, Display};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue, ValueDeserializer};

/// A value and its position in the text.
#[derive(Deserialize)]
#[serde(rename = "$placed")]
pub(crate) struct Placed<T> {
    /// Bytes from the start of the text.
    pub(crate) at: usize,
    /// The value.
    pub(crate) value: T,
}

/// Its name for serde, by which the deserializer recognises it.
const PLACED: &str = "$placed";

/// Reads a value from the text of a whole file.
///
/// # Errors
/// If the text is not TOML or does not fit `T`; the error has the line.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, toml::de::Error> {
    let root = DeTable::parse(text)?;
    let span = root.span();
    let root = Spanned::new(span.clone(), DeValue::Table(root.into_inner()));
    T::deserialize(Item::Value(&root)).map_err(|fault| fault.at(&span).into_toml_error(text))
}

/// An error and the innermost known position of it.
#[derive(Debug)]
struct Fault(Box<(String, Option<Range<usize>>)>);

impl Fault {
    /// The same, at `span` if it has no position yet.
    #[inline(never)]
    fn at(mut self, span: &Range<usize>) -> Self {
        self.0.1.get_or_insert_with(|| span.clone());
        self
    }

    /// The same as an error of `toml`, which shows the line.
    fn into_toml_error(self, text: &str) -> toml::de::Error {
        let (message, span) = *self.0;
        let place = Spanned::new(span.unwrap_or_default(), DeValue::Boolean(false));
        let Err(mut error) = Refuse(message).deserialize(ValueDeserializer::from(place));
        error.set_input(Some(text));
        error
    }

    #[inline(never)]
    fn wrong_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        de::Error::invalid_type(found, expected)
    }
}

impl Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.0)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<M: Display>(message: M) -> Self {
        Self(Box::new((message.to_string(), None)))
    }
}

/// A deserialization that fails with a message, so that `toml` adds the position of the value.
struct Refuse(String);

impl<'de> DeserializeSeed<'de> for Refuse {
    type Value = std::convert::Infallible;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Refuse {
    type Value = std::convert::Infallible;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("nothing")
    }

    fn visit_some<D: Deserializer<'de>>(self, _: D) -> Result<Self::Value, D::Error> {
        Err(de::Error::custom(self.0))
    }
}

/// The input of a value.
#[derive(Clone, Copy)]
enum Item<'a> {
    Value(&'a Spanned<DeValue<'a>>),
    /// A position in the text.
    Place(usize),
}

impl Item<'_> {
    fn span(&self) -> Range<usize> {
        match self {
            Self::Value(value) => value.span(),
            Self::Place(at) => *at..*at,
        }
    }
}

/// An integer in the narrowest of the types that serde knows.
enum Integer {
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
}

impl Integer {
    #[inline(never)]
    fn parse(written: &DeInteger<'_>) -> Option<Self> {
        let (digits, radix) = (written.as_str(), written.radix());
        i64::from_str_radix(digits, radix)
            .map(Self::I64)
            .or_else(|_| u64::from_str_radix(digits, radix).map(Self::U64))
            .or_else(|_| i128::from_str_radix(digits, radix).map(Self::I128))
            .or_else(|_| u128::from_str_radix(digits, radix).map(Self::U128))
            .ok()
    }
}

impl<'de> Deserializer<'de> for Item<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = match self {
            Self::Value(value) => value,
            Self::Place(at) => return visitor.visit_u64(at as u64),
        };
        match value.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Integer(written) => match Integer::parse(written) {
                Some(Integer::I64(value)) => visitor.visit_i64(value),
                Some(Integer::U64(value)) => visitor.visit_u64(value),
                Some(Integer::I128(value)) => visitor.visit_i128(value),
                Some(Integer::U128(value)) => visitor.visit_u128(value),
                None => Err(de::Error::custom("integer number overflowed")),
            },
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            DeValue::Float(written) => {
                let found = format!("floating point `{}`", written.as_str());
                Err(Fault::wrong_type(Unexpected::Other(&found), &visitor))
            }
            DeValue::Datetime(_) => Err(Fault::wrong_type(Unexpected::Other("date or time"), &visitor)),
            DeValue::Array(items) => visitor.visit_seq(Elements(items.iter())),
            DeValue::Table(table) => visitor.visit_map(Entries::Table { rest: table.iter(), value: None }),
        }
        .map_err(|fault: Fault| fault.at(&value.span()))
    }

    /// A value that exists is `Some`; only a missing key is `None`.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self).map_err(|fault| fault.at(&self.span()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self).map_err(|fault| fault.at(&self.span()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name == PLACED {
            visitor.visit_map(Entries::Placed(self, 0))
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let name = match self {
            Self::Value(value) => value.get_ref().as_str(),
            Self::Place(_) => None,
        };
        match name {
            Some(name) => visitor.visit_enum(name.into_deserializer()),
            None => Err(de::Error::custom("wanted string")),
        }
        .map_err(|fault: Fault| fault.at(&self.span()))
    }

    serde::forward_to_deserialize_any! {
        bool u8 u16 u32 u64 i8 i16 i32 i64 i128 u128 f32 f64 char str string seq bytes byte_buf map unit ignored_any
        unit_struct tuple_struct tuple identifier
    }
}

/// The remaining elements of an array.
struct Elements<'a>(std::slice::Iter<'a, Spanned<DeValue<'a>>>);

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        self.0.next().map(|value| seed.deserialize(Item::Value(value))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// The remaining keys and values.
enum Entries<'a> {
    /// Of a table; `value` is that of the last key.
    Table {
        rest: toml::map::Iter<'a, Spanned<toml::de::DeString<'a>>, Spanned<DeValue<'a>>>,
        value: Option<&'a Spanned<DeValue<'a>>>,
    },
    /// Of a [`Placed`], and how many of its fields were read.
    Placed(Item<'a>, usize),
}

impl<'a> Entries<'a> {
    fn next_key(&mut self) -> Option<(&'a str, Range<usize>)> {
        match self {
            Self::Table { rest, value } => {
                let (key, its) = rest.next()?;
                *value = Some(its);
                Some((key.get_ref(), key.span()))
            }
            Self::Placed(item, through) => Some((["at", "value"].get(*through)?, item.span())),
        }
    }

    fn next_value(&mut self) -> Option<Item<'a>> {
        match self {
            Self::Table { value, .. } => value.take().map(Item::Value),
            Self::Placed(item, through) => {
                *through += 1;
                Some(if *through == 1 { Item::Place(item.span().start) } else { *item })
            }
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((key, span)) = self.next_key() else { return Ok(None) };
        seed.deserialize(key.into_deserializer()).map(Some).map_err(|fault: Fault| fault.at(&span))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let item = self.next_value().ok_or_else(|| de::Error::custom("a value without a key"))?;
        seed.deserialize(item).map_err(|fault| fault.at(&item.span()))
    }
}

#[cfg(test)]
mod tests;
