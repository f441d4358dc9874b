use super::CoordinationConfig::{self, Election, Lease, Nothing};
use super::{Config, Inspection};
use crate::event::Event;

mod incumbent;
mod mutations;
mod schema;

fn inspect(text: &str) -> Inspection {
    Config::inspect(text, &|name| match name {
        "DEFINED" => Some("x: #y".to_owned()),
        "SECRET" => Some("s3cret".to_owned()),
        _ => None,
    })
}

/// Errors and warnings.
type Findings = (Vec<String>, Vec<String>);

/// Its errors and warnings as they are shown.
fn findings(text: &str) -> Findings {
    let found = inspect(text);
    let show = |problems: Vec<crate::yaml::Problem>| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    (show(found.errors), show(found.warnings))
}

/// Errors of building receivers too.
fn all_errors(text: &str) -> Vec<String> {
    let found = inspect(text);
    let receivers = found.config.unwrap().receivers;
    let built = crate::pipeline::Pipeline::problems(receivers);
    let all = found.errors.iter().chain(&built);
    all.map(ToString::to_string).collect()
}

const REST: &str = "\nroute: {match: [{receiver: out}]}\nreceivers: [{name: out, stdout: {}}]\n";

fn top(key: &str) -> Findings {
    findings(&format!("{key}{REST}"))
}

#[test]
fn every_mistake_is_found_in_one_run() {
    let (errors, warnings) = findings(
        "logLevel: loud
namespace: A
maxEventAgeSeconds: \"5\"
route:
  drop: [{kind: [Pod]}]
  match: [{receiver: one}, {receiver: twoo}, {receiver: three}]
receivers:
- {name: one, stdout: {}, timeout: soon}
- {name: two, stdout: {}, file: {path: x}}
- {name: three, stdout: {}, onFull: explode}
- {name: three, stdout: {}}
- {stdout: {}}
- text
",
    );
    assert_eq!(
        errors,
        [
            "1:11: logLevel: `loud` is not one of trace, debug, info, warn, error, fatal, panic, disabled",
            "2:12: namespace: `A` is no namespace: names have up to 63 lower-case letters, digits and `-`",
            "3:21: maxEventAgeSeconds: expected a whole number, found the string \"5\"",
            "5:17: route.drop[0].kind: expected a string, found a list",
            "8:36: receivers[0].timeout: `soon` is no duration: write for example 500ms, 2s or 1m30s",
            "9:10: receivers[1].name: the receiver `two` has two types, `stdout` and `file`: make it two receivers",
            "10:37: receivers[2].onFull: `explode` is not one of park, drop",
            "11:10: receivers[3].name: two receivers are named `three`, here and on line 10",
            "12:3: receivers[4]: a receiver has no `name`",
            "13:3: receivers[5]: expected a mapping, found `text`",
        ],
        "and not the names in the route, of which some could not be read"
    );
    assert_eq!(warnings, [] as [&str; 0], "nor of what is left of the rule");
}

#[test]
fn what_follows_from_an_error_is_no_error_of_its_own() {
    for (text, error) in [
        (
            "route: [x, y]\nreceivers: []",
            "1:8: route: expected a mapping, found a list",
        ),
        (
            "route: {match: [{receiver: a}]}\nreceivers: [{name: [a], stdout: {}}]",
            "2:20: receivers[0].name: expected a string, found a list",
        ),
        (
            "route: {match: [{receiver: a}]}\nreceivers: [{name: a, stdout: 5}]",
            "2:31: receivers[0].stdout: expected a mapping, found `5`",
        ),
        (
            "route: {match: [{receiver: a}]}\nreceivers: 5",
            "2:12: receivers: expected a mapping, found `5`",
        ),
        (
            "route: {match: [{receiver: a}]}\nreceivers: [{name: a, splunk: {}}]",
            "2:23: receivers[0].splunk: there is no receiver of type `splunk`: use `webhook` with a `layout` of what its API expects, or towards a pipeline or an OpenTelemetry gateway",
        ),
    ] {
        let (errors, _) = findings(text);
        assert_eq!(errors, [error], "{text}");
    }
}

