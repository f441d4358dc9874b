//! What sprig takes a value for where it wants a number.

use super::{Function, Param, fixed};
use crate::template::context::Context;
use crate::template::failure::Result;
use crate::template::literal::integer;
use crate::template::print;
use crate::template::value::{IntType, TextType, Value};

const A: Param = Param::Any;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("atoi", &[Param::Text], |_, a| {
        Ok(Value::int(parse_decimal(a.text(0))))
    }),
    fixed("float64", &[A], |_, a| Ok(Value::Float(to_float(a.any(0))))),
    fixed("int", &[A], |_, a| Ok(Value::int(to_int64(a.any(0))))),
    fixed("int64", &[A], |_, a| Ok(Value::int64(to_int64(a.any(0))))),
    fixed("toDecimal", &[A], |context, a| {
        octal(a.any(0), context).map(Value::int64)
    }),
];

/// An integer; 0 for what is none. Types of their own, like durations, are none.
pub(super) fn to_int64(value: &Value<'_>) -> i64 {
    use IntType::{Int, Int32, Int64, Uint8, Uint64};

    match value.pointed() {
        Some(Value::Bool(value)) => i64::from(*value),
        Some(Value::Int(value, Int | Int32 | Int64 | Uint8 | Uint64)) => *value,
        Some(Value::Float(value)) => float_to_int(*value),
        Some(Value::Text(text, TextType::String)) => str::from_utf8(text)
            .ok()
            .and_then(integer)
            .and_then(|value| i64::try_from(value).ok())
            .unwrap_or(0),
        _ => 0,
    }
}

/// A float; 0 for what is none.
#[expect(clippy::cast_precision_loss, reason = "as Go's conversion")]
pub(super) fn to_float(value: &Value<'_>) -> f64 {
    use IntType::{Int, Int32, Int64, Uint8, Uint64};

    match value.pointed() {
        Some(Value::Bool(value)) => f64::from(u8::from(*value)),
        Some(Value::Int(value, Uint64)) => value.cast_unsigned() as f64,
        Some(Value::Int(value, Int | Int32 | Int64 | Uint8)) => *value as f64,
        Some(Value::Float(value)) => *value,
        Some(Value::Text(text, TextType::String)) => parse_float(text).unwrap_or(0.0),
        _ => 0.0,
    }
}

/// As processors convert: what does not fit is the smallest.
pub(super) fn float_to_int(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is what is wanted")]
    if (-LIMIT..LIMIT).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

/// A decimal integer; the nearest one if it is too large, 0 if it is none.
pub(super) fn parse_decimal(text: &[u8]) -> i64 {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};

    let Ok(text) = str::from_utf8(text) else {
        return 0;
    };
    match text.parse() {
        Ok(value) => value,
        Err(error) if *error.kind() == PosOverflow => i64::MAX,
        Err(error) if *error.kind() == NegOverflow => i64::MIN,
        Err(_) => 0,
    }
}

/// The digits of a value, read to the base of 8; 0 if they are none.
fn octal<'e>(value: &Value<'e>, context: &Context<'e>) -> Result<i64> {
    let text = print::to_text(value, context)?;
    let value = str::from_utf8(&text)
        .ok()
        .and_then(|text| i64::from_str_radix(text, 8).ok());
    Ok(value.unwrap_or(0))
}

/// Go's `strconv.ParseFloat`; `None` also for what is too large.
pub(super) fn parse_float(text: &[u8]) -> Option<f64> {
    let text = str::from_utf8(text).ok()?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let value = match lower.as_str() {
        "inf" | "infinity" => f64::INFINITY,
        // Without a sign only.
        "nan" => return (unsigned.len() == text.len()).then_some(f64::NAN),
        lower if !groups_are_fine(lower) => return None,
        lower => {
            let digits = lower.replace('_', "");
            match digits.strip_prefix("0x") {
                Some(digits) => finite(parse_hexadecimal(digits)?)?,
                None => finite(parse_plain(&digits)?)?,
            }
        }
    };
    Some(if text.starts_with('-') { -value } else { value })
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Underscores stand between digits, or after the prefix of a base.
fn groups_are_fine(text: &str) -> bool {
    let (is_hexadecimal, text) = match text.strip_prefix("0x") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let is_digit = |byte: &u8| byte.is_ascii_digit() || is_hexadecimal && byte.is_ascii_hexdigit();
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'_', bytes).all(|at| {
        let before = match at.checked_sub(1) {
            None => is_hexadecimal,
            Some(before) => is_digit(&bytes[before]),
        };
        before && bytes.get(at + 1).is_some_and(is_digit)
    })
}

