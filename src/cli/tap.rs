//! `tap`: the events that a running exporter routes, and where they go, for a person at a terminal.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::{Client, Response, Url};
use serde::Deserialize;

use super::{Output, UsageError, complain, counted, say};
use crate::event::{Event, visible};
use crate::route::Filter;

/// Whom to ask, and what for.
#[derive(Debug, Args)]
pub(super) struct TapArgs {
    /// Where the exporter's metrics and status page are
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:2112")]
    address: Url,
    /// Only events for this receiver
    #[arg(long, value_name = "NAME")]
    receiver: Option<String>,
    /// Go on with the events that come, after the last ones
    #[arg(short, long)]
    follow: bool,
    /// Lines for people, or JSON: an object an event
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Only events that a rule of these fields matches: `type=Warning`, `labels.app=web`, `not.kind=^Job$`
    #[arg(value_name = "FIELD=PATTERN")]
    filters: Vec<String>,
}

/// A line of the answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    event: Option<Event>,
    went: Vec<Went>,
    dropped: bool,
    /// So many are missing here.
    lost: u64,
    /// Another replica delivers.
    standby: bool,
}

#[derive(Deserialize)]
struct Went {
    to: String,
    fate: String,
}

/// Of a line: an event and what is around it.
const MAX_LINE: usize = 8 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the command.
pub(super) async fn tap(args: &TapArgs) -> anyhow::Result<ExitCode> {
    let mut answer = ask(args).await?;
    let mut bytes = Vec::new();
    if args.output == Output::Text {
        say(format_args!(
            "{}",
            row([
                "TIME",
                "TYPE",
                "REASON",
                "NAMESPACE",
                "OBJECT",
                "WENT TO",
                "MESSAGE"
            ])
        ))?;
    }
    loop {
        let chunk = tokio::select! {
            chunk = answer.chunk() => chunk,
            // Who has seen enough has not failed.
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        };
        let chunk = chunk.map_err(reqwest::Error::without_url);
        let Some(chunk) = chunk.context("the exporter has ended")? else {
            break;
        };
        bytes.extend_from_slice(&chunk);
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = bytes.drain(..=end).collect();
            tell(line.trim_ascii(), args.output)?;
        }
        if bytes.len() > MAX_LINE {
            bail!("{}: this is no exporter's answer", args.address);
        }
    }
    if args.follow {
        bail!("the exporter has closed the connection");
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(args: &TapArgs) -> anyhow::Result<Response> {
    let mut filters = Vec::new();
    for filter in &args.filters {
        let pair = filter.split_once('=').ok_or_else(|| {
            UsageError(format!(
                "`{}` is no filter: write FIELD=PATTERN",
                visible(filter)
            ))
        })?;
        filters.push(pair);
    }
    Filter::compile(filters.iter().copied()).map_err(|error| UsageError(error.to_string()))?;
    let mut url = args.address.join("/status/tap")?;
    {
        let mut query = url.query_pairs_mut();
        query.extend_pairs(filters);
        query.extend_pairs(args.receiver.iter().map(|name| ("receiver", name)));
        query.extend_pairs(args.follow.then_some(("follow", "true")));
    }
    // It is next door, wherever a proxy for the receivers is.
    let client = Client::builder()
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT);
    let answer = client.build()?.get(url).send().await;
    let answer = answer
        .map_err(reqwest::Error::without_url)
        .with_context(|| format!("{}: no answer", args.address))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let told = match status {
        reqwest::StatusCode::NOT_FOUND => {
            "there is no status page: `statusPage.enabled` is false in its configuration, or it is older".to_owned()
        }
        _ => answer.text().await.unwrap_or_default(),
    };
    bail!("{}: {}", args.address, visible(told.trim_end()));
}

fn tell(line: &[u8], output: Output) -> anyhow::Result<()> {
    // It only says that the exporter is still there.
    if line.is_empty() {
        return Ok(());
    }
    let read: Line = serde_json::from_slice(line).context("this is no exporter's answer")?;
    if read.standby {
        complain(format_args!(
            "this replica stands by: events go through the one that delivers"
        ));
    }
    if read.lost > 0 {
        complain(format_args!(
            "{} came too fast to be shown here",
            counted(read.lost, "event", "events")
        ));
    }
    let Some(event) = read.event else {
        return Ok(());
    };
    if output == Output::Json {
        return say(format_args!("{}", String::from_utf8_lossy(line)));
    }
    let object = &event.involved_object;
    let columns = [
        &event.occurred().seconds().to_string(),
        &event.kind,
        &event.reason,
        &event.metadata.namespace,
        &format!("{}/{}", object.kind, object.name),
        &went(&read.went, read.dropped),
        event.message.trim_end(),
    ];
    say(format_args!(
        "{}",
        row(columns.map(visible).each_ref().map(String::as_str))
    ))
}

/// `opensearch, chat (parked)`
fn went(went: &[Went], dropped: bool) -> String {
    let name = |one: &Went| match one.fate.as_str() {
        "queued" => one.to.clone(),
        "had" => format!("{} (had it before)", one.to),
        "tooOld" => format!("{} (too old)", one.to),
        "heldBack" => format!("{} (held back by a throttle)", one.to),
        "queueFull" => format!("{} (dropped: its queue is full)", one.to),
        other => format!("{} ({other})", one.to),
    };
    match went {
        [] if dropped => "nobody (dropped)".to_owned(),
        [] => "nobody".to_owned(),
        some => some.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

fn row([time, kind, reason, namespace, object, went, message]: [&str; 7]) -> String {
    format!(
        "{time:<20}  {kind:<7}  {reason:<18}  {namespace:<16}  {object:<32}  {went:<20}  {message}"
    )
}
