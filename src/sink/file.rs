//! Files of JSON lines, rotated by size and age as the incumbent's are (it uses lumberjack, whose names these are).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::civil::DateTime;
use serde::Deserialize;
use tracing::warn;

use super::body::Body;
use super::stdout::{Lines, Stdout, StdoutConfig, encode};
use super::{Receipt, SendError, Sink, SinkSettings};
use crate::event::{Event, Time};
use crate::yaml::{Located, Value};

/// The sink as the configuration gives it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FileConfig {
    /// Where to. `/dev/stdout` and `/dev/stderr` are what they say, and never rotated.
    pub path: Located<String>,
    /// Megabytes at which a file is put aside; 0 stands for 100.
    pub maxsize: u64,
    /// Days after which a file that was put aside is removed; 0 for never.
    pub maxage: u64,
    /// How many files that were put aside are kept; 0 for all.
    pub maxbackups: usize,
    /// Templates in place of the document.
    pub layout: Option<Located<Value>>,
    /// Writes `_` for `.` in the keys of labels and annotations.
    #[serde(rename = "deDot")]
    pub de_dot: bool,
}

/// Writes to a file.
struct FileSink {
    body: Body,
    /// Away only while a batch is being written.
    rotating: Option<RotatingFile>,
}

struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    max_age: Option<Duration>,
    max_backups: usize,
    open: Option<File>,
}

/// Makes the sink. The file is opened by the first batch: a disk that is missing at the start is an outage like any other.
pub fn build(config: &FileConfig, settings: SinkSettings) -> anyhow::Result<Box<dyn Sink>> {
    let stream = StdoutConfig {
        layout: config.layout.clone(),
        de_dot: config.de_dot,
        ..StdoutConfig::default()
    };
    match config.path.value.as_str() {
        "" => return Err(config.path.problem("a file receiver needs a `path`").into()),
        "/dev/stdout" => return Ok(Box::new(Stdout::new(&stream, settings)?)),
        "/dev/stderr" => {
            return Ok(Box::new(Lines::to(
                tokio::io::stderr(),
                "standard error",
                &stream,
                settings,
            )?));
        }
        _ => {}
    }
    let body = Body::new(config.layout.as_ref(), config.de_dot, settings.compat)?;
    let rotating = RotatingFile {
        path: PathBuf::from(&config.path.value),
        max_bytes: if config.maxsize == 0 {
            100
        } else {
            config.maxsize
        }
        .saturating_mul(1 << 20),
        max_age: (config.maxage > 0)
            .then(|| Duration::from_secs(config.maxage.saturating_mul(86_400))),
        max_backups: config.maxbackups,
        open: None,
    };
    Ok(Box::new(FileSink {
        body,
        rotating: Some(rotating),
    }))
}

// === impl FileSink ===

impl FileSink {
    async fn write(&mut self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let mut lines = Vec::with_capacity(batch.len() * 1024);
        let rejected = encode(&self.body, batch, &mut lines);
        let Some(mut rotating) = self.rotating.take() else {
            return Err(SendError::transient("the file is still being written"));
        };
        // A disk can be slow, and everything else has to go on.
        let written = tokio::task::spawn_blocking(move || {
            let written = rotating.append(&lines);
            (rotating, written)
        });
        let (rotating, written) = written
            .await
            .map_err(|error| SendError::transient(error.to_string()))?;
        let path = rotating.path.display().to_string();
        self.rotating = Some(rotating);
        written.map_err(|error| SendError::transient(format!("cannot write {path}: {error}")))?;
        Ok(Receipt {
            rejected,
            ..Receipt::default()
        })
    }
}

impl Sink for FileSink {
    fn send<'a>(
        &'a mut self,
        batch: &'a [Arc<Event>],
    ) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.write(batch).boxed()
    }

    fn reads_object(&self) -> bool {
        self.body.reads_object()
    }
}

// === impl RotatingFile ===

