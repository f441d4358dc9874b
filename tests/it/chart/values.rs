//! What is made from the chart: its schema and its README's table, of the comments and defaults of its values, and the
//! manifests of `deploy/`. `RECORD=1 cargo test --test it chart::values` writes all of it anew.

use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};

use super::{Release, chart, check};
use crate::support::{EXPORTER, helm, is_current, promtool, text};

/// One value of `values.yaml`.
struct Documented {
    path: Vec<String>,
    description: String,
}

/// Kubernetes' own types: whatever they have is passed on.
const OPEN: [&str; 8] = [
    "resources",
    "updateStrategy",
    "podSecurityContext",
    "containerSecurityContext",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "metrics.service.annotations",
];
/// What may be given as a text, which goes through `tpl`.
const TEXTS: [&str; 15] = [
    "affinity",
    "args",
    "command",
    "customLivenessProbe",
    "customReadinessProbe",
    "customStartupProbe",
    "extraEnvVars",
    "extraVolumeMounts",
    "extraVolumes",
    "initContainers",
    "lifecycleHooks",
    "metrics.service.annotations",
    "networkPolicy.extraEgress",
    "networkPolicy.extraIngress",
    "sidecars",
];
/// Texts that `--set` makes a number of if they look like one.
const NUMBERS: [&str; 7] = [
    "dashboards.labelValue",
    "fullnameOverride",
    "image.tag",
    "nameOverride",
    "namespaceOverride",
    "pdb.maxUnavailable",
    "pdb.minAvailable",
];

/// Values of Bitnami's chart that have no effect here, and break no upgrade.
fn bitnami_only() -> Vec<String> {
    let file = fs::read_to_string(chart().join("files/bitnami-only.txt")).unwrap();
    file.lines().map(str::to_owned).collect()
}

/// The values with a comment, in the order of the file.
fn documented(text: &str) -> Vec<Documented> {
    let (mut found, mut description) = (Vec::new(), String::new());
    let mut way: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(comment) = content.strip_prefix("# -- ") {
            comment.clone_into(&mut description);
        } else if let Some(more) = content.strip_prefix("# ") {
            if !description.is_empty() {
                description = format!("{description} {more}");
            }
        } else if let Some((key, _)) = content.split_once(':') {
            while way.last().is_some_and(|(depth, _)| *depth >= indent) {
                way.pop();
            }
            way.push((indent, key.to_owned()));
            if !description.is_empty() {
                found.push(Documented {
                    path: way.iter().map(|(_, key)| key.clone()).collect(),
                    description: std::mem::take(&mut description),
                });
            }
        }
    }
    found
}

fn schema(value: &Value, path: &str, documented: &[Documented]) -> Value {
    let or_text = |kind: &str| {
        if TEXTS.contains(&path) {
            json!({"type": [kind, "string"]})
        } else {
            json!({"type": kind})
        }
    };
    let mut schema = match value {
        _ if path == "config" => json!({"type": ["object", "string"]}),
        // One of Kubernetes' own, or any keys at all.
        Value::Object(map) if map.is_empty() || OPEN.contains(&path) => or_text("object"),
        Value::Object(map) => {
            let properties: Map<_, _> = map
                .iter()
                .map(|(key, value)| {
                    let path = format!("{path}.{key}");
                    let path = path.trim_start_matches('.');
                    (key.clone(), self::schema(value, path, documented))
                })
                .collect();
            // Templates rely on every value, and null takes a default away.
            let required: Vec<&String> = map.keys().collect();
            json!({
                "type": "object", "additionalProperties": false, "required": required,
                "properties": properties
            })
        }
        Value::Array(_) => or_text("array"),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(_) => json!({"type": "integer"}),
        Value::String(_) | Value::Null if NUMBERS.contains(&path) => {
            json!({"type": ["string", "number"]})
        }
        Value::String(_) | Value::Null => json!({"type": "string"}),
    };
    if let Some(one) = documented.iter().find(|one| one.path.join(".") == path) {
        schema["description"] = one.description.clone().into();
    }
    schema
}

