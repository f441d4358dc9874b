//! `route`: where events would go, and why; or what another configuration would change about it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::diff::diff;
use super::live::Live;
use super::{Loaded, Output, UsageError, counted, exit_code, load, one_input, readable, say};
use crate::enrich::LookupConfig;
use crate::event::{Event, visible};
use crate::input::EventReader;
use crate::route::{Cause, Explanation, Failure, ReceiverId, Step, Throttle};

mod diff;

/// What to explain, and how to say it.
#[derive(Debug, Args)]
pub(super) struct RouteArgs {
    /// The configuration file
    #[arg(required_unless_present = "diff")]
    config: Option<PathBuf>,
    /// Say what would change for whom, if NEW took the place of OLD
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "config")]
    diff: Vec<PathBuf>,
    /// Events: a Kubernetes List, JSON lines of Events, watch frames, or our own documents; `-` is standard input
    #[arg(
        long,
        visible_alias = "events",
        value_name = "FILE",
        required_unless_present = "live"
    )]
    event: Option<PathBuf>,
    /// The latest events of the cluster instead, at most 10,000, the newest first
    #[arg(long, conflicts_with = "event")]
    live: bool,
    /// How to reach the cluster [default: the pod's service account, else KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", requires = "live")]
    kubeconfig: Option<PathBuf>,
    /// Text for people, or JSON: an object an event, or with --diff a single one
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What fits into a line of a terminal.
const WIDTH: usize = 80;
/// What a note gets however deep its rule stands.
const LEAST_ROOM: usize = 30;

/// Events to explain.
struct Events {
    all: Box<dyn Iterator<Item = anyhow::Result<Event>>>,
    /// How many of the cluster's are not among them.
    left_out: u64,
}

/// Runs the command.
pub(super) async fn route(args: &RouteArgs) -> anyhow::Result<ExitCode> {
    let config = match (&args.config, args.diff.as_slice()) {
        (_, [old, new]) => return diff(args, old, new).await,
        (Some(config), _) => config,
        (None, _) => return Err(UsageError("a configuration is missing".to_owned()).into()),
    };
    args.are_apart(config)?;
    let (_, Loaded { config, .. }, route) = load(config)?;
    let reads_object = |event: &Event| route.resolve(event).reads_object;
    let events = args
        .events(
            &config.namespaces,
            config.lookup.as_ref(),
            route.reads_namespaces(),
            reads_object,
        )
        .await?;
    let name = |at: ReceiverId| config.receivers[at.0].name.as_str();
    let mut unread = 0;
    for event in events.all {
        let Some(event) = readable(event, &mut unread) else {
            continue;
        };
        let explanation = route.explain(&event);
        match args.output {
            Output::Json => {
                let told = serde_json::to_string(&explanation.told(&event, &name))?;
                say(format_args!("{told}"))
            }
            Output::Text => tell(&event, &explanation, &name),
        }?;
    }
    Ok(exit_code(unread == 0))
}

// === impl RouteArgs ===

impl RouteArgs {
    /// A configuration and the events can't both come from standard input.
    fn are_apart(&self, config: &Path) -> Result<(), UsageError> {
        let event = self.event.as_deref();
        event.map_or(Ok(()), |event| one_input(config, event))
    }

    /// Those of the file; or the cluster's in these namespaces, with labels of these if `reads_namespaces`, and the objects of
    /// those that `reads_object` says it of.
    async fn events(
        &self,
        namespaces: &[String],
        lookup: Option<&LookupConfig>,
        reads_namespaces: bool,
        reads_object: impl Fn(&Event) -> bool,
    ) -> anyhow::Result<Events> {
        if let Some(file) = &self.event {
            return Ok(Events {
                all: Box::new(EventReader::open(file)?),
                left_out: 0,
            });
        }
        let live = Live {
            kubeconfig: self.kubeconfig.as_deref(),
            namespaces,
            lookup,
            reads_namespaces,
        };
        let latest = live.latest(reads_object).await?;
        Ok(Events {
            left_out: latest.older + latest.unread,
            all: Box::new(latest.events.into_iter().map(Ok)),
        })
    }
}

/// A line with the receivers, and indented below it the way there.
fn tell<'a>(
    event: &Event,
    explanation: &Explanation<'_>,
    name: &impl Fn(ReceiverId) -> &'a str,
) -> anyhow::Result<()> {
    let receivers = names(&explanation.resolution.receivers, name);
    let receivers = match receivers.as_slice() {
        [] => "no receiver".to_owned(),
        some => some.join(", "),
    };
    say(format_args!(
        "{}: {receivers}",
        visible(&event.key().to_string())
    ))?;
    say(format_args!("  {}", shorten(&about(event), WIDTH - 2)))?;
    let rows: Vec<Row> = explanation
        .steps
        .iter()
        .map(|step| Row::of(step, name))
        .collect();
    let width = rows.iter().map(|row| row.label.len()).max().unwrap_or(0);
    for row in &rows {
        row.tell(width)?;
    }
    Ok(())
}

fn names<'a>(receivers: &[ReceiverId], name: &impl Fn(ReceiverId) -> &'a str) -> Vec<&'a str> {
    receivers.iter().map(|at| name(*at)).collect()
}

