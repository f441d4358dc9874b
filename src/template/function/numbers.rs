//! Functions on numbers.

#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "functions in tables are all of one type"
)]

use super::cast::{to_float, to_int64};
use super::decimal::Decimal;
use super::{Arguments, Function, Param, fixed, variadic};
use crate::template::context::Context;
use crate::template::failure::{Failure, Result};
use crate::template::value::{Element, Value};

const A: Param = Param::Any;
const I: Param = Param::Int;

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("add", &[A], |_, a| {
        let sum = ints(&a, 0).fold(0, i64::wrapping_add);
        Ok(Value::int64(sum))
    }),
    fixed("add1", &[A], |_, a| {
        Ok(Value::int64(to_int64(a.any(0)).wrapping_add(1)))
    }),
    fixed("add1f", &[A], |context, a| {
        let sum = decimal(&a, 0)?.plus(&Decimal::from_float(1.0)?, context)?;
        Ok(Value::Float(sum.to_float()))
    }),
    variadic("addf", &[A], |context, a| {
        let zero = Decimal::from_float(0.0)?;
        fold(&a, 0, zero, |sum, next| sum.plus(next, context))
    }),
    variadic("biggest", &[A, A], max),
    fixed("ceil", &[A], |_, a| {
        Ok(Value::Float(to_float(a.any(0)).ceil()))
    }),
    fixed("div", &[A, A], |_, a| {
        let (left, right) = divisible(&a)?;
        Ok(Value::int64(left.wrapping_div(right)))
    }),
    variadic("divf", &[A, A], |context, a| {
        fold(&a, 1, decimal(&a, 0)?, |quotient, next| {
            quotient.divided_by(next, context)
        })
    }),
    fixed("floor", &[A], |_, a| {
        Ok(Value::Float(to_float(a.any(0)).floor()))
    }),
    variadic("max", &[A, A], max),
    variadic("maxf", &[A, A], |_, a| {
        Ok(Value::Float(floats(&a).fold(to_float(a.any(0)), max_float)))
    }),
    variadic("min", &[A, A], |_, a| {
        let least = ints(&a, 1).fold(to_int64(a.any(0)), i64::min);
        Ok(Value::int64(least))
    }),
    variadic("minf", &[A, A], |_, a| {
        let least = floats(&a).fold(to_float(a.any(0)), |left, right| -max_float(-left, -right));
        Ok(Value::Float(least))
    }),
    fixed("mod", &[A, A], |_, a| {
        let (left, right) = divisible(&a)?;
        Ok(Value::int64(left.wrapping_rem(right)))
    }),
    variadic("mul", &[A, A], |_, a| {
        let product = ints(&a, 0).fold(1, i64::wrapping_mul);
        Ok(Value::int64(product))
    }),
    variadic("mulf", &[A, A], |context, a| {
        fold(&a, 1, decimal(&a, 0)?, |product, next| {
            product.times(next, context)
        })
    }),
    variadic("round", &[A, I, Param::Float], |_, a| {
        let half = if a.0.len() > 2 { a.float(2) } else { 0.5 };
        Ok(Value::Float(rounded(to_float(a.any(0)), a.int(1), half)))
    }),
    variadic("seq", &[I], seq),
    fixed("sub", &[A, A], |_, a| {
        let (left, right) = (to_int64(a.any(0)), to_int64(a.any(1)));
        Ok(Value::int64(left.wrapping_sub(right)))
    }),
    variadic("subf", &[A, A], |context, a| {
        fold(&a, 1, decimal(&a, 0)?, |rest, next| {
            rest.minus(next, context)
        })
    }),
    fixed("until", &[I], |context, a| {
        let end = a.int(0);
        int_list(steps(context, 0, end, if end < 0 { -1 } else { 1 })?)
    }),
    fixed("untilStep", &[I, I, I], |context, a| {
        int_list(steps(context, a.int(0), a.int(1), a.int(2))?)
    }),
];

fn ints(a: &Arguments<'_>, from: usize) -> impl Iterator<Item = i64> {
    a.from(from).iter().map(to_int64)
}

/// Those after the first.
fn floats(a: &Arguments<'_>) -> impl Iterator<Item = f64> {
    a.from(1).iter().map(to_float)
}

fn max<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let largest = ints(&a, 1).fold(to_int64(a.any(0)), i64::max);
    Ok(Value::int64(largest))
}

/// Infinity before what is no number, that before all else, and zero before the zero below it.
fn max_float(left: f64, right: f64) -> f64 {
    if left == f64::INFINITY || right == f64::INFINITY {
        f64::INFINITY
    } else if left.is_nan() || right.is_nan() {
        f64::NAN
    } else if left == 0.0 && right == 0.0 {
        if left.is_sign_negative() { right } else { left }
    } else {
        left.max(right)
    }
}

fn divisible(a: &Arguments<'_>) -> Result<(i64, i64)> {
    match (to_int64(a.any(0)), to_int64(a.any(1))) {
        (_, 0) => Err(Failure::new("division by zero")),
        numbers => Ok(numbers),
    }
}

fn decimal(a: &Arguments<'_>, at: usize) -> Result<Decimal> {
    Decimal::from_float(to_float(a.any(at)))
}