#[test]
fn unknown_receivers_are_all_told_with_the_likely_one() {
    let (errors, warnings) = findings(
        "route: {match: [{receiver: ab}], routes: [{match: [{receiver: xyz}]}]}\nreceivers: [{name: abc, stdout: {}}]",
    );
    assert_eq!(
        errors,
        [
            "1:28: route.match[0].receiver: there is no receiver `ab`; did you mean `abc`?",
            "1:63: route.routes[0].match[0].receiver: there is no receiver `xyz`; add it under `receivers`",
        ]
    );
    assert_eq!(
        warnings,
        [] as [&str; 0],
        "not once more as one that nobody names"
    );
}

#[test]
fn keys_of_forks_are_mapped_or_refused() {
    let none: [&str; 0] = [];
    for key in [
        "reportUpdates",
        "processUpdateEvent",
        "sentUpdateEvent",
        "watchUpdate",
    ] {
        let column = key.len() + 3;
        let (errors, warnings) = top(&format!("{key}: true"));
        assert_eq!(errors, none);
        assert_eq!(
            warnings,
            [format!(
                "1:{column}: {key}: not needed: updates are always exported; leave it out"
            )]
        );
        let (errors, warnings) = top(&format!("{key}: false"));
        assert_eq!(warnings, none);
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].contains("so this can't be false")
                && errors[0].contains("drop: [{minCount: 2}]"),
            "{errors:?}"
        );
    }
    for (key, error, warning) in [
        (
            "clusterEnvironment: ${SECRET}",
            "put it into `clusterName`",
            "",
        ),
        ("clusterEnvironment: \"\"", "", ""),
        (
            "reasonAllowlist: [Killing]",
            "put `drop: [{not: {reason:",
            "",
        ),
        ("reasonAllowlist: []", "", ""),
        (
            "fieldSelector: involvedObject.uid=${SECRET}",
            "a field that no rule can test",
            "",
        ),
        (
            "fieldSelector: ${SECRET}",
            "no field selector that can be understood",
            "",
        ),
        ("fieldSelector: \"\"", "", ""),
        (
            "fieldSelector: \"reason!=${SECRET}\"",
            "",
            "taken for rules that drop",
        ),
        (
            "watchReasons: [\"${SECRET}\"]",
            "",
            "taken for a rule that drops every other reason",
        ),
        ("watchReasons: []", "", ""),
        ("cacheTTL: 5m", "", "not needed"),
        ("mappingCacheSize: 100", "", "not needed"),
        (
            "namespace: a,b",
            "several of them are a list, `namespaces: [a, b]`",
            "",
        ),
    ] {
        let (errors, warnings) = top(key);
        let told = |found: &[String], wanted: &str| match wanted {
            "" => found.is_empty(),
            wanted => found.len() == 1 && found[0].contains(wanted),
        };
        assert!(
            told(&errors, error) && told(&warnings, warning),
            "{key}: {errors:?} {warnings:?}"
        );
        assert!(
            !format!("{errors:?}{warnings:?}").contains("s3cret"),
            "{key}"
        );
    }
    let (errors, _) = findings(
        "route: {match: [{receiver: out}]}\nreceivers: [{name: out, opensearch: {index: a, awsService: es}}]",
    );
    assert!(errors[0].contains("`aws: {service: es}`"), "{errors:?}");
}

#[test]
fn it_is_said_once_where_the_checkpoint_is() {
    let of = |key: &str| {
        let found = inspect(&format!("{key}{REST}"));
        assert!(found.errors.is_empty(), "{key}: {:?}", found.errors);
        found.config.unwrap().coordination
    };
    assert_eq!(of("leaderElection: {leaderElectionID: x}"), Nothing);
    assert_eq!(
        of("leaderElection: {enabled: true}"),
        Election("kubernetes-event-exporter".into())
    );
    assert_eq!(
        of("leaderElection: {enabled: true, leaderElectionID: a.b-c}"),
        Election("a.b-c".into())
    );
    assert_eq!(
        of("checkpoint: {file: /x}"),
        CoordinationConfig::File("/x".into())
    );
    assert_eq!(of("checkpoint: {lease: x}"), Lease("x".into()));
    for (key, told) in [
        (
            "checkpoint: {file: /x, lease: x}",
            "either `file` or `lease`",
        ),
        (
            "leaderElection: {enabled: true}\ncheckpoint: {file: /x}",
            "leave this out",
        ),
        (
            "checkpoint: {lease: Exporter}",
            "can't be the name of a Lease",
        ),
        (
            "leaderElection: {enabled: true, leaderElectionID: a..b}",
            "can't be the name of a Lease",
        ),
    ] {
        let (errors, _) = top(key);
        assert_eq!(errors.len(), 1, "{key}");
        assert!(errors[0].contains(told), "{errors:?}");
    }
}

