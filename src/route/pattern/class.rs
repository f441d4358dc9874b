//! Classes of characters, as Go reads them.

use std::fmt::Write as _;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::PatternError;
use super::translate::{Translator, excerpt};

impl Translator<'_> {
    /// Reads `\d`, `\pL` and their like into `class`. False if the escape is none of them.
    pub(super) fn class_escape(&mut self, class: &mut ClassUnicode) -> Result<bool, PatternError> {
        let mut chars = self.rest.chars();
        let (Some('\\'), Some(c)) = (chars.next(), chars.next()) else {
            return Ok(false);
        };
        if let Some(set) = perl_class(c.to_ascii_lowercase()) {
            self.advance(2);
            self.add(class, set, c.is_ascii_uppercase());
            return Ok(true);
        }
        if c != 'p' && c != 'P' {
            return Ok(false);
        }
        let invalid = |text: &str| PatternError::InvalidClass(text.to_owned());
        let after = &self.rest[2..];
        let (name, length) = if let Some(named) = after.strip_prefix('{') {
            let (name, _) = named.split_once('}').ok_or_else(|| invalid(self.rest))?;
            (name, 2 + 1 + name.len() + 1)
        } else {
            let c = after.chars().next().ok_or_else(|| invalid(self.rest))?;
            (&after[..c.len_utf8()], 2 + c.len_utf8())
        };
        let text = &self.rest[..length];
        let (name, negated) = match name.strip_prefix('^') {
            Some(name) => (name, c == 'p'),
            None => (name, c == 'P'),
        };
        let set = unicode_class(name).ok_or_else(|| invalid(text))?;
        self.add(class, set, negated);
        self.advance(length);
        Ok(true)
    }

    /// Adds a set to a class as the flags want it: folded first, then negated.
    fn add(&self, class: &mut ClassUnicode, mut set: ClassUnicode, negated: bool) {
        if self.flags.fold_case {
            set.case_fold_simple();
        }
        if negated {
            set.negate();
        }
        class.union(&set);
    }

    /// Reads an escape that stands for one character.
    pub(super) fn escaped_character(&mut self) -> Result<char, PatternError> {
        let before = self.rest;
        let invalid = || PatternError::InvalidEscape(excerpt(before, 2));
        let c = before[1..].chars().next().ok_or_else(invalid)?;
        let (value, length) = match c {
            '0'..='7' => {
                // One octal digit alone would be a reference to a group, which RE2 doesn't have.
                let digits = before[1..]
                    .bytes()
                    .take(3)
                    .take_while(|byte| (b'0'..=b'7').contains(byte))
                    .count();
                if c != '0' && digits == 1 {
                    return Err(invalid());
                }
                (
                    u32::from_str_radix(&before[1..=digits], 8).map_err(|_| invalid())?,
                    1 + digits,
                )
            }
            'x' if before[2..].starts_with('{') => {
                let (digits, _) = before[3..].split_once('}').ok_or_else(invalid)?;
                (hex(digits).ok_or_else(invalid)?, 2 + 1 + digits.len() + 1)
            }
            'x' => {
                let digits = before.get(2..4).ok_or_else(invalid)?;
                (hex(digits).ok_or_else(invalid)?, 4)
            }
            'a' => (7, 2),
            'f' => (12, 2),
            'n' => (10, 2),
            'r' => (13, 2),
            't' => (9, 2),
            'v' => (11, 2),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => (u32::from(c), 2),
            _ => return Err(invalid()),
        };
        self.advance(length);
        char::from_u32(value).ok_or_else(invalid)
    }

    /// Reads `[…]`.
    pub(super) fn class(&mut self) -> Result<ClassUnicode, PatternError> {
        let whole = self.rest;
        self.advance(1);
        let negated = self.rest.starts_with('^');
        if negated {
            self.advance(1);
        }
        let mut class = ClassUnicode::empty();
        let mut first = true;
        loop {
            let before = self.rest;
            let c = before.chars().next().ok_or(PatternError::MissingBracket)?;
            if c == ']' && !first {
                self.advance(1);
                break;
            }
            // POSIX wants a minus to be first, last or a range; Perl doesn't mind, and neither does Go.
            first = false;
            if let Some(length) = before.strip_prefix("[:").and_then(|named| named.find(":]")) {
                let text = &before[..length + 4];
                let name = &text[2..length + 2];
                let (name, negated) = match name.strip_prefix('^') {
                    Some(name) => (name, true),
                    None => (name, false),
                };
                let set =
                    posix_class(name).ok_or_else(|| PatternError::InvalidClass(text.to_owned()))?;
                self.add(&mut class, set, negated);
                self.advance(text.len());
                continue;
            }
            if self.class_escape(&mut class)? {
                continue;
            }
            let low = self.class_character()?;
            let mut high = low;
            // `a-]` is a minus before the end.
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1 {
                self.advance(1);
                high = self.class_character()?;
                if high < low {
                    let text = &before[..before.len() - self.rest.len()];
                    return Err(PatternError::InvalidClass(text.to_owned()));
                }
            }
            self.add(&mut class, ranges(&[(low, high)]), false);
        }
        if whole.len() == self.rest.len() {
            return Err(PatternError::MissingBracket);
        }
        if negated {
            class.negate();
        }
        Ok(class)
    }

    fn class_character(&mut self) -> Result<char, PatternError> {
        let c = self
            .rest
            .chars()
            .next()
            .ok_or(PatternError::MissingBracket)?;
        if c == '\\' {
            return self.escaped_character();
        }
        self.advance(c.len_utf8());
        Ok(c)
    }
}

