//! JSON of any value, as Go's `encoding/json` writes and reads it.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::event::{go_json, without_lone_surrogates};

use super::context::Context;
use super::failure::{Failure, Result};
use super::float;
use super::value::{Element, Entries, IntType, MAX_DEPTH, TimeType, Value};

/// Go goes deeper; what is deeper than this is not meant to be read.
const TOO_DEEP: &str = "the JSON is nested too deeply";

/// Writes values as JSON.
struct Writer<'w, 'e> {
    context: &'w Context<'e>,
    to: &'w mut Vec<u8>,
    /// Escapes what can be harmful in HTML.
    html: bool,
}

/// What is read is numbers, texts, lists and dicts.
enum Read {
    Nil,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Read>),
    Dict(Vec<(String, Read)>),
}

/// Appends a value.
pub(super) fn append<'e>(
    value: &Value<'e>,
    html: bool,
    context: &Context<'e>,
    to: &mut Vec<u8>,
) -> Result<()> {
    Writer { context, to, html }.value(value, 0)
}

/// JSON with line ends, and two spaces for each level.
pub(super) fn indented(compact: &[u8], context: &Context<'_>) -> Result<Vec<u8>> {
    let mut text = Vec::with_capacity(compact.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, &byte) in compact.iter().enumerate() {
        if in_string {
            text.push(byte);
            in_string = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        let is_empty = matches!(
            (byte, compact.get(at + 1)),
            (b'{', Some(b'}')) | (b'[', Some(b']'))
        );
        let ends_empty = at > 0 && matches!((compact[at - 1], byte), (b'{', b'}') | (b'[', b']'));
        match byte {
            b'{' | b'[' if !is_empty => {
                depth += 1;
                text.push(byte);
                break_line(depth, &mut text);
            }
            b'}' | b']' if !ends_empty => {
                depth = depth.saturating_sub(1);
                break_line(depth, &mut text);
                text.push(byte);
            }
            b',' => {
                text.push(byte);
                break_line(depth, &mut text);
            }
            b':' => text.extend_from_slice(b": "),
            byte => {
                in_string = byte == b'"';
                text.push(byte);
            }
        }
        context.check_length(text.len())?;
    }
    context.spend_bytes(text.len())?;
    Ok(text)
}

fn break_line(depth: usize, text: &mut Vec<u8>) {
    text.push(b'\n');
    for _ in 0..depth {
        text.extend_from_slice(b"  ");
    }
}

/// Reads JSON. Numbers become `float64`, objects dicts.
pub(super) fn parse<'e>(text: &[u8], context: &Context<'e>) -> Result<Value<'e>> {
    let text = without_lone_surrogates(&String::from_utf8_lossy(text));
    let read: Read = serde_json::from_str(&text).map_err(|error| {
        // It says so in no other way.
        if error.to_string().starts_with("recursion limit") {
            return context.exceed(TOO_DEEP);
        }
        Failure::new(format!("not JSON: {error}"))
    })?;
    read.into_value(context, 0)
}

// === impl Writer ===

