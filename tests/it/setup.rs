//! `setup`, and what is made before the first event, against a real OpenSearch.

mod ism;

use std::process::Output;

use serde_json::{Value, json};

use self::ism::Ism;
use crate::opensearch::secure::{PASSWORD, as_user, grant};
use crate::support::{OpenSearch, lines, run, text};

/// A receiver for each of these options.
fn config(url: &str, receivers: &[(&str, &str)]) -> String {
    let matches = receivers
        .iter()
        .map(|(name, _)| format!("{{receiver: {name}}}"));
    let matches: Vec<String> = matches.collect();
    let receivers = receivers.iter().map(|(name, options)| {
        format!("- {{name: {name}, batch: {{maxDelay: 10ms}}, opensearch: {{hosts: {url}, {options}}}}}\n")
    });
    let receivers: String = receivers.collect();
    format!(
        "route: {{match: [{}]}}\nreceivers:\n{receivers}",
        matches.join(", ")
    )
}

fn setup(config: &str, options: &[&str]) -> Output {
    run(&[&["setup", "config.yaml"], options].concat(), config, "")
}

/// What came of each part, without its name.
fn outcomes(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    told.lines()
        .map(|line| line.rsplit_once(": ").unwrap().1.to_owned())
        .collect()
}

fn replay(config: &str, prefix: &str) -> String {
    let events = lines(prefix, 5, "m");
    let output = run(&["replay", "config.yaml", "--events", "-"], config, &events);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    told
}

/// All that there is with names like this, with its versions.
async fn made(opensearch: &OpenSearch, prefix: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for path in [
        "_index_template",
        "_component_template",
        "_data_stream",
        "_alias",
    ] {
        let path = format!("/{path}/{prefix}*");
        found.push(opensearch.call("GET", &path, "").await);
    }
    found
}

/// The types of some fields in an index.
async fn types(opensearch: &OpenSearch, index: &str) -> Value {
    let mappings = opensearch
        .call("GET", &format!("/{index}/_mapping"), "")
        .await;
    let (_, mappings) = mappings.as_object().unwrap().iter().next().unwrap();
    let field = |path: &str| {
        mappings
            .pointer(&format!("/mappings/properties/{path}/type"))
            .cloned()
    };
    json!([
        field("@timestamp"),
        field("reason"),
        field("reason/fields/keyword"),
        field("involvedObject/properties/labels"),
        field("count"),
    ])
}

fn template_types() -> Value {
    json!(["date", "keyword", "keyword", "flat_object", "long"])
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let opensearch = OpenSearch::shared();
    let ism = Ism::before(&opensearch.url);
    let config = config(
        &ism.url,
        &[
            ("daily", "indexFormat: \"made-dated-{2006.01.02}\""),
            ("stream", "dataStream: made-stream"),
            ("one", "index: made-one"),
        ],
    );
    let told = outcomes(&setup(&config, &["--dry-run"]));
    assert_eq!(told, vec!["would create"; 14]);
    assert_eq!(
        (ism.policies().1, made(opensearch, "made").await[0].clone()),
        (0, json!({"index_templates": []}))
    );

    assert_eq!(outcomes(&setup(&config, &[])), vec!["created"; 14]);
    let before = (ism.policies(), made(opensearch, "made").await);
    assert_eq!(before.0.1, 3);
    for options in [&[][..], &["--overwrite"], &["--dry-run", "--overwrite"]] {
        assert_eq!(outcomes(&setup(&config, options)), vec!["unchanged"; 14]);
    }
    assert_eq!((ism.policies(), made(opensearch, "made").await), before);

    replay(&config, "made");
    let documents = opensearch
        .call("GET", "/_cat/indices/made-*,.ds-made-*?h=index", "")
        .await;
    let documents = documents.as_str().unwrap();
    assert!(
        documents.contains("made-dated-20") && documents.contains("made-one-000001"),
        "{documents}"
    );
    for index in ["made-dated-*", "made-stream", "made-one"] {
        assert_eq!(opensearch.count(index).await, 5, "{index}");
        assert_eq!(types(opensearch, index).await, template_types(), "{index}");
    }
}

