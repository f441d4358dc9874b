//! The command line: the incumbent's flags, with one dash or two, and our commands.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use kube::Client;
use tokio::runtime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::check::{CheckArgs, check};
use self::generate::{CompletionsArgs, ManArgs, completions, man};
use self::ready::{ReadyArgs, ready};
use self::route::{RouteArgs, route};
use self::setup::SetupArgs;
use self::tap::{TapArgs, tap};
use crate::admin::Admin;
use crate::checkpoint::CheckpointFile;
use crate::cluster::Cluster;
use crate::config::{self, Config, ConfigError, CoordinationConfig, Loaded};
use crate::enrich::Enricher;
use crate::event::Event;
use crate::jitter;
use crate::leader::{Candidate, Coordination};
use crate::lease::{Lease, LeaseConfig};
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::reload::ConfigFile;
use crate::route::Route;
use crate::shutdown::Signals;
use crate::source::client;
use crate::status::Status;
use crate::telemetry;
use crate::yaml::Problem;

mod check;
mod generate;
mod live;
mod ready;
mod replay;
mod route;
mod setup;
mod tap;

/// Watches a cluster's Events and delivers every one of them, in batches, to OpenSearch and other receivers.
#[derive(Debug, Parser)]
#[command(name = "kubernetes-event-exporter", version = crate::VERSION, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch and deliver (what happens without a command)
    Run(RunArgs),
    /// Check a configuration, without a cluster or a network
    Check(CheckArgs),
    /// Explain where events would go, or what another configuration would change
    Route(RouteArgs),
    /// Send events from a file to the receivers
    Replay(ReplayArgs),
    /// Make index templates, policies and data streams for the receivers that write to OpenSearch or Elasticsearch
    Setup(SetupArgs),
    /// Ask an exporter whether it is ready
    Ready(ReadyArgs),
    /// Print the events that an exporter routes, and where they go
    Tap(TapArgs),
    /// Print the JSON Schema of configurations, for editors
    Schema,
    /// Print a script that completes commands and flags in a shell
    Completions(CompletionsArgs),
    /// Write manual pages
    Man(ManArgs),
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The configuration file [default: config.yaml if there is one, else every event goes to standard output]
    #[arg(long = "conf", visible_alias = "config", value_name = "FILE")]
    conf: Option<PathBuf>,
    /// How to reach the cluster [default: the pod's service account, else KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where metrics, probes and the status page are served
    #[arg(long, value_name = "ADDRESS", default_value = ":2112")]
    metrics_address: String,
    /// Not supported: put a proxy in front of the metrics instead
    #[arg(
        long,
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    metrics_tls_config: String,
    /// How long to deliver what is held when told to stop; 5 s less than the pod's terminationGracePeriodSeconds
    #[arg(long, value_name = "SECONDS", default_value_t = 25)]
    grace_period: u64,
    /// Let a POST to /-/reload have the configuration read anew at once, as SIGHUP does
    #[arg(long)]
    enable_reload: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The configuration file
    config: PathBuf,
    /// Events: a Kubernetes List, JSON lines of Events, watch frames, or our own documents; `-` is standard input
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// Print what each receiver would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Send to this receiver alone, whatever the routes say; of dead letters, those it has left
    #[arg(long, value_name = "NAME")]
    receiver: Option<String>,
}

/// A command line that is understood and makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// Whoever read our output has seen enough, as `head` does.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output")]
struct NobodyReads;

/// Something failed while running.
const FAILURE: u8 = 1;
/// The command line or the configuration cannot be used, as clap and most programs have it.
const USAGE: u8 = 2;

