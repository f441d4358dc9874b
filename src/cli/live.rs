//! `--live`: the latest events of a cluster, for a command that asks what would become of them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;

use super::{Enricher, Event, Metrics, client, complain, counted};
use crate::enrich::LookupConfig;
use crate::source::latest::{Bounds, Latest};

/// Whose events, and what has to be known of them.
pub(super) struct Live<'a> {
    pub(super) kubeconfig: Option<&'a Path>,
    /// All of them, if there are none.
    pub(super) namespaces: &'a [String],
    /// `None` if involved objects are not looked up.
    pub(super) lookup: Option<&'a LookupConfig>,
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
    /// Reads the events, and looks up the objects of those that `reads_object` says it of, as the exporter would. Tells what
    /// is left out.
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
        if let Some(lookup) = self.lookup {
            complete(&mut latest, client, lookup, &metrics, reads_object).await;
        }
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

/// Adds what is known of the involved objects to the events that it matters for.
async fn complete(
    latest: &mut Latest,
    client: Client,
    lookup: &LookupConfig,
    metrics: &Metrics,
    reads_object: impl Fn(&Event) -> bool,
) {
    let lookup = LookupConfig {
        // What the exporter would spread over an hour is wanted now, and each object once.
        limit: None,
        cache_size: lookup.cache_size.max(BOUNDS.events),
        ..lookup.clone()
    };
    let mut enricher = Enricher::new(client, Some(&lookup), metrics.lookups());
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
    latest.sort();
    let without = metrics.lookups().without();
    if without > 0 {
        complain(format_args!(
            "warning: the objects of {} can't be looked up: rules find no labels and annotations there",
            counted(without, "event", "events")
        ));
    }
}
