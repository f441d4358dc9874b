use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn event(number: u64) -> Arc<Event> {
    let mut event = Event {
        message: "x".repeat(size(number % 3000)),
        ..Event::default()
    };
    event.metadata.uid = format!("uid-{number}");
    event.metadata.resource_version = number.to_string();
    Arc::new(event)
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap()
}

fn open(folder: &TempDir) -> Log {
    Log::open(&folder.path().join("buffer"), MIN_BYTES).unwrap()
}

/// The numbers of the events from a position on, with where each begins, and the damaged places.
fn numbers(log: &Log, mut from: Position) -> (Vec<(Position, u64)>, u64) {
    let (mut numbers, mut damaged) = (Vec::new(), 0);
    loop {
        let chunk = log.read(from).unwrap();
        damaged += chunk.damaged;
        if chunk.events.is_empty() {
            return (numbers, damaged);
        }
        let read = chunk.events.iter();
        numbers.extend(read.map(|(at, event)| (*at, event.version().unwrap())));
        from = chunk.next;
    }
}

fn segment_files(folder: &TempDir) -> Vec<PathBuf> {
    let found = segments(&folder.path().join("buffer")).unwrap();
    let found = found.iter();
    found
        .map(|segment| segment_path(&folder.path().join("buffer"), segment.number))
        .collect()
}