impl<'e> Writer<'_, 'e> {
    fn value(&mut self, value: &Value<'e>, depth: usize) -> Result<()> {
        self.context.spend(1)?;
        if depth > MAX_DEPTH {
            return Err(self
                .context
                .exceed("a value is nested too deeply, or holds itself"));
        }
        match value {
            Value::Missing | Value::Nil | Value::Pointer(_, None) => self.null(),
            Value::List(list) if list.is_nil => self.null(),
            Value::Strings(strings) if strings.is_nil() => self.null(),
            Value::Bool(value) => self.to.extend_from_slice(value.to_string().as_bytes()),
            Value::Int(value, IntType::Uint64) => {
                let text = value.cast_unsigned().to_string();
                self.to.extend_from_slice(text.as_bytes());
            }
            Value::Int(value, _) => self.to.extend_from_slice(value.to_string().as_bytes()),
            Value::Float(value) => self.float(*value)?,
            Value::Text(text, _) => self.text(text)?,
            Value::List(list) if list.element == Element::Bytes => {
                use base64::Engine as _;
                let bytes = super::print::text_of(value, self.context)?;
                let text = base64::engine::general_purpose::STANDARD.encode(&*bytes);
                self.text(text.as_bytes())?;
            }
            Value::List(list) => {
                self.to.push(b'[');
                for (at, value) in list.values.iter().enumerate() {
                    if at > 0 {
                        self.to.push(b',');
                    }
                    self.value(value, depth + 1)?;
                }
                self.to.push(b']');
            }
            Value::Dict(dict) => {
                self.to.push(b'{');
                for (at, (key, value)) in dict.entries().iter().enumerate() {
                    self.key(at, key)?;
                    self.value(value, depth + 1)?;
                }
                self.to.push(b'}');
            }
            Value::Strings(strings) => {
                self.to.push(b'{');
                for (at, (key, value)) in strings.entries().iter().enumerate() {
                    self.key(at, key)?;
                    self.text(value)?;
                }
                self.to.push(b'}');
            }
            Value::Time(time, kind) if time.is_zero() && *kind != TimeType::Std => self.null(),
            Value::Time(time, kind) => {
                let mut text = String::new();
                match kind {
                    TimeType::Std => time.format("2006-01-02T15:04:05.999999999Z07:00", &mut text),
                    TimeType::Api => time.utc().format("2006-01-02T15:04:05Z07:00", &mut text),
                    TimeType::Micro => time
                        .utc()
                        .format("2006-01-02T15:04:05.000000Z07:00", &mut text),
                }
                self.text(text.as_bytes())?;
            }
            Value::Object(object) => {
                let start = self.to.len();
                object.append_json(self.to).map_err(failed)?;
                if !self.html {
                    go_json::unescape_html(start, self.to);
                }
                self.context.spend_bytes(self.to.len() - start)?;
            }
            Value::Pointer(_, Some(target)) => self.value(target, depth + 1)?,
            Value::Version(version) => {
                let mut text = String::new();
                version.append_text(&mut text);
                self.text(text.as_bytes())?;
            }
        }
        Ok(())
    }

    fn null(&mut self) {
        self.to.extend_from_slice(b"null");
    }

    fn key(&mut self, at: usize, key: &[u8]) -> Result<()> {
        if at > 0 {
            self.to.push(b',');
        }
        self.text(key)?;
        self.to.push(b':');
        Ok(())
    }

    fn text(&mut self, text: &[u8]) -> Result<()> {
        self.context.spend_bytes(text.len())?;
        go_json::append_text(text, self.html, self.to).map_err(failed)?;
        self.context.check_length(self.to.len())
    }

    fn float(&mut self, value: f64) -> Result<()> {
        let text = number(value).ok_or_else(|| Failure::new("JSON has no infinite numbers"))?;
        self.to.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// A number as Go's encoding/json writes it. `None` for what is none, or infinite.
pub(super) fn number(value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    let mut text = String::new();
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        float::append(value, 'e', None, &mut text);
        // One digit is enough for a small exponent.
        if let Some(at) = text.find("e-0") {
            text.remove(at + 2);
        }
    } else {
        float::append(value, 'f', None, &mut text);
    }
    Some(text)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: serde_json::Error) -> Failure {
    Failure::new(format!("a value cannot be written as JSON: {error}"))
}

// === impl Read ===

impl Read {
    fn into_value<'e>(self, context: &Context<'e>, depth: usize) -> Result<Value<'e>> {
        context.spend(1)?;
        if depth == MAX_DEPTH {
            return Err(context.exceed(TOO_DEEP));
        }
        Ok(match self {
            Self::Nil => Value::Nil,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(value) => Value::Float(value),
            Self::Text(text) => Value::text(text),
            Self::List(values) => {
                let values = values
                    .into_iter()
                    .map(|value| value.into_value(context, depth + 1));
                Value::list(values.collect::<Result<_>>()?)?
            }
            Self::Dict(entries) => {
                let mut dict = Entries::new();
                for (key, value) in entries {
                    dict.insert(
                        key.into_bytes().into(),
                        value.into_value(context, depth + 1)?,
                    );
                }
                context.dict(dict)
            }
        })
    }
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct ReadVisitor;

        impl<'de> Visitor<'de> for ReadVisitor {
            type Value = Read;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> std::result::Result<Read, E> {
                Ok(Read::Nil)
            }
            fn visit_bool<E>(self, value: bool) -> std::result::Result<Read, E> {
                Ok(Read::Bool(value))
            }
            #[expect(clippy::cast_precision_loss, reason = "as Go's float64")]
            fn visit_i64<E>(self, value: i64) -> std::result::Result<Read, E> {
                Ok(Read::Number(value as f64))
            }
            #[expect(clippy::cast_precision_loss, reason = "as Go's float64")]
            fn visit_u64<E>(self, value: u64) -> std::result::Result<Read, E> {
                Ok(Read::Number(value as f64))
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> std::result::Result<Read, E> {
                if value.is_finite() {
                    Ok(Read::Number(value))
                } else {
                    Err(E::custom("a number is too large"))
                }
            }
            fn visit_str<E>(self, value: &str) -> std::result::Result<Read, E> {
                Ok(Read::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> std::result::Result<Read, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Read::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Read, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Read::Dict(entries))
            }
        }

        deserializer.deserialize_any(ReadVisitor)
    }
}
