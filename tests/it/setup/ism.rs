//! Index State Management in front of a real OpenSearch, whose plugin can't be had: its requests are judged and answered here
//! as a real one did (`tests/vectors/ism`), all others are the server's.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

const MISSING: &str = include_str!("../../vectors/ism/missing.json");
const EXISTS: &str = include_str!("../../vectors/ism/exists.json");
const STALE: &str = include_str!("../../vectors/ism/stale.json");
const SAME_PATTERN: &str = include_str!("../../vectors/ism/same-pattern.json");
const CHANGED: &str = include_str!("../../vectors/ism/changed.json");

pub struct Ism {
    pub url: String,
    policies: Arc<Mutex<Policies>>,
}

#[derive(Default)]
struct Policies {
    /// By name, what was put and the number of that change.
    stored: BTreeMap<String, (Value, u64)>,
    changes: u64,
    /// By path of a template, the settings in it that the server can't be given.
    settings: BTreeMap<String, Value>,
    /// What indices were told to have another policy.
    changed: Vec<(String, Value)>,
}

struct Request {
    method: String,
    target: String,
    head: String,
    body: Vec<u8>,
}

// === impl Ism ===

impl Ism {
    /// In front of the server at `url`.
    pub fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let server = url.trim_start_matches("http://").to_owned();
        let policies = Arc::new(Mutex::new(Policies::default()));
        let kept = Arc::clone(&policies);
        // It ends with the process that tests run in.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, server) = (Arc::clone(&kept), server.clone());
                thread::spawn(move || serve(stream.unwrap(), &server, &kept));
            }
        });
        Self { url: own, policies }
    }

    /// The policies by their names, and how often one was put.
    pub fn policies(&self) -> (BTreeMap<String, Value>, u64) {
        let policies = self.policies.lock().unwrap();
        let stored = policies.stored.iter();
        let bodies = stored.map(|(name, (body, _))| (name.clone(), body.clone()));
        (bodies.collect(), policies.changes)
    }

    /// What indices were told to have another policy, with which.
    pub fn changed(&self) -> Vec<(String, Value)> {
        self.policies.lock().unwrap().changed.clone()
    }
}

fn response(status: u16, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn serve(mut stream: TcpStream, server: &str, policies: &Mutex<Policies>) {
    let Some(request) = Request::read(&stream) else {
        return;
    };
    let answer = match request.target.strip_prefix("/_plugins/_ism/") {
        Some(rest) => {
            let (status, body) = policies.lock().unwrap().answer(&request, rest);
            response(status, &body)
        }
        None => policies.lock().unwrap().forward(&request, server),
    };
    // One request a connection.
    let answer = answer.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    stream.write_all(answer.as_bytes()).unwrap();
}

// === impl Request ===

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            stream.read_line(&mut head).ok().filter(|read| *read > 0)?;
        }
        let mut first = head.split(' ');
        let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
        let length = head.split_once("content-length: ").map_or(0, |(_, rest)| {
            rest.split("\r\n").next().unwrap().parse().unwrap()
        });
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        Some(Self {
            method,
            target,
            head,
            body,
        })
    }

    /// What `server` answers, with this body instead.
    fn forward(&self, server: &str, body: &[u8]) -> String {
        // What answers must be readable here, and end with the connection.
        const DROPPED: [&str; 3] = ["content-length", "connection", "accept-encoding"];
        let lines = self.head.trim_end().split("\r\n").skip(1);
        let headers = lines.filter(|line| !DROPPED.iter().any(|dropped| line.starts_with(dropped)));
        let headers: String = headers.map(|line| format!("{line}\r\n")).collect();
        let (method, target, length) = (&self.method, &self.target, body.len());
        let head = format!(
            "{method} {target} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        let mut server = TcpStream::connect(server).unwrap();
        server.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = String::new();
        server.read_to_string(&mut answer).unwrap();
        answer
    }
}

// === impl Policies ===

impl Policies {
    /// Without the settings of the plugin, which the server does not have, and with them in what it has stored.
    fn forward(&mut self, request: &Request, server: &str) -> String {
        const SETTINGS: &str = "/template/settings/index";
        let name = request.target.strip_prefix("/_index_template/");
        let mut body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if let (Some(name), Some(index)) = (name, body.pointer_mut(SETTINGS)) {
            let settings = index.as_object_mut().unwrap().remove("plugins").unwrap();
            assert_eq!(
                settings,
                json!({"index_state_management": {"rollover_alias": name}})
            );
            self.settings.insert(request.target.clone(), settings);
            return request.forward(server, body.to_string().as_bytes());
        }
        let answer = request.forward(server, &request.body);
        let (Some(settings), "GET") = (self.settings.get(&request.target), &*request.method) else {
            return answer;
        };
        let mut stored: Value =
            serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let template = &mut stored["index_templates"][0]["index_template"]["template"];
        template["settings"]["index"]["plugins"] = settings.clone();
        response(200, &stored.to_string())
    }

