//! Functions on lists.

#![expect(
    clippy::needless_pass_by_value,
    reason = "functions in tables are all of one type"
)]

use std::rc::Rc;

use super::cast::to_int64;
use super::defaults::is_empty;
use super::equal::deep_equal;
use super::{Arguments, Function, Param, fixed, variadic};
use crate::template::context::Context;
use crate::template::failure::{Failure, Result};
use crate::template::value::{Element, List, Value};

const A: Param = Param::Any;
const I: Param = Param::Int;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("append", &[A, A], append),
    fixed("chunk", &[I, A], chunk),
    fixed("compact", &[A], compact),
    variadic("concat", &[A], concat),
    fixed("first", &[A], first),
    fixed("has", &[A, A], has),
    fixed("initial", &[A], initial),
    fixed("last", &[A], last),
    variadic("list", &[A], |_, a| Value::list(a.0)),
    fixed("mustAppend", &[A, A], append),
    fixed("mustChunk", &[I, A], chunk),
    fixed("mustCompact", &[A], compact),
    fixed("mustFirst", &[A], first),
    fixed("mustHas", &[A, A], has),
    fixed("mustInitial", &[A], initial),
    fixed("mustLast", &[A], last),
    fixed("mustPrepend", &[A, A], prepend),
    fixed("mustPush", &[A, A], append),
    fixed("mustRest", &[A], rest),
    fixed("mustReverse", &[A], reverse),
    variadic("mustSlice", &[A, A], slice),
    fixed("mustUniq", &[A], uniq),
    variadic("mustWithout", &[A, A], without),
    fixed("prepend", &[A, A], prepend),
    fixed("push", &[A, A], append),
    fixed("rest", &[A], rest),
    fixed("reverse", &[A], reverse),
    variadic("slice", &[A, A], slice),
    variadic("tuple", &[A], |_, a| Value::list(a.0)),
    fixed("uniq", &[A], uniq),
    variadic("without", &[A, A], without),
];

fn list<'a, 'e>(value: &'a Value<'e>) -> Result<&'a Rc<List<'e>>> {
    match value {
        Value::List(list) => Ok(list),
        value => Err(Failure::new(format!(
            "a list is needed, not {}",
            value.type_name()
        ))),
    }
}

fn append<'e>(_: &Context<'e>, mut a: Arguments<'e>) -> Result<Value<'e>> {
    let mut values = list(a.any(0))?.values.clone();
    values.push(a.take(1));
    Value::list(values)
}

fn prepend<'e>(_: &Context<'e>, mut a: Arguments<'e>) -> Result<Value<'e>> {
    let value = a.take(1);
    let list = list(a.any(0))?;
    let values = std::iter::once(value).chain(list.values.iter().cloned());
    Value::list(values.collect())
}

/// Lists of `size`, counted as sprig does: with floats, so that sizes below zero may give something too.
fn chunk<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let list = list(a.any(1))?;
    let size = a.int(0);
    let wrong = || Failure::new("there are no lists of this size");
    let length = i64::try_from(list.values.len()).unwrap_or(i64::MAX);
    if size == 0 {
        return Err(wrong());
    }
    let (quotient, remainder) = ((length - 1) / size, (length - 1) % size);
    let is_below = remainder != 0 && (remainder < 0) != (size < 0);
    let count = quotient - i64::from(is_below) + 1;
    let count = usize::try_from(count).map_err(|_| wrong())?;
    let over = length % size;
    let mut chunks = Vec::new();
    for at in 0..count {
        let is_last = at + 1 == count;
        let length = if is_last && over != 0 { over } else { size };
        let length = usize::try_from(length).map_err(|_| wrong())?;
        let start = at.saturating_mul(usize::try_from(size).unwrap_or(0));
        let values = list
            .values
            .get(start..start.saturating_add(length))
            .ok_or_else(wrong)?;
        chunks.push(Value::list(values.to_vec())?);
    }
    Value::list_of(Element::Lists, chunks)
}

fn compact<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let mut values = Vec::new();
    for value in &list(a.any(0))?.values {
        if !is_empty(value) {
            values.push(value.clone());
        }
    }
    Value::list(values)
}

fn concat<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let mut values = Vec::new();
    for value in a.from(0) {
        let list = list(value)?;
        context.spend(list.values.len())?;
        values.extend(list.values.iter().cloned());
    }
    if values.is_empty() {
        return Ok(Value::nil_list(Element::Any));
    }
    Value::list(values)
}

fn first<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    Ok(copied(list(a.any(0))?.values.first()))
}

fn last<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    Ok(copied(list(a.any(0))?.values.last()))
}

/// What a function gives out of a list is a copy.
fn copied<'e>(value: Option<&Value<'e>>) -> Value<'e> {
    match value {
        Some(Value::Object(object)) => Value::Object(object.passed()),
        Some(value) => value.clone(),
        None => Value::Nil,
    }
}

fn rest<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    match list(a.any(0))?.values.as_slice() {
        [] => Ok(Value::nil_list(Element::Any)),
        [_, rest @ ..] => Value::list(rest.to_vec()),
    }
}

fn initial<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    match list(a.any(0))?.values.as_slice() {
        [] => Ok(Value::nil_list(Element::Any)),
        [initial @ .., _] => Value::list(initial.to_vec()),
    }
}

fn reverse<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let values = list(a.any(0))?.values.iter().rev().cloned();
    Value::list(values.collect())
}

fn has<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    if matches!(a.any(1), Value::Missing | Value::Nil) {
        return Ok(Value::Bool(false));
    }
    let values = &list(a.any(1))?.values;
    is_among(a.any(0), values, context).map(Value::Bool)
}

fn is_among<'e>(value: &Value<'e>, values: &[Value<'e>], context: &Context<'e>) -> Result<bool> {
    for other in values {
        if deep_equal(value, other, context)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uniq<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let mut found: Vec<Value<'e>> = Vec::new();
    for value in &list(a.any(0))?.values {
        if !is_among(value, &found, context)? {
            found.push(value.clone());
        }
    }
    Value::list(found)
}

fn without<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let mut left = Vec::new();
    for value in &list(a.any(0))?.values {
        if !is_among(value, a.from(1), context)? {
            left.push(value.clone());
        }
    }
    Value::list(left)
}

fn slice<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let list = list(a.any(0))?;
    if list.values.is_empty() {
        return Ok(Value::Nil);
    }
    let bound = |at: usize, otherwise: usize| match a.0.get(at) {
        None => Some(otherwise),
        Some(value) => usize::try_from(to_int64(value)).ok(),
    };
    let values = bound(1, 0)
        .zip(bound(2, list.values.len()))
        .and_then(|(start, end)| list.values.get(start..end))
        .ok_or_else(|| Failure::new("the list has nothing between these positions"))?;
    Value::list_of(list.element, values.to_vec())
}
