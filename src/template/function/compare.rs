//! `eq`, `lt` and the like: only what is of one kind compares.

use std::cmp::Ordering;

use super::super::context::Context;
use super::super::failure::{Failure, Result};
use super::super::value::{IntType, Value};
use super::Param::Any;
use super::{Arguments, Function, fixed, variadic};

pub(super) const FUNCTIONS: &[Function] = &[
    // The first against any of the others.
    variadic("eq", &[Any, Any], |_, args| {
        if args.from(1).is_empty() {
            return Err(Failure::new("there is nothing to compare with"));
        }
        for other in args.from(1) {
            if equal(args.any(0), other)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
    fixed("ne", &[Any, Any], |_, args| {
        equal(args.any(0), args.any(1)).map(|equal| Value::Bool(!equal))
    }),
    fixed("lt", &[Any, Any], |context, args| {
        compared(context, &args, Ordering::is_lt)
    }),
    fixed("le", &[Any, Any], |context, args| {
        compared(context, &args, Ordering::is_le)
    }),
    fixed("gt", &[Any, Any], |context, args| {
        compared(context, &args, Ordering::is_gt)
    }),
    fixed("ge", &[Any, Any], |context, args| {
        compared(context, &args, Ordering::is_ge)
    }),
];

/// Whether two values of one kind are equal, or both are nothing.
fn equal<'e>(a: &Value<'e>, b: &Value<'e>) -> Result<bool> {
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a, of_a), Value::Int(b, of_b)) => wide(*a, *of_a) == wide(*b, *of_b),
        #[expect(clippy::float_cmp, reason = "Go's comparison")]
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Text(a, _), Value::Text(b, _)) => **a == **b,
        (Value::Missing | Value::Nil, Value::Missing | Value::Nil) => true,
        // Nothing equals what is nothing of its type, and nothing else.
        (Value::Missing | Value::Nil, other) | (other, Value::Missing | Value::Nil) => {
            other.is_nil()
        }
        (a, b) if a.is_basic() || b.is_basic() || a.kind() != b.kind() => {
            return Err(incomparable(a, b));
        }
        (a, b) if a.is_nil() || b.is_nil() => a.is_nil() && b.is_nil(),
        (Value::Time(a, of_a), Value::Time(b, of_b)) if of_a == of_b => a.is_same(b),
        (Value::Object(a), Value::Object(b)) => match a.equals(b) {
            Some(equal) => equal,
            None => return Err(incomparable(&Value::Object(*a), &Value::Object(*b))),
        },
        (Value::Version(a), Value::Version(b)) => std::rc::Rc::ptr_eq(a, b),
        (Value::Pointer(..), Value::Pointer(..)) | (Value::Time(..), Value::Time(..)) => false,
        (a, b) => return Err(incomparable(a, b)),
    })
}

fn compared<'e>(
    _: &Context<'e>,
    args: &Arguments<'e>,
    wanted: fn(Ordering) -> bool,
) -> Result<Value<'e>> {
    let order = match (args.any(0), args.any(1)) {
        (Value::Int(a, of_a), Value::Int(b, of_b)) => wide(*a, *of_a).partial_cmp(&wide(*b, *of_b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Text(a, _), Value::Text(b, _)) => (**a).partial_cmp(&**b),
        (a, b) => return Err(incomparable(a, b)),
    };
    // What is no number is neither more nor less.
    Ok(Value::Bool(order.is_some_and(wanted)))
}

fn incomparable<'e>(a: &Value<'e>, b: &Value<'e>) -> Failure {
    let (a, b) = (a.type_name(), b.type_name());
    Failure::suspect(format!("a {a} and a {b} can't be compared"))
}

fn wide(value: i64, kind: IntType) -> i128 {
    if kind.is_unsigned() {
        value.cast_unsigned().into()
    } else {
        value.into()
    }
}

// === impl Value ===

impl Value<'_> {
    /// Whether there is an order to values of its kind, or they are truths.
    fn is_basic(&self) -> bool {
        matches!(
            self,
            Self::Bool(_) | Self::Int(..) | Self::Float(_) | Self::Text(..)
        )
    }
}
