//! What a template works with: values with the Go types that they have in the incumbent, because Go's templates decide
//! by type what may be called, compared and printed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use super::failure::{Failure, Result};
use super::object::Object;
use super::time::GoTime;
use super::version::Version;

/// A value; `'e` is the event's life.
#[derive(Clone)]
pub(super) enum Value<'e> {
    /// What a map does not have: unlike [`Value::Nil`], it can be asked for fields and has none.
    Missing,
    Nil,
    Bool(bool),
    /// Unsigned ones by their bits.
    Int(i64, IntType),
    Float(f64),
    Text(Text<'e>, TextType),
    List(Rc<List<'e>>),
    /// `map[string]interface {}`
    Dict(Dict<'e>),
    /// `map[string]string`
    Strings(Strings<'e>),
    Time(GoTime, TimeType),
    Object(Object<'e>),
    /// A pointer to something simple, or to nothing.
    Pointer(Pointee, Option<Box<Value<'e>>>),
    /// `*semver.Version`
    Version(Rc<Version>),
}

/// Which of Go's integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IntType {
    Int,
    Int32,
    Int64,
    Uint8,
    Uint64,
    Duration,
    Month,
    Weekday,
}

/// Which of Go's strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextType {
    String,
    /// `types.UID`: a string that functions on strings do not take.
    Uid,
}

/// Which of Go's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeType {
    /// `time.Time`
    Std,
    /// `v1.Time`, in whole seconds.
    Api,
    /// `v1.MicroTime`
    Micro,
}

/// What a pointer points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pointee {
    Bool,
    Int64,
    ApiTime,
    Series,
    Reference,
}

/// A Go string: any bytes.
#[derive(Clone)]
pub(super) enum Text<'e> {
    Borrowed(&'e [u8]),
    Owned(Rc<[u8]>),
}

/// A slice.
pub(super) struct List<'e> {
    pub(super) element: Element,
    pub(super) values: Vec<Value<'e>>,
    /// Go tells the slice that is nothing from the one that is empty.
    pub(super) is_nil: bool,
    /// How many lists are inside of each other, this one counted.
    depth: usize,
}

/// What a slice consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Any,
    Bytes,
    Int,
    Lists,
    ManagedFields,
    Owners,
    String,
}

/// A map that can be changed, and that variables share.
#[derive(Clone)]
pub(super) struct Dict<'e>(Rc<RefCell<Entries<'e>>>);

/// What is in a dict.
pub(super) type Entries<'e> = BTreeMap<Rc<[u8]>, Value<'e>>;

/// Texts by texts.
pub(super) type Pairs = BTreeMap<Rc<[u8]>, Rc<[u8]>>;

/// Labels and annotations, or what was split.
#[derive(Clone)]
pub(super) enum Strings<'e> {
    Borrowed(&'e BTreeMap<String, String>),
    Owned(Rc<Pairs>),
}

/// How deep lists may be nested, and how deep anything is followed.
pub(super) const MAX_DEPTH: usize = 100;

// === impl Value ===

impl<'e> Value<'e> {
    /// A string.
    pub(super) fn text(text: impl Into<Text<'e>>) -> Self {
        Self::Text(text.into(), TextType::String)
    }

    /// An `int`.
    pub(super) fn int(value: i64) -> Self {
        Self::Int(value, IntType::Int)
    }

    /// An `int` that counts something.
    pub(super) fn count(value: usize) -> Self {
        Self::int(i64::try_from(value).unwrap_or(i64::MAX))
    }

    pub(super) fn int64(value: i64) -> Self {
        Self::Int(value, IntType::Int64)
    }

    pub(super) fn uid(text: &'e str) -> Self {
        Self::Text(text.into(), TextType::Uid)
    }

    /// A `[]interface {}`.
    pub(super) fn list(values: Vec<Self>) -> Result<Self> {
        Self::list_of(Element::Any, values)
    }

    /// A slice. Fails where lists would be nested too deeply: whatever walks over them is recursive.
    pub(super) fn list_of(element: Element, values: Vec<Self>) -> Result<Self> {
        let below = values.iter().map(|value| match value {
            Self::List(list) => list.depth,
            _ => 0,
        });
        let depth = 1 + below.max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(Failure::new("lists are nested too deeply"));
        }
        Ok(Self::List(Rc::new(List {
            element,
            values,
            is_nil: false,
            depth,
        })))
    }

    /// A `[]string`.
    pub(super) fn strings<T: Into<Text<'e>>>(texts: impl IntoIterator<Item = T>) -> Self {
        let values = texts.into_iter().map(|text| Self::text(text)).collect();
        Self::List(Rc::new(List {
            element: Element::String,
            values,
            is_nil: false,
            depth: 1,
        }))
    }

    /// The slice that is nothing.
    pub(super) fn nil_list(element: Element) -> Self {
        Self::List(Rc::new(List {
            element,
            values: Vec::new(),
            is_nil: true,
            depth: 1,
        }))
    }

    /// What is behind a pointer; `None` if that is nothing.
    pub(super) fn pointed(&self) -> Option<&Self> {
        match self {
            Self::Pointer(_, target) => target.as_deref(),
            value => Some(value),
        }
    }

    /// Whether it is nothing, of whatever type.
    pub(super) fn is_nil(&self) -> bool {
        match self {
            Self::Missing | Self::Nil | Self::Pointer(_, None) => true,
            Self::List(list) => list.is_nil,
            Self::Strings(strings) => strings.is_nil(),
            _ => false,
        }
    }

    /// What `if` takes it for.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Missing | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value, _) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text, _) => !text.is_empty(),
            Self::List(list) => !list.values.is_empty(),
            Self::Dict(dict) => dict.with(|entries| !entries.is_empty()),
            Self::Strings(strings) => strings.len() > 0,
            Self::Time(..) | Self::Object(_) | Self::Version(_) => true,
            Self::Pointer(_, target) => target.is_some(),
        }
    }

    /// The name of its type, as Go prints it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_, kind) => kind.name(),
            Self::Float(_) => "float64",
            Self::Text(_, TextType::String) => "string",
            Self::Text(_, TextType::Uid) => "types.UID",
            Self::List(list) => list.element.slice_name(),
            Self::Dict(_) => "map[string]interface {}",
            Self::Strings(_) => "map[string]string",
            Self::Time(_, TimeType::Std) => "time.Time",
            Self::Time(_, TimeType::Api) => "v1.Time",
            Self::Time(_, TimeType::Micro) => "v1.MicroTime",
            Self::Object(object) => object.type_name(),
            Self::Pointer(pointee, _) => pointee.pointer_name(),
            Self::Version(_) => "*semver.Version",
        }
    }

    /// What Go's reflection calls what it is made of.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(_, kind) => kind.kind(),
            Self::Float(_) => "float64",
            Self::Text(..) => "string",
            Self::List(_) => "slice",
            Self::Dict(_) | Self::Strings(_) => "map",
            Self::Object(object) if object.is_pointer() => "ptr",
            Self::Pointer(..) | Self::Version(_) => "ptr",
            Self::Time(..) | Self::Object(_) => "struct",
        }
    }
}

