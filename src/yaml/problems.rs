//! Several mistakes told at once.

use std::fmt;

use super::Problem;

/// All that is wrong with something: as much as one look can tell. As an error it is never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

// === impl Problems ===

impl Problems {
    /// Keeps what is wrong, and hands on what was made. So the rest can be looked at before giving up:
    ///
    /// ```text
    /// let (url, body) = (problems.ok(url(config)), problems.ok(body(config)));
    /// let (Some(url), Some(body)) = (url, body) else { return Err(problems) };
    /// ```
    pub fn ok<T>(&mut self, result: Result<T, impl Into<Self>>) -> Option<T> {
        result
            .map_err(|problems| self.0.append(&mut problems.into().0))
            .ok()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Leaves out what is nowhere: something that is missing, mostly.
    pub fn retain_placed(&mut self) {
        self.0.retain(|problem| problem.position.line > 0);
    }

    /// Each of them, in the order in which they were found.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// `value`, if nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let separator = if at > 0 { "; " } else { "" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self(problems.into_iter().collect())
    }
}
