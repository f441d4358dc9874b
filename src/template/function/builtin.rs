//! Functions that Go's templates have of their own, and sprig's for JSON.

#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "functions in tables are all of one type"
)]

use super::super::context::Context;
use super::super::failure::{Failure, Result};
use super::super::value::{IntType, TextType, Value};
use super::super::{json, print};
use super::Param::{Any, Text};
use super::{Arguments, Function, fixed, variadic};

pub(super) const FUNCTIONS: &[Function] = &[
    // The evaluator knows these two: they do not look at all of their arguments.
    variadic("and", &[Any, Any], |_, mut args| Ok(args.take(0))),
    variadic("or", &[Any, Any], |_, mut args| Ok(args.take(0))),
    fixed("not", &[Any], |_, args| {
        Ok(Value::Bool(!args.any(0).is_true()))
    }),
    variadic("call", &[Any, Any], |_, args| {
        let found = args.any(0).type_name();
        Err(Failure::new(format!("a {found} is no function")))
    }),
    variadic("index", &[Any, Any], index),
    fixed("len", &[Any], len),
    variadic("print", &[Any], |context, args| {
        print::sprint(args.from(0), context).map(Value::text)
    }),
    variadic("printf", &[Text, Any], |context, args| {
        print::sprintf(args.text(0), args.from(1), context).map(Value::text)
    }),
    variadic("println", &[Any], |context, args| {
        print::sprintln(args.from(0), context).map(Value::text)
    }),
    fixed("toJson", &[Any], |context, args| {
        or_empty(to_json(context, &args, true))
    }),
    fixed("mustToJson", &[Any], |context, args| {
        to_json(context, &args, true).map(Value::text)
    }),
    fixed("toRawJson", &[Any], |context, args| {
        or_empty(to_json(context, &args, false))
    }),
    fixed("mustToRawJson", &[Any], |context, args| {
        to_json(context, &args, false).map(Value::text)
    }),
    fixed("toPrettyJson", &[Any], |context, args| {
        or_empty(to_pretty_json(context, &args))
    }),
    fixed("mustToPrettyJson", &[Any], |context, args| {
        to_pretty_json(context, &args).map(Value::text)
    }),
    // What is no JSON is nothing, without a word.
    fixed("fromJson", &[Text], |context, args| {
        Ok(json::parse(args.text(0), context).unwrap_or(Value::Nil))
    }),
    fixed("mustFromJson", &[Text], |context, args| {
        json::parse(args.text(0), context)
    }),
];

fn to_json<'e>(context: &Context<'e>, args: &Arguments<'e>, html: bool) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    json::append(args.any(0), html, context, &mut text)?;
    Ok(text)
}

fn to_pretty_json<'e>(context: &Context<'e>, args: &Arguments<'e>) -> Result<Vec<u8>> {
    json::indented(&to_json(context, args, true)?, context)
}

/// sprig gives nothing for what cannot be written. A limit that was reached fails the rendering all the same.
fn or_empty<'e>(text: Result<Vec<u8>>) -> Result<Value<'e>> {
    Ok(Value::text(text.unwrap_or_default()))
}

fn len<'e>(_: &Context<'e>, args: Arguments<'e>) -> Result<Value<'e>> {
    let value = args.any(0);
    let length = match value.pointed() {
        Some(Value::Text(text, _)) => text.len(),
        Some(Value::List(list)) => list.values.len(),
        Some(Value::Dict(dict)) => dict.len(),
        Some(Value::Strings(strings)) => strings.len(),
        _ => {
            let found = value.type_name();
            return Err(Failure::new(format!("a {found} has no length")));
        }
    };
    Ok(Value::count(length))
}

/// `index x 1 "a"` is `x[1]["a"]`.
fn index<'e>(context: &Context<'e>, mut args: Arguments<'e>) -> Result<Value<'e>> {
    let mut item = args.take(0);
    if matches!(item, Value::Missing | Value::Nil) {
        return Err(Failure::new("index of nothing"));
    }
    for index in args.from(1) {
        context.spend(1)?;
        item = match item.pointed() {
            None => return Err(Failure::new("index of a pointer that is nil")),
            Some(Value::Text(text, _)) => {
                let byte = text[position(index, text.len())?];
                Value::Int(byte.into(), IntType::Uint8)
            }
            Some(Value::List(list)) => list.values[position(index, list.values.len())?].clone(),
            Some(Value::Dict(dict)) => dict.get(key(index)?).unwrap_or(Value::Nil),
            Some(Value::Strings(strings)) => {
                Value::text(strings.get(key(index)?).unwrap_or("".into()))
            }
            Some(other) => {
                let found = other.type_name();
                return Err(Failure::new(format!("a {found} has no index")));
            }
        };
    }
    Ok(item)
}

fn position(index: &Value<'_>, length: usize) -> Result<usize> {
    let Value::Int(index, _) = index else {
        let found = index.type_name();
        return Err(Failure::new(format!("a {found} is no index of a list")));
    };
    usize::try_from(*index)
        .ok()
        .filter(|index| *index < length)
        .ok_or_else(|| Failure::new(format!("index out of range: {index}")))
}

fn key<'v>(index: &'v Value<'_>) -> Result<&'v [u8]> {
    match index {
        Value::Text(text, TextType::String) => Ok(text),
        other => {
            let found = other.type_name();
            Err(Failure::new(format!("a {found} is no key of a map")))
        }
    }
}
