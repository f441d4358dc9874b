//! `check`: every mistake, with its place.

use std::process::Command;

use super::STDOUT;
use crate::support::{EXPORTER, run, text};

#[test]
fn mistakes_get_one_line_with_file_path_line_and_column() {
    for (config, code, line) in [
        (
            "route: {match: [{receiver: oot}]}\nreceivers: [{name: out, stdout: {}}]",
            2,
            "error: config.yaml:1:28: route.match[0].receiver: there is no receiver `oot`; did you mean `out`?",
        ),
        (
            "route: {}\nreceivers: [{name: a, stdout: {}, file: {path: x}}]",
            2,
            "error: config.yaml:2:20: receivers[0].name: the receiver `a` has two types, `stdout` and `file`: make it two receivers",
        ),
        (
            "route: {}\nreceivers:\n- {name: a, stdout: }\n- {name: a, stdout: {}}",
            2,
            "error: config.yaml:4:10: receivers[1].name: two receivers are named `a`, here and on line 3",
        ),
        (
            "route: {}\nreceivers: [{name: a}]",
            2,
            "error: config.yaml:2:20: receivers[0].name: the receiver `a` has no type: give one of opensearch, elasticsearch, stdout, file, pipe, syslog, webhook, loki, slack, teams, opsgenie",
        ),
        (
            "route: {}\nreceivers: [{name: a, kafka: {topic: t}}]",
            2,
            "error: config.yaml:2:30: receivers[0].kafka: there is no receiver of type `kafka` (yet): use `webhook` towards Strimzi's HTTP bridge or Confluent's REST proxy, with a `layout` of `records: [{value: {...}}]`, or with `batch: array` towards Vector, which writes to Kafka",
        ),
        (
            "receivers: [{name: a, stdout: {}}]",
            2,
            "error: config.yaml:1:1: there is no `route`: no event would go anywhere",
        ),
        (
            "kubeBurst: \"60\"\nroute: {}",
            2,
            "error: config.yaml:1:12: kubeBurst: expected a whole number, found the string \"60\"",
        ),
        (
            "metricsNamePrefix: 9x\nroute: {}",
            2,
            "error: config.yaml:1:20: metricsNamePrefix: `9x` can't begin a metric's name: it must begin with a letter, hold only letters, digits, `_` and `:`, and end in `_`",
        ),
        (
            "route: {}\nreceivers: [{name: a, opensearch: {index: e, hosts: x}}]",
            2,
            "error: config.yaml:2:53: receivers[0].opensearch.hosts: a host is no URL",
        ),
        (
            "route: {}\nreceivers: [{name: a, opensearch: {}}]",
            2,
            "error: config.yaml:2:20: receivers[0].name: the receiver `a`: say where to: give `index`, `indexFormat` or `dataStream`",
        ),
        (
            "route: {match: [{namespace: *test*}]}",
            2,
            "error: config.yaml:1:29: route.match[0].namespace: `*test*` is an alias of YAML that is not defined",
        ),
        (
            "route: {}\nreceivers: [{name: a, stdout: {layout: {m: {{ .Message }}}}}]",
            2,
            "values with {{ }} must be quoted",
        ),
        (
            "route: {}\nreceivers: [{name: a, stdout: {layout: {m: \"{{ .Message | nofunc }}\"}}}]",
            2,
            "template: there is no function `nofunc`",
        ),
        (
            "route: {}\nreceivers: [{name: a, batch: {maxDelay: soon}, stdout: }]",
            2,
            "error: config.yaml:2:41: receivers[0].batch.maxDelay: `soon` is no duration: write for example 500ms, 2s or 1m30s",
        ),
        (
            "route: {}\nreceivers: [{name: a, stdout: {}, timeout: \"${NOT_THERE}\"}]",
            2,
            "error: config.yaml:2:44: receivers[0].timeout: the environment variable NOT_THERE is not set",
        ),
    ] {
        assert_refused(config, code, line);
    }
}

#[test]
fn what_would_run_and_never_work_is_a_mistake_too() {
    for (config, line) in [
        (
            "route: {}\nreceivers: [{name: a, stdout: {}, retry: {initial: 0s}}]",
            "error: config.yaml:2:52: receivers[0].retry.initial: must be at least 1ms",
        ),
        (
            "rout: {}",
            "error: config.yaml:1:1: rout: there is no `route`: no event would go anywhere; and unknown key `rout`, ignored; did you mean `route`?",
        ),
        (
            "namespaces: [a/b]\nroute: {}",
            "error: config.yaml:1:14: namespaces[0]: `a/b` is no namespace: names have up to 63 lower-case letters, digits and `-`",
        ),
        (
            "logLevel: \"a\\nb\"\nroute: {}",
            "error: config.yaml:1:11: logLevel: `a\\nb` is not one of ",
        ),
        (
            "route: {}\nreceivers: [{name: a, webhook: {endpoint: \"http://x\", bearerToken: \"tok\\n\"}}]",
            "error: config.yaml:2:68: receivers[0].webhook.bearerToken: no header can hold this",
        ),
        (
            "route: {}\nreceivers: [{name: a, webhook: {endpoint: \"http://x\", headers: {A: \"s3cret{{\"}}}]",
            "error: config.yaml:2:74: receivers[0].webhook.headers.A: template: the action is not closed: `}}` is missing",
        ),
        (
            "route: {}\nreceivers: [{name: a, stdout: {}, batch: {maxDelay: 9999999h}}]",
            "error: config.yaml:2:53: receivers[0].batch.maxDelay: must be at most 24h",
        ),
        (
            "route: {}\nreceivers: [{name: a, elasticsearch: {index: e, username: u, apiKey: s3cret}}]",
            "error: config.yaml:2:70: receivers[0].elasticsearch.apiKey: give either `username` or `apiKey`",
        ),
    ] {
        assert_refused(config, 2, line);
    }
}