impl RotatingFile {
    /// Appends whole lines, and has them on the disk when it returns. All or nothing: what failed half way is cut off,
    /// lest the next line be glued to it.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let metadata = self.file()?.metadata()?;
        if !metadata.is_file() {
            // A pipe or a device holds nothing: there is nothing to rotate, to flush or to cut off.
            return self.file()?.write_all(lines);
        }
        if metadata.len() + lines.len() as u64 > self.max_bytes {
            self.rotate(Time::now())?;
        }
        let file = self.file()?;
        let before = file.metadata()?.len();
        let written = file.write_all(lines).and_then(|()| file.sync_data());
        if written.is_err() {
            // What the disk says of the write is what helps; cutting off fails only where there is no file to cut.
            let _ = file.set_len(before);
        }
        written
    }

    /// The open file; opened anew if somebody has moved it away.
    fn file(&mut self) -> io::Result<&mut File> {
        let same = |file: &File| {
            let (ours, theirs) = (file.metadata().ok()?, fs::metadata(&self.path).ok()?);
            (ours.ino() == theirs.ino() && ours.dev() == theirs.dev()).then_some(())
        };
        let current = self.open.as_ref().is_some_and(|file| same(file).is_some());
        if !current {
            if let Some(folder) = self
                .path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
            {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o755)
                    .create(folder)?;
            }
            self.prune();
            let torn = is_torn(&self.path)?;
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(&self.path)?;
            if torn {
                file.write_all(b"\n")?;
            }
            self.open = Some(file);
        }
        self.open
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rotate(&mut self, now: Time) -> io::Result<()> {
        if self.file()?.metadata()?.len() == 0 {
            // One batch larger than the limit: an empty file would not help.
            return Ok(());
        }
        self.open = None;
        let mut time = now.civil();
        let mut backup = self.backup(time);
        while backup.exists() {
            time = time.saturating_add(jiff::SignedDuration::from_millis(1));
            backup = self.backup(time);
        }
        fs::rename(&self.path, backup)?;
        self.prune();
        Ok(())
    }

    /// `name-2006-01-02T15-04-05.000.ext`
    fn backup(&self, time: DateTime) -> PathBuf {
        let (stem, extension) = self.names();
        let stamp = time.strftime("%Y-%m-%dT%H-%M-%S%.3f");
        self.path
            .with_file_name(format!("{stem}-{stamp}{extension}"))
    }

    fn names(&self) -> (String, String) {
        let stem = self
            .path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let extension = self
            .path
            .extension()
            .map(|e| format!(".{}", e.to_string_lossy()))
            .unwrap_or_default();
        (stem, extension)
    }

    /// Removes what was put aside too long ago, or is too many. Failing to is no reason not to write.
    fn prune(&self) {
        let mut backups = self.backups().unwrap_or_default();
        backups.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let now = Time::now();
        for (at, (time, path)) in backups.iter().enumerate() {
            let too_many = self.max_backups > 0 && at >= self.max_backups;
            let too_old = self.max_age.is_some_and(|max| time.age(now) > max);
            if (too_many || too_old)
                && let Err(error) = fs::remove_file(path)
            {
                warn!(path = %path.display(), error = %error, "cannot remove an old file");
            }
        }
    }

    fn backups(&self) -> io::Result<Vec<(Time, PathBuf)>> {
        let (stem, extension) = self.names();
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut backups = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let stamp = name
                .strip_prefix(&stem)
                .and_then(|name| name.strip_prefix('-'))
                .and_then(|name| name.strip_suffix(&extension));
            let time =
                stamp.and_then(|stamp| DateTime::strptime("%Y-%m-%dT%H-%M-%S%.f", stamp).ok());
            if let Some(time) = time.and_then(|time| Time::parse(&format!("{time}Z"))) {
                backups.push((time, path));
            }
        }
        Ok(backups)
    }
}

/// Whether a file's last line has no end, as a crash leaves it. What is not there is whole.
pub fn is_torn(path: &Path) -> io::Result<bool> {
    if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0) {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Compat;

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
        let mut sink = build(&config(&path), SETTINGS).unwrap();
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
    async fn a_full_disk_leaves_no_half_line() {
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
        let mut sink = build(&config(&path), SETTINGS).unwrap();
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
        let mut sink = build(&config(Path::new("/proc/nowhere/events")), SETTINGS).unwrap();
        let error = sink.send(&[event("a")]).await.unwrap_err();
        assert!(
            error
                .reason
                .starts_with("cannot write /proc/nowhere/events: "),
            "{error}"
        );
    }
}
