//! Patterns: regular expressions in Go's syntax, decided by Rust's engine.
//!
//! Go's `regexp` (RE2's syntax) and the crate `regex` agree on most patterns and differ on some: classes like `\d` are
//! ASCII in Go, `[[a]` is a class of two characters, `(?x)` is unknown, `\Q…\E` quotes. So a pattern is parsed as Go
//! parses it (package regexp/syntax with its Perl flags, Go 1.20, and `(?<name>…)` of later ones), refused where Go refuses
//! it, and written anew for Rust with everything spelt out. Rules ask only whether a text matches, so there groups capture
//! nothing, and lazy is as good as greedy; templates ask for more.

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

use self::translate::{MAX_DEPTH, Wanted, translate};

mod class;
mod translate;

/// A compiled pattern. It matches anywhere in a text unless it says otherwise.
#[derive(Debug, Clone)]
pub struct Pattern(Matcher);

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
    /// One with `\B`, which the engine finds inside of characters too.
    BetweenCharacters(Regex),
}

/// Longer than anybody writes by hand.
const MAX_LENGTH: usize = 64 << 10;
/// What a compiled pattern may weigh.
const MAX_SIZE: usize = 64 << 20;

// === impl Pattern ===

impl Pattern {
    /// Compiles a pattern in Go's syntax.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        Self::within(source, MAX_LENGTH, MAX_SIZE)
    }

    /// The same for one that may be no longer, and weigh no more once it is compiled.
    pub fn within(source: &str, max_length: usize, max_size: usize) -> Result<Self, PatternError> {
        if source.len() > max_length {
            return Err(PatternError::TooLarge);
        }
        if let Some(matcher) = simple(source) {
            return Ok(Self(matcher));
        }
        let regex = build(&translate(source, Wanted::Match)?, max_size)?;
        Ok(Self(if source.contains("\\B") {
            Matcher::BetweenCharacters(regex)
        } else {
            Matcher::Regex(regex)
        }))
    }

    /// Whether it matches anywhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        match &self.0 {
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
            Matcher::BetweenCharacters(regex) => {
                let mut from = 0;
                while let Some(found) = regex.find_at(text.as_bytes(), from) {
                    if text.is_char_boundary(found.start()) {
                        return true;
                    }
                    from = found.start() + 1;
                }
                false
            }
        }
    }

    /// The one text that it matches, where it is written so: `^text$`.
    pub fn exact(&self) -> Option<&str> {
        match &self.0 {
            Matcher::Equals(text) => Some(text),
            _ => None,
        }
    }

    /// Whether deciding it takes an engine, rather than a look.
    pub fn is_costly(&self) -> bool {
        matches!(self.0, Matcher::Regex(_) | Matcher::BetweenCharacters(_))
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

/// Compiles a pattern in Go's syntax for who asks where it matches, and what its groups capture. [`group_name`] knows how
/// they are called. It may come from an event, so it may weigh less than one of the configuration.
pub fn capturing(source: &str) -> Result<Regex, PatternError> {
    if source.len() > MAX_LENGTH {
        return Err(PatternError::TooLarge);
    }
    build(&translate(source, Wanted::Captures)?, MAX_SIZE / 16)
}

/// The name that a pattern has for a group of [`capturing`].
pub fn group_name(name: &str) -> &str {
    name.split_once('_').map_or(name, |(_, name)| name)
}

fn build(rust: &str, max_size: usize) -> Result<Regex, PatternError> {
    RegexBuilder::new(rust)
        .size_limit(max_size)
        .dfa_size_limit(max_size / 8)
        .nest_limit(u32::try_from(4 * MAX_DEPTH).unwrap_or(u32::MAX))
        .build()
        .map_err(|_| PatternError::TooLarge)
}

#[cfg(test)]
mod tests;
