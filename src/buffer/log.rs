//! The files of a buffer: segments of records, and up to where they are settled.
//!
//! What is appended is on the disk when [`Log::append`] returns. Every start writes to a segment of its own, so that what a crash
//! has torn off stays the end of a file. Segments go when all that is in them is settled, also where the disk is too full to
//! keep how far that is.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tracing::warn;

use super::record::{self, Found};
use crate::event::Event;
use crate::replace::replace;

/// A place in the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The number of the segment.
    pub segment: u32,
    /// A byte in it.
    pub offset: u64,
}

/// The files of one buffer, which nobody else has open.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    /// Locked for as long as it is open.
    _lock: File,
    max_bytes: u64,
    /// In the order of their numbers.
    segments: VecDeque<Segment>,
    /// The last of them, once this process has begun one.
    active: Option<File>,
    settled: Position,
    saved: Position,
}

#[derive(Debug)]
struct Segment {
    number: u32,
    bytes: u64,
}

/// Some of what is in the files.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Events, and where each begins.
    pub events: Vec<(Position, Event)>,
    /// Where the next chunk begins.
    pub next: Position,
    /// Places that can't be read, and were set aside.
    pub damaged: u64,
}

/// What the files of a buffer hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    /// How many bytes they have.
    pub bytes: u64,
    /// Whether all of it is settled.
    pub is_settled: bool,
}

/// A buffer that can't be used.
#[derive(Debug, Error)]
pub enum BufferError {
    /// Another process, or another receiver, has it.
    #[error("the buffer {} is in use by another receiver, or by one that was removed and has not delivered everything, or by another process", .0.display())]
    InUse(PathBuf),
    /// A later program has written it.
    #[error("{} is no file of a buffer that this version can read", .0.display())]
    Foreign(PathBuf),
    /// The disk.
    #[error("cannot use the buffer {}", path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// What a segment begins with: who writes it, and the form of its records.
const HEAD: &[u8; 8] = b"EVBUF\0\0\x01";
/// The file that says up to where all is settled.
const SETTLED: &str = "settled";
/// At least so many segments make up a buffer, so that room comes back before all of it is settled.
const SEGMENTS: u64 = 8;
/// The largest segment.
const SEGMENT_BYTES: u64 = 16 << 20;
/// How much is read at a time.
const CHUNK: usize = 256 << 10;
/// The smallest buffer: the heaviest event fits into one of its segments.
pub const MIN_BYTES: u64 = 16 << 20;

// === impl Log ===

impl Log {
    /// What is in a folder, which nothing is done to; nothing if it is not there.
    pub fn look(folder: &Path) -> io::Result<Held> {
        let segments = match segments(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => VecDeque::new(),
            found => found?,
        };
        Ok(Held {
            bytes: bytes(&segments),
            is_settled: is_settled(&segments, position(folder, &segments)),
        })
    }

    /// Opens the buffer in a folder, which is made if it is not there.
    pub fn open(folder: &Path, max_bytes: u64) -> Result<Self, BufferError> {
        let disk = |cause| BufferError::Disk {
            path: folder.to_owned(),
            cause,
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(disk)?;
        let mut options = private();
        options.create(true).truncate(false).write(true);
        let lock = options.open(folder.join("lock")).map_err(disk)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BufferError::InUse(folder.to_owned())),
            Err(TryLockError::Error(cause)) => return Err(disk(cause)),
        }
        let mut segments = segments(folder).map_err(disk)?;
        for segment in &segments {
            let path = segment_path(folder, segment.number);
            let mut head = [0; HEAD.len()];
            let mut file = File::open(&path).map_err(disk)?;
            // One that ends before that was torn off where it began.
            if file.read_exact(&mut head).is_ok() && head != *HEAD {
                return Err(BufferError::Foreign(path));
            }
        }
        let settled = position(folder, &segments);
        // Those of starts that came to nothing.
        let is_empty = |it: &Segment| it.bytes <= HEAD.len() as u64 && it.number > settled.segment;
        for segment in segments.iter().filter(|it| is_empty(it)) {
            fs::remove_file(segment_path(folder, segment.number)).map_err(disk)?;
        }
        segments.retain(|it| !is_empty(it));
        let mut log = Self {
            folder: folder.to_owned(),
            _lock: lock,
            max_bytes,
            segments,
            active: None,
            settled,
            saved: settled,
        };
        log.forget().map_err(disk)?;
        // Reading goes on in the next behind what a crash has torn off. A full disk has room for one once what is there is settled.
        if !log.is_settled()
            && let Err(cause) = log.begin_segment()
            && !matches!(
                cause.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        {
            return Err(disk(cause));
        }
        Ok(log)
    }