fn parse_plain(text: &str) -> Option<f64> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".e+-".contains(&byte));
    is_number.then(|| text.parse().ok())?
}

/// `1.8p3`, rounded to even like any other; the exponent must be there.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut exponent: i32 = match exponent.parse::<i32>() {
        Ok(exponent) => exponent.clamp(-100_000, 100_000),
        Err(_) if exponent.starts_with('-') => -100_000,
        Err(_) => 100_000,
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (mut value, mut digits, mut is_inexact) = (0_u64, 0, false);
    for (digit, is_fraction) in whole
        .chars()
        .map(|c| (c, false))
        .chain(fraction.chars().map(|c| (c, true)))
    {
        let digit = digit.to_digit(16)?;
        digits += 1;
        if value >> 60 == 0 {
            value = value << 4 | u64::from(digit);
            exponent -= if is_fraction { 4 } else { 0 };
        } else {
            is_inexact |= digit != 0;
            exponent += if is_fraction { 0 } else { 4 };
        }
    }
    if digits == 0 {
        return None;
    }
    Some(scaled(value, is_inexact, exponent))
}

/// `value` times two to the power of `exponent`; `is_inexact` says that there was a bit more.
fn scaled(value: u64, is_inexact: bool, exponent: i32) -> f64 {
    if value == 0 {
        return 0.0;
    }
    let shift = value.leading_zeros().cast_signed();
    let value = value << shift;
    let exponent = exponent.saturating_sub(shift);
    // The value of the topmost bit, and how many bits fit from there.
    let top = exponent.saturating_add(63);
    let kept = (top + 1075).clamp(0, 53);
    if kept == 0 && top < -1075 {
        return 0.0;
    }
    let dropped = 64 - kept;
    let (mut mantissa, over) = if dropped == 64 {
        (0, value)
    } else {
        (value >> dropped, value << kept)
    };
    let half = 1_u64 << 63;
    if over > half || over == half && (is_inexact || mantissa & 1 == 1) {
        mantissa += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "it has 53 bits")]
    let mantissa = mantissa as f64;
    let mut exponent = exponent.saturating_add(dropped);
    let mut result = mantissa;
    while exponent > 0 && result.is_finite() {
        result *= 2.0;
        exponent -= 1;
    }
    // Exact: whatever would be rounded was rounded.
    while exponent < 0 && result != 0.0 {
        result /= 2.0;
        exponent += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("1.5", Some(1.5)),
            ("-.5e1", Some(-5.0)),
            ("1.", Some(1.0)),
            ("+Inf", Some(f64::INFINITY)),
            ("-infinity", Some(f64::NEG_INFINITY)),
            ("infinit", None),
            ("1e400", None),
            ("-1e-400", Some(-0.0)),
            ("1_000", Some(1000.0)),
            ("1_e1", None),
            ("1__0", None),
            ("1e1_0", Some(1e10)),
            ("0x1p-2", Some(0.25)),
            ("0x_1_F.8p1", Some(63.0)),
            ("0x1", None),
            ("0xp1", None),
            ("0x1p-1074", Some(5e-324)),
            ("0x1p-1075", Some(0.0)),
            ("0x1.8p-1075", Some(5e-324)),
            ("0x1.fffffffffffff8p0", Some(2.0)),
            ("0x1.fffffffffffffp1023", Some(f64::MAX)),
            ("0x1p1024", None),
            ("+nan", None),
            ("", None),
            (".", None),
            ("e5", None),
            (" 1", None),
        ] {
            let found = parse_float(text.as_bytes());
            assert_eq!(
                found.map(f64::to_bits),
                expected.map(f64::to_bits),
                "{text}: {found:?}"
            );
        }
        assert!(parse_float(b"NaN").is_some_and(f64::is_nan));
    }

    #[test]
    fn integers_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("010", 8),
            ("0x1F", 31),
            ("-0b11", -3),
            ("1_000", 1000),
            ("08", 0),
            ("9223372036854775808", 0),
            ("1.5", 0),
            (" 1", 0),
        ] {
            assert_eq!(to_int64(&Value::text(text)), expected, "{text}");
        }
        assert_eq!(parse_decimal(b"99999999999999999999"), i64::MAX);
        assert_eq!(parse_decimal(b"-99999999999999999999"), i64::MIN);
        assert_eq!(parse_decimal(b"010"), 10);
        assert_eq!(to_int64(&Value::Float(1e300)), i64::MIN);
        assert_eq!(to_int64(&Value::Float(-1.9)), -1);
        assert_eq!(to_int64(&Value::Int(5, IntType::Duration)), 0);
    }
}
