//! Functions on maps. A dict is changed in place, for all who have it, as Go's maps are.

#![expect(
    clippy::needless_pass_by_value,
    reason = "functions in tables are all of one type"
)]

use std::rc::Rc;

use super::merge::{Merged, Overlap, merge};
use super::{Arguments, Function, Param, fixed, variadic};
use crate::template::context::Context;
use crate::template::failure::{Failure, Result};
use crate::template::print::text_of;
use crate::template::value::{Dict, Entries, MAX_DEPTH, TextType, Value};
use crate::template::version::Version;

const A: Param = Param::Any;
const D: Param = Param::Dict;
const T: Param = Param::Text;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("deepCopy", &[A], deep_copy),
    variadic("dict", &[A], dict),
    variadic("dig", &[A], dig),
    fixed("get", &[D, T], |_, a| {
        let value = a.dict(0).and_then(|dict| dict.get(a.text(1)));
        Ok(value.unwrap_or_else(|| Value::text("")))
    }),
    fixed("hasKey", &[D, T], |_, a| {
        let found = a.dict(0).is_some_and(|dict| dict.get(a.text(1)).is_some());
        Ok(Value::Bool(found))
    }),
    variadic("keys", &[D], keys),
    variadic("merge", &[D, D], |context, a| {
        Ok(merged(context, a, Overlap::Keep)?.unwrap_or_else(|| Value::text("")))
    }),
    variadic("mergeOverwrite", &[D, D], |context, a| {
        Ok(merged(context, a, Overlap::Overwrite)?.unwrap_or_else(|| Value::text("")))
    }),
    fixed("mustDeepCopy", &[A], deep_copy),
    variadic("mustMerge", &[D, D], |context, a| {
        merged(context, a, Overlap::Keep)?.ok_or_else(refused)
    }),
    variadic("mustMergeOverwrite", &[D, D], |context, a| {
        merged(context, a, Overlap::Overwrite)?.ok_or_else(refused)
    }),
    variadic("omit", &[D, T], |context, a| {
        let mut entries = a.dict(0).map(Dict::entries).unwrap_or_default();
        for at in 1..a.0.len() {
            entries.remove(a.text(at));
        }
        Ok(context.dict(entries))
    }),
    variadic("pick", &[D, T], |context, a| {
        let mut entries = Entries::new();
        for at in 1..a.0.len() {
            if let Some(value) = a.dict(0).and_then(|dict| dict.get(a.text(at))) {
                entries.insert(a.text(at).into(), value);
            }
        }
        Ok(context.dict(entries))
    }),
    variadic("pluck", &[T, D], |_, a| {
        let dicts = (1..a.0.len()).filter_map(|at| a.dict(at));
        Value::list(dicts.filter_map(|dict| dict.get(a.text(0))).collect())
    }),
    fixed("set", &[D, T, A], |_, mut a| {
        let value = a.take(2);
        let Some(dict) = a.dict(0) else {
            return Err(Failure::new("there is no map to put anything into"));
        };
        dict.set(a.text(1).to_vec(), value);
        Ok(a.take(0))
    }),
    fixed("unset", &[D, T], |context, mut a| match a.dict(0) {
        Some(dict) => {
            dict.remove(a.text(1));
            Ok(a.take(0))
        }
        None => Ok(context.dict(Entries::new())),
    }),
    fixed("values", &[D], |_, a| {
        let entries = a.dict(0).map(Dict::entries).unwrap_or_default();
        Value::list(entries.into_values().collect())
    }),
];

fn dict<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let mut entries = Entries::new();
    for pair in a.0.chunks(2) {
        let (key, value) = match pair {
            [key, value] => (key, value.clone()),
            [key] => (key, Value::text("")),
            _ => continue,
        };
        entries.insert((*text_of(key, context)?).into(), value);
    }
    Ok(context.dict(entries))
}

/// In order; Go has none.
fn keys<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let mut keys = Vec::new();
    for at in 0..a.0.len() {
        if let Some(dict) = a.dict(at) {
            context.spend(dict.with(Entries::len))?;
            keys.extend(dict.with(|entries| entries.keys().cloned().collect::<Vec<_>>()));
        }
    }
    Ok(Value::strings(keys))
}

/// What is below a path of keys, else the value before the last.
fn dig<'e>(_: &Context<'e>, mut a: Arguments<'e>) -> Result<Value<'e>> {
    let Some(default_at) = a.0.len().checked_sub(2).filter(|&at| at > 0) else {
        return Err(Failure::new("a key, a default and a map are needed"));
    };
    let is_key = |value: &Value<'e>| matches!(value, Value::Text(_, TextType::String));
    if !a.0[..default_at].iter().all(is_key) {
        return Err(Failure::new("keys are strings"));
    }
    let mut value = a.take(default_at + 1);
    for at in 0..default_at {
        let Value::Dict(dict) = &value else {
            return Err(Failure::new(format!(
                "a map is needed, not {}",
                value.type_name()
            )));
        };
        match dict.get(a.text(at)) {
            Some(below) => value = below,
            None => return Ok(a.take(default_at)),
        }
    }
    Ok(value)
}

/// The first dict, with what the others have too; nothing if that is refused.
fn merged<'e>(
    context: &Context<'e>,
    mut a: Arguments<'e>,
    overlap: Overlap,
) -> Result<Option<Value<'e>>> {
    let target = match a.take(0) {
        Value::Dict(dict) => Value::Dict(dict),
        _ => context.dict(Entries::new()),
    };
    if let Value::Dict(dict) = &target {
        for at in 1..a.0.len() {
            if let Some(source) = a.dict(at)
                && merge(dict, source, overlap, context)? == Merged::Refused
            {
                return Ok(None);
            }
        }
    }
    Ok(Some(target))
}

fn refused() -> Failure {
    Failure::new("these maps cannot be merged")
}

fn deep_copy<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    match a.any(0) {
        Value::Missing | Value::Nil => Err(Failure::new("there is nothing to copy")),
        value => copy(value, context, MAX_DEPTH),
    }
}

fn copy<'e>(value: &Value<'e>, context: &Context<'e>, depth: usize) -> Result<Value<'e>> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(Failure::new("the value is nested too deeply to be copied"));
    };
    context.spend_value(value)?;
    Ok(match value {
        Value::List(list) if list.is_nil => value.clone(),
        Value::List(list) => {
            let values = list.values.iter();
            let values: Result<Vec<Value<'e>>> =
                values.map(|value| copy(value, context, deeper)).collect();
            Value::list_of(list.element, values?)?
        }
        Value::Dict(dict) => {
            let mut entries = Entries::new();
            for (key, value) in dict.entries() {
                entries.insert(key, copy(&value, context, deeper)?);
            }
            context.dict(entries)
        }
        // The fields that Go keeps to itself are not copied: all of a version's are.
        Value::Version(_) => Value::Version(Rc::new(Version::default())),
        value => value.clone(),
    })
}
