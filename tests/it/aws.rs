//! Requests that are signed for Amazon, as a server that checks signatures and hands out credentials sees them.
//!
//! The checker follows AWS' description of Signature Version 4, and shares no code with what signs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use futures::FutureExt as _;
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{EXPORTER, lines, text};

/// Everything of Amazon's that is talked to.
struct Amazon {
    url: String,
    state: Arc<Mutex<Known>>,
    _serving: JoinSet<std::io::Result<()>>,
}

#[derive(Default)]
struct Known {
    /// Keys that are good, by their ids: the secret, and the token of the session.
    keys: BTreeMap<String, (String, String)>,
    /// The ids of the keys that requests were signed with.
    used: BTreeSet<String>,
    /// What went wrong.
    wrong: Vec<String>,
    documents: usize,
    /// What is signed for.
    scope: String,
    /// How many keys were handed out.
    handed_out: usize,
    /// The first keys are worth nothing by the time that they are used.
    first_is_revoked: bool,
    /// The secret that whoever wants keys has to show.
    shown: Vec<String>,
}

impl Amazon {
    async fn start(scope: &str) -> Self {
        let state = Arc::new(Mutex::new(Known {
            scope: scope.to_owned(),
            ..Known::default()
        }));
        let app = axum::Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await });
        Self {
            url,
            state,
            _serving: serving,
        }
    }

    /// Sends three events, in an environment that has these variables and no others of AWS.
    async fn send(&self, aws: &str, env: &[(&str, String)]) -> Output {
        let folder = TempDir::new().unwrap();
        self.command(&folder, aws, env).output().await.unwrap()
    }

    fn command(&self, folder: &TempDir, aws: &str, env: &[(&str, String)]) -> Command {
        let config = format!(
            "route: {{match: [{{receiver: amazon}}]}}
receivers:
- name: amazon
  retry: {{initial: 50ms, max: 200ms}}
  opensearch: {{hosts: '{}', index: events, aws: {aws}}}
",
            self.url
        );
        let path = folder.path().join("config.yaml");
        fs::write(&path, config).unwrap();
        let events = folder.path().join("events.jsonl");
        fs::write(&events, lines("event", 3, "Back-off, again: é")).unwrap();
        let mut command = Command::new(&*EXPORTER);
        command
            .arg("replay")
            .arg(&path)
            .arg("--events")
            .arg(&events)
            .env_remove("AWS_PROFILE")
            .env("HOME", folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    async fn takes_all(&self, aws: &str, env: &[(&str, String)]) {
        let output = self.send(aws, env).await;
        let state = self.state.lock().unwrap();
        assert!(
            output.status.success() && state.documents == 3,
            "{}: {:?}",
            text(&output.stderr),
            state.wrong
        );
    }
}

impl Known {
    /// Makes keys, as AWS' services write them.
    fn hand_out(&mut self) -> (String, String, String) {
        self.handed_out += 1;
        let id = format!("AKID{}", self.handed_out);
        let keys = (format!("secret/{id}"), format!("token+{id}/="));
        if !(self.first_is_revoked && self.handed_out == 1) {
            self.keys.insert(id.clone(), keys.clone());
        }
        (id, keys.0, keys.1)
    }

    fn hand_out_json(&mut self) -> String {
        let (id, secret, token) = self.hand_out();
        let expiration = expiration();
        json!({
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
            "AccessKeyId": id, "SecretAccessKey": secret, "Token": token, "Expiration": expiration,
        })
        .to_string()
    }

    /// Why a request is not to be trusted, if it isn't.
    fn check(
        &mut self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), String> {
        let header = |name: &str| {
            let value = headers.get(name).ok_or(format!("no {name}"))?;
            value.to_str().map_err(|_| format!("odd {name}"))
        };
        let authorization = header("authorization")?;
        let fields = authorization
            .strip_prefix("AWS4-HMAC-SHA256 ")
            .ok_or("not signed")?;
        let fields: BTreeMap<&str, &str> = fields
            .split(", ")
            .filter_map(|field| field.split_once('='))
            .collect();
        let (id, scope) = fields["Credential"].split_once('/').ok_or("no scope")?;
        let date = header("x-amz-date")?;
        let day = &date[..8];
        if scope != format!("{day}/{}/aws4_request", self.scope) {
            return Err(format!("signed for {scope}"));
        }
        let (secret, token) = self.keys.get(id).ok_or(format!("{id} is revoked"))?;
        if !token.is_empty() && header("x-amz-security-token")? != token {
            return Err("another session".to_owned());
        }
        let signed: Vec<&str> = fields["SignedHeaders"].split(';').collect();
        for name in [
            "host",
            "x-amz-content-sha256",
            "x-amz-date",
            "content-type",
            "content-encoding",
        ] {
            if !signed.contains(&name) {
                return Err(format!("{name} is not signed"));
            }
        }
        let mut canonical = format!("{method}\n{}\n{}\n", uri.path(), canonical_query(uri));
        for name in &signed {
            let _ = writeln!(canonical, "{name}:{}", header(name)?.trim());
        }
        let payload = hex(digest::digest(&digest::SHA256, body).as_ref());
        let _ = write!(canonical, "\n{}\n{payload}", signed.join(";"));
        if header("x-amz-content-sha256")? != payload {
            return Err("another body".to_owned());
        }
        let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part);
        }
        if fields["Signature"] != hex(&mac(&key, &to_sign)) {
            return Err(format!("the signature does not fit\n{canonical}"));
        }
        self.used.insert(id.to_owned());
        Ok(())
    }
}

