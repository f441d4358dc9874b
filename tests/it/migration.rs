//! What MIGRATION.md promises to those who come from the incumbent, as far as no other test does.

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::support::{EXPORTER, run, text};
use crate::wire::EVENTS;
use crate::wire::server::{Request, Server};

const INCUMBENT: &str = include_str!("migration/incumbent.yaml");
const STDOUT: &str = "route: {match: [{receiver: out}]}\nreceivers: [{name: out, stdout: {}}]\n";

/// Runs a command on a configuration with these variables of the environment, and no others.
fn run_with(args: &[&str], config: &str, env: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yaml"), config).unwrap();
    std::fs::write(folder.path().join("events.json"), EVENTS).unwrap();
    Command::new(&*EXPORTER)
        .args(args)
        .current_dir(folder.path())
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a configuration prints of the three events.
fn printed(config: &str, env: &[(&str, &str)]) -> Vec<Value> {
    let args = ["replay", "config.yaml", "--events", "events.json"];
    let output = run_with(&args, config, env);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    let documents = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    documents.collect()
}

fn shown(server: &Server) -> Vec<String> {
    server.requests().iter().map(Request::show).collect()
}

#[test]
fn every_key_of_the_incumbent_is_taken_with_these_warnings() {
    let env = [
        ("CLUSTER_NAME", "c"),
        ("QPS", "100"),
        ("API_KEY", "k: #\"'"),
    ];
    let output = run_with(&["check", "config.yaml"], INCUMBENT, &env);
    let told = text(&output.stderr);
    let expected = [
        "warning: config.yaml:18:18: route.drop[0].namespace: the pattern `*test*` never matches: nothing to repeat before `*`",
        "warning: config.yaml:22:19: route.drop[1].apiVersion: the pattern `*beta*` never matches: nothing to repeat before `*`",
        "warning: config.yaml:57:39: receivers[0].file.layout: an empty layout counts as none: documents are written whole",
        "warning: config.yaml:65:14: receivers[1].opensearch.index: without effect: `indexFormat` comes before it; leave one of them out",
        "warning: config.yaml:67:13: receivers[1].opensearch.type: without effect: no server that is left knows types of documents; leave it out",
        "warning: config.yaml:94:13: receivers[2].elasticsearch.type: without effect: no server that is left knows types of documents; leave it out",
        "warning: config.yaml:149:11: receivers[12].name: no rule delivers to the receiver `unused`: it gets nothing; add `- receiver: unused` to a `match`",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    assert_eq!(
        text(&output.stdout),
        "config.yaml: ok, 13 receivers, 7 warnings\n"
    );
    let strict = run_with(&["check", "config.yaml", "--strict"], INCUMBENT, &env);
    assert_eq!(strict.status.code(), Some(2));
}

#[test]
fn receivers_that_are_not_there_are_refused_with_the_way_to_do_it() {
    for kind in [
        "kafka",
        "kinesis",
        "firehose",
        "pubsub",
        "bigquery",
        "sqs",
        "sns",
        "eventbridge",
        "opscenter",
    ] {
        let config = format!("route: {{}}\nreceivers: [{{name: r, {kind}: {{region: x}}}}]");
        let output = run(&["check", "config.yaml"], &config, "");
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{kind}: {told}");
        let no = format!("there is no receiver of type `{kind}` (yet): use `webhook`");
        assert!(told.contains(&no), "{kind}: {told}");
    }
}

#[test]
fn what_is_refused_says_why() {
    let hook = |rest: &str| {
        format!(
            "route: {{match: [{{receiver: r}}]}}\nreceivers: [{{name: r, webhook: {{endpoint: \"https://x\", {rest}}}}}]"
        )
    };
    for (config, words) in [
        (
            hook("tls: {serverName: x}"),
            "tls.serverName: `serverName` is not supported: use a host name that is in the server's certificate",
        ),
        (hook("layout: {a: '{{ env \"A\" }}'}"), "`env`"),
        (hook("layout: {a: '{{ expandenv \"$A\" }}'}"), "`expandenv`"),
        (hook("layout: {a: '{{ randAlpha 5 }}'}"), "`randAlpha`"),
        (
            "receivers: [{opensearch: {hosts: [\"http://x\"], index: i}}]\nroute: {match: [{receiver: dump}]}".to_owned(),
            "a receiver has no `name`",
        ),
    ] {
        let output = run(&["check", "config.yaml"], &config, "");
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{config}: {told}");
        assert!(told.contains(words), "{config}: {told}");
    }
}

#[test]
fn the_default_of_bitnamis_chart_prints_documents_whole() {
    for layout in ["layout: {}", "layout: null", "layout:"] {
        // As the chart writes it: sorted, and with keys of its own.
        let config = format!(
            "clusterName: \"\"\nleaderElection: {{}}\nlogFormat: pretty\nlogLevel: debug\nreceivers:\n- file:\n    {layout}\n    path: /dev/stdout\n  name: dump\nroute:\n  routes:\n  - match:\n    - receiver: dump\n"
        );
        let documents = printed(&config, &[]);
        assert_eq!(documents.len(), 3, "{layout}");
        assert_eq!(documents[1]["reason"], "NodeReady", "{layout}");
    }
    let misspelt = format!("maxEventsAgeSeconds: 3600\n{STDOUT}");
    let output = run(&["check", "config.yaml"], &misspelt, "");
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("taken for `maxEventAgeSeconds`"));
}

#[test]
fn strict_documents_leave_the_program_as_the_incumbents_do() {
    let vectors = include_str!("../vectors/documents.jsonl");
    let documents: String = vectors.lines().map(document).collect();
    let strict = STDOUT.replace("name: out,", "name: out, compat: strict,");
    let args = ["replay", "config.yaml", "--events", "-"];
    let output = run(&args, &strict, &documents);
    assert_eq!(text(&output.stdout), documents, "{}", text(&output.stderr));
    let ours = text(&run(&args, STDOUT, &documents).stdout);
    assert!(
        ours.lines()
            .all(|line| line.starts_with("{\"@timestamp\":"))
    );
}

/// The line of a vector's document, to the byte.
fn document(vector: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Vector<'a> {
        #[serde(borrow)]
        document: &'a RawValue,
    }
    let vector: Vector<'_> = serde_json::from_str(vector).unwrap();
    format!("{}\n", vector.document)
}

