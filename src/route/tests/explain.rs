use proptest::prelude::*;

use super::*;

#[test]
fn an_explanation_names_every_field_that_fails_and_its_value() {
    let tree = r#"
drop: [{namespace: "^kube-system$"}]
match:
- {type: Warning, reason: "*x", minCount: 3, labels: {app: web}, not: {kind: Job}, receiver: r}
- receiver: r
routes:
- match: [{receiver: r}]
"#;
    let (route, _) = compile(tree, &["r"]);
    let route = route.unwrap();
    let event = Event::from(Flat {
        namespace: "shop".into(),
        r#type: "Normal".into(),
        kind: "CronJob".into(),
        count: 1,
        ..Flat::default()
    });
    let explanation = route.explain(&event);
    let failure = |field, cause| Failure { field, cause };
    let [
        Step::Drop(drop),
        Step::Match(first, Some(_), None),
        Step::Match(second, Some(_), None),
        Step::Route { place, walked },
    ] = explanation.steps.as_slice()
    else {
        panic!("{explanation:?}");
    };
    let value = "shop";
    let pattern = "^kube-system$";
    assert_eq!(
        drop.failures,
        [failure("namespace", Cause::Differs { pattern, value })]
    );
    let (pattern, value) = ("Warning", "Normal");
    assert_eq!(
        first.failures,
        [
            failure("minCount", Cause::TooFew { least: 3, value: 1 }),
            failure("type", Cause::Differs { pattern, value }),
            failure("reason", Cause::Invalid { pattern: "*x" }),
            failure("labels.app", Cause::Absent { pattern: "web" }),
            failure("not", Cause::Matches),
        ]
    );
    assert_eq!(
        (first.place.path.as_str(), first.place.position.line),
        ("match[0]", 4)
    );
    assert!(second.matches());
    assert_eq!((place.path.as_str(), *walked), ("routes[0]", false));
    assert_eq!(explanation.resolution.receivers, [ReceiverId(0)]);
}

#[test]
fn what_matches_is_counted_at_its_place_in_the_tree() {
    let tree = r#"
drop: [{namespace: "^kube-system$"}]
match:
- {type: Warning, minCount: 3, labels: {app: web}, not: {kind: Job, reason: x}, receiver: r}
- receiver: r
routes:
- match: [{receiver: s}, {reason: "*x"}]
  routes:
  - drop: [{}]
- {}
"#;
    let (route, _) = compile(tree, &["r", "s"]);
    let route = route.unwrap();
    let hits = Hits::none_of(&route);
    let events = [
        ("kube-system", "Normal"),
        ("shop", "Normal"),
        ("shop", "Warning"),
    ];
    for (namespace, r#type) in events {
        let event = Event::from(Flat {
            namespace: namespace.into(),
            r#type: r#type.into(),
            kind: "Pod".into(),
            count: 3,
            labels: [("app".to_owned(), "web".to_owned())].into(),
            ..Flat::default()
        });
        hits.count(&route.resolve(&event));
        // Whoever explains counts nothing.
        route.explain(&event);
    }
    let names = ["r", "s"];
    let outline = route.outline(&hits.counted(), &|at: ReceiverId| names[at.0]);
    let shown = serde_json::to_value(&outline).unwrap();
    let row = |pointer: &str| {
        let rule = shown.pointer(pointer).unwrap();
        let asks = rule["asks"].as_array().unwrap().iter();
        let asks: Vec<_> = asks
            .map(|ask| format!("{} {}", ask["field"], ask["what"]).replace('"', ""))
            .collect();
        (rule["path"].clone(), asks.join("; "), rule["hits"].clone())
    };
    for (pointer, path, asks, hits) in [
        ("/drop/0", "drop[0]", "namespace ^kube-system$", 1),
        (
            "/match/0",
            "match[0]",
            "minCount 3 or more; type Warning; labels.app web; not kind: Job, reason: x",
            1,
        ),
        ("/match/1", "match[1]", "", 2),
        ("/routes/0/match/0", "routes[0].match[0]", "", 1),
        (
            "/routes/0/match/1",
            "routes[0].match[1]",
            "reason *x (no regular expression: never)",
            0,
        ),
        (
            "/routes/0/routes/0/drop/0",
            "routes[0].routes[0].drop[0]",
            "",
            0,
        ),
    ] {
        let expected = (path.into(), asks.to_owned(), hits.into());
        assert_eq!(row(pointer), expected, "{pointer}");
    }
    assert_eq!(shown["match"][0]["receiver"], "r");
    assert_eq!(shown["routes"][1]["path"], "routes[1]");
}

/// Rules of few words, so that many match.
fn any_rule() -> impl Strategy<Value = Located<RuleConfig>> {
    let word = || prop_oneof![2 => Just(""), 1 => Just("a"), 1 => Just("^ab$"), 1 => Just("*")];
    let located = |value: &str| Located {
        value: value.to_owned(),
        ..Located::default()
    };
    let flat = (word(), word(), word(), 0..3_i32, any::<bool>());
    let rule = flat.prop_map(
        move |(reason, message, label, min_count, delivers)| RuleConfig {
            reason: located(reason),
            message: located(message),
            labels: Some(label)
                .filter(|label| !label.is_empty())
                .map(|label| ("l".to_owned(), located(label)))
                .into_iter()
                .collect(),
            min_count,
            receiver: delivers.then(|| located("r")),
            ..RuleConfig::default()
        },
    );
    let rule = rule.prop_map(|value| Located {
        value,
        ..Located::default()
    });
    rule.prop_recursive(2, 3, 1, |inner| {
        (inner.clone(), inner).prop_map(|(mut rule, not)| {
            rule.value.not = Some(Box::new(not));
            rule
        })
    })
}

fn any_leaf() -> impl Strategy<Value = RouteConfig> {
    use prop::collection::vec;
    let half = Located {
        value: 0.5,
        ..Located::default()
    };
    let sample = prop::option::weighted(0.2, Just(half));
    let rules = (vec(any_rule(), 0..2), vec(any_rule(), 0..3), sample);
    rules.prop_map(|(drop, r#match, sample)| RouteConfig {
        drop,
        r#match,
        sample,
        ..RouteConfig::default()
    })
}

fn any_route() -> impl Strategy<Value = RouteConfig> {
    use prop::collection::vec;
    any_leaf().prop_recursive(3, 12, 3, |below| {
        (any_leaf(), vec(below, 0..3)).prop_map(|(route, routes)| RouteConfig {
            routes: routes
                .into_iter()
                .map(|value| Located {
                    value,
                    ..Located::default()
                })
                .collect(),
            ..route
        })
    })
}

proptest! {
    #[test]
    fn an_explanation_comes_to_what_is_resolved(
        config in any_route(),
        (reason, message, label) in ("(a|ab|b)?", "(a|ab|b)?", "(a|ab|b)?"),
        count in -1..3_i64,
        uid in "[a-z]{4}",
    ) {
        let route = Route::compile(&config, &["r"], &mut Vec::new()).unwrap();
        let mut event = Event::from(Flat {
            reason,
            message,
            count,
            labels: Some(("l".to_owned(), label)).into_iter().filter(|(_, label)| !label.is_empty()).collect(),
            ..Flat::default()
        });
        event.metadata.uid = uid;
        let (resolution, explanation) = (route.resolve(&event), route.explain(&event));
        prop_assert_eq!(&told(&explanation), &resolution);
        prop_assert_eq!(explanation.resolution, resolution);
    }
}
