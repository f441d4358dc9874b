//! What came of it, for people.

use std::fmt;

use super::plan::VERSION;

/// What came of one thing that there is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// `index template`; empty for the whole.
    pub what: &'static str,
    /// What it is called.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was there.
    Unchanged,
    /// It was missing.
    Created,
    /// It is missing.
    WouldCreate,
    /// It was another.
    Replaced,
    /// It is another.
    WouldReplace,
    /// It is another, and is left alone.
    Differs {
        /// The first difference.
        at: String,
        /// If an exporter of another version has made it, that of what it made.
        version: Option<u64>,
    },
    /// The server does not want it.
    Refused(String),
    /// The server has no policies.
    NoPolicies,
    /// An index has the name that the alias should have.
    NoAlias,
    /// An index or an alias has the name that the data stream should have.
    NoStream,
    /// Nothing is deleted, and why.
    Kept(&'static str),
    /// Amazon's serverless.
    Serverless,
}

// === impl Report ===

impl Report {
    pub(super) fn nothing(name: &str, outcome: Outcome) -> Self {
        Self {
            what: "",
            name: name.to_owned(),
            outcome,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.what.is_empty() {
            write!(f, "{} ", self.what)?;
        }
        write!(f, "{}: {}", self.name, self.outcome)
    }
}

// === impl Outcome ===

impl Outcome {
    /// Whether something is missing that should be there.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::NoPolicies | Self::NoStream)
    }

    /// Whether somebody should know, though nobody asked.
    pub(super) fn is_odd(&self) -> bool {
        self.is_failure()
            || matches!(
                self,
                Self::Differs { .. } | Self::NoAlias | Self::Serverless
            )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged => f.write_str("unchanged"),
            Self::Created => f.write_str("created"),
            Self::WouldCreate => f.write_str("would create"),
            Self::Replaced => f.write_str("replaced"),
            Self::WouldReplace => f.write_str("would replace"),
            Self::Differs {
                version: Some(version),
                ..
            } => {
                let whose = if *version < VERSION { "an older" } else { "a newer" };
                write!(f, "is {whose} exporter's (use --overwrite)")
            }
            Self::Differs { at, version: None } => {
                write!(f, "differs in {at} (use --overwrite)")
            }
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::NoPolicies => f.write_str(
                "the server has no policies for indices: nothing is deleted or rolled over by age",
            ),
            Self::NoAlias => f.write_str(
                "is an index, and only an alias rolls over: nothing is deleted by age; for that, write to a data stream, an index by date, or another name",
            ),
            Self::NoStream => f.write_str(
                "an index or an alias has this name, and keeps what it has for ever: write to a data stream of another name, or delete what is there",
            ),
            Self::Kept(why) => f.write_str(why),
            Self::Serverless => {
                f.write_str("Amazon's serverless is set up in its own console: nothing is done")
            }
        }
    }
}
