//! `ready`: whether an exporter is ready, for where there is no other program to ask it, as in its own image.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, value_parser};
use reqwest::{Client, Url};
use tokio::time::{Instant, sleep};

use super::say;

/// Whom to ask, and for how long.
#[derive(Debug, Args)]
pub(super) struct ReadyArgs {
    /// Where its metrics and probes are
    #[arg(default_value = "http://localhost:2112")]
    url: Url,
    /// Ask again until it is ready, for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = value_parser!(u64).range(..=MAX_WAIT))]
    wait: u64,
}

/// A day.
const MAX_WAIT: u64 = 86_400;
/// For one answer, the connection included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks until it is ready or the time is over, once at least. Fails with what it was told last.
pub(super) async fn ready(args: &ReadyArgs) -> anyhow::Result<ExitCode> {
    let url = args.url.join("/readyz")?;
    // It is next door, wherever a proxy for the receivers is.
    let client = Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    let end = Instant::now() + Duration::from_secs(args.wait);
    loop {
        let Err(error) = ask(&client, &url).await else {
            say(format_args!("{url}: ready"))?;
            return Ok(ExitCode::SUCCESS);
        };
        if Instant::now() >= end {
            return Err(error);
        }
        sleep(PAUSE).await;
    }
}

async fn ask(client: &Client, url: &Url) -> anyhow::Result<()> {
    let asked = client.get(url.clone()).send().await;
    let answer = asked
        .map_err(reqwest::Error::without_url)
        .with_context(|| format!("{url}: no answer"))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    // A watch that is not well has a line: `[-] watch: …`.
    let told = answer.text().await.unwrap_or_default();
    let complaints: Vec<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("[-] "))
        .collect();
    if complaints.is_empty() {
        bail!("{url}: not ready: {status}");
    }
    bail!("{url}: not ready: {}", complaints.join(", "));
}
