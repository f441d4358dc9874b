//! Where credentials go.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{EVERYTHING, Release, check, values, with_receiver};

#[test]
fn every_credential_goes_into_the_secret() {
    let release = Release::of(&values(EVERYTHING), &[]);
    let credentials = release.credentials();
    for (key, value) in [
        // A number, as --set gives it, is not 1.2345678901e+10.
        ("elasticsearch.apiKey", "12345678901"),
        ("RECEIVER_OPENSEARCH_OPENSEARCH_HEADER_1_X_TENANT", "t0ken"),
        (
            "RECEIVER_OPENSEARCH_OPENSEARCH_HOST_0",
            "https://exporter:p$w@opensearch.logging:9200",
        ),
        (
            "slack.webhook",
            "https://hooks.slack.com/services/T0/B0/s3cret",
        ),
        (
            "teams.endpoint",
            "https://teams.example.com:8443/webhook/s3cret",
        ),
        ("loki.password", "true"),
        (
            "RECEIVER_HOOK_WEBHOOK_ENDPOINT",
            "https://user:s3cret@hook.example.com/x",
        ),
    ] {
        assert_eq!(
            credentials.get(key).map(String::as_str),
            Some(value),
            "{key}"
        );
    }
    let config = release.config();
    for secret in ["s3cret", "t0ken", "p$w", "12345678901"] {
        assert!(!config.contains(secret), "{config}");
    }
    // What refers to the environment, is made of the event or is no secret stays.
    for kept in [
        "Bearer ${TOKEN}",
        "${OPSGENIE_KEY}",
        "{{ .Reason }}",
        "application/json",
        "https://other.logging",
    ] {
        assert!(config.contains(kept), "{config}");
    }
    // Whatever stands for a credential is in the pod, as a file or as a variable: from our Secret, or from one that is there already.
    let (_, files) = release.files().unwrap();
    let environment = release.environment();
    for key in credentials.keys() {
        assert_ne!(
            files.contains_key(key),
            environment.contains_key(key),
            "{key}"
        );
    }
    assert_eq!(files["secret.password"], "given");
    let volumes = release.pod()["spec"]["volumes"].to_string();
    let whole = json!({"secret": {"name": "receivers-environment"}});
    let item = json!({"secret": {"name": "opensearch-login", "items": [{"key": "pass", "path": "secret.password"}]}});
    for source in [whole, item] {
        assert!(volumes.contains(&source.to_string()), "{volumes}");
    }
    let mounts = release.container()["volumeMounts"].to_string();
    assert!(
        !mounts.contains("subPath"),
        "it would never change: {mounts}"
    );
    let told = check(&release, &[("TOKEN", "t"), ("OPSGENIE_KEY", "k")]);
    assert_eq!(told, "");
}

/// The pods of before read the new configuration with the environment that they have.
#[test]
fn variables_of_a_receiver_are_never_those_of_another() {
    let variables = |names: &[&str]| {
        let receivers = names.iter().map(|name| {
            json!({"name": name, "webhook": {"endpoint": format!("https://u:{name}@hook.example.com")}})
        });
        let receivers: Vec<_> = receivers.collect();
        let rules = names.iter().map(|name| json!({"receiver": name}));
        let rules: Vec<_> = rules.collect();
        let config = json!({"receivers": receivers, "route": {"match": rules}});
        let release = Release::of(&json!({"config": config}).to_string(), &[]);
        assert_eq!(check(&release, &[]), "");
        let credentials = release.credentials().into_iter();
        credentials.map(|(name, value)| (value, name)).collect()
    };
    let before: BTreeMap<String, String> = variables(&["a", "a-b", "a.b", "A"]);
    assert_eq!(before.len(), 4);
    assert_eq!(before.values().collect::<BTreeSet<_>>().len(), 4);
    for (value, name) in variables(&["A", "a.b"]) {
        assert_eq!(before[&value], name);
    }
}

