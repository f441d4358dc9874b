//! Setup: makes what events should find where they go: a policy that deletes old ones, templates, a data stream.
//!
//! In this order, because a policy takes only indices that are younger than it, and a template likewise. What is there is
//! left alone unless overwriting was asked for; a second run changes nothing. [`Plan`] says what there is to be, [`Setup`]
//! makes it, [`SetUpFirst`] has it made before the first event is written.

use opensearch::http::Method;
use opensearch::http::headers::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::host::{Answer, Hosts, parse_host};
use super::{Dialect, OpenSearchConfig};
use crate::sink::http::classify;
use crate::sink::opensearch::error::refusal;
use crate::sink::{SendError, SendErrorKind};
use crate::yaml::{Located, Problem, Problems};

pub use self::contest::{Party, contests};
pub use self::dashboards::{Dashboards, Imported};
pub use self::first::SetUpFirst;
pub use self::plan::Plan;
pub use self::report::{Outcome, Report};

use self::step::{Existing, Step};

mod contest;
mod dashboards;
mod first;
mod plan;
mod policy;
mod report;
mod retention;
mod step;

/// Setup as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SetupConfig {
    /// How long events are kept: `30d`, `12h`, or `forever`.
    retention: Option<Located<String>>,
    /// When a data stream, or an index that does not go by date, begins a new index.
    rollover: RolloverConfig,
    /// Before the first event is written, unless it says not to: then it is the command's alone.
    at_start: Option<bool>,
}

/// When an index has enough.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RolloverConfig {
    /// `1d` unless given.
    max_age: Option<Located<String>>,
    /// Of its primary shard: `20gb` unless given.
    max_size: Option<Located<String>>,
}

/// How to go about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mode {
    /// Replaces what differs.
    pub overwrite: bool,
    /// Only looks.
    pub dry_run: bool,
}

/// What makes it, on the servers of one receiver.
pub struct Setup {
    /// What there is to be.
    pub plan: Plan,
    hosts: Hosts,
}

// === impl OpenSearchConfig ===

impl OpenSearchConfig {
    /// Whether there is a `setup` in it.
    pub fn has_setup(&self) -> bool {
        self.setup.is_on()
    }

    pub(super) fn is_set_up_at_start(&self) -> bool {
        let at_start = self.setup.section().and_then(|setup| setup.at_start);
        self.setup.is_on() && at_start.unwrap_or(true)
    }
}

/// What of `setup` has no effect.
pub(super) fn lint(config: &OpenSearchConfig, warnings: &mut Vec<Problem>) {
    if !config.setup.is_on() {
        return;
    }
    let serverless = config.hosts.iter().find(|host| {
        let url = parse_host(host).ok();
        url.is_some_and(|url| config.is_serverless(&url))
    });
    if let Some(host) = serverless {
        warnings.push(host.problem("`setup` does nothing on Amazon's serverless: leave it out"));
    }
    let Ok(plan) = Plan::new(config, Dialect::OpenSearch) else {
        return;
    };
    let retention = config.setup.section().and_then(|it| it.retention.as_ref());
    if let (Some(retention), Some(why)) = (retention, plan.nothing_is_deleted()) {
        warnings.push(retention.problem(format!("without effect: {why}")));
    }
}

// === impl Setup ===

impl Setup {
    /// For a receiver of this configuration. Reads files of credentials and certificates, connects nowhere.
    pub fn new(
        config: &OpenSearchConfig,
        dialect: Dialect,
        timeout: std::time::Duration,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let plan = problems.ok(Plan::new(config, dialect));
        let hosts = problems.ok(Hosts::new(config, dialect, timeout));
        let (Some(plan), Some(hosts)) = (plan, hosts) else {
            return Err(problems);
        };
        Ok(Self { plan, hosts })
    }

    /// Makes what there is to be, or looks what would be made.
    pub async fn run(&self, mode: Mode) -> Result<Vec<Report>, SendError> {
        run(&self.plan, &self.hosts, mode).await
    }
}

/// Makes what `plan` says. Fails only where nobody has answered: a refusal is reported, and what follows from it left out.
pub(super) async fn run(plan: &Plan, hosts: &Hosts, mode: Mode) -> Result<Vec<Report>, SendError> {
    if hosts.are_serverless() {
        return Ok(vec![Report::nothing(plan.name(), Outcome::Serverless)]);
    }
    let run = Run { hosts, mode };
    let mut reports = Vec::new();
    let mut is_managed = true;
    if let Some(why) = plan.nothing_is_deleted() {
        reports.push(Report::nothing(plan.name(), Outcome::Kept(why)));
    }
    if let Some(alias) = plan.alias()
        && run.is_index(alias).await?
    {
        reports.push(Report::nothing(alias, Outcome::NoAlias));
        is_managed = false;
    }
    if let Some(policy) = plan.policy().filter(|_| is_managed) {
        let report = run.step(&policy).await?;
        is_managed = match report.outcome {
            // What names the policy goes on to: it may be there, for all that is known.
            Outcome::Refused(_) => mode.overwrite,
            // Nothing would ever roll over.
            _ => !report.outcome.is_failure(),
        };
        reports.push(report);
    }
    for step in plan.steps(is_managed) {
        let report = run.step(&step).await?;
        let is_missing = report.outcome.is_failure();
        reports.push(report);
        if is_missing {
            break;
        }
    }
    Ok(reports)
}

