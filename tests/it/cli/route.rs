//! `route`: what it says for people and for programs, and what it exits with.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{EXPORTER, lines, run, text};

/// Drops, a rule that does not match, and routes below that are walked and not.
const CONFIG: &str = r#"route:
  drop:
    - namespace: "^kube-system$"
  match:
    - receiver: archive
  routes:
    - match:
        - type: Warning
          kind: "^(Pod|Node)$"
          minCount: 3
          labels: {app: web}
          not: {name: "-0$"}
          receiver: pager
      routes:
        - match: [{receiver: pager}]
    - match:
        - reason: BackOff
          message: "^(Liveness|Readiness) probe failed: HTTP probe failed"
          receiver: pager
        - receiver: archive
receivers:
  - {name: archive, stdout: {}}
  - {name: pager, stdout: {}}
"#;

#[test]
fn route_explains_every_rule_to_people() {
    let hostile = format!("\u{1b}[2J{}", "and on ".repeat(20));
    let events = lines("e", 1, &hostile) + &lines("e", 1, "m").replace("shop", "kube-system");
    let output = run(&["route", "config.yaml", "--event", "-"], CONFIG, &events);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert_eq!(
        told,
        r#"shop/e-0: archive, archive
  Warning BackOff of Pod web-0, 1 time
     3  drop[0]      no   namespace: "shop" does not match ^kube-system$
     5  match[0]     yes  to archive
     7  routes[0]
     8    match[0]   no   minCount: 1 is less than 3
                          labels.app: there is none to match web
                          not: its rule matches
    15    routes[0]       not walked: not every rule above matches
    16  routes[1]
    17    match[0]   no   message: "\u{1b}[2Jand on and on and on and on and o…"
                            does not match ^(Liveness|Readiness) probe failed: …
    20    match[1]   yes  to archive
kube-system/e-0: no receiver
  Warning BackOff of Pod web-0, 1 time
     3  drop[0]  yes  dropped: its route ends here
"#
    );
    assert!(told.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn route_tells_programs_the_same() {
    let args = &["route", "config.yaml", "--event", "-", "-o", "json"];
    let output = run(args, CONFIG, &lines("e", 1, "m"));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        told,
        json!({
            "event": "shop/e-0", "receivers": ["archive", "archive"], "dropped": false, "sampledOut": false,
            "steps": [
                {"path": "route.drop[0]", "line": 3, "column": 7, "matches": false, "failed": [
                    {"field": "namespace", "cause": "differs", "pattern": "^kube-system$", "value": "shop"},
                ]},
                {"path": "route.match[0]", "line": 5, "column": 7, "matches": true, "receiver": "archive", "failed": []},
                {"path": "route.routes[0]", "line": 7, "column": 7, "walked": true},
                {"path": "route.routes[0].match[0]", "line": 8, "column": 11, "matches": false, "failed": [
                    {"field": "minCount", "cause": "tooFew", "least": 3, "value": 1},
                    {"field": "labels.app", "cause": "absent", "pattern": "web"},
                    {"field": "not", "cause": "matches"},
                ]},
                {"path": "route.routes[0].routes[0]", "line": 15, "column": 11, "walked": false},
                {"path": "route.routes[1]", "line": 16, "column": 7, "walked": true},
                {"path": "route.routes[1].match[0]", "line": 17, "column": 11, "matches": false, "failed": [
                    {"field": "message", "cause": "differs", "pattern": "^(Liveness|Readiness) probe failed: HTTP probe failed", "value": "m"},
                ]},
                {"path": "route.routes[1].match[1]", "line": 20, "column": 11, "matches": true, "receiver": "archive", "failed": []},
            ]
        })
    );
}

/// By its hash, `e-0` is in the first sample and not in the others.
const SAMPLES: &str = "route:
  routes:
    - {sample: 0.9, match: [{receiver: most}]}
    - {sample: 0.01, match: [{kind: Node}, {receiver: few}], routes: [{match: [{receiver: few}]}]}
    - {sample: 0.01, match: [{kind: Node, receiver: few}]}
receivers: [{name: most, stdout: {}}, {name: few, stdout: {}}]
";

#[test]
fn a_sample_is_a_step_of_what_has_matched() {
    let event = lines("e", 1, "m");
    let args = &["route", "config.yaml", "--event", "-"];
    let told = text(&run(args, SAMPLES, &event).stdout);
    let args = &["route", "config.yaml", "--event", "-", "-o", "json"];
    let output = run(args, SAMPLES, &event);
    let told_program: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        told,
        "shop/e-0: most
  Warning BackOff of Pod web-0, 1 time
     3  routes[0]
     3    match[0]  yes  to most
     3    sample    yes
     4  routes[1]
     4    match[0]  no   kind: \"Pod\" does not match Node
     4    match[1]  yes
     4    sample    no   sampled out: the uid is at 0.883320, not below 0.01
                         its route ends here
     5  routes[2]
     5    match[0]  no   kind: \"Pod\" does not match Node
"
    );
    assert_eq!(told_program["sampledOut"], true);
    let mut out = told_program["steps"][6].clone();
    let position = out["position"].take().as_f64().unwrap();
    assert!((position - 0.883_320).abs() < 1e-6, "{position}");
    assert_eq!(
        out,
        json!({"path": "route.routes[1].sample", "line": 4, "column": 16, "sample": 0.01, "position": null, "sampledOut": true})
    );
}

