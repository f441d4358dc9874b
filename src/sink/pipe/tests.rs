use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use tokio::io::AsyncReadExt as _;

use super::*;
use crate::sink::SendErrorKind;
use crate::sink::testing::{SETTINGS, config, event, events};

fn sink(path: &Path) -> Box<dyn Sink> {
    let text = format!(
        "path: {}\nlayout: {{n: \"{{{{ .Name }}}}\"}}",
        path.display()
    );
    build(&config(&text).unwrap(), SETTINGS).unwrap()
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn reader(path: &Path) -> pipe::Receiver {
    pipe::OpenOptions::new().open_receiver(path).unwrap()
}

async fn read(reader: &mut pipe::Receiver, length: usize) -> String {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_is_waited_for_without_holding_anything_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    fifo(&path);
    let sink = sink(&path);
    let error = sink.send(&events("a")).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Transient);
    assert_eq!(error.reason, format!("nobody reads {}", path.display()));

    let mut first = reader(&path);
    sink.send(&events("ab")).await.unwrap();
    assert_eq!(read(&mut first, 20).await, "{\"n\":\"a\"}\n{\"n\":\"b\"}\n");

    // The reader goes, which shows at the next write; another one comes.
    drop(first);
    let error = sink.send(&events("c")).await.unwrap_err();
    assert!(error.reason.contains("Broken pipe"), "{error}");
    assert!(
        sink.send(&events("c"))
            .await
            .unwrap_err()
            .reason
            .starts_with("nobody reads")
    );
    let mut second = reader(&path);
    sink.send(&events("c")).await.unwrap();
    assert_eq!(read(&mut second, 10).await, "{\"n\":\"c\"}\n");
}

#[tokio::test]
async fn a_batch_larger_than_the_pipe_waits_for_its_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    fifo(&path);
    let mut reader = reader(&path);
    let sink = build(
        &config(&format!(
            "path: {}\nlayout: {{m: \"{{{{ .Message }}}}\"}}",
            path.display()
        ))
        .unwrap(),
        SETTINGS,
    )
    .unwrap();
    let mut large = event('a');
    large.message = "x".repeat(1 << 20);
    let batch = [Arc::new(large)];
    let length = (1 << 20) + 9;
    let (sent, text) = tokio::join!(sink.send(&batch), read(&mut reader, length));
    sent.unwrap();
    assert!(text.starts_with("{\"m\":\"xxx") && text.ends_with("x\"}\n"));
}

#[tokio::test]
async fn where_there_is_no_pipe_there_is_a_file_that_every_process_makes_anew_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    fs::write(&path, "old\n").unwrap();
    let first = sink(&path);
    first.send(&events("a")).await.unwrap();
    first.send(&events("b")).await.unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\"n\":\"a\"}\n{\"n\":\"b\"}\n"
    );
    // As after a reload: what has been delivered stays.
    sink(&path).send(&events("c")).await.unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\"n\":\"a\"}\n{\"n\":\"b\"}\n{\"n\":\"c\"}\n"
    );
    fs::remove_file(&path).unwrap();
    first.send(&events("d")).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":\"d\"}\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn a_path_is_needed() {
    let error = build(&config("{}").unwrap(), SETTINGS).err().unwrap();
    assert!(
        error.to_string().contains("a pipe receiver needs a `path`"),
        "{error}"
    );
}