fn fold<'e>(
    a: &Arguments<'e>,
    from: usize,
    first: Decimal,
    step: impl Fn(&Decimal, &Decimal) -> Result<Decimal>,
) -> Result<Value<'e>> {
    let mut result = first;
    for value in a.from(from) {
        result = step(&result, &Decimal::from_float(to_float(value))?)?;
    }
    Ok(Value::Float(result.to_float()))
}

/// To so many digits after the point; up from a fraction of `half` on.
fn rounded(value: f64, places: i64, half: f64) -> f64 {
    let power = power_of_ten(places);
    let shifted = power * value;
    let fraction = if shifted.is_finite() {
        shifted.fract()
    } else {
        f64::NAN
    };
    let whole = if fraction >= half {
        shifted.ceil()
    } else {
        shifted.floor()
    };
    whole / power
}

/// As Go's `math.Pow`, which multiplies mantissas, and is off by the last bit where that is.
fn power_of_ten(exponent: i64) -> f64 {
    if exponent == 1 {
        return 10.0;
    }
    // 10 is 0.625 times 2 to the power of 4.
    let (mut result, mut power) = (1.0_f64, 0_i64);
    let (mut factor, mut factor_power) = (0.625_f64, 4_i64);
    let mut bits = exponent.unsigned_abs();
    while bits != 0 {
        if factor_power > 1 << 12 {
            power += factor_power;
            break;
        }
        if bits & 1 == 1 {
            result *= factor;
            power += factor_power;
        }
        factor *= factor;
        factor_power *= 2;
        if factor < 0.5 {
            factor += factor;
            factor_power -= 1;
        }
        bits >>= 1;
    }
    if exponent < 0 {
        result = 1.0 / result;
        power = -power;
    }
    times_power_of_two(result, power)
}

/// Rounded once, even where the result is too small for all its bits.
fn times_power_of_two(value: f64, power: i64) -> f64 {
    let mut value = value;
    let mut power = power.clamp(-2200, 2200);
    while power > 0 {
        value *= 2.0;
        power -= 1;
    }
    // In one step from where nothing is lost yet.
    let far = (-power - 900).max(0);
    for _ in 0..(-power).min(900) {
        value /= 2.0;
    }
    match i32::try_from(far) {
        Ok(0) => value,
        Ok(far) if far < 1000 => value * 2.0_f64.powi(-far),
        _ => 0.0,
    }
}

/// From `start` until before `end`; nothing where the step leads away from it. A step too far begins again at the other
/// end of the numbers, as in Go.
fn steps(context: &Context<'_>, start: i64, end: i64, step: i64) -> Result<Vec<i64>> {
    let mut values = Vec::new();
    if step == 0 || (end < start) != (step < 0) {
        return Ok(values);
    }
    let mut value = start;
    while if step < 0 { value > end } else { value < end } {
        context.spend(1)?;
        values.push(value);
        value = value.wrapping_add(step);
    }
    Ok(values)
}

fn int_list<'e>(values: Vec<i64>) -> Result<Value<'e>> {
    let values = values.into_iter().map(Value::int);
    Value::list_of(Element::Int, values.collect())
}

/// As a shell's: the end counts.
fn seq<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let (start, step, end) = match a.0.len() {
        1 => (1, None, a.int(0)),
        2 => (a.int(0), None, a.int(1)),
        3 => (a.int(0), Some(a.int(1)), a.int(2)),
        _ => return Ok(Value::text("")),
    };
    let one = if end < start { -1 } else { 1 };
    if end < start && step.is_some_and(|step| step > 0) {
        return Ok(Value::text(""));
    }
    let values = steps(context, start, end.wrapping_add(one), step.unwrap_or(one))?;
    let texts: Vec<String> = values.iter().map(i64::to_string).collect();
    Ok(Value::text(texts.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_go() {
        for (exponent, expected) in [
            (0, 1.0),
            (1, 10.0),
            (2, 100.0),
            (22, 1e22),
            (-1, 0.1),
            (-3, 0.001),
            (308, 1e308),
            (309, f64::INFINITY),
            (i64::MAX, f64::INFINITY),
            (i64::MIN, 0.0),
            (-400, 0.0),
        ] {
            let found = power_of_ten(exponent);
            let is_near = (found / expected - 1.0).abs() < 1e-15;
            assert!(
                is_near || found.to_bits() == expected.to_bits(),
                "{exponent}: {found}"
            );
        }
    }

    #[test]
    fn rounding_goes_up_from_the_fraction_that_is_asked_for() {
        for (value, places, half, expected) in [
            (123.5555, 3, 0.5, 123.556),
            (123.5555, 0, 0.5, 124.0),
            (-1.5, 0, 0.5, -2.0),
            (123.456, -1, 0.5, 120.0),
            (2.4, 0, 0.3, 3.0),
        ] {
            let found = rounded(value, places, half);
            assert_eq!(
                found.to_bits(),
                f64::to_bits(expected),
                "{value} {places}: {found}"
            );
        }
    }

    #[test]
    fn infinity_comes_before_what_is_no_number() {
        assert!(max_float(f64::INFINITY, f64::NAN).is_infinite());
        assert!(max_float(1.0, f64::NAN).is_nan());
        assert_eq!(max_float(-0.0, 0.0).to_bits(), 0.0_f64.to_bits());
    }
}
