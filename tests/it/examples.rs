//! Every example is a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::{exposition, run, text, with_credentials};

#[test]
fn every_example_passes_a_strict_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let example = fs::read_to_string(&path).unwrap();
            let credentials = tempfile::tempdir().unwrap();
            let output = run(
                &["check", "config.yaml", "--strict"],
                &with_credentials(&example, credentials.path()),
                "",
            );
            assert!(
                output.status.success(),
                "{}: {}",
                path.display(),
                text(&output.stderr)
            );
            checked += 1;
        }
    }
    assert!(checked > 5, "{checked}");
}

/// The YAML in the README, in MIGRATION.md and in docs/ that is a whole configuration.
#[test]
fn every_configuration_in_the_documentation_passes_a_strict_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in [
        "README.md",
        "MIGRATION.md",
        "docs/configuration.md",
        "docs/opensearch.md",
        "docs/templates.md",
    ] {
        let mut checked = 0;
        let document = fs::read_to_string(root.join(file)).unwrap();
        for block in document.split("```yaml\n").skip(1) {
            let config = block.split("```").next().unwrap();
            let has = |key| config.lines().any(|line| line.starts_with(key));
            if has("receivers:") && has("route:") {
                let output = run(&["check", "config.yaml", "--strict"], config, "");
                assert!(
                    output.status.success(),
                    "{file}: {}\n{config}",
                    text(&output.stderr)
                );
                checked += 1;
            }
        }
        // The keys are in tables.
        assert!(checked > 0 || file == "docs/configuration.md", "{file}");
    }
}

/// What docs/routes.md says of routes: each `yaml` block with tests is run on the route above it, and each `text` block
/// is what `route` prints of the event above it.
#[test]
fn what_the_documentation_says_of_routes_is_so() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/routes.md");
    let document = fs::read_to_string(path).unwrap();
    let (mut config, mut event) = (String::new(), "");
    let (mut tested, mut explained) = (0, 0);
    for block in document.split("\n```").skip(1).step_by(2) {
        let (kind, block) = block.split_once('\n').unwrap();
        if kind == "yaml" && block.starts_with("tests:") {
            let folder = tempfile::tempdir().unwrap();
            let tests = folder.path().join("tests.yaml");
            fs::write(&tests, block).unwrap();
            let tests = tests.to_str().unwrap();
            let args = ["check", "config.yaml", "--strict", "--tests", tests];
            let output = run(&args, &config, "");
            let told = text(&output.stderr);
            assert!(output.status.success(), "{config}\n{block}\n{told}");
            tested += 1;
        } else if kind == "yaml" {
            config = with_receivers(block);
        } else if kind == "json" {
            event = block;
        } else if kind == "text" {
            let output = run(&["route", "config.yaml", "--event", "-"], &config, event);
            assert_eq!(text(&output.stdout).trim_end(), block.trim_end());
            explained += 1;
        }
    }
    assert!(tested > 5 && explained > 0, "{tested} {explained}");
}

/// A route with the receivers that it names.
fn with_receivers(route: &str) -> String {
    let rules = route.split("receiver: ").skip(1);
    let names: BTreeSet<&str> = rules
        .filter_map(|rest| rest.split(['}', ',', '\n']).next())
        .collect();
    names
        .iter()
        .fold(format!("{route}\nreceivers:\n"), |config, name| {
            config + &format!("- {{name: {name}, stdout: {{}}}}\n")
        })
}

/// Every metric is in the documentation, with its help text, and nothing else is.
#[test]
fn the_documentation_of_metrics_is_complete() {
    let text = exposition();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let document = fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = document
        .lines()
        .filter(|line| line.starts_with("| `event_exporter_"))
        .collect();
    let helps: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '))
        .filter(|(name, _)| !name.starts_with("process_"))
        .collect();
    for (name, help) in &helps {
        let row = rows
            .iter()
            .find(|row| row.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not documented"));
        assert!(
            row.ends_with(&format!("| {help} |")),
            "{row} should say: {help}"
        );
        // What a label says, as far as it is known beforehand.
        let series = text
            .lines()
            .filter(|line| line.starts_with(&format!("{name}{{")));
        for label in ["cause", "outcome", "reason"] {
            let values = series
                .clone()
                .filter_map(|line| line.split_once(&format!("{label}=\""))?.1.split('"').next());
            for value in values {
                assert!(
                    row.contains(&format!("`{value}`")),
                    "{row} should say: {value}"
                );
            }
        }
    }
    assert_eq!(rows.len(), helps.len(), "what is documented exists");
}
