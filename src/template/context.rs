//! What a rendering has at hand, and what it may use up.

use std::cell::{Cell, OnceCell, RefCell};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Event;

use super::failure::{Failure, Result};
use super::regex::Regexes;
use super::value::{Dict, Entries, Value};

/// One rendering of one event.
pub(super) struct Context<'e> {
    /// The event.
    pub(super) event: &'e Event,
    /// The event without dots in the keys of its maps, once it is asked for.
    pub(super) without_dots: &'e OnceCell<Event>,
    /// Expressions that were compiled before.
    pub(super) regexes: &'e Regexes,
    /// How much work is left.
    work: Cell<usize>,
    /// A limit that was reached: no function can make that good by giving something else.
    exceeded: Cell<Option<&'static str>>,
    /// When the first regular expression was used.
    started: Cell<Option<Instant>>,
    /// All that were made.
    dicts: RefCell<Vec<Dict<'e>>>,
}

/// How much one rendering may do: a step of the template counts as one, a function by the bytes that it reads and writes
/// too. Many thousand times what a template does that says something to somebody.
const MAX_WORK: usize = 1 << 19;
/// How many bytes of a value count as one step.
const BYTES_A_STEP: usize = 64;
/// How long a rendering may search for regular expressions, from the first on.
const MAX_SEARCH: Duration = Duration::from_secs(1);
/// How long a text may grow.
pub(super) const MAX_TEXT: usize = 8 << 20;

// === impl Context ===

impl<'e> Context<'e> {
    pub(super) fn new(
        event: &'e Event,
        without_dots: &'e OnceCell<Event>,
        regexes: &'e Regexes,
    ) -> Self {
        Self {
            event,
            without_dots,
            regexes,
            work: Cell::new(MAX_WORK),
            exceeded: Cell::new(None),
            started: Cell::new(None),
            dicts: RefCell::default(),
        }
    }

    /// The rendering has reached a limit: it fails, whatever comes after.
    pub(super) fn exceed(&self, limit: &'static str) -> Failure {
        self.exceeded.set(Some(limit));
        Failure::suspect(limit)
    }

    /// Fails if a limit was reached, and somebody has made something else of the failure.
    pub(super) fn check_limits(&self) -> Result<()> {
        self.exceeded
            .get()
            .map_or(Ok(()), |limit| Err(Failure::suspect(limit)))
    }

    /// Takes note of work. Fails when there has been too much of it.
    pub(super) fn spend(&self, steps: usize) -> Result<()> {
        match self.work.get().checked_sub(steps) {
            Some(left) => {
                self.work.set(left);
                Ok(())
            }
            None => Err(self.exceed("the template takes too long")),
        }
    }

    /// Takes note of bytes that are read or written. Fails if that makes too long a text.
    pub(super) fn spend_bytes(&self, bytes: usize) -> Result<()> {
        self.check_length(bytes)?;
        self.spend(1 + bytes / BYTES_A_STEP)
    }

    /// Fails if a text is too long.
    pub(super) fn check_length(&self, bytes: usize) -> Result<()> {
        if bytes > MAX_TEXT {
            return Err(self.exceed("the template's output is too long"));
        }
        Ok(())
    }

    /// Takes note of a search for a regular expression, of which the work cannot be told: some read far beyond what they
    /// find, again and again. So their time is limited.
    pub(super) fn spend_search(&self, bytes: usize) -> Result<()> {
        self.spend(1 + bytes / BYTES_A_STEP)?;
        let now = Instant::now();
        let started = self.started.get().unwrap_or(now);
        self.started.set(Some(started));
        if now.duration_since(started) > MAX_SEARCH {
            return Err(self.exceed("the template's regular expressions take too long"));
        }
        Ok(())
    }

    /// Takes note of a value that is read or written.
    pub(super) fn spend_value(&self, value: &Value<'e>) -> Result<()> {
        match value {
            Value::Text(text, _) => self.spend_bytes(text.len()),
            Value::List(list) => self.spend(1 + list.values.len()),
            Value::Dict(dict) => self.spend(1 + dict.len()),
            Value::Strings(strings) => self.spend(1 + strings.len()),
            Value::Version(version) => self.spend(1 + version.weight() / BYTES_A_STEP),
            _ => self.spend(1),
        }
    }

    /// Makes a dict. It is emptied when the rendering is over: it might hold itself, and would stay for ever.
    pub(super) fn dict(&self, entries: Entries<'e>) -> Value<'e> {
        let dict = Dict::new(entries);
        self.dicts.borrow_mut().push(dict.clone());
        Value::Dict(dict)
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        for dict in self.dicts.take() {
            dict.clear();
        }
    }
}
