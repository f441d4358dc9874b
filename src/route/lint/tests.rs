use super::lint;
use crate::route::RouteConfig;
use crate::yaml::Located;

/// The warnings of a route, of which the receivers `a` and `b` are there.
fn warnings(text: &str) -> Vec<String> {
    let route: Located<RouteConfig> = crate::yaml::parse(text, &|_| None).unwrap().value;
    let names = ["a", "b"].map(|name| Located {
        value: name.to_owned(),
        path: "receivers".to_owned(),
        ..Located::default()
    });
    let findings = lint(&route, &names.each_ref(), true);
    let all = findings
        .errors
        .iter()
        .chain(&findings.unknown)
        .chain(&findings.warnings);
    all.map(ToString::to_string).collect()
}

#[test]
fn what_is_as_it_should_be_is_not_told() {
    for text in [
        "match: [{receiver: a}, {receiver: b}]",
        "drop: [{type: Normal}]\nmatch: [{type: Warning, receiver: a}]\nroutes: [{match: [{kind: Pod, receiver: b}]}]",
        "match: [{kind: Pod, receiver: a}, {kind: Node}]\nroutes: [{match: [{receiver: b}]}]",
        "match: [{kind: ^Pod$, receiver: a}, {kind: Pod|Node}]\nroutes: [{match: [{receiver: b}]}]",
        "match: [{type: Warning, receiver: a}, {type: War}]\nroutes: [{match: [{receiver: b}]}]",
        "match: [{not: {kind: Pod, not: {type: Normal}}, receiver: a}, {receiver: b}]",
        "match: [{type: Error, receiver: a}, {type: (?i)warning, receiver: b}]",
        "match: [{kind: Pod}]\nroutes: [{match: [{receiver: b}, {receiver: a}]}]",
        "match: [{kind: Pod, receiver: ''}]\nroutes: [{match: [{receiver: b}, {receiver: a}]}]",
    ] {
        assert_eq!(warnings(text), [] as [&str; 0], "{text}");
    }
}

#[test]
fn every_oddity_is_told_once() {
    const BOTH: &str = "match: [{receiver: a}, {receiver: b}]";
    let with = |text: &str| format!("{BOTH}\n{text}");
    for (text, expected) in [
        ("match: [{receiver: a}]".to_owned(), vec![" receivers: no rule delivers to the receiver `b`: it gets nothing; add `- receiver: b` to a `match`"]),
        (with("drop: [{}]"), vec!["2:8: drop[0]: a rule without fields matches every event: under `drop` it keeps all of them out of this route and of those below"]),
        (with("drop: [{kind: Pod, receiver: a}]"), vec!["2:30: drop[0].receiver: `receiver` means nothing under `drop`: such a rule only keeps events out; to deliver to `a`, name it in a rule under `match`"]),
        (
            "drop: [{kind: Pod, receiver: a}]\nmatch: [{receiver: b}]".to_owned(),
            vec![
                "1:30: drop[0].receiver: `receiver` means nothing under `drop`",
                " receivers: no rule delivers to the receiver `a`: it gets nothing; line 1 names it where that means nothing",
            ],
        ),
        (
            "match: [{receiver: a}, {receiver: b, not: {}}]".to_owned(),
            vec!["1:43: match[1].not: a rule without fields matches every event: under `not` it makes that the rule around it never matches"],
        ),
        (
            "match: [{receiver: a}, {receiver: b, not: {kind: Pod, receiver: a}}]".to_owned(),
            vec!["1:65: match[1].not.receiver: `receiver` means nothing under `not`"],
        ),
        (with("routes: [{match: [{kind: Pod}]}]"), vec!["2:10: routes[0]: nothing is delivered here: no rule under `match`, of this route or of those below, names a `receiver`"]),
        (
            with("routes: [{routes: [{match: [{kind: Pod}]}]}]"),
            vec!["2:10: routes[0]: nothing is delivered here"],
        ),
        ("match: [{type: warning, receiver: a}, {receiver: b}]".to_owned(), vec!["1:16: match[0].type: `warning` matches no event: patterns are case-sensitive, and the type is `Warning`"]),
        (with("drop: [{type: ^NORMAL$}]"), vec!["2:15: drop[0].type: `^NORMAL$` matches no event"]),
        (
            "match:\n- {type: Normal, receiver: a}\n- {type: Warning}\nroutes: [{match: [{receiver: b}]}]".to_owned(),
            vec!["4:10: routes[0]: never walked: every rule under `match` beside `routes` would have to match, and no event has a `type` that pleases both the rule on line 2 and that on line 3; make them routes of their own"],
        ),
        (
            "match:\n- {namespace: ^a$, receiver: a}\n- {namespace: b}\nroutes: [{match: [{receiver: b}]}]".to_owned(),
            vec!["4:10: routes[0]: never walked"],
        ),
        (
            "match:\n- {namespace: '*a', receiver: a}\nroutes: [{match: [{receiver: b}]}]".to_owned(),
            vec![
                "2:15: match[0].namespace: the pattern `*a` never matches",
                "3:10: routes[0]: never walked: every rule under `match` beside `routes` would have to match, and the rule on line 2 never does",
            ],
        ),
        (
            "match: [{kind: Pod}, {receiver: a}, {receiver: b}]".to_owned(),
            vec!["1:9: match[0]: this rule does nothing: it names no `receiver`, and there are no `routes` below"],
        ),
        (
            "match: [{receiver: a}, {receiver: bb}]".to_owned(),
            vec!["1:35: match[1].receiver: there is no receiver `bb`; did you mean `b`?"],
        ),
    ] {
        let told = warnings(&text);
        assert_eq!(told.len(), expected.len(), "{text}\n{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{text}\n{told}\n{expected}");
        }
    }
}