fn hex(digits: &str) -> Option<u32> {
    let legal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    legal
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

/// A class of some ranges, both ends of each included.
fn ranges(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(
        ranges
            .iter()
            .map(|&(low, high)| ClassUnicodeRange::new(low, high)),
    )
}

/// `\d`, `\s` and `\w`, of ASCII.
fn perl_class(c: char) -> Option<ClassUnicode> {
    Some(match c {
        'd' => ranges(&[('0', '9')]),
        's' => ranges(&[('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')]),
        'w' => ranges(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
        _ => return None,
    })
}

/// `alpha` of `[[:alpha:]]`
fn posix_class(name: &str) -> Option<ClassUnicode> {
    Some(match name {
        "alnum" => ranges(&[('0', '9'), ('A', 'Z'), ('a', 'z')]),
        "alpha" => ranges(&[('A', 'Z'), ('a', 'z')]),
        "ascii" => ranges(&[('\0', '\u{7f}')]),
        "blank" => ranges(&[('\t', '\t'), (' ', ' ')]),
        "cntrl" => ranges(&[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')]),
        "digit" => ranges(&[('0', '9')]),
        "graph" => ranges(&[('!', '~')]),
        "lower" => ranges(&[('a', 'z')]),
        "print" => ranges(&[(' ', '~')]),
        "punct" => ranges(&[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
        "space" => ranges(&[('\t', '\r'), (' ', ' ')]),
        "upper" => ranges(&[('A', 'Z')]),
        "word" => ranges(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
        "xdigit" => ranges(&[('0', '9'), ('A', 'F'), ('a', 'f')]),
        _ => return None,
    })
}

/// A general category, `Any`, or a script, by the names that Go's `unicode` package has for them.
fn unicode_class(name: &str) -> Option<ClassUnicode> {
    const CATEGORIES: &str = " C Cc Cf Co L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs ";
    const FOUR_LETTERS: [&str; 9] = [
        "Ahom", "Cham", "Kawi", "Lisu", "Miao", "Modi", "Newa", "Thai", "Toto",
    ];
    let query = match name {
        "Any" => return Some(ranges(&[('\0', char::MAX)])),
        // Surrogates, of which a text has none.
        "Cs" => return Some(ClassUnicode::empty()),
        // Go's C has no unassigned code points.
        "C" => "[\\p{Cc}\\p{Cf}\\p{Co}]".to_owned(),
        _ if CATEGORIES.contains(&format!(" {name} ")) => format!("\\p{{{name}}}"),
        _ => {
            let words = name.split('_').all(|word| {
                let mut chars = word.chars();
                chars.next().is_some_and(|c| c.is_ascii_alphabetic())
                    && chars.all(|c| c.is_ascii_lowercase())
            });
            // Go knows scripts by their long names: `Latin`, not `Latn`. Their codes have four letters, as these names do.
            let is_code = name.len() == 4 && !FOUR_LETTERS.contains(&name);
            let is_upper = name.starts_with(|c: char| c.is_ascii_uppercase());
            if !words || is_code || name.len() < 2 || !is_upper {
                return None;
            }
            format!("\\p{{Script={name}}}")
        }
    };
    match regex_syntax::parse(&query).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        // A class of one.
        HirKind::Literal(literal) => {
            let c = str::from_utf8(&literal.0).ok()?.chars().next()?;
            Some(ranges(&[(c, c)]))
        }
        _ => None,
    }
}

/// A class with every range spelt out, proof against all flags.
pub(super) fn written(class: &ClassUnicode) -> String {
    if class.ranges().is_empty() {
        // Matches nothing.
        return "[^\\x{0}-\\x{10FFFF}]".to_owned();
    }
    let mut rust = "(?-i:[".to_owned();
    for range in class.ranges() {
        let (low, high) = (u32::from(range.start()), u32::from(range.end()));
        // Writing to a string does not fail.
        let _ = write!(rust, "\\x{{{low:x}}}-\\x{{{high:x}}}");
    }
    rust.push_str("])");
    rust
}