#[test]
fn no_message_shows_what_stands_for_a_variable() {
    for key in [
        "logLevel: ${SECRET}",
        "logFormat: ${SECRET}",
        "namespace: \"${SECRET}!\"",
        "metricsNamePrefix: ${SECRET}",
        "maxEventAgeSeconds: ${SECRET}",
        "leaderElection: ${SECRET}",
        "omitLookup: ${SECRET}",
    ] {
        let (errors, _) = top(key);
        assert_eq!(errors.len(), 1, "{key}");
        assert!(!errors[0].contains("s3cret"), "{errors:?}");
    }
    for text in [
        "receivers: [{name: a, stdout: {}, timeout: \"${SECRET}\"}]",
        "receivers: [{name: a, stdout: {}, queue: {maxBytes: \"${SECRET}\"}}]",
        "receivers: [{name: a, stdout: {format: \"${SECRET}\"}}]",
        "receivers: [{name: a, stdout: \"${SECRET}\"}]",
    ] {
        let (errors, warnings) = findings(&format!(
            "route: {{match: [{{receiver: a}}, {{namespace: \"*${{SECRET}}\", receiver: a}}]}}\n{text}"
        ));
        assert_eq!((errors.len(), warnings.len()), (1, 1), "{text}");
        assert!(
            !format!("{errors:?}{warnings:?}").contains("s3cret"),
            "{errors:?}{warnings:?}"
        );
    }
}

/// Whether an event would be delivered.
fn delivered(key: &str, event: &Event) -> bool {
    let config = inspect(&format!("{key}{REST}")).config.unwrap();
    let route = crate::route::Route::compile(&config.route, &["out"], &mut Vec::new()).unwrap();
    !route.resolve(event).receivers.is_empty()
}

fn event(reason: &str, component: &str, reporting: &str) -> Event {
    let mut event = Event {
        reason: reason.to_owned(),
        reporting_component: reporting.to_owned(),
        ..Event::default()
    };
    event.source.component = component.to_owned();
    event.involved_object.kind = "Pod".to_owned();
    event
}

#[test]
fn what_forks_select_is_selected_exactly() {
    for (key, reason, component, reporting, wanted) in [
        ("watchReasons: [Killing, Back.Off]", "Killing", "", "", true),
        (
            "watchReasons: [Killing, Back.Off]",
            "Back.Off",
            "",
            "",
            true,
        ),
        (
            "watchReasons: [Killing, Back.Off]",
            "BackxOff",
            "",
            "",
            false,
        ),
        (
            "watchReasons: [Killing, Back.Off]",
            "NotKilling",
            "",
            "",
            false,
        ),
        ("watchReasons: Killing", "Killing", "", "", true),
        ("fieldSelector: \"reason=A\"", "A", "", "", true),
        ("fieldSelector: \"reason==A\"", "AB", "", "", false),
        ("fieldSelector: \"reason!=A\"", "A", "", "", false),
        ("fieldSelector: \"reason!=A\"", "B", "", "", true),
        (
            "fieldSelector: \"reason!=A,involvedObject.kind=Pod\"",
            "B",
            "",
            "",
            true,
        ),
        (
            "fieldSelector: \"reason!=A,involvedObject.kind=Node\"",
            "B",
            "",
            "",
            false,
        ),
        ("fieldSelector: \"reason=\"", "", "", "", true),
        ("fieldSelector: \"reason=\"", "A", "", "", false),
        ("fieldSelector: \"source=kubelet\"", "", "kubelet", "", true),
        (
            "fieldSelector: \"source=kubelet\"",
            "",
            "kubelet",
            "x",
            true,
        ),
        (
            "fieldSelector: \"source=kubelet\"",
            "",
            "other",
            "kubelet",
            false,
        ),
        ("fieldSelector: \"source=kubelet\"", "", "", "kubelet", true),
        ("fieldSelector: \"source=kubelet\"", "", "", "", false),
        (
            "fieldSelector: \"source!=kubelet\"",
            "",
            "kubelet",
            "",
            false,
        ),
        (
            "fieldSelector: \"source!=kubelet\"",
            "",
            "other",
            "kubelet",
            true,
        ),
        (
            "fieldSelector: \"source!=kubelet\"",
            "",
            "",
            "kubelet",
            false,
        ),
        ("fieldSelector: \"source!=kubelet\"", "", "", "", true),
    ] {
        assert_eq!(
            delivered(key, &event(reason, component, reporting)),
            wanted,
            "{key}: {reason} {component} {reporting}"
        );
    }
}

