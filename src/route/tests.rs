use std::collections::BTreeMap;

use super::*;
use crate::event::testing::recorded;
use crate::event::{InvolvedObject, Metadata, Source};

mod explain;
mod less;

/// The event of a row: the name of a recorded one, or flat fields.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Flat {
    name: String,
    namespace: String,
    reason: String,
    message: String,
    r#type: String,
    count: i64,
    component: String,
    host: String,
    reporting_component: String,
    action: String,
    kind: String,
    api_version: String,
    object_name: String,
    object_namespace: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl From<Flat> for Event {
    fn from(flat: Flat) -> Self {
        Self {
            metadata: Metadata {
                name: flat.name,
                namespace: flat.namespace,
                ..Metadata::default()
            },
            reason: flat.reason,
            message: flat.message,
            kind: flat.r#type,
            count: flat.count,
            action: flat.action,
            source: Source {
                component: flat.component,
                host: flat.host,
            },
            reporting_component: flat.reporting_component,
            involved_object: InvolvedObject {
                kind: flat.kind,
                name: flat.object_name,
                namespace: flat.object_namespace,
                api_version: flat.api_version,
                labels: flat.labels,
                annotations: flat.annotations,
                ..InvolvedObject::default()
            },
            ..Self::default()
        }
    }
}

/// Splits a file of rows, so that a row can be read with its own types.
fn rows(files: [&'static str; 2]) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for line in files
        .into_iter()
        .flat_map(str::lines)
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
    {
        if let Some(first) = line.strip_prefix("- ") {
            rows.push(format!("{first}\n"));
        } else {
            let row = rows.last_mut().unwrap();
            row.push_str(line.strip_prefix("  ").unwrap());
            row.push('\n');
        }
    }
    rows
}

#[derive(Deserialize)]
struct FlatEvent {
    event: Flat,
}

#[derive(Deserialize)]
struct NamedEvent {
    event: String,
}

fn event(row: &str, recorded: &BTreeMap<String, Event>) -> Event {
    if let Ok(named) = crate::yaml::parse::<NamedEvent>(row, &|name| Some(format!("${{{name}}}"))) {
        return recorded[&named.value.event].clone();
    }
    crate::yaml::parse::<FlatEvent>(row, &|name| Some(format!("${{{name}}}")))
        .unwrap()
        .value
        .event
        .into()
}

#[test]
fn routes_deliver_as_the_incumbents_do() {
    #[derive(Deserialize)]
    struct Row {
        route: RouteConfig,
        receives: Vec<String>,
    }
    let recorded = recorded();
    let rows = rows([
        include_str!("../../tests/vectors/routes.yaml"),
        include_str!("../../tests/vectors/routes-more.yaml"),
    ]);
    assert!(rows.len() > 80, "{}", rows.len());
    for text in rows {
        let row: Row = crate::yaml::parse(&text, &|name| Some(format!("${{{name}}}")))
            .unwrap()
            .value;
        let names = receivers(&row.route);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let route = Route::compile(&row.route, &names, &mut Vec::new()).unwrap();
        let event = event(&text, &recorded);
        let resolution = route.resolve(&event);
        assert_eq!(told(&route.explain(&event)), resolution, "{text}");
        let received: Vec<&str> = resolution.receivers.iter().map(|at| names[at.0]).collect();
        assert_eq!(received, row.receives, "{text}");
    }
}

/// What the steps of an explanation come to. Who reads labels is not among them, nor which rule of the tree each is.
fn told(explanation: &Explanation<'_>) -> Resolution {
    let mut told = Resolution {
        reads_object: explanation.resolution.reads_object,
        rules: explanation.resolution.rules.clone(),
        ..Resolution::default()
    };
    for step in &explanation.steps {
        match step {
            Step::Drop(verdict) => told.dropped |= verdict.matches(),
            Step::Match(verdict, receiver, None) if verdict.matches() => {
                told.receivers.extend(receiver);
            }
            Step::Sample { has, .. } => told.sampled_out += u64::from(!has),
            Step::Match(..) | Step::Route { .. } => {}
        }
    }
    told
}

fn receivers(route: &RouteConfig) -> Vec<String> {
    let mut names: Vec<String> = route
        .r#match
        .iter()
        .filter_map(|rule| Some(rule.receiver.as_ref()?.value.clone()))
        .collect();
    names.extend(route.routes.iter().flat_map(|below| receivers(below)));
    names.sort();
    names.dedup();
    names
}

#[test]
fn rules_match_as_the_incumbents_do() {
    #[derive(Deserialize)]
    struct Row {
        rule: Located<RuleConfig>,
        matches: bool,
    }
    #[derive(Deserialize)]
    struct Short {
        pattern: String,
        value: String,
        matches: bool,
    }
    let recorded = recorded();
    let rows = rows([
        include_str!("../../tests/vectors/rules.yaml"),
        include_str!("../../tests/vectors/rules-more.yaml"),
    ]);
    assert!(rows.len() > 150, "{}", rows.len());
    for text in rows {
        if text.contains("{pattern:") {
            let row: Short = crate::yaml::parse(&text, &|name| Some(format!("${{{name}}}")))
                .unwrap()
                .value;
            let rule = RuleConfig {
                namespace: Located {
                    value: row.pattern,
                    ..Located::default()
                },
                ..RuleConfig::default()
            };
            let rule = Located {
                value: rule,
                ..Located::default()
            };
            let event = Event::from(Flat {
                namespace: row.value,
                ..Flat::default()
            });
            assert_eq!(
                Rule::compile(&rule, &mut Vec::new()).matches(&event),
                row.matches,
                "{text}"
            );
        } else {
            let row: Row = crate::yaml::parse(&text, &|name| Some(format!("${{{name}}}")))
                .unwrap()
                .value;
            let rule = Rule::compile(&row.rule, &mut Vec::new());
            assert_eq!(
                rule.matches(&event(&text, &recorded)),
                row.matches,
                "{text}"
            );
        }
    }
}

fn compile(route: &str, receivers: &[&str]) -> (Result<Route, Problem>, Vec<Problem>) {
    let config: RouteConfig = crate::yaml::parse(route, &|_| None).unwrap().value;
    let mut warnings = Vec::new();
    (Route::compile(&config, receivers, &mut warnings), warnings)
}

#[test]
fn our_own_fields_test_name_action_reporter_and_negation() {
    let rule = "match: [{name: ^web, action: Bind, reportingComponent: scheduler, not: {namespace: test, type: Normal}, receiver: r}]";
    let (route, _) = compile(rule, &["r"]);
    let route = route.unwrap();
    let event = |namespace: &str, r#type: &str, object_name: &str| {
        Event::from(Flat {
            namespace: namespace.into(),
            r#type: r#type.into(),
            object_name: object_name.into(),
            action: "Binding".into(),
            reporting_component: "default-scheduler".into(),
            ..Flat::default()
        })
    };
    let receives = |event: &Event| !route.resolve(event).receivers.is_empty();
    assert!(
        receives(&event("test", "Warning", "web-1")),
        "only half of what must not match"
    );
    assert!(!receives(&event("test", "Normal", "web-1")));
    assert!(!receives(&event("prod", "Warning", "api-1")));
    assert!(!receives(&Event {
        action: String::new(),
        ..event("prod", "Warning", "web-1")
    }));
}