    /// Where what is not settled begins.
    pub fn settled(&self) -> Position {
        self.settled
    }

    /// Whether all of it is settled.
    pub fn is_settled(&self) -> bool {
        is_settled(&self.segments, self.settled)
    }

    /// How many bytes its files have.
    pub fn bytes(&self) -> u64 {
        bytes(&self.segments)
    }

    /// Appends events, and returns when they are on the disk. False if there is no room for them: nothing of them is there.
    pub fn append(&mut self, events: &[Arc<Event>]) -> io::Result<bool> {
        let mut records = Vec::with_capacity(events.len() * 1024);
        for event in events {
            record::append(event, &mut records)?;
        }
        let length = records.len() as u64;
        if self.bytes() + length > self.max_bytes {
            return Ok(false);
        }
        let largest = (self.max_bytes / SEGMENTS).min(SEGMENT_BYTES);
        let is_full = |it: &Segment| it.bytes + length > largest && it.bytes > HEAD.len() as u64;
        if self.active.is_none() || self.segments.back().is_some_and(is_full) {
            self.begin_segment()?;
        }
        let (Some(file), Some(segment)) = (&self.active, self.segments.back_mut()) else {
            return Ok(false);
        };
        let written = file
            .write_all_at(&records, segment.bytes)
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            // The room that it takes is somebody else's. What could not be cut off is written over.
            let _ = file.set_len(segment.bytes);
            return Err(error);
        }
        segment.bytes += length;
        Ok(true)
    }

    /// Begins the segment that is written from now on.
    fn begin_segment(&mut self) -> io::Result<()> {
        let number = last(&self.segments).saturating_add(1);
        self.active = Some(begin(&self.folder, number)?);
        self.segments.push_back(Segment {
            number,
            bytes: HEAD.len() as u64,
        });
        Ok(())
    }

    /// Reads some events from a position on; none at the end. What can't be read is set aside.
    pub fn read(&self, from: Position) -> io::Result<Chunk> {
        let mut chunk = Chunk {
            next: from,
            ..Chunk::default()
        };
        while chunk.events.is_empty() {
            let at = self
                .segments
                .iter()
                .position(|it| it.number >= chunk.next.segment);
            let Some((at, segment)) = at.and_then(|at| Some((at, self.segments.get(at)?))) else {
                break;
            };
            let start = if segment.number == chunk.next.segment {
                chunk.next.offset.max(HEAD.len() as u64)
            } else {
                HEAD.len() as u64
            };
            if self.read_segment(segment, start, &mut chunk)? {
                // What is torn off behind its last record was never promised.
                match self.segments.get(at + 1) {
                    Some(next) => {
                        chunk.next = Position {
                            segment: next.number,
                            offset: 0,
                        }
                    }
                    None => break,
                }
            }
        }
        Ok(chunk)
    }

