//! A file that is put aside when it is full.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::civil::DateTime;
use tracing::warn;

use crate::event::Time;
use crate::sink::SendError;

/// Appends to a file without holding up the program: a disk can be slow, and everything else has to go on.
pub struct Appender {
    file: Arc<tokio::sync::Mutex<RotatingFile>>,
}

/// A file that is put aside when it is full.
pub(in crate::sink) struct RotatingFile {
    pub path: PathBuf,
    /// Of a file that is made.
    pub mode: u32,
    /// Whether what was there before this process goes.
    pub truncate: bool,
    pub max_bytes: u64,
    pub max_age: Option<Duration>,
    pub max_backups: usize,
    pub open: Option<File>,
}

/// Files that this process has made anew, and writes to since: a sink that follows another must not erase what that has
/// delivered.
static MADE_ANEW: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

// === impl Appender ===

impl Appender {
    /// Opens nothing: a disk that is missing at the start is an outage like any other.
    pub(in crate::sink) fn new(file: RotatingFile) -> Self {
        Self {
            file: Arc::new(tokio::sync::Mutex::new(file)),
        }
    }

    /// Appends to a file that only its owner reads and that is never put aside.
    pub fn endless(path: PathBuf) -> Self {
        Self::new(RotatingFile {
            path,
            mode: 0o600,
            truncate: false,
            max_bytes: u64::MAX,
            max_age: None,
            max_backups: 0,
            open: None,
        })
    }

    /// Appends whole lines, all or nothing.
    pub async fn append(&self, lines: Vec<u8>) -> Result<(), SendError> {
        // Owned by the write, which may outlive whoever asked for it.
        let mut file = Arc::clone(&self.file).lock_owned().await;
        let written = tokio::task::spawn_blocking(move || {
            file.append(&lines)
                .map_err(|error| format!("cannot write {}: {error}", file.path.display()))
        });
        written
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(SendError::transient)
    }
}

// === impl RotatingFile ===

impl RotatingFile {
    /// Appends whole lines, and has them on the disk when it returns. All or nothing: what failed half way is cut off,
    /// lest the next line be glued to it.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
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
            let anew = self.truncate && !made_anew().contains(&self.path);
            let torn = !anew && is_torn(&self.path)?;
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(self.mode)
                .open(&self.path)?;
            if anew {
                if file.metadata()?.is_file() {
                    file.set_len(0)?;
                }
                made_anew().insert(self.path.clone());
            }
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
    pub(super) fn backup(&self, time: DateTime) -> PathBuf {
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
    pub(super) fn prune(&self) {
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

    pub(super) fn backups(&self) -> io::Result<Vec<(Time, PathBuf)>> {
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

fn made_anew() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    MADE_ANEW.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a file's last line has no end, as a crash leaves it. What is not there is whole.
fn is_torn(path: &Path) -> io::Result<bool> {
    if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0) {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