#[test]
fn a_series_counts_for_min_count() {
    let (route, _) = compile("match: [{minCount: 5, receiver: r}]", &["r"]);
    let route = route.unwrap();
    let series = |count| Event {
        series: Some(crate::event::Series {
            count,
            last_observed_time: None,
        }),
        ..Event::default()
    };
    assert_eq!(route.resolve(&series(5)).receivers, [ReceiverId(0)]);
    assert_eq!(route.resolve(&series(4)).receivers, []);
}

#[test]
fn a_rule_that_names_no_known_receiver_is_an_error_with_its_place() {
    let (route, _) = compile(
        "routes:\n- match:\n  - receiver: opensaerch\n",
        &["stdout", "opensearch"],
    );
    let problem = route.unwrap_err();
    assert_eq!(problem.path, "routes[0].match[0].receiver");
    assert_eq!(problem.position.line, 3);
    assert_eq!(
        problem.message,
        "there is no receiver `opensaerch`; did you mean `opensearch`?"
    );
}

#[test]
fn a_pattern_that_is_none_is_a_warning_and_never_matches() {
    let (route, warnings) = compile("match: [{namespace: \"*test*\", receiver: r}]", &["r"]);
    assert_eq!(
        route
            .unwrap()
            .resolve(&Event::from(Flat {
                namespace: "test".into(),
                ..Flat::default()
            }))
            .receivers,
        []
    );
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0]
            .message
            .starts_with("the pattern `*test*` never matches: "),
        "{}",
        warnings[0].message
    );
    assert_eq!(warnings[0].path, "match[0].namespace");
}