// === impl IntType ===

impl IntType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint8 => "uint8",
            Self::Uint64 => "uint64",
            Self::Duration => "time.Duration",
            Self::Month => "time.Month",
            Self::Weekday => "time.Weekday",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Duration => "int64",
            Self::Month | Self::Weekday => "int",
            plain => plain.name(),
        }
    }

    pub(super) fn is_unsigned(self) -> bool {
        matches!(self, Self::Uint8 | Self::Uint64)
    }
}

// === impl Element ===

impl Element {
    fn slice_name(self) -> &'static str {
        match self {
            Self::Any => "[]interface {}",
            Self::Bytes => "[]uint8",
            Self::Int => "[]int",
            Self::Lists => "[][]interface {}",
            Self::ManagedFields => "[]v1.ManagedFieldsEntry",
            Self::Owners => "[]v1.OwnerReference",
            Self::String => "[]string",
        }
    }
}

// === impl Pointee ===

impl Pointee {
    fn pointer_name(self) -> &'static str {
        match self {
            Self::Bool => "*bool",
            Self::Int64 => "*int64",
            Self::ApiTime => "*v1.Time",
            Self::Series => "*v1.EventSeries",
            Self::Reference => "*v1.ObjectReference",
        }
    }
}

// === impl Text ===

impl Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

impl Text<'_> {
    /// As text, with U+FFFD for what is none.
    pub(super) fn lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self)
    }
}

impl<'e> From<&'e str> for Text<'e> {
    fn from(text: &'e str) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

impl<'e> From<&'e [u8]> for Text<'e> {
    fn from(text: &'e [u8]) -> Self {
        Self::Borrowed(text)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Owned(text.into_bytes().into())
    }
}

impl From<Rc<[u8]>> for Text<'_> {
    fn from(text: Rc<[u8]>) -> Self {
        Self::Owned(text)
    }
}

impl From<Vec<u8>> for Text<'_> {
    fn from(text: Vec<u8>) -> Self {
        Self::Owned(text.into())
    }
}

// === impl Dict ===

impl<'e> Dict<'e> {
    /// Only for [`Context::dict`](super::context::Context::dict), which sees to it that a dict that holds itself goes
    /// with its rendering.
    pub(super) fn new(entries: Entries<'e>) -> Self {
        Self(Rc::new(RefCell::new(entries)))
    }

    /// Reads it.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Entries<'e>) -> T) -> T {
        read(&self.0.borrow())
    }

    pub(super) fn len(&self) -> usize {
        self.with(BTreeMap::len)
    }

    /// A value.
    pub(super) fn get(&self, key: &[u8]) -> Option<Value<'e>> {
        self.with(|entries| entries.get(key).cloned())
    }

    /// What is in it now.
    pub(super) fn entries(&self) -> Entries<'e> {
        self.with(Clone::clone)
    }

    pub(super) fn set(&self, key: impl Into<Rc<[u8]>>, value: Value<'e>) {
        // What was there is dropped when nobody has the map in hand.
        let _before = self.0.borrow_mut().insert(key.into(), value);
    }

    pub(super) fn remove(&self, key: &[u8]) {
        let _before = self.0.borrow_mut().remove(key);
    }

    /// Takes everything out of it.
    pub(super) fn clear(&self) {
        let _before = self.0.take();
    }
}

// === impl Strings ===

impl<'e> Strings<'e> {
    pub(super) fn get(&self, key: &[u8]) -> Option<Text<'e>> {
        match self {
            Self::Borrowed(map) => {
                let key = str::from_utf8(key).ok()?;
                map.get(key).map(|value| value.as_str().into())
            }
            Self::Owned(map) => map.get(key).map(|value| value.clone().into()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Borrowed(map) => map.len(),
            Self::Owned(map) => map.len(),
        }
    }

    /// What the API leaves out is no map at all.
    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Borrowed(map) if map.is_empty())
    }

    /// In the order of their keys.
    pub(super) fn entries(&self) -> Vec<(Text<'e>, Text<'e>)> {
        match self {
            Self::Borrowed(map) => map
                .iter()
                .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
                .collect(),
            Self::Owned(map) => map
                .iter()
                .map(|(key, value)| (key.clone().into(), value.clone().into()))
                .collect(),
        }
    }
}
