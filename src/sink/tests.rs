//! What sinks have in common.

use std::fs;
use std::path::{Path, PathBuf};

use super::testing::{SETTINGS, Server, event, events};
use super::*;
use crate::config::{Config, ReceiverConfig};

/// Every key of a sink that may come from a file: the rest of the sink, the key, and where the credential is in a request; of
/// a URL the credential is a path.
const CREDENTIALS: [(&str, &str, &str); 18] = [
    (
        "opensearch: {index: i, hosts: URL, password: p",
        "username",
        "Basic",
    ),
    (
        "opensearch: {index: i, hosts: URL, username: u",
        "password",
        "Basic",
    ),
    ("opensearch: {index: i, hosts: URL", "apiKey", "ApiKey"),
    ("opensearch: {index: i, hosts: URL", "bearerToken", "Bearer"),
    (
        "elasticsearch: {index: i, hosts: URL, password: p",
        "username",
        "Basic",
    ),
    (
        "elasticsearch: {index: i, hosts: URL, username: u",
        "password",
        "Basic",
    ),
    ("elasticsearch: {index: i, hosts: URL", "apiKey", "ApiKey"),
    (
        "elasticsearch: {index: i, hosts: URL",
        "bearerToken",
        "Bearer",
    ),
    ("webhook: {endpoint: URL, password: p", "username", "Basic"),
    ("webhook: {endpoint: URL, username: u", "password", "Basic"),
    ("webhook: {endpoint: URL", "bearerToken", "Bearer"),
    (
        "loki: {url: URL, streamLabels: {a: b}, password: p",
        "username",
        "Basic",
    ),
    (
        "loki: {url: URL, streamLabels: {a: b}, username: u",
        "password",
        "Basic",
    ),
    (
        "loki: {url: URL, streamLabels: {a: b}",
        "bearerToken",
        "Bearer",
    ),
    ("opsgenie: {URL: URL, message: m", "apiKey", "GenieKey"),
    (
        "slack: {endpoint: URL, channel: c, message: m",
        "token",
        "Bearer",
    ),
    ("slack: {message: m", "webhook", "URL"),
    ("teams: {layout: {text: t}", "endpoint", "URL"),
];

fn receiver(sink: &str) -> ReceiverConfig {
    let text = format!("route: {{match: [{{receiver: a}}]}}\nreceivers:\n- name: a\n  {sink}\n");
    let loaded = Config::parse(&text, &|_| None).unwrap();
    assert_eq!(loaded.warnings, [], "{text}");
    loaded.config.receivers.into_iter().next().unwrap()
}

/// The beginning of a sink with the URL of its server.
fn to(sink: &str, url: &str) -> String {
    sink.replace(": URL", &format!(": \"{url}\""))
}

fn build(sink: &str) -> Result<Box<dyn Sink>, String> {
    let built = receiver(sink).sink.build(SETTINGS);
    built.map_err(|problems| problems.to_string())
}

/// Where the first request goes, and as whom.
async fn asked(sink: &str, server: &Server) -> String {
    let sink = build(sink).unwrap();
    // What the server says to it is another matter.
    let _ = sink.send(&events("a")).await;
    let request = server.requests().remove(0);
    let access = request
        .headers
        .iter()
        .find(|header| header.starts_with("authorization:"));
    format!("{} {access:?}", request.line)
}

#[tokio::test]
async fn fault_10_a_credential_in_a_file_is_as_good_as_one_that_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credential");
    for (sink, key, scheme) in CREDENTIALS {
        let mut seen = Vec::new();
        for secret in ["a-first-long-s3cret", "a-second-long-s3cret"] {
            // Each asks a server of its own.
            let (one, other) = (Server::start(vec![]).await, Server::start(vec![]).await);
            let value = |server: &Server| match scheme {
                "URL" => format!("{}/{secret}", server.url),
                _ => secret.to_owned(),
            };
            let given = format!("{}, {key}: \"{}\"}}", to(sink, &one.url), value(&one));
            fs::write(&file, format!("{}\n", value(&other))).unwrap();
            let filed = format!("{}, {key}File: {}}}", to(sink, &other.url), file.display());
            let expected = asked(&given, &one).await;
            assert!(expected.contains(scheme) || scheme == "URL", "{expected}");
            assert_eq!(asked(&filed, &other).await, expected, "{sink} {key}");
            let shown = build(&filed).unwrap().preview(&event('a')).unwrap();
            let shown = serde_json::to_string(&shown).unwrap();
            assert!(!shown.contains("s3cret"), "{shown}");
            seen.push(expected);
        }
        // Built again, a sink has what the file has by then.
        assert_ne!(seen[0], seen[1], "{sink} {key}");
    }
}

#[test]
fn what_is_wrong_with_a_file_or_with_two_keys_is_told_where_it_stands() {
    for (sink, key, _) in CREDENTIALS {
        let sink = to(sink, "http://h");
        let kind = sink.split(':').next().unwrap();
        let told = build(&format!("{sink}, {key}File: /nowhere/s3cret}}"))
            .err()
            .unwrap();
        let place = format!("receivers[0].{kind}.{key}File: cannot read /nowhere/s3cret: ");
        assert!(told.starts_with("4:") && told.contains(&place), "{told}");
        assert!(
            !told.contains("; 4:"),
            "nothing that follows from it: {told}"
        );
        let told = build(&format!(
            "{sink}, {key}: \"http://h/s3cret\", {key}File: /s3cret}}"
        ));
        let expected = format!("receivers[0].{kind}.{key}File: give either `{key}` or `{key}File`");
        assert!(
            told.as_ref().err().unwrap().ends_with(&expected),
            "{:?}",
            told.err()
        );
    }
    for (sink, told) in [
        (
            "opensearch: {index: i, usernameFile: /a, passwordFile: /b, apiKeyFile: /c}",
            "apiKeyFile: give either `usernameFile` or `apiKeyFile`",
        ),
        (
            "opensearch: {index: i, hosts: \"http://u:p@h\", apiKeyFile: /b}",
            "hosts: give either a user in `hosts` or `apiKeyFile`",
        ),
    ] {
        let error = build(sink).err().unwrap();
        assert!(error.contains(told), "{error}");
    }
    // All of them at once.
    let told = build(
        "webhook: {endpoint: \"http://h\", usernameFile: /a, passwordFile: /b, tls: {caFile: /c}}",
    );
    let told = told.err().unwrap();
    for file in ["/a", "/b", "/c"] {
        assert!(told.contains(&format!("{file}: No such file")), "{told}");
    }
}

#[test]
fn a_sink_knows_the_files_that_it_is_made_of() {
    let tls = ", tls: {caFile: /ca, certFile: cert, keyFile: /key}}";
    let of_tls = ["/ca", "cert", "/key"].map(PathBuf::from);
    for (sink, key, _) in CREDENTIALS {
        let sink = format!("{}, {key}File: /c{tls}", to(sink, "http://h"));
        let expected = [&[PathBuf::from("/c")], &of_tls[..]].concat();
        assert_eq!(receiver(&sink).files(), expected, "{sink}");
    }
    for sink in [
        "stdout: {}",
        "file: {path: /x}",
        "pipe: {path: /x}",
        "syslog: {}",
    ] {
        assert_eq!(receiver(sink).files(), [] as [&Path; 0], "{sink}");
    }
    let given = "webhook: {endpoint: \"http://h\", username: u, password: p, passwordFile: \"\"}";
    assert_eq!(receiver(given).files(), [] as [&Path; 0]);
}
