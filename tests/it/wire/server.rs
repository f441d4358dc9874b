//! A server that takes everything, as the services of the examples say that they have, and remembers it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::read::GzDecoder;

use super::lay_out;

pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

pub struct Request {
    /// Method and target.
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// What says nothing about the event, or nothing that is the same everywhere.
const NOT_RECORDED: [&str; 8] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "user-agent",
    "x-amz-content-sha256",
    "x-amz-date",
];

// === impl Server ===

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        // It ends with the process that tests run in.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || serve(stream.unwrap(), &seen));
            }
        });
        Self { url, requests }
    }

    /// What has come so far, in the order of its coming.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream) {
        let (status, body) = request.answer();
        // Before it is answered: what is answered must have been seen.
        seen.lock().unwrap().push(request);
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} \r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
    }
}

// === impl Request ===

impl Request {
    /// `None` at the end of the connection.
    fn read(stream: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line
            .trim_end()
            .strip_suffix(" HTTP/1.1")
            .unwrap()
            .to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).unwrap();
            let Some((name, value)) = header.trim_end().split_once(": ") else {
                break;
            };
            let before = headers.insert(name.to_ascii_lowercase(), value.to_owned());
            assert!(before.is_none(), "{name} comes twice");
        }
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        let zipped = headers
            .get("content-encoding")
            .is_some_and(|encoding| encoding == "gzip");
        let body = if zipped {
            let mut text = String::new();
            GzDecoder::new(body.as_slice())
                .read_to_string(&mut text)
                .unwrap();
            text
        } else {
            String::from_utf8(body).unwrap()
        };
        if let Some(value) = headers.get_mut("authorization")
            && value.starts_with("AWS4-HMAC-SHA256 ")
        {
            // Another every second: that it is right is checked elsewhere.
            value.truncate(value.find("Signature=").unwrap());
            value.replace_range(
                value.find('/').unwrap()..,
                "/DATE/… SignedHeaders=… Signature=…",
            );
        }
        headers.retain(|name, _| !NOT_RECORDED.contains(&name.as_str()));
        Some(Self {
            line,
            headers,
            body,
        })
    }

    /// What the real one says of success.
    fn answer(&self) -> (u16, String) {
        let target = self.line.split_once(' ').unwrap().1;
        if target.split('?').next().unwrap().ends_with("_bulk") {
            let actions = self.body.lines().step_by(2);
            let items: Vec<&str> = actions
                .map(|action| match action {
                    action if action.starts_with("{\"create\"") => r#"{"create":{"status":201}}"#,
                    action if action.starts_with("{\"index\"") => r#"{"index":{"status":201}}"#,
                    other => panic!("{other} is no action"),
                })
                .collect();
            let items = items.join(",");
            return (
                200,
                format!(r#"{{"took":1,"errors":false,"items":[{items}]}}"#),
            );
        }
        match target {
            "/loki/api/v1/push" => (204, String::new()),
            "/v2/enqueue" | "/api/v2/logs" | "/v2/alerts" | "/api/v1/events" => {
                (202, "{}".to_owned())
            }
            "/services/none" => (200, "ok".to_owned()),
            "/services/collector/event" => (200, r#"{"text":"Success","code":0}"#.to_owned()),
            // What setup looks for.
            _ if self.line.starts_with("GET ") => (404, "{}".to_owned()),
            _ => (200, r#"{"ok":true}"#.to_owned()),
        }
    }

    /// As it is recorded: one JSON value laid out, lines as they are.
    pub fn show(&self) -> String {
        let headers: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"))
            .collect();
        let body = if self.body.contains('\n') {
            self.body.clone()
        } else {
            lay_out(&self.body)
        };
        format!("{}\n{headers}\n{}\n", self.line, body.trim_end())
    }
}