/// `check` says this one line, and ends with this code.
fn assert_refused(config: &str, code: i32, line: &str) {
    let output = run(&["check", "config.yaml"], config, "");
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{config}: {errors}");
    assert!(
        errors.lines().any(|error| error.contains(line)),
        "{config}:\n{errors}expected\n{line}"
    );
    let told = errors.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(told.count(), 1, "{errors}");
}

#[test]
fn oddities_are_warnings_unless_strict() {
    let config = "maxEventsAgeSeconds: 60
routes: []
route:
  drop: [{namespace: \"*test*\"}]
  match: [{Namespace: a, receiver: out}]
receivers: [{name: out, stdout: {layout: {}}}]
";
    let output = run(&["check", "config.yaml"], config, "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "config.yaml: ok, 1 receiver, 5 warnings\n"
    );
    let warnings = text(&output.stderr);
    for warning in [
        "warning: config.yaml:1:22: maxEventsAgeSeconds: taken for `maxEventAgeSeconds`",
        "warning: config.yaml:2:1: routes: unknown key `routes`, ignored; `routes` belongs into `route`, under the one at the top; did you mean `route`?",
        "warning: config.yaml:4:22: route.drop[0].namespace: the pattern `*test*` never matches: nothing to repeat before `*`",
        "warning: config.yaml:5:12: route.match[0].Namespace: unknown key `Namespace`, ignored; did you mean `namespace`?",
        "warning: config.yaml:6:42: receivers[0].stdout.layout: an empty layout counts as none",
    ] {
        assert!(warnings.contains(warning), "{warnings}expected\n{warning}");
    }
    let output = run(&["check", "config.yaml", "--strict"], config, "");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr)
            .contains("error: config.yaml: 5 warnings, which --strict does not allow")
    );
}

