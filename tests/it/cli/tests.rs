//! `check --tests`: tests that live with the configuration.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{EXPORTER, text};

const CONFIG: &str = r#"clusterName: c1
route:
  match:
    - {type: Warning, receiver: out}
    - {reason: BackOff, receiver: pager}
receivers:
  - name: out
    stdout: {layout: {why: "{{ .Reason }}", on: "{{ .ClusterName }}", key: "${API_KEY}"}}
  - {name: pager, stdout: {}}
"#;

fn check(tests: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.yaml"), CONFIG).unwrap();
    fs::write(folder.path().join("tests.yaml"), tests).unwrap();
    Command::new(&*EXPORTER)
        .args(["check", "config.yaml", "--tests", "tests.yaml"])
        .args(more)
        .env("API_KEY", "canary-key")
        .current_dir(folder.path())
        .output()
        .unwrap()
}

const FAILING: &str = r#"tests:
  - name: as it is
    event: {type: Warning, reason: BackOff}
    receivers: [pager, out]
    documents:
      out: {why: BackOff, on: c1, key: "${API_KEY}"}
  - name: "not \e[2Jas it is"
    event: {type: Warning, reason: Failed}
    receivers: [pager, out]
    documents:
      out: {why: Failing, on: c1}
"#;

#[test]
fn a_test_that_fails_is_a_diff() {
    let output = check(FAILING, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        r#"failed: tests.yaml:7:5: not \u{1b}[2Jas it is
  receivers:
   out
  -pager
  document of out:
   {
  +  "key": "***",
     "on": "c1",
  -  "why": "Failing"
  +  "why": "Failed"
   }
"#
    );
    assert_eq!(
        text(&output.stdout),
        "config.yaml: 0 errors, 0 warnings, 2 tests, 1 of them failed\n"
    );

    let output = check(FAILING, &["-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ok"], false);
    assert_eq!(
        told["tests"][0],
        json!({"name": "as it is", "file": "tests.yaml", "line": 2, "column": 5, "ok": true, "diff": []})
    );
    assert_eq!(told["tests"][1]["diff"][2], "-pager");
}

#[test]
fn a_test_that_can_not_be_run_is_an_error_with_its_place() {
    for (tests, told) in [
        (
            "tests: [{event: {}, receivers: [piger]}]",
            "error: tests.yaml:1:33: tests[0].receivers[0]: there is no receiver `piger`\n",
        ),
        (
            "tests: [{event: {}, documents: {piger: {}}}]",
            "error: tests.yaml:1:9: tests[0]: there is no receiver `piger`\n",
        ),
        (
            "tests: [{event: {type: Warning}}]",
            "error: tests.yaml:1:9: tests[0]: nothing is expected: add `receivers` or `documents`\n",
        ),
        ("tests: {", "error: tests.yaml:1:"),
    ] {
        let output = check(tests, &[]);
        assert_eq!(output.status.code(), Some(2), "{tests}");
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with(told), "{stderr}");
    }
    let misspelt = "tests: [{event: {raeson: BackOff}, receivers: []}]";
    let output = check(misspelt, &["--strict"]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(
        told.starts_with("warning: tests.yaml:1:18: tests[0].event.raeson: unknown key `raeson`"),
        "{told}"
    );
}

/// The tests in `config/tests` are those of the examples of their names.
#[test]
fn tests_of_examples_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut run = 0;
    for entry in fs::read_dir(folder.join("tests")).unwrap() {
        let tests = entry.unwrap().path();
        let output = Command::new(&*EXPORTER)
            .args(["check", "--strict"])
            .arg(folder.join(tests.file_name().unwrap()))
            .arg("--tests")
            .arg(&tests)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        run += 1;
    }
    assert!(run > 1, "{run}");
}
