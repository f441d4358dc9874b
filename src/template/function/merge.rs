//! Merging maps as sprig does (mergo 0.3.13), with what it does where one map has a map and the other has not.

use std::rc::Rc;

use super::defaults::is_empty;
use super::equal::is_same;
use crate::template::context::Context;
use crate::template::failure::{Failure, Result};
use crate::template::value::{Dict, Entries, MAX_DEPTH, Pairs, Strings, Value};

/// What happens to what both maps have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    /// Only what is empty is replaced.
    Keep,
    Overwrite,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merged {
    Done,
    /// Not to the end: of what mergo says that it cannot be merged, unlike what makes it panic.
    Refused,
}

/// Puts what `source` has into `target`.
pub(super) fn merge<'e>(
    target: &Dict<'e>,
    source: &Dict<'e>,
    overlap: Overlap,
    context: &Context<'e>,
) -> Result<Merged> {
    merge_dicts(target, source, overlap, context, MAX_DEPTH)
}

fn merge_dicts<'e>(
    target: &Dict<'e>,
    source: &Dict<'e>,
    overlap: Overlap,
    context: &Context<'e>,
    depth: usize,
) -> Result<Merged> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(Failure::new("the maps are nested too deeply to be merged"));
    };
    context.spend(1 + source.with(Entries::len))?;
    for (key, value) in source.entries() {
        let before = target.get(&key);
        if matches!(value, Value::Nil | Value::Missing) {
            if overlap == Overlap::Overwrite {
                target.set(key, value);
            }
            continue;
        }
        match merge_below(before.as_ref(), &value, overlap, context, deeper)? {
            Below::Nothing => {}
            Below::Refused => return Ok(Merged::Refused),
            Below::Instead(merged) => target.set(key.clone(), merged),
        }
        let is_set = before.as_ref().is_some_and(|before| !is_zero(before));
        let is_list = matches!(value, Value::List(_));
        // A map is merged already, and never replaces anything else that is set.
        let keeps = match overlap {
            Overlap::Overwrite => is_set && is_map(&value),
            Overlap::Keep => is_set,
        };
        if !keeps || overlap == Overlap::Overwrite && is_list {
            target.set(key, value);
        }
    }
    Ok(Merged::Done)
}

/// What is to be where something was before.
enum Below<'e> {
    /// Nothing else.
    Nothing,
    Refused,
    Instead(Value<'e>),
}

/// Merges a map into what was at its key.
fn merge_below<'e>(
    before: Option<&Value<'e>>,
    value: &Value<'e>,
    overlap: Overlap,
    context: &Context<'e>,
    depth: usize,
) -> Result<Below<'e>> {
    let Some(before) = before else {
        return Ok(Below::Nothing);
    };
    match (before, value) {
        (Value::Strings(nothing), value) if nothing.is_nil() && is_struct(value) => {
            return Err(Failure::new("a map cannot be merged with what is none"));
        }
        // What is nothing is replaced, and merged with nothing.
        (Value::Strings(nothing), _) | (_, Value::Strings(nothing)) if nothing.is_nil() => {}
        (Value::Dict(before), Value::Dict(value)) if is_same(before, value) => {}
        (Value::Dict(before), Value::Dict(value)) => {
            let merged = merge_dicts(before, value, overlap, context, depth)?;
            if merged == Merged::Refused {
                return Ok(Below::Refused);
            }
        }
        (Value::Dict(before), Value::Strings(value)) => {
            context.spend(value.len())?;
            for (key, text) in value.entries() {
                let is_set = before.get(&key).is_some_and(|before| !is_zero(&before));
                if overlap == Overlap::Overwrite || !is_set {
                    before.set(key.to_vec(), Value::text(text));
                }
            }
        }
        (Value::Strings(before), Value::Strings(value)) => {
            context.spend(before.len() + value.len())?;
            return Ok(Below::Instead(merged_strings(before, value, overlap)));
        }
        (Value::Strings(before), Value::Dict(value)) => {
            let would_set = |(key, value): (&Rc<[u8]>, &Value<'e>)| {
                let is_nil = matches!(value, Value::Nil | Value::Missing);
                let is_set = before.get(key).is_some_and(|text| !text.is_empty());
                overlap == Overlap::Overwrite || !is_nil && !is_set
            };
            if value.with(|entries| entries.iter().any(would_set)) {
                return Err(Failure::new("maps of different types cannot be merged"));
            }
        }
        (Value::Dict(_) | Value::Strings(_), value)
            if overlap == Overlap::Overwrite && (is_struct(value) || is_pointer(value)) =>
        {
            return Err(Failure::new("a map cannot be merged with what is none"));
        }
        (before, value)
            if overlap == Overlap::Keep
                && is_pointer(before)
                && !before.is_nil()
                && (is_map(value) || is_struct(value)) =>
        {
            return Ok(Below::Refused);
        }
        _ => {}
    }
    Ok(Below::Nothing)
}

fn merged_strings<'e>(before: &Strings<'_>, value: &Strings<'_>, overlap: Overlap) -> Value<'e> {
    let mut merged = Pairs::new();
    for (key, text) in before.entries() {
        merged.insert((*key).into(), (*text).into());
    }
    for (key, text) in value.entries() {
        let is_set = merged.get(&*key).is_some_and(|text| !text.is_empty());
        if overlap == Overlap::Overwrite || !is_set {
            merged.insert((*key).into(), (*text).into());
        }
    }
    Value::Strings(Strings::Owned(Rc::new(merged)))
}

fn is_map(value: &Value<'_>) -> bool {
    matches!(value, Value::Dict(_) | Value::Strings(_))
}

fn is_struct(value: &Value<'_>) -> bool {
    match value {
        Value::Time(..) => true,
        Value::Object(object) => !object.is_pointer(),
        _ => false,
    }
}

fn is_pointer(value: &Value<'_>) -> bool {
    match value {
        Value::Pointer(..) | Value::Version(_) => true,
        Value::Object(object) => object.is_pointer(),
        _ => false,
    }
}

/// A pointer is what it points to here.
fn is_zero(value: &Value<'_>) -> bool {
    value.pointed().is_none_or(is_empty)
}