    fn answer(&mut self, request: &Request, path: &str) -> (u16, String) {
        assert!(
            request.head.contains("content-type: application/json\r\n"),
            "{}",
            request.head
        );
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match (request.method.as_str(), path.split_once('/').unwrap()) {
            ("GET", ("policies", name)) => self.get(name),
            ("PUT", ("policies", name)) => self.put(name, query, &body),
            ("GET", ("explain", pattern)) => (200, self.explain(pattern)),
            ("POST", ("change_policy", indices)) => {
                let name = body["policy_id"].as_str().unwrap();
                assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
                assert!(self.stored.contains_key(name), "{body}");
                self.changed.push((indices.to_owned(), body));
                (200, CHANGED.to_owned())
            }
            other => panic!("no such request: {other:?}"),
        }
    }

    /// One index with each policy for these, one with somebody's own, and one without.
    fn explain(&self, pattern: &str) -> String {
        let has = |policy: Value| json!({"index.plugins.index_state_management.policy_id": policy});
        let mut explained = json!({
            "total_managed_indices": 2,
            pattern.replace('*', "8"): has("own".into()),
            pattern.replace('*', "9"): has(Value::Null)
        });
        for (name, (body, _)) in &self.stored {
            if body["policy"]["ism_template"][0]["index_patterns"][0] == pattern {
                explained[pattern.replace('*', "1")] = has(name.as_str().into());
            }
        }
        explained.to_string()
    }

    fn get(&self, name: &str) -> (u16, String) {
        let Some((body, at)) = self.stored.get(name) else {
            return (404, MISSING.to_owned());
        };
        // With what the server adds.
        let mut policy = body["policy"].clone();
        policy["policy_id"] = name.into();
        policy["last_updated_time"] = 1_795_339_876_223_u64.into();
        policy["schema_version"] = 25.into();
        policy["error_notification"] = Value::Null;
        policy["ism_template"][0]["last_updated_time"] = 1_795_339_876_223_u64.into();
        for state in policy["states"].as_array_mut().unwrap() {
            for action in state["actions"].as_array_mut().unwrap() {
                if let Some(rollover) = action.get_mut("rollover") {
                    rollover["copy_alias"] = false.into();
                }
            }
        }
        let answer = json!({"_id": name, "_version": at, "_seq_no": at, "_primary_term": 1, "policy": policy});
        (200, answer.to_string())
    }

    fn put(&mut self, name: &str, query: &str, body: &Value) -> (u16, String) {
        judge(body);
        let there = self.stored.get(name).map(|(_, at)| *at);
        let expected = there.map(|at| format!("if_seq_no={at}&if_primary_term=1"));
        match (expected, query) {
            (Some(_), "") => return (409, EXISTS.to_owned()),
            (Some(expected), query) if expected != query => return (409, STALE.to_owned()),
            (None, query) => assert_eq!(query, "", "there is nothing to be replaced"),
            _ => {}
        }
        let template = |body: &Value| body["policy"]["ism_template"][0].clone();
        let mut others = self.stored.iter().filter(|(other, _)| *other != name);
        if others.any(|(_, (other, _))| template(other) == template(body)) {
            return (400, SAME_PATTERN.to_owned());
        }
        self.changes += 1;
        self.stored
            .insert(name.to_owned(), (body.clone(), self.changes));
        (if there.is_some() { 200 } else { 201 }, "{}".to_owned())
    }
}

/// Whether a real one would take it.
fn judge(body: &Value) {
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(body), ["policy"]);
    let policy = &body["policy"];
    assert_eq!(
        keys(policy),
        ["default_state", "description", "ism_template", "states"]
    );
    let states = policy["states"].as_array().unwrap();
    let named = |name: &Value| states.iter().any(|state| state["name"] == *name);
    assert!(named(&policy["default_state"]), "{policy}");
    for state in states {
        assert_eq!(keys(state), ["actions", "name", "transitions"]);
        for action in state["actions"].as_array().unwrap() {
            assert_eq!(action["retry"]["count"], 3, "{action}");
            let known = ["rollover", "delete"].map(|kind| action.get(kind).is_some());
            assert_eq!(keys(action).len(), 2, "{action}");
            assert!(known.contains(&true), "{action}");
        }
        for transition in state["transitions"].as_array().unwrap() {
            assert!(named(&transition["state_name"]), "{transition}");
            let [condition] = keys(&transition["conditions"]).try_into().unwrap();
            assert!(
                ["min_index_age", "min_rollover_age"].contains(&condition.as_str()),
                "{condition}"
            );
        }
    }
    for template in policy["ism_template"].as_array().unwrap() {
        assert_eq!(keys(template), ["index_patterns", "priority"]);
        assert!(template["priority"].as_u64().is_some(), "{template}");
    }
}
