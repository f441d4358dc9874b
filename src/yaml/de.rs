//! serde over nodes.

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::de::{Deserializer, Error as _, Expected, Unexpected, Visitor};

use self::access::{Elements, Entries, LocatedParts, Variant};
pub(super) use self::context::Context;
use super::expand::expand;
use super::nearest::nearest;
use super::node::{Entry, Kind, Node, Step, is_null};
use super::scalar::{boolean, float, integer};
use super::{Position, Problem};

mod access;
mod context;

/// The name by which [`super::Located`] asks for its position.
pub(super) const LOCATED: &str = "\u{0}Located";

/// The name by which [`super::Switch`] asks for what is written.
pub(super) const SWITCH: &str = "\u{0}Switch";

/// A node about to be read.
#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'a> {
    node: &'a Node,
    context: &'a Context<'a>,
    path: Path<'a>,
}

/// The way from the root to a node.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

/// What went wrong; where is filled in by the innermost node.
#[derive(Debug)]
pub(super) struct Error {
    message: String,
    at: Option<At>,
}

#[derive(Debug)]
struct At {
    steps: Vec<Step>,
    path: String,
    position: Position,
}

// === impl Path ===

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, at) => write!(f, "{parent}[{at}]"),
        }
    }
}

impl Path<'_> {
    fn steps(&self) -> Vec<Step> {
        let (mut steps, last) = match self {
            Self::Root => return Vec::new(),
            Self::Key(parent, key) => (parent.steps(), Step::Key((*key).to_owned())),
            Self::Index(parent, at) => (parent.steps(), Step::Index(*at)),
        };
        steps.push(last);
        steps
    }
}

// === impl Error ===

impl Error {
    /// The problem, and the way to the node that has it.
    pub(super) fn into_problem(self, root: &Node) -> (Problem, Vec<Step>) {
        let at = self.at.unwrap_or_else(|| At {
            steps: Vec::new(),
            path: String::new(),
            position: root.position,
        });
        let problem = Problem {
            path: at.path,
            position: at.position,
            message: self.message,
        };
        (problem, at.steps)
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            at: None,
        }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}, found {unexpected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("`{field}` is missing"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let hint = match nearest(variant, expected.iter().copied()) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => String::new(),
        };
        let expected: Vec<&str> = expected
            .iter()
            .copied()
            .filter(|name| !name.is_empty())
            .collect();
        Self::custom(format_args!(
            "`{variant}` is not one of {}{hint}",
            expected.join(", ")
        ))
    }
}

/// A message with what is written for the value that it quotes.
fn as_written(message: String, value: &str, written: &str) -> String {
    if message.contains(written) {
        return message;
    }
    let quoted = ['`', '"'].iter().fold(message, |message, quote| {
        let of = |text: &str| format!("{quote}{text}{quote}");
        message.replace(&of(value), &of(written))
    });
    // What is shorter is part of many words.
    if value.len() > 2 && !quoted.contains(written) {
        quoted.replace(value, written)
    } else {
        quoted
    }
}

// === impl NodeDeserializer ===

impl<'a> NodeDeserializer<'a> {
    pub(super) fn new(node: &'a Node, context: &'a Context<'a>) -> Self {
        Self {
            node,
            context,
            path: Path::Root,
        }
    }

