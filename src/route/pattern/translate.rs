//! Parses a pattern as Go does, and writes it anew for Rust.

use regex_syntax::hir::ClassUnicode;

use super::PatternError;
use super::class::written;

/// Go's limits.
const MAX_REPEAT: u32 = 1000;
pub(super) const MAX_DEPTH: usize = 1000;

/// What is asked of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Whether a text matches: groups capture nothing, and lazy is as good as greedy.
    Match,
    /// Where it matches, and what its groups capture.
    Captures,
}

/// `source` in Rust's syntax.
pub(super) fn translate(source: &str, wanted: Wanted) -> Result<String, PatternError> {
    Translator::new(source, wanted).translate()
}

/// Go's flags.
#[expect(clippy::struct_excessive_bools, reason = "as many as Go has")]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
    /// Greedy is lazy, and lazy is greedy.
    swap_greed: bool,
}

/// What has been read of the innermost group.
struct Group {
    /// Alternatives that are complete.
    alternatives: Vec<String>,
    /// The parts of the current one.
    parts: Vec<Part>,
    /// What it begins with in Rust's syntax.
    opening: String,
    /// To return to at its end.
    flags: Flags,
}

/// A part of a concatenation, in Rust's syntax, complete in itself.
struct Part {
    rust: String,
    /// The largest product of nested repetitions in it, for Go's limit.
    repeats: u32,
}

pub(super) struct Translator<'s> {
    pub(super) rest: &'s str,
    pub(super) flags: Flags,
    groups: Vec<Group>,
    group: Group,
    wanted: Wanted,
    /// How many groups have names so far.
    names: usize,
}

/// What begins a group that captures nothing.
const PLAIN: &str = "(?:";

// === impl Group ===

impl Group {
    fn new(flags: Flags, opening: String) -> Self {
        Self {
            alternatives: Vec::new(),
            parts: Vec::new(),
            opening,
            flags,
        }
    }
}

// === impl Translator ===

impl<'s> Translator<'s> {
    fn new(source: &'s str, wanted: Wanted) -> Self {
        Self {
            rest: source,
            flags: Flags::default(),
            groups: Vec::new(),
            group: Group::new(Flags::default(), PLAIN.to_owned()),
            wanted,
            names: 0,
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
                    self.push(written(&class));
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

    pub(super) fn advance(&mut self, bytes: usize) {
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
            rust: format!("{}{})", self.group.opening, alternatives.join("|")),
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
            self.begin_group("(".to_owned());
            return Ok(());
        };
        for prefix in ["P<", "<"] {
            if let Some(named) = special.strip_prefix(prefix) {
                let name = named.split_once('>').map(|(name, _)| name).filter(|name| {
                    !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
                });
                let name = name.ok_or_else(|| PatternError::InvalidGroup(excerpt(before, 12)))?;
                self.advance(2 + prefix.len() + name.len() + 1);
                // Go's names may begin with a digit, and be there twice: Rust's may not.
                self.names += 1;
                self.begin_group(format!("(?P<n{}_{name}>", self.names));
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
                'U' => flags.swap_greed = on,
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
                        self.begin_group(PLAIN.to_owned());
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

    /// `opening` counts only if captures are wanted.
    fn begin_group(&mut self, opening: String) {
        let opening = match self.wanted {
            Wanted::Match => PLAIN.to_owned(),
            Wanted::Captures => opening,
        };
        let group = Group::new(self.flags, opening);
        let outer = std::mem::replace(&mut self.group, group);
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
        let is_swapped = self.rest.starts_with('?');
        if is_swapped {
            self.advance(1);
        }
        let is_lazy = self.wanted == Wanted::Captures && is_swapped != self.flags.swap_greed;
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
        let lazy = if is_lazy { "?" } else { "" };
        part.rust = format!("(?:{}){bounds}{lazy}", part.rust);
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
                    self.push(written(&class));
                } else {
                    let c = self.escaped_character()?;
                    self.character(c);
                }
                Ok(())
            }
        }
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

pub(super) fn excerpt(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
