//! Functions between strings, lists of strings and anything that can be printed.

use std::rc::Rc;

use memchr::memmem;

use super::{Arguments, Function, Param, fixed, variadic};
use crate::template::context::Context;
use crate::template::failure::{Failure, Result};
use crate::template::print;
use crate::template::print::{quoted, text_of};
use crate::template::runes::{first_rune, rune_count};
use crate::template::value::{Element, Pairs, Strings, Text, Value};

const T: Param = Param::Text;
const I: Param = Param::Int;
const A: Param = Param::Any;

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("cat", &[A], |context, a| {
        joined(context, &a, |value, to| {
            print::append_value(value, context, to)
        })
    }),
    fixed("indent", &[I, T], |context, a| indented(context, &a, b"")),
    fixed("join", &[T, A], |context, a| {
        let texts = texts_of(a.any(1), context)?;
        let size: usize = texts.iter().map(|text| text.len()).sum();
        context.spend_bytes(size.saturating_add(a.text(0).len().saturating_mul(texts.len())))?;
        let texts: Vec<&[u8]> = texts.iter().map(|text| &**text).collect();
        Ok(Value::text(texts.join(a.text(0))))
    }),
    fixed("nindent", &[I, T], |context, a| {
        indented(context, &a, b"\n")
    }),
    variadic("quote", &[A], |context, a| {
        joined(context, &a, |value, to| {
            to.extend_from_slice(quoted(&text_of(value, context)?, false, false).as_bytes());
            Ok(())
        })
    }),
    fixed("sortAlpha", &[A], |context, a| {
        let mut texts = match a.any(0) {
            Value::List(_) => texts_of(a.any(0), context)?,
            value => vec![text_of(value, context)?],
        };
        texts.sort_by(|left, right| left[..].cmp(&right[..]));
        Ok(Value::strings(texts))
    }),
    fixed("split", &[T, T], |context, a| {
        numbered(context, split(a.text(1), a.text(0), -1))
    }),
    fixed("splitList", &[T, T], |context, a| {
        let parts = split(a.text(1), a.text(0), -1);
        context.spend(parts.len())?;
        Ok(Value::strings(parts.into_iter().map(<[u8]>::to_vec)))
    }),
    fixed("splitn", &[T, I, T], |context, a| {
        numbered(context, split(a.text(2), a.text(0), a.int(1)))
    }),
    variadic("squote", &[A], |context, a| {
        joined(context, &a, |value, to| {
            to.push(b'\'');
            print::append_value(value, context, to)?;
            to.push(b'\'');
            Ok(())
        })
    }),
    fixed("toString", &[A], |context, a| {
        text_of(a.any(0), context).map(Value::text)
    }),
    fixed("toStrings", &[A], |context, mut a| match a.any(0) {
        Value::List(list) if list.element == Element::String => Ok(a.take(0)),
        value => texts_of(value, context).map(Value::strings),
    }),
    fixed("wrap", &[I, T], |context, a| {
        wrapped(context, a.text(1), a.int(0), b"", false)
    }),
    fixed("wrapWith", &[I, T, T], |context, a| {
        wrapped(context, a.text(2), a.int(0), a.text(1), true)
    }),
];

/// All that are not nil, with spaces between them.
fn joined<'e>(
    context: &Context<'e>,
    a: &Arguments<'e>,
    append: impl Fn(&Value<'e>, &mut Vec<u8>) -> Result<()>,
) -> Result<Value<'e>> {
    let mut text = Vec::new();
    let values = a.from(0).iter();
    for (at, value) in values
        .filter(|value| !matches!(value, Value::Missing | Value::Nil))
        .enumerate()
    {
        if at > 0 {
            text.push(b' ');
        }
        append(value, &mut text)?;
        context.check_length(text.len())?;
    }
    Ok(Value::text(text))
}

/// The strings of a list without those that are nil; anything else is a list of itself.
pub(super) fn texts_of<'e>(value: &Value<'e>, context: &Context<'e>) -> Result<Vec<Text<'e>>> {
    let is_nil = |value: &Value<'e>| matches!(value, Value::Missing | Value::Nil);
    match value {
        Value::List(list) => {
            context.spend(list.values.len())?;
            let values = list.values.iter().filter(|value| !is_nil(value));
            values.map(|value| text_of(value, context)).collect()
        }
        value if is_nil(value) => Ok(Vec::new()),
        value => Ok(vec![text_of(value, context)?]),
    }
}

