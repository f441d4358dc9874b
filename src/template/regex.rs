//! Regular expressions of templates: compiled once, and matched as Go matches.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use regex::bytes::{Captures, Regex};

use super::context::Context;
use super::failure::{Failure, Result};
use super::runes::{first_rune, is_digit, is_letter, push, runes};
use crate::route::pattern;

/// Compiled expressions of one template, kept from one event to the next.
#[derive(Debug, Default)]
pub(super) struct Regexes {
    /// The ones that were compiled last at the end.
    compiled: Mutex<Kept>,
}

/// Expressions by their patterns.
type Kept = VecDeque<(Box<[u8]>, Arc<Regex>)>;

/// A text to match. Go takes each byte that is no UTF-8 for U+FFFD, so that is what the expression sees.
pub(super) struct Haystack<'t> {
    text: &'t [u8],
    seen: Cow<'t, [u8]>,
    /// For each place in what is seen, the one in the text; nothing if they are the same.
    places: Vec<usize>,
}

/// Where an expression matches: its start and end, and those of its groups, in bytes of the text.
pub(super) struct Match(pub(super) Vec<Option<(usize, usize)>>);

/// How many expressions are kept. They may come from events.
const MAX_KEPT: usize = 32;
/// What compiling one costs, whatever it is.
const COMPILING: usize = 8_000;

// === impl Regexes ===

impl Regexes {
    /// Compiles an expression in Go's syntax, or finds it.
    pub(super) fn get(&self, pattern: &[u8], context: &Context<'_>) -> Result<Arc<Regex>> {
        let find = |compiled: &Kept| {
            let found = compiled.iter().find(|(other, _)| **other == *pattern);
            found.map(|(_, regex)| Arc::clone(regex))
        };
        let lock = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(regex) = find(&lock()) {
            return Ok(regex);
        }
        context.spend(COMPILING)?;
        let source = str::from_utf8(pattern)
            .map_err(|_| Failure::new("the regular expression is no UTF-8"))?;
        let regex = pattern::capturing(source)
            .map_err(|error| Failure::new(format!("the regular expression is invalid: {error}")))?;
        let regex = Arc::new(regex);
        let mut compiled = lock();
        if compiled.len() >= MAX_KEPT {
            compiled.pop_front();
        }
        compiled.push_back((pattern.into(), Arc::clone(&regex)));
        Ok(regex)
    }
}

// === impl Haystack ===

