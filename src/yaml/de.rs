//! serde over nodes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::{self, Display};

use serde::de::value::{StrDeserializer, UsizeDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer as _,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::expand::expand;
use super::nearest::nearest;
use super::node::{Entry, Kind, Node, is_null};
use super::{Position, Problem};

/// The name by which [`super::Located`] asks for its position.
pub(super) const LOCATED: &str = "\u{0}Located";

/// What is the same for every node.
pub(super) struct Context<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    warnings: RefCell<Vec<Problem>>,
}

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
    at: Option<(String, Position)>,
}

// === impl Context ===

impl<'a> Context<'a> {
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            env,
            warnings: RefCell::default(),
        }
    }

    pub(super) fn warn(&self, problem: Problem) {
        self.warnings.borrow_mut().push(problem);
    }

    pub(super) fn into_warnings(self) -> Vec<Problem> {
        let mut warnings = self.warnings.into_inner();
        warnings.sort_by_key(|warning| warning.position);
        warnings
    }
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

// === impl Error ===

impl Error {
    pub(super) fn into_problem(self, root: &Node) -> Problem {
        let (path, position) = self.at.unwrap_or_else(|| (String::new(), root.position));
        Problem {
            path,
            position,
            message: self.message,
        }
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
            at: error
                .at
                .or_else(|| Some((self.path.to_string(), self.node.position))),
            ..error
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

    fn number<T: TryFrom<i128>>(&self) -> Result<T, Error> {
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
        self.locate(visitor.visit_map(Entries {
            parent: &self,
            fields,
            rest: entries.iter(),
            value: None,
        }))
    }

    fn visit_list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let nodes: Vec<&Node> = match &self.node.kind {
            Kind::List(nodes) => nodes.iter().map(|node| &**node).collect(),
            _ if self.is_null() => Vec::new(),
            // One where several could be.
            _ => vec![self.node],
        };
        let single = !matches!(self.node.kind, Kind::List(_));
        self.locate(visitor.visit_seq(Elements {
            parent: &self,
            nodes: nodes.into_iter().enumerate(),
            single,
        }))
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
            return self.locate(visitor.visit_seq(LocatedParts {
                node: self,
                next: 0,
            }));
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

/// The members of a map. Those that a struct does not know are told, and left out.
struct Entries<'p, 'a> {
    parent: &'p NodeDeserializer<'a>,
    fields: Option<&'static [&'static str]>,
    rest: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
}

impl Entries<'_, '_> {
    fn unknown(&self, fields: &[&str], entry: &Entry) {
        let hint = match nearest(&entry.key, fields.iter().copied()) {
            Some(near) => format!("; did you mean `{near}`?"),
            None if fields.len() <= 12 => format!("; known are {}", fields.join(", ")),
            None => String::new(),
        };
        self.parent.context.warn(Problem {
            path: Path::Key(&self.parent.path, &entry.key).to_string(),
            position: entry.position,
            message: format!("unknown key `{}`, ignored{hint}", shorten(&entry.key)),
        });
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        while let Some(entry) = self.rest.next() {
            if let Some(fields) = self
                .fields
                .filter(|fields| !fields.contains(&entry.key.as_str()))
            {
                self.unknown(fields, entry);
                continue;
            }
            self.value = Some(entry);
            return seed.deserialize(StrDeserializer::new(&entry.key)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let entry = self
            .value
            .take()
            .ok_or_else(|| Error::custom("a value without a key"))?;
        let path = Path::Key(&self.parent.path, &entry.key);
        seed.deserialize(NodeDeserializer {
            node: &entry.value,
            context: self.parent.context,
            path,
        })
    }
}

/// The elements of a list, or the one value that stands in its place.
struct Elements<'p, 'a> {
    parent: &'p NodeDeserializer<'a>,
    nodes: std::iter::Enumerate<std::vec::IntoIter<&'a Node>>,
    single: bool,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some((at, node)) = self.nodes.next() else {
            return Ok(None);
        };
        let path = if self.single {
            self.parent.path
        } else {
            Path::Index(&self.parent.path, at)
        };
        seed.deserialize(NodeDeserializer {
            node,
            context: self.parent.context,
            path,
        })
        .map(Some)
    }
}

/// Path, line, column and value, one after the other.
struct LocatedParts<'a> {
    node: NodeDeserializer<'a>,
    next: usize,
}

impl<'de> SeqAccess<'de> for LocatedParts<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Position { line, column } = self.node.node.position;
        let number = |number: usize| -> UsizeDeserializer<Error> { number.into_deserializer() };
        self.next += 1;
        match self.next {
            1 => seed.deserialize(StrDeserializer::new(&self.node.path.to_string())),
            2 => seed.deserialize(number(line)),
            3 => seed.deserialize(number(column)),
            _ => seed.deserialize(self.node),
        }
        .map(Some)
    }
}

/// The name of a variant that holds nothing.
struct Variant<'a>(&'a str);

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        Ok((seed.deserialize(StrDeserializer::new(self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Error> {
        Err(Error::custom(format_args!(
            "`{}` needs more than its name",
            self.0
        )))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::custom(format_args!(
            "`{}` needs more than its name",
            self.0
        )))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(Error::custom(format_args!(
            "`{}` needs more than its name",
            self.0
        )))
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A whole number as YAML 1.2 writes it, or in binary, or as a decimal fraction of zero.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let radix = |prefix: &str, radix| {
        digits
            .strip_prefix(prefix)
            .and_then(|digits| unsigned(digits, radix))
    };
    let number = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
        .or_else(|| {
            let whole = digits
                .split_once('.')
                .map_or(Some(digits), |(whole, fraction)| {
                    (!fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0'))
                        .then_some(whole)
                });
            unsigned(whole?, 10)
        })?;
    Some(sign * number)
}

fn unsigned(digits: &str, radix: u32) -> Option<i128> {
    let legal = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    legal
        .then(|| i128::from_str_radix(digits, radix).ok())
        .flatten()
}

fn float(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number = plain && text.bytes().any(|byte| byte.is_ascii_digit());
    number
        .then(|| text.parse().ok())
        .flatten()
        .or_else(|| integer(text).map(as_float))
}

#[expect(clippy::cast_precision_loss, reason = "a float is what is asked for")]
fn as_float(integer: i128) -> f64 {
    integer as f64
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
