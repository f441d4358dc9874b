//! Patterns: regular expressions in Go's syntax, decided by Rust's engine.
//!
//! Go's `regexp` (RE2's syntax) and the crate `regex` agree on most patterns and differ on some: classes like `\d` are
//! ASCII in Go, `[[a]` is a class of two characters, `(?x)` is unknown, `\Q…\E` quotes. So a pattern is parsed as Go
//! parses it (package regexp/syntax with its Perl flags, Go 1.20, and `(?<name>…)` of later ones), refused where Go refuses
//! it, and written anew for Rust with everything spelt out. Only whether a text matches is asked, so groups capture
//! nothing, and lazy is as good as greedy.

use std::fmt::Write as _;

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
use thiserror::Error;

/// A compiled pattern. It matches anywhere in a text unless it says otherwise.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: String,
    matcher: Matcher,
}

/// What is wrong with a pattern, as Go would say it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// `*a`
    #[error("nothing to repeat before `{0}`")]
    MissingArgument(String),
    /// `a**`
    #[error("`{0}` repeats a repetition")]
    NestedRepetition(String),
    /// `a{1001}`
    #[error("`{0}` repeats more than 1000 times")]
    RepeatSize(String),
    /// `(a`
    #[error("a `(` is not closed")]
    MissingParenthesis,
    /// `a)`
    #[error("a `)` closes nothing")]
    UnexpectedParenthesis,
    /// `[a`
    #[error("a `[` is not closed")]
    MissingBracket,
    /// `[z-a]`, `\pX`, `[[:word]]`
    #[error("`{0}` is no class or range of characters")]
    InvalidClass(String),
    /// `(?!a)`
    #[error("`{0}` is not supported: RE2 has no look-around, and of flags only i, m, s and U")]
    InvalidGroup(String),
    /// `\8`
    #[error("`{0}` is no escape")]
    InvalidEscape(String),
    /// More than Go or we take.
    #[error("too long or nested too deeply")]
    TooLarge,
}

/// How a pattern is decided: most patterns are a word, or a word between anchors.
#[derive(Debug, Clone)]
enum Matcher {
    Always,
    Contains(Box<Finder<'static>>),
    StartsWith(String),
    Equals(String),
    Regex(Regex),
}

/// Longer than anybody writes by hand.
const MAX_LENGTH: usize = 64 << 10;
/// Go's limits.
const MAX_REPEAT: u32 = 1000;
const MAX_DEPTH: usize = 1000;
/// What a compiled pattern may weigh.
const MAX_SIZE: usize = 64 << 20;

// === impl Pattern ===

impl Pattern {
    /// Compiles a pattern in Go's syntax.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        if source.len() > MAX_LENGTH {
            return Err(PatternError::TooLarge);
        }
        let matcher = match simple(source) {
            Some(matcher) => matcher,
            None => Matcher::Regex(compile(source)?),
        };
        Ok(Self {
            source: source.to_owned(),
            matcher,
        })
    }

    /// Whether it matches anywhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        match &self.matcher {
            Matcher::Always => true,
            Matcher::Contains(word) => {
                // Most texts are shorter, or the word itself.
                let text = text.as_bytes();
                text.len() >= word.needle().len()
                    && (text == word.needle() || word.find(text).is_some())
            }
            Matcher::StartsWith(word) => text.starts_with(word.as_str()),
            Matcher::Equals(word) => text == word,
            Matcher::Regex(regex) => regex.is_match(text.as_bytes()),
        }
    }

    /// Whether deciding it takes an engine, rather than a look.
    pub fn is_costly(&self) -> bool {
        matches!(self.matcher, Matcher::Regex(_))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

/// A word, `^word`, `^word$`, or what matches everything.
fn simple(source: &str) -> Option<Matcher> {
    if matches!(source, "" | ".*") {
        return Some(Matcher::Always);
    }
    let plain = |word: &str| {
        (!word.contains(|c: char| "\\.+*?()|[]{}^$".contains(c))).then(|| word.to_owned())
    };
    match source.strip_prefix('^') {
        None => {
            let word = plain(source)?;
            Some(Matcher::Contains(Box::new(
                Finder::new(word.as_bytes()).into_owned(),
            )))
        }
        Some(rest) => match rest.strip_suffix('$') {
            None => plain(rest).map(Matcher::StartsWith),
            Some(word) => plain(word).map(Matcher::Equals),
        },
    }
}

fn compile(source: &str) -> Result<Regex, PatternError> {
    let rust = Translator::new(source).translate()?;
    RegexBuilder::new(&rust)
        .size_limit(MAX_SIZE)
        .dfa_size_limit(MAX_SIZE / 8)
        .nest_limit(u32::try_from(4 * MAX_DEPTH).unwrap_or(u32::MAX))
        .build()
        .map_err(|_| PatternError::TooLarge)
}

/// Go's flags. `U` swaps greedy and lazy, which no match depends on.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
}

