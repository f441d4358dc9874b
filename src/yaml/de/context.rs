//! What is the same for every node, and what is told while nodes are read.

use std::cell::RefCell;

use super::{Path, shorten};
use crate::yaml::nearest::nearest;
use crate::yaml::node::Entry;
use crate::yaml::{Advice, Environment, Problem, Sections};

/// What is the same for every node.
pub(in crate::yaml) struct Context<'a> {
    pub(super) env: Environment<'a>,
    sections: Sections<'a>,
    warnings: RefCell<Vec<Problem>>,
    /// Keys that can't be ignored.
    refused: RefCell<Vec<Problem>>,
    /// Values that stand for nothing that is known.
    unknown: RefCell<Vec<Problem>>,
}

// === impl Context ===

impl<'a> Context<'a> {
    pub(in crate::yaml) fn new(env: Environment<'a>, sections: Sections<'a>) -> Self {
        Self {
            env,
            sections,
            warnings: RefCell::default(),
            refused: RefCell::default(),
            unknown: RefCell::default(),
        }
    }

    /// Tells of a value that can't be known; what stands in its place is nothing.
    pub(in crate::yaml) fn unknown_value(&self, problem: Problem) {
        self.unknown.borrow_mut().push(problem);
    }

    /// Takes what was told of values that can't be known.
    pub(in crate::yaml) fn take_unknown_values(&self) -> Vec<Problem> {
        self.unknown.take()
    }

    pub(in crate::yaml) fn warn(&self, problem: Problem) {
        self.warnings.borrow_mut().push(problem);
    }

    /// How much has been told, for [`Context::forget`].
    pub(in crate::yaml) fn told(&self) -> usize {
        self.warnings.borrow().len()
    }

    /// Forgets what was told of the nodes: they are read once more.
    pub(in crate::yaml) fn forget(&self, told: usize) {
        self.warnings.borrow_mut().truncate(told);
        self.refused.borrow_mut().clear();
    }

    /// Keys that can't be ignored, and warnings, in the order of the text.
    pub(in crate::yaml) fn into_findings(self) -> (Vec<Problem>, Vec<Problem>) {
        let mut warnings = self.warnings.into_inner();
        warnings.sort_by_key(|warning| warning.position);
        (self.refused.into_inner(), warnings)
    }

    /// Tells of a key that the section at `parent` does not know.
    pub(super) fn unknown(&self, parent: &Path<'_>, fields: &[&str], entry: &Entry) {
        let advice = (self.sections)(&parent.to_string(), &entry.key);
        let problem = |message: String| Problem {
            path: Path::Key(parent, &entry.key).to_string(),
            position: entry.position,
            message,
        };
        let hint = match advice {
            Some(Advice::Refuse(message)) => {
                self.refused.borrow_mut().push(problem(message));
                return;
            }
            Some(Advice::Hint(hint)) => format!("; {hint}"),
            None => match nearest(&entry.key, fields.iter().copied()) {
                Some(near) => format!("; did you mean `{near}`?"),
                None if fields.len() <= 12 => format!("; known are {}", fields.join(", ")),
                None => String::new(),
            },
        };
        self.warn(problem(format!(
            "unknown key `{}`, ignored{hint}",
            shorten(&entry.key)
        )));
    }
}
