//! How values look: what Go's `fmt` (1.26) makes of them.

use super::context::Context;
use super::failure::{Failure, Result};
use super::object::Object;
use super::time::{DAYS, MONTHS, append_duration};
use super::value::{Element, IntType, List, MAX_DEPTH, Pointee, Text, Value};

pub(super) use self::format::sprintf;
pub(super) use self::quote::string as quoted;
use self::verb::Flags;

mod format;
mod quote;
mod verb;

/// Writes values in one way.
pub(super) struct Printer<'p, 'e> {
    context: &'p Context<'e>,
    to: &'p mut Vec<u8>,
    flags: Flags,
    /// A value is shown for what it is, because the verb is none for it.
    is_wrong: bool,
}

/// Appends what an action prints of its value.
pub(super) fn append_action<'e>(
    value: &Value<'e>,
    context: &Context<'e>,
    to: &mut Vec<u8>,
) -> Result<()> {
    let start = to.len();
    match value {
        Value::Missing | Value::Nil => to.extend_from_slice(b"<no value>"),
        Value::Text(text, _) => to.extend_from_slice(text),
        // Unlike a copy of it, something in its place prints itself as its pointer would.
        Value::Object(object) if object.is_reachable() => {
            let text = object.go_string(context)?;
            to.extend_from_slice(&text);
        }
        value => append_value(value, context, to)?,
    }
    context.spend_bytes(to.len() - start)
}

/// Appends a value as `%v` does.
pub(super) fn append_value<'e>(
    value: &Value<'e>,
    context: &Context<'e>,
    to: &mut Vec<u8>,
) -> Result<()> {
    Printer::new(context, to).argument(value, 'v')
}

/// What `%v` prints.
pub(super) fn to_text<'e>(value: &Value<'e>, context: &Context<'e>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    append_value(value, context, &mut text)?;
    Ok(text)
}

/// `print`: with spaces between what is no string.
pub(super) fn sprint<'e>(values: &[Value<'e>], context: &Context<'e>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let is_string = |value: &Value<'_>| matches!(value, Value::Text(..));
    for (at, value) in values.iter().enumerate() {
        if at > 0 && !is_string(value) && !is_string(&values[at - 1]) {
            text.push(b' ');
        }
        append_value(value, context, &mut text)?;
    }
    Ok(text)
}

/// `println`: with spaces between all of them.
pub(super) fn sprintln<'e>(values: &[Value<'e>], context: &Context<'e>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(b' ');
        }
        append_value(value, context, &mut text)?;
    }
    text.push(b'\n');
    Ok(text)
}

// === impl Printer ===

impl<'p, 'e> Printer<'p, 'e> {
    fn new(context: &'p Context<'e>, to: &'p mut Vec<u8>) -> Self {
        Self {
            context,
            to,
            flags: Flags::default(),
            is_wrong: false,
        }
    }

    /// An argument of its own.
    fn argument(&mut self, value: &Value<'e>, verb: char) -> Result<()> {
        match (value, verb) {
            (Value::Missing | Value::Nil, 'v' | 'T') => self.pad(b"<nil>"),
            (Value::Missing | Value::Nil, _) => self.wrong(value, verb),
            (value, 'T') => self.text(value.type_name().as_bytes(), 's'),
            (value, verb) => self.value(value, verb, 0),
        }
    }

