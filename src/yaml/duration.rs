//! Durations, as configurations write them.

use std::time::Duration;

use super::{Located, Problem};

const LONGEST: Duration = Duration::from_hours(24);

/// `500ms`, `2s`, `1m30s`, `1h`, from `shortest` to a day.
pub fn duration(value: &Located<String>, shortest: Duration) -> Result<Duration, Problem> {
    let parsed = jiff::fmt::friendly::SpanParser::new().parse_unsigned_duration(value.value.trim());
    match parsed {
        Ok(duration) if duration < shortest => {
            Err(value.problem(format!("must be at least {shortest:?}")))
        }
        Ok(duration) if duration > LONGEST => Err(value.problem("must be at most 24h")),
        Ok(duration) => Ok(duration),
        Err(_) => Err(value.problem(format!(
            "`{}` is no duration: write for example 500ms, 2s or 1m30s",
            value.shown()
        ))),
    }
}
