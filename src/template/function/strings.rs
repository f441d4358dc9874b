//! Functions on strings. Most of them work on bytes, as Go does.

#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "functions in tables are all of one type"
)]

use memchr::memmem;

use std::collections::BTreeSet;

use super::{Arguments, Function, Param, fixed};
use crate::template::context::Context;
use crate::template::failure::{Failure, Result};
use crate::template::runes::{first_rune, last_rune, runes};
use crate::template::value::Value;

const T: Param = Param::Text;
const I: Param = Param::Int;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("abbrev", &[I, T], |_, a| {
        Ok(abbreviated(a.text(1), 0, a.int(0), a.int(0) < 4))
    }),
    fixed("abbrevboth", &[I, I, T], |_, a| {
        let (left, right) = (a.int(0), a.int(1));
        let as_it_is = right < 4 || left > 0 && right < 7;
        Ok(abbreviated(a.text(2), left, right, as_it_is))
    }),
    fixed("contains", &[T, T], |_, a| {
        let found = memmem::find(a.text(1), a.text(0));
        Ok(Value::Bool(found.is_some()))
    }),
    fixed("hasPrefix", &[T, T], |_, a| {
        Ok(Value::Bool(a.text(1).starts_with(a.text(0))))
    }),
    fixed("hasSuffix", &[T, T], |_, a| {
        Ok(Value::Bool(a.text(1).ends_with(a.text(0))))
    }),
    fixed("hello", &[], |_, _| Ok(Value::text("Hello!"))),
    fixed("initials", &[T], |_, a| Ok(initials(a.text(0)))),
    fixed("nospace", &[T], |_, a| Ok(without_space(a.text(0)))),
    fixed("plural", &[T, T, I], |_, mut a| {
        let at = usize::from(a.int(2) != 1);
        Ok(a.take(at))
    }),
    fixed("repeat", &[I, T], repeat),
    fixed("replace", &[T, T, T], replace),
    fixed("substr", &[I, I, T], substr),
    fixed("trim", &[T], |_, a| {
        Ok(bytes(trimmed(a.text(0), char::is_whitespace)))
    }),
    fixed("trimAll", &[T, T], trim_all),
    fixed("trimPrefix", &[T, T], |_, a| {
        let text = a.text(1);
        Ok(bytes(text.strip_prefix(a.text(0)).unwrap_or(text)))
    }),
    fixed("trimSuffix", &[T, T], |_, a| {
        let text = a.text(1);
        Ok(bytes(text.strip_suffix(a.text(0)).unwrap_or(text)))
    }),
    fixed("trimall", &[T, T], trim_all),
    fixed("trunc", &[I, T], |_, a| Ok(truncated(a.int(0), a.text(1)))),
];

fn bytes<'e>(text: &[u8]) -> Value<'e> {
    Value::text(text.to_vec())
}

/// A length as Go counts.
pub(super) fn length(text: &[u8]) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

fn abbreviated<'e>(text: &[u8], left: i64, width: i64, as_it_is: bool) -> Value<'e> {
    const DOTS: &[u8] = b"...";
    let size = length(text);
    if as_it_is || text.is_empty() || size <= width {
        return bytes(text);
    }
    let kept = width - 3;
    let mut left = left.min(size);
    if size.wrapping_sub(left) < kept {
        left = size - kept;
    }
    if left <= 4 {
        return Value::text([part(text, 0, kept), DOTS].concat());
    }
    if width < 7 {
        return Value::text("");
    }
    if left + kept < size {
        let middle = part(text, left, size);
        let rest = if length(middle) <= kept {
            middle.to_vec()
        } else {
            [part(middle, 0, kept - 3), DOTS].concat()
        };
        return Value::text([DOTS, &rest].concat());
    }
    Value::text([DOTS, part(text, size - kept, size)].concat())
}

/// Nothing where the bounds are none.
fn part(text: &[u8], from: i64, to: i64) -> &[u8] {
    slice(text, from, to).unwrap_or_default()
}

fn slice(text: &[u8], from: i64, to: i64) -> Option<&[u8]> {
    text.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
}

/// Takes each byte for a character, as goutils does.
fn initials<'e>(text: &[u8]) -> Value<'e> {
    let (mut initials, mut after_space) = (String::new(), true);
    for c in text.iter().map(|&byte| char::from(byte)) {
        if c.is_whitespace() {
            after_space = true;
        } else if after_space {
            initials.push(c);
            after_space = false;
        }
    }
    Value::text(initials)
}

