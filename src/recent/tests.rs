use futures::FutureExt as _;
use tokio::time::advance;

use super::*;

fn event(reason: &str, bytes: usize) -> Arc<Event> {
    Arc::new(Event {
        reason: reason.to_owned(),
        message: "x".repeat(bytes),
        ..Event::default()
    })
}

fn saw(recent: &Recent, reason: &str, bytes: usize) {
    let went = Went {
        to: format!("for-{reason}"),
        fate: Fate::Queued,
    };
    recent.saw(event(reason, bytes), vec![went], false);
}

fn wanted(receiver: Option<&str>, pairs: &[(&str, &str)]) -> Wanted {
    Wanted {
        receiver: receiver.map(str::to_owned),
        filter: Filter::compile(pairs.iter().copied()).unwrap(),
    }
}

/// The reasons of events, and how many are missing between them.
fn shown(tap: &Tap) -> Vec<String> {
    let next = std::iter::from_fn(|| tap.now());
    next.take(5000)
        .map_while(|tapped| match tapped {
            Tapped::Seen(seen) => Some(seen.event.reason.clone()),
            Tapped::Lost(lost) => Some(format!("{lost} lost")),
            Tapped::Closed => None,
        })
        .collect()
}

#[test]
fn the_last_are_kept_by_number_and_weight() {
    let recent = Recent::default();
    for at in 0..60 {
        saw(&recent, &at.to_string(), 10);
    }
    let last = recent.last();
    assert_eq!(last.len(), MAX_RECENT);
    assert_eq!((last[0].number, last[49].number), (11, 60));
    saw(&recent, "large", MAX_BYTES - 20 * event("", 10).weight());
    let last = recent.last();
    assert!(last.len() < 20, "{}", last.len());
    assert_eq!(last.last().unwrap().event.reason, "large");
    saw(&recent, "too large", MAX_BYTES);
    assert!(recent.find(62).is_none() && recent.find(61).is_some());
    let held: usize = recent.last().iter().map(|seen| seen.event.weight()).sum();
    assert_eq!(held, recent.state().bytes);
}

#[test]
fn a_tap_shows_what_is_wanted_of_the_past_and_what_comes() {
    let recent = Recent::default();
    saw(&recent, "a", 1);
    saw(&recent, "b", 1);
    let a = recent.tap(wanted(None, &[("reason", "^a$")])).unwrap();
    let for_b = recent.tap(wanted(Some("for-b"), &[])).unwrap();
    assert_eq!(shown(&a), ["a"]);
    assert_eq!(shown(&for_b), ["b"]);
    saw(&recent, "a", 1);
    saw(&recent, "b", 1);
    assert!(a.next().now_or_never().is_some());
    assert!(a.next().now_or_never().is_none());
    assert_eq!(shown(&for_b), ["b"]);
}

#[tokio::test]
async fn who_waits_is_told_at_once() {
    let recent = Arc::new(Recent::default());
    let tap = recent.tap(wanted(None, &[])).unwrap();
    let (tapped, ()) = tokio::join!(tap.next(), async { saw(&recent, "a", 1) });
    assert!(matches!(tapped, Tapped::Seen(seen) if seen.event.reason == "a"));
}

#[test]
fn a_slow_tap_loses_what_finds_no_room_and_is_told_where_and_how_many() {
    let recent = Recent::default();
    let tap = recent.tap(wanted(None, &[])).unwrap();
    let most = MAX_TAP_BYTES / event("000", 1).weight();
    for at in 0..most + 3 {
        saw(&recent, &format!("{at:03}"), 1);
    }
    for _ in 0..2 {
        assert!(tap.now().is_some());
    }
    saw(&recent, "again", 1);
    let shown = shown(&tap);
    let end = &shown[shown.len() - 3..];
    assert_eq!(end, [&format!("{:03}", most - 1), "3 lost", "again"]);
    assert_eq!(tap.buffer().bytes, 0);
    // One that is heavier than all there is room for.
    saw(&recent, "heavy", MAX_TAP_BYTES);
    saw(&recent, "light", 1);
    assert_eq!(self::shown(&tap), ["heavy", "1 lost"]);
}

#[tokio::test(start_paused = true)]
async fn a_tap_that_nobody_reads_is_closed() {
    let recent = Recent::default();
    let tap = recent.tap(wanted(None, &[])).unwrap();
    advance(ABANDONED * 2).await;
    saw(&recent, "first", MAX_TAP_BYTES);
    assert_eq!(recent.state().taps.len(), 1, "what has room is no trouble");
    saw(&recent, "second", 1);
    assert_eq!(recent.state().taps.len(), 0);
    assert!(tap.closed().is_cancelled(), "its connection may end");
    assert!(
        matches!(tap.now(), Some(Tapped::Closed)),
        "what it has not shown is let go"
    );
    let other = recent.tap(wanted(None, &[])).unwrap();
    let closed = other.closed();
    assert!(!closed.is_cancelled());
    drop(other);
    assert!(closed.is_cancelled(), "a HEAD never reads what it asks for");
}

#[test]
fn only_a_few_may_follow() {
    let recent = Recent::default();
    let mut taps: Vec<_> = (0..MAX_TAPS)
        .map(|_| recent.tap(wanted(None, &[])).unwrap())
        .collect();
    assert!(recent.tap(wanted(None, &[])).is_none());
    taps.pop();
    assert!(recent.tap(wanted(None, &[])).is_some(), "one has gone");
}