/// What has been read of the innermost group.
#[derive(Default)]
struct Group {
    /// Alternatives that are complete.
    alternatives: Vec<String>,
    /// The parts of the current one.
    parts: Vec<Part>,
    /// To return to at its end.
    flags: Flags,
}

/// A part of a concatenation, in Rust's syntax, complete in itself.
struct Part {
    rust: String,
    /// The largest product of nested repetitions in it, for Go's limit.
    repeats: u32,
}

struct Translator<'s> {
    rest: &'s str,
    flags: Flags,
    groups: Vec<Group>,
    group: Group,
}

impl<'s> Translator<'s> {
    fn new(source: &'s str) -> Self {
        Self {
            rest: source,
            flags: Flags::default(),
            groups: Vec::new(),
            group: Group::default(),
        }
    }

    fn translate(mut self) -> Result<String, PatternError> {
        let mut repeated: Option<&'s str> = None;
        while let Some(c) = self.rest.chars().next() {
            let before = self.rest;
            let mut repetition = None;
            match c {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.advance(1);
                    self.end_alternative();
                }
                '*' | '+' | '?' => {
                    let (low, high) = match c {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.advance(1);
                    repetition = Some(self.repeat(low, high, before, repeated)?);
                }
                '{' => match counts(self.rest) {
                    None => self.literal('{'),
                    Some((low, high, length)) => {
                        self.advance(length);
                        let text = &before[..length];
                        if low > MAX_REPEAT
                            || high.is_some_and(|high| high > MAX_REPEAT || high < low)
                        {
                            return Err(PatternError::RepeatSize(text.to_owned()));
                        }
                        repetition = Some(self.repeat(low, high, before, repeated)?);
                    }
                },
                '[' => {
                    let class = self.class()?;
                    self.push(class_rust(&class));
                }
                '.' => {
                    self.advance(1);
                    self.push(
                        if self.flags.dot_newline {
                            "(?s:.)"
                        } else {
                            "[^\\n]"
                        }
                        .to_owned(),
                    );
                }
                '^' => {
                    self.advance(1);
                    self.push(
                        if self.flags.multi_line {
                            "(?m:^)"
                        } else {
                            "\\A"
                        }
                        .to_owned(),
                    );
                }
                '$' => {
                    self.advance(1);
                    self.push(
                        if self.flags.multi_line {
                            "(?m:$)"
                        } else {
                            "\\z"
                        }
                        .to_owned(),
                    );
                }
                '\\' => self.escape()?,
                c => self.literal(c),
            }
            repeated = repetition;
        }
        if !self.groups.is_empty() {
            return Err(PatternError::MissingParenthesis);
        }
        Ok(self.end_group().rust)
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn push(&mut self, rust: String) {
        self.group.parts.push(Part { rust, repeats: 1 });
    }

    /// The character that comes next, as itself.
    fn literal(&mut self, c: char) {
        self.advance(c.len_utf8());
        self.character(c);
    }

    fn character(&mut self, c: char) {
        let fold = if self.flags.fold_case { "i" } else { "-i" };
        self.push(format!("(?{fold}:\\x{{{:x}}})", u32::from(c)));
    }

    fn end_alternative(&mut self) {
        let parts = std::mem::take(&mut self.group.parts);
        self.group
            .alternatives
            .push(parts.into_iter().map(|part| part.rust).collect());
    }

    /// Closes the current group, of which nothing is left.
    fn end_group(&mut self) -> Part {
        let repeats = self
            .group
            .parts
            .iter()
            .map(|part| part.repeats)
            .max()
            .unwrap_or(1);
        self.end_alternative();
        let alternatives = std::mem::take(&mut self.group.alternatives);
        Part {
            rust: format!("(?:{})", alternatives.join("|")),
            repeats,
        }
    }

    fn open(&mut self) -> Result<(), PatternError> {
        if self.groups.len() >= MAX_DEPTH {
            return Err(PatternError::TooLarge);
        }
        let before = self.rest;
        let Some(special) = self.rest.strip_prefix("(?") else {
            self.advance(1);
            self.begin_group(self.flags);
            return Ok(());
        };
        for prefix in ["P<", "<"] {
            if let Some(named) = special.strip_prefix(prefix) {
                let name = named.split_once('>').map(|(name, _)| name).filter(|name| {
                    !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
                });
                let name = name.ok_or_else(|| PatternError::InvalidGroup(excerpt(before, 12)))?;
                self.advance(2 + prefix.len() + name.len() + 1);
                self.begin_group(self.flags);
                return Ok(());
            }
        }
        self.open_flags(special)
            .ok_or_else(|| PatternError::InvalidGroup(excerpt(before, 4)))
    }

    /// `(?i)`, which holds to the end of the group around it, or `(?i:…)`.
    fn open_flags(&mut self, special: &'s str) -> Option<()> {
        let mut flags = self.flags;
        let (mut on, mut some) = (true, false);
        for (at, c) in special.char_indices() {
            match c {
                'i' => flags.fold_case = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_newline = on,
                'U' => {}
                '-' if on => {
                    on = false;
                    some = false;
                    continue;
                }
                ':' | ')' => {
                    if !on && !some {
                        return None;
                    }
                    self.advance(2 + at + 1);
                    if c == ':' {
                        self.begin_group(self.flags);
                    }
                    self.flags = flags;
                    return Some(());
                }
                _ => return None,
            }
            some = true;
        }
        None
    }

    fn begin_group(&mut self, flags: Flags) {
        let outer = std::mem::replace(
            &mut self.group,
            Group {
                flags,
                ..Group::default()
            },
        );
        self.groups.push(outer);
    }

    fn close(&mut self) -> Result<(), PatternError> {
        let Some(outer) = self.groups.pop() else {
            return Err(PatternError::UnexpectedParenthesis);
        };
        self.advance(1);
        let part = self.end_group();
        self.flags = self.group.flags;
        self.group = outer;
        self.group.parts.push(part);
        Ok(())
    }

    /// Repeats the last part; `before` is where the operator begins, `repeated` where the last one began, if that was an
    /// operator too.
    fn repeat(
        &mut self,
        low: u32,
        high: Option<u32>,
        before: &'s str,
        repeated: Option<&'s str>,
    ) -> Result<&'s str, PatternError> {
        // Lazy is as good as greedy.
        if self.rest.starts_with('?') {
            self.advance(1);
        }
        let operator = |from: &str| from[..from.len() - self.rest.len()].to_owned();
        if let Some(repeated) = repeated {
            return Err(PatternError::NestedRepetition(operator(repeated)));
        }
        let Some(part) = self.group.parts.last_mut() else {
            return Err(PatternError::MissingArgument(operator(before)));
        };
        let times = if before.starts_with('{') {
            high.unwrap_or(low).max(1)
        } else {
            1
        };
        part.repeats = part.repeats.saturating_mul(times);
        if part.repeats > MAX_REPEAT {
            return Err(PatternError::RepeatSize(operator(before)));
        }
        let bounds = match high {
            None => format!("{{{low},}}"),
            Some(high) => format!("{{{low},{high}}}"),
        };
        part.rust = format!("(?:{}){bounds}", part.rust);
        Ok(before)
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let invalid = |text: &str| Err(PatternError::InvalidEscape(excerpt(text, 2)));
        let before = self.rest;
        let Some(c) = before[1..].chars().next() else {
            return invalid(before);
        };
        match c {
            'A' | 'z' | 'b' | 'B' => {
                self.advance(2);
                let rust = match c {
                    'A' => "\\A",
                    'z' => "\\z",
                    'b' => "(?-u:\\b)",
                    _ => "(?-u:\\B)",
                };
                self.push(rust.to_owned());
                Ok(())
            }
            'Q' => {
                let quoted = &before[2..];
                let (text, length) = match quoted.split_once("\\E") {
                    Some((text, _)) => (text, text.len() + 2),
                    None => (quoted, quoted.len()),
                };
                self.advance(2 + length);
                text.chars().for_each(|c| self.character(c));
                Ok(())
            }
            _ => {
                let mut class = ClassUnicode::empty();
                if self.class_escape(&mut class)? {
                    self.push(class_rust(&class));
                } else {
                    let c = self.escaped_character()?;
                    self.character(c);
                }
                Ok(())
            }
        }
    }

