//! YAML that knows where everything stands: every problem has a path, a line and a column.
//!
//! A parser's events are composed into nodes with positions, and a serde `Deserializer` walks them, so that the
//! configuration's types are plain `#[derive(Deserialize)]`. What the incumbent's loader takes is taken: numbers for
//! strings, a value for a list of one, unknown keys (with a warning that names the likely one), keys given twice (the
//! last counts, with a warning). Environment variables are put into values after parsing, so that a secret can hold
//! anything; messages show the text as it is written, never what stands for it.

use std::fmt;
use std::ops::Deref;

use crate::event::visible;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};

pub use self::duration::duration;
pub use self::nearest::nearest;
pub use self::problems::Problems;
pub use self::switch::Switch;

mod de;
mod duration;
mod expand;
mod nearest;
mod node;
mod problems;
mod scalar;
mod switch;

/// A place in a text; both count from 1. Zero stands for no place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// What is wrong, where, and what to do. Shown as `12:5: route.match[0].kind: message`, behind the file's name and `:`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The way there from the top of the file: `route.match[0].kind`.
    pub path: String,
    /// Where it stands.
    pub position: Position,
    /// What is wrong and what to do.
    pub message: String,
}

/// A value that was read, and what was odd about it.
#[derive(Debug)]
pub struct Parsed<T> {
    /// What was read.
    pub value: T,
    /// What the incumbent swallows in silence.
    pub warnings: Vec<Problem>,
}

/// A value that remembers where it stood.
#[derive(Debug, Clone, Default)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The way there.
    pub path: String,
    /// Where it stood.
    pub position: Position,
    /// How it is written, if environment variables have been put into it since, or what is in the file that it names.
    pub written: Option<String>,
}

/// Any value; maps in the order of the file.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "YAML's own types")]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    String(Located<String>),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

/// What one look at a text has found.
#[derive(Debug)]
pub struct Reading<T> {
    /// What was read, without the values that have errors; `None` if there is no telling.
    pub value: Option<T>,
    /// Every value that can't be read, in the order of the text.
    pub errors: Vec<Problem>,
    /// What the incumbent swallows in silence.
    pub warnings: Vec<Problem>,
}

/// What to say of a key that its section does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// It is ignored, and this is where it belongs, or what is likely meant.
    Hint(String),
    /// To ignore it would change what happens: an error, with what to do instead.
    Refuse(String),
}

/// Looks up environment variables.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;
/// Knows more of keys than the section at a path does: called with that path and an unknown key.
pub type Sections<'a> = &'a dyn Fn(&str, &str) -> Option<Advice>;

/// More mistakes than anybody wants to read of.
const MAX_ERRORS: usize = 100;

/// Reads the first document in `text`. The first error is all that is told.
pub fn parse<T: DeserializeOwned>(text: &str, env: Environment<'_>) -> Result<Parsed<T>, Problem> {
    let reading = read(text, env, &|_, _| None);
    match (reading.errors.into_iter().next(), reading.value) {
        (None, Some(value)) => Ok(Parsed {
            value,
            warnings: reading.warnings,
        }),
        (error, _) => Err(error.unwrap_or_else(|| Problem::nowhere("it can't be read"))),
    }
}

/// Reads the first document in `text`, and finds every value that can't be read: each is taken out and the rest read again.
pub fn read<T: DeserializeOwned>(
    text: &str,
    env: Environment<'_>,
    sections: Sections<'_>,
) -> Reading<T> {
    let context = de::Context::new(env, sections);
    let mut errors = Vec::new();
    let mut value = None;
    match node::compose(text, &context) {
        Err(problem) => errors.push(problem),
        Ok(mut root) => {
            errors.append(&mut context.take_unknown_values());
            let told = context.told();
            loop {
                context.forget(told);
                match T::deserialize(de::NodeDeserializer::new(&root, &context)) {
                    Ok(read) => {
                        value = Some(read);
                        break;
                    }
                    Err(error) => {
                        let (problem, steps) = error.into_problem(&root);
                        errors.push(problem);
                        if errors.len() >= MAX_ERRORS || !root.prune(&steps) {
                            break;
                        }
                    }
                }
            }
        }
    }
    let (refused, warnings) = context.into_findings();
    errors.extend(refused);
    errors.sort_by_key(|error| error.position);
    Reading {
        value,
        errors,
        warnings,
    }
}

/// For `#[serde(deserialize_with)]` on optional sections: a key with nothing behind it counts as an empty section.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

// === impl Problem ===

impl Problem {
    /// A problem of the file as a whole.
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            position: Position::default(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.position.line > 0 {
            write!(f, "{}:{}:", self.position.line, self.position.column)?;
        }
        // Both quote what stands in the file, and have to stay one line.
        if !self.path.is_empty() {
            write!(f, " {}:", visible(&self.path))?;
        }
        write!(f, " {}", visible(&self.message))
    }
}

// === impl Located ===

impl<T> Located<T> {
    /// Whether it stands in the text, empty or not.
    pub fn is_given(&self) -> bool {
        self.position.line > 0
    }

    /// What is wrong with this value.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            path: self.path.clone(),
            position: self.position,
            message: message.into(),
        }
    }
}

#[cfg(test)]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<T>()
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Value {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}

impl Located<String> {
    /// What messages may show: the text as it is written, since what stands for a variable may be a secret.
    pub fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.value)
    }
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LocatedVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for LocatedVisitor<T> {
            type Value = Located<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Self::Value, D::Error> {
                let value = T::deserialize(deserializer)?;
                Ok(Located {
                    value,
                    path: String::new(),
                    position: Position::default(),
                    written: None,
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let missing = || serde::de::Error::custom("a value without a position");
                Ok(Located {
                    path: seq.next_element()?.ok_or_else(missing)?,
                    position: Position {
                        line: seq.next_element()?.ok_or_else(missing)?,
                        column: seq.next_element()?.ok_or_else(missing)?,
                    },
                    written: Some(seq.next_element::<String>()?.ok_or_else(missing)?)
                        .filter(|written| !written.is_empty()),
                    value: seq.next_element()?.ok_or_else(missing)?,
                })
            }
        }

        deserializer
            .deserialize_newtype_struct(de::LOCATED, LocatedVisitor(std::marker::PhantomData))
    }
}

// === impl Value ===

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let located = Located::<Untyped>::deserialize(deserializer)?;
        Ok(match located.value {
            Untyped::Other(value) => value,
            Untyped::String(value) => Self::String(Located {
                value,
                path: located.path,
                position: located.position,
                written: located.written,
            }),
        })
    }
}

/// A value, without the position that only strings keep.
enum Untyped {
    String(String),
    Other(Value),
}

impl<'de> Deserialize<'de> for Untyped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UntypedVisitor;

        impl<'de> Visitor<'de> for UntypedVisitor {
            type Value = Untyped;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E>(self) -> Result<Untyped, E> {
                Ok(Untyped::Other(Value::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Untyped, E> {
                Ok(Untyped::Other(Value::Bool(value)))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Untyped, E> {
                Ok(Untyped::Other(Value::Int(value)))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Untyped, E> {
                Ok(Untyped::Other(Value::UInt(value)))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Untyped, E> {
                Ok(Untyped::Other(Value::Float(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Untyped, E> {
                Ok(Untyped::String(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Untyped, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Untyped::Other(Value::List(list)))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Untyped, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Untyped::Other(Value::Map(entries)))
            }
        }

        deserializer.deserialize_any(UntypedVisitor)
    }
}

#[cfg(test)]
mod tests;
