//! The Filter: a rule of one's own, written as pairs such as `reason=BackOff` and `labels.app=web`.

use serde_json::{Map, Value};

use super::pattern::{Pattern, PatternError};
use super::rule::{Rule, RuleConfig};
use crate::event::{Event, visible};
use crate::yaml::{self, Located};

/// A rule that belongs to no tree.
#[derive(Debug)]
pub struct Filter(Rule);

/// Whoever asks shares the one thread and the memory with the events: so many pairs, so long, and so heavy when compiled.
const MAX_PAIRS: usize = 16;
const MAX_PATTERN_LENGTH: usize = 256;
const MAX_PATTERN_SIZE: usize = 256 << 10;

/// Why pairs are no rule, in one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoFilter(String);

// === impl Filter ===

impl Filter {
    /// Compiles pairs of a rule's field and its pattern; without any, every event matches. What a configuration only warns
    /// of, such as an unknown field, is an error: whoever filters is there to put it right.
    pub fn compile<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, NoFilter> {
        let mut fields = Map::new();
        for (at, (field, pattern)) in pairs.enumerate() {
            if at >= MAX_PAIRS {
                return Err(NoFilter(format!(
                    "a filter has {MAX_PAIRS} fields at the most"
                )));
            }
            // What is no regular expression is told with its place, below.
            let pattern_fits = Pattern::within(pattern, MAX_PATTERN_LENGTH, MAX_PATTERN_SIZE);
            if let Err(PatternError::TooLarge) = pattern_fits {
                let field = visible(field);
                return Err(NoFilter(format!(
                    "{field}: the pattern is too large for a filter"
                )));
            }
            insert(&mut fields, field, field, pattern)?;
        }
        // A dollar is a dollar: nothing here comes from the environment.
        let text = Value::Object(fields).to_string().replace('$', "$$");
        let told = |problem: &yaml::Problem| {
            // As a configuration's key would be.
            let message = problem.message.replace(", ignored", "");
            NoFilter(format!("{}: {message}", problem.path))
        };
        let parsed = yaml::parse::<Located<RuleConfig>>(&text, &|_| None);
        let parsed = parsed.map_err(|problem| told(&problem))?;
        let mut warnings = parsed.warnings;
        let rule = Rule::compile(&parsed.value, &mut warnings);
        match warnings.first() {
            Some(problem) => Err(told(problem)),
            None => Ok(Self(rule)),
        }
    }

    /// Whether it lets an event through.
    pub fn matches(&self, event: &Event) -> bool {
        self.0.matches(event)
    }
}

/// Puts a field where it belongs: `labels.app` below `labels`, `not.kind` below `not`.
fn insert(
    to: &mut Map<String, Value>,
    field: &str,
    whole: &str,
    pattern: &str,
) -> Result<(), NoFilter> {
    let twice = || NoFilter(format!("`{}` is given twice", visible(whole)));
    let Some((section @ ("labels" | "annotations" | "namespaceLabels" | "not"), rest)) =
        field.split_once('.')
    else {
        // The only one that is no text.
        let number = pattern.parse::<i64>().ok().filter(|_| field == "minCount");
        let value = number.map_or_else(|| Value::from(pattern), Value::from);
        let before = to.insert(field.to_owned(), value);
        return before.map_or(Ok(()), |_| Err(twice()));
    };
    let below = to.entry(section).or_insert_with(|| Map::new().into());
    let below = below.as_object_mut().ok_or_else(twice)?;
    if section == "not" {
        return insert(below, rest, whole, pattern);
    }
    let before = below.insert(rest.to_owned(), pattern.into());
    before.map_or(Ok(()), |_| Err(twice()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::InvolvedObject;

    fn filter(pairs: &[&str]) -> Result<Filter, String> {
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        Filter::compile(pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn pairs_are_a_rule() {
        let labels = [("app.kubernetes.io/name".to_owned(), "web$1".to_owned())];
        let event = Event {
            kind: "Warning".into(),
            reason: "BackOff".into(),
            count: 5,
            involved_object: InvolvedObject {
                kind: "Pod".into(),
                labels: labels.into(),
                ..InvolvedObject::default()
            },
            ..Event::default()
        };
        for (pairs, matches) in [
            (&[][..], true),
            (&["type=Warning", "reason=^Back|^Pull", "minCount=5"], true),
            (&["type=Warning", "reason=^Pull"], false),
            (&["minCount=6"], false),
            (&["labels.app.kubernetes.io/name=^web\\$1$"], true),
            (&["labels.app=web"], false),
            // Not known.
            (&["namespaceLabels.team=payments"], false),
            (&["not.kind=^Pod$", "not.type=Normal"], true),
            (&["not.kind=^Pod$"], false),
        ] {
            assert_eq!(filter(pairs).unwrap().matches(&event), matches, "{pairs:?}");
        }
    }

    #[test]
    fn what_is_no_rule_is_told_in_a_line() {
        let long = format!("reason={}", "x".repeat(MAX_PATTERN_LENGTH + 1));
        let many: Vec<String> = (0..=MAX_PAIRS)
            .map(|at| format!("labels.l{at}=x"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            filter(&many).unwrap_err(),
            "a filter has 16 fields at the most"
        );
        for (pairs, told) in [
            (
                &["reson=x"][..],
                "reson: unknown key `reson`; did you mean `reason`?",
            ),
            (&["type=a", "type=b"], "`type` is given twice"),
            (&["labels.a=a", "labels=b"], "`labels` is given twice"),
            (&["reason=*x"], "reason: the pattern `*x` never matches"),
            (&["minCount=many"], "minCount: expected"),
            (
                &["reason=\\pL{1000}"],
                "reason: the pattern is too large for a filter",
            ),
            (&[&*long], "reason: the pattern is too large for a filter"),
        ] {
            let error = filter(pairs).unwrap_err();
            assert!(error.starts_with(told) && !error.contains('\n'), "{error}");
        }
    }
}