#[tokio::test]
async fn one_s_own_fields_outlive_an_overwrite() {
    let opensearch = OpenSearch::shared();
    let ism = Ism::before(&opensearch.url);
    let receiver = |retention: &str| {
        let options = format!(
            "indexFormat: \"mine-{{2006.01.02}}\", setup: {{retention: {retention}, atStart: false}}"
        );
        config(&ism.url, &[("mine", &options)])
    };
    outcomes(&setup(&receiver("30d"), &[]));
    let own = json!({"template": {
        "settings": {"index": {"refresh_interval": "7s", "codec": "default"}},
        "mappings": {"properties": {"team": {"type": "ip"}, "count": {"type": "integer"}}}
    }});
    let path = "/_component_template/mine-daily@custom";
    opensearch.call("PUT", path, &own.to_string()).await;
    // As an older exporter has left it.
    let older =
        json!({"template": {}, "version": 0, "_meta": {"managed_by": "kubernetes-event-exporter"}});
    opensearch
        .call(
            "PUT",
            "/_component_template/mine-daily@default",
            &older.to_string(),
        )
        .await;

    let told = outcomes(&setup(&receiver("7d"), &[]));
    assert_eq!(
        told,
        [
            "differs in states[0].transitions[0].conditions.min_index_age (use --overwrite)",
            "is an older exporter's (use --overwrite)",
            "unchanged",
            "unchanged",
        ]
    );
    let told = outcomes(&setup(&receiver("7d"), &["--overwrite"]));
    assert_eq!(told, ["replaced", "replaced", "unchanged", "unchanged"]);
    assert_eq!(
        ism.changed(),
        [(
            "mine-201.1.1".to_owned(),
            json!({"policy_id": "mine-daily"})
        )]
    );
    let index = opensearch
        .call(
            "POST",
            "/_index_template/_simulate_index/mine-2026.01.02",
            "",
        )
        .await;
    let template = &index["template"];
    assert_eq!(
        template["settings"]["index"]["refresh_interval"], "7s",
        "{index}"
    );
    assert_eq!(template["settings"]["index"]["codec"], "default", "{index}");
    let fields = &template["mappings"]["properties"];
    assert_eq!(
        (&fields["team"]["type"], &fields["count"]["type"]),
        (&json!("ip"), &json!("integer"))
    );
    assert_eq!(fields["reason"]["fields"]["keyword"]["type"], "keyword");
}