    /// Reads `\d`, `\pL` and their like into `class`. False if the escape is none of them.
    fn class_escape(&mut self, class: &mut ClassUnicode) -> Result<bool, PatternError> {
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
    fn escaped_character(&mut self) -> Result<char, PatternError> {
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
    fn class(&mut self) -> Result<ClassUnicode, PatternError> {
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

/// `{n}`, `{n,}` and `{n,m}` with their length; anything else is no repetition. What overflows is too large all the same.
fn counts(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let (inner, _) = text.strip_prefix('{')?.split_once('}')?;
    let number = |digits: &str| {
        let legal = !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits.len() == 1 || !digits.starts_with('0'));
        legal.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (low, high) = match inner.split_once(',') {
        None => (number(inner)?, Some(number(inner)?)),
        Some((low, "")) => (number(low)?, None),
        Some((low, high)) => (number(low)?, Some(number(high)?)),
    };
    Some((low, high, inner.len() + 2))
}

fn hex(digits: &str) -> Option<u32> {
    let legal = !digits.is_empty()
        && digits.len() <= 8
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    legal
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

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
            // Go knows scripts by their long names: `Latin`, not `Latn`.
            if !words || name.len() < 2 || !name.starts_with(|c: char| c.is_ascii_uppercase()) {
                return None;
            }
            format!("\\p{{Script={name}}}")
        }
    };
    match regex_syntax::parse(&query).ok()?.into_kind() {
        regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => Some(class),
        _ => None,
    }
}

/// A class with every range spelt out, proof against all flags.
fn class_rust(class: &ClassUnicode) -> String {
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

fn excerpt(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests;
