//! How long events are kept, and when a new index begins.

use super::SetupConfig;
use crate::yaml::{Located, Problem, Problems};

/// How long events are kept, and when a new index begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Retention {
    /// `None`: for ever.
    pub kept: Option<Age>,
    pub max_age: Age,
    /// As servers write it.
    pub max_size: String,
}

/// Whole hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Age(u32);

const HOURS: u32 = 24;

// === impl Retention ===

impl Retention {
    /// What `config` says, and the usual for what it does not say.
    pub fn new(config: Option<&SetupConfig>) -> Result<Self, Problems> {
        let mut retention = Self {
            kept: Some(Age::days(30)),
            max_age: Age::days(1),
            max_size: "20gb".to_owned(),
        };
        let Some(config) = config else {
            return Ok(retention);
        };
        let mut problems = Problems::default();
        match &config.retention {
            Some(text) if text.trim() == "forever" => retention.kept = None,
            Some(text) => retention.kept = problems.ok(Age::parse(text)),
            None => {}
        }
        if let Some(text) = &config.rollover.max_age
            && let Some(age) = problems.ok(Age::parse(text))
        {
            retention.max_age = age;
        }
        if let Some(text) = &config.rollover.max_size
            && let Some(size) = problems.ok(size(text))
        {
            retention.max_size = size;
        }
        problems.or(retention)
    }
}

// === impl Age ===

impl Age {
    pub const fn days(days: u32) -> Self {
        Self(days * HOURS)
    }

    /// The age of an index of so many `days`, the last of whose events has this age but for a day.
    pub fn of_index(self, days: u32) -> Self {
        Self(self.0.saturating_add((days - 1) * HOURS))
    }

    fn parse(text: &Located<String>) -> Result<Self, Problem> {
        let hours = match text
            .trim()
            .split_at_checked(text.trim().len().saturating_sub(1))
        {
            Some((days, "d")) => days.parse::<u32>().ok().and_then(|d| d.checked_mul(HOURS)),
            Some((hours, "h")) => hours.parse().ok(),
            _ => None,
        };
        match hours {
            Some(hours) if hours > 0 => Ok(Self(hours)),
            _ => Err(text.problem(format!(
                "`{}` is no age: write for example 30d or 12h",
                text.shown()
            ))),
        }
    }
}

impl std::fmt::Display for Age {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 % HOURS {
            0 => write!(f, "{}d", self.0 / HOURS),
            _ => write!(f, "{}h", self.0),
        }
    }
}

fn size(text: &Located<String>) -> Result<String, Problem> {
    let size = text.trim().to_ascii_lowercase();
    let number = size.strip_suffix("mb").or_else(|| size.strip_suffix("gb"));
    match number.and_then(|number| number.trim().parse::<u32>().ok()) {
        Some(number) if number > 0 => Ok(size.replace(' ', "")),
        _ => Err(text.problem(format!(
            "`{}` is no size of an index: write for example 20gb or 500mb",
            text.shown()
        ))),
    }
}
