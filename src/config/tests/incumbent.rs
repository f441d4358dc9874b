//! Every row of `tests/vectors/yaml.md`: what the incumbent accepts or refuses, and what we make of it.

use super::{REST, inspect};
use crate::config::Config;
use crate::event::Event;
use crate::route::Route;
use crate::sink::SinkConfig;
use crate::sink::body::Body;

/// What comes of a text.
enum Expect {
    /// It runs without a word.
    Runs(fn(&Config) -> bool),
    /// It runs, with one warning that begins so.
    Warns(&'static str, fn(&Config) -> bool),
    /// It is refused, with one error that begins so.
    Fails(&'static str),
}

use Expect::{Fails, Runs, Warns};

/// A row's first cell, and texts that are such an input.
type Row = (&'static str, Vec<(String, Expect)>);

/// A configuration around a top-level key.
fn top(key: &str) -> String {
    format!("{key}{REST}")
}

/// A configuration around a route.
fn route(text: &str) -> String {
    format!("route: {text}\nreceivers: [{{name: out, stdout: {{}}}}]\n")
}

/// A configuration around what a receiver is, beside its name.
fn receiver(text: &str) -> String {
    format!("route: {{match: [{{receiver: out}}]}}\nreceivers: [{{name: out, {text}}}]\n")
}

/// How many receivers an event in a namespace has.
fn receivers(config: &Config, namespace: &str) -> usize {
    let names: Vec<&str> = config
        .receivers
        .iter()
        .map(|receiver| receiver.name.as_str())
        .collect();
    let route = Route::compile(&config.route, &names, &mut Vec::new()).unwrap();
    let mut event = Event::default();
    event.metadata.namespace = namespace.to_owned();
    route.resolve(&event).receivers.len()
}

/// What the first receiver writes of an event without contents.
fn written(config: &Config) -> String {
    let (layout, de_dot) = config.receivers[0].sink.body();
    let body = Body::new(layout, de_dot, config.receivers[0].compat).unwrap();
    let mut document = Vec::new();
    body.append(&Event::default(), &mut document).unwrap();
    String::from_utf8(document).unwrap()
}

fn rows() -> Vec<Row> {
    [scalars(), sections(), routes(), variables()]
        .into_iter()
        .flatten()
        .collect()
}

fn scalars() -> Vec<Row> {
    vec![
        (
            "`maxEventsAgeSeconds` (misspelt in the wild)",
            vec![(
                top("maxEventsAgeSeconds: 60"),
                Warns(
                    "1:22: maxEventsAgeSeconds: taken for `maxEventAgeSeconds`",
                    |config| config.max_event_age.as_secs() == 60,
                ),
            )],
        ),
        (
            "duplicate key in a map",
            vec![(
                top("clusterName: a\nclusterName: b"),
                Warns(
                    "2:1: clusterName: given twice; the one on line 1 is ignored",
                    |config| config.cluster_name == "b",
                ),
            )],
        ),
        (
            "`password: 12345`, `version: 1`, `ok: true` where a string is due",
            vec![
                (
                    top("clusterName: 12345"),
                    Runs(|config| config.cluster_name == "12345"),
                ),
                (
                    top("clusterName: 1"),
                    Runs(|config| config.cluster_name == "1"),
                ),
                (
                    top("clusterName: true"),
                    Runs(|config| config.cluster_name == "true"),
                ),
                (
                    top("clusterName: ~"),
                    Runs(|config| config.cluster_name.is_empty()),
                ),
            ],
        ),
        (
            "`kubeBurst: \"60\"`, `omitLookup: \"true\"`, `omitLookup: yes`",
            vec![
                (
                    top("kubeBurst: \"60\""),
                    Fails("1:12: kubeBurst: expected a whole number, found the string \"60\""),
                ),
                (
                    top("omitLookup: \"true\""),
                    Fails("1:13: omitLookup: expected true or false, found the string \"true\""),
                ),
                (
                    top("omitLookup: yes"),
                    Fails("1:13: omitLookup: expected true or false, found `yes`; write true"),
                ),
            ],
        ),
        (
            "`kubeBurst: 60.0`",
            vec![(top("kubeBurst: 60.0"), Runs(|_| true))],
        ),
        (
            "`hosts: http://x` (scalar for a list)",
            vec![(
                receiver("opensearch: {index: a, hosts: \"http://x\"}"),
                Runs(|_| true),
            )],
        ),
        (
            "unquoted `namespace: *test*` (an undefined YAML alias)",
            vec![(
                route("{match: [{receiver: out}], drop: [{namespace: *test*}]}"),
                Fails(
                    "1:54: route.drop[0].namespace: `*test*` is an alias of YAML that is not defined; quote it",
                ),
            )],
        ),
    ]
}

fn sections() -> Vec<Row> {
    vec![
        (
            "unknown or wrong-case key, anywhere (`Namespace:` in a rule, top-level `routes:`, `drop:` inside a `match` item)",
            vec![
                (
                    route("{match: [{Namespace: a, receiver: out}]}"),
                    Warns(
                        "1:18: route.match[0].Namespace: unknown key `Namespace`, ignored; did you mean `namespace`?",
                        |config| receivers(config, "other") == 1,
                    ),
                ),
                (
                    top("routes: []"),
                    Warns("1:1: routes: unknown key `routes`, ignored; `routes` belongs into `route`", |_| true),
                ),
                (
                    route("{match: [{receiver: out, drop: [{namespace: a}]}]}"),
                    Warns(
                        "1:33: route.match[0].drop: unknown key `drop`, ignored; `drop` belongs into a route",
                        |config| receivers(config, "a") == 1,
                    ),
                ),
            ],
        ),
        (
            "`stdout:` with nothing after it",
            vec![(
                receiver("stdout:"),
                Runs(|config| matches!(config.receivers[0].sink, SinkConfig::Stdout(_))),
            )],
        ),
        (
            "`layout: {}`",
            vec![(
                receiver("stdout: {layout: {}}"),
                Warns("2:42: receivers[0].stdout.layout: an empty layout counts as none", |config| {
                    written(config).contains("involvedObject")
                }),
            )],
        ),
        (
            "layout leaves that are numbers, booleans or null",
            vec![(
                receiver("stdout: {layout: {n: 5, b: true, z: null}}"),
                Runs(|config| written(config) == r#"{"b":true,"n":5,"z":null}"#),
            )],
        ),
        (
            "layout value `{{ .Message }}` without quotes",
            vec![(
                receiver("stdout: {layout: {m: {{ .Message }}}}"),
                Fails("2:46: values with {{ }} must be quoted: \"{{ .Message }}\""),
            )],
        ),
        (
            "several sink keys in one receiver",
            vec![(
                receiver("stdout: {}, file: {path: x}"),
                Fails("2:20: receivers[0].name: the receiver `out` has two types, `stdout` and `file`"),
            )],
        ),
        (
            "two receivers of one name",
            vec![(
                "route: {match: [{receiver: a}]}\nreceivers:\n- {name: a, stdout: {}}\n- {name: a, stdout: {}}".to_owned(),
                Fails("4:10: receivers[1].name: two receivers are named `a`, here and on line 3"),
            )],
        ),
        (
            "anchors, aliases, `<<` merge keys",
            vec![(
                route("{drop: [&a {namespace: a}], match: [{<<: *a, receiver: out}]}"),
                Runs(|config| receivers(config, "a") == 0 && config.route.r#match[0].namespace.value == "a"),
            )],
        ),
        (
            "empty file, no route, no receivers",
            vec![
                (String::new(), Fails(" there is no `route`: no event would go anywhere")),
                (
                    "receivers: [{name: out, stdout: {}}]".to_owned(),
                    Fails(" there is no `route`: no event would go anywhere"),
                ),
                (
                    "route: {}".to_owned(),
                    Warns("1:8: route: nothing is delivered here", |config| receivers(config, "a") == 0),
                ),
            ],
        ),
    ]
}

fn routes() -> Vec<Row> {
    vec![
        (
            "a rule naming an unknown receiver",
            vec![(
                route("{match: [{receiver: out}, {receiver: oot}]}"),
                Fails(
                    "1:45: route.match[1].receiver: there is no receiver `oot`; did you mean `out`?",
                ),
            )],
        ),
        (
            "an invalid pattern",
            vec![(
                route("{drop: [{namespace: \"*test*\"}], match: [{receiver: out}]}"),
                Warns(
                    "1:28: route.drop[0].namespace: the pattern `*test*` never matches: nothing to repeat before `*`",
                    |config| receivers(config, "test") == 1,
                ),
            )],
        ),
    ]
}

fn variables() -> Vec<Row> {
    vec![
        (
            "`${NAME}`",
            vec![
                (
                    top("clusterName: ${DEFINED}"),
                    Runs(|config| config.cluster_name == "x: #y"),
                ),
                (
                    top("clusterName: ${MISSING}"),
                    Fails("1:14: clusterName: the environment variable MISSING is not set"),
                ),
                (
                    top("clusterName: \"${MISSING:-d}\""),
                    Runs(|config| config.cluster_name == "d"),
                ),
                (
                    top("clusterName: a$$b"),
                    Runs(|config| config.cluster_name == "a$b"),
                ),
                (
                    receiver("stdout: {layout: {m: \"{{ .Message }}${DEFINED}\"}}"),
                    Runs(|config| written(config) == r#"{"m":"x: #y"}"#),
                ),
            ],
        ),
        (
            "`$NAME`",
            vec![
                (
                    top("clusterName: a$DEFINED"),
                    Runs(|config| config.cluster_name == "ax: #y"),
                ),
                (
                    top("clusterName: p$w"),
                    Runs(|config| config.cluster_name == "p$w"),
                ),
            ],
        ),
    ]
}

#[test]
fn every_row_does_what_it_says() {
    let table = include_str!("../../../tests/vectors/yaml.md");
    let rows = rows();
    let mut inputs: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|line| line.split(" | ").next())
        .filter(|cell| *cell != "input")
        .collect();
    let mut covered: Vec<&str> = rows.iter().map(|(input, _)| *input).collect();
    inputs.sort_unstable();
    covered.sort_unstable();
    assert_eq!(covered, inputs, "every row, and nothing else");
    for (input, cases) in rows {
        for (text, expect) in cases {
            check(input, &text, &expect);
        }
    }
}

fn check(input: &str, text: &str, expect: &Expect) {
    let found = inspect(text);
    let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    let warnings: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
    let told = format!("{input}\n{text}\n{errors:#?}\n{warnings:#?}");
    match expect {
        Fails(error) => assert!(
            errors.len() == 1 && errors[0].starts_with(error),
            "{told}\n{error}"
        ),
        Runs(holds) => assert!(
            errors.is_empty()
                && warnings.is_empty()
                && found.config.is_some_and(|config| holds(&config)),
            "{told}"
        ),
        Warns(warning, holds) => assert!(
            errors.is_empty()
                && warnings.len() == 1
                && warnings[0].starts_with(warning)
                && found.config.is_some_and(|config| holds(&config)),
            "{told}\n{warning}"
        ),
    }
}
