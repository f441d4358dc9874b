use std::time::Duration;

use serde_json::json;

use super::plan::Plan;
use super::step::{Existing, Step};
use super::*;
use crate::sink::testing::{Answer, Request, Server};

mod first;
mod plan;

const MISSING: &str = include_str!("../../../../tests/vectors/ism/missing.json");
const ABSENT: &str = include_str!("../../../../tests/vectors/ism/absent.json");
const THERE: &str = include_str!("../../../../tests/vectors/ism/there.json");
const PUT: &str = include_str!("../../../../tests/vectors/ism/put.json");
const CREATED: &str = include_str!("../../../../tests/vectors/ism/created.json");
const EXISTS: &str = include_str!("../../../../tests/vectors/ism/exists.json");
const STALE: &str = include_str!("../../../../tests/vectors/ism/stale.json");
const REPLACED: &str = include_str!("../../../../tests/vectors/ism/replaced.json");
const CHANGED: &str = include_str!("../../../../tests/vectors/ism/changed.json");
const EXPLAINED: &str = include_str!("../../../../tests/vectors/ism/explained.json");
const SAME_PATTERN: &str = include_str!("../../../../tests/vectors/ism/same-pattern.json");

const DAILY: &str = "indexFormat: \"kube-events-{2006.01.02}\"";
const STREAM: &str = "dataStream: kube-events";

fn config(text: &str) -> OpenSearchConfig {
    crate::yaml::parse(text, &|_| None).unwrap().value
}

fn plan_of(text: &str, dialect: Dialect) -> Plan {
    Plan::new(&config(text), dialect).unwrap()
}

fn answer(status: u16, body: &str) -> Answer {
    Answer::Status(
        status,
        "content-type: application/json\r\n",
        body.to_owned(),
    )
}

/// What a server says of something that it does not have, and of something that it has taken.
fn makes(count: usize) -> Vec<Answer> {
    let made = [answer(404, "{}"), answer(200, "{\"acknowledged\":true}")];
    std::iter::repeat_n(made, count).flatten().collect()
}

/// Runs it on a server that answers in this order; what is told, and what was asked.
async fn run_on(
    answers: Vec<Answer>,
    text: &str,
    dialect: Dialect,
    mode: Mode,
) -> (Vec<String>, Vec<Request>) {
    let server = Server::start(answers).await;
    let config = config(&format!("hosts: {}\n{text}", server.url));
    let setup = Setup::new(&config, dialect, Duration::from_secs(2)).unwrap();
    let reports = setup.run(mode).await.unwrap();
    let told = reports.iter().map(Report::to_string).collect();
    (told, server.requests())
}

fn lines(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|one| one.line.as_str()).collect()
}

const OVERWRITE: Mode = Mode {
    overwrite: true,
    dry_run: false,
};

#[tokio::test]
async fn the_policy_comes_first_and_then_what_it_takes() {
    let answers = [vec![answer(404, MISSING), answer(201, CREATED)], makes(4)];
    let (told, asked) = run_on(
        answers.concat(),
        STREAM,
        Dialect::OpenSearch,
        Mode::default(),
    )
    .await;
    assert_eq!(
        told,
        [
            "policy kube-events: created",
            "component template kube-events@default: created",
            "component template kube-events@custom: created",
            "index template kube-events: created",
            "data stream kube-events: created",
        ]
    );
    assert_eq!(
        lines(&asked),
        [
            "GET /_plugins/_ism/policies/kube-events",
            "PUT /_plugins/_ism/policies/kube-events",
            "GET /_component_template/kube-events@default",
            "PUT /_component_template/kube-events@default",
            "GET /_component_template/kube-events@custom",
            "PUT /_component_template/kube-events@custom",
            "GET /_index_template/kube-events",
            "PUT /_index_template/kube-events",
            "GET /_data_stream/kube-events",
            "PUT /_data_stream/kube-events",
        ]
    );
    for request in &asked {
        let json = "content-type:application/json".to_owned();
        assert!(request.headers.contains(&json), "{:?}", request.headers);
    }
    assert_eq!(asked[0].body, "");
    assert_eq!(asked[9].body, "", "a data stream has no body");
}