struct Run<'a> {
    hosts: &'a Hosts,
    mode: Mode,
}

// === impl Run ===

impl Run<'_> {
    /// Looks whether it is there, and makes it if it is to be made.
    async fn step(&self, step: &Step) -> Result<Report, SendError> {
        let outcome = self.outcome(step).await?;
        Ok(Report {
            what: step.what,
            name: step.name.clone(),
            outcome,
        })
    }

    async fn outcome(&self, step: &Step) -> Result<Outcome, SendError> {
        let answer = self.ask(Method::Get, &step.look, None).await?;
        let difference = match answer.status {
            404 => None,
            _ if step.lacks_plugin(&answer) => return Ok(Outcome::NoPolicies),
            status if classify(status).is_some() => return Ok(refused(&answer)),
            _ => {
                let existing = Existing::read(&answer.body);
                if !existing.is_there(step) {
                    return Ok(Outcome::NoStream);
                }
                match existing.difference(step) {
                    // One before may have come no further than this.
                    None if self.mode.overwrite && !self.mode.dry_run => {
                        return self.apply(step, Outcome::Unchanged).await;
                    }
                    None => return Ok(Outcome::Unchanged),
                    Some(difference) => Some((existing, difference)),
                }
            }
        };
        let Mode { overwrite, dry_run } = self.mode;
        let (put, done) = match difference {
            None if dry_run => return Ok(Outcome::WouldCreate),
            None => (step.put.clone(), Outcome::Created),
            Some((existing, at)) if !overwrite => {
                let version = existing.version_of_ours(step);
                return Ok(Outcome::Differs { at, version });
            }
            Some(_) if dry_run => return Ok(Outcome::WouldReplace),
            Some((existing, _)) => (existing.put(step), Outcome::Replaced),
        };
        let answer = self.ask(Method::Put, &put, step.sent()).await?;
        if classify(answer.status).is_some() {
            // Another exporter may have been faster.
            let is_there = answer.status == 409 || is_there_already(&answer);
            if is_there && matches!(done, Outcome::Created) {
                let found = self.ask(Method::Get, &step.look, None).await?;
                if found.status == 200 && Existing::read(&found.body).is_there(step) {
                    return Ok(Outcome::Unchanged);
                }
            }
            return Ok(refused(&answer));
        }
        match done {
            Outcome::Replaced => self.apply(step, done).await,
            _ => Ok(done),
        }
    }

    /// Has what went by it go by what is there now.
    async fn apply(&self, step: &Step, done: Outcome) -> Result<Outcome, SendError> {
        let Some(indices) = &step.governs else {
            return Ok(done);
        };
        let path = format!("_plugins/_ism/explain/{indices}");
        let explained = self.ask(Method::Get, &path, None).await?;
        // There may be no index yet.
        if explained.status == 404 {
            return Ok(done);
        }
        if classify(explained.status).is_some() {
            return Ok(refused(&explained));
        }
        let body = json!({"policy_id": step.name});
        for indices in step::governed(&explained.body, &step.name) {
            let path = format!("_plugins/_ism/change_policy/{indices}");
            let answer = self.ask(Method::Post, &path, Some(&body)).await?;
            if classify(answer.status).is_some() {
                return Ok(refused(&answer));
            }
            if let Some(reason) = step::not_applied(&answer.body) {
                return Ok(Outcome::Refused(reason));
            }
        }
        Ok(done)
    }

    /// Whether an index has this name, rather than an alias or nothing.
    async fn is_index(&self, name: &str) -> Result<bool, SendError> {
        let path = format!("{}/_alias", step::encoded(name));
        let answer = self.ask(Method::Get, &path, None).await?;
        let found: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(answer.status == 200 && found.get(name).is_some())
    }

    /// Asks every host in turn until one answers; that it is busy is no answer.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, SendError> {
        let body = body.map(Value::to_string);
        let mut failed = SendError::transient("no host");
        for _ in 0..self.hosts.count() {
            let body = body.clone().map(Into::into);
            match self.hosts.send(method, path, HeaderMap::new(), body).await {
                Ok(answer) if classify(answer.status) == Some(SendErrorKind::Transient) => {
                    failed = SendError {
                        status: Some(answer.status),
                        ..SendError::transient(refusal(answer.status, &answer.body))
                    };
                }
                Ok(answer) => return Ok(answer),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

fn refused(answer: &Answer) -> Outcome {
    let mut reason = refusal(answer.status, &answer.body);
    if reason.contains("[flat_object]") {
        reason.push_str(" (setup is for OpenSearch 2.7 or later)");
    }
    Outcome::Refused(reason)
}

fn is_there_already(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body);
    answer.status == 400 && text.contains("resource_already_exists_exception")
}

#[cfg(test)]
mod tests;
