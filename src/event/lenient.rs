//! Reads JSON fields of the wrong type as absent, so that one odd field costs neither its event nor the list around it.
//!
//! Only text that is no JSON at all fails. What Go takes for JSON and serde does not is mended first.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

use super::Time;

/// Reads JSON that Go takes and serde does not, too: of a key that is given twice the last counts, and what is no Unicode
/// is U+FFFD.
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(text).or_else(|error| {
        // Nothing of the kind is common enough to look for it first.
        let mended = without_lone_surrogates(&String::from_utf8_lossy(text));
        let value: serde_json::Result<Value> = serde_json::from_str(&mended);
        let once = value.map_err(|_| error)?.to_string();
        serde_json::from_str(&once)
    })
}

/// Go reads U+FFFD for an escaped half of a character whose other half is missing; others refuse it.
pub fn without_lone_surrogates(text: &str) -> String {
    let half = |text: &str| {
        let digits = text.strip_prefix("\\u").and_then(|text| text.get(..4))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        whole.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match half(rest) {
            Some(0xd800..0xdc00) if matches!(half(&rest[6..]), Some(0xdc00..0xe000)) => 12,
            Some(0xd800..0xe000) => {
                whole.push('\u{fffd}');
                rest = &rest[6..];
                continue;
            }
            Some(_) => 6,
            // Of whatever is escaped, so that an escaped backslash escapes nothing.
            None => rest.chars().take(2).map(char::len_utf8).sum(),
        };
        whole.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    whole.push_str(rest);
    whole
}

/// What a field makes of the value it finds; anything it does not say stands for absence.
trait Field<'de>: Default {
    fn from_null() -> Self {
        Self::default()
    }
    fn from_str(_: &str) -> Self {
        Self::default()
    }
    fn from_string(value: String) -> Self {
        Self::from_str(&value)
    }
    fn from_i64(_: i64) -> Self {
        Self::default()
    }
    fn from_bool(_: bool) -> Self {
        Self::default()
    }
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

struct FieldVisitor<F>(PhantomData<F>);

impl<'de, F: Field<'de>> Visitor<'de> for FieldVisitor<F> {
    type Value = F;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<F, E> {
        Ok(F::from_null())
    }
    fn visit_bool<E>(self, value: bool) -> Result<F, E> {
        Ok(F::from_bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<F, E> {
        Ok(F::from_i64(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<F, E> {
        Ok(i64::try_from(value).map_or_else(|_| F::default(), F::from_i64))
    }
    fn visit_f64<E>(self, _: f64) -> Result<F, E> {
        Ok(F::default())
    }
    fn visit_str<E>(self, value: &str) -> Result<F, E> {
        Ok(F::from_str(value))
    }
    fn visit_string<E>(self, value: String) -> Result<F, E> {
        Ok(F::from_string(value))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<F, A::Error> {
        F::from_map(map)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<F, A::Error> {
        F::from_seq(seq)
    }
}

fn field<'de, F: Field<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<F, D::Error> {
    deserializer.deserialize_any(FieldVisitor(PhantomData))
}

impl Field<'_> for String {
    fn from_str(value: &str) -> Self {
        value.to_owned()
    }
    fn from_string(value: String) -> Self {
        value
    }
}

impl Field<'_> for i64 {
    fn from_i64(value: i64) -> Self {
        value
    }
}

impl Field<'_> for Option<i64> {
    fn from_i64(value: i64) -> Self {
        Some(value)
    }
}

impl Field<'_> for Option<bool> {
    fn from_bool(value: bool) -> Self {
        Some(value)
    }
}

impl Field<'_> for Option<Time> {
    fn from_str(value: &str) -> Self {
        Time::parse(value)
    }
}

impl<'de> Field<'de> for BTreeMap<String, String> {
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut entries = Self::new();
        while let Some(key) = map.next_key()? {
            entries.insert(key, map.next_value::<Text>()?.0);
        }
        Ok(entries)
    }
}

/// An object of known fields.
struct Object<T>(Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Field<'de> for Object<T> {
    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|value| Self(Some(value)))
    }
}

/// A list of objects; elements that are none are left out, but for null, which Go takes for an object without fields.
struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de> + Default> Field<'de> for List<T> {
    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element::<Element<T>>()? {
            elements.extend(element.0);
        }
        Ok(Self(elements))
    }
}

/// [`Object`] inside a list.
struct Element<T>(Option<T>);

impl<T> Default for Element<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de> + Default> Field<'de> for Element<T> {
    fn from_null() -> Self {
        Self(Some(T::default()))
    }
    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|value| Self(Some(value)))
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Element<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        field(deserializer)
    }
}

/// A string inside a map.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        string(deserializer).map(Self)
    }
}

pub(super) fn string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    field(deserializer)
}

pub(super) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    field(deserializer)
}

pub(super) fn optional_integer<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    field(deserializer)
}

pub(super) fn boolean<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<bool>, D::Error> {
    field(deserializer)
}

pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    field(deserializer)
}

pub(super) fn strings<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    field(deserializer)
}

pub(super) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    field::<Object<T>, D>(deserializer).map(|object| object.0)
}

pub(super) fn objects<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    field::<List<T>, D>(deserializer).map(|list| list.0)
}

/// A list of strings; elements of other types are read as empty strings.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Default)]
    struct Texts(Vec<String>);

    impl<'de> Field<'de> for Texts {
        fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
            let mut texts = Vec::new();
            while let Some(Text(text)) = seq.next_element()? {
                texts.push(text);
            }
            Ok(Self(texts))
        }
    }

    field::<Texts, D>(deserializer).map(|texts| texts.0)
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::from_slice;

    #[test]
    fn null_in_a_list_of_objects_is_one_without_fields() {
        let event: Event =
            from_slice(br#"{"metadata":{"ownerReferences":[null,7,{"name":"a"}]}}"#).unwrap();
        let owners = event.metadata.owner_references;
        let names: Vec<&str> = owners.iter().map(|owner| owner.name.as_str()).collect();
        assert_eq!(names, ["", "a"]);
    }

    #[test]
    fn what_go_takes_for_json_is_read() {
        for (text, message) in [
            (&br#"{"message":"a","message":"b"}"#[..], "b"),
            (
                br#"{"message":"a\ud800b\udc00\\ud800"}"#,
                "a\u{fffd}b\u{fffd}\\ud800",
            ),
            (br#"{"message":"\ud83d\ude00\ud83d"}"#, "\u{1f600}\u{fffd}"),
            (b"{\"message\":\"a\xff\xfeb\"}", "a\u{fffd}\u{fffd}b"),
        ] {
            let event: Event = from_slice(text).unwrap();
            assert_eq!(event.message, message);
        }
        for text in [
            &b"{\"message\":\"\\ud8"[..],
            b"{\"message\":\"\\",
            b"{]",
            b"\xff",
        ] {
            assert!(from_slice::<Event>(text).is_err());
        }
    }
}