/// Runs the command that `args` ask for. Errors are printed here, and only here.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(two_dashes(args)) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to be told if this can't be printed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    // The one provider of cryptography. It fails if it is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    execute(cli).unwrap_or_else(|error| {
        if error.is::<NobodyReads>() {
            return ExitCode::SUCCESS;
        }
        complain(format_args!("error: {error:#}"));
        let config = error
            .chain()
            .any(|cause| cause.is::<ConfigError>() || cause.is::<Problem>());
        let usage = config || error.is::<UsageError>();
        ExitCode::from(if usage { USAGE } else { FAILURE })
    })
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        match cli.command.unwrap_or(Command::Run(cli.run)) {
            Command::Run(args) => Box::pin(run(args)).await.map(|()| ExitCode::SUCCESS),
            Command::Check(args) => check(&args),
            Command::Route(args) => route(&args).await,
            Command::Replay(args) => replay::replay(args).await,
            Command::Setup(args) => setup::setup(args).await,
            Command::Ready(args) => ready(&args).await,
            Command::Tap(args) => tap(&args).await,
            Command::Schema => {
                say(format_args!(
                    "{}",
                    include_str!("config/schema.json").trim_end()
                ))?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Completions(args) => completions(&args),
            Command::Man(args) => man(&args),
            Command::Version => {
                say(format_args!(
                    "kubernetes-event-exporter {} ({})",
                    crate::VERSION,
                    crate::REVISION
                ))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    });
    // A write that hangs must not keep the process from ending.
    runtime.shutdown_background();
    done
}

/// The incumbent's flags have one dash, or two, as Go's do; so have all others.
fn two_dashes(args: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut command = Cli::command();
    // Adds `help` and `version`.
    command.build();
    let flags = flags(&command);
    args.map(move |arg| {
        let flag = arg.to_str().and_then(|arg| arg.strip_prefix('-'));
        let name = flag.map(|flag| flag.split_once('=').map_or(flag, |(name, _)| name));
        match (flag, name) {
            (Some(flag), Some(name)) if flags.contains(name) => format!("--{flag}").into(),
            _ => arg,
        }
    })
}

/// The long flags of a command, and of those below it.
fn flags(command: &clap::Command) -> BTreeSet<String> {
    let own = command
        .get_arguments()
        .filter_map(clap::Arg::get_long_and_visible_aliases);
    let below = command.get_subcommands().flat_map(flags);
    own.flatten().map(str::to_owned).chain(below).collect()
}

/// What is run.
struct Input {
    /// What it is called in messages.
    path: String,
    text: String,
    /// Where it can be read again, if it can.
    file: Option<ConfigFile>,
    loaded: Loaded,
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
    if !args.metrics_tls_config.is_empty() {
        bail!(UsageError(
            "-metrics-tls-config is not supported: leave it out, and put a proxy in front of the metrics instead".to_owned()
        ));
    }
    let input = load_or_built_in(args.conf.as_deref())?;
    let Input {
        path,
        text,
        file,
        loaded,
    } = input;
    let config = loaded.config;
    telemetry::init(config.log_level, config.log_format);
    for warning in &loaded.warnings {
        warn!(config = path, "{warning}");
    }
    let mut signals = Signals::install()?;
    let metrics = Arc::new(Metrics::new(config.metrics_name_prefix.as_deref())?);
    let cluster = client::config(args.kubeconfig.as_deref()).await?;
    let client = client::connect(&cluster, metrics.api())?;
    let namespace = cluster.default_namespace;
    let coordination = coordination(&config.coordination, &client, namespace);
    let asked = Arc::new(Notify::new());
    let status = Arc::new(Status::new(config.status_page));
    status.loaded(file.as_ref().map_or("", ConfigFile::text));
    let is_shown = config.status_page.enabled;
    let candidate = Candidate {
        cluster: Arc::new(Cluster::new(client, &config, Arc::clone(&metrics))),
        text,
        path: path.clone(),
        file,
        coordination,
        status: Arc::clone(&status),
        reload: Arc::clone(&asked),
    };
    let reload = args.enable_reload.then(|| Arc::clone(&asked));
    let admin = Admin::bind(&args.metrics_address, metrics, status, is_shown, reload).await?;
    info!(version = crate::VERSION, revision = crate::REVISION, config = path, metrics = %admin.address()?, "starting");