#[test]
fn levels_of_logs_are_those_of_the_incumbent() {
    use crate::telemetry::LogLevel::{self, Debug, Disabled, Error, Info, Trace, Warn};
    let level = |text: &str| -> Option<LogLevel> {
        let found = inspect(&format!("logLevel: {text}{REST}"));
        found
            .config
            .filter(|_| found.errors.is_empty())
            .map(|config| config.log_level)
    };
    for (text, expected) in [
        ("\"\"", Info),
        ("~", Info),
        ("trace", Trace),
        ("debug", Debug),
        ("INFO", Info),
        ("warn", Warn),
        ("Warning", Warn),
        ("error", Error),
        ("fatal", Error),
        ("panic", Error),
        ("disabled", Disabled),
        ("-1", Trace),
        ("0", Debug),
        ("1", Info),
        ("\"2\"", Warn),
        ("3", Error),
        ("5", Error),
        ("7", Disabled),
    ] {
        assert_eq!(level(text), Some(expected), "{text}");
    }
    for text in ["verbose", "1.5", "[info]", "1000"] {
        assert_eq!(level(text), None, "{text}");
    }
}

/// Where a key that stands in the wrong place belongs.
#[test]
fn a_key_for_the_watch_is_not_taken_for_one_of_a_rule() {
    let (_, warnings) = findings(
        "route: {match: [{namespaces: ^shop$, receiver: out}]}\nreceivers: [{name: out, stdout: {}, message: x}]\n",
    );
    for told in [
        "`namespaces` is no key of a rule; did you mean `namespace`?",
        "`message` belongs under the type of the receiver",
    ] {
        let known = warnings.iter().any(|warning| warning.contains(told));
        assert!(known, "{warnings:?}: {told}");
    }
}

/// What is found in a file with this route, and one receiver called `out`.
fn route(text: &str) -> Findings {
    findings(&format!(
        "route: {text}\nreceivers: [{{name: out, stdout: {{}}}}]\n"
    ))
}

/// What is found in a file with this receiver, which gets everything.
fn receiver(text: &str) -> Findings {
    findings(&format!(
        "route: {{match: [{{receiver: out}}]}}\nreceivers: [{{name: out, {text}}}]\n"
    ))
}

/// Each of the findings has a warning with this in it.
fn warns(expected: &[(Findings, &str)]) {
    for ((_, warnings), expected) in expected {
        assert!(
            warnings.iter().any(|warning| warning.contains(expected)),
            "{warnings:?} should say {expected}"
        );
    }
}