/// Takes each byte for a character, as goutils does: if there is a space at all.
fn without_space<'e>(text: &[u8]) -> Value<'e> {
    let chars = || text.iter().map(|&byte| char::from(byte));
    if !chars().any(char::is_whitespace) {
        return bytes(text);
    }
    Value::text(chars().filter(|c| !c.is_whitespace()).collect::<String>())
}

fn repeat<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let text = a.text(1);
    let count = usize::try_from(a.int(0)).map_err(|_| Failure::new("the count is negative"))?;
    if text.is_empty() {
        return Ok(Value::text(""));
    }
    context.spend_bytes(text.len().saturating_mul(count))?;
    Ok(Value::text(text.repeat(count)))
}

fn replace<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let (old, new, text) = (a.text(0), a.text(1), a.text(2));
    let mut replaced = Vec::with_capacity(text.len());
    if old.is_empty() {
        // Goes before every character, and to the end.
        for (_, bytes) in runes(text) {
            context.spend_bytes(new.len())?;
            replaced.extend_from_slice(new);
            replaced.extend_from_slice(bytes);
        }
        replaced.extend_from_slice(new);
        return Ok(Value::text(replaced));
    }
    let mut done = 0;
    for at in memmem::find_iter(text, old) {
        context.spend_bytes(new.len())?;
        replaced.extend_from_slice(&text[done..at]);
        replaced.extend_from_slice(new);
        done = at + old.len();
    }
    replaced.extend_from_slice(&text[done..]);
    Ok(Value::text(replaced))
}

fn substr<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let (start, end, text) = (a.int(0), a.int(1), a.text(2));
    let size = length(text);
    let found = if start < 0 {
        slice(text, 0, end)
    } else if end < 0 || end > size {
        slice(text, start, size)
    } else {
        slice(text, start, end)
    };
    found
        .map(bytes)
        .ok_or_else(|| Failure::new("there is nothing between these positions"))
}

fn trim_all<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let set: BTreeSet<char> = runes(a.text(0)).map(|(c, _)| c).collect();
    Ok(bytes(trimmed(a.text(1), |c| set.contains(&c))))
}

/// Without the characters at both ends that are to go.
pub(super) fn trimmed(text: &[u8], goes: impl Fn(char) -> bool) -> &[u8] {
    let mut text = text;
    while let (c, length @ 1..) = first_rune(text) {
        if !goes(c) {
            break;
        }
        text = &text[length..];
    }
    while let (c, length @ 1..) = last_rune(text) {
        if !goes(c) {
            break;
        }
        text = &text[..text.len() - length];
    }
    text
}

fn truncated<'e>(count: i64, text: &[u8]) -> Value<'e> {
    let size = length(text);
    let kept = if count < 0 && size.saturating_add(count) > 0 {
        part(text, size + count, size)
    } else if count >= 0 && size > count {
        part(text, 0, count)
    } else {
        text
    };
    bytes(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &Value<'_>) -> String {
        match value {
            Value::Text(text, _) => text.lossy().into_owned(),
            _ => "no text".to_owned(),
        }
    }

    #[test]
    fn abbreviations_keep_the_edge_that_is_asked_for() {
        let text = b"1234 5678 9123";
        for (left, width, expected) in [
            (0, 8, "1234 ..."),
            (5, 10, "...5678..."),
            (9, 10, "...78 9123"),
            (50, 10, "...78 9123"),
            (-7, 10, "1234 56..."),
            (5, 6, ""),
            (i64::MIN, 10, "...78 9123"),
        ] {
            let found = abbreviated(text, left, width, false);
            assert_eq!(shown(&found), expected, "{left} {width}");
        }
    }

    #[test]
    fn truncating_takes_bytes() {
        assert_eq!(shown(&truncated(1, "é".as_bytes())), "\u{fffd}");
        assert_eq!(shown(&truncated(-2, b"abc")), "bc");
        assert_eq!(shown(&truncated(-3, b"abc")), "abc");
        assert_eq!(shown(&truncated(i64::MIN, b"abc")), "abc");
        assert_eq!(shown(&truncated(0, b"abc")), "");
    }

    #[test]
    fn spaces_are_taken_byte_by_byte() {
        assert_eq!(shown(&without_space("à b".as_bytes())), "\u{c3}b");
        assert_eq!(shown(&without_space("é".as_bytes())), "é");
        assert_eq!(shown(&initials("été x".as_bytes())), "\u{c3}x");
    }
}
