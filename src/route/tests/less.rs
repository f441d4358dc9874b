//! Samples and throttles: routes that want less than what matches.

use super::*;

#[test]
fn a_sample_leaves_out_the_route_and_those_below_for_all_versions_of_an_event() {
    let tree = "routes:
- {sample: 0.5, match: [{reason: a, receiver: r}], routes: [{match: [{receiver: r}]}]}
- match: [{receiver: other}]";
    let (route, _) = compile(tree, &["r", "other"]);
    let route = route.unwrap();
    let mut wanted = 0;
    for at in 0..100 {
        let mut event = Event::default();
        event.metadata.uid = format!("uid-{at}");
        let unmatched = route.resolve(&event);
        assert_eq!((unmatched.receivers.len(), unmatched.sampled_out), (1, 0));
        event.reason = "a".to_owned();
        let resolution = route.resolve(&event);
        let (r, other) = (ReceiverId(0), ReceiverId(1));
        match resolution.sampled_out {
            0 => assert_eq!(resolution.receivers, [r, r, other]),
            _ => assert_eq!(resolution.receivers, [other]),
        }
        wanted += 1 - resolution.sampled_out;
        event.metadata.resource_version = "2".to_owned();
        event.count = 7;
        assert_eq!(route.resolve(&event), resolution);
    }
    assert!((30..70).contains(&wanted), "{wanted}");
}

#[test]
fn what_is_not_in_the_sample_is_not_looked_up() {
    let tree = "{sample: 0.5, match: [{labels: {a: b}, receiver: r}]}";
    let (route, _) = compile(tree, &["r"]);
    let route = route.unwrap();
    // By their hashes, ca97… and 3e23….
    for (uid, reads_object) in [("a", false), ("b", true)] {
        let mut event = Event::default();
        event.metadata.uid = uid.to_owned();
        assert_eq!(route.resolve(&event).reads_object, reads_object, "{uid}");
    }
}

#[test]
fn a_throttle_is_that_of_the_nearest_route_that_has_one() {
    let tree = "match: [{receiver: a}]
routes:
- throttle: {period: 1m}
  match: [{receiver: b}, {}]
  routes:
  - match: [{receiver: a}]
  - throttle: {period: 2m}
    match: [{receiver: b}]
- match: [{receiver: b}]";
    let (route, _) = compile(tree, &["a", "b"]);
    let resolution = route.unwrap().resolve(&Event::default());
    let periods: Vec<_> = (0..resolution.receivers.len())
        .map(|at| Some(resolution.throttle(at)?.period.as_secs()))
        .collect();
    assert_eq!(periods, [None, Some(60), Some(60), Some(120), None]);
}

#[test]
fn what_is_wrong_with_a_throttle_is_told_with_its_place() {
    for (throttle, told) in [
        (
            "{}",
            "1:11: throttle: a throttle needs a `period`, such as 5m",
        ),
        (
            "{period: 10ms}",
            "1:20: throttle.period: must be at least 1s",
        ),
        (
            "{period: 25h}",
            "1:20: throttle.period: must be at most 24h",
        ),
        (
            "{period: 1m, by: [reason, involvedobject]}",
            "1:37: throttle.by[1]: events can't be told apart by `involvedobject`: did you mean `involvedObject`?",
        ),
        (
            "{period: 1m, by: [labels]}",
            "1:29: throttle.by[0]: events can't be told apart by `labels`: there are involvedObject, type, kind, reason, namespace, name, apiVersion, component, host, reportingComponent, action, message",
        ),
    ] {
        let (route, _) = compile(&format!("throttle: {throttle}"), &[]);
        assert_eq!(route.unwrap_err().to_string(), told);
    }
}
