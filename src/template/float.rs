//! Floating-point numbers as Go's `strconv` writes them.

/// Appends `value` in one of Go's formats, `e`, `f`, `g` or their capitals; without a precision, in as few digits as tell
/// it from every other.
pub(super) fn append(value: f64, format: char, precision: Option<usize>, to: &mut String) {
    if !value.is_finite() {
        to.push_str(match value {
            _ if value.is_nan() => "NaN",
            _ if value < 0.0 => "-Inf",
            _ => "+Inf",
        });
        return;
    }
    let is_upper = format.is_ascii_uppercase();
    // More digits than a number has are zeros; and Rust formats no more than 65,535.
    let zeros = precision.unwrap_or(0).saturating_sub(MAX_DIGITS);
    let precision = precision.map(|precision| precision.min(MAX_DIGITS));
    match format.to_ascii_lowercase() {
        'e' => {
            let text = match precision {
                Some(precision) => format!("{value:.precision$e}"),
                None => format!("{value:e}"),
            };
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            append_scientific(mantissa, zeros, exponent, is_upper, to);
        }
        'x' => append_hexadecimal(value, precision, zeros, is_upper, to),
        'b' => {
            let (mantissa, exponent) = parts(value);
            let sign = if value.is_sign_negative() { "-" } else { "" };
            to.push_str(&format!("{sign}{mantissa}p{exponent:+}"));
        }
        'f' => {
            to.push_str(&match precision {
                Some(precision) => format!("{value:.precision$}"),
                None => format!("{value}"),
            });
            push_zeros(zeros, to);
        }
        _ => append_shorter(value, precision, is_upper, to),
    }
}

/// The whole number and the power of two that make up a value, but for its sign.
fn parts(value: f64) -> (u64, i64) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    match i64::try_from(bits >> 52 & 0x7ff).unwrap_or(0) {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << 52, exponent - 1075),
    }
}

/// `0x1.8p+01`
fn append_hexadecimal(
    value: f64,
    precision: Option<usize>,
    zeros: usize,
    is_upper: bool,
    to: &mut String,
) {
    let (mut mantissa, mut exponent) = parts(value);
    exponent += 52;
    if mantissa == 0 {
        exponent = 0;
    }
    // One digit before the point.
    while mantissa != 0 && mantissa < 1 << 52 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 13) {
        // Half goes to the even one.
        let dropped = 4 * (13 - precision);
        let rest = mantissa & ((1 << dropped) - 1);
        mantissa >>= dropped;
        let half = 1 << (dropped - 1);
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa >= 1 << 53 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let digits = format!("{:013x}", mantissa & ((1 << 52) - 1));
    let digits = match precision {
        None => digits.trim_end_matches('0').to_owned(),
        Some(precision) => {
            let mut digits = format!("{digits:0<precision$}")[..precision].to_owned();
            push_zeros(zeros, &mut digits);
            digits
        }
    };
    let point = if digits.is_empty() { "" } else { "." };
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    let text = format!(
        "{sign}0x{}{point}{digits}p{exponent_sign}{:02}",
        mantissa >> 52,
        exponent.unsigned_abs()
    );
    to.push_str(&if is_upper { text.to_uppercase() } else { text });
}

/// `g`: whichever of `e` and `f` suits the exponent.
fn append_shorter(value: f64, precision: Option<usize>, is_upper: bool, to: &mut String) {
    let precision = precision.map(|precision| precision.max(1));
    let text = match precision {
        Some(precision) => format!("{value:.digits$e}", digits = precision - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = match precision {
        Some(_) if mantissa.contains('.') => mantissa.trim_end_matches('0').trim_end_matches('.'),
        _ => mantissa,
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let digits = i32::try_from(digits).unwrap_or(i32::MAX);
    let limit = match precision {
        None => 6,
        Some(precision) => {
            let precision = i32::try_from(precision).unwrap_or(i32::MAX);
            // Where the number is whole, all of its digits are worth writing.
            let is_whole = precision > digits && digits > exponent;
            if is_whole { digits } else { precision }
        }
    };
    if exponent < -4 || exponent >= limit {
        append_scientific(mantissa, 0, &exponent.to_string(), is_upper, to);
        return;
    }
    let decimals = usize::try_from(digits - 1 - exponent).unwrap_or(0);
    to.push_str(&match precision {
        Some(_) => format!("{value:.decimals$}"),
        None => format!("{value}"),
    });
}

/// Rust's `1.5e7` as Go's `1.5e+07`, with some zeros more.
fn append_scientific(
    mantissa: &str,
    zeros: usize,
    exponent: &str,
    is_upper: bool,
    to: &mut String,
) {
    to.push_str(mantissa);
    push_zeros(zeros, to);
    to.push(if is_upper { 'E' } else { 'e' });
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    to.push(sign);
    if digits.len() < 2 {
        to.push('0');
    }
    to.push_str(digits);
}

fn push_zeros(zeros: usize, to: &mut String) {
    to.extend(std::iter::repeat_n('0', zeros));
}

/// A number of 64 bits is exact after 1,074 decimals.
const MAX_DIGITS: usize = 1_100;
