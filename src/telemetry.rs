//! Logs: one JSON object a line on standard error, or coloured lines for people.

use std::error::Error;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;

use serde::de::{Deserialize, Deserializer, Error as _};
use tracing::{debug, error};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How logs are written, under the incumbent's name `logFormat`.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[serde(alias = "")]
    Pretty,
}

/// The least severe level that is logged, under the incumbent's name `logLevel`: a name in any case, or zerolog's number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything, of libraries too.
    Trace,
    /// What only helps whoever looks for a fault.
    Debug,
    /// What an operator may want to know.
    #[default]
    Info,
    /// What needs attention.
    Warn,
    /// What failed for good. `fatal` and `panic`, which the incumbent has, mean the same.
    Error,
    /// Nothing.
    Disabled,
}

const LEVELS: &[&str] = &[
    "trace", "debug", "info", "warn", "error", "fatal", "panic", "disabled",
];

// === impl LogLevel ===

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.to_ascii_lowercase().as_str() {
            "trace" => Self::Trace,
            "debug" => Self::Debug,
            "info" | "" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "error" | "fatal" | "panic" => Self::Error,
            "disabled" => Self::Disabled,
            // As zerolog counts.
            number => match number.parse::<i8>() {
                Ok(..=-1) => Self::Trace,
                Ok(0) => Self::Debug,
                Ok(1) => Self::Info,
                Ok(2) => Self::Warn,
                Ok(3..=5) => Self::Error,
                Ok(6..) => Self::Disabled,
                Err(_) => return Err(D::Error::unknown_variant(&text, LEVELS)),
            },
        })
    }
}

#[cfg(test)]
impl schemars::JsonSchema for LogLevel {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LogLevel".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["string", "integer"], "examples": LEVELS})
    }
}

/// Installs the subscriber. Later calls do nothing.
pub fn init(level: LogLevel, format: Option<LogFormat>) {
    let format = format.unwrap_or(if std::io::stderr().is_terminal() {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    });
    let ours = env!("CARGO_CRATE_NAME");
    // Libraries log request headers at debug, and failures that we handle at warn.
    let (of_all, of_ours) = match level {
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
        LogLevel::Debug => (LevelFilter::ERROR, LevelFilter::DEBUG),
        LogLevel::Info => (LevelFilter::ERROR, LevelFilter::INFO),
        LogLevel::Warn => (LevelFilter::ERROR, LevelFilter::WARN),
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Disabled => (LevelFilter::OFF, LevelFilter::OFF),
    };
    let filter = Targets::new()
        .with_default(of_all)
        .with_target(ours, of_ours);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry().with(filter);
    // It fails if a subscriber is installed already, as in tests: then that one serves.
    let _ = match format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            let lines = lines.with_current_span(false).with_span_list(false);
            subscriber.with(lines).try_init()
        }
        LogFormat::Pretty => {
            let lines = lines.with_ansi(std::io::stderr().is_terminal());
            subscriber.with(lines.with_target(false)).try_init()
        }
    };
    std::panic::set_hook(Box::new(tell_of_panic));
}

/// A bug is one line like any other. What a panic says may quote an event, which is for nobody above debug.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    debug!(said = panic.payload_as_str());
    error!(
        place,
        "this is a bug, and the program ends: please report it"
    );
}

/// An error with its causes, as one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some libraries repeat the cause in their own words.
        if !text.contains(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}
