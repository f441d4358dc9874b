//! What of a configuration does something else than it seems to.

use super::{OpenSearchConfig, Target, setup};
use crate::event::Compat;
use crate::sink::templates::lint_no_value;
use crate::yaml::{Problem, Value};

// === impl OpenSearchConfig ===

impl OpenSearchConfig {
    /// What of it has no effect.
    pub fn lint(&self, compat: Compat, warnings: &mut Vec<Problem>) {
        if !self.document_type.is_empty() {
            warnings.push(self.document_type.problem(
                "without effect: no server that is left knows types of documents; leave it out",
            ));
        }
        // Both alike are common, and harmless.
        let differs = self.index.value != self.index_format.value;
        if differs && !self.index.is_empty() && !self.index_format.is_empty() {
            warnings.push(
                self.index.problem(
                    "without effect: `indexFormat` comes before it; leave one of them out",
                ),
            );
        }
        for text in [&self.index, &self.index_format, &self.data_stream] {
            lint_no_value(text, warnings);
        }
        if !self.data_stream.is_empty() && !self.has_time(compat) {
            warnings.push(self.data_stream.problem(
                "its documents have no `@timestamp`, without which a data stream takes none: give it in `layout`, leave `compat: strict` out, or have a \
                 pipeline of the server add it",
            ));
        }
        Target::lint(&self.index, &self.index_format, warnings);
        setup::lint(self, warnings);
        // One that is there and empty may stand for a variable that is not set everywhere.
        let [username, password, ..] = self.credentials();
        let pairs = [
            (password, username, "a password needs a `username`"),
            (username, password, "a user needs a `password`"),
        ];
        for (given, missing, wrong) in pairs {
            if !given.is_empty() && !missing.is_given() {
                let message =
                    format!("without effect: {wrong}, and requests go out without either");
                warnings.push(given.place().problem(message));
            }
        }
    }

    /// Whether documents say when they are of, where data streams look for it.
    fn has_time(&self, compat: Compat) -> bool {
        match self.layout() {
            Some(Value::Map(fields)) => fields.iter().any(|(key, _)| key == "@timestamp"),
            Some(_) => false,
            None => compat != Compat::Strict,
        }
    }
}
