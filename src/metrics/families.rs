//! The families of series: names, labels, help.

use std::sync::{Arc, Mutex};

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    Registry,
};

use super::occurrences::Occurrences;
use super::receivers::ReceiverFamilies;
use super::{
    ApiMetrics, ConfigMetrics, IncumbentMetrics, LookupMetrics, RouterMetrics, SourceMetrics,
};
use crate::source::collection::WatchError;
use crate::source::watcher::InitReason;

/// Our own prefix.
const PREFIX: &str = "event_exporter_";
const LAG_BUCKETS: [f64; 14] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0,
];
const DURATION_BUCKETS: [f64; 11] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// Makes and registers families.
pub(super) struct Families<'a> {
    registry: &'a Registry,
    prefix: &'a str,
}

// === impl Families ===

impl<'a> Families<'a> {
    pub(super) fn new(registry: &'a Registry, prefix: Option<&'a str>) -> Self {
        Self {
            registry,
            prefix: prefix.unwrap_or(PREFIX),
        }
    }

    fn add<C: Collector + Clone + 'static>(
        &self,
        collector: prometheus::Result<C>,
    ) -> prometheus::Result<C> {
        let collector = collector?;
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn opts(&self, name: &str, help: &str) -> Opts {
        Opts::new(format!("{}{name}", self.prefix), help)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::with_opts(self.opts(name, help)))
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(self.opts(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.add(Gauge::with_opts(self.opts(name, help)))
    }

    fn gauges(&self, name: &str, help: &str) -> prometheus::Result<GaugeVec> {
        self.add(GaugeVec::new(self.opts(name, help), &["receiver"]))
    }

    fn int_gauges(&self, name: &str, help: &str) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(self.opts(name, help), &["receiver"]))
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::from(self.opts(name, help)).buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, &["receiver"]))
    }

    pub(super) fn build_info(&self) -> prometheus::Result<()> {
        let opts = self.opts("build_info", "Always 1; the labels say what runs.");
        let info = self.add(IntGaugeVec::new(
            opts,
            &["version", "revision", "goos", "goarch"],
        ))?;
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        info.with_label_values(&[crate::VERSION, crate::REVISION, std::env::consts::OS, arch])
            .set(1);
        Ok(())
    }

    pub(super) fn leader(&self) -> prometheus::Result<Gauge> {
        self.gauge(
            "leader",
            "Whether this process delivers. Without leader election it always does.",
        )
    }

    pub(super) fn config(&self) -> prometheus::Result<ConfigMetrics> {
        Ok(ConfigMetrics {
            successful: self.gauge(
                "config_last_reload_successful",
                "Whether the configuration file could be used when it was last read.",
            )?,
            success_time: self.gauge(
                "config_last_reload_success_timestamp_seconds",
                "When the configuration in use was read.",
            )?,
        })
    }

    pub(super) fn source(
        &self,
        filtered: &IntCounterVec,
        last_activity: Gauge,
        incumbent: Option<IncumbentMetrics>,
    ) -> prometheus::Result<SourceMetrics> {
        let received = self.counters(
            "events_received_total",
            "Versions of Events read from the API server.",
            &["type"],
        )?;
        for kind in ["Normal", "Warning", "other"] {
            received.with_label_values(&[kind]);
        }
        let restarts = self.counters(
            "watch_restarts_total",
            "Watches that had to be opened again, but for those whose time was over.",
            &["cause"],
        )?;
        for cause in WatchError::CAUSES.into_iter().chain(["queue_full"]) {
            restarts.with_label_values(&[cause]);
        }
        let lists = self.counters(
            "watch_lists_total",
            "Times that all Events were listed.",
            &["reason"],
        )?;
        for reason in InitReason::ALL {
            lists.with_label_values(&[reason.as_str()]);
        }
        let malformed = self.counters(
            "watch_malformed_frames_total",
            "Frames of a watch that were skipped because they cannot be read.",
            &["cause"],
        )?;
        for cause in ["not_json", "unexpected", "too_long", "no_identity"] {
            malformed.with_label_values(&[cause]);
        }
        let gaps = self.counter(
            "watch_gaps_total",
            "Times that no watch was open for so long that events may have expired unseen.",
        )?;
        let errors = self.counter(
            "watch_errors_total",
            "Connections for a watch or a list that failed.",
        )?;
        let too_old = filtered.with_label_values(&["age"]);
        Ok(SourceMetrics {
            restarts,
            lists,
            malformed,
            gaps,
            errors,
            too_old,
            received,
            last_activity,
            incumbent,
            again: false,
        })
    }

    pub(super) fn router(&self, filtered: &IntCounterVec) -> prometheus::Result<RouterMetrics> {
        let total = self.counters(
            "events_total",
            "Occurrences, by the change of each Event's count. At most 1000 series, then `other`.",
            &["type", "reason", "kind", "namespace"],
        )?;
        total.with_label_values(&["other"; 4]);
        Ok(RouterMetrics {
            drop_rule: filtered.with_label_values(&["drop_rule"]),
            sample: filtered.with_label_values(&["sample"]),
            sampled_out: self.counter(
                "events_sampled_out_total",
                "Times that a route's sample left out an event which its rules had matched.",
            )?,
            no_route: filtered.with_label_values(&["no_route"]),
            occurrences: Arc::new(Mutex::new(Occurrences::new(total))),
        })
    }

    pub(super) fn lookups(
        &self,
        incumbent: Option<IncumbentMetrics>,
    ) -> prometheus::Result<LookupMetrics> {
        let results = self.counters(
            "lookups_total",
            "Events that needed a lookup of their involved object, by what came of it.",
            &["result"],
        )?;
        let cache = self.counters(
            "lookup_cache_total",
            "Lookups by whether they needed no request of their own, or made one.",
            &["outcome"],
        )?;
        let namespaces = self.counters(
            "namespace_labels_total",
            "Events that needed the labels of their namespace, by whether those were known.",
            &["result"],
        )?;
        Ok(LookupMetrics::new(&results, &cache, &namespaces, incumbent))
    }

    pub(super) fn api(&self) -> prometheus::Result<ApiMetrics> {
        let requests = self.counters(
            "kube_api_requests_total",
            "Requests to the API server.",
            &["verb", "code"],
        )?;
        for verb in ["get", "list", "watch", "create", "update"] {
            requests.with_label_values(&[verb, "200"]);
        }
        Ok(ApiMetrics(requests))
    }

    pub(super) fn receivers(
        &self,
        incumbent: Option<IncumbentMetrics>,
    ) -> prometheus::Result<ReceiverFamilies> {
        let receiver = &["receiver"];
        Ok(ReceiverFamilies {
            delivered: self.counters(
                "events_delivered_total",
                "Events that the receiver's sink has taken.",
                receiver,
            )?,
            duplicates: self.counters(
                "events_duplicate_total",
                "Of the events taken, those that had been there already.",
                receiver,
            )?,
            retried: self.counters(
                "events_retried_total",
                "Events sent again; one may be sent again many times.",
                receiver,
            )?,
            rejected: self.counters(
                "events_rejected_total",
                "Events that will never be taken, handed to the dead letter.",
                receiver,
            )?,
            dropped: self.counters(
                "events_dropped_total",
                "Events given up.",
                &["receiver", "cause"],
            )?,
            throttled: self.counters(
                "events_throttled_total",
                "Events that a throttle held back.",
                receiver,
            )?,
            kinds_forgotten: self.counters(
                "throttle_kinds_forgotten_total",
                "Kinds of events that throttles had to forget, because more than 8192 came.",
                receiver,
            )?,
            expired: self.counters(
                "events_expired_total",
                "Events that the API server forgot before the receiver could take them.",
                receiver,
            )?,
            parked: self.gauges(
                "receiver_parked",
                "Whether the receiver takes no more events, and gets later what it misses.",
            )?,
            setup_incomplete: self.gauges(
                "receiver_setup_incomplete",
                "Whether something that setup should have made before the first event is missing, or differs.",
            )?,
            in_flight: self.gauges(
                "events_in_flight",
                "Events sent and not answered yet, or waiting to be sent again.",
            )?,
            lag: self.histograms(
                "event_lag_seconds",
                "From an event's own time until it was taken.",
                &LAG_BUCKETS,
            )?,
            last_delivery: self.gauges(
                "last_delivery_timestamp_seconds",
                "When an event was last taken; 0 for never.",
            )?,
            duration: self.histograms(
                "receiver_request_duration_seconds",
                "Duration of one attempt.",
                &DURATION_BUCKETS,
            )?,
            requests: self.counters(
                "receiver_requests_total",
                "Attempts, by HTTP status; `ok` and `error` where there is none.",
                &["receiver", "code"],
            )?,
            queue_events: self.int_gauges("queue_events", "Events waiting to be sent.")?,
            queue_bytes: self.int_gauges("queue_bytes", "What they weigh, about.")?,
            queue_capacity: self.int_gauges("queue_capacity_bytes", "What the queue takes.")?,
            queue_age: self.gauges(
                "queue_oldest_event_age_seconds",
                "How long the oldest event has been waiting, to be sent or to be settled.",
            )?,
            buffer_bytes: self.int_gauges("buffer_bytes", "What the buffer's files take.")?,
            buffer_full: self.int_gauges(
                "buffer_full",
                "Whether the buffer takes no more: it is full, or the disk fails.",
            )?,
            buffer_damaged: self.counters(
                "buffer_damaged_total",
                "Places in the buffer's files that can't be read, and were set aside.",
                receiver,
            )?,
            incumbent,
        })
    }

    pub(super) fn incumbent(&self) -> prometheus::Result<IncumbentMetrics> {
        Ok(IncumbentMetrics {
            cache_hits: self.counter(
                "kube_api_read_cache_hits",
                "Lookups of involved objects that a cache answered.",
            )?,
            cache_misses: self.counter(
                "kube_api_read_cache_misses",
                "Lookups of involved objects that went to the API server.",
            )?,
            sent: self.counter(
                "events_sent",
                "Events processed, as the incumbent counts: on receipt.",
            )?,
            discarded: self.counter("events_discarded", "Events left out because of their age.")?,
            watch_errors: self.counter(
                "watch_errors",
                "Connections for a watch or a list that failed.",
            )?,
            send_errors: self.counter("send_event_errors", "Attempts to deliver that failed.")?,
        })
    }
}