#[test]
fn what_has_no_effect_or_one_that_nobody_wants_is_told() {
    warns(&[
        (
            receiver("webhook: {endpoint: \"http://x\", password: p}"),
            "without effect: a password needs a `username`",
        ),
        (
            receiver("webhook: {endpoint: \"http://x\", username: u, headers: {authorization: x}}"),
            "without effect: `headers.Authorization` comes before `username`",
        ),
        (
            receiver(
                "webhook: {endpoint: \"http://x\", usernameFile: /u, headers: {authorization: x}}",
            ),
            "webhook.usernameFile: without effect: `headers.Authorization` comes before `usernameFile`",
        ),
        (
            receiver("maxInFlight: 2, stdout: {}"),
            "receivers[0].maxInFlight: without effect: what this receiver writes to takes one batch after the other",
        ),
        (
            receiver("opensearch: {dataStream: a, layout: {m: x}}"),
            "receivers[0].opensearch.dataStream: its documents have no `@timestamp`",
        ),
        (
            receiver("compat: strict, opensearch: {dataStream: a}"),
            "receivers[0].opensearch.dataStream: its documents have no `@timestamp`",
        ),
        (
            receiver("opensearch: {index: a, passwordFile: /p}"),
            "opensearch.passwordFile: without effect: a password needs a `username`",
        ),
        (
            receiver("opensearch: {index: a, password: p}"),
            "receivers[0].opensearch.password: without effect: a password needs a `username`",
        ),
        (
            receiver("opensearch: {index: a, username: u}"),
            "receivers[0].opensearch.username: without effect: a user needs a `password`",
        ),
        (
            receiver("opensearch: {index: a, indexFormat: b}"),
            "receivers[0].opensearch.index: without effect: `indexFormat` comes before it",
        ),
        (
            receiver("opensearch: {index: \"events-{2006.01.02}\"}"),
            "receivers[0].opensearch.index: the braces are part of the name: for a date, the key is `indexFormat`",
        ),
        (
            receiver("opensearch: {indexFormat: \"events-{YYYY.MM.DD}\"}"),
            "receivers[0].opensearch.indexFormat: no date is in `events-yyyy.mm.dd`, whatever the event's: the layout is Go's",
        ),
        (
            receiver("opensearch: {indexFormat: \"events-%Y.%m\"}"),
            "no date is in `events-%y.%m`",
        ),
        (
            findings(
                "omitLookup: true\nroute: {match: [{receiver: out, labels: {app: web}}]}\nreceivers: [{name: out, stdout: {}}]",
            ),
            "route.match[0].labels.app: never matches: with `omitLookup: true` nobody asks",
        ),
        (
            top("maxEventAgeSeconds: 60\nmaxEventsAgeSeconds: 70"),
            "2:22: maxEventsAgeSeconds: without effect: `maxEventAgeSeconds` comes before it",
        ),
        (
            receiver("opensearch: {index: \"{{ .InvolvedObject.Labels.team }}\"}"),
            "receivers[0].opensearch.index: for events that lack what is asked for, this is `<no value>`",
        ),
        (
            receiver(
                "loki: {url: \"http://x\", streamLabels: {a: \"{{ .InvolvedObject.Labels.team }}\"}}",
            ),
            "receivers[0].loki.streamLabels.a: for events that lack what is asked for",
        ),
        (
            route("{match: [{receiver: out}, {kind: Pod, receiver: out}]}"),
            "route.match[1].receiver: `out` gets every event that matches here twice: each rule that matches delivers, and the one on line 1 matches every event",
        ),
    ]);
}

#[test]
fn a_misplaced_key_is_told_where_it_belongs() {
    warns(&[
        (
            top("routes: []"),
            "1:1: routes: unknown key `routes`, ignored; `routes` belongs into `route`, under the one at the top; did you mean `route`?",
        ),
        (
            top("drop: []"),
            "1:1: drop: unknown key `drop`, ignored; `drop` belongs under `route`",
        ),
        (top("match: []"), "`match` belongs under `route`"),
        (top("receiver: []"), "did you mean `receivers`?"),
        (
            top("stdout: {}"),
            "`stdout` is a type of receiver, and belongs into an entry of `receivers`",
        ),
        (
            top("leaderElectionID: x"),
            "`leaderElectionID` belongs under `leaderElection`",
        ),
        (top("Namespace: x"), "did you mean `namespace`?"),
        (
            route("{match: [{receiver: out, drop: [{kind: Pod}]}]}"),
            "1:33: route.match[0].drop: unknown key `drop`, ignored; `drop` belongs into a route, beside `match`, not into one of its rules",
        ),
        (
            route("{match: [{receiver: out, routes: []}]}"),
            "`routes` belongs into a route",
        ),
        (
            route("{match: [{receiver: out, Kind: Pod}]}"),
            "did you mean `kind`?",
        ),
        (
            route("{match: [{receivers: [out]}, {receiver: out}]}"),
            "write one rule for each `receiver`",
        ),
        (
            route("{match: [{receiver: out, involvedObject: {kind: Pod}}]}"),
            "write `kind`, `name`, `labels`",
        ),
        (
            route("{match: [{receiver: out}], kind: Pod}"),
            "`kind` belongs into a rule: an entry of `match` or `drop`",
        ),
        (
            route("{match: [{receiver: out}], receiver: out}"),
            "`receiver` belongs into a rule: an entry of `match` or `drop`",
        ),
        (
            route("{match: [{receiver: out}], receivers: []}"),
            "`receivers` belongs at the top of the file",
        ),
        (
            route(
                "{match: [{receiver: out}], routes: [{match: [{receiver: out}], maxEventAgeSeconds: 5}]}",
            ),
            "`maxEventAgeSeconds` belongs at the top of the file",
        ),
    ]);
}

