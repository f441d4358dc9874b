//! JSON values out of a stream, with the lines where they begin. What is torn or no JSON costs its own line.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read as _};

use serde_json::value::RawValue;

/// Splits a stream into values: lines of JSON, values over many lines, several on one.
pub struct Values<R> {
    input: R,
    /// How many lines have been read.
    line: u64,
    /// Lines that have to be looked at again, each by itself, since they were no value together.
    again: VecDeque<Vec<u8>>,
    /// Values of the last text, with their lines.
    found: VecDeque<(u64, Found)>,
    /// Nothing more can be read.
    broken: bool,
}

/// A value, or why there is none.
pub type Found = Result<Box<RawValue>, NoValue>;

/// What is no value.
#[derive(Debug, thiserror::Error)]
pub enum NoValue {
    /// It can't be read.
    #[error("cannot read on")]
    Unread(#[from] io::Error),
    /// No JSON.
    #[error("this is no JSON: {0}")]
    NoJson(String),
    /// Longer than anything that holds events.
    #[error("this is longer than {} MiB", MAX_BYTES >> 20)]
    TooLong,
}

/// Where a text stands between the lines of JSON.
#[derive(Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

/// Of one value: a List of all that a cluster remembers is about a tenth.
const MAX_BYTES: u64 = 1 << 30;
const BOM: &[u8] = b"\xef\xbb\xbf";

// === impl Values ===

impl<R: BufRead> Values<R> {
    /// The values of `input`.
    pub fn new(input: R) -> Self {
        Self {
            input,
            line: 0,
            again: VecDeque::new(),
            found: VecDeque::new(),
            broken: false,
        }
    }

    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = self.again.pop_front().unwrap_or_default();
        if line.is_empty() {
            (&mut self.input)
                .take(MAX_BYTES)
                .read_until(b'\n', &mut line)?;
        }
        if line.is_empty() {
            return Ok(None);
        }
        if self.line == 0 && line.starts_with(BOM) {
            line.drain(..BOM.len());
        }
        self.line += 1;
        Ok(Some(line))
    }

    /// Reads lines until the values in them are whole. `None` at the end.
    fn read(&mut self) -> Result<Option<()>, (u64, NoValue)> {
        let start = self.line + 1;
        let by_itself = !self.again.is_empty();
        let (mut text, mut ends, mut nesting) = (Vec::new(), Vec::new(), Nesting::default());
        loop {
            let line = self.next_line().map_err(|error| (start, error.into()))?;
            let is_end = line.is_none();
            if is_end && text.is_empty() {
                return Ok(None);
            }
            let line = line.unwrap_or_default();
            if line.len() as u64 >= MAX_BYTES {
                return Err((start, NoValue::TooLong));
            }
            nesting.over(&line);
            text.extend_from_slice(&line);
            if !is_end {
                ends.push(text.len());
            }
            let is_torn = is_end || text.len() as u64 > MAX_BYTES;
            if is_torn && ends.len() > 1 {
                // Nothing after the first line can be told to belong to it.
                self.split(&text[..ends[0]], start);
                self.look_again(&text, &ends, start, start);
                return Ok(Some(()));
            }
            if by_itself || is_torn || nesting.is_over() {
                self.split(&text, start);
                if ends.len() > 1
                    && let Some((wrong, _)) = self.found.iter().find(|(_, it)| it.is_err())
                {
                    let wrong = *wrong;
                    self.found.retain(|(_, found)| found.is_err());
                    self.look_again(&text, &ends, start, wrong);
                }
                return Ok(Some(()));
            }
        }
    }

    /// Lines that are no value together may have values in them, each by itself. What is `wrong` is told already.
    fn look_again(&mut self, text: &[u8], ends: &[usize], start: u64, wrong: u64) {
        let starts = std::iter::once(&0).chain(ends);
        for (line, (&from, &to)) in (start..).zip(starts.zip(ends)) {
            let again = if line == wrong {
                &b"\n"[..]
            } else {
                &text[from..to]
            };
            self.again.push_back(again.to_vec());
        }
        self.line = start - 1;
    }

    /// Finds the values in a text that begins on the line `start`.
    fn split(&mut self, text: &[u8], start: u64) {
        // What is cut off ends on its own line.
        let text = text.trim_ascii_end();
        // What is no UTF-8 is U+FFFD, as Go has it.
        let text = String::from_utf8_lossy(text);
        let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Box<RawValue>>();
        let text = text.as_bytes();
        let (mut line, mut counted) = (start, 0);
        loop {
            let rest = text.get(values.byte_offset()..).unwrap_or_default();
            let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
            let begin = text.len() - rest.len() + space.count();
            line += lines(&text[counted..begin]);
            counted = begin;
            match values.next() {
                None => return,
                Some(Ok(value)) => self.found.push_back((line, Ok(value))),
                Some(Err(error)) => {
                    let line = start + u64::try_from(error.line()).unwrap_or(1) - 1;
                    // Without serde's own line, which counts from the start of this text.
                    let message = error.to_string();
                    let message = message.split(" at line ").next().unwrap_or_default();
                    let message = format!("{message} at column {}", error.column());
                    self.found
                        .push_back((line.max(start), Err(NoValue::NoJson(message))));
                    return;
                }
            }
        }
    }
}

impl<R: BufRead> Iterator for Values<R> {
    type Item = (u64, Found);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Some(found);
            }
            if self.broken {
                return None;
            }
            match self.read() {
                Ok(Some(())) => {}
                Ok(None) => return None,
                Err((line, error)) => {
                    self.broken = true;
                    return Some((line, Err(error)));
                }
            }
        }
    }
}

/// How many lines end in `text`.
fn lines(text: &[u8]) -> u64 {
    u64::try_from(memchr::memchr_iter(b'\n', text).count()).unwrap_or(u64::MAX)
}

// === impl Nesting ===

impl Nesting {
    fn over(&mut self, line: &[u8]) {
        for &byte in line {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// At the end of a line: a string can't go on to the next.
    fn is_over(&self) -> bool {
        self.in_string || self.depth == 0
    }
}
