//! The tree as people look at it: where each rule stands, what it asks, who gets what it matches.

use serde::Serialize;

use super::rule::Rule;
use super::{Match, Place, ReceiverId, Route, Throttle};

/// A route, for people and programs. Patterns are shown as they are written.
#[derive(Debug, Serialize)]
pub struct Outline<'a> {
    path: &'a str,
    line: usize,
    drop: Vec<RuleOutline<'a>>,
    /// The share of what matches that goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<SampleOutline<'a>>,
    r#match: Vec<RuleOutline<'a>>,
    routes: Vec<Outline<'a>>,
}

#[derive(Debug, Serialize)]
struct RuleOutline<'a> {
    path: &'a str,
    line: usize,
    /// All of them have to be so.
    asks: Vec<Asked<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    throttle: Option<&'a Throttle>,
    hits: u64,
}

#[derive(Debug, Serialize)]
struct SampleOutline<'a> {
    path: &'a str,
    line: usize,
    share: f64,
}

/// A field of a rule, and what is asked of it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Asked<'a> {
    /// `reason`, `labels.app`
    pub field: &'a str,
    /// What it must match, for people.
    pub what: String,
}

// === impl Route ===

impl Route {
    /// Itself and what is below, with `hits` by rule and the names of receivers.
    pub fn outline<'a>(
        &'a self,
        hits: &[u64],
        name: &impl Fn(ReceiverId) -> &'a str,
    ) -> Outline<'a> {
        let Place { path, position } = &self.place;
        let rule = |rule: &'a Rule, receiver: Option<ReceiverId>, throttle| RuleOutline {
            path: &rule.place().path,
            line: rule.place().position.line,
            asks: rule.asked(),
            receiver: receiver.map(name),
            throttle: receiver.and(throttle),
            hits: hits.get(rule.id.0).copied().unwrap_or_default(),
        };
        let matches = self.matches.iter();
        Outline {
            path,
            line: position.line,
            drop: self.drop.iter().map(|one| rule(one, None, None)).collect(),
            sample: self.sample.as_ref().map(|sample| SampleOutline {
                path: &sample.place.path,
                line: sample.place.position.line,
                share: sample.share,
            }),
            r#match: matches
                .map(
                    |Match {
                         rule: one,
                         receiver,
                         throttle,
                     }| rule(one, *receiver, throttle.as_deref()),
                )
                .collect(),
            routes: self
                .routes
                .iter()
                .map(|below| below.outline(hits, name))
                .collect(),
        }
    }
}