#[test]
fn fault_47_what_is_appended_is_there_after_a_restart_and_belongs_to_one_alone() {
    let folder = TempDir::new().unwrap();
    let mut log = open(&folder);
    assert!(log.append(&[event(1), event(2)]).unwrap());
    let path = folder.path().join("buffer");
    let second = Log::open(&path, MIN_BYTES);
    assert!(matches!(second, Err(BufferError::InUse(_))));
    drop(log);
    let log = open(&folder);
    let (read, damaged) = numbers(&log, log.settled());
    assert_eq!(read.iter().map(|it| it.1).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(damaged, 0);
    for entry in fs::read_dir(&path).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_full_buffer_takes_more_when_its_oldest_is_settled() {
    let folder = TempDir::new().unwrap();
    let mut log = open(&folder);
    let batch: Vec<_> = (0..300).map(|at| event(2999 + at * 3000)).collect();
    while log.append(&batch).unwrap() {}
    assert!(log.bytes() <= MIN_BYTES && log.bytes() > MIN_BYTES / 2);
    let (all, _) = numbers(&log, log.settled());
    let (half, _) = all[all.len() / 2];
    log.settle(half).unwrap();
    assert!(log.bytes() < MIN_BYTES * 3 / 4, "{}", log.bytes());
    assert!(log.append(&batch).unwrap());
    drop(log);
    let mut log = open(&folder);
    let (rest, _) = numbers(&log, log.settled());
    assert_eq!(rest.len(), all.len() - all.len() / 2 + batch.len());
    assert_eq!(rest[0], all[all.len() / 2]);
    let end = log.read(rest.last().unwrap().0).unwrap().next;
    assert!(!log.is_settled());
    log.settle(end).unwrap();
    assert!(log.is_settled());
    assert!(log.bytes() < 100, "{}", log.bytes());
}

#[test]
fn an_event_heavier_than_what_is_read_at_once_is_read() {
    let folder = TempDir::new().unwrap();
    let mut log = open(&folder);
    let mut heavy = Event::clone(&event(7));
    heavy.message = "ü".repeat(CHUNK);
    assert!(log.append(&[event(1), Arc::new(heavy), event(2)]).unwrap());
    let (read, _) = numbers(&log, Position::default());
    assert_eq!(read.iter().map(|it| it.1).collect::<Vec<_>>(), [1, 7, 2]);
}

#[test]
fn fault_46_damage_is_set_aside_and_counted_and_costs_no_other() {
    let folder = TempDir::new().unwrap();
    let mut log = open(&folder);
    log.append(&(1..=9).map(event).collect::<Vec<_>>()).unwrap();
    let (all, _) = numbers(&log, log.settled());
    drop(log);
    let path = segment_files(&folder).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let (hit, next) = (size(all[4].0.offset), size(all[5].0.offset));
    bytes[hit + 30] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let log = open(&folder);
    let (read, damaged) = numbers(&log, log.settled());
    assert_eq!(
        read.iter().map(|it| it.1).collect::<Vec<_>>(),
        [1, 2, 3, 4, 6, 7, 8, 9]
    );
    assert_eq!(damaged, 1);
    let aside = fs::read(path.with_extension("damaged")).unwrap();
    assert_eq!(aside, bytes[hit..next]);
}

#[test]
fn what_is_settled_is_not_believed_if_it_can_not_be() {
    let folder = TempDir::new().unwrap();
    let mut log = open(&folder);
    log.append(&[event(1)]).unwrap();
    drop(log);
    for text in ["4294967295 0", "7 100", "", "x y"] {
        fs::write(folder.path().join("buffer").join(SETTLED), text).unwrap();
        let log = open(&folder);
        let (read, _) = numbers(&log, log.settled());
        assert_eq!(read.len(), 1, "{text}");
    }
}

#[test]
fn fault_47_files_of_another_form_are_left_alone() {
    let folder = TempDir::new().unwrap();
    open(&folder).append(&[event(1)]).unwrap();
    let path = segment_files(&folder).remove(0);
    fs::write(&path, b"EVBUF\0\0\x02from the future").unwrap();
    let refused = Log::open(&folder.path().join("buffer"), MIN_BYTES).unwrap_err();
    assert!(matches!(refused, BufferError::Foreign(at) if at == path));
    assert!(path.exists());
    let nowhere = Log::open(Path::new("/proc/none"), MIN_BYTES).unwrap_err();
    assert!(nowhere.to_string().contains("/proc/none"));
}

#[test]
fn fault_45_a_disk_that_fails_keeps_what_was_there() {
    let folder = TempDir::new().unwrap();
    let mut log = open(&folder);
    assert!(log.append(&[event(1)]).unwrap());
    // A disk that has no room.
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let segment = log.active.replace(full);
    assert!(log.append(&[event(2)]).is_err());
    log.active = segment;
    assert!(log.append(&[event(3)]).unwrap());
    drop(log);
    let log = open(&folder);
    let (read, damaged) = numbers(&log, log.settled());
    assert_eq!(read.iter().map(|it| it.1).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(damaged, 0);
}

#[test]
fn fault_45_where_nothing_can_be_kept_what_is_settled_makes_room() {
    let folder = TempDir::new().unwrap();
    let mut log = open(&folder);
    let batch: Vec<_> = (0..300).map(|at| event(2999 + at * 3000)).collect();
    while log.append(&batch).unwrap() {}
    let (all, _) = numbers(&log, log.settled());
    let end = log.read(all.last().unwrap().0).unwrap().next;
    // In the way of the file that says how far it is.
    fs::create_dir(folder.path().join("buffer").join(SETTLED)).unwrap();
    assert!(log.settle(end).is_err());
    assert_eq!(segment_files(&folder).len(), 1);
    assert!(log.append(&batch).unwrap());
}

#[test]
fn starts_that_write_nothing_leave_nothing() {
    let folder = TempDir::new().unwrap();
    for _ in 0..3 {
        drop(open(&folder));
    }
    assert_eq!(segment_files(&folder).len(), 0);
    open(&folder).append(&[event(1)]).unwrap();
    for _ in 0..3 {
        let log = open(&folder);
        assert_eq!(numbers(&log, log.settled()).0.len(), 1);
    }
    assert_eq!(segment_files(&folder).len(), 2);
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    /// Settles so many of a hundred of what is there.
    Settle(usize),
    /// Opens it again, after losing some of what was never promised.
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..200).prop_map(Step::Append),
        2 => (0_usize..=100).prop_map(Step::Settle),
        1 => (0_u64..5000).prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn fault_46_what_is_not_settled_is_there_in_its_order(steps in prop::collection::vec(step(), 1..40)) {
        let folder = TempDir::new().unwrap();
        let mut log = open(&folder);
        let (mut next, mut expected) = (0, VecDeque::new());
        for step in steps {
            match step {
                Step::Append(count) => {
                    let numbers = next..next + count as u64;
                    if log.append(&numbers.clone().map(event).collect::<Vec<_>>()).unwrap() {
                        next = numbers.end;
                        expected.extend(numbers);
                    }
                }
                Step::Settle(percent) => {
                    let (all, _) = numbers(&log, log.settled());
                    let at = all.len() * percent / 100;
                    let to = match all.get(at) {
                        Some((position, _)) => *position,
                        None => log.read(all.last().map_or(log.settled(), |it| it.0)).unwrap().next,
                    };
                    log.settle(to).unwrap();
                    expected.drain(..at);
                }
                Step::Crash(torn) => {
                    // A batch that was under way: some of it came to the disk.
                    if log.active.is_none() {
                        log.begin_segment().unwrap();
                    }
                    let path = segment_path(&log.folder, log.segments.back().unwrap().number);
                    let mut batch = Vec::new();
                    record::append(&event(u64::MAX - 1), &mut batch).unwrap();
                    let cut = size(torn).min(batch.len() - 1);
                    let mut file = OpenOptions::new().append(true).open(path).unwrap();
                    file.write_all(&batch[..cut]).unwrap();
                    drop(log);
                    log = open(&folder);
                }
            }
            let (read, damaged) = numbers(&log, log.settled());
            let read: Vec<u64> = read.into_iter().map(|it| it.1).collect();
            prop_assert_eq!(read, Vec::from(expected.clone()));
            prop_assert_eq!(damaged, 0);
        }
    }
}

#[test]
fn what_is_left_is_seen_without_opening_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("buffer");
    let look = || Log::look(&path).unwrap();
    let nothing = Held {
        bytes: 0,
        is_settled: true,
    };
    assert_eq!(look(), nothing);
    assert!(!path.exists());
    let mut log = open(&folder);
    assert!(look().is_settled);
    assert!(log.append(&[event(1), event(2)]).unwrap());
    let left = Held {
        bytes: log.bytes(),
        is_settled: false,
    };
    assert_eq!(look(), left);
    let end = log.read(log.settled()).unwrap().next;
    log.settle(end).unwrap();
    assert!(look().is_settled);
}
