//! `--live`: the latest events of a cluster, for a command that asks what would become of them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::{Enricher, Event, Metrics, client, complain, counted};
use crate::enrich::{LookupConfig, Namespaces};
use crate::source::latest::{Bounds, Latest};

/// Whose events, and what has to be known of them.
pub(super) struct Live<'a> {
    pub(super) kubeconfig: Option<&'a Path>,
    /// All of them, if there are none.
    pub(super) namespaces: &'a [String],
    /// `None` if involved objects are not looked up.
    pub(super) lookup: Option<&'a LookupConfig>,
    /// Whether a rule asks for labels of namespaces.
    pub(super) reads_namespaces: bool,
}

/// A hundred thousand events are some hundred megabytes, and seconds of an API server's time.
const BOUNDS: Bounds = Bounds {
    events: 10_000,
    pages: 100,
};
/// Lookups at a time: few, because one that the API server is slow to answer is given up, and after some of these all others.
const LOOKUPS: usize = 8;

// === impl Live ===

impl Live<'_> {
    /// Reads the events, the labels of their namespaces, and the objects of those that `reads_object` says it of, as the
    /// exporter would. Tells what is left out.
    pub(super) async fn latest(
        &self,
        reads_object: impl Fn(&Event) -> bool,
    ) -> anyhow::Result<Latest> {
        let metrics = Metrics::new(None)?;
        let config = client::config(self.kubeconfig).await?;
        let client = client::connect(&config, metrics.api())?;
        let latest = Latest::read(&client, self.namespaces, BOUNDS).await;
        let mut latest = latest.context("cannot read the cluster's events")?;
        tell_of(&latest);
        let lookup = self.lookup.map(|lookup| LookupConfig {
            // What the exporter would spread over an hour is wanted now, and each object once.
            limit: None,
            cache_size: lookup.cache_size.max(BOUNDS.events),
            ..lookup.clone()
        });
        let enricher = Enricher::new(client, lookup.as_ref(), metrics.lookups());
        if self.reads_namespaces {
            label(&mut latest, enricher.namespaces()).await;
        }
        if lookup.is_some() {
            complete(&mut latest, enricher, reads_object).await;
            tell_of_objects(metrics.lookups().without());
        }
        // Those that were waited for have been overtaken.
        latest.sort();
        Ok(latest)
    }
}

fn tell_of(latest: &Latest) {
    if latest.older > 0 {
        complain(format_args!(
            "warning: {} are left out: the newest {} are used",
            counted(latest.older, "older event", "older events"),
            latest.events.len()
        ));
    }
    if latest.unread > 0 {
        complain(format_args!(
            "warning: the cluster has {} more, which are not read, and some may be newer: `namespaces` in the configuration narrows them down",
            counted(latest.unread, "event", "events")
        ));
    }
}

fn tell_of_objects(without: u64) {
    if without > 0 {
        complain(format_args!(
            "warning: the objects of {} can't be looked up: rules find no labels and annotations there",
            counted(without, "event", "events")
        ));
    }
}

/// Adds the labels of their namespaces to the events.
async fn label(latest: &mut Latest, mut namespaces: Namespaces) {
    let mut labelled = Vec::with_capacity(latest.events.len());
    for event in std::mem::take(&mut latest.events) {
        labelled.extend(namespaces.label(Arc::new(event)));
        if !namespaces.has_room() {
            labelled.push(namespaces.next().await);
        }
    }
    while namespaces.is_waiting() {
        labelled.push(namespaces.next().await);
    }
    latest.events = labelled.into_iter().map(Arc::unwrap_or_clone).collect();
    let unknown = latest.events.iter();
    let unknown = unknown.filter(|event| event.namespace_labels.is_none());
    let unknown = u64::try_from(unknown.count()).unwrap_or(u64::MAX);
    if unknown > 0 {
        complain(format_args!(
            "warning: the labels of the namespaces of {} are not known: rules on `namespaceLabels` do not match there",
            counted(unknown, "event", "events")
        ));
    }
}

/// Adds what is known of the involved objects to the events that it matters for.
async fn complete(
    latest: &mut Latest,
    mut enricher: Enricher,
    reads_object: impl Fn(&Event) -> bool,
) {
    let (wanted, mut events): (Vec<Event>, Vec<Event>) = std::mem::take(&mut latest.events)
        .into_iter()
        .partition(reads_object);
    let mut waiting = 0;
    for event in wanted {
        match enricher.enrich(Arc::new(event)) {
            Some(event) => events.push(Arc::unwrap_or_clone(event)),
            None => waiting += 1,
        }
        if waiting == LOOKUPS {
            events.push(Arc::unwrap_or_clone(enricher.next().await));
            waiting -= 1;
        }
    }
    for _ in 0..waiting {
        events.push(Arc::unwrap_or_clone(enricher.next().await));
    }
    latest.events = events;
}