const MISTAKES: &str = "logLevel: loud
route: {match: [{Kind: Pod, receiver: out}, {receiver: hok}]}
receivers:
- {name: out, stdout: {layout: {m: \"{{ .Mesage }}\", n: \"{{ .Message | nofunc }}\"}}}
- {name: hook, webhook: {endpoint: nowhere}}
- {name: tls, webhook: {endpoint: \"https://x\", tls: {caFile: /nowhere.pem}}}
";

#[test]
fn check_finds_every_mistake_in_one_run() {
    let output = run(&["check", "config.yaml"], MISTAKES, "");
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    let expected = [
        "error: config.yaml:1:11: logLevel: `loud` is not one of ",
        "warning: config.yaml:2:18: route.match[0].Kind: unknown key `Kind`, ignored; did you mean `kind`?",
        "error: config.yaml:2:56: route.match[1].receiver: there is no receiver `hok`; did you mean `hook`?",
        "warning: config.yaml:4:39: receivers[0].stdout.layout.m: this template loses events: there is no field `Mesage` in a *kube.EnhancedEvent",
        "error: config.yaml:4:70: receivers[0].stdout.layout.n: template: there is no function `nofunc`",
        "error: config.yaml:5:36: receivers[1].webhook.endpoint: ",
        "warning: config.yaml:6:10: receivers[2].name: no rule delivers to the receiver `tls`: it gets nothing",
        "error: config.yaml:6:62: receivers[2].webhook.tls.caFile: cannot read the TLS file /nowhere.pem: ",
    ];
    assert_eq!(told.lines().count(), expected.len(), "{told}");
    for line in expected {
        assert!(
            told.lines().any(|told| told.starts_with(line)),
            "{told}{line}"
        );
    }
    assert_eq!(text(&output.stdout), "config.yaml: 5 errors, 3 warnings\n");
    // What runs says one line, and where the rest is to be had.
    let output = run(&["-conf=config.yaml"], MISTAKES, "");
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(
        told.starts_with("error: config.yaml:1:11: logLevel: ")
            && told.ends_with(" (and more: `check config.yaml` lists all)\n"),
        "{told}"
    );
}

#[test]
fn check_finds_every_mistake_of_one_receiver() {
    let hook = "\
route: {match: [{receiver: hook}]}
receivers:
- name: hook
  timeout: 0s
  batch: {maxEvents: [many]}
  retry: {initial: 3x}
  onFull: explode
  webhook:
    endpoint: \"http://{{ .Name }}/x\"
    method: P O
    bearerToken: {}
    headers: {b d: x, ok: \"{{ upp .Name }}\"}
    layout: {a: \"{{ .Message\", b: [\"{{ nope }}\"]}
    tls: {caFile: /nowhere.pem}
- name: loki
  loki: {streamLabels: [], url: 7 8}
- name: two
  opensearch: {useEventID: maybe}
";
    let output = run(&["check", "config.yaml"], hook, "");
    let told = text(&output.stderr);
    let places: Vec<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("error: config.yaml:"))
        .map(|line| line.split(": ").nth(1).unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "receivers[0].timeout",
            "receivers[0].batch.maxEvents",
            "receivers[0].retry.initial",
            "receivers[0].onFull",
            "receivers[0].webhook.endpoint",
            "receivers[0].webhook.method",
            "receivers[0].webhook.bearerToken",
            "receivers[0].webhook.headers.b d",
            "receivers[0].webhook.headers.ok",
            "receivers[0].webhook.layout.a",
            "receivers[0].webhook.layout.b[0]",
            "receivers[0].webhook.tls.caFile",
            "receivers[1].loki.streamLabels",
            "receivers[1].loki.url",
            "receivers[2].opensearch.useEventID",
        ],
        "and none that only follows from another: {told}"
    );
}

#[test]
fn check_prints_one_json_document_for_programs() {
    let report = |args: &[&str], config: &str| {
        let args = [&["check", "-o", "json"], args].concat();
        let output = run(&args, config, config);
        assert_eq!(text(&output.stderr), "");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), report)
    };
    let (code, found) = report(&["config.yaml"], MISTAKES);
    assert_eq!((code, &found["ok"]), (Some(2), &false.into()));
    assert_eq!(
        (&found["errors"], &found["warnings"]),
        (&5.into(), &3.into())
    );
    assert_eq!(
        found["findings"][1],
        serde_json::json!({
            "file": "config.yaml", "line": 2, "column": 18, "path": "route.match[0].Kind", "severity": "warning",
            "message": "unknown key `Kind`, ignored; did you mean `kind`?"
        })
    );
    let (code, found) = report(&["config.yaml"], STDOUT);
    let nothing = serde_json::json!({
        "file": "config.yaml", "ok": true, "strict": false, "errors": 0, "warnings": 0, "findings": []
    });
    assert_eq!((code, found), (Some(0), nothing));
    let odd = format!("colour: blue\n{STDOUT}");
    assert_eq!(report(&["config.yaml"], &odd).0, Some(0));
    let (code, found) = report(&["-", "--strict"], &odd);
    assert_eq!((code, &found["ok"]), (Some(2), &false.into()));
    assert_eq!(found["findings"][0]["file"], "-");
    let (code, found) = report(&["nowhere.yaml"], "");
    assert_eq!(code, Some(2));
    assert_eq!(found["findings"][0]["line"], 1);
    assert_eq!(found["findings"][0]["path"], "");
}

#[test]
fn files_that_are_none_are_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("#{}\n{STDOUT}", "x".repeat(3 << 20));
    let too_long = format!("#{}\n{STDOUT}", "x".repeat(10 << 20));
    let windows = format!("\u{feff}{}", STDOUT.replace('\n', "\r\n"));
    let utf16: Vec<u8> = STDOUT.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16 = [b"\xff\xfe", utf16.as_slice()].concat();
    for (name, bytes, code, told) in [
        ("long", long.as_bytes(), 0, "ok, 1 receiver, 0 warnings"),
        (
            "windows",
            windows.as_bytes(),
            0,
            "ok, 1 receiver, 0 warnings",
        ),
        (
            "too-long",
            too_long.as_bytes(),
            2,
            "the file has more than 4 MiB",
        ),
        (
            "latin-1",
            b"clusterName: M\xfcnchen",
            2,
            ":1:15: this is no UTF-8",
        ),
        ("utf-16", &utf16, 2, "the file is UTF-16: save it as UTF-8"),
        ("nul", b"route: \0", 2, ":1:"),
        ("nothing", b"", 2, "there is no `route`"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let output = Command::new(&*EXPORTER)
            .arg("check")
            .arg(&path)
            .output()
            .unwrap();
        let all = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name}: {all}");
        assert!(all.contains(told), "{name}: {all}");
        assert!(text(&output.stderr).lines().count() <= 1, "{name}: {all}");
    }
    let output = Command::new(&*EXPORTER)
        .arg("check")
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains(": Is a directory"),
        "{}",
        text(&output.stderr)
    );
    let output = run(&["check", "-"], "", STDOUT);
    assert_eq!(text(&output.stdout), "-: ok, 1 receiver, 0 warnings\n");
    let output = run(&["check", "-"], "", "rout: {}");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("error: -:1:1: rout: there is no `route`"));
}
