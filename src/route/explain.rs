//! Why an event goes where it goes: every step of its way through the tree.

use serde::Serialize;

use super::rule::Rule;
use super::sample::{self, Sample};
use super::{Place, ReceiverId, Resolution, Route, Throttle};
use crate::event::Event;

/// A resolution with the steps that led to it.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// What comes of them.
    pub resolution: Resolution,
    /// In their order. What comes after a `drop` that matches, or a sample that the event is not in, is not asked, and is not
    /// among them.
    pub steps: Vec<Step<'a>>,
}

/// A step through the tree.
#[derive(Debug)]
pub enum Step<'a> {
    /// A rule of `drop` was tried. It ends its route if it matches.
    Drop(Verdict<'a>),
    /// A rule of `match` was tried. It delivers to the receiver, if there is one and it matches: there is none where the
    /// route's sample leaves the event out. A throttle may hold it back all the same.
    Match(Verdict<'a>, Option<ReceiverId>, Option<&'a Throttle>),
    /// The sample of a route was asked, some rule of which has matched.
    Sample {
        /// Which.
        sample: &'a Sample,
        /// Where the event's uid falls between 0 and 1.
        position: f64,
        /// Whether the event is in it, which is so below the sample's share. Its route ends here if not.
        has: bool,
    },
    /// A route below: its steps follow if it is walked.
    Route {
        /// Where it stands.
        place: &'a Place,
        /// Whether all rules above it matched.
        walked: bool,
    },
}

/// What has come of a rule.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// Where it stands.
    pub place: &'a Place,
    /// Why it does not match.
    pub failures: Vec<Failure<'a>>,
}

/// A field of a rule that an event fails.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Failure<'a> {
    /// `reason`, `labels.app`
    pub field: &'a str,
    /// Why it fails.
    #[serde(flatten)]
    pub cause: Cause<'a>,
}

/// Why a field of a rule fails. Patterns are shown as they are written; values are hostile input.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "camelCase")]
pub enum Cause<'a> {
    /// The pattern does not match the value.
    Differs {
        /// What is asked.
        pattern: &'a str,
        /// What the event has.
        value: &'a str,
    },
    /// The involved object has no such label or annotation, or none that is known.
    Absent {
        /// What is asked.
        pattern: &'a str,
    },
    /// The labels of the namespace are not known.
    Unknown {
        /// What is asked.
        pattern: &'a str,
    },
    /// The pattern is no regular expression, and never matches.
    Invalid {
        /// As it is written.
        pattern: &'a str,
    },
    /// It has not happened so often.
    TooFew {
        /// What is asked.
        least: i64,
        /// What the event has.
        value: i64,
    },
    /// The rule under `not` matches.
    Matches,
}

/// An explanation as programs get it, with the names of receivers. Fields are only ever added.
#[derive(Debug, Serialize)]
pub struct Told<'a> {
    event: String,
    /// In the order of delivery.
    receivers: Vec<&'a str>,
    /// Whether any route dropped it.
    dropped: bool,
    /// Whether any route's sample left it out.
    #[serde(rename = "sampledOut")]
    sampled_out: bool,
    steps: Vec<ToldStep<'a>>,
}

/// A rule that was tried, or a route below.
#[derive(Debug, Serialize)]
struct ToldStep<'a> {
    path: &'a str,
    line: usize,
    column: usize,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Rule {
        matches: bool,
        /// Who gets the event by this rule.
        #[serde(skip_serializing_if = "Option::is_none")]
        receiver: Option<&'a str>,
        /// What may hold it back from them.
        #[serde(skip_serializing_if = "Option::is_none")]
        throttle: Option<&'a Throttle>,
        failed: &'a [Failure<'a>],
    },
    #[serde(rename_all = "camelCase")]
    Sample {
        sample: f64,
        /// Of the event's uid, between 0 and 1.
        position: f64,
        sampled_out: bool,
    },
    Route {
        walked: bool,
    },
}