async fn answer(
    State(state): State<Arc<Mutex<Known>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let (status, body) = answered(&mut state.lock().unwrap(), &method, &uri, &headers, &body);
    // Of the machine's metadata; the others don't care.
    (
        status,
        [("x-aws-ec2-metadata-token-ttl-seconds", "60")],
        body,
    )
}

fn answered(
    state: &mut Known,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> (StatusCode, String) {
    let ok = |body: String| (StatusCode::OK, body);
    match uri.path() {
        "/_bulk" => {
            if let Err(why) = state.check(method, uri, headers, body) {
                state.wrong.push(why);
                return (StatusCode::FORBIDDEN, json!({"message": "no"}).to_string());
            }
            // Operations and documents, each on its line.
            let mut plain = String::new();
            let mut decoder = flate2::read::GzDecoder::new(body);
            std::io::Read::read_to_string(&mut decoder, &mut plain).unwrap();
            let count = plain.lines().count() / 2;
            state.documents += count;
            let item = json!({"create": {"status": 201}});
            ok(json!({"errors": false, "items": vec![item; count]}).to_string())
        }
        // The security token service.
        "/" => {
            let form: BTreeMap<String, String> =
                url::form_urlencoded::parse(body).into_owned().collect();
            let action = &form["Action"];
            state
                .shown
                .push(form.get("WebIdentityToken").unwrap_or(action).clone());
            let (id, secret, token) = state.hand_out();
            ok(format!(
                "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
                 <AssumedRoleUser><Arn>{}</Arn><AssumedRoleId>A:b</AssumedRoleId></AssumedRoleUser>\
                 <Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
                 <SessionToken>{token}</SessionToken><Expiration>{}</Expiration></Credentials>\
                 </{action}Result></{action}Response>",
                form["RoleArn"],
                expiration()
            ))
        }
        "/pod-identity" => {
            let shown = headers["authorization"].to_str().unwrap().to_owned();
            state.shown.push(shown);
            ok(state.hand_out_json())
        }
        "/latest/api/token" => ok("metadata".to_owned()),
        path if path.starts_with("/latest/meta-data/iam/security-credentials") => {
            if headers["x-aws-ec2-metadata-token"] != "metadata" {
                return (StatusCode::UNAUTHORIZED, String::new());
            }
            match path.rsplit('/').next() {
                Some("") => ok("the-role".to_owned()),
                _ => ok(state.hand_out_json()),
            }
        }
        path => (StatusCode::NOT_FOUND, path.to_owned()),
    }
}

/// Soon, so that whoever signs has to ask again before long.
fn expiration() -> String {
    let soon = Timestamp::now() + jiff::SignedDuration::from_mins(1);
    soon.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn canonical_query(uri: &Uri) -> String {
    let query = url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
    let encode = |text: &str| {
        let mut encoded = String::new();
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    };
    let mut pairs: Vec<String> = query
        .map(|(name, value)| format!("{}={}", encode(&name), encode(&value)))
        .collect();
    pairs.sort();
    pairs.join("&")
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

const ROLE: &str = "arn:aws:iam::123456789012:role/exporter";

#[tokio::test]
async fn keys_in_the_environment_sign_for_the_region_and_the_service() {
    for (aws, scope) in [
        ("{region: eu-west-1}", "eu-west-1/es"),
        ("{region: us-east-2, service: aoss}", "us-east-2/aoss"),
    ] {
        let amazon = Amazon::start(scope).await;
        let keys = ("wJalrXUtnFEMI/K7MDENG".to_owned(), String::new());
        let good = ("AKIDENV".to_owned(), keys.clone());
        amazon.state.lock().unwrap().keys.extend([good]);
        let key = [
            ("AWS_ACCESS_KEY_ID", "AKIDENV".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", keys.0),
        ];
        amazon.takes_all(aws, &key).await;
        assert_eq!(amazon.state.lock().unwrap().wrong, [""; 0]);
    }
}

#[tokio::test]
async fn a_service_account_has_a_web_identity_and_may_take_on_another_role() {
    let amazon = Amazon::start("eu-west-1/es").await;
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "a.web.identity").unwrap();
    let env = [
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ROLE_ARN", ROLE.to_owned()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.display().to_string()),
        ("AWS_ENDPOINT_URL_STS", amazon.url.clone()),
    ];
    amazon.takes_all("{}", &env).await;
    {
        let mut state = amazon.state.lock().unwrap();
        assert!(
            state.shown.iter().all(|shown| shown == "a.web.identity"),
            "{:?}",
            state.shown
        );
        state.documents = 0;
        state.shown.clear();
    }
    // What is in the file has changed: it is read when it is needed.
    fs::write(&token, "another.web.identity").unwrap();
    let other = format!("{{roleARN: '{ROLE}-2'}}");
    amazon.takes_all(&other, &env).await;
    let state = amazon.state.lock().unwrap();
    assert_eq!(state.shown[..2], ["another.web.identity", "AssumeRole"]);
    assert_eq!(state.wrong, [""; 0]);
}

#[tokio::test]
async fn eks_pod_identity_is_asked_with_the_token_in_its_file() {
    let amazon = Amazon::start("eu-west-1/es").await;
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "pod-token").unwrap();
    let env = [
        ("AWS_REGION", "eu-west-1".to_owned()),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("{}/pod-identity", amazon.url),
        ),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.display().to_string(),
        ),
    ];
    amazon.takes_all("{}", &env).await;
    assert!(
        amazon
            .state
            .lock()
            .unwrap()
            .shown
            .iter()
            .all(|shown| shown == "pod-token")
    );
}