    /// Says where an error is, unless a node further in has said it.
    fn locate<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| Error {
            message: match self.expanded().filter(|_| error.at.is_none()) {
                // Whoever complains has seen the value only.
                Some((written, value)) => as_written(error.message, &value, written),
                None => error.message,
            },
            at: error.at.or_else(|| {
                Some(At {
                    steps: self.path.steps(),
                    path: self.path.to_string(),
                    position: self.node.position,
                })
            }),
        })
    }

    fn error<T>(&self, message: impl Display) -> Result<T, Error> {
        self.locate(Err(Error::custom(message)))
    }

    fn expected<T>(&self, what: &str) -> Result<T, Error> {
        let hint = match &self.node.kind {
            Kind::Scalar { text, .. } if what.starts_with("true") => match text.as_str() {
                "yes" | "on" | "y" => "; write true",
                "no" | "off" | "n" => "; write false",
                _ => "",
            },
            _ => "",
        };
        self.error(format_args!(
            "expected {what}, found {}{hint}",
            self.describe()
        ))
    }

    /// As it is written, not as it is meant: a value from the environment may be a secret.
    fn describe(&self) -> String {
        match &self.node.kind {
            Kind::Scalar { text, plain: true } if is_null(text) => "nothing".to_owned(),
            Kind::Scalar { text, plain: true } => format!("`{}`", shorten(text)),
            Kind::Scalar { text, .. } => format!("the string \"{}\"", shorten(text)),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        }
    }

    /// The text as it is written and what stands for it, if environment variables make them differ.
    fn expanded(&self) -> Option<(&'a str, String)> {
        let Kind::Scalar { text, .. } = &self.node.kind else {
            return None;
        };
        match expand(text, self.context.env) {
            Ok(Cow::Owned(value)) if value != *text && !value.is_empty() => Some((text, value)),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(&self.node.kind, Kind::Scalar { text, plain: true } if is_null(text))
    }

    fn expand(&self, text: &'a str) -> Result<Cow<'a, str>, Error> {
        self.locate(expand(text, self.context.env).map_err(Error::custom))
    }

    fn text(&self) -> Result<Cow<'a, str>, Error> {
        match &self.node.kind {
            Kind::Scalar { text, plain: true } if is_null(text) => Ok(Cow::Borrowed("")),
            Kind::Scalar { text, .. } => self.expand(text),
            Kind::List(_) | Kind::Map(_) => self.expected("a string"),
        }
    }

    /// The text of a scalar that may be something other than a string.
    fn plain(&self, what: &str) -> Result<Cow<'a, str>, Error> {
        match &self.node.kind {
            Kind::Scalar { text, plain: true } => self.expand(text),
            _ => self.expected(what),
        }
    }

    /// A key with nothing after it is 0, as for Go: files in the wild have keys that are only commented.
    fn number<T: TryFrom<i128> + Default>(&self) -> Result<T, Error> {
        if self.is_null() {
            return Ok(T::default());
        }
        let what = "a whole number";
        let text = self.plain(what)?;
        match integer(&text).map(T::try_from) {
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => self.error(format_args!(
                "{} is too large or too small here",
                self.describe()
            )),
            None => self.expected(what),
        }
    }

    fn float(&self) -> Result<f64, Error> {
        if self.is_null() {
            return Ok(0.0);
        }
        let what = "a number";
        let text = self.plain(what)?;
        float(&text).map_or_else(|| self.expected(what), Ok)
    }

    fn entries(&self) -> Result<&'a [Entry], Error> {
        match &self.node.kind {
            Kind::Map(entries) => Ok(entries),
            _ if self.is_null() => Ok(&[]),
            _ => self.expected("a mapping"),
        }
    }

    fn visit_entries<'de, V: Visitor<'de>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let entries = self.entries()?;
        self.locate(visitor.visit_map(Entries::new(&self, entries, fields)))
    }

    fn visit_list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let nodes: Vec<(usize, &Node)> = match &self.node.kind {
            Kind::List(nodes) => nodes
                .iter()
                .enumerate()
                .filter_map(|(at, node)| Some((at, &**node.as_ref()?)))
                .collect(),
            _ if self.is_null() => Vec::new(),
            // One where several could be.
            _ => vec![(0, self.node)],
        };
        let single = !matches!(self.node.kind, Kind::List(_));
        self.locate(visitor.visit_seq(Elements::new(&self, nodes, single)))
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let number: $type = self.number()?;
            self.locate(visitor.$visit(number))
        })*
    };
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Map(_) => self.visit_entries(None, visitor),
            Kind::List(_) => self.visit_list(visitor),
            Kind::Scalar { text, plain: true } => {
                if is_null(text) {
                    return self.locate(visitor.visit_unit());
                }
                let text = self.expand(text)?;
                let visited = match (boolean(&text), integer(&text), float(&text)) {
                    (Some(value), ..) => visitor.visit_bool(value),
                    (_, Some(value), _) => match (i64::try_from(value), u64::try_from(value)) {
                        (Ok(value), _) => visitor.visit_i64(value),
                        (_, Ok(value)) => visitor.visit_u64(value),
                        _ => visitor.visit_str(&text),
                    },
                    (.., Some(value)) => visitor.visit_f64(value),
                    _ => visitor.visit_str(&text),
                };
                self.locate(visited)
            }
            Kind::Scalar { text, plain: false } => {
                let text = self.expand(text)?;
                self.locate(visitor.visit_str(&text))
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            return self.locate(visitor.visit_bool(false));
        }
        let what = "true or false";
        let text = self.plain(what)?;
        match boolean(&text) {
            Some(value) => self.locate(visitor.visit_bool(value)),
            None => self.expected(what),
        }
    }

    numbers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = self.float()?;
        self.locate(visitor.visit_f64(value))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.text()?;
        self.locate(visitor.visit_str(&text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == LOCATED {
            return self.locate(visitor.visit_seq(LocatedParts::new(self)));
        }
        if name == SWITCH && matches!(self.node.kind, Kind::Scalar { .. }) && !self.is_null() {
            return self.deserialize_bool(visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.visit_list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.visit_list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_entries(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.visit_entries(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text = self.text()?;
        self.locate(visitor.visit_enum(Variant(&text)))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { i128 u128 bytes byte_buf unit unit_struct }
}

/// Enough of a text to find it again.
fn shorten(text: &str) -> String {
    const MAX: usize = 60;
    let line: String = text
        .chars()
        .take(MAX)
        .flat_map(char::escape_debug)
        .collect();
    // escape_debug also escapes quotes, which are common in patterns and harmless in a line.
    let line = line.replace("\\'", "'").replace("\\\"", "\"");
    if text.chars().count() > MAX {
        format!("{line}…")
    } else {
        line
    }
}
