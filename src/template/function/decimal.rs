//! Decimal numbers of any length: sprig adds and multiplies floats in decimal, so that 0.1 and 0.2 make 0.3.

use std::cmp::Ordering;

use crate::template::context::Context;
use crate::template::failure::{Failure, Result};

/// A decimal number, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// From the last to the first, without zeros at the front; none for zero.
    digits: Vec<u8>,
    /// The power of ten that the last digit stands for.
    exponent: i64,
}

/// How many digits a quotient has after the point.
const PRECISION: i64 = 16;

// === impl Decimal ===

impl Decimal {
    /// The shortest decimal number that stands for `value`.
    pub(super) fn from_float(value: f64) -> Result<Self> {
        if !value.is_finite() {
            return Err(Failure::new("there is no decimal number for infinity"));
        }
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole.bytes().chain(fraction.bytes());
        let mut digits: Vec<u8> = digits
            .filter(u8::is_ascii_digit)
            .map(|digit| digit - b'0')
            .collect();
        digits.reverse();
        let places = i64::try_from(fraction.len()).unwrap_or(0);
        let exponent = exponent.parse::<i64>().unwrap_or(0) - places;
        Ok(Self::new(value < 0.0, digits, exponent))
    }

    fn new(negative: bool, digits: Vec<u8>, exponent: i64) -> Self {
        let digits = trimmed(digits);
        Self {
            negative: negative && !digits.is_empty(),
            digits,
            exponent,
        }
    }

    /// The nearest float.
    pub(super) fn to_float(&self) -> f64 {
        let sign = if self.negative { "-" } else { "" };
        let digits: String = self
            .digits
            .iter()
            .rev()
            .map(|d| char::from(b'0' + d))
            .collect();
        let text = format!("{sign}{digits}e{}", self.exponent);
        if digits.is_empty() {
            return 0.0;
        }
        text.parse().unwrap_or(0.0)
    }

    pub(super) fn plus(&self, other: &Self, context: &Context<'_>) -> Result<Self> {
        let exponent = self.exponent.min(other.exponent);
        let left = self.digits_at(exponent, context)?;
        let right = other.digits_at(exponent, context)?;
        if self.negative == other.negative {
            return Ok(Self::new(self.negative, sum(&left, &right), exponent));
        }
        Ok(match compare(&left, &right) {
            Ordering::Less => Self::new(other.negative, difference(&right, &left), exponent),
            _ => Self::new(self.negative, difference(&left, &right), exponent),
        })
    }

    pub(super) fn minus(&self, other: &Self, context: &Context<'_>) -> Result<Self> {
        let negated = Self::new(!other.negative, other.digits.clone(), other.exponent);
        self.plus(&negated, context)
    }

    pub(super) fn times(&self, other: &Self, context: &Context<'_>) -> Result<Self> {
        let exponent = checked_exponent(self.exponent + other.exponent)?;
        context.spend(1 + self.digits.len() * other.digits.len() / 64)?;
        let mut product = vec![0_u8; self.digits.len() + other.digits.len()];
        for (at, left) in self.digits.iter().enumerate() {
            let mut carry = 0;
            let rights = other.digits.iter().chain(std::iter::repeat(&0));
            for (digit, right) in product[at..].iter_mut().zip(rights) {
                let value = *digit + left * right + carry;
                *digit = value % 10;
                carry = value / 10;
            }
        }
        let negative = self.negative != other.negative;
        Ok(Self::new(negative, product, exponent))
    }

    /// To sixteen digits after the point, half away from zero.
    pub(super) fn divided_by(&self, other: &Self, context: &Context<'_>) -> Result<Self> {
        if other.digits.is_empty() {
            return Err(Failure::new("division by zero"));
        }
        // Both as integers, so that their quotient has the digits that are wanted.
        let shift = checked_exponent(self.exponent - other.exponent + PRECISION)?;
        let dividend = shifted(&self.digits, shift.max(0), context)?;
        let divisor = shifted(&other.digits, (-shift).max(0), context)?;
        context.spend(1 + dividend.len() * divisor.len() / 16)?;
        let (mut quotient, mut rest) = (Vec::new(), Vec::new());
        for &digit in dividend.iter().rev() {
            rest.insert(0, digit);
            rest = trimmed(rest);
            let mut times = 0;
            while compare(&rest, &divisor).is_ge() {
                rest = difference(&rest, &divisor);
                times += 1;
            }
            quotient.push(times);
        }
        quotient.reverse();
        if compare(&sum(&rest, &rest), &divisor).is_ge() {
            quotient = sum(&quotient, &[1]);
        }
        let negative = self.negative != other.negative;
        Ok(Self::new(negative, quotient, -PRECISION))
    }

    /// The digits, if the last is to stand for a smaller power of ten.
    fn digits_at(&self, exponent: i64, context: &Context<'_>) -> Result<Vec<u8>> {
        shifted(&self.digits, self.exponent - exponent, context)
    }
}

/// Go's limit.
fn checked_exponent(exponent: i64) -> Result<i64> {
    match i32::try_from(exponent) {
        Ok(_) => Ok(exponent),
        Err(_) => Err(Failure::new("the number is too large")),
    }
}

/// With zeros at the end.
fn shifted(digits: &[u8], zeros: i64, context: &Context<'_>) -> Result<Vec<u8>> {
    if digits.is_empty() {
        return Ok(Vec::new());
    }
    let zeros = usize::try_from(zeros).unwrap_or(0);
    context.spend_bytes(zeros.saturating_add(digits.len()))?;
    let mut shifted = vec![0; zeros];
    shifted.extend_from_slice(digits);
    Ok(shifted)
}

fn trimmed(mut digits: Vec<u8>) -> Vec<u8> {
    while digits.last() == Some(&0) {
        digits.pop();
    }
    digits
}

/// Of digits without zeros at the front.
fn compare(left: &[u8], right: &[u8]) -> Ordering {
    left.len()
        .cmp(&right.len())
        .then_with(|| left.iter().rev().cmp(right.iter().rev()))
}

fn sum(left: &[u8], right: &[u8]) -> Vec<u8> {
    let digit = |digits: &[u8], at: usize| digits.get(at).copied().unwrap_or(0);
    let mut carry = 0;
    let digits = (0..=left.len().max(right.len())).map(|at| {
        let value = digit(left, at) + digit(right, at) + carry;
        carry = value / 10;
        value % 10
    });
    trimmed(digits.collect())
}

/// Of a larger number and a smaller one.
fn difference(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut borrowed = 0;
    let digits = left.iter().enumerate().map(|(at, &digit)| {
        let other = right.get(at).copied().unwrap_or(0) + borrowed;
        borrowed = u8::from(digit < other);
        digit + 10 * borrowed - other
    });
    trimmed(digits.collect())
}
