//! `replay`: events from a file through the routes to the real receivers.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::input::EventReader;
use super::{
    Config, ConfigError, Event, FAILURE, Metrics, Pipeline, ReplayArgs, compile, complain, say,
};
use crate::receiver::OnFull;
use crate::sink::body::Body;
use crate::telemetry;

/// Sends the events and waits until every one is settled. Fails if any was rejected.
pub(super) async fn replay(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let mut loaded = Config::load(&args.config)?;
    let route = compile(&args.config, &mut loaded)?;
    let path = args.config.display().to_string();
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
        let receivers = config.receivers.iter().map(|receiver| {
            let (layout, de_dot) = receiver.sink.body();
            let body = Body::new(layout, de_dot, receiver.compat);
            body.map(|body| (receiver.name.as_str(), body))
        });
        let receivers = receivers
            .collect::<Result<Vec<_>, _>>()
            .map_err(|problem| ConfigError::Invalid { path, problem })?;
        for event in events {
            let event = event?;
            for at in route.resolve(&event).receivers {
                let (receiver, body) = &receivers[at.0];
                print_dry(&event, receiver, body)?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }

    let metrics = Arc::new(Metrics::new(None)?);
    for receiver in &mut config.receivers {
        // Nothing is late in a replay, and it can wait.
        receiver.on_full = OnFull::Park;
    }
    let (queue, pipeline) = Pipeline::build(config, &path, metrics)?;
    let progress = progress();
    // The input may come from a slow pipe, and the receivers have to go on meanwhile.
    let (events_sender, read) = mpsc::channel(64);
    let reader = tokio::task::spawn_blocking(move || {
        for event in events {
            if events_sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    let feed = async {
        let mut sent = 0_u64;
        // Ours to drop, so that the reader ends when we do.
        let mut read = read;
        while let Some(event) = read.recv().await {
            queue.push(Arc::new(event?)).await;
            sent += 1;
            progress.set_position(sent);
        }
        // Closing the queue is what ends the pipeline.
        drop(queue);
        anyhow::Ok(sent)
    };
    let (sent, account) = tokio::join!(feed, pipeline.run());
    let account = account?;
    reader.await?;
    progress.finish_and_clear();
    let (delivered, rejected) = (account.delivered(), account.rejected());
    let sent = sent?;
    complain(format_args!(
        "{sent} events read, {delivered} deliveries taken, {rejected} rejected"
    ));
    Ok(if rejected == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILURE)
    })
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
    say(format_args!("{}", serde_json::to_string(&line)?));
    Ok(())
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
