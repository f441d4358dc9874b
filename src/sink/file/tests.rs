use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::*;
use crate::event::{Compat, Time};

const SETTINGS: SinkSettings = SinkSettings {
    timeout: Duration::from_secs(1),
    compat: Compat::Strict,
};

fn config(path: &Path) -> FileConfig {
    let value = path.to_str().unwrap().to_owned();
    FileConfig {
        path: Located {
            value,
            ..Located::default()
        },
        ..FileConfig::default()
    }
}

fn event(name: &str) -> Arc<Event> {
    let mut event = Event::default();
    event.metadata.name = name.to_owned();
    Arc::new(event)
}

fn names(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<Event>(line).unwrap().metadata.name)
        .collect()
}

fn rotating(path: &Path, max_bytes: u64, max_backups: usize) -> RotatingFile {
    RotatingFile {
        path: path.to_owned(),
        mode: 0o600,
        truncate: false,
        max_bytes,
        max_age: None,
        max_backups,
        open: None,
    }
}

#[tokio::test]
async fn events_are_appended_as_lines_to_a_file_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/events.jsonl");
    build(&config(&path), SETTINGS)
        .unwrap()
        .send(&[event("a"), event("b")])
        .await
        .unwrap();
    build(&config(&path), SETTINGS)
        .unwrap()
        .send(&[event("c")])
        .await
        .unwrap();
    assert_eq!(names(&path), ["a", "b", "c"]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let sink = build(&config(&path), SETTINGS).unwrap();
    sink.send(&[event("a")]).await.unwrap();
    fs::rename(&path, folder.path().join("moved")).unwrap();
    sink.send(&[event("b")]).await.unwrap();
    assert_eq!(
        (names(&folder.path().join("moved")), names(&path)),
        (vec!["a".into()], vec!["b".into()])
    );
}

#[test]
fn a_full_file_is_put_aside_and_the_oldest_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    fs::write(folder.path().join("events-other.log"), "not ours").unwrap();
    let mut file = rotating(&path, 10, 2);
    for line in ["one__1\n", "two__2\n", "three3\n", "four_4\n", "five_5\n"] {
        file.append(line.as_bytes()).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "five_5\n");
    let mut kept: Vec<_> = file.backups().unwrap();
    kept.sort();
    let texts: Vec<_> = kept
        .iter()
        .map(|(_, path)| fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(texts, ["three3\n", "four_4\n"]);
    assert!(folder.path().join("events-other.log").exists());
    let backup = file.backup(Time::parse("2024-05-01T10:20:30.123456Z").unwrap().civil());
    assert_eq!(
        backup.file_name().unwrap(),
        "events-2024-05-01T10-20-30.123.log"
    );
}

#[tokio::test]
async fn a_line_that_a_crash_has_torn_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    fs::write(&path, "whole\n{\"torn\":").unwrap();
    build(&config(&path), SETTINGS)
        .unwrap()
        .send(&[event("a")])
        .await
        .unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(&lines[..2], ["whole", "{\"torn\":"]);
    serde_json::from_str::<serde_json::Value>(lines[2]).unwrap();
    assert_eq!(lines.len(), 3);
}

#[test]
fn what_is_too_old_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("events-2020-01-01T00-00-00.000.jsonl");
    fs::write(&old, "").unwrap();
    let file = RotatingFile {
        max_age: Some(Duration::from_secs(86_400)),
        ..rotating(&folder.path().join("events.jsonl"), 10, 0)
    };
    file.prune();
    assert!(!old.exists());
}

#[tokio::test]
async fn fault_29_a_full_disk_leaves_no_half_line() {
    // Every write to this device fails for lack of space.
    let mut file = rotating(Path::new("/dev/full"), u64::MAX, 0);
    assert_eq!(
        file.append(b"line\n").unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    let mut nothing = rotating(Path::new("/dev/null"), 1, 0);
    nothing.append(b"line\n").unwrap();
    nothing
        .append(b"a device has nothing to flush or rotate\n")
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let sink = build(&config(&path), SETTINGS).unwrap();
    fs::remove_dir_all(folder.path()).unwrap();
    fs::write(folder.path(), "a file where the folder was").unwrap();
    let error = sink.send(&[event("a")]).await.unwrap_err();
    assert!(error.reason.starts_with("cannot write "), "{error}");
    fs::remove_file(folder.path()).unwrap();
    sink.send(&[event("a")]).await.unwrap();
    assert_eq!(names(&path), ["a"]);
}

#[tokio::test]
async fn a_path_is_needed_and_one_that_is_not_writable_is_waited_for() {
    let error = build(&FileConfig::default(), SETTINGS).err().unwrap();
    assert!(error.to_string().contains("needs a `path`"), "{error}");
    let sink = build(&config(Path::new("/proc/nowhere/events")), SETTINGS).unwrap();
    let error = sink.send(&[event("a")]).await.unwrap_err();
    assert!(
        error
            .reason
            .starts_with("cannot write /proc/nowhere/events: "),
        "{error}"
    );
}
