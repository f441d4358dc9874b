//! `ready`, as the image asks an exporter.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use crate::support::{EXPORTER, text};

const READY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nOK";
const LISTING: &str = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n[+] config ok\n[-] watch: not listed yet\n";

/// Gives each of these answers once, then none. Where it does that.
fn exporter(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap();
            assert!(head[..read].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}

fn ready(args: &[&str]) -> Output {
    Command::new(&*EXPORTER)
        .arg("ready")
        .args(args)
        // Which must not be asked.
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .output()
        .unwrap()
}

#[test]
fn what_is_not_ready_says_why() {
    let url = exporter(&[LISTING]);
    let output = ready(&[&url]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        format!("error: {url}/readyz: not ready: watch: not listed yet\n")
    );
    let url = exporter(&[]);
    let output = ready(&[&url]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.starts_with(&format!("error: {url}/readyz: no answer: ")),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(ready(&["nowhere"]).status.code(), Some(2));
}

#[test]
fn it_waits_where_it_is_told_to() {
    let url = exporter(&[LISTING, READY]);
    let output = ready(&["-wait=60", &url]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), format!("{url}/readyz: ready\n"));
}