    let shutdown = CancellationToken::new();
    let told = shutdown.clone();
    let stop = async {
        let reload = || asked.notify_one();
        let signal = signals.next_and(&reload).await;
        info!(signal, "stopping");
        told.cancel();
        let signal = signals.next().await;
        warn!(
            signal,
            "told to stop twice: ending at once, without delivering what is held"
        );
    };
    let run = candidate.run(shutdown, Duration::from_secs(args.grace_period));
    tokio::select! {
        ended = run => ended,
        () = admin.run() => bail!("the admin endpoint has ended"),
        () = stop => bail!("aborted"),
    }
}

/// Who delivers, and where it is kept how far they have come.
fn coordination(config: &CoordinationConfig, client: &Client, namespace: String) -> Coordination {
    let lease = |name: &String| {
        // A pod's own name; several processes on one machine have it in common.
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "exporter".to_owned());
        let config = LeaseConfig {
            namespace,
            name: name.clone(),
            identity: format!("{host}_{:016x}", jitter::number()),
        };
        Lease::new(client.clone(), config)
    };
    match config {
        CoordinationConfig::Nothing => Coordination::Nothing,
        CoordinationConfig::File(path) => Coordination::File(CheckpointFile::new(path.clone())),
        CoordinationConfig::Lease(name) => Coordination::Lease(lease(name)),
        CoordinationConfig::Election(name) => Coordination::Election(lease(name)),
    }
}

/// The configuration, and the file that it comes from.
fn load_or_built_in(given: Option<&Path>) -> anyhow::Result<Input> {
    let path = given.unwrap_or_else(|| Path::new("config.yaml"));
    if given.is_none() && !path.exists() {
        let path = "(built in)".to_owned();
        let text = Config::built_in(io::stdout().is_terminal()).to_owned();
        return Ok(Input {
            loaded: Config::of_text(&text, &path)?,
            path,
            text,
            file: None,
        });
    }
    let (name, text) = (path.display().to_string(), config::read(path)?);
    let loaded = Config::of_text(&text, &name)?;
    // Standard input can't be read again.
    let is_file = path != Path::new("-");
    Ok(Input {
        path: name,
        file: is_file.then(|| ConfigFile::new(path.to_owned(), text.clone())),
        text,
        loaded,
    })
}

/// Reads a configuration, compiles its routes, and tells of everything that is odd.
fn load(path: &Path) -> Result<(String, Loaded, Route), ConfigError> {
    let text = config::read(path)?;
    let path = path.display().to_string();
    let (loaded, route) = compile(&text, &path)?;
    Ok((path, loaded, route))
}

/// Likewise, of the text of the file that is called `path`.
fn compile(text: &str, path: &str) -> Result<(Loaded, Route), ConfigError> {
    let loaded = Config::of_text(text, path)?;
    for warning in &loaded.warnings {
        complain(format_args!("warning: {path}:{warning}"));
    }
    let receivers = loaded.config.receivers.iter();
    let names: Vec<&str> = receivers.map(|receiver| receiver.name.as_str()).collect();
    // Told above.
    match Route::compile(&loaded.config.route, &names, &mut Vec::new()) {
        Ok(route) => Ok((loaded, route)),
        Err(problem) => Err(ConfigError::of(path, vec![problem])),
    }
}

/// Standard input can be read once.
fn one_input(config: &Path, events: &Path) -> Result<(), UsageError> {
    if config == Path::new("-") && events == config {
        return Err(UsageError(
            "configuration and events can't both come from standard input".to_owned(),
        ));
    }
    Ok(())
}

/// The event, or word of what is none: of the first few, since a List that is torn is no event on any of its lines.
fn readable(event: anyhow::Result<Event>, unread: &mut u64) -> Option<Event> {
    const TOLD: u64 = 20;
    event
        .inspect_err(|error| {
            *unread += 1;
            if *unread <= TOLD {
                complain(format_args!("error: {error:#}"));
            } else if *unread == TOLD + 1 {
                complain(format_args!("error: there is more that is no event"));
            }
        })
        .ok()
}

fn exit_code(success: bool) -> ExitCode {
    if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILURE)
    }
}

/// `1 event`, `2 events`.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Prints a line that was asked for.
fn say(line: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(NobodyReads.into()),
        written => written.context("cannot write to standard output"),
    }
}

/// Prints a line for whoever called.
fn complain(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
