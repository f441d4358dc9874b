//! What single verbs do: `%5.2f`, `%q`, `% x`.

use super::super::failure::{Failure, Result};
use super::super::float;
use super::super::runes::{is_printable, rune_count, runes};
use super::super::value::{IntType, Value};
use super::Printer;
use super::quote;

/// What stands between `%` and the verb.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Flags {
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`
    pub(super) plus_v: bool,
    /// `%#v`
    pub(super) sharp_v: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

// === impl Printer ===

impl Printer<'_, '_> {
    /// Writes a text as wide as it has to be.
    pub(super) fn pad(&mut self, text: &[u8]) -> Result<()> {
        let width = self.flags.width.unwrap_or(0);
        let missing = width.saturating_sub(rune_count(text));
        self.context.spend_bytes(missing)?;
        if self.flags.minus {
            self.write(text);
            self.write(&b" ".repeat(missing));
        } else {
            let filler: &[u8] = if self.flags.zero { b"0" } else { b" " };
            self.write(&filler.repeat(missing));
            self.write(text);
        }
        Ok(())
    }

    /// Pads with spaces, whatever was asked for.
    fn pad_with_spaces(&mut self, text: &[u8]) -> Result<()> {
        let zero = std::mem::replace(&mut self.flags.zero, false);
        let padded = self.pad(text);
        self.flags.zero = zero;
        padded
    }

    /// A string.
    pub(super) fn text(&mut self, text: &[u8], verb: char) -> Result<()> {
        self.context.spend_bytes(text.len())?;
        match verb {
            'x' | 'X' => self.hexadecimal(text, verb),
            'q' => {
                let text = self.truncated(text);
                let quoted = quote::string(text, self.flags.sharp, self.flags.plus);
                self.pad(quoted.as_bytes())
            }
            'v' if self.flags.sharp_v => self.pad(quote::string(text, false, false).as_bytes()),
            _ => {
                let text = self.truncated(text);
                self.pad(text)
            }
        }
    }

