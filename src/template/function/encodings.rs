//! Base64 and base32. What cannot be decoded gives the message of Go's error, as sprig has it.

use super::{Arguments, Function, Param, fixed};
use crate::template::context::Context;
use crate::template::failure::Result;
use crate::template::value::Value;

const T: Param = Param::Text;
const ALPHABET_64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const ALPHABET_32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("b32dec", &[T], |_, a| {
        Ok(decoded("base32", decode_32(a.text(0))))
    }),
    fixed("b32enc", &[T], |context, a| {
        encoded(context, &a, ALPHABET_32, 5)
    }),
    fixed("b64dec", &[T], |_, a| {
        Ok(decoded("base64", decode_64(a.text(0))))
    }),
    fixed("b64enc", &[T], |context, a| {
        encoded(context, &a, ALPHABET_64, 6)
    }),
];

fn decoded<'e>(name: &str, result: std::result::Result<Vec<u8>, usize>) -> Value<'e> {
    match result {
        Ok(text) => Value::text(text),
        Err(at) => Value::text(format!("illegal {name} data at input byte {at}")),
    }
}

/// In characters of so many bits, filled up so that they make whole bytes.
fn encoded<'e>(
    context: &Context<'e>,
    a: &Arguments<'e>,
    alphabet: &[u8],
    bits: usize,
) -> Result<Value<'e>> {
    let text = a.text(0);
    context.spend_bytes(text.len().saturating_mul(2))?;
    // A block is the least common multiple of eight bits and those of a character.
    let (bytes, chars) = if bits == 6 { (3, 4) } else { (5, 8) };
    let mut encoded = Vec::with_capacity(text.len().div_ceil(bytes) * chars);
    for block in text.chunks(bytes) {
        let value = block
            .iter()
            .fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        let value = value << (8 * (bytes - block.len()));
        let used = (8 * block.len()).div_ceil(bits);
        for at in 0..chars {
            let index = value >> (bits * (chars - 1 - at)) & ((1 << bits) - 1);
            let char = usize::try_from(index)
                .ok()
                .and_then(|index| alphabet.get(index));
            encoded.push(match char {
                Some(&char) if at < used => char,
                _ => b'=',
            });
        }
    }
    Ok(Value::text(encoded))
}

fn digit(alphabet: &[u8], char: u8) -> Option<u64> {
    let at = alphabet.iter().position(|&other| other == char)?;
    u64::try_from(at).ok()
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The error is where it is wrong.
pub(super) fn decode_64(text: &[u8]) -> std::result::Result<Vec<u8>, usize> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut at = 0;
    let skip = |at: usize| {
        let newlines = text[at..].iter().take_while(|&&byte| is_newline(byte));
        at + newlines.count()
    };
    loop {
        let (mut value, mut digits) = (0_u64, 0);
        while digits < 4 {
            let Some(&char) = text.get(at) else {
                return if digits == 0 {
                    Ok(decoded)
                } else {
                    Err(at - digits)
                };
            };
            at += 1;
            if is_newline(char) {
                continue;
            }
            if let Some(digit) = digit(ALPHABET_64, char) {
                value = value << 6 | digit;
                digits += 1;
                continue;
            }
            if char != b'=' || digits < 2 {
                return Err(at - 1);
            }
            if digits == 2 {
                at = skip(at);
                match text.get(at) {
                    None => return Err(text.len()),
                    Some(b'=') => at += 1,
                    Some(_) => return Err(at - 1),
                }
            }
            at = skip(at);
            if at < text.len() {
                return Err(at);
            }
            append_bytes(value << (6 * (4 - digits)), 3, digits - 1, &mut decoded);
            return Ok(decoded);
        }
        append_bytes(value, 3, 3, &mut decoded);
    }
}

/// The first `count` of the `of` bytes of a block.
fn append_bytes(value: u64, of: usize, count: usize, to: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    to.extend(bytes.iter().skip(8 - of).take(count));
}

/// The error is where it is wrong, without newlines counted.
fn decode_32(text: &[u8]) -> std::result::Result<Vec<u8>, usize> {
    let text: Vec<u8> = text
        .iter()
        .copied()
        .filter(|&byte| !is_newline(byte))
        .collect();
    let mut decoded = Vec::with_capacity(text.len() / 8 * 5 + 5);
    let mut at = 0;
    while at < text.len() {
        let (mut value, mut digits) = (0_u64, 0);
        while digits < 8 {
            let Some(&char) = text.get(at) else {
                return Err(text.len() - digits);
            };
            at += 1;
            let left = text.len() - at;
            if char == b'=' && digits >= 2 && left < 8 {
                if left + digits < 7 {
                    return Err(text.len());
                }
                let padding = text[at..].iter().take(7 - digits);
                if let Some(wrong) = padding.clone().position(|&char| char != b'=') {
                    return Err(at + wrong - 1);
                }
                if matches!(digits, 3 | 6) {
                    return Err(at - 1);
                }
                append_bytes(value << (5 * (8 - digits)), 5, digits * 5 / 8, &mut decoded);
                return Ok(decoded);
            }
            let Some(digit) = digit(ALPHABET_32, char) else {
                return Err(at - 1);
            };
            value = value << 5 | digit;
            digits += 1;
        }
        append_bytes(value, 5, 5, &mut decoded);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_found_where_go_finds_it() {
        for (text, expected) in [
            ("aGk=", Ok("hi")),
            ("aG\nk=\n", Ok("hi")),
            ("aGl=", Ok("hi")),
            ("", Ok("")),
            ("aGk", Err(0)),
            ("YWJjaGk", Err(4)),
            ("aGk=x", Err(4)),
            ("a===", Err(1)),
            ("aA=x", Err(2)),
            ("aA=", Err(3)),
            ("a!", Err(1)),
        ] {
            let expected = expected.map(|text: &str| text.as_bytes().to_vec());
            assert_eq!(decode_64(text.as_bytes()), expected, "{text:?}");
        }
        for (text, expected) in [
            ("NBUQ====", Ok("hi")),
            ("NB\nUQ====", Ok("hi")),
            ("", Ok("")),
            ("NBUQ", Err(0)),
            ("NBUQ===", Err(7)),
            ("NBUQ=x==", Err(4)),
            ("NBUQ==x=", Err(5)),
            ("nbuq====", Err(0)),
            ("NBU=====", Err(3)),
        ] {
            let expected = expected.map(|text: &str| text.as_bytes().to_vec());
            assert_eq!(decode_32(text.as_bytes()), expected, "{text:?}");
        }
    }
}