/// What rules mostly ask for: `Warning BackOff of Pod web-1, 3 times`.
fn about(event: &Event) -> String {
    let object = &event.involved_object;
    let words = [&event.kind, &event.reason, "of", &object.kind, &object.name];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let times = u64::try_from(event.occurrences()).unwrap_or_default();
    let times = counted(times, "time", "times");
    visible(&format!("{}, {times}", words.join(" ")))
}

/// A step as it is printed: the line of the configuration, what stands there, and what has come of it.
struct Row {
    line: usize,
    label: String,
    verdict: &'static str,
    /// A line each.
    notes: Vec<Note>,
}

/// `FIELD: "VALUE" does not match PATTERN`, on two lines if it is long.
enum Note {
    Plain(String),
    Differs {
        field: String,
        value: String,
        pattern: String,
    },
}

// === impl Row ===

impl Row {
    fn of<'a>(step: &Step<'_>, name: &impl Fn(ReceiverId) -> &'a str) -> Self {
        let (verdict, notes) = match step {
            Step::Drop(verdict) if verdict.matches() => {
                ("yes", vec![Note::plain("dropped: its route ends here")])
            }
            Step::Match(verdict, receiver, throttle) if verdict.matches() => {
                let to = receiver.map(|at| Note::Plain(format!("to {}", name(at))));
                let throttle = throttle.filter(|_| to.is_some()).map(Note::throttled);
                let throttle = throttle.into_iter().flatten();
                ("yes", to.into_iter().chain(throttle).collect())
            }
            Step::Drop(verdict) | Step::Match(verdict, ..) => {
                ("no", verdict.failures.iter().map(Note::of).collect())
            }
            Step::Sample { has: true, .. } => ("yes", Vec::new()),
            Step::Sample {
                sample, position, ..
            } => ("no", Note::sampled_out(sample.share, *position)),
            Step::Route { walked: true, .. } => ("", Vec::new()),
            Step::Route { walked: false, .. } => (
                "",
                vec![Note::plain("not walked: not every rule above matches")],
            ),
        };
        let place = step.place();
        // `route.routes[0].match[1]` stands below its route, under the name that it has there.
        let path = visible(&place.path);
        let depth = path.matches('.').count();
        let label = path.rsplit('.').next().unwrap_or_default();
        Self {
            line: place.position.line,
            label: format!("{:1$}{label}", "", 2 * depth.saturating_sub(1)),
            verdict,
            notes,
        }
    }

    fn tell(&self, width: usize) -> anyhow::Result<()> {
        let head = format!(
            "{:6}  {:width$}  {:3}  ",
            self.line, self.label, self.verdict
        );
        let room = WIDTH.saturating_sub(head.len()).max(LEAST_ROOM);
        let mut notes = self.notes.iter().flat_map(|note| note.within(room));
        let first = notes.next().unwrap_or_default();
        say(format_args!("{}", format!("{head}{first}").trim_end()))?;
        for note in notes {
            say(format_args!("{:1$}{note}", "", head.len()))?;
        }
        Ok(())
    }
}

// === impl Note ===

impl Note {
    fn plain(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }

    fn sampled_out(share: f64, position: f64) -> Vec<Self> {
        vec![
            Self::Plain(format!(
                "sampled out: the uid is at {position:.6}, not below {share}"
            )),
            Self::plain("its route ends here"),
        ]
    }

    fn throttled(throttle: &Throttle) -> [Self; 2] {
        let by = match throttle.by().as_str() {
            "" => "throttled:".to_owned(),
            by => format!("throttled by {by}:"),
        };
        let often = format!("at most one every {}", visible(&throttle.written));
        [Self::Plain(by), Self::Plain(often)]
    }

    fn of(failure: &Failure<'_>) -> Self {
        let field = visible(failure.field);
        match failure.cause {
            Cause::Differs { pattern, value } => Self::Differs {
                field,
                value: visible(value),
                pattern: visible(pattern),
            },
            Cause::Absent { pattern } => Self::Plain(format!(
                "{field}: there is none to match {}",
                visible(pattern)
            )),
            Cause::Unknown { pattern } => Self::Plain(format!(
                "{field}: not known here, to match {}",
                visible(pattern)
            )),
            Cause::Invalid { pattern } => Self::Plain(format!(
                "{field}: {} is no regular expression",
                visible(pattern)
            )),
            Cause::TooFew { least, value } => {
                Self::Plain(format!("{field}: {value} is less than {least}"))
            }
            Cause::Matches => Self::Plain(format!("{field}: its rule matches")),
        }
    }

    /// A line, or two where value and pattern don't fit into one.
    fn within(&self, room: usize) -> Vec<String> {
        let (head, tail) = match self {
            Self::Plain(text) => return vec![shorten(text, room)],
            Self::Differs {
                field,
                value,
                pattern,
            } => (
                format!("{field}: \"{value}"),
                format!("does not match {pattern}"),
            ),
        };
        let line = format!("{head}\" {tail}");
        if line.chars().count() <= room {
            return vec![line];
        }
        vec![
            shorten(&head, room.saturating_sub(1)) + "\"",
            shorten(&format!("  {tail}"), room),
        ]
    }
}

/// At most so many characters.
fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}