/// What is seen on the way.
pub(super) enum Seen<'a> {
    Drop(&'a Rule),
    Match(&'a Rule, Option<ReceiverId>, Option<&'a Throttle>),
    Sample(&'a Sample, bool),
    Route(&'a Route),
    PassedOver(&'a [Route]),
}

// === impl Route ===

impl Route {
    /// Where `event` goes, and why.
    pub fn explain<'a>(&'a self, event: &'a Event) -> Explanation<'a> {
        let verdict = |rule: &'a Rule| Verdict {
            place: rule.place(),
            failures: rule.failures(event).collect(),
        };
        let mut resolution = Resolution::default();
        let mut steps = Vec::new();
        self.walk(event, &mut resolution, &mut |seen| match seen {
            Seen::Drop(rule) => steps.push(Step::Drop(verdict(rule))),
            Seen::Match(rule, receiver, throttle) => {
                steps.push(Step::Match(verdict(rule), receiver, throttle));
            }
            Seen::Sample(sample, has) => steps.push(Step::Sample {
                sample,
                position: sample::position(event),
                has,
            }),
            Seen::Route(route) => steps.push(Step::of_route(route, true)),
            Seen::PassedOver(routes) => {
                steps.extend(routes.iter().map(|route| Step::of_route(route, false)));
            }
        });
        Explanation { resolution, steps }
    }
}

// === impl Explanation ===

impl Explanation<'_> {
    /// Keeps so many bytes, at the most, of each value that fails.
    pub fn shorten(&mut self, most: usize) {
        for step in &mut self.steps {
            let (Step::Drop(verdict) | Step::Match(verdict, ..)) = step else {
                continue;
            };
            for failure in &mut verdict.failures {
                if let Cause::Differs { value, .. } = &mut failure.cause {
                    *value = &value[..value.floor_char_boundary(most)];
                }
            }
        }
    }

    /// What it says of `event`, for programs.
    pub fn told<'b, 'n: 'b>(
        &'b self,
        event: &Event,
        name: &impl Fn(ReceiverId) -> &'n str,
    ) -> Told<'b> {
        let receivers = self.resolution.receivers.iter();
        Told {
            event: event.key().to_string(),
            receivers: receivers.map(|at| name(*at)).collect(),
            dropped: self.resolution.dropped,
            sampled_out: self.resolution.sampled_out > 0,
            steps: self.steps.iter().map(|step| step.told(name)).collect(),
        }
    }
}

// === impl Step ===

impl<'a> Step<'a> {
    fn of_route(route: &'a Route, walked: bool) -> Self {
        Self::Route {
            place: &route.place,
            walked,
        }
    }

    fn told<'b, 'n: 'b>(&'b self, name: &impl Fn(ReceiverId) -> &'n str) -> ToldStep<'b> {
        let rule = |verdict: &'b Verdict<'_>, receiver: Option<ReceiverId>, throttle| {
            let receiver = receiver.filter(|_| verdict.matches());
            Outcome::Rule {
                matches: verdict.matches(),
                receiver: receiver.map(name),
                throttle: receiver.and(throttle),
                failed: &verdict.failures,
            }
        };
        let place = self.place();
        ToldStep {
            path: &place.path,
            line: place.position.line,
            column: place.position.column,
            outcome: match self {
                Self::Drop(verdict) => rule(verdict, None, None),
                Self::Match(verdict, receiver, throttle) => rule(verdict, *receiver, *throttle),
                Self::Sample {
                    sample,
                    position,
                    has,
                } => Outcome::Sample {
                    sample: sample.share,
                    position: *position,
                    sampled_out: !has,
                },
                Self::Route { walked, .. } => Outcome::Route { walked: *walked },
            },
        }
    }

    /// Where the rule or route stands.
    pub fn place(&self) -> &'a Place {
        match self {
            Self::Drop(verdict) | Self::Match(verdict, ..) => verdict.place,
            Self::Sample { sample, .. } => &sample.place,
            Self::Route { place, .. } => place,
        }
    }
}

// === impl Verdict ===

impl Verdict<'_> {
    /// Whether the rule matches.
    pub fn matches(&self) -> bool {
        self.failures.is_empty()
    }
}