impl<'t> Haystack<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        if str::from_utf8(text).is_ok() {
            return Self {
                text,
                seen: Cow::Borrowed(text),
                places: Vec::new(),
            };
        }
        let (mut seen, mut places, mut place) = (Vec::new(), Vec::new(), 0);
        for (c, bytes) in runes(text) {
            places.resize(places.len() + c.len_utf8(), place);
            push(c, &mut seen);
            place += bytes.len();
        }
        places.push(place);
        Self {
            text,
            seen: Cow::Owned(seen),
            places,
        }
    }

    pub(super) fn is_match(&self, regex: &Regex) -> bool {
        regex.is_match(&self.seen)
    }

    /// The next place in the text that is seen at `place` or later.
    fn seen_at(&self, place: usize) -> usize {
        if self.places.is_empty() {
            place
        } else {
            self.places.partition_point(|&other| other < place)
        }
    }

    fn place(&self, seen_at: usize) -> usize {
        self.places.get(seen_at).copied().unwrap_or(seen_at)
    }

    /// The first match from `start` on; what is before counts as before it. Its groups are told only if they are wanted:
    /// it takes longer.
    pub(super) fn find_at(&self, regex: &Regex, start: usize, groups: bool) -> Option<Match> {
        let mut start = self.seen_at(start);
        while start <= self.seen.len() {
            let found = if groups {
                Match::of(&regex.captures_at(&self.seen, start)?)
            } else {
                let whole = regex.find_at(&self.seen, start)?;
                Match(vec![Some((whole.start(), whole.end()))])
            };
            let (at, _) = found.whole();
            // Rust finds `\B` inside of characters too.
            let is_inside = |byte: &u8| *byte & 0b1100_0000 == 0b1000_0000;
            if !self.seen.get(at).is_some_and(is_inside) {
                return Some(found.in_text(|at| self.place(at)));
            }
            let inside = self.seen[at..].iter().take_while(|byte| is_inside(byte));
            start = at + inside.count();
        }
        None
    }

    /// Up to `limit` matches, as Go finds them: an empty one right behind another does not count.
    pub(super) fn find_all(
        &self,
        regex: &Regex,
        limit: usize,
        context: &Context<'_>,
    ) -> Result<Vec<(usize, usize)>> {
        let (mut found, mut at, mut last_end) = (Vec::new(), 0, None);
        while found.len() < limit && at <= self.text.len() {
            let next = self.find_at(regex, at, false);
            let Some((start, end)) = next.map(|found| found.whole()) else {
                break;
            };
            context.spend_search(end - at)?;
            let mut counts = true;
            if end == at {
                counts = last_end != Some(start);
                at += first_rune(&self.text[at..]).1.max(1);
            } else {
                at = end;
            }
            last_end = Some(end);
            if counts {
                found.push((start, end));
            }
        }
        Ok(found)
    }

    /// The text with other text for each match. An empty match right behind another is left alone.
    pub(super) fn replace_all(
        &self,
        regex: &Regex,
        context: &Context<'_>,
        groups: bool,
        mut append: impl FnMut(&Match, &mut Vec<u8>) -> Result<()>,
    ) -> Result<Vec<u8>> {
        let (mut replaced, mut at, mut last_end) = (Vec::new(), 0, 0);
        while at <= self.text.len() {
            let Some(found) = self.find_at(regex, at, groups) else {
                break;
            };
            let (start, end) = found.whole();
            context.spend_search(end.saturating_sub(at))?;
            replaced.extend_from_slice(self.text.get(last_end..start).unwrap_or_default());
            context.check_length(replaced.len())?;
            if end > last_end || start == 0 {
                append(&found, &mut replaced)?;
            }
            last_end = end;
            let width = first_rune(&self.text[at..]).1;
            at = end.max(at + width.max(1));
        }
        replaced.extend_from_slice(&self.text[last_end..]);
        Ok(replaced)
    }
}

// === impl Match ===

impl Match {
    fn of(captures: &Captures<'_>) -> Self {
        let groups = captures.iter();
        Self(
            groups
                .map(|group| group.map(|group| (group.start(), group.end())))
                .collect(),
        )
    }

    /// With places of the text for those of what is seen.
    fn in_text(self, place: impl Fn(usize) -> usize) -> Self {
        let groups = self.0.into_iter();
        Self(
            groups
                .map(|group| group.map(|(start, end)| (place(start), place(end))))
                .collect(),
        )
    }

    pub(super) fn whole(&self) -> (usize, usize) {
        self.0.first().copied().flatten().unwrap_or_default()
    }

    /// Appends `template` with what the groups captured for `$1` and `${name}`.
    pub(super) fn expand(
        &self,
        template: &[u8],
        text: &[u8],
        regex: &Regex,
        context: &Context<'_>,
        to: &mut Vec<u8>,
    ) -> Result<()> {
        let mut rest = template;
        while let Some(at) = memchr::memchr(b'$', rest) {
            to.extend_from_slice(&rest[..at]);
            context.check_length(to.len())?;
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(b"$") {
                to.push(b'$');
                rest = after;
                continue;
            }
            let Some((name, after)) = reference(rest) else {
                to.push(b'$');
                continue;
            };
            rest = after;
            if let Some((start, end)) = self.group(name, regex) {
                context.spend_bytes(end - start)?;
                to.extend_from_slice(&text[start..end]);
            }
        }
        to.extend_from_slice(rest);
        context.check_length(to.len())
    }

    /// What a group captured: one with a number, or the first with a name that captured anything.
    fn group(&self, name: &[u8], regex: &Regex) -> Option<(usize, usize)> {
        let is_number = name.len() <= 9
            && name.iter().all(u8::is_ascii_digit)
            && (name.len() == 1 || !name.starts_with(b"0"));
        if is_number {
            let number: usize = str::from_utf8(name).ok()?.parse().ok()?;
            return self.0.get(number).copied().flatten();
        }
        let is_name = |other: &str| pattern::group_name(other).as_bytes() == name;
        let mut groups = self.0.iter().zip(regex.capture_names());
        groups.find_map(|(group, other)| group.filter(|_| other.is_some_and(is_name)))
    }
}

