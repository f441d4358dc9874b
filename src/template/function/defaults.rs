//! Functions that choose between values.

use super::{Function, Param, fixed, variadic};
use crate::template::failure::Failure;
use crate::template::value::Value;

const A: Param = Param::Any;

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("all", &[A], |_, a| {
        Ok(Value::Bool(!a.from(0).iter().any(is_empty)))
    }),
    variadic("any", &[A], |_, a| {
        Ok(Value::Bool(!a.from(0).iter().all(is_empty)))
    }),
    variadic("coalesce", &[A], |_, a| {
        let mut values = a.0.into_iter();
        Ok(values.find(|value| !is_empty(value)).unwrap_or(Value::Nil))
    }),
    variadic("default", &[A, A], |_, mut a| {
        let at = usize::from(!is_empty(a.any(1)));
        Ok(a.take(at))
    }),
    fixed("empty", &[A], |_, a| Ok(Value::Bool(is_empty(a.any(0))))),
    fixed("fail", &[Param::Text], |_, a| {
        Err(Failure::new(a.lossy(0).into_owned()))
    }),
    fixed("ternary", &[A, A, Param::Bool], |_, mut a| {
        let at = usize::from(!a.bool(2));
        Ok(a.take(at))
    }),
];

/// What sprig takes for not set: nothing, zero, false, or without elements. Structs are always set.
pub(super) fn is_empty(value: &Value<'_>) -> bool {
    !value.is_true()
}