const OLD: &str = "route: {match: [{receiver: archive}, {reason: BackOff, receiver: pager}]}\nreceivers: [{name: archive, stdout: {}}, {name: pager, stdout: {}}]\n";
const NEW: &str = "route: {match: [{receiver: archive}, {reason: BackOff, kind: Node, receiver: pager}, {kind: Pod, receiver: audit}]}\nreceivers: [{name: archive, stdout: {}}, {name: pager, stdout: {}}, {name: audit, stdout: {}}]\n";

/// Ten events, one every six minutes.
fn an_hour() -> String {
    let events = lines("e", 10, "m");
    let at = |(minute, line): (usize, &str)| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        event["lastTimestamp"] = json!(format!("2026-01-01T00:{:02}:00Z", 6 * minute));
        format!("{event}\n")
    };
    events.lines().enumerate().map(at).collect()
}

fn diff(old: &str, new: &str, events: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("old", old), ("new", new), ("events", events)] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    Command::new(&*EXPORTER)
        .args(["route", "--diff", "old", "new", "--events", "events"])
        .args(more)
        .current_dir(folder.path())
        .output()
        .unwrap()
}

#[test]
fn a_diff_says_who_gains_and_who_loses() {
    let output = diff(OLD, NEW, &an_hour(), &[]);
    let told = text(&output.stdout);
    assert_eq!(
        told,
        "10 events in 54 minutes, 10 would go elsewhere
receiver audit is added

receiver     old     new  gained    lost  old a day  new a day
archive       10      10       0       0        266        266
audit          0      10      10       0          0        266
pager         10       0       0      10        266          0

audit
  + shop/e-0: Warning BackOff of Pod web-0, 1 time
  + shop/e-1: Warning BackOff of Pod web-0, 1 time
  + shop/e-2: Warning BackOff of Pod web-0, 1 time
  + … 10 in all

pager
  - shop/e-0: Warning BackOff of Pod web-0, 1 time
  - shop/e-1: Warning BackOff of Pod web-0, 1 time
  - shop/e-2: Warning BackOff of Pod web-0, 1 time
  - … 10 in all
",
        "{}",
        text(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(told.lines().all(|line| line.chars().count() <= 80));

    let output = diff(OLD, NEW, &an_hour(), &["-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["changed"], 10);
    assert_eq!(told["seconds"], 54 * 60);
    assert_eq!(
        told["receivers"]["archive"],
        json!({"old": 10, "new": 10, "gained": 0, "lost": 0, "oldPerDay": 266, "newPerDay": 266, "gainedExamples": [], "lostExamples": []})
    );
}

#[test]
fn a_diff_says_what_else_differs_and_no_secret() {
    let hook = |name: &str, password: &str| {
        format!(
            "{{name: {name}, webhook: {{endpoint: \"http://h/\", username: u, password: {password}}}}}"
        )
    };
    let config = |settings: &str, receivers: &str| {
        format!("{settings}\nroute: {{match: [{{receiver: same}}]}}\nreceivers: [{receivers}]\n")
    };
    let old = config(
        "namespaces: [shop]\nclusterName: one",
        &[
            hook("same", "p"),
            hook("other", "canary-1"),
            hook("gone", "p"),
        ]
        .join(", "),
    );
    let new = config(
        "namespaces: [bank]\nclusterName: one",
        &[
            hook("came", "p"),
            hook("other", "canary-2"),
            hook("same", "p"),
        ]
        .join(", "),
    );
    let output = diff(&old, &new, &lines("e", 1, "m"), &[]);
    let told = text(&output.stdout) + &text(&output.stderr);
    let (head, table) = told.split_once("\n\n").unwrap();
    assert_eq!(
        head,
        "1 event in 0 minutes, 1 would go elsewhere
receiver came is added
receiver gone is removed
receiver other has other settings
`namespaces` differs, from the next start on"
    );
    let row = "same           1       0       0       1          -          -";
    assert!(table.contains(row), "its namespace is left: {table}");
    assert!(!told.contains("canary"), "{told}");

    let output = diff(&old, &new, "", &["-o", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["settings"], json!(["namespaces"]));
    let status = |name: &str| &told["receivers"][name]["status"];
    assert_eq!(
        [
            status("came"),
            status("gone"),
            status("other"),
            status("same")
        ],
        [
            &json!("added"),
            &json!("removed"),
            &json!("changed"),
            &Value::Null
        ]
    );
    assert_eq!(output.status.code(), Some(1), "whatever becomes of events");
}

#[test]
fn a_diff_exits_as_diff_does() {
    let events = lines("e", 2, "m");
    for (new, events, code) in [
        (OLD, events.as_str(), 0),
        (NEW, &events, 1),
        (OLD, "{\"kind\":\"Pod\"}", 2),
        ("route: {match: [{receiver: nobody}]}", &events, 2),
    ] {
        let output = diff(OLD, new, events, &[]);
        assert_eq!(output.status.code(), Some(code), "{new}");
    }
    let args = &["route", "--diff", "config.yaml", "config.yaml"];
    assert_eq!(run(args, OLD, "").status.code(), Some(2), "without events");
    let args = &["route", "--diff", "-", "config.yaml", "--events", "-"];
    assert_eq!(run(args, OLD, "").status.code(), Some(2), "one input");
    let args = &[
        "route",
        "--diff",
        "config.yaml",
        "config.yaml",
        "--events",
        "nowhere",
    ];
    assert_eq!(run(args, OLD, "").status.code(), Some(2), "no such file");
}
