//! Functions that ask what a value is.

use super::equal::deep_equal;
use super::{Function, Param, fixed};
use crate::template::value::Value;

const A: Param = Param::Any;
const T: Param = Param::Text;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("deepEqual", &[A, A], |context, a| {
        deep_equal(a.any(0), a.any(1), context).map(Value::Bool)
    }),
    fixed("kindIs", &[T, A], |_, a| {
        Ok(Value::Bool(a.text(0) == a.any(1).kind().as_bytes()))
    }),
    fixed("kindOf", &[A], |_, a| Ok(Value::text(a.any(0).kind()))),
    fixed("typeIs", &[T, A], |_, a| {
        Ok(Value::Bool(a.text(0) == a.any(1).type_name().as_bytes()))
    }),
    fixed("typeIsLike", &[T, A], |_, a| {
        let name = a.any(1).type_name().as_bytes();
        let pointed = name.strip_prefix(b"*").unwrap_or(name);
        Ok(Value::Bool(a.text(0) == name || a.text(0) == pointed))
    }),
    fixed("typeOf", &[A], |_, a| Ok(Value::text(a.any(0).type_name()))),
];