/// The name of a group behind `$`, as long as it goes, and what follows it.
fn reference(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (is_braced, text) = match text.strip_prefix(b"{") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let is_name = |&(c, _): &(char, &[u8])| is_letter(c) || is_digit(c) || c == '_';
    let length: usize = runes(text)
        .take_while(is_name)
        .map(|(_, bytes)| bytes.len())
        .sum();
    let (name, rest) = text.split_at(length);
    if name.is_empty() {
        return None;
    }
    if is_braced {
        return rest.strip_prefix(b"}").map(|rest| (name, rest));
    }
    Some((name, rest))
}

#[cfg(test)]
mod tests {
    use std::cell::OnceCell;

    use super::*;
    use crate::event::Event;

    /// Does something in a rendering.
    fn rendering<T>(work: impl FnOnce(&Context<'_>) -> Result<T>) -> T {
        let (event, cell, regexes) = (Event::default(), OnceCell::new(), Regexes::default());
        work(&Context::new(&event, &cell, &regexes)).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    fn replaced(pattern: &str, text: &[u8], with: &str) -> String {
        let replaced = rendering(|context| {
            let regex = context.regexes.get(pattern.as_bytes(), context)?;
            Haystack::new(text).replace_all(&regex, context, true, |found, to| {
                found.expand(with.as_bytes(), text, &regex, context, to)
            })
        });
        String::from_utf8_lossy(&replaced).into_owned()
    }

    fn found(pattern: &str, text: &[u8], limit: usize) -> Vec<String> {
        let found = rendering(|context| {
            let regex = context.regexes.get(pattern.as_bytes(), context)?;
            Haystack::new(text).find_all(&regex, limit, context)
        });
        let texts = found.into_iter().map(|(start, end)| &text[start..end]);
        texts
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect()
    }

    #[test]
    fn groups_are_captured_and_expanded() {
        for (pattern, text, with, expected) in [
            ("a(b)?c", "abcac", "<$1>", "<b><>"),
            ("(?P<x>.)(?<y>.)", "abcd", "${y}$x", "badc"),
            ("(a)", "a", "$1W|${1}W|$$1|$|${1|$0", "|aW|$1|$|${1|a"),
            ("(?P<1x>a)", "a", "${1x}$01", "a"),
            ("(?P<a>a)|(?P<a>b)", "ab", "<$a>", "<a><b>"),
            ("a*?", "aa", "-", "-a-a-"),
            ("a*", "baac", "-", "-b-c-"),
            ("(?U)a+(?-U:b+)", "aabb", "<$0>", "<aabb>"),
            ("(?U)a+?(b+)", "aabb", "<$1>", "<b>b"),
            ("\\B", "éa", "-", "-éa"),
            ("", "é", "-", "-é-"),
            ("b*", "", "-", "-"),
        ] {
            assert_eq!(
                replaced(pattern, text.as_bytes(), with),
                expected,
                "{pattern}"
            );
        }
        assert_eq!(replaced(".", b"\xc3a", "x"), "xx");
        assert_eq!(replaced("a", b"\xc3a\xff", "x"), "\u{fffd}x\u{fffd}");
    }

    #[test]
    fn empty_matches_are_found_as_in_go() {
        assert_eq!(found("a*", b"baac", usize::MAX), ["", "aa", ""]);
        assert_eq!(found("", "é".as_bytes(), usize::MAX), ["", ""]);
        assert_eq!(found("a", b"aaa", 2), ["a", "a"]);
        assert!(found("a", b"aaa", 0).is_empty());
        assert_eq!(found("\u{fffd}", b"a\xe4\xbd", usize::MAX).len(), 2);
    }

    #[test]
    fn expressions_are_kept_up_to_a_limit() {
        let regexes = Regexes::default();
        let get = |pattern: &[u8]| rendering(|context| Ok(regexes.get(pattern, context).ok()));
        let first = get(b"a").expect("a pattern");
        assert!(Arc::ptr_eq(&first, &get(b"a").expect("a pattern")));
        for number in 0..2 * MAX_KEPT {
            get(number.to_string().as_bytes()).expect("a pattern");
        }
        let kept = regexes.compiled.lock().expect("no panic").len();
        assert_eq!(kept, MAX_KEPT);
        for wrong in [&b"("[..], b"\xff", b"(?x)a"] {
            assert!(get(wrong).is_none());
        }
    }
}
