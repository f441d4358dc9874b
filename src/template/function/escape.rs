//! `html`, `js` and `urlquery`: texts for other places.

use super::super::context::Context;
use super::super::failure::Result;
use super::super::print;
use super::super::runes::is_printable;
use super::super::value::{Text, TextType, Value};
use super::Param::Any;
use super::{Arguments, Function, variadic};

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("html", &[Any], |context, args| {
        escaped(context, &args, |c, to| match c {
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '&' => to.push_str("&amp;"),
            '"' => to.push_str("&#34;"),
            '\'' => to.push_str("&#39;"),
            '\0' => to.push('\u{fffd}'),
            c => to.push(c),
        })
    }),
    variadic("js", &[Any], |context, args| {
        escaped(context, &args, |c, to| match c {
            '\\' => to.push_str("\\\\"),
            '\'' => to.push_str("\\'"),
            '"' => to.push_str("\\\""),
            '<' | '>' | '&' | '=' => to.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c < ' ' => to.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_ascii() || is_printable(c) => to.push(c),
            c => to.push_str(&format!("\\u{:04X}", u32::from(c))),
        })
    }),
    variadic("urlquery", &[Any], |context, args| {
        let text = joined(context, &args)?;
        let mut query = String::with_capacity(text.len());
        for &byte in &*text {
            match byte {
                b' ' => query.push('+'),
                b'-' | b'_' | b'.' | b'~' => query.push(byte.into()),
                byte if byte.is_ascii_alphanumeric() => query.push(byte.into()),
                byte => query.push_str(&format!("%{byte:02X}")),
            }
        }
        Ok(Value::text(query))
    }),
];

/// Writes every character in its own way. Bytes that are no text stay as they are.
fn escaped<'e>(
    context: &Context<'e>,
    args: &Arguments<'e>,
    escape: fn(char, &mut String),
) -> Result<Value<'e>> {
    let text = joined(context, args)?;
    let mut to = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        let mut escaped = String::with_capacity(chunk.valid().len());
        chunk.valid().chars().for_each(|c| escape(c, &mut escaped));
        to.extend_from_slice(escaped.as_bytes());
        to.extend_from_slice(chunk.invalid());
    }
    Ok(Value::text(to))
}

/// A single string as it is; anything else as `print` joins it, but with the words of actions for what is not there.
fn joined<'e>(context: &Context<'e>, args: &Arguments<'e>) -> Result<Text<'e>> {
    if let [Value::Text(text, TextType::String)] = args.from(0) {
        return Ok(text.clone());
    }
    let shown = args.from(0).iter().map(|value| match value.pointed() {
        Some(Value::Missing | Value::Nil) => Value::text("<no value>"),
        Some(pointed) => pointed.clone(),
        None => value.clone(),
    });
    print::sprint(&shown.collect::<Vec<_>>(), context).map(Text::from)
}
