//! What may stand for a parameter.

use super::super::failure::{Failure, Result};
use super::super::literal::Number;
use super::super::value::{IntType, Pointee, TextType, TimeType, Value};
use super::{Function, Param};

/// A constant of its own type.
pub(in super::super) fn constant<'e>(number: Number) -> Result<Value<'e>> {
    match number.int {
        _ if number.is_float => Ok(Value::Float(number.float)),
        Some(int) => Ok(Value::int(int)),
        None => Err(Failure::new("a constant is too large").certain()),
    }
}

/// The value as a function takes it.
pub(in super::super) fn checked(value: Value<'_>, param: Param) -> Result<Value<'_>> {
    let fits = match (param, &value) {
        (Param::Any, Value::Missing) => return Ok(Value::Nil),
        // A struct is handed over as a copy, and has lost its place.
        (Param::Any, Value::Object(object)) => return Ok(Value::Object(object.passed())),
        // The map, or the pointer, that is nothing.
        (Param::Dict | Param::ApiTime | Param::MicroTime | Param::Version, value)
            if value.is_nil() =>
        {
            matches!(value, Value::Missing | Value::Nil)
        }
        (Param::Bool, Value::Pointer(Pointee::Bool, Some(target))) => return Ok((**target).clone()),
        (Param::ApiTime, Value::Pointer(Pointee::ApiTime, Some(target))) => {
            return Ok((**target).clone());
        }
        (Param::Any, _)
        | (Param::Bool, Value::Bool(_))
        | (Param::Dict, Value::Dict(_))
        | (Param::Duration, Value::Int(_, IntType::Duration))
        | (Param::Float, Value::Float(_))
        | (Param::Int, Value::Int(_, IntType::Int))
        | (Param::Text, Value::Text(_, TextType::String))
        | (Param::Time, Value::Time(_, TimeType::Std))
        | (Param::ApiTime, Value::Time(_, TimeType::Api))
        | (Param::MicroTime, Value::Time(_, TimeType::Micro))
        | (Param::Version, Value::Version(_)) => true,
        _ => false,
    };
    if fits {
        return Ok(value);
    }
    let found = match &value {
        Value::Missing | Value::Nil => "nothing",
        value => value.type_name(),
    };
    Err(Failure::new(format!(
        "expected {}, found {found}",
        param.name()
    )))
}

// === impl Function ===

impl Function {
    /// The parameter that an argument is for.
    pub(in super::super) fn param(&self, at: usize) -> Param {
        self.params
            .get(at)
            .or(self.params.last())
            .copied()
            .unwrap_or(Param::Any)
    }

    pub(in super::super) fn check_count(&self, given: usize) -> Result<()> {
        let declared = self.params.len();
        let (least, most) = if self.is_variadic {
            (declared - 1, usize::MAX)
        } else {
            (declared, declared)
        };
        if (least..=most).contains(&given) {
            return Ok(());
        }
        let at_least = if self.is_variadic { "at least " } else { "" };
        let message = format!(
            "`{}` takes {at_least}{least} arguments, not {given}",
            self.name
        );
        Err(Failure::new(message).certain())
    }
}