/// The configuration's schema, as the exporter prints it.
fn config_schema() -> Value {
    let output = Command::new(&*EXPORTER).arg("schema").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Unknown keys are the exporter's to tell, which runs all the same.
fn with_unknown_keys(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("additionalProperties") == Some(&Value::Bool(false)) {
                map.remove("additionalProperties");
            }
            map.values_mut().for_each(with_unknown_keys);
        }
        Value::Array(values) => values.iter_mut().for_each(with_unknown_keys),
        _ => {}
    }
}

fn whole_schema(values: &Value, documented: &[Documented]) -> String {
    let mut schema = schema(values, "", documented);
    let mut config = config_schema();
    with_unknown_keys(&mut config);
    schema["properties"]["config"]["properties"] = config["properties"].take();
    schema["definitions"] = config["definitions"].take();
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = "Values of kubernetes-event-exporter".into();
    for path in bitnami_only() {
        let pointer: String = path
            .split('.')
            .map(|key| format!("/properties/{key}"))
            .collect();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        schema.pointer_mut(parent).unwrap()[key] =
            json!({"description": "Of Bitnami's chart, without effect."});
    }
    format!("{schema:#}\n")
}

fn table(values: &Value, documented: &[Documented]) -> String {
    let rows = documented.iter().map(|one| {
        let default = &values.pointer(&format!("/{}", one.path.join("/"))).unwrap();
        let description = one.description.replace('|', "\\|");
        format!(
            "| `{}` | `{default}` | {description} |\n",
            one.path.join(".")
        )
    });
    format!(
        "\n| value | default | meaning |\n|---|---|---|\n{}",
        rows.collect::<String>()
    )
}