#[tokio::test]
async fn an_index_becomes_an_alias_that_rolls_over() {
    let answers = [
        vec![
            answer(404, "{}"),
            answer(404, MISSING),
            answer(201, CREATED),
        ],
        makes(4),
    ];
    let (told, asked) = run_on(
        answers.concat(),
        "index: kube-events",
        Dialect::OpenSearch,
        Mode::default(),
    )
    .await;
    assert_eq!(told.last().unwrap(), "alias kube-events: created");
    assert_eq!(asked[0].line, "GET /kube-events/_alias");
    let [.., template, look, first] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!(look.line, "GET /kube-events/_alias");
    assert_eq!(first.line, "PUT /kube-events-000001");
    assert_eq!(
        first.body,
        r#"{"aliases":{"kube-events":{"is_write_index":true}}}"#
    );
    assert!(
        template.body.contains(r#""rollover_alias":"kube-events""#),
        "{template:?}"
    );
}

/// Nobody can put an alias where events are already.
#[tokio::test]
async fn an_index_that_is_there_stays_one() {
    let there = answer(200, r#"{"kube-events":{"aliases":{}}}"#);
    let (told, asked) = run_on(
        [vec![there], makes(3)].concat(),
        "index: kube-events",
        Dialect::OpenSearch,
        Mode::default(),
    )
    .await;
    assert!(told[0].starts_with("kube-events: is an index"), "{told:?}");
    assert_eq!(told.len(), 4);
    assert!(
        asked.iter().all(|one| !one.line.contains("_ism")),
        "{asked:?}"
    );
    assert!(!asked[6].body.contains("rollover_alias"), "{asked:?}");
}

#[tokio::test]
async fn without_policies_the_rest_is_made() {
    for dialect in [Dialect::OpenSearch, Dialect::Elasticsearch] {
        let answers = [vec![answer(404, "{}"), answer(400, ABSENT)], makes(3)];
        let text = "index: kube-events";
        let (told, asked) = run_on(answers.concat(), text, dialect, Mode::default()).await;
        assert!(told[0].contains("the server has no policies"), "{told:?}");
        assert_eq!(told.len(), 4, "no alias: {told:?}");
        let template = &asked.last().unwrap().body;
        assert!(!template.contains("settings"), "{template}");
    }
}

#[tokio::test]
async fn what_is_refused_ends_what_would_follow() {
    let no = || answer(403, r#"{"error":"no permissions for [x]"}"#);
    let (told, asked) = run_on(
        vec![no(), no()],
        STREAM,
        Dialect::OpenSearch,
        Mode::default(),
    )
    .await;
    let words = "refused: HTTP 403: {\"error\":\"no permissions for [x]\"}";
    assert_eq!(
        told,
        [
            format!("policy kube-events: {words}"),
            format!("component template kube-events@default: {words}")
        ]
    );
    assert_eq!(asked.len(), 2, "{asked:?}");
    // Reading is one right, writing another.
    let (told, _) = run_on(
        [
            vec![answer(404, MISSING), answer(400, SAME_PATTERN)],
            makes(4),
        ]
        .concat(),
        STREAM,
        Dialect::OpenSearch,
        Mode::default(),
    )
    .await;
    assert!(
        told[0].contains("please use a different priority"),
        "{told:?}"
    );
    assert_eq!(told.len(), 5);
}

/// As a server has it that was given `body`.
fn stored(body: &Value) -> String {
    let mut there: Value = serde_json::from_str(THERE).unwrap();
    let mut policy = body["policy"].clone();
    for (key, value) in there["policy"].as_object().unwrap() {
        policy
            .as_object_mut()
            .unwrap()
            .entry(key)
            .or_insert_with(|| value.clone());
    }
    policy["ism_template"][0]["last_updated_time"] = 1.into();
    there["policy"] = policy;
    there.to_string()
}

#[tokio::test]
async fn a_policy_that_is_there_is_replaced_only_when_told() {
    let policy = plan_of(DAILY, Dialect::OpenSearch).policy().unwrap();
    let templates = || vec![answer(403, ""), answer(403, "")];
    let run = async |first: Vec<Answer>, mode| {
        let answers = [first, templates()].concat();
        let (told, asked) = run_on(answers, DAILY, Dialect::OpenSearch, mode).await;
        let told = told[0].rsplit_once("daily: ").unwrap().1.to_owned();
        (told, asked)
    };
    let same = answer(200, &stored(&policy.body));
    let (told, asked) = run(vec![same.clone()], Mode::default()).await;
    assert_eq!((told.as_str(), asked.len()), ("unchanged", 2));
    // The one before may not have come so far.
    let explained = || answer(200, EXPLAINED);
    let again = |then: Vec<Answer>| [vec![same.clone(), explained()], then].concat();
    let (told, asked) = run(again(vec![answer(200, CHANGED)]), OVERWRITE).await;
    assert_eq!(told, "unchanged");
    assert_eq!(
        lines(&asked)[1..3],
        [
            "GET /_plugins/_ism/explain/kube-events-20*.*.*",
            "POST /_plugins/_ism/change_policy/kube-events-2026.01.02",
        ]
    );
    let (told, _) = run(again(vec![answer(403, "no")]), OVERWRITE).await;
    assert_eq!(told, "refused: HTTP 403: no");
    let (told, _) = run(vec![same.clone(), answer(403, "nor this")], OVERWRITE).await;
    assert_eq!(told, "refused: HTTP 403: nor this");
    let (told, _) = run(vec![same.clone(), answer(404, "{}")], OVERWRITE).await;
    assert_eq!(told, "unchanged");
    let reason = "Index already has a pending transition";
    for (reason, expected) in [
        ("This index is not being managed", "unchanged".to_owned()),
        (
            reason,
            format!(
                "refused: it is there, but kube-events-2026.01.02 keeps the one that it has: {reason} (once more with --overwrite)"
            ),
        ),
    ] {
        let failed = json!({"updated_indices": 3, "failures": true, "failed_indices": [
            {"index_name": "kube-events-2026.01.02", "index_uuid": "u", "reason": reason}
        ]});
        let failed = answer(200, &failed.to_string());
        let (told, _) = run(again(vec![failed]), OVERWRITE).await;
        assert_eq!(told, expected);
    }

    let mut other = policy.body.clone();
    other["policy"]["states"][0]["transitions"][0]["conditions"]["min_index_age"] = "7d".into();
    let other = answer(200, &stored(&other));
    let (told, asked) = run(vec![other.clone()], Mode::default()).await;
    assert_eq!(
        told,
        "differs in states[0].transitions[0].conditions.min_index_age (use --overwrite)"
    );
    assert!(
        asked.iter().all(|one| one.line.starts_with("GET ")),
        "{asked:?}"
    );

    let replaced = vec![
        other.clone(),
        answer(200, REPLACED),
        explained(),
        answer(200, CHANGED),
    ];
    let (told, asked) = run(replaced, OVERWRITE).await;
    assert_eq!(told, "replaced");
    assert_eq!(
        lines(&asked)[1..4],
        [
            "PUT /_plugins/_ism/policies/kube-events-daily?if_seq_no=26&if_primary_term=1",
            "GET /_plugins/_ism/explain/kube-events-20*.*.*",
            "POST /_plugins/_ism/change_policy/kube-events-2026.01.02",
        ]
    );
    assert_eq!(asked[3].body, r#"{"policy_id":"kube-events-daily"}"#);

    // Somebody else was there meanwhile.
    let (told, _) = run(vec![other, answer(409, STALE)], OVERWRITE).await;
    assert!(told.starts_with("refused: HTTP 409"), "{told}");
    let faster = || vec![answer(404, MISSING), answer(409, EXISTS), same.clone()];
    let (told, _) = run(faster(), OVERWRITE).await;
    assert_eq!(told, "unchanged");
}

#[tokio::test]
async fn what_has_the_name_of_a_data_stream_is_none() {
    let there = vec![answer(404, MISSING), answer(201, CREATED)];
    let answers = [there, makes(3), vec![answer(200, r#"{"data_streams":[]}"#)]].concat();
    let (told, asked) = run_on(answers, STREAM, Dialect::OpenSearch, Mode::default()).await;
    let last = told.last().unwrap();
    assert!(
        last.starts_with("data stream kube-events: an index or an alias has this name"),
        "{told:?}"
    );
    assert_eq!(asked.last().unwrap().line, "GET /_data_stream/kube-events");
}

#[tokio::test]
async fn an_index_that_lacks_its_alias_is_no_alias() {
    let exists = r#"{"error":{"type":"resource_already_exists_exception","reason":"index [kube-events-000001/x] already exists"}}"#;
    let no = || answer(404, "{}");
    let answers = [
        vec![no(), answer(404, MISSING), answer(201, CREATED)],
        makes(3),
        vec![no(), answer(400, exists), no()],
    ];
    let of = "index: kube-events";
    let (told, _) = run_on(answers.concat(), of, Dialect::OpenSearch, Mode::default()).await;
    assert_eq!(
        told.last().unwrap(),
        "alias kube-events: refused: HTTP 400: resource_already_exists_exception: index [kube-events-000001/x] already exists"
    );
}

#[test]
fn a_template_that_makes_no_data_stream_is_another() {
    let step = plan_of(STREAM, Dialect::OpenSearch).steps(true).remove(2);
    let there = |stream: Value| {
        let mut template = step.body.clone();
        template["data_stream"] = stream;
        let answer =
            json!({"index_templates": [{"name": "kube-events", "index_template": template}]});
        Existing::read(answer.to_string().as_bytes()).difference(&step)
    };
    assert_eq!(
        there(json!({"timestamp_field": {"name": "@timestamp"}})),
        None
    );
    assert_eq!(there(Value::Null).as_deref(), Some("data_stream"));
}

/// Those that are there may name the policy that may not be looked at.
#[tokio::test]
async fn a_policy_that_may_not_be_seen_stays_in_the_templates_that_are_replaced() {
    let answers = [vec![answer(403, "no")], makes(3)].concat();
    for (mode, named) in [(OVERWRITE, true), (Mode::default(), false)] {
        let (_, asked) = run_on(answers.clone(), DAILY, Dialect::Elasticsearch, mode).await;
        let template = asked.last().unwrap();
        assert_eq!(template.line, "PUT /_index_template/kube-events-daily");
        assert_eq!(template.body.contains("lifecycle"), named, "{template:?}");
    }
}

#[test]
fn many_indices_are_told_by_several_requests() {
    let index = |at: usize| {
        let policy = json!({"index.plugins.index_state_management.policy_id": "p"});
        (format!("kube-events-{at:04}"), policy)
    };
    let explained: serde_json::Map<_, _> = (0..400).map(index).collect();
    let paths = step::governed(Value::Object(explained).to_string().as_bytes(), "p");
    assert!(paths.iter().all(|path| path.len() < 3500), "{paths:?}");
    let names = paths.iter().flat_map(|path| path.split(','));
    assert_eq!((paths.len(), names.count()), (3, 400));
}

#[test]
fn what_a_server_adds_to_a_policy_is_no_difference() {
    let mut step = plan_of(DAILY, Dialect::OpenSearch).policy().unwrap();
    step.body = serde_json::from_str(PUT).unwrap();
    let existing = Existing::read(THERE.as_bytes());
    assert_eq!(existing.difference(&step), None);
    step.body["policy"]["states"][0]["actions"][0]["rollover"]["min_doc_count"] = 4.into();
    assert_eq!(
        existing.difference(&step).as_deref(),
        Some("states[0].actions[0].rollover.min_doc_count")
    );
}

#[test]
fn a_template_of_another_exporter_is_known_by_its_version() {
    let template = |plan: &Plan| -> Step { plan.steps(true).remove(2) };
    let step = template(&plan_of(DAILY, Dialect::OpenSearch));
    let there = |edit: &dyn Fn(&mut Value)| {
        let mut there = step.body.clone();
        edit(&mut there);
        let answer = json!({"index_templates": [{"name": "x", "index_template": there}]});
        Existing::read(answer.to_string().as_bytes())
    };
    let same = there(&|template| template["template"] = json!({"aliases": {"mine": {}}}));
    assert_eq!(
        same.difference(&step),
        None,
        "what is there besides is a wish"
    );
    for version in [0, 2] {
        let other = there(&|template| template["version"] = version.into());
        assert_eq!(other.difference(&step).as_deref(), Some("version"));
        assert_eq!(other.version_of_ours(&step), Some(version));
    }
    let foreign = there(&|template| {
        template["version"] = 7.into();
        template["_meta"] = json!({});
    });
    assert_eq!(foreign.version_of_ours(&step), None);
    let older = Outcome::Differs {
        at: String::new(),
        version: Some(0),
    };
    assert_eq!(
        older.to_string(),
        "is an older exporter's (use --overwrite)"
    );
}

#[tokio::test]
async fn elasticsearch_has_lifecycles() {
    let (told, asked) = run_on(makes(6), STREAM, Dialect::Elasticsearch, Mode::default()).await;
    assert_eq!(told[0], "policy kube-events: created");
    assert_eq!(
        lines(&asked)[..2],
        [
            "GET /_ilm/policy/kube-events",
            "PUT /_ilm/policy/kube-events"
        ]
    );
    let policy: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!(
        policy["policy"]["phases"],
        json!({
            "hot": {"actions": {"rollover": {"max_age": "1d", "max_primary_shard_size": "20gb"}}},
            "delete": {"min_age": "30d", "actions": {"delete": {}}}
        })
    );
    // As Elasticsearch 8 tells it.
    let mut stored = policy["policy"].clone();
    stored["phases"]["hot"]["min_age"] = "0ms".into();
    stored["phases"]["delete"]["actions"]["delete"]["delete_searchable_snapshot"] = true.into();
    let there = json!({"kube-events": {"version": 1, "modified_date": "2026-01-01T00:00:00.000Z", "policy": stored}});
    let step = plan_of(STREAM, Dialect::Elasticsearch).policy().unwrap();
    let existing = Existing::read(there.to_string().as_bytes());
    assert_eq!(existing.difference(&step), None);
    let template: Value = serde_json::from_str(&asked[7].body).unwrap();
    assert_eq!(
        template["template"],
        json!({"settings": {"index": {"lifecycle": {"name": "kube-events"}}}})
    );
    assert!(asked[3].body.contains("flattened") && !asked[3].body.contains("flat_object"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_no_refusal() {
    let server = Server::start(vec![answer(503, "{}")]).await;
    let dead = "http://127.0.0.1:1";
    let config = config(&format!(
        "hosts: [\"{dead}\", \"{}\"]\n{STREAM}",
        server.url
    ));
    let setup = Setup::new(&config, Dialect::OpenSearch, Duration::from_secs(2)).unwrap();
    let error = setup.run(Mode::default()).await.unwrap_err();
    assert_eq!(
        (error.kind, error.status),
        (SendErrorKind::Transient, Some(503))
    );
}

#[tokio::test]
async fn nothing_is_asked_of_amazons_serverless() {
    let text = "hosts: \"https://x.eu-west-1.aoss.amazonaws.com\"\nindex: e\nsetup: true";
    let setup = Setup::new(&config(text), Dialect::OpenSearch, Duration::from_secs(2)).unwrap();
    let reports = setup.run(Mode::default()).await.unwrap();
    assert_eq!(reports[0].outcome, Outcome::Serverless);
    let mut warnings = Vec::new();
    lint(&config(text), &mut warnings);
    assert!(
        warnings[0]
            .message
            .contains("does nothing on Amazon's serverless"),
        "{warnings:?}"
    );
}
