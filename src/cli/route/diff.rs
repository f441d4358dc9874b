//! `route --diff`: what one configuration would do otherwise than another, by the events of a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::super::{FAILURE, USAGE};
use super::{
    EventReader, Output, UsageError, WIDTH, about, counted, load, one_input, readable, say, shorten,
};
use crate::config::ConfigError;
use crate::event::{Event, Time, visible};
use crate::route::{ReceiverId, Route};

/// What `-o json` prints. Fields are only ever added.
#[derive(Default, Serialize)]
struct Diff {
    /// How many were read.
    events: u64,
    /// How many of them would go elsewhere.
    changed: u64,
    /// What could not be read.
    unread: u64,
    /// Between the first of the events and the last.
    seconds: u64,
    /// By name.
    receivers: BTreeMap<String, Change>,
}

/// What changes for a receiver, in deliveries.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    old: u64,
    new: u64,
    gained: u64,
    lost: u64,
    /// At the rate of the events; absent where they are too close together for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_per_day: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_per_day: Option<u64>,
    /// The first of those that are gained.
    gained_examples: Vec<String>,
    /// The first of those that are lost.
    lost_examples: Vec<String>,
}

/// One of the two configurations.
struct Side {
    names: Vec<String>,
    route: Route,
}

/// How many are shown of what a receiver gains or loses.
const EXAMPLES: usize = 3;
/// A shorter time says nothing of a day.
const LEAST_SPAN: Duration = Duration::from_mins(1);
const DAY: u64 = 24 * 60 * 60;

/// Compares. As with diff(1), 0 says that nothing changes, 1 that something does, and 2 that there is no telling.
pub(super) fn diff(
    old: &Path,
    new: &Path,
    events: &Path,
    output: Output,
) -> anyhow::Result<ExitCode> {
    for (one, other) in [(old, new), (old, events), (new, events)] {
        one_input(one, other)?;
    }
    let (old, new) = (Side::load(old)?, Side::load(new)?);
    let events = EventReader::open(events).map_err(|error| UsageError(format!("{error:#}")))?;
    let names = old.names.iter().chain(&new.names).cloned();
    let mut diff = Diff {
        receivers: names.map(|name| (name, Change::default())).collect(),
        ..Diff::default()
    };
    let mut span: Option<(Time, Time)> = None;
    let mut unread = 0;
    for event in events {
        let Some(event) = readable(event, &mut unread) else {
            continue;
        };
        diff.add(&event, &old, &new);
        let at = event.occurred();
        if at > Time::EPOCH {
            let (first, last) = span.unwrap_or((at, at));
            span = Some((first.min(at), last.max(at)));
        }
    }
    diff.unread = unread;
    diff.rate(span.map_or(Duration::ZERO, |(first, last)| first.age(last)));
    match output {
        Output::Json => say(format_args!("{}", serde_json::to_string(&diff)?))?,
        Output::Text => diff.tell()?,
    }
    Ok(match (diff.unread, diff.changed) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(FAILURE),
        _ => ExitCode::from(USAGE),
    })
}

// === impl Side ===

impl Side {
    fn load(path: &Path) -> Result<Self, ConfigError> {
        let (_, loaded, route) = load(path)?;
        let receivers = loaded.config.receivers.into_iter();
        Ok(Self {
            names: receivers.map(|receiver| receiver.name).collect(),
            route,
        })
    }

    /// How often each receiver gets the event; those that don't are left out.
    fn deliveries(&self, event: &Event) -> BTreeMap<&str, u64> {
        let mut deliveries = BTreeMap::new();
        for ReceiverId(at) in self.route.resolve(event).receivers {
            *deliveries.entry(self.names[at].as_str()).or_default() += 1;
        }
        deliveries
    }
}

// === impl Diff ===

impl Diff {
    fn add(&mut self, event: &Event, old: &Side, new: &Side) {
        let (old, new) = (old.deliveries(event), new.deliveries(event));
        self.events += 1;
        self.changed += u64::from(old != new);
        for (name, change) in &mut self.receivers {
            let of = |side: &BTreeMap<&str, u64>| side.get(name.as_str()).copied().unwrap_or(0);
            change.add(event, of(&old), of(&new));
        }
    }

    fn rate(&mut self, span: Duration) {
        self.seconds = span.as_secs();
        if span < LEAST_SPAN {
            return;
        }
        let per_day = |count: u64| Some(count.saturating_mul(DAY) / span.as_secs());
        for change in self.receivers.values_mut() {
            change.old_per_day = per_day(change.old);
            change.new_per_day = per_day(change.new);
        }
    }

    fn tell(&self) -> anyhow::Result<()> {
        let events = counted(self.events, "event", "events");
        let minutes = counted(self.seconds / 60, "minute", "minutes");
        say(format_args!(
            "{events} in {minutes}, {} would go elsewhere\n",
            self.changed
        ))?;
        let longest = self.receivers.keys().map(|name| name.chars().count()).max();
        let width = longest.unwrap_or(0).clamp("receiver".len(), 26);
        say(format_args!(
            "{:width$} {:>7} {:>7} {:>7} {:>7} {:>10} {:>10}",
            "receiver", "old", "new", "gained", "lost", "old a day", "new a day"
        ))?;
        for (name, change) in &self.receivers {
            let rate = |rate: Option<u64>| rate.map_or("-".to_owned(), |rate| rate.to_string());
            say(format_args!(
                "{:width$} {:>7} {:>7} {:>7} {:>7} {:>10} {:>10}",
                shorten(&visible(name), width),
                change.old,
                change.new,
                change.gained,
                change.lost,
                rate(change.old_per_day),
                rate(change.new_per_day)
            ))?;
        }
        for (name, change) in &self.receivers {
            change.tell_examples(name)?;
        }
        Ok(())
    }
}

// === impl Change ===

impl Change {
    fn add(&mut self, event: &Event, old: u64, new: u64) {
        self.old += old;
        self.new += new;
        self.gained += new.saturating_sub(old);
        self.lost += old.saturating_sub(new);
        let examples = if new > old {
            &mut self.gained_examples
        } else {
            &mut self.lost_examples
        };
        if new != old && examples.len() < EXAMPLES {
            examples.push(format!("{}: {}", event.key(), about(event)));
        }
    }

    fn tell_examples(&self, name: &str) -> anyhow::Result<()> {
        if self.gained + self.lost == 0 {
            return Ok(());
        }
        say(format_args!("\n{}", visible(name)))?;
        for (sign, all, examples) in [
            ('+', self.gained, &self.gained_examples),
            ('-', self.lost, &self.lost_examples),
        ] {
            for example in examples {
                let example = visible(example);
                say(format_args!("  {sign} {}", shorten(&example, WIDTH - 4)))?;
            }
            let shown = u64::try_from(examples.len()).unwrap_or(u64::MAX);
            if all > shown {
                say(format_args!("  {sign} … {all} in all"))?;
            }
        }
        Ok(())
    }
}
