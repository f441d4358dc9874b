//! Go's `reflect.DeepEqual`: equal values of equal types, all the way down.

use std::rc::Rc;

use crate::template::context::Context;
use crate::template::failure::{Failure, Result};
use crate::template::print;
use crate::template::time::GoTime;
use crate::template::value::{Dict, MAX_DEPTH, Strings, Value};

/// Whether two values are the same for Go. Types count: an `int` never equals an `int64`.
pub(super) fn deep_equal<'e>(
    left: &Value<'e>,
    right: &Value<'e>,
    context: &Context<'e>,
) -> Result<bool> {
    equal(left, right, context, MAX_DEPTH)
}

fn equal<'e>(
    left: &Value<'e>,
    right: &Value<'e>,
    context: &Context<'e>,
    depth: usize,
) -> Result<bool> {
    context.spend(1)?;
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(Failure::new("values are nested too deeply to be compared"));
    };
    Ok(match (left, right) {
        (Value::Missing | Value::Nil, Value::Missing | Value::Nil) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left, left_type), Value::Int(right, right_type)) => {
            (left, left_type) == (right, right_type)
        }
        #[expect(clippy::float_cmp, reason = "as Go compares them")]
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Text(left, left_type), Value::Text(right, right_type)) => {
            context.spend_bytes(left.len().min(right.len()))?;
            left_type == right_type && left[..] == right[..]
        }
        (Value::List(left), Value::List(right)) => {
            if Rc::ptr_eq(left, right) {
                return Ok(true);
            }
            if left.element != right.element
                || left.is_nil != right.is_nil
                || left.values.len() != right.values.len()
            {
                return Ok(false);
            }
            for (left, right) in left.values.iter().zip(&right.values) {
                if !equal(left, right, context, deeper)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Dict(left), Value::Dict(right)) => equal_dicts(left, right, context, deeper)?,
        (Value::Strings(left), Value::Strings(right)) => equal_strings(left, right, context)?,
        (Value::Time(left, left_type), Value::Time(right, right_type)) => {
            left_type == right_type && equal_times(left, right)
        }
        (Value::Pointer(left, left_target), Value::Pointer(right, right_target)) => {
            left == right
                && match (left_target, right_target) {
                    (None, None) => true,
                    (Some(left), Some(right)) => equal(left, right, context, deeper)?,
                    _ => false,
                }
        }
        (Value::Version(left), Value::Version(right)) => left == right,
        // Nothing makes a second object of a kind but the event itself.
        (Value::Object(_), Value::Object(_)) => {
            left.type_name() == right.type_name()
                && print::to_text(left, context)? == print::to_text(right, context)?
        }
        _ => false,
    })
}

fn equal_dicts<'e>(
    left: &Dict<'e>,
    right: &Dict<'e>,
    context: &Context<'e>,
    depth: usize,
) -> Result<bool> {
    if is_same(left, right) {
        return Ok(true);
    }
    let (left, right) = (left.entries(), right.entries());
    if left.len() != right.len() {
        return Ok(false);
    }
    for ((left_key, left), (right_key, right)) in left.iter().zip(&right) {
        if left_key != right_key || !equal(left, right, context, depth)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether both are one.
pub(super) fn is_same(left: &Dict<'_>, right: &Dict<'_>) -> bool {
    let address = |dict: &Dict<'_>| dict.with(|entries| std::ptr::from_ref(entries).addr());
    address(left) == address(right)
}

fn equal_strings(left: &Strings<'_>, right: &Strings<'_>, context: &Context<'_>) -> Result<bool> {
    let (left_entries, right_entries) = (left.entries(), right.entries());
    for (key, value) in &left_entries {
        context.spend_bytes(key.len() + value.len())?;
    }
    let mut pairs = left_entries.iter().zip(&right_entries);
    Ok(left.is_nil() == right.is_nil()
        && left_entries.len() == right_entries.len()
        && pairs.all(|(left, right)| *left.0 == *right.0 && *left.1 == *right.1))
}

/// The same instant in the same zone.
fn equal_times(left: &GoTime, right: &GoTime) -> bool {
    let zone = |time: &GoTime| {
        let mut zone = String::new();
        time.format("-07:00:00 MST", &mut zone);
        zone
    };
    left.order(right).is_eq() && zone(left) == zone(right)
}
