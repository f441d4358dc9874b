//! What can only be told of the file as a whole: of its receivers together, and of the route that names them.

use super::foreign::Foreign;
use super::receiver::{ReceiverConfig, ReceiverFile};
use crate::route::{Route, RouteConfig, lint};
use crate::sink::opensearch::setup::{Party, contests};
use crate::yaml::{Located, Problem, Problems};

/// What is found while a file is checked.
pub(super) struct Check {
    /// Values that could not be read: what is missing because of them is no mistake of its own.
    pub unread: Vec<Problem>,
    pub errors: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

// === impl Check ===

impl Check {
    /// Whether something at `path` or below could not be read.
    pub fn is_unread(&self, path: &str) -> bool {
        self.unread.iter().any(|problem| {
            let rest = problem.path.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Keeps the error, if it is one.
    pub fn ok<T>(&mut self, result: Result<T, impl Into<Problems>>) -> Option<T> {
        result
            .map_err(|problems| self.errors.append(&mut problems.into().into_vec()))
            .ok()
    }
}

/// The receivers that can be run, and the names of all; no names where one could not be read.
pub(super) fn check_receivers(
    files: Vec<Located<ReceiverFile>>,
    check: &mut Check,
) -> (Vec<ReceiverConfig>, Option<Vec<Located<String>>>) {
    let (mut receivers, mut names) = (Vec::new(), Vec::<Located<String>>::new());
    let mut buffers = Vec::<Located<String>>::new();
    let mut nameless = check.is_unread("receivers") && files.is_empty();
    for file in files {
        let unread = check.is_unread(&file.path);
        let name = file.value.name().clone();
        if name.value.is_empty() {
            nameless = true;
            if !unread {
                check.errors.push(file.problem("a receiver has no `name`"));
            }
            continue;
        }
        match names.iter().find(|other| other.value == name.value) {
            Some(first) => {
                let line = first.position.line;
                check.errors.push(name.problem(format!(
                    "two receivers are named `{}`, here and on line {line}",
                    name.value
                )));
            }
            None => names.push(name),
        }
        if let Some(buffer) = file.value.buffer() {
            match buffers.iter().find(|other| other.value == buffer.value) {
                Some(first) => {
                    let line = first.position.line;
                    let message = format!("another receiver has this buffer, on line {line}");
                    check.errors.push(buffer.problem(message));
                }
                None => buffers.push(buffer.clone()),
            }
        }
        receivers.extend(file.value.check(!unread, check));
    }
    let parties: Vec<Party<'_>> = receivers.iter().filter_map(sets_up).collect();
    check.warnings.extend(contests(&parties));
    nameless |= check
        .unread
        .iter()
        .any(|problem| problem.path == "receivers" || is_element(&problem.path));
    (receivers, (!nameless).then_some(names))
}

/// A receiver with a `setup`, whatever there is of it.
fn sets_up(receiver: &ReceiverConfig) -> Option<Party<'_>> {
    receiver.party().filter(|party| party.config.has_setup())
}

/// Whether `path` is that of a whole receiver.
fn is_element(path: &str) -> bool {
    path.starts_with("receivers[") && path.ends_with(']') && !path.contains('.')
}

/// The route with what else has a say in it. Which receivers it names is looked at where their names are known.
pub(super) fn check_route(
    route: Option<Located<RouteConfig>>,
    foreign: &Foreign,
    names: Option<&[Located<String>]>,
    looks_up: bool,
    check: &mut Check,
) -> RouteConfig {
    if route.is_none() && !check.is_unread("route") {
        let missing = no_route(&check.warnings);
        // One line says both.
        check
            .warnings
            .retain(|known| known.position != missing.position);
        check.errors.push(missing);
    }
    if let Some(route) = &route {
        let known: Vec<&Located<String>> = names.unwrap_or_default().iter().collect();
        let findings = lint(route, &known, looks_up);
        let route_unread = check.is_unread("route");
        let follows = |warning: &Problem| {
            let of_receiver = warning.path.starts_with("receivers");
            check.is_unread(&warning.path) || (of_receiver && route_unread)
        };
        let mut warnings = findings.warnings;
        warnings.retain(|warning| !follows(warning));
        check.warnings.extend(warnings);
        check.errors.extend(findings.errors);
        if names.is_some() {
            check.errors.extend(findings.unknown);
        }
    }
    let mut route = route.map(|route| route.value).unwrap_or_default();
    foreign.apply(&mut route, &mut check.errors, &mut check.warnings);
    if check.errors.is_empty() {
        let names = names.unwrap_or_default().iter();
        let names: Vec<&str> = names.map(|name| name.value.as_str()).collect();
        // Its warnings are told already.
        let compiled = Route::compile(&route, &names, &mut Vec::new());
        check.ok(compiled);
    }
    route
}

fn no_route(warnings: &[Problem]) -> Problem {
    let message = "there is no `route`: no event would go anywhere";
    // The key that was ignored may be the one that is missed.
    let ignored = warnings
        .iter()
        .find(|key| !key.path.contains(['.', '[']) && key.message.starts_with("unknown key"));
    ignored.map_or_else(
        || Problem::nowhere(message),
        |key| Problem {
            message: format!("{message}; and {}", key.message),
            ..key.clone()
        },
    )
}
