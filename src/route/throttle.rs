//! What a throttle is: how long its period, and which events count as one kind. Whether it holds an event back depends on
//! those before, and is decided where receivers are served: see [`crate::throttle`].

use std::hash::{BuildHasher, Hash as _, Hasher as _};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::Place;
use super::rule::{Of, TEXTS};
use crate::event::Event;
use crate::yaml::{Located, Problem, duration, nearest};

/// A throttle as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ThrottleConfig {
    /// Of each kind, at most one event in this time.
    pub period: Located<String>,
    /// What events of one kind have in common: `involvedObject`, or texts as rules call them. `involvedObject` and `reason`
    /// if it is left out.
    pub by: Option<Vec<Located<String>>>,
}

/// At most one event of a kind in a while.
#[derive(Debug, Serialize)]
pub struct Throttle {
    /// How long.
    #[serde(skip)]
    pub period: Duration,
    /// The same as it is written.
    #[serde(rename = "period")]
    pub written: String,
    by: Vec<By>,
    #[serde(skip)]
    place: Place,
}

/// What events of one kind have in common.
#[derive(Debug)]
struct By {
    name: &'static str,
    /// `None` for the involved object: its kind, namespace and name, so that one which is made anew is the same.
    text: Option<Of>,
}

const OBJECT: By = By {
    name: "involvedObject",
    text: None,
};
const REASON: By = By {
    name: "reason",
    text: Some(|event| &event.reason),
};
const SHORTEST: Duration = Duration::from_secs(1);

// === impl Throttle ===

impl Throttle {
    pub(super) fn compile(config: &Located<ThrottleConfig>) -> Result<Self, Problem> {
        if config.period.is_empty() {
            return Err(config.problem("a throttle needs a `period`, such as 5m"));
        }
        let by = match &config.by {
            Some(by) => by.iter().map(By::named).collect::<Result<_, _>>()?,
            None => vec![OBJECT, REASON],
        };
        Ok(Self {
            period: duration(&config.period, SHORTEST)?,
            written: config.period.value.clone(),
            by,
            place: Place::of(config),
        })
    }

    /// Tells the kind of an event from others, those of other throttles too.
    pub fn kind(&self, event: &Event, hasher: &impl BuildHasher) -> u64 {
        let mut kind = hasher.build_hasher();
        self.place.path.hash(&mut kind);
        for By { name, text } in &self.by {
            name.hash(&mut kind);
            if let Some(text) = text {
                text(event).hash(&mut kind);
            } else {
                let object = &event.involved_object;
                (&object.kind, &object.namespace, &object.name).hash(&mut kind);
            }
        }
        kind.finish()
    }

    /// What events of one kind have in common, for people.
    pub fn by(&self) -> String {
        let names: Vec<&str> = self.by.iter().map(|by| by.name).collect();
        names.join(", ")
    }
}

/// In a tree of routes, the place tells one from others.
impl PartialEq for Throttle {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Throttle {}

// === impl By ===

impl By {
    fn named(name: &Located<String>) -> Result<Self, Problem> {
        let texts = TEXTS.map(|(name, _, of)| Self {
            name,
            text: Some(of),
        });
        let known: Vec<Self> = [OBJECT].into_iter().chain(texts).collect();
        let names: Vec<&str> = known.iter().map(|by| by.name).collect();
        let found = known.into_iter().find(|by| by.name == name.value);
        found.ok_or_else(|| {
            let hint = match nearest(&name.value, names.iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("there are {}", names.join(", ")),
            };
            let shown = name.shown();
            name.problem(format!("events can't be told apart by `{shown}`: {hint}"))
        })
    }
}

impl Serialize for By {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}
