use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Located, Value, parse, present};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    name: String,
    #[serde(rename = "kubeQPS")]
    qps: f32,
    kube_burst: i64,
    port: Option<u16>,
    omit_lookup: bool,
    hosts: Vec<String>,
    labels: BTreeMap<String, String>,
    rule: Rule,
    rules: Vec<Rule>,
    #[serde(deserialize_with = "present")]
    stdout: Option<Stdout>,
    layout: Option<Value>,
    level: Option<Level>,
    strict: Option<Strict>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rule {
    namespace: Located<String>,
    kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stdout {
    pretty: bool,
}

#[derive(Debug, Deserialize)]
struct Strict {
    #[serde(rename = "needed")]
    _needed: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Level {
    Info,
    Warning,
}

fn env(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some("p#w: \"x\"\nrule: {kind: Pod}".to_owned()),
        "BURST" => Some("60".to_owned()),
        _ => None,
    }
}

fn load(text: &str) -> (File, Vec<String>) {
    match parse::<File>(text, &env) {
        Ok(parsed) => (
            parsed.value,
            parsed.warnings.iter().map(ToString::to_string).collect(),
        ),
        Err(problem) => panic!("{text}: {problem}"),
    }
}

fn error(text: &str) -> String {
    match parse::<File>(text, &env) {
        Ok(parsed) => panic!("{text} gave {:?}", parsed.value),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn scalars_become_what_is_due() {
    let (file, warnings) = load(
        "name: 12345\nkubeBurst: 60.0\nkubeQPS: 5\nomitLookup: True\nhosts: [1, true, x]\nlabels: {1: 2, ok: true, no: ~}\n",
    );
    assert_eq!(
        (file.name.as_str(), file.kube_burst, file.omit_lookup),
        ("12345", 60, true)
    );
    assert!((file.qps - 5.0).abs() < 1e-6);
    assert_eq!(file.hosts, ["1", "true", "x"]);
    assert_eq!(
        file.labels,
        BTreeMap::from([("1", "2"), ("ok", "true"), ("no", "")].map(|(k, v)| (k.into(), v.into())))
    );
    assert_eq!(warnings, [] as [String; 0]);
    assert_eq!(load("kubeBurst: 0x10").0.kube_burst, 16);
    assert_eq!(load("name: ~").0.name, "");
    let (nothing, _) = load("name:\nkubeBurst: # later\nkubeQPS: ~\nomitLookup:\n");
    assert_eq!(
        (
            nothing.name.as_str(),
            nothing.kube_burst,
            nothing.omit_lookup
        ),
        ("", 0, false)
    );
    assert!(nothing.qps.abs() < 1e-6);
    assert_eq!(load("name: yes").0.name, "yes");
    assert_eq!(load("name: !!str 5").0.name, "5");
}

#[test]
fn a_string_is_no_number_and_no_boolean() {
    assert_eq!(
        error("kubeBurst: \"60\""),
        "1:12: kubeBurst: expected a whole number, found the string \"60\""
    );
    assert_eq!(
        error("a: 1\nomitLookup: \"true\""),
        "2:13: omitLookup: expected true or false, found the string \"true\""
    );
    assert_eq!(
        error("omitLookup: yes"),
        "1:13: omitLookup: expected true or false, found `yes`; write true"
    );
    assert_eq!(
        error("port: 70000"),
        "1:7: port: `70000` is too large or too small here"
    );
    assert_eq!(
        error("kubeBurst: 1.5"),
        "1:12: kubeBurst: expected a whole number, found `1.5`"
    );
    assert_eq!(
        error("rules:\n- kind: Pod\n- kind: [a]"),
        "3:9: rules[1].kind: expected a string, found a list"
    );
    assert_eq!(
        error("rule: Pod"),
        "1:7: rule: expected a mapping, found `Pod`"
    );
    assert_eq!(error("strict: {}"), "1:9: strict: `needed` is missing");
    assert_eq!(
        error("level: Infp"),
        "1:8: level: `Infp` is not one of info, warning; did you mean `info`?"
    );
}

#[test]
fn one_value_is_a_list_of_one() {
    assert_eq!(load("hosts: http://x").0.hosts, ["http://x"]);
    assert_eq!(load("rules: {kind: Pod}").0.rules[0].kind, "Pod");
    assert_eq!(load("hosts:").0.hosts, [] as [String; 0]);
    assert_eq!(
        error("rules: {kind: [x]}"),
        "1:15: rules.kind: expected a string, found a list"
    );
}

#[test]
fn a_key_with_nothing_behind_it_is_an_empty_section() {
    assert!(
        load("stdout:")
            .0
            .stdout
            .is_some_and(|stdout| !stdout.pretty)
    );
    assert!(load("name: x").0.stdout.is_none());
    assert!(load("layout:").0.layout.is_none());
    assert_eq!(load("rule:").0.rule.kind, "");
}

#[test]
fn unknown_keys_are_told_with_the_likely_one() {
    let (_, warnings) = load("rules:\n- Namespace: a\n  kind: Pod\nroutes: []\ncolour: blue\n");
    assert_eq!(
        warnings[0],
        "2:3: rules[0].Namespace: unknown key `Namespace`, ignored; did you mean `namespace`?"
    );
    assert_eq!(
        warnings[1],
        "4:1: routes: unknown key `routes`, ignored; did you mean `rule`?"
            .replace("`rule`", "`rules`")
    );
    assert!(
        warnings[2].starts_with("5:1: colour: unknown key `colour`, ignored"),
        "{}",
        warnings[2]
    );
}

#[test]
fn of_a_key_given_twice_the_last_counts() {
    let (file, warnings) = load("name: a\nname: b\n");
    assert_eq!(
        (file.name.as_str(), warnings),
        (
            "b",
            vec!["2:1: name: given twice; the one on line 1 is ignored".to_owned()]
        )
    );
}

#[test]
fn a_key_given_twice_is_told_with_the_way_there() {
    let (_, warnings) = load("rules:\n- kind: a\n- {kind: b, kind: c}\nname: x\n");
    assert_eq!(
        warnings,
        ["3:13: rules[1].kind: given twice; the one on line 3 is ignored"]
    );
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let (file, warnings) = load(
        "labels: &l {a: \"1\", b: \"2\"}\nrule: &r {kind: Pod, namespace: x}\nrules:\n- <<: *r\n  kind: Node\n- *r\n- <<: [{kind: A}, *r]\n",
    );
    assert_eq!(warnings, [] as [String; 0]);
    let rules: Vec<_> = file
        .rules
        .iter()
        .map(|rule| (rule.kind.as_str(), rule.namespace.value.as_str()))
        .collect();
    assert_eq!(rules, [("Node", "x"), ("Pod", "x"), ("A", "x")]);
}

#[test]
fn an_alias_that_is_none_is_an_error() {
    assert_eq!(
        error("rules:\n- namespace: *test*"),
        "2:14: rules[0].namespace: `*test*` is an alias of YAML that is not defined; quote it (\"*test*\") if a pattern is meant"
    );
    assert!(error("rule: &a {kind: *a}").contains("alias of itself"));
}

#[test]
fn templates_must_be_quoted() {
    for text in [
        "layout: {message: {{ .Message }}}",
        "layout:\n  message: {{ .Message }}",
        "layout:\n  a: {{ .A }} b",
    ] {
        let error = error(text);
        assert!(
            error.contains("values with {{ }} must be quoted"),
            "{text}: {error}"
        );
    }
    load("layout: {message: \"{{ .Message }}\"}");
}

#[test]
fn variables_are_put_into_values_after_parsing() {
    let (file, _) =
        load("name: x ${SECRET}\nkubeBurst: ${BURST}\nlabels: {$BURST: \"${NONE:-d}\"}");
    assert_eq!(file.name, "x p#w: \"x\"\nrule: {kind: Pod}");
    assert_eq!((file.rule.kind.as_str(), file.kube_burst), ("", 60));
    assert_eq!(
        file.labels,
        BTreeMap::from([("$BURST".to_owned(), "d".to_owned())]),
        "never keys"
    );
    assert!(
        error("a: 1\nname: ${NONE}")
            .starts_with("2:7: name: the environment variable NONE is not set")
    );
    assert_eq!(
        error("kubeBurst: ${SECRET}"),
        "1:12: kubeBurst: expected a whole number, found `${SECRET}`",
        "no secret"
    );
    assert_eq!(
        error("level: ${SECRET}"),
        "1:8: level: `${SECRET}` is not one of info, warning",
        "nor where a type complains"
    );
    let (file, _) = load("rules: [{namespace: \"a${SECRET}\"}, {namespace: b}]");
    let shown: Vec<&str> = file
        .rules
        .iter()
        .map(|rule| rule.namespace.shown())
        .collect();
    assert_eq!(shown, ["a${SECRET}", "b"]);
}

#[test]
fn values_keep_their_types_and_their_place() {
    let (file, _) = load(
        "layout:\n  s: \"{{ .A }}\"\n  n: 5\n  f: 2.5\n  b: true\n  z: null\n  d: 2024-05-01\n  l: [x, {k: v}]\n",
    );
    let Some(Value::Map(entries)) = file.layout else {
        panic!()
    };
    let kinds: Vec<String> = entries
        .iter()
        .map(|(key, value)| {
            format!(
                "{key}={}",
                match value {
                    Value::Null => "null".to_owned(),
                    Value::Bool(value) => value.to_string(),
                    Value::Int(value) => value.to_string(),
                    Value::Float(value) => value.to_string(),
                    Value::String(text) => format!(
                        "{}@{}:{} {}",
                        text.value, text.position.line, text.position.column, text.path
                    ),
                    Value::List(values) => values.len().to_string(),
                    other => format!("{other:?}"),
                }
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "s={{ .A }}@2:6 layout.s",
            "n=5",
            "f=2.5",
            "b=true",
            "z=null",
            "d=2024-05-01@7:6 layout.d",
            "l=2"
        ]
    );
}

#[test]
fn located_values_say_where_they_stood() {
    let (file, _) = load("rules:\n- kind: Pod\n- namespace: \"*x\"\n");
    let problem = file.rules[1].namespace.problem("bad");
    assert_eq!(problem.to_string(), "3:14: rules[1].namespace: bad");
}

#[test]
fn only_the_first_document_is_read_and_it_is_a_mapping() {
    let (file, warnings) = load("---\nname: a\n---\nname: b\n");
    assert_eq!(file.name, "a");
    assert_eq!(
        warnings,
        ["3:1: a second YAML document begins here; only the first is read"]
    );
    assert_eq!(load("").0.name, "");
    assert_eq!(load("# nothing\n").0.name, "");
    assert_eq!(load("\u{feff}name: a\r\nkubeBurst: 1\r\n").0.name, "a");
    assert!(error("- a").contains("the file must be a mapping"));
    assert!(error("just text").contains("the file must be a mapping"));
}

#[test]
fn what_is_no_yaml_has_a_line() {
    for text in [
        "name: a\n b: c",
        "name: [a",
        "name: \"a",
        "a: b: c",
        "name: 'x\n",
    ] {
        let error = error(text);
        assert!(
            error.starts_with(|c: char| c.is_ascii_digit()),
            "{text}: {error}"
        );
        assert!(!error.contains('\n'), "{text}: {error}");
    }
}

#[test]
fn bombs_do_not_go_off() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    assert!(error(&bomb).contains("aliases counted"));
    let deep = format!("layout: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(!error(&deep).is_empty());
    let deep: String = (0..500)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    assert!(!error(&deep).is_empty());
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_odd(text in "[a-z:{}\\[\\]&*#|>'\"$!<~0-9.\\- \n\t]{0,120}") {
        let _ = parse::<File>(&text, &env);
    }
}