/// At most `limit` parts, if that is not negative. Without a separator each character is a part.
fn split<'t>(text: &'t [u8], separator: &[u8], limit: i64) -> Vec<&'t [u8]> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut parts, mut rest) = (Vec::new(), text);
    if limit == 0 {
        return parts;
    }
    if separator.is_empty() {
        let count = rune_count(text).min(limit);
        while parts.len() + 1 < count {
            let (part, after) = rest.split_at(first_rune(rest).1);
            parts.push(part);
            rest = after;
        }
        if count > 0 {
            parts.push(rest);
        }
        return parts;
    }
    let mut done = 0;
    for at in memmem::find_iter(text, separator).take(limit - 1) {
        parts.push(&text[done..at]);
        done = at + separator.len();
    }
    parts.push(&text[done..]);
    parts
}

/// As a map with the keys `_0`, `_1` and so on.
fn numbered<'e>(context: &Context<'e>, parts: Vec<&[u8]>) -> Result<Value<'e>> {
    context.spend(parts.len())?;
    let parts: Pairs = parts
        .into_iter()
        .enumerate()
        .map(|(at, part)| (format!("_{at}").into_bytes().into(), part.into()))
        .collect();
    Ok(Value::Strings(Strings::Owned(Rc::new(parts))))
}

fn indented<'e>(context: &Context<'e>, a: &Arguments<'e>, before: &[u8]) -> Result<Value<'e>> {
    let text = a.text(1);
    let spaces =
        usize::try_from(a.int(0)).map_err(|_| Failure::new("the number of spaces is negative"))?;
    let lines = 1 + memchr::memchr_iter(b'\n', text).count();
    context.spend_bytes(text.len().saturating_add(spaces.saturating_mul(lines)))?;
    let mut indented = before.to_vec();
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if at > 0 {
            indented.push(b'\n');
        }
        indented.resize(indented.len() + spaces, b' ');
        indented.extend_from_slice(line);
    }
    Ok(Value::text(indented))
}

/// In lines of at most `width` bytes, broken at spaces; what is longer is cut only if `cut` says so.
fn wrapped<'e>(
    context: &Context<'e>,
    text: &[u8],
    width: i64,
    line_end: &[u8],
    cut: bool,
) -> Result<Value<'e>> {
    let line_end = if line_end.is_empty() { b"\n" } else { line_end };
    let width = usize::try_from(width).unwrap_or(0).max(1);
    let (mut wrapped, mut rest) = (Vec::with_capacity(text.len()), text);
    while rest.len() > width {
        if let Some(after) = rest.strip_prefix(b" ") {
            rest = after;
            continue;
        }
        let (line, after) = if let Some(at) = memchr::memrchr(b' ', &rest[..=width]) {
            (&rest[..at], &rest[at + 1..])
        } else if cut {
            rest.split_at(width)
        } else {
            match memchr::memchr(b' ', &rest[width..]) {
                Some(at) => (&rest[..width + at], &rest[width + at + 1..]),
                None => break,
            }
        };
        context.spend_bytes(line.len().saturating_add(line_end.len()))?;
        wrapped.extend_from_slice(line);
        wrapped.extend_from_slice(line_end);
        rest = after;
    }
    wrapped.extend_from_slice(rest);
    Ok(Value::text(wrapped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str, separator: &str, limit: i64) -> Vec<String> {
        split(text.as_bytes(), separator.as_bytes(), limit)
            .into_iter()
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect()
    }

    #[test]
    fn splitting_is_as_in_go() {
        assert_eq!(parts("a,b,c", ",", -1), ["a", "b", "c"]);
        assert_eq!(parts("a,b,c", ",", 2), ["a", "b,c"]);
        assert_eq!(parts("a,b,c", ",", 1), ["a,b,c"]);
        assert!(parts("a,b,c", ",", 0).is_empty());
        assert_eq!(parts("", ",", -1), [""]);
        assert!(parts("", "", -1).is_empty());
        assert_eq!(parts("aéb", "", -1), ["a", "é", "b"]);
        assert_eq!(parts("aéb", "", 2), ["a", "éb"]);
        assert_eq!(parts("aaa", "aa", -1), ["", "a"]);
    }
}
