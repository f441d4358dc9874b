//! Constants in templates, as Go writes them: numbers, characters, strings.

/// A constant, in every type that can hold it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number {
    pub(super) int: Option<i64>,
    pub(super) float: f64,
    /// It was written as a fraction or with an exponent.
    pub(super) is_float: bool,
}

/// A constant, as Go's `strconv` reads it with base 0.
pub(super) fn number(text: &str) -> std::result::Result<Number, &'static str> {
    const WRONG: &str = "not a number";
    if let Some(int) = integer(text) {
        #[expect(clippy::cast_precision_loss, reason = "as Go's conversion")]
        return Ok(Number {
            int: i64::try_from(int).ok(),
            float: int as f64,
            is_float: false,
        });
    }
    let is_float = text.contains(['.', 'e', 'E', 'p', 'P']) && !is_hexadecimal_int(text);
    if !is_float || !underscores_are_fine(text) {
        return Err(WRONG);
    }
    let float: f64 = text.replace('_', "").parse().map_err(|_| WRONG)?;
    if float.is_infinite() {
        return Err(WRONG);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "whether it is one"
    )]
    let int = Some(float as i64).filter(|int| *int as f64 == float);
    Ok(Number {
        int,
        float,
        is_float: true,
    })
}

/// An integer with an optional sign and the prefix of its base; digits may be grouped by `_`.
pub(super) fn integer(text: &str) -> Option<i128> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = digits.to_ascii_lowercase();
    let (base, rest) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if rest.is_empty() || !underscores_are_fine(digits) || rest.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(&rest.replace('_', ""), base).ok()?;
    let value = if text.starts_with('-') { -value } else { value };
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&value)
        .then_some(value)
}

fn is_hexadecimal_int(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    digits.starts_with("0x") && !digits.contains('p')
}

/// `_` stands between digits, or after the prefix of a base.
fn underscores_are_fine(digits: &str) -> bool {
    !digits.contains('_')
        || (!digits.ends_with('_')
            && !digits.starts_with('_')
            && !digits.contains("__")
            && (digits.starts_with('0') || !digits.contains("_."))
            && !digits.contains("._"))
}

/// A character in its quotes.
pub(super) fn character(text: &str) -> std::result::Result<Number, &'static str> {
    const WRONG: &str = "not a single character";
    let inner = text
        .strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''))
        .ok_or(WRONG)?;
    let mut chars = inner.chars();
    let value = match next_char(&mut chars, '\'')? {
        Escaped::Char(c) => u32::from(c),
        Escaped::Byte(byte) => byte.into(),
    };
    if chars.next().is_some() {
        return Err(WRONG);
    }
    Ok(Number {
        int: Some(value.into()),
        float: value.into(),
        is_float: false,
    })
}

/// The text of a quoted string. It may hold bytes that are no UTF-8.
pub(super) fn unquote(quoted: &str) -> std::result::Result<Vec<u8>, &'static str> {
    let inner = &quoted[1..quoted.len() - 1];
    if quoted.starts_with('`') {
        return Ok(inner.replace('\r', "").into_bytes());
    }
    let (mut text, mut chars) = (Vec::new(), inner.chars());
    while !chars.as_str().is_empty() {
        match next_char(&mut chars, '"')? {
            Escaped::Char(c) => text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Escaped::Byte(byte) => text.push(byte),
        }
    }
    Ok(text)
}

enum Escaped {
    Char(char),
    Byte(u8),
}

/// The next character of a literal in `quote`s.
fn next_char(
    chars: &mut std::str::Chars<'_>,
    quote: char,
) -> std::result::Result<Escaped, &'static str> {
    const WRONG: &str = "there is no such escape sequence";
    let digits = |chars: &mut std::str::Chars<'_>, count: usize, radix: u32| {
        (0..count).try_fold(0_u32, |value, _| {
            let digit = chars.next().and_then(|c| c.to_digit(radix)).ok_or(WRONG)?;
            Ok::<u32, &'static str>(value * radix + digit)
        })
    };
    let c = chars.next().ok_or("a character is missing")?;
    if c == quote {
        return Err("a quote in the middle");
    }
    if c != '\\' {
        return Ok(Escaped::Char(c));
    }
    Ok(match chars.next().ok_or(WRONG)? {
        'a' => Escaped::Byte(7),
        'b' => Escaped::Byte(8),
        'f' => Escaped::Byte(12),
        'n' => Escaped::Byte(b'\n'),
        'r' => Escaped::Byte(b'\r'),
        't' => Escaped::Byte(b'\t'),
        'v' => Escaped::Byte(11),
        '\\' => Escaped::Byte(b'\\'),
        c if c == quote => Escaped::Char(c),
        'x' => Escaped::Byte(u8::try_from(digits(chars, 2, 16)?).map_err(|_| WRONG)?),
        'u' => Escaped::Char(char::from_u32(digits(chars, 4, 16)?).ok_or(WRONG)?),
        'U' => Escaped::Char(char::from_u32(digits(chars, 8, 16)?).ok_or(WRONG)?),
        c @ '0'..='7' => {
            let first = c.to_digit(8).ok_or(WRONG)?;
            let value = first * 64 + digits(chars, 2, 8)?;
            Escaped::Byte(u8::try_from(value).map_err(|_| WRONG)?)
        }
        _ => return Err(WRONG),
    })
}