#[test]
fn files_of_credentials_have_the_names_of_their_receivers() {
    let file = |name: &str| {
        let values = with_receiver("opsgenie: {apiKey: s3cret, message: m}");
        let values = values.replace("name: r,", &format!("name: {name:?},"));
        let release = Release::of(
            &values.replace("receiver: r", &format!("receiver: {name:?}")),
            &[],
        );
        let (directory, files) = release.files().unwrap();
        let (file, contents) = files.into_iter().next().unwrap();
        assert_eq!(contents, "s3cret");
        let path = format!("apiKeyFile: {directory}/{file}\n");
        assert!(release.config().contains(&path), "{}", release.config());
        assert_eq!(check(&release, &[]), "");
        file
    };
    assert_eq!(file("on-call_1.b"), "on-call_1.b.apiKey");
    // No file can have these, and one that all of them had would be another's.
    let odd = ["on call", "on/call", "..", &"a".repeat(300)].map(file);
    let different: BTreeSet<&String> = odd.iter().collect();
    assert_eq!(different.len(), odd.len(), "{odd:?}");
    let here = "credentialsMountPath: /secrets\n".to_owned()
        + &with_receiver("slack: {message: m, token: t}");
    assert!(
        Release::of(&here, &[])
            .config()
            .contains("tokenFile: /secrets/r.token")
    );
    // Whoever brings the configuration may use the files too.
    let own = Release::of(
        "existingConfigMap: a\nexistingSecret: b\nrbac: {create: false}",
        &[],
    );
    let (directory, files) = own.files().unwrap();
    assert_eq!(
        (directory, files.len()),
        ("/etc/kubernetes-event-exporter/credentials", 0)
    );
}

#[test]
fn what_is_a_credential_means_what_it_meant() {
    for (receiver, secret) in [
        // In a configuration two dollars are one.
        (
            "opensearch: {index: i, username: u, password: \"pa$$word\"}",
            "pa$word",
        ),
        (
            "opensearch: {index: i, username: u, password: \"p$w\"}",
            "p$w",
        ),
        (
            "opensearch: {index: i, username: u, password: \"ab${Xs3cret\"}",
            "ab${Xs3cret",
        ),
        (
            "opensearch: {index: i, hosts: \"HTTPS://u:s3cret@h\"}",
            "HTTPS://u:s3cret@h",
        ),
        (
            "webhook: {endpoint: \"https://chat/x?key=s3cret\"}",
            "https://chat/x?key=s3cret",
        ),
        (
            "webhook: {endpoint: \"https://d/api/0123456789abcdef0\"}",
            "https://d/api/0123456789abcdef0",
        ),
        (
            "loki: {url: \"http://l/?token=s3cret\", streamLabels: {a: b}}",
            "http://l/?token=s3cret",
        ),
        (
            "opsgenie: {message: m, apiKey: \"${K}\", URL: \"https://u:s3cret@h\"}",
            "https://u:s3cret@h",
        ),
    ] {
        let release = Release::of(&with_receiver(receiver), &[]);
        let found = release.credentials();
        assert!(
            found.values().any(|it| it == secret),
            "{receiver}: {found:?}"
        );
        assert!(
            !release.config().contains(secret),
            "{receiver}: {}",
            release.config()
        );
    }
    // What refers to a variable has nothing to hide.
    for receiver in [
        "webhook: {endpoint: \"https://h/x\", headers: {Authorization: \"Bearer $TOKEN\"}}",
        "opensearch: {index: i, hosts: \"https://$USER:$PASS@h:9200\"}",
        "opensearch: {index: i, username: u, password: \"${PASSWORD:-}\"}",
    ] {
        let release = Release::of(&with_receiver(receiver), &[]);
        let kept = receiver.split('"').rfind(|it| it.contains('$')).unwrap();
        assert!(
            release.config().contains(kept),
            "{receiver}: {}",
            release.config()
        );
    }
    // Each header has a variable of its own.
    let two = "webhook: {endpoint: \"https://h\", headers: {X-Key: one, X_Key: two}}";
    let found = Release::of(&with_receiver(two), &[]).credentials();
    let found: BTreeSet<&str> = found.values().map(String::as_str).collect();
    assert_eq!(found, BTreeSet::from(["one", "two"]));
    let teams = "teams: {}, existingSecret: {name: s, endpointKey: url}";
    let release = Release::of(&with_receiver(teams), &[]);
    assert!(
        release
            .config()
            .contains("endpointFile: /etc/kubernetes-event-exporter/credentials/r.endpoint")
    );
}

#[test]
fn a_configuration_may_be_a_text() {
    let release = Release::of(
        "config: |\n  clusterName: {{ .Release.Name }}\n  route: {match: [{receiver: a}]}\n  receivers: [{name: a, opensearch: {index: x, username: u, password: s3cret}}]\n",
        &[],
    );
    assert!(
        release
            .config()
            .contains("clusterName: events-to-opensearch")
    );
    assert!(!release.config().contains("s3cret"));
    assert_eq!(release.credentials()["a.password"], "s3cret");
    assert_eq!(check(&release, &[]), "");
    // A map does not go through tpl: layouts would be empty.
    let layout = "config: {route: {match: [{receiver: a}]}, receivers: [{name: a, stdout: {layout: {m: \"{{ .Message }}\"}}}]}";
    assert!(Release::of(layout, &[]).config().contains("{{ .Message }}"));
}
