//! `replay`: events from a file through the routes to the real receivers.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use futures::FutureExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Config, ConfigError, Enricher, Event, Metrics, Pipeline, ReplayArgs, Route, Signals,
    UsageError, complain, counted, exit_code, load, one_input, readable, say,
};
use crate::batch::QueueSender;
use crate::input::EventReader;
use crate::pipeline::Origins;
use crate::receiver::OnFull;
use crate::route::{RouteConfig, Throttle};
use crate::sink::http::Secrets;
use crate::sink::preview::Preview;
use crate::telemetry;

/// How long receivers have for what they hold after the first signal, as when the exporter ends.
const GRACE: Duration = Duration::from_secs(25);

/// Sends the events and waits until every one is settled. Fails if any was rejected or could not be read.
pub(super) async fn replay(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    one_input(&args.config, &args.events)?;
    let (path, loaded, mut route) = load(&args.config)?;
    let mut config = loaded.config;
    if let Some(receiver) = &args.receiver {
        route = only(receiver, &mut config)?;
    }
    telemetry::init(config.log_level, config.log_format);
    let cluster_name = config.cluster_name.clone();
    let events = EventReader::open(&args.events)?.of_receiver(args.receiver);
    let events = events.map(move |event| {
        event.map(|mut event: Event| {
            if event.cluster_name.is_empty() {
                event.cluster_name.clone_from(&cluster_name);
            }
            event
        })
    });
    if args.dry_run {
        return dry_run(events, &route, config, &path);
    }

    let metrics = Arc::new(Metrics::new(None)?);
    for receiver in &mut config.receivers {
        // Nothing is late in a replay, and it can wait.
        receiver.on_full = OnFull::Park;
        receiver.max_event_age = None;
        receiver.buffer = None;
    }
    let (queue, pipeline) = Pipeline::build(
        config,
        &path,
        Enricher::default(),
        Origins::none(),
        metrics,
        None,
    )?;
    let account = pipeline.account();
    let mut signals = Signals::install()?;
    let told = CancellationToken::new();
    let mut input = Input::default();
    let stop = async {
        signals.next().await;
        complain(format_args!(
            "told to stop: reading no more, and giving receivers {} s for what is left; once more to end at once",
            GRACE.as_secs()
        ));
        told.cancel();
        tokio::select! {
            _ = signals.next() => {}
            () = sleep(GRACE) => {}
        }
    };
    let fed = async {
        tokio::try_join!(
            feed(events, queue, told.clone(), &mut input).map(Ok),
            pipeline.run(&told)
        )
    };
    let ended = tokio::select! {
        fed = fed => fed.map(|_| ()),
        () = stop => Ok(()),
    };
    let (delivered, rejected, left) = (account.delivered(), account.rejected(), account.left());
    let held_back = match account.throttled() {
        0 => String::new(),
        throttled => format!(", {throttled} held back by throttles"),
    };
    let Input {
        read,
        unread,
        is_whole,
    } = input;
    complain(format_args!(
        "{} read, {} taken, {rejected} rejected{held_back}",
        counted(read, "event", "events"),
        counted(delivered, "delivery", "deliveries")
    ));
    ended?;
    let are_left = counted(left, "delivery is left", "deliveries are left");
    if !is_whole {
        bail!("told to stop before the end of the input: {are_left} of what was read");
    }
    if left > 0 {
        bail!("told to stop before everything was taken: {are_left}");
    }
    Ok(exit_code(rejected == 0 && unread == 0))
}

/// The route on which everything goes to one receiver of the configuration, of which nothing else is left.
fn only(receiver: &str, config: &mut Config) -> anyhow::Result<Route> {
    let names: Vec<String> = config
        .receivers
        .iter()
        .map(|one| one.name.clone())
        .collect();
    config.receivers.retain(|one| one.name == receiver);
    if config.receivers.is_empty() {
        bail!(UsageError(format!(
            "there is no receiver `{receiver}`: the configuration has {}",
            names.join(", ")
        )));
    }
    config.route = RouteConfig::all_to(receiver);
    Ok(Route::compile(&config.route, &[receiver], &mut Vec::new())?)
}

/// What came of the input.
#[derive(Default)]
struct Input {
    /// Events that went into the queue.
    read: u64,
    /// What is no event.
    unread: u64,
    /// Nothing is left of it.
    is_whole: bool,
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
    let all = told.run_until_cancelled(all).await;
    input.is_whole = all.is_some();
    progress.finish_and_clear();
}

fn dry_run(
    events: impl Iterator<Item = anyhow::Result<Event>>,
    route: &Route,
    config: Config,
    path: &str,
) -> anyhow::Result<ExitCode> {
    let names: Vec<String> = config
        .receivers
        .iter()
        .map(|one| one.name.clone())
        .collect();
    let sinks = Pipeline::sinks(config).map_err(|problems| ConfigError::of(path, problems))?;
    let secrets = secrets_of_environment();
    let (mut unread, mut rejected) = (0, 0);
    for event in events {
        let Some(event) = readable(event, &mut unread) else {
            continue;
        };
        let resolution = route.resolve(&event);
        for (place, at) in resolution.receivers.iter().enumerate() {
            let (preview, reason) = match sinks[at.0].preview(&event) {
                Ok(preview) => (preview, None),
                Err(reason) => (Preview::default(), Some(reason)),
            };
            rejected += u64::from(reason.is_some());
            let line = DryLine {
                event: event.key().to_string(),
                receiver: &names[at.0],
                throttle: resolution.throttle(place),
                preview,
                rejected: reason,
            };
            let mut line = serde_json::to_string(&line)?;
            secrets.hide_in(&mut line);
            say(format_args!("{line}"))?;
        }
    }
    Ok(exit_code(unread == 0 && rejected == 0))
}

/// What variables hold that are secrets by their names: a layout may put them anywhere.
pub(super) fn secrets_of_environment() -> Secrets {
    const WORDS: [&str; 6] = ["KEY", "TOKEN", "SECRET", "PASS", "CRED", "AUTH"];
    let named = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str()?.to_ascii_uppercase();
        let is_secret = WORDS.iter().any(|word| name.contains(word));
        value.into_string().ok().filter(|_| is_secret)
    });
    Secrets::of_values(named)
}

/// What one receiver would be sent of one event.
#[derive(Serialize)]
struct DryLine<'a> {
    event: String,
    receiver: &'a str,
    /// What may hold it back, by those before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    throttle: Option<&'a Throttle>,
    #[serde(flatten)]
    preview: Preview,
    /// Why it would go to the dead letter instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<String>,
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