#[tokio::test]
async fn a_data_stream_gets_no_name_that_an_index_has() {
    let opensearch = OpenSearch::shared();
    opensearch.call("PUT", "/taken-name", "").await;
    let ism = Ism::before(&opensearch.url);
    let output = setup(&config(&ism.url, &[("os", "dataStream: taken-name")]), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = text(&output.stderr);
    assert!(
        told.contains("data stream taken-name: an index or an alias has this name"),
        "{told}"
    );
}

#[tokio::test]
async fn what_a_layout_writes_is_taken() {
    let opensearch = OpenSearch::shared();
    let layout = "layout: {\"@timestamp\": \"{{ .LastTimestamp }}\", source: \"{{ .Source.Component }}\", firstTimestamp: \"{{ .FirstTimestamp }}\", n: {reason: \"{{ .Reason }}\"}}";
    let options = format!("index: layouts, useEventID: true, setup: true, {layout}");
    let told = replay(&config(&opensearch.url, &[("os", &options)]), "layout");
    assert!(told.contains("5 deliveries taken, 0 rejected"), "{told}");
    let settings = opensearch.call("GET", "/layouts/_settings", "").await;
    let codec = &settings["layouts"]["settings"]["index"]["codec"];
    assert_eq!(codec, "best_compression", "it has the template: {settings}");
}

#[tokio::test]
async fn indices_of_days_months_and_years_have_templates_of_their_own() {
    let opensearch = OpenSearch::shared();
    let ism = Ism::before(&opensearch.url);
    let receivers = [
        ("day", "indexFormat: \"spans-{2006.01.02}\""),
        ("month", "indexFormat: \"spans-{2006.01}\""),
        ("year", "indexFormat: \"spans-{2006}\""),
    ];
    let config = config(&ism.url, &receivers);
    assert_eq!(outcomes(&setup(&config, &[])), vec!["created"; 12]);
    // Each leaves the indices of the others alone.
    assert_eq!(
        outcomes(&setup(&config, &["--overwrite"])),
        vec!["unchanged"; 12]
    );
    let changed = ism.changed().into_iter();
    let changed: Vec<_> = changed
        .map(|(index, body)| (index, body["policy_id"].clone()))
        .collect();
    let expected = [
        ("spans-201.1.1", "spans-daily"),
        ("spans-201.1", "spans-monthly"),
        ("spans-201", "spans-yearly"),
    ];
    assert_eq!(
        changed,
        expected.map(|(index, policy)| (index.to_owned(), policy.into()))
    );
}

#[tokio::test]
async fn before_the_first_event_everything_is_made() {
    let opensearch = OpenSearch::shared();
    // It has no policies: that is told, and holds nothing back.
    let config = config(
        &opensearch.url,
        &[("first", "dataStream: first-events, setup: true")],
    );
    let told = replay(&config, "first");
    assert_eq!(told.matches("setup is not complete").count(), 1, "{told}");
    assert!(told.contains("the server has no policies"), "{told}");
    assert_eq!(opensearch.count("first-events").await, 5);
    assert_eq!(types(opensearch, "first-events").await, template_types());
    let command = setup(&config, &[]);
    assert_eq!(command.status.code(), Some(1));
    assert!(
        text(&command.stderr)
            .contains("error: first: policy first-events: the server has no policies")
    );
    assert_eq!(text(&command.stdout).matches("unchanged").count(), 4);
}

#[tokio::test]
async fn fault_48_rights_that_are_missing_are_told_and_hold_nothing_back() {
    let (opensearch, user) = (OpenSearch::secure(), "installer");
    grant(user, false).await;
    let of = |target: &str| {
        let options = format!("{target}, setup: true, {}", as_user(user));
        config(&opensearch.url, &[("os", &options)])
    };
    let latest = of("index: kube-events-one, useEventID: true");
    let refused = setup(&latest, &[]);
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(
        told.contains("error: os: component template kube-events-one@default: refused: HTTP 403"),
        "{told}"
    );
    assert!(!told.contains(PASSWORD), "{told}");
    let log = replay(&latest, "denied");
    assert_eq!(log.matches("setup is not complete").count(), 1, "{log}");
    assert_eq!(opensearch.count("kube-events-one").await, 5);
    // Those of the documentation are enough.
    grant(user, true).await;
    let stream = of("dataStream: kube-events-made");
    for (config, made) in [(&latest, 3), (&stream, 4)] {
        let output = setup(config, &[]);
        let told = text(&output.stdout);
        assert_eq!(told.matches(": created").count(), made, "{output:?}");
    }
    replay(&stream, "allowed");
    assert_eq!(opensearch.count("kube-events-made").await, 5);
}

#[test]
fn what_would_be_sent_can_be_printed() {
    let receivers = [
        ("a", "indexFormat: \"e-{2006.01.02}\""),
        ("b", "dataStream: s"),
    ];
    let config = config("http://127.0.0.1:1", &receivers);
    let output = setup(&config, &["--print", "--receiver", "b"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    let requests: Vec<&str> = told.split("PUT /").skip(1).collect();
    assert_eq!(requests.len(), 5, "{told}");
    for request in requests {
        let (path, body) = request.split_once('\n').unwrap();
        let is_json = serde_json::from_str::<Value>(body.trim()).is_ok();
        assert_eq!(is_json, path != "_data_stream/s", "{path}: {body}");
    }
    for (config, options, words) in [
        (
            config.as_str(),
            &["--receiver", "c"][..],
            "there is no receiver `c` that writes to OpenSearch",
        ),
        (&config, &["--print", "--dry-run"], "cannot be used with"),
        (
            &config,
            &["--dry-run", "--receiver", "a"],
            "error: receiver a: http://127.0.0.1:1: no answer",
        ),
        (
            &config,
            &["--dashboards", "nowhere"],
            "error: --dashboards: a host is no URL",
        ),
        (
            "route: {match: [{receiver: o}]}\nreceivers: [{name: o, stdout: {}}]",
            &[],
            "there is nothing to set up",
        ),
        (
            "route: {match: [{receiver: o}]}\nreceivers: [{name: o, opensearch: {index: \"{{ .Namespace }}\"}}]",
            &[],
            "setup would be for `*`, and so for the indices of others",
        ),
    ] {
        let output = setup(config, options);
        assert!(!output.status.success());
        let told = text(&output.stderr);
        assert!(told.contains(words), "{told}");
    }
}