    /// A value `depth` levels inside of an argument.
    fn value(&mut self, value: &Value<'e>, verb: char, depth: usize) -> Result<()> {
        self.context.spend(1)?;
        if depth > MAX_DEPTH {
            return Err(self
                .context
                .exceed("a value is nested too deeply, or holds itself"));
        }
        if !self.flags.sharp_v
            && !self.is_wrong
            && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
            && let Some(text) = stringer(value, self.context)?
        {
            return self.text(&text, verb);
        }
        match value {
            Value::Missing | Value::Nil if self.flags.sharp_v => {
                self.write(b"interface {}(nil)");
                Ok(())
            }
            Value::Missing | Value::Nil => {
                self.write(b"<nil>");
                Ok(())
            }
            Value::Bool(value) => match verb {
                't' | 'v' => self.pad(if *value { b"true" } else { b"false" }),
                _ => self.wrong(&Value::Bool(*value), verb),
            },
            Value::Int(number, kind) => self.integer(*number, *kind, verb),
            Value::Float(number) => self.float(*number, verb),
            Value::Text(text, _) => match verb {
                'v' | 's' | 'x' | 'X' | 'q' => self.text(text, verb),
                _ => self.wrong(value, verb),
            },
            Value::List(list) if list.element == Element::Bytes => match verb {
                's' | 'x' | 'X' | 'q' => self.text(&bytes_of(list), verb),
                _ => self.items(value, &list.values, verb, depth),
            },
            Value::List(list) if list.is_nil && self.flags.sharp_v => {
                self.write(value.type_name().as_bytes());
                self.write(b"(nil)");
                Ok(())
            }
            Value::List(list) => self.items(value, &list.values, verb, depth),
            Value::Dict(dict) => {
                let entries = dict.entries().into_iter();
                let entries = entries.map(|(key, value)| (Value::text(key), value));
                self.entries(value, &entries.collect::<Vec<_>>(), verb, depth)
            }
            Value::Strings(strings) if strings.is_nil() && self.flags.sharp_v => {
                self.write(b"map[string]string(nil)");
                Ok(())
            }
            Value::Strings(strings) => {
                let entries = strings.entries().into_iter();
                let entries = entries.map(|(key, value)| (Value::text(key), Value::text(value)));
                self.entries(value, &entries.collect::<Vec<_>>(), verb, depth)
            }
            Value::Object(object) => self.fields(object, verb, depth),
            // Where it points to is nobody's business: what is there.
            Value::Pointer(_, Some(target)) => self.value(target, verb, depth + 1),
            Value::Pointer(_, None) if self.flags.sharp_v => {
                let text = format!("({})(nil)", value.type_name());
                self.write(text.as_bytes());
                Ok(())
            }
            Value::Pointer(_, None) => match verb {
                'v' => self.pad(b"<nil>"),
                'b' | 'o' | 'd' | 'x' | 'X' => self.integer(0, IntType::Uint64, verb),
                _ => self.wrong(value, verb),
            },
            // Only with verbs that are none for them.
            Value::Time(..) | Value::Version(_) => self.wrong_text(value, verb),
        }
    }

    fn fields(&mut self, object: &Object<'e>, verb: char, depth: usize) -> Result<()> {
        if object.is_pointer() {
            self.write(b"&");
        }
        let names = self.flags.plus_v || self.flags.sharp_v;
        let mut fields = Vec::new();
        for name in object.field_names() {
            if let Some(field) = object.field(name)? {
                fields.push((*name, field));
            }
        }
        self.open(object.struct_name(), b"", b"{");
        for (at, (name, field)) in fields.iter().enumerate() {
            self.separate(at);
            if names {
                self.write(name.as_bytes());
                self.write(b":");
            }
            self.value(field, verb, depth + 1)?;
        }
        self.write(b"}");
        Ok(())
    }

