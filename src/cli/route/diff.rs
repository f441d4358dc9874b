//! `route --diff`: what one configuration would do otherwise than another, by the events of a file or of a cluster.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::super::{FAILURE, USAGE, compile};
use super::{
    Output, RouteArgs, UsageError, WIDTH, about, counted, one_input, readable, say, shorten,
};
use crate::config::{self, ConfigError, Fingerprints};
use crate::enrich::LookupConfig;
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
    /// How many of the cluster's are not among them.
    #[serde(rename = "leftOut")]
    left_out: u64,
    /// Between the first of the events and the last.
    seconds: u64,
    /// The keys at the top of the file that differ, but for `route` and `receivers`.
    settings: Vec<String>,
    /// By name.
    receivers: BTreeMap<String, Change>,
}

/// What becomes of a receiver's own settings.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Added,
    Changed,
    Removed,
}

/// What changes for a receiver, in deliveries.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    /// Absent where its settings stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
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
    /// Those that are watched; all, if there are none.
    namespaces: Vec<String>,
    lookup: Option<LookupConfig>,
    route: Route,
    fingerprints: Fingerprints,
}

/// How many are shown of what a receiver gains or loses.
const EXAMPLES: usize = 3;
/// A shorter time says nothing of a day.
const LEAST_SPAN: Duration = Duration::from_mins(1);
const DAY: u64 = 24 * 60 * 60;

/// Compares. As with diff(1), 0 says that nothing changes, 1 that something does, and 2 that there is no telling.
pub(super) async fn diff(args: &RouteArgs, old: &Path, new: &Path) -> anyhow::Result<ExitCode> {
    one_input(old, new)?;
    args.are_apart(old)?;
    args.are_apart(new)?;
    let (old, new) = (Side::load(old)?, Side::load(new)?);
    let reads_object = |event: &Event| {
        let mut routes = [&old.route, &new.route].into_iter();
        routes.any(|route| route.resolve(event).reads_object)
    };
    let lookup = new.lookup.as_ref().or(old.lookup.as_ref());
    let reads_namespaces = old.route.reads_namespaces() || new.route.reads_namespaces();
    let namespaces = either(&old, &new);
    let events = args.events(&namespaces, lookup, reads_namespaces, reads_object);
    let events = events
        .await
        .map_err(|error| UsageError(format!("{error:#}")))?;
    let mut diff = Diff::of(&old, &new);
    diff.left_out = events.left_out;
    let mut span: Option<(Time, Time)> = None;
    let mut unread = 0;
    for event in events.all {
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
    match args.output {
        Output::Json => say(format_args!("{}", serde_json::to_string(&diff)?))?,
        Output::Text => diff.tell()?,
    }
    Ok(match (diff.unread, diff.is_empty()) {
        (0, true) => ExitCode::SUCCESS,
        (0, false) => ExitCode::from(FAILURE),
        _ => ExitCode::from(USAGE),
    })
}

/// The namespaces that either of them watches; all, if there are none.
fn either(old: &Side, new: &Side) -> Vec<String> {
    if old.namespaces.is_empty() || new.namespaces.is_empty() {
        return Vec::new();
    }
    let mut namespaces = [old.namespaces.as_slice(), &new.namespaces].concat();
    namespaces.sort_unstable();
    namespaces.dedup();
    namespaces
}

// === impl Side ===

impl Side {
    fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = config::read(path)?;
        let (loaded, route) = compile(&text, &path.display().to_string())?;
        let receivers = loaded.config.receivers.into_iter();
        Ok(Self {
            names: receivers.map(|receiver| receiver.name).collect(),
            namespaces: loaded.config.namespaces,
            lookup: loaded.config.lookup,
            route,
            fingerprints: Fingerprints::of(&text, &|name| std::env::var(name).ok()),
        })
    }

    /// How often each receiver gets the event; those that don't are left out.
    fn deliveries(&self, event: &Event) -> BTreeMap<&str, u64> {
        let mut deliveries = BTreeMap::new();
        if !self.namespaces.is_empty() && !self.namespaces.contains(&event.metadata.namespace) {
            return deliveries;
        }
        for ReceiverId(at) in self.route.resolve(event).receivers {
            *deliveries.entry(self.names[at].as_str()).or_default() += 1;
        }
        deliveries
    }
}

// === impl Diff ===

impl Diff {
    /// What can be told without events.
    fn of(old: &Side, new: &Side) -> Self {
        let settings = old.fingerprints.changed_settings(&new.fingerprints);
        let names = old.names.iter().chain(&new.names);
        let receivers = names.map(|name| {
            let of = |side: &Side| side.fingerprints.receivers.get(name).copied();
            let status = match (of(old), of(new)) {
                (None, _) => Some(Status::Added),
                (_, None) => Some(Status::Removed),
                (old, new) => (old != new).then_some(Status::Changed),
            };
            let change = Change {
                status,
                ..Change::default()
            };
            (name.clone(), change)
        });
        Self {
            settings: settings.into_iter().map(str::to_owned).collect(),
            receivers: receivers.collect(),
            ..Self::default()
        }
    }

    /// Whether nothing is otherwise.
    fn is_empty(&self) -> bool {
        let is_same = |change: &Change| change.status.is_none();
        self.changed == 0 && self.settings.is_empty() && self.receivers.values().all(is_same)
    }

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
            "{events} in {minutes}, {} would go elsewhere",
            self.changed
        ))?;
        for (name, change) in &self.receivers {
            let status = match change.status {
                None => continue,
                Some(Status::Added) => "is added",
                Some(Status::Changed) => "has other settings",
                Some(Status::Removed) => "is removed",
            };
            say(format_args!("receiver {} {status}", visible(name)))?;
        }
        for key in &self.settings {
            say(format_args!(
                "`{}` differs, from the next start on",
                visible(key)
            ))?;
        }
        self.tell_deliveries()
    }

    fn tell_deliveries(&self) -> anyhow::Result<()> {
        let longest = self.receivers.keys().map(|name| name.chars().count()).max();
        let width = longest.unwrap_or(0).clamp("receiver".len(), 26);
        say(format_args!(
            "\n{:width$} {:>7} {:>7} {:>7} {:>7} {:>10} {:>10}",
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