#[test]
fn dropped_and_unwanted_are_told_apart() {
    let (route, _) = compile(
        "routes: [{drop: [{type: Normal}], match: [{receiver: r}]}, {match: [{kind: Node, receiver: r}]}]",
        &["r"],
    );
    let route = route.unwrap();
    let normal = Event::from(Flat {
        r#type: "Normal".into(),
        ..Flat::default()
    });
    assert_eq!(
        route.resolve(&normal),
        Resolution {
            receivers: vec![],
            rules: vec![RuleId(0)],
            dropped: true,
            ..Resolution::default()
        }
    );
}

#[test]
fn routes_may_not_nest_without_end() {
    let depth = MAX_DEPTH + 2;
    let mut config = RouteConfig::default();
    for _ in 0..depth {
        config = RouteConfig {
            routes: vec![Located {
                value: config,
                ..Located::default()
            }],
            ..RouteConfig::default()
        };
    }
    assert!(Route::compile(&config, &[], &mut Vec::new()).is_err());
}

#[test]
fn labels_and_annotations_have_a_say_only_where_everything_else_matches() {
    let event = |namespace: &str| {
        Event::from(Flat {
            namespace: namespace.into(),
            ..Flat::default()
        })
    };
    for (tree, shop, test) in [
        ("match: [{receiver: r}]", false, false),
        ("match: [{labels: {a: b}, receiver: r}]", true, true),
        (
            "match: [{annotations: {a: b}, namespace: shop, receiver: r}]",
            true,
            false,
        ),
        ("drop: [{labels: {a: b}, namespace: shop}]", true, false),
        (
            "match: [{not: {labels: {a: b}, namespace: shop}, receiver: r}]",
            true,
            false,
        ),
        (
            "match: [{namespace: shop, not: {not: {annotations: {a: b}}}, receiver: r}]",
            true,
            false,
        ),
        ("match: [{minCount: 9, labels: {a: b}}]", false, false),
        // Routes that are not walked ask for nothing.
        (
            "{match: [{namespace: shop}], routes: [{match: [{labels: {a: b}, receiver: r}]}]}",
            true,
            false,
        ),
        (
            "{drop: [{namespace: test}], routes: [{match: [{labels: {a: b}, receiver: r}]}]}",
            true,
            false,
        ),
    ] {
        let (route, _) = compile(tree, &["r"]);
        let route = route.unwrap();
        let reads = |namespace| route.resolve(&event(namespace)).reads_object;
        assert_eq!((reads("shop"), reads("test")), (shop, test), "{tree}");
    }
}

#[test]
fn labels_of_a_namespace_match_only_where_they_are_known() {
    let tree = "routes:
- {match: [{namespaceLabels: {team: ^web$}, receiver: r}]}
- {match: [{not: {namespaceLabels: {team: ^web$}}, receiver: not}]}";
    let (route, _) = compile(tree, &["r", "not"]);
    let route = route.unwrap();
    assert!(route.reads_namespaces());
    let labels = |team: &str| Some([("team".to_owned(), team.to_owned())].into());
    let pattern = "^web$";
    for (known, receiver, cause) in [
        (labels("web"), 0, None),
        (
            labels("api"),
            1,
            Some(Cause::Differs {
                pattern,
                value: "api",
            }),
        ),
        (Some(BTreeMap::new()), 1, Some(Cause::Absent { pattern })),
        (None, 1, Some(Cause::Unknown { pattern })),
    ] {
        let event = Event {
            namespace_labels: known,
            ..Event::default()
        };
        let explanation = route.explain(&event);
        assert_eq!(explanation.resolution.receivers, [ReceiverId(receiver)]);
        assert!(!explanation.resolution.reads_object, "nothing to look up");
        let Step::Match(verdict, ..) = &explanation.steps[1] else {
            panic!("{explanation:?}");
        };
        let failed = verdict.failures.first().map(|failure| &failure.cause);
        assert_eq!(failed, cause.as_ref());
    }
    let (route, _) = compile("match: [{labels: {a: b}, receiver: r}]", &["r"]);
    assert!(!route.unwrap().reads_namespaces());
}
