//! What the text of a plain scalar stands for.

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A whole number as YAML 1.2 writes it, or in binary, or as a decimal fraction of zero.
pub(super) fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let radix = |prefix: &str, radix| {
        digits
            .strip_prefix(prefix)
            .and_then(|digits| unsigned(digits, radix))
    };
    let number = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
        .or_else(|| {
            let whole = digits
                .split_once('.')
                .map_or(Some(digits), |(whole, fraction)| {
                    (!fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0'))
                        .then_some(whole)
                });
            unsigned(whole?, 10)
        })?;
    Some(sign * number)
}

fn unsigned(digits: &str, radix: u32) -> Option<i128> {
    let legal = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    legal
        .then(|| i128::from_str_radix(digits, radix).ok())
        .flatten()
}

pub(super) fn float(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number = plain && text.bytes().any(|byte| byte.is_ascii_digit());
    number
        .then(|| text.parse().ok())
        .flatten()
        .or_else(|| integer(text).map(as_float))
}

#[expect(clippy::cast_precision_loss, reason = "a float is what is asked for")]
fn as_float(integer: i128) -> f64 {
    integer as f64
}