#[test]
fn the_old_ways_that_can_be_had_are_had() {
    let guide = include_str!("../../MIGRATION.md");
    let config = guide
        .split("```yaml\n")
        .map(|block| block.split("```").next().unwrap())
        .find(|block| block.contains("minCount: 2"))
        .unwrap();
    let server = Server::start();
    let here = config.replace("https://localhost:9200", &server.url);
    assert_ne!(here, config);
    let args = ["replay", "config.yaml", "--events", "events.json"];
    let output = run_with(&args, &here, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let requests = shown(&server);
    assert_eq!(requests.len(), 1, "{requests:?}");
    let (head, body) = requests[0].split_once("\n\n").unwrap();
    assert!(!head.contains("gzip"), "{head}");
    // The other two have happened before.
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(lines[0], "{\"create\":{\"_index\":\"kube-events\"}}");
    assert!(
        lines[1].starts_with("{\"metadata\":{\"name\":\"node-1.17cb0a1b2c3d4e60\""),
        "{}",
        lines[1]
    );
    assert_eq!(lines.len(), 2);
}

#[test]
fn the_documented_times_are_right_for_both_ways_of_counting() {
    let document = include_str!("../../docs/templates.md");
    let config = document
        .split("```yaml\n")
        .map(|block| block.split("```").next().unwrap())
        .find(|block| block.contains("milliseconds:"))
        .unwrap();
    let server = Server::start();
    let here = config.replace("http://localhost", &server.url);
    assert_ne!(here, config);
    let args = ["replay", "config.yaml", "--events", "events.json"];
    let output = run_with(&args, &here, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let sent = shown(&server);
    for (request, when, milliseconds, times) in [
        (&sent[0], "2024-05-01T10:05:30.000Z", "1714557930000", "4"),
        (&sent[1], "2024-05-01T10:06:00.000Z", "1714557960000", "1"),
        (&sent[2], "2024-05-01T10:09:00.654Z", "1714558140654", "7"),
    ] {
        for (key, value) in [
            ("when", when),
            ("milliseconds", milliseconds),
            ("times", times),
        ] {
            let expected = format!("\"{key}\": \"{value}\"");
            assert!(request.contains(&expected), "{expected}: {request}");
        }
    }
}

#[test]
fn variables_fill_values_and_nothing_else() {
    let layout = |text: &str| {
        STDOUT.replace(
            "stdout: {}",
            &format!("stdout: {{layout: {{v: '{text}'}}}}"),
        )
    };
    let hostile = "a: [\"#\n- 'b': ${A} $$ \\";
    for (written, expected) in [
        ("${SECRET}", hostile),
        ("$SECRET", hostile),
        ("pa$$word", "pa$word"),
        ("p$w", "p$w"),
        ("${NOT_THERE:-}", ""),
        ("${NOT_THERE:-there}", "there"),
        ("{{ $r := .Type }}{{ $r }}", "Warning"),
    ] {
        let documents = printed(&layout(written), &[("SECRET", hostile)]);
        assert_eq!(documents[0]["v"], expected, "{written}");
    }
    let output = run_with(&["check", "config.yaml"], &layout("${NOT_THERE}"), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("the environment variable NOT_THERE is not set"));
}

#[test]
fn webhooks_go_through_the_proxy_of_the_environment_and_opensearch_does_not() {
    let (proxy, server) = (Server::start(), Server::start());
    let config = format!(
        "route: {{match: [{{type: Normal, receiver: hook}}, {{type: Normal, receiver: opensearch}}]}}
receivers:
- {{name: hook, webhook: {{endpoint: \"http://hook.example/path\"}}}}
- {{name: opensearch, opensearch: {{hosts: \"{}\", index: i}}}}
",
        server.url
    );
    let args = ["replay", "config.yaml", "--events", "events.json"];
    let env = [
        ("HTTP_PROXY", proxy.url.as_str()),
        ("http_proxy", &proxy.url),
    ];
    let output = run_with(&args, &config, &env);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let requests = shown(&proxy);
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].starts_with("POST http://hook.example/path\n"),
        "{requests:?}"
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn flags_have_one_dash_or_two_and_the_incumbents_defaults() {
    let help =
        text(&run(&["-help"], STDOUT, "").stdout) + &text(&run(&["--help"], STDOUT, "").stdout);
    assert!(help.contains("[default: :2112]"), "{help}");
    assert!(
        help.contains("[default: config.yaml if there is one"),
        "{help}"
    );
    for flags in [
        &["-conf=config.yaml", "-kubeconfig=/nowhere"][..],
        &["--conf", "config.yaml", "--kubeconfig", "/nowhere"],
        &[
            "-config",
            "config.yaml",
            "-kubeconfig",
            "/nowhere",
            "-metrics-address",
            ":0",
        ],
        &["-kubeconfig=/nowhere"],
    ] {
        // The configuration is read before the cluster is looked for.
        let output = run(flags, "rout: {}", "");
        let told = text(&output.stderr);
        assert!(
            told.contains("rout: there is no `route`"),
            "{flags:?}: {told}"
        );
        let output = run(flags, STDOUT, "");
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
    }
}

#[test]
fn keys_with_nothing_after_them_are_taken_for_absent() {
    let config = "\
logLevel:
clusterName:
maxEventAgeSeconds:
omitLookup:
cacheSize:
kubeQPS:
kubeBurst:
leaderElection: {enabled: }
route:
  drop:
  match:
    - receiver: hook
      labels:
      namespace:
      minCount:
  routes:
    - match: [{receiver: file}, {receiver: opensearch}]
receivers:
  - name: hook
    webhook:
      endpoint: http://localhost/hook
      headers:
      layout:
      tls:
        insecureSkipVerify:
        serverName: # optional
        caFile: # optional
  - name: file
    file: {path: events.jsonl, maxsize: , maxage: , deDot: }
  - name: opensearch
    opensearch: {hosts: , username: , password: , useEventID: , index: kube-events, layout: , tls: , type: }
";
    let output = run(&["check", "config.yaml", "--strict"], config, "");
    assert!(output.status.success(), "{}", text(&output.stderr));
}