    fn items(
        &mut self,
        whole: &Value<'e>,
        items: &[Value<'e>],
        verb: char,
        depth: usize,
    ) -> Result<()> {
        self.open(whole.type_name(), b"[", b"{");
        for (at, item) in items.iter().enumerate() {
            self.separate(at);
            self.value(item, verb, depth + 1)?;
        }
        self.write(if self.flags.sharp_v { b"}" } else { b"]" });
        Ok(())
    }

    fn entries(
        &mut self,
        whole: &Value<'e>,
        entries: &[(Value<'e>, Value<'e>)],
        verb: char,
        depth: usize,
    ) -> Result<()> {
        self.open(whole.type_name(), b"map[", b"{");
        for (at, (key, value)) in entries.iter().enumerate() {
            self.separate(at);
            self.value(key, verb, depth + 1)?;
            self.write(b":");
            self.value(value, verb, depth + 1)?;
        }
        self.write(if self.flags.sharp_v { b"}" } else { b"]" });
        Ok(())
    }

    /// Begins something of several parts: in Go's syntax with its type, else with a bracket, or for structs with a brace.
    fn open(&mut self, name: &str, bracket: &[u8], brace: &[u8]) {
        if self.flags.sharp_v {
            self.write(name.as_bytes());
            self.write(brace);
        } else if bracket.is_empty() {
            self.write(brace);
        } else {
            self.write(bracket);
        }
    }

    fn separate(&mut self, at: usize) {
        if at > 0 {
            self.write(if self.flags.sharp_v { b", " } else { b" " });
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.to.extend_from_slice(bytes);
    }

    /// `%!d(string=…)`
    fn wrong(&mut self, value: &Value<'e>, verb: char) -> Result<()> {
        self.write(format!("%!{verb}(").as_bytes());
        if matches!(value, Value::Missing | Value::Nil) {
            self.write(b"<nil>");
        } else {
            self.write(value.type_name().as_bytes());
            self.write(b"=");
            let before = std::mem::replace(&mut self.is_wrong, true);
            self.value(value, 'v', 0)?;
            self.is_wrong = before;
        }
        self.write(b")");
        Ok(())
    }

    /// The same for what has no other form than its text.
    fn wrong_text(&mut self, value: &Value<'e>, verb: char) -> Result<()> {
        let text = stringer(value, self.context)?.unwrap_or_default();
        if verb != 'v' {
            self.write(format!("%!{verb}({}=", value.type_name()).as_bytes());
        }
        self.write(&text);
        if verb != 'v' {
            self.write(b")");
        }
        Ok(())
    }
}

/// What a value says of itself, if it does.
fn stringer<'e>(value: &Value<'e>, context: &Context<'e>) -> Result<Option<Vec<u8>>> {
    let name = |names: &[&'static str], at: i64| {
        usize::try_from(at)
            .ok()
            .and_then(|at| names.get(at))
            .map(|name| (*name).to_owned())
    };
    let text = match value {
        Value::Int(duration, IntType::Duration) => {
            let mut text = String::new();
            append_duration(*duration, &mut text);
            text
        }
        Value::Int(month, IntType::Month) => {
            name(&MONTHS, month - 1).unwrap_or_else(|| format!("%!Month({month})"))
        }
        Value::Int(day, IntType::Weekday) => {
            name(&DAYS, *day).unwrap_or_else(|| format!("%!Weekday({day})"))
        }
        Value::Time(time, _) => {
            let mut text = String::new();
            time.append(&mut text);
            text
        }
        Value::Version(version) => {
            let mut text = String::new();
            version.append_text(&mut text);
            text
        }
        Value::Pointer(Pointee::Series | Pointee::Reference, None) => "nil".to_owned(),
        Value::Object(object) if object.speaks() => return object.go_string(context).map(Some),
        _ => return Ok(None),
    };
    Ok(Some(text.into_bytes()))
}

/// A text of any value, as sprig has it: a string and bytes as they are, of anything else what `%v` prints.
pub(super) fn text_of<'e>(value: &Value<'e>, context: &Context<'e>) -> Result<Text<'e>> {
    match value {
        Value::Text(text, _) => Ok(text.clone()),
        Value::List(list) if list.element == Element::Bytes => Ok(bytes_of(list).into()),
        // Unlike printing, this does not recover from a panic of Go's.
        Value::Pointer(Pointee::ApiTime, None) => Err(Failure::new("there is no time")),
        value => Ok(to_text(value, context)?.into()),
    }
}

/// What a list of bytes holds.
fn bytes_of(list: &List<'_>) -> Vec<u8> {
    let bytes = list.values.iter().map(|value| match value {
        Value::Int(byte, _) => u8::try_from(*byte & 0xff).unwrap_or(0),
        _ => 0,
    });
    bytes.collect()
}