#[test]
fn batches_on_their_way_have_bounds() {
    for count in ["0", "33", "1000000"] {
        let text = format!(
            "route: {{match: [{{receiver: out}}]}}\nreceivers: [{{name: out, maxInFlight: {count}, opensearch: {{index: a}}}}]\n"
        );
        let told = all_errors(&text);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("receivers[0].maxInFlight: must be from 1 to 32"),
            "{told:?}"
        );
    }
}

#[test]
fn a_key_misplaced_in_a_receiver_is_told_where_it_belongs() {
    warns(&[
        (
            receiver("stdout: {}, layout: {a: b}"),
            "2:37: receivers[0].layout: unknown key `layout`, ignored; `layout` belongs under the type of the receiver (`opensearch:`, `elasticsearch:`, `webhook:`, …), not beside its `name`",
        ),
        (
            receiver("stdout: {}, deDot: true"),
            "`deDot` belongs under the type of the receiver",
        ),
        (
            receiver("stdout: {}, maxEvents: 5"),
            "`maxEvents` belongs under `batch`",
        ),
        (
            receiver("file: {path: /x}, maxSize: 5"),
            "`maxSize` belongs under the type of the receiver (`file:`), not beside its `name`",
        ),
        (
            receiver("stdout: {streamLabels: {a: b}}"),
            "`streamLabels` is a key of `loki:`, not of `stdout`",
        ),
        (
            receiver("opsgenie: {apiKey: k, message: m, url: \"https://x\"}"),
            "`url`, ignored; here the key is `URL`",
        ),
        (
            receiver("opensearch: {index: a, url: \"https://x\"}"),
            "`url`, ignored; here the key is `hosts`",
        ),
        (
            receiver("opsgenie: {apiKey: k, message: m, tag: [a]}"),
            "`tag`, ignored; did you mean `tags`?",
        ),
        (
            top("indexFormat: a"),
            "`indexFormat` belongs into an entry of `receivers`, under its type (`opensearch:`, `elasticsearch:`)",
        ),
        (
            receiver("stdout: {}, batch: {onFull: drop}"),
            "`onFull` belongs beside the receiver's `name`, not under `batch`",
        ),
        (
            receiver("stdout: {onFull: drop}"),
            "`onFull` belongs beside the receiver's `name`, not under its type",
        ),
        (
            receiver("opensearch: {index: a, caFile: x}"),
            "`caFile` belongs under `tls`",
        ),
        (
            receiver("slack: {message: m}, tokenFile: x"),
            "`tokenFile` belongs under the type of the receiver (`slack:`), not beside its `name`",
        ),
        (
            receiver("opensearch: {index: a, Index: x}"),
            "did you mean `index`?",
        ),
    ]);
}

#[test]
fn an_alias_that_is_none_hides_nothing_else() {
    let (errors, warnings) = findings(
        "route: {drop: [{namespace: *test*, Kind: Pod}, {reason: *foo}], match: [{receiver: owt}]}\nreceivers: [{name: out, stdout: {}, timeout: 0s}]\n",
    );
    let places: Vec<&str> = errors
        .iter()
        .map(|it| it.split(": ").nth(1).unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "route.drop[0].namespace",
            "route.drop[1].reason",
            "route.match[0].receiver",
            "receivers[0].timeout"
        ]
    );
    assert!(
        warnings
            .iter()
            .any(|it| it.contains("did you mean `kind`?")),
        "{warnings:?}"
    );
}