    /// Reads some records of a segment from `start` on. True at its end.
    fn read_segment(&self, segment: &Segment, start: u64, chunk: &mut Chunk) -> io::Result<bool> {
        let number = segment.number;
        let mut file = File::open(segment_path(&self.folder, number))?;
        let mut length = CHUNK;
        loop {
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            let left = segment.bytes.saturating_sub(start);
            let wanted = left.min(length as u64);
            (&mut file).take(wanted).read_to_end(&mut bytes)?;
            let is_all = (bytes.len() as u64) < wanted || wanted == left;
            let mut at = 0;
            let position = |at: usize| Position {
                segment: number,
                offset: start + at as u64,
            };
            while at < bytes.len() {
                match record::read(&bytes, at, is_all) {
                    Found::Event(event, next) => {
                        chunk.events.push((position(at), *event));
                        at = next;
                    }
                    Found::Damaged(range) => {
                        if let Err(error) = self.set_aside(number, &bytes[range.clone()]) {
                            let folder = self.folder.display();
                            warn!(buffer = %folder, %error, "what is damaged goes with its segment: it can't be set aside");
                        }
                        chunk.damaged += 1;
                        at = range.end;
                    }
                    Found::Cut => break,
                }
            }
            chunk.next = position(at);
            if is_all {
                return Ok(true);
            }
            if at > 0 {
                return Ok(false);
            }
            // A record that is longer than what was read.
            length *= 4;
        }
    }

    /// Keeps what can't be read beside the segments, for people.
    fn set_aside(&self, segment: u32, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(format!("{segment:010}.damaged"));
        let mut file = private().create(true).append(true).open(path)?;
        file.write_all(bytes)
    }

    /// Everything before `to` is settled. Keeps that for the next start, and removes the segments that nobody needs.
    pub fn settle(&mut self, to: Position) -> io::Result<()> {
        self.settled = to.max(self.settled);
        if self.settled == self.saved {
            return Ok(());
        }
        let Position { segment, offset } = self.settled;
        let text = format!("{segment} {offset}\n");
        let kept = replace(&self.folder.join(SETTLED), &text);
        if kept.is_ok() {
            self.saved = self.settled;
        }
        // Which makes the room that may be wanting.
        self.forget()?;
        kept
    }

    fn forget(&mut self) -> io::Result<()> {
        while self.segments.len() > 1
            && let Some(first) = self.segments.front()
            && first.number < self.settled.segment
        {
            fs::remove_file(segment_path(&self.folder, first.number))?;
            self.segments.pop_front();
        }
        Ok(())
    }
}

/// Starts a segment.
fn begin(folder: &Path, number: u32) -> io::Result<File> {
    let path = segment_path(folder, number);
    let mut file = private().create_new(true).write(true).open(&path)?;
    let begun = file
        .write_all(HEAD)
        .and_then(|()| file.sync_all())
        // Its name has to be on the disk too.
        .and_then(|()| File::open(folder)?.sync_all());
    if let Err(error) = begun {
        fs::remove_file(&path)?;
        return Err(error);
    }
    Ok(file)
}

fn segments(folder: &Path) -> io::Result<VecDeque<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".events"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            let bytes = entry.metadata()?.len();
            segments.push(Segment { number, bytes });
        }
    }
    segments.sort_by_key(|segment| segment.number);
    Ok(segments.into())
}

fn bytes(segments: &VecDeque<Segment>) -> u64 {
    segments.iter().map(|segment| segment.bytes).sum()
}

fn last(segments: &VecDeque<Segment>) -> u32 {
    segments.back().map_or(0, |last| last.number)
}

/// Whether nothing in these is behind `settled`.
fn is_settled(segments: &VecDeque<Segment>, settled: Position) -> bool {
    segments.iter().all(|segment| {
        let end = Position {
            segment: segment.number,
            offset: segment.bytes,
        };
        end <= settled || segment.bytes <= HEAD.len() as u64
    })
}

/// Up to where all in these is settled. What is not known is delivered again.
fn position(folder: &Path, segments: &VecDeque<Segment>) -> Position {
    let text = fs::read_to_string(folder.join(SETTLED)).unwrap_or_default();
    let mut numbers = text.split_whitespace();
    let segment = numbers.next().and_then(|text| text.parse().ok());
    let offset = numbers.next().and_then(|text| text.parse().ok());
    match (segment, offset) {
        // What is settled was in a segment that is there.
        (Some(segment), Some(offset)) if segment <= last(segments) => Position { segment, offset },
        _ => Position::default(),
    }
}

fn segment_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:010}.events"))
}

/// Nobody else reads what is in events.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(test)]
mod tests;
