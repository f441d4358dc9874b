//! `setup`: what events should find where they go, made by hand.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use super::{UsageError, complain, exit_code, load, say};
use crate::config::{ConfigError, ReceiverConfig};
use crate::pipeline::located;
use crate::sink::opensearch::setup::{Dashboards, Mode, Party, Setup, contests};
use crate::sink::opensearch::{Dialect, OpenSearchConfig};
use crate::telemetry;

/// What to set up, and how.
#[derive(Debug, Args)]
pub(super) struct SetupArgs {
    /// The configuration file; `-` is standard input
    config: PathBuf,
    /// Set up for this receiver alone
    #[arg(long, value_name = "NAME")]
    receiver: Option<String>,
    /// Print the requests, as the console of Dashboards takes them, and connect nowhere
    #[arg(long, conflicts_with_all = ["dry_run", "overwrite", "dashboards"])]
    print: bool,
    /// Look what would be made, and make nothing
    #[arg(long)]
    dry_run: bool,
    /// Replace what differs
    #[arg(long)]
    overwrite: bool,
    /// Import the dashboards there too, as the receiver's user
    #[arg(long, value_name = "URL")]
    dashboards: Option<String>,
}

/// A receiver that writes to OpenSearch or Elasticsearch.
struct Chosen<'a> {
    receiver: &'a ReceiverConfig,
    config: &'a OpenSearchConfig,
    dialect: Dialect,
    setup: Setup,
}

/// Runs the command. Fails if something is missing in the end.
pub(super) async fn setup(args: SetupArgs) -> anyhow::Result<ExitCode> {
    let (path, loaded, _) = load(&args.config)?;
    telemetry::init(loaded.config.log_level, loaded.config.log_format);
    let mut chosen = choose(&loaded.config.receivers, args.receiver.as_deref(), &path)?;
    if args.print {
        return print(&chosen);
    }
    let dashboards = match (&args.dashboards, chosen.first()) {
        (Some(url), Some(first)) => Some(first.dashboards(url)?),
        _ => None,
    };
    let mode = Mode {
        overwrite: args.overwrite,
        dry_run: args.dry_run,
    };
    let mut is_complete = true;
    for one in &mut chosen {
        let name = &one.receiver.name;
        let reports = one.setup.run(mode).await;
        for report in reports.with_context(|| format!("receiver {name}"))? {
            is_complete &= !report.outcome.is_failure();
            if report.outcome.is_failure() {
                complain(format_args!("error: {name}: {report}"));
            } else {
                say(format_args!("{name}: {report}"))?;
            }
        }
    }
    if let Some(dashboards) = dashboards {
        is_complete &= import(dashboards, &chosen, mode).await?;
    }
    Ok(exit_code(is_complete))
}

// === impl Chosen ===

impl Chosen<'_> {
    /// The dashboards at `url`, as its user.
    fn dashboards(&self, url: &str) -> anyhow::Result<Dashboards> {
        let made = Dashboards::new(url, self.config, self.dialect, self.receiver.timeout);
        made.map_err(|problems| {
            let messages = problems.into_vec().into_iter().map(|it| it.message);
            let messages: Vec<String> = messages.collect();
            UsageError(format!("--dashboards: {}", messages.join("; "))).into()
        })
    }
}

/// The receivers that there is something to set up for: all of them, or the one with this name.
fn choose<'a>(
    receivers: &'a [ReceiverConfig],
    name: Option<&str>,
    path: &str,
) -> anyhow::Result<Vec<Chosen<'a>>> {
    let mut chosen = Vec::new();
    let mut parties = Vec::new();
    let mut problems = Vec::new();
    for receiver in receivers {
        let Some(party) = receiver.party() else {
            continue;
        };
        if name.is_some_and(|name| name != receiver.name) {
            continue;
        }
        let Party {
            config, dialect, ..
        } = party;
        parties.push(party);
        match Setup::new(config, dialect, receiver.timeout) {
            Ok(setup) => chosen.push(Chosen {
                receiver,
                config,
                dialect,
                setup,
            }),
            Err(found) => problems.extend(located(found, &receiver.location)),
        }
    }
    problems.extend(contests(&parties));
    if !problems.is_empty() {
        bail!(ConfigError::of(path, problems));
    }
    match name {
        _ if !chosen.is_empty() => Ok(chosen),
        Some(name) => bail!(UsageError(format!(
            "there is no receiver `{name}` that writes to OpenSearch or Elasticsearch"
        ))),
        None => bail!(UsageError(
            "no receiver writes to OpenSearch or Elasticsearch: there is nothing to set up"
                .to_owned()
        )),
    }
}

fn print(chosen: &[Chosen<'_>]) -> anyhow::Result<ExitCode> {
    for one in chosen {
        say(format_args!("# receiver {}", one.receiver.name))?;
        for request in one.setup.plan.requests() {
            say(format_args!("{request}\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Imports the dashboards, for the indices of all receivers.
async fn import(dashboards: Dashboards, chosen: &[Chosen<'_>], mode: Mode) -> anyhow::Result<bool> {
    if mode.dry_run {
        say(format_args!("dashboards: would import"))?;
        return Ok(true);
    }
    let patterns: Vec<String> = chosen.iter().map(|one| one.setup.plan.pattern()).collect();
    let imported = dashboards.import(&patterns.join(","), mode.overwrite).await;
    let imported = imported.context("dashboards")?;
    say(format_args!(
        "dashboards: {} imported, {} unchanged",
        imported.taken, imported.kept
    ))?;
    for refused in &imported.refused {
        complain(format_args!("error: dashboards: {refused}"));
    }
    Ok(imported.refused.is_empty())
}
