//! Runes: how Go walks over a string that may hold anything, and what it knows of a character.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, ClassUnicode, HirKind};

/// What Go reads for bytes that are no UTF-8.
pub(super) const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// The characters of a text, with their bytes; U+FFFD for each byte that belongs to none.
pub(super) struct Runes<'t>(&'t [u8]);

/// Categories that the standard library does not tell apart.
static LETTERS: LazyLock<ClassUnicode> = LazyLock::new(|| class("\\pL"));
static DIGITS: LazyLock<ClassUnicode> = LazyLock::new(|| class("\\p{Nd}"));
static PUNCTUATION: LazyLock<ClassUnicode> = LazyLock::new(|| class("\\pP"));
static UPPER: LazyLock<ClassUnicode> = LazyLock::new(|| class("\\p{Lu}"));
static LOWER: LazyLock<ClassUnicode> = LazyLock::new(|| class("\\p{Ll}"));
static PRINTABLE: LazyLock<ClassUnicode> = LazyLock::new(|| class("[\\pL\\pM\\pN\\pP\\pS]"));

pub(super) fn runes(text: &[u8]) -> Runes<'_> {
    Runes(text)
}

/// The first character and its length in bytes; a length of 0 for an empty text.
pub(super) fn first_rune(text: &[u8]) -> (char, usize) {
    let length = match text.first() {
        None => return (REPLACEMENT, 0),
        Some(&byte @ ..0x80) => return (char::from(byte), 1),
        Some(0xc2..0xe0) => 2,
        Some(0xe0..0xf0) => 3,
        Some(0xf0..0xf8) => 4,
        Some(_) => return (REPLACEMENT, 1),
    };
    text.get(..length)
        .and_then(|bytes| str::from_utf8(bytes).ok())
        .and_then(|text| text.chars().next())
        .map_or((REPLACEMENT, 1), |c| (c, length))
}

/// The last character and its length in bytes.
pub(super) fn last_rune(text: &[u8]) -> (char, usize) {
    for length in 1..=text.len().min(4) {
        let (c, read) = first_rune(&text[text.len() - length..]);
        if read == length && (length > 1 || c.is_ascii()) {
            return (c, length);
        }
    }
    (REPLACEMENT, text.len().min(1))
}

/// How many characters there are.
pub(super) fn rune_count(text: &[u8]) -> usize {
    runes(text).count()
}

/// A text with other characters.
pub(super) fn map(text: &[u8], change: impl FnMut(char) -> char) -> Vec<u8> {
    let changed: String = runes(text).map(|(c, _)| c).map(change).collect();
    changed.into_bytes()
}

pub(super) fn push(c: char, to: &mut Vec<u8>) {
    to.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// In capitals, if that is one character.
pub(super) fn to_upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        // With an iota below, for which Rust gives the two letters that it stands for.
        _ => match u32::from(c) {
            value @ (0x1f80..0x1f88 | 0x1f90..0x1f98 | 0x1fa0..0x1fa8) => plus(value, 8, c),
            value @ (0x1fb3 | 0x1fc3 | 0x1ff3) => plus(value, 9, c),
            _ => c,
        },
    }
}

/// In small letters.
pub(super) fn to_lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// As the first letter of a word.
pub(super) fn to_title(c: char) -> char {
    match u32::from(c) {
        0x1c4..0x1c7 => '\u{1c5}',
        0x1c7..0x1ca => '\u{1c8}',
        0x1ca..0x1cd => '\u{1cb}',
        0x1f1..0x1f4 => '\u{1f2}',
        // Georgian has capitals only for whole words.
        0x10d0..0x10fb | 0x10fd..0x1100 => c,
        _ => to_upper(c),
    }
}

pub(super) fn is_letter(c: char) -> bool {
    is_in(c, &LETTERS, char::is_ascii_alphabetic(&c))
}

pub(super) fn is_digit(c: char) -> bool {
    is_in(c, &DIGITS, c.is_ascii_digit())
}

pub(super) fn is_punctuation(c: char) -> bool {
    is_in(
        c,
        &PUNCTUATION,
        // The others of them are symbols.
        c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c),
    )
}

pub(super) fn is_upper(c: char) -> bool {
    is_in(c, &UPPER, c.is_ascii_uppercase())
}

pub(super) fn is_lower(c: char) -> bool {
    is_in(c, &LOWER, c.is_ascii_lowercase())
}

pub(super) fn is_title(c: char) -> bool {
    is_letter(c) && to_title(c) == c && to_lower(c) != c && !is_upper(c)
}

/// Whether `%q` prints it as it is.
pub(super) fn is_printable(c: char) -> bool {
    is_in(c, &PRINTABLE, (' '..='~').contains(&c))
}

fn is_in(c: char, class: &ClassUnicode, ascii: bool) -> bool {
    if c.is_ascii() {
        return ascii;
    }
    let ranges = class.ranges();
    let after = ranges.partition_point(|range| range.start() <= c);
    after > 0 && c <= ranges[after - 1].end()
}

/// The characters of a class; none if the class is none.
fn class(pattern: &str) -> ClassUnicode {
    match regex_syntax::parse(pattern).map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        _ => ClassUnicode::empty(),
    }
}

fn plus(value: u32, distance: u32, otherwise: char) -> char {
    char::from_u32(value + distance).unwrap_or(otherwise)
}

// === impl Runes ===

impl<'t> Iterator for Runes<'t> {
    type Item = (char, &'t [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (c, length) = first_rune(self.0);
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        Some((c, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_is_no_text_counts_for_itself() {
        let found: Vec<(char, usize)> = runes(b"a\xe4\xbd\xc3\xa9\xff\xed\xa0\x80")
            .map(|(c, bytes)| (c, bytes.len()))
            .collect();
        let wrong = (REPLACEMENT, 1);
        assert_eq!(
            found,
            [('a', 1), wrong, wrong, ('é', 2), wrong, wrong, wrong, wrong]
        );
        assert_eq!(last_rune("né".as_bytes()), ('é', 2));
        assert_eq!(last_rune(b"n\xc3"), wrong);
        assert_eq!(last_rune(b""), (REPLACEMENT, 0));
        assert_eq!(last_rune("\u{fffd}".as_bytes()), (REPLACEMENT, 3));
    }

    #[test]
    fn case_is_changed_character_by_character() {
        assert_eq!(to_upper('ß'), 'ß');
        assert_eq!(to_upper('ŉ'), 'ŉ');
        assert_eq!(to_upper('ᾀ'), 'ᾈ');
        assert_eq!(to_upper('ᾳ'), 'ᾼ');
        assert_eq!(to_upper('ÿ'), 'Ÿ');
        assert_eq!(to_lower('İ'), 'i');
        assert_eq!(to_title('ǆ'), 'ǅ');
        assert_eq!(to_title('ა'), 'ა');
        assert!(is_title('ǅ') && is_title('ᾈ') && !is_title('A') && !is_title('a'));
        assert!(is_letter('é') && !is_letter('1') && is_printable('é') && !is_printable('\u{a0}'));
    }
}
