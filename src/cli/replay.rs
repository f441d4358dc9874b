//! `replay`: events from a file through the routes to the real receivers.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use futures::FutureExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::input::EventReader;
use super::{
    Config, ConfigError, Enricher, Event, Metrics, Pipeline, ReplayArgs, Route, Signals, complain,
    exit_code, load, one_input, readable, say,
};
use crate::batch::QueueSender;
use crate::receiver::OnFull;
use crate::sink::body::Body;
use crate::telemetry;

/// Sends the events and waits until every one is settled. Fails if any was rejected or could not be read.
pub(super) async fn replay(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    one_input(&args.config, &args.events)?;
    let (path, loaded, route) = load(&args.config)?;
    let mut config = loaded.config;
    telemetry::init(config.log_level, config.log_format);
    let cluster_name = config.cluster_name.clone();
    let events = EventReader::open(&args.events)?.map(move |event| {
        event.map(|mut event: Event| {
            if event.cluster_name.is_empty() {
                event.cluster_name.clone_from(&cluster_name);
            }
            event
        })
    });
    if args.dry_run {
        return dry_run(events, &route, &config, path);
    }

    let metrics = Arc::new(Metrics::new(None)?);
    for receiver in &mut config.receivers {
        // Nothing is late in a replay, and it can wait.
        receiver.on_full = OnFull::Park;
    }
    let (queue, pipeline) = Pipeline::build(config, &path, Enricher::default(), metrics)?;
    let account = pipeline.account();
    let mut signals = Signals::install()?;
    let told = CancellationToken::new();
    let mut input = Input::default();
    let stop = async {
        signals.next().await;
        told.cancel();
        signals.next().await;
    };
    let fed = async {
        tokio::try_join!(
            feed(events, queue, told.clone(), &mut input).map(Ok),
            pipeline.run()
        )
    };
    let ended = tokio::select! {
        fed = fed => fed.map(|_| ()),
        () = stop => Ok(()),
    };
    let (delivered, rejected) = (account.delivered(), account.rejected());
    let Input { read, unread } = input;
    complain(format_args!(
        "{read} events read, {delivered} deliveries taken, {rejected} rejected"
    ));
    ended?;
    if told.is_cancelled() {
        bail!("told to stop before the end of the input");
    }
    Ok(exit_code(rejected == 0 && unread == 0))
}

/// What came of the input.
#[derive(Default)]
struct Input {
    /// Events that went into the queue.
    read: u64,
    /// What is no event.
    unread: u64,
}

/// Puts events into the queue until they end or `told` to stop; dropping the queue is what ends the pipeline.
async fn feed(
    events: impl Iterator<Item = anyhow::Result<Event>> + Send + 'static,
    queue: QueueSender,
    told: CancellationToken,
    input: &mut Input,
) {
    // The input may come from a slow pipe, and the receivers have to go on meanwhile.
    let (sender, mut received) = mpsc::channel(64);
    tokio::task::spawn_blocking(move || {
        for event in events {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    let progress = progress();
    let all = async {
        while let Some(event) = received.recv().await {
            let Some(event) = readable(event, &mut input.unread) else {
                continue;
            };
            queue.push(Arc::new(event)).await;
            input.read += 1;
            progress.set_position(input.read);
        }
    };
    told.run_until_cancelled(all).await;
    progress.finish_and_clear();
}

fn dry_run(
    events: impl Iterator<Item = anyhow::Result<Event>>,
    route: &Route,
    config: &Config,
    path: String,
) -> anyhow::Result<ExitCode> {
    let receivers = config.receivers.iter().map(|receiver| {
        let (layout, de_dot) = receiver.sink.body();
        let body = Body::new(layout, de_dot, receiver.compat);
        body.map(|body| (receiver.name.as_str(), body))
    });
    let receivers = receivers
        .collect::<Result<Vec<_>, _>>()
        .map_err(|problem| ConfigError::Invalid { path, problem })?;
    let mut unread = 0;
    for event in events {
        let Some(event) = readable(event, &mut unread) else {
            continue;
        };
        for at in route.resolve(&event).receivers {
            let (receiver, body) = &receivers[at.0];
            print_dry(&event, receiver, body)?;
        }
    }
    Ok(exit_code(unread == 0))
}

fn print_dry(event: &Event, receiver: &str, body: &Body) -> anyhow::Result<()> {
    let mut document = Vec::new();
    body.append(event, &mut document)?;
    let document: &RawValue = serde_json::from_slice(&document)?;
    let line = DryLine {
        event: event.key().to_string(),
        receiver,
        document,
    };
    say(format_args!("{}", serde_json::to_string(&line)?))
}

#[derive(Serialize)]
struct DryLine<'a> {
    event: String,
    receiver: &'a str,
    document: &'a RawValue,
}

/// A bar for a person, nothing for a pipe.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} events, {per_sec}, {elapsed}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