#[test]
fn what_stands_outside_of_the_mapping_is_told() {
    for text in [
        "  route: {match: [{receiver: out}]}\n  receivers: [{name: out, stdout: {}}]\nclusterName: x\n",
        "  route: {match: [{receiver: out}]}\n  receivers: [{name: out, stdout: {}}]\nnonsense: [1,2\n",
        " route: {match: [{receiver: out}]}\nreceivers: [{name: out, stdout: {}}]\n",
        "{route: {match: [{receiver: out}]}, receivers: [{name: out, stdout: {}}]}\nclusterName: x\n",
    ] {
        let (errors, _) = findings(text);
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        let told = if text.starts_with('{') {
            "2:1: this stands behind the closing brace"
        } else {
            "is not part of the mapping that the file begins with"
        };
        assert!(errors[0].contains(told), "{text}: {errors:?}");
    }
    let (errors, _) = findings("[a]\nfoo: 1\n");
    assert!(
        errors[0].contains("the file must be a mapping"),
        "{errors:?}"
    );
    // As does what Helm and Kustomize write.
    for text in [
        "---\nROUTE",
        "ROUTE...\n",
        "ROUTE---\n  any: [thing\n",
        "ROUTE...\n---\n",
    ] {
        let text = text.replace("ROUTE", &REST[1..]);
        let (errors, _) = findings(&text);
        assert_eq!(errors, [] as [&str; 0], "{text}");
    }
}

#[test]
fn what_is_told_shows_neither_secrets_nor_controls() {
    for (text, expected) in [
        (
            "opensearch: {index: \"A-${SECRET}\"}",
            "`A-${SECRET}` is no legal name of an index: lower case",
        ),
        (
            "opensearch: {index: \"A-x\"}",
            "`A-x` is no legal name of an index; `a-x` would be: lower case",
        ),
        (
            "stdout: {deDot: \"${NOPE:-true}\"}",
            "expected true or false, found the string \"${NOPE:-true}\"",
        ),
        (
            "stdout: {format: \"${NOPE:-ab}\"}",
            "`${NOPE:-ab}` is not one of json, text",
        ),
        (
            "opensearch: {index: a, hosts: \"http://h/?token=${SECRET}\"}",
            "a host has no query",
        ),
    ] {
        let config =
            format!("route: {{match: [{{receiver: out}}]}}\nreceivers: [{{name: out, {text}}}]\n");
        let errors = all_errors(&config);
        let told = errors.iter().any(|error| error.contains(expected));
        assert!(told, "{text}: {errors:?}");
        assert!(
            !errors.iter().any(|error| error.contains("s3cret")),
            "{errors:?}"
        );
    }
    let (_, warnings) = top("\"x\\e[31m\\nerror: \\u202e\": 1");
    assert_eq!(warnings.len(), 1);
    assert!(
        !warnings[0].contains(['\u{1b}', '\n', '\u{202e}']),
        "{warnings:?}"
    );
}

#[test]
fn what_is_no_share_of_the_events_is_told_with_its_place() {
    for (share, told) in [
        ("0", "must be above 0 and at most 1"),
        ("-0.1", "must be above 0 and at most 1"),
        ("1.5", "must be above 0 and at most 1"),
        (".nan", "expected a number, found `.nan`"),
        ("10%", "expected a number, found `10%`"),
    ] {
        let text = format!(
            "route:\n  routes:\n  - match: [{{receiver: a}}]\n    sample: {share}\nreceivers: [{{name: a, stdout: {{}}}}]"
        );
        let found = Config::inspect(&text, &|_| None);
        let [problem] = found.errors.as_slice() else {
            panic!("{share}: {:?}", found.errors);
        };
        let problem = problem.to_string();
        let expected = format!("4:13: route.routes[0].sample: {told}");
        assert!(problem.starts_with(&expected), "{problem}");
    }
}