    /// As many characters as the precision allows.
    fn truncated<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        match self.flags.precision {
            None => text,
            Some(precision) => {
                let kept = runes(text).take(precision);
                let length = kept.map(|(_, bytes)| bytes.len()).sum();
                &text[..length]
            }
        }
    }

    fn hexadecimal(&mut self, text: &[u8], verb: char) -> Result<()> {
        let length = self.flags.precision.unwrap_or(text.len()).min(text.len());
        let mut hex = String::new();
        let prefix = if verb == 'X' { "0X" } else { "0x" };
        for (at, byte) in text[..length].iter().enumerate() {
            if self.flags.space && at > 0 {
                hex.push(' ');
            }
            if self.flags.sharp && (self.flags.space || at == 0) {
                hex.push_str(prefix);
            }
            hex.push_str(&if verb == 'X' {
                format!("{byte:02X}")
            } else {
                format!("{byte:02x}")
            });
        }
        self.pad(hex.as_bytes())
    }

    /// A whole number.
    pub(super) fn integer(&mut self, number: i64, kind: IntType, verb: char) -> Result<()> {
        let negative = number < 0 && !kind.is_unsigned();
        let magnitude = if negative {
            number.unsigned_abs()
        } else {
            number.cast_unsigned()
        };
        let (digits, prefix) = match verb {
            'v' if self.flags.sharp_v && kind.is_unsigned() => (format!("{magnitude:x}"), "0x"),
            'v' | 'd' => (magnitude.to_string(), ""),
            'b' => (
                format!("{magnitude:b}"),
                if self.flags.sharp { "0b" } else { "" },
            ),
            'o' => {
                let digits = format!("{magnitude:o}");
                let prefix = if self.flags.sharp && !digits.starts_with('0') {
                    "0"
                } else {
                    ""
                };
                (digits, prefix)
            }
            'O' => (format!("{magnitude:o}"), "0o"),
            'x' => (
                format!("{magnitude:x}"),
                if self.flags.sharp { "0x" } else { "" },
            ),
            'X' => (
                format!("{magnitude:X}"),
                if self.flags.sharp { "0X" } else { "" },
            ),
            'c' => return self.pad(character(number).to_string().as_bytes()),
            'q' => {
                let quoted = quote::character(character(number), self.flags.plus);
                return self.pad(quoted.as_bytes());
            }
            'U' => {
                let mut text = match self.flags.precision {
                    Some(precision) if precision > 4 => {
                        self.context.spend_bytes(precision)?;
                        let digits = format!("{magnitude:X}");
                        let zeros = precision.saturating_sub(digits.len());
                        format!("U+{}{digits}", "0".repeat(zeros))
                    }
                    _ => format!("U+{magnitude:04X}"),
                };
                if self.flags.sharp && is_printable(character(number)) {
                    text.push_str(&format!(" '{}'", character(number)));
                }
                return self.pad_with_spaces(text.as_bytes());
            }
            _ => return self.wrong(&Value::Int(number, kind), verb),
        };
        self.digits(negative, &digits, prefix)
    }

    fn digits(&mut self, negative: bool, digits: &str, prefix: &str) -> Result<()> {
        let flags = self.flags;
        let sign = match () {
            () if negative => "-",
            () if flags.plus => "+",
            () if flags.space => " ",
            () => "",
        };
        let wanted = match flags.precision {
            // No digit at all was asked for, and none is needed.
            Some(0) if digits == "0" => return self.pad_with_spaces(b""),
            Some(precision) => precision,
            None if flags.zero && !flags.minus => flags
                .width
                .map_or(0, |width| width.saturating_sub(sign.len())),
            None => 0,
        };
        let zeros = wanted.saturating_sub(digits.len());
        self.context.spend_bytes(zeros)?;
        let text = format!("{sign}{prefix}{}{digits}", "0".repeat(zeros));
        self.pad_with_spaces(text.as_bytes())
    }

    /// A number with a fraction.
    pub(super) fn float(&mut self, number: f64, verb: char) -> Result<()> {
        let (format, precision) = match verb {
            'v' => ('g', None),
            'g' | 'G' | 'x' | 'X' | 'b' => (verb, None),
            'e' | 'E' | 'f' => (verb, Some(6)),
            'F' => ('f', Some(6)),
            _ => return self.wrong(&Value::Float(number), verb),
        };
        let precision = self.flags.precision.or(precision);
        self.context.spend_bytes(precision.unwrap_or(0))?;
        let mut text = String::new();
        float::append(number, format, precision, &mut text);
        if self.flags.sharp && !matches!(verb, 'v' | 'b') && number.is_finite() {
            text = with_point(&text, format, precision);
        }
        let digits = text.trim_start_matches(['+', '-']);
        let sign = match () {
            () if text.starts_with('-') => "-",
            () if self.flags.plus => "+",
            () if self.flags.space => " ",
            // Infinity has a sign of its own.
            () if text.starts_with('+') => "+",
            () => "",
        };
        if !number.is_finite() {
            return self.pad_with_spaces(format!("{sign}{digits}").as_bytes());
        }
        let width = self.flags.width.unwrap_or(0);
        if self.flags.zero && !self.flags.minus && width > sign.len() + digits.len() {
            let zeros = width - sign.len() - digits.len();
            self.context.spend_bytes(zeros)?;
            self.write(format!("{sign}{}{digits}", "0".repeat(zeros)).as_bytes());
            return Ok(());
        }
        self.pad(format!("{sign}{digits}").as_bytes())
    }
}

/// With a decimal point even where nothing follows it, and, unless the verb says how many decimals, with all the zeros.
fn with_point(text: &str, format: char, precision: Option<usize>) -> String {
    let at = text.find(['e', 'E']).unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(at);
    let mut mantissa = mantissa.to_owned();
    if !mantissa.contains('.') {
        mantissa.push('.');
    }
    if format.eq_ignore_ascii_case(&'g') {
        let significant = mantissa
            .trim_start_matches(['-', '+', '0', '.'])
            .bytes()
            .filter(u8::is_ascii_digit)
            .count();
        // The zero itself counts as a digit.
        let significant =
            significant.max(usize::from(mantissa.starts_with('0') && significant == 0));
        let wanted = precision.unwrap_or(6);
        mantissa.push_str(&"0".repeat(wanted.saturating_sub(significant)));
    }
    format!("{mantissa}{exponent}")
}

/// The character of that number; U+FFFD if there is none.
fn character(number: i64) -> char {
    u32::try_from(number)
        .ok()
        .and_then(char::from_u32)
        .unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// For widths and precisions out of a format or an argument.
pub(super) fn reasonable(number: i64) -> Result<Option<usize>> {
    const MAX: i64 = 1_000_000;
    if number.unsigned_abs() > MAX.unsigned_abs() {
        return Ok(None);
    }
    usize::try_from(number.unsigned_abs())
        .map(Some)
        .map_err(|_| Failure::new("a width is too large"))
}