#[tokio::test]
async fn keys_of_the_machines_role_that_are_refused_are_asked_for_again() {
    let amazon = Amazon::start("eu-west-1/es").await;
    amazon.state.lock().unwrap().first_is_revoked = true;
    let env = [
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", amazon.url.clone()),
    ];
    amazon.takes_all("{}", &env).await;
    let state = amazon.state.lock().unwrap();
    assert_eq!(state.wrong, ["AKID1 is revoked"]);
    assert!(!state.used.contains("AKID1"));
}

#[tokio::test]
async fn a_machine_is_not_asked_for_the_region_of_the_configuration() {
    let amazon = Amazon::start("eu-west-1/es").await;
    let keys = ("secret".to_owned(), String::new());
    let good = ("AKIDENV".to_owned(), keys.clone());
    amazon.state.lock().unwrap().keys.extend([good]);
    let machine = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let env = [
        ("AWS_ACCESS_KEY_ID", "AKIDENV".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", keys.0),
        ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
        (
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            format!("http://{}", machine.local_addr().unwrap()),
        ),
    ];
    amazon.takes_all("{region: eu-west-1}", &env).await;
    assert!(machine.accept().now_or_never().is_none());
}

/// The first words that say that there are no credentials.
async fn no_credentials(amazon: &Amazon, aws: &str, env: &[(&str, String)]) -> String {
    let folder = TempDir::new().unwrap();
    let mut command = amazon.command(&folder, aws, env);
    let mut exporter = command
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(exporter.stderr.take().unwrap()).lines();
    let told = async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains("there are no AWS credentials") {
                return line;
            }
        }
        String::new()
    };
    timeout(Duration::from_secs(60), told).await.unwrap()
}

#[tokio::test]
async fn keys_and_tokens_that_end_in_a_line_end_are_told_and_never_shown() {
    let amazon = Amazon::start("eu-west-1/es").await;
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "pod-token\n").unwrap();
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIDENV\n".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    let pod = [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("{}/pod-identity", amazon.url),
        ),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.display().to_string(),
        ),
    ];
    for env in [&keys, &pod] {
        let told = no_credentials(&amazon, "{region: eu-west-1}", env).await;
        assert!(told.contains("such as the end of a line"), "{told}");
        assert!(
            !told.contains("pod-token") && !told.contains("AKIDENV"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn without_a_region_one_line_says_so() {
    let amazon = Amazon::start("eu-west-1/es").await;
    let output = amazon.send("{}", &[]).await;
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(
        log.contains("which region? Give `aws.region`, or set AWS_REGION"),
        "{log}"
    );
}

#[tokio::test]
async fn who_has_no_keys_is_told_so_even_if_a_machine_that_would_know_is_silent() {
    let amazon = Amazon::start("eu-west-1/es").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let env = [
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
        (
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            format!("http://{}", silent.local_addr().unwrap()),
        ),
    ];
    let told = no_credentials(&amazon, "{}", &env).await;
    // By whoever asks, rather than when all patience is over.
    assert!(
        !told.is_empty() && !told.contains("no answer in time"),
        "{told}"
    );
}