#[test]
fn schema_and_readme_are_those_of_the_values() {
    let text = fs::read_to_string(chart().join("values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let documented = documented(&text);
    is_current(
        &chart().join("values.schema.json"),
        &whole_schema(&values, &documented),
    );
    let readme = fs::read_to_string(chart().join("README.md")).unwrap();
    let (before, rest) = readme.split_once("<!-- values -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /values -->\n").unwrap();
    let table = table(&values, &documented);
    is_current(
        &chart().join("README.md"),
        &format!("{before}<!-- values -->\n{table}\n<!-- /values -->\n{after}"),
    );
}

/// Renders a chart that has nothing but this schema of its values.
fn validate(schema: &Value, config: &Value) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    file("Chart.yaml", "apiVersion: v2\nname: x\nversion: 1.0.0\n");
    file("values.schema.json", &schema.to_string());
    file("values.yaml", &config.to_string());
    let output = Command::new(helm())
        .args(["template", "x"])
        .arg(folder.path())
        .output()
        .unwrap();
    if output.status.success() {
        Ok(())
    } else {
        Err(text(&output.stderr))
    }
}

#[test]
fn every_example_is_valid_by_the_schema_and_can_be_given_to_the_chart() {
    let schema = config_schema();
    let examples = fs::read_dir(chart().join("../../config")).unwrap();
    let mut tried = 0;
    let paths = examples.map(|example| example.unwrap().path());
    for path in paths.filter(|path| path.is_file()) {
        let config: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        validate(&schema, &config).unwrap_or_else(|told| panic!("{}: {told}", path.display()));
        Release::of(&json!({"config": config}).to_string(), &[]);
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
    let lenient = json!({
        "kubeQPS": "${QPS}",
        "omitLookup": "$OMIT",
        "receivers": [{"name": 8080, "batch": {"maxBytes": 4_194_304}, "webhook": {"endpoint": "https://a.example.com"}}],
        "route": {
            "throttle": {"period": "5m", "by": "reason"},
            "match": [{"receiver": 8080}],
        },
    });
    validate(&schema, &lenient).unwrap();
    for (wrong, told) in [
        (json!({"kubeBurst": "60"}), "'/kubeBurst'"),
        (
            json!({"routes": []}),
            "additional properties 'routes' not allowed",
        ),
        (
            json!({"receivers": [{"name": "a", "opensearch": {"indx": "a"}}]}),
            "additional properties 'indx' not allowed",
        ),
    ] {
        let error = validate(&schema, &wrong).unwrap_err();
        assert!(error.contains(told), "{wrong}: {error}");
    }
}

#[test]
fn the_plain_manifests_are_those_of_the_chart() {
    let output = Command::new(helm())
        .args([
            "template",
            "event-exporter",
            "--namespace",
            "monitoring",
            "--skip-tests",
        ])
        .arg(chart())
        .arg("--values")
        .arg(chart().join("ci/plain-values.yaml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Nobody who applies them has Helm.
    let of_helm = [
        "app.kubernetes.io/managed-by:",
        "helm.sh/chart:",
        "# Source: ",
    ];
    let manifests = text(&output.stdout);
    let lines = manifests.lines().filter(|line| {
        let line = line.trim_start();
        // Helm leaves an empty one where nothing is included.
        !line.is_empty() && !of_helm.iter().any(|word| line.starts_with(word))
    });
    let rendered: String = lines.flat_map(|line| [line, "\n"]).collect();
    let head = "# Rendered from charts/kubernetes-event-exporter with ci/plain-values.yaml; change those.\n";
    let path = chart().join("../../deploy/kubernetes-event-exporter.yaml");
    is_current(&path, &format!("{head}{rendered}"));
}

#[test]
fn the_deployed_dashboards_are_those_of_the_chart() {
    for name in ["exporter.json", "events.json"] {
        let dashboard = fs::read_to_string(chart().join("files/dashboards").join(name)).unwrap();
        is_current(&chart().join("../../deploy/grafana").join(name), &dashboard);
    }
}

#[test]
fn alerts_fire_when_they_should_and_each_is_in_the_runbook() {
    let rules = fs::read_to_string(chart().join("files/rules.yaml")).unwrap();
    let deployed = chart().join("../../deploy/prometheus");
    is_current(&deployed.join("rules.yaml"), &rules);
    let promtool = promtool();
    for args in [
        ["check", "rules", "rules.yaml"],
        ["test", "rules", "rules_test.yaml"],
    ] {
        let output = Command::new(promtool)
            .args(args)
            .current_dir(&deployed)
            .output()
            .unwrap();
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{told}");
    }
    let parsed: Value = serde_saphyr::from_str(&rules).unwrap();
    let runbook = fs::read_to_string(chart().join("../../docs/runbook.md")).unwrap();
    let metrics = fs::read_to_string(chart().join("../../docs/metrics.md")).unwrap();
    let alerts = parsed["groups"][0]["rules"].as_array().unwrap();
    let titles = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    let names = alerts.iter().map(|rule| rule["alert"].as_str().unwrap());
    assert!(
        titles.eq(names.clone()),
        "the runbook has each alert, in their order"
    );
    for (alert, name) in alerts.iter().zip(names) {
        let anchor = format!("docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], anchor);
        let expr = alert["expr"].as_str().unwrap();
        let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for metric in words.filter(|word| word.starts_with("event_exporter_")) {
            let metric = metric.trim_end_matches("_bucket");
            assert!(metrics.contains(&format!("`{metric}`")), "{metric}");
        }
    }
    // In the chart, with the names that this exporter's metrics have.
    let release = Release::of(
        "metrics: {prometheusRule: {enabled: true, defaultRules: {additionalRuleLabels: {team: a}, runbookURL: \"https://x\"}}}\nconfig: {metricsNamePrefix: own_, receivers: [{name: a, stdout: {}}], route: {match: [{receiver: a}]}}",
        &[],
    );
    let rule = &release.one("PrometheusRule")["spec"]["groups"][0]["rules"][0];
    assert_eq!(rule["expr"], "absent(own_build_info)");
    assert_eq!(rule["labels"], json!({"severity": "critical", "team": "a"}));
    assert_eq!(
        rule["annotations"]["runbook_url"],
        "https://x#eventexporterdown"
    );
    assert!(
        release
            .one("PrometheusRule")
            .to_string()
            .contains("{{ $labels.receiver }}")
    );
}

#[test]
fn values_in_the_documentation_can_be_installed() {
    let mut tried = 0;
    for file in ["README.md", "../../README.md", "../../docs/install.md"] {
        let document = fs::read_to_string(chart().join(file)).unwrap();
        for block in document.split("```yaml\n").skip(1) {
            let example: Value =
                serde_saphyr::from_str(block.split("```").next().unwrap()).unwrap();
            let values = match example["kind"].as_str() {
                Some("Application") => &example["spec"]["source"]["helm"]["valuesObject"],
                Some("HelmRelease") => &example["spec"]["values"],
                _ => &example,
            };
            if example["receivers"].is_array() {
                // A file of the program, and no values.
                continue;
            }
            assert!(values["config"].is_object(), "{example}");
            // JSON is YAML.
            let release = Release::of(&values.to_string(), &[]);
            assert_eq!(check(&release, &[]), "");
            tried += 1;
        }
    }
    assert_eq!(tried, 5);
}

/// Whatever type the schema permits, the templates can take.
#[test]
fn values_of_every_permitted_type_can_be_rendered() {
    fn paths(schema: &Value, path: &str, found: &mut Vec<(String, String)>) {
        let types = match &schema["type"] {
            Value::Array(types) => types.clone(),
            one => vec![one.clone()],
        };
        for kind in types.iter().filter_map(Value::as_str) {
            if !path.is_empty() && path != "config" && path != "replicaCount" {
                found.push((path.to_owned(), kind.to_owned()));
            }
        }
        // The configuration is not the templates' affair.
        let inner = Some(&schema["properties"]).filter(|_| path != "config");
        for (key, inner) in inner.and_then(Value::as_object).into_iter().flatten() {
            let inner_path = format!("{path}.{key}");
            paths(inner, inner_path.trim_start_matches('.'), found);
        }
    }
    let file = fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&file).unwrap();
    let mut found = Vec::new();
    paths(&schema, "", &mut found);
    assert!(found.len() > 100, "{}", found.len());
    let lists: Vec<String> = found
        .iter()
        .filter(|(_, kind)| kind == "array")
        .map(|(path, _)| path.clone())
        .collect();
    for (path, kind) in found {
        let json = match kind.as_str() {
            "object" if schema_is_section(&schema, &path) => continue,
            "object" => "{\"a\":\"b\"}",
            "array" => "[]",
            "string" if TEXTS.contains(&path.as_str()) && lists.contains(&path) => {
                "\"- {name: a}\""
            }
            "string" if TEXTS.contains(&path.as_str()) => "\"{}\"",
            "string" => "\"123\"",
            "number" | "integer" => "123",
            _ => "true",
        };
        let set = format!("{path}={json}");
        let output = Command::new(helm())
            .args(["template", "123", "--set-json", &set])
            .arg(chart())
            .output()
            .unwrap();
        let told = text(&output.stderr);
        // Some go together with others, which the chart tells in a sentence.
        let is_told = told.contains("execution error at");
        assert!(output.status.success() || is_told, "{set}: {told}");
        if output.status.success() {
            let objects: Vec<Value> = serde_saphyr::from_multiple(&text(&output.stdout)).unwrap();
            for object in objects.iter().filter(|it| !it.is_null()) {
                assert!(object["metadata"]["name"].is_string(), "{set}: {object}");
                let labels = object["metadata"]["labels"].as_object();
                let mut labels = labels.into_iter().flatten();
                assert!(
                    labels.all(|(_, value)| value.is_string()),
                    "{set}: {object}"
                );
            }
        }
    }
}

fn schema_is_section(schema: &Value, path: &str) -> bool {
    let pointer: String = path
        .split('.')
        .map(|key| format!("/properties/{key}"))
        .collect();
    let here = schema.pointer(&pointer).unwrap();
    here["properties"].is_object()
}

#[test]
fn every_value_is_documented() {
    fn undocumented(
        value: &Value,
        path: &str,
        documented: &[Documented],
        missing: &mut Vec<String>,
    ) {
        if documented.iter().any(|one| one.path.join(".") == path) {
            return;
        }
        match value.as_object().filter(|map| !map.is_empty()) {
            Some(map) => {
                for (key, value) in map {
                    let path = format!("{path}.{key}");
                    undocumented(value, path.trim_start_matches('.'), documented, missing);
                }
            }
            None => missing.push(path.to_owned()),
        }
    }
    let text = fs::read_to_string(chart().join("values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let mut missing = Vec::new();
    undocumented(&values, "", &documented(&text), &mut missing);
    assert_eq!(missing, [] as [&str; 0]);
}
