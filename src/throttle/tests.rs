use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::route::{Resolution, Route, RouteConfig};

/// A resolution whose only receiver is behind this throttle.
fn behind(throttle: &str) -> Resolution {
    let text = format!("throttle: {throttle}\nmatch: [{{receiver: r}}]");
    let config: RouteConfig = crate::yaml::parse(&text, &|_| None).unwrap().value;
    let route = Route::compile(&config, &["r"], &mut Vec::new()).unwrap();
    route.resolve(&Event::default())
}

fn throttles() -> Throttles {
    let counter = || IntCounter::new("x", "x").unwrap();
    Throttles::new(counter(), counter())
}

/// At a second, of a version.
fn event(second: u64, version: u64) -> Event {
    let minutes = second / 60;
    let time = format!("2024-05-01T10:{minutes:02}:{:02}Z", second % 60);
    let mut event = Event {
        last_timestamp: Time::parse(&time),
        ..Event::default()
    };
    event.origin.version.version = version;
    event
}

const PASS: Answer = Answer::Pass(0);

#[test]
fn the_first_goes_on_at_once_and_then_one_a_period_with_a_count() {
    let (minute, throttles) = (behind("{period: 1m}"), throttles());
    let throttle = minute.throttle(0).unwrap();
    let ask = |second, version| throttles.ask(throttle, &event(second, version), Time::now());
    assert_eq!(
        [ask(0, 1), ask(1, 2), ask(59, 3)],
        [PASS, Answer::Hold, Answer::Hold]
    );
    assert_eq!(ask(60, 4), Answer::Pass(2));
    assert_eq!([ask(119, 5), ask(200, 6)], [Answer::Hold, Answer::Pass(1)]);
    assert_eq!(ask(900, 7), PASS);
    // It comes late, and is no first one.
    assert_eq!(ask(30, 8), Answer::Hold);
    assert_eq!(throttles.held.get(), 4);
}

#[test]
fn what_is_offered_again_gets_the_same_answer_and_is_counted_once() {
    let (minute, throttles) = (behind("{period: 1m}"), throttles());
    let throttle = minute.throttle(0).unwrap();
    let ask = |second, version| throttles.ask(throttle, &event(second, version), Time::now());
    for _ in 0..2 {
        assert_eq!(
            [ask(0, 1), ask(1, 2), ask(2, 3)],
            [PASS, Answer::Hold, Answer::Hold]
        );
    }
    assert_eq!([ask(60, 4), ask(60, 4)], [Answer::Pass(2); 2]);
    assert_eq!(
        [ask(2, 3), ask(0, 1), ask(120, 5)],
        [Answer::Hold, PASS, PASS]
    );
    assert_eq!(throttles.held.get(), 2);
}

#[test]
fn the_next_takes_the_place_of_one_that_was_given_up() {
    let (minute, throttles) = (behind("{period: 1m}"), throttles());
    let throttle = minute.throttle(0);
    let pass = |second, version| {
        let event = Arc::new(event(second, version));
        let passed = throttles.pass(throttle, &event)?;
        Some(passed.into_owned())
    };
    assert_eq!(pass(0, 1).unwrap().suppressed, 0);
    assert!(pass(1, 2).is_none());
    let given_up = pass(60, 3).unwrap();
    assert_eq!(given_up.suppressed, 1);
    throttles.give_up(throttle, &given_up);
    assert_eq!(
        pass(61, 4).unwrap().suppressed,
        2,
        "those of before, and it"
    );
    assert!(pass(62, 5).is_none());
}

#[test]
fn one_that_found_no_room_goes_on_when_it_is_offered_again_however_much_comes_between() {
    let (minute, throttles) = (behind("{period: 1m}"), throttles());
    let throttle = minute.throttle(0);
    let pass = |event: Event| {
        let event = Arc::new(event);
        Some(throttles.pass(throttle, &event)?.suppressed)
    };
    assert_eq!([pass(event(0, 1)), pass(event(1, 2))], [Some(0), None]);
    let mut passed = event(60, 3);
    passed.suppressed = 1;
    assert_eq!(pass(event(60, 3)), Some(1));
    throttles.offer_again(throttle, &passed);
    for version in 0..=u64::try_from(MOST).unwrap() {
        pass(Event {
            reason: "other".to_owned(),
            ..event(0, 10 + version)
        });
    }
    assert_eq!([pass(event(60, 3)), pass(event(61, 4))], [Some(1), None]);
}

#[test]
fn a_clock_that_is_ahead_silences_nobody_for_longer_than_a_period() {
    let (minute, throttles) = (behind("{period: 1m}"), throttles());
    let throttle = minute.throttle(0).unwrap();
    let at = |second| event(second, 0).occurred();
    assert_eq!(throttles.ask(throttle, &event(3000, 1), at(0)), PASS);
    assert_eq!(throttles.ask(throttle, &event(61, 2), at(61)), PASS);
}

#[test]
fn kinds_are_what_the_configuration_says() {
    let passed = |by: &str| {
        let (minute, throttles) = (behind(&format!("{{period: 1m{by}}}")), throttles());
        let throttle = minute.throttle(0).unwrap();
        let objects = [
            ("a", "x", "1"),
            ("a", "y", "1"),
            ("b", "x", "2"),
            ("a", "x", "3"),
        ];
        let passes = objects.into_iter().filter(|(name, reason, uid)| {
            let mut event = event(0, 0);
            event.involved_object.name = (*name).to_owned();
            event.involved_object.uid = (*uid).to_owned();
            event.reason = (*reason).to_owned();
            throttles.ask(throttle, &event, Time::now()) == PASS
        });
        passes.count()
    };
    assert_eq!(passed(""), 3);
    assert_eq!(passed(", by: [reason]"), 2);
    assert_eq!(passed(", by: involvedObject"), 2);
    assert_eq!(passed(", by: []"), 1);
}

#[test]
fn throttles_of_several_routes_are_apart() {
    let text = "routes: [{throttle: {period: 1m}, match: [{receiver: r}]}, {throttle: {period: 1m}, match: [{receiver: r}]}]";
    let config: RouteConfig = crate::yaml::parse(text, &|_| None).unwrap().value;
    let route = Route::compile(&config, &["r"], &mut Vec::new()).unwrap();
    let (resolution, throttles) = (route.resolve(&Event::default()), throttles());
    for at in 0..2 {
        let throttle = resolution.throttle(at).unwrap();
        let ask = |version| throttles.ask(throttle, &event(0, version), Time::now());
        assert_eq!([ask(1), ask(2)], [PASS, Answer::Hold]);
    }
}

#[test]
fn of_too_many_kinds_the_one_that_came_least_lately_is_forgotten() {
    let (minute, throttles) = (behind("{period: 1m, by: [reason]}"), throttles());
    let throttle = minute.throttle(0).unwrap();
    let ask = |reason: usize| {
        let mut event = event(0, 0);
        event.reason = reason.to_string();
        throttles.ask(throttle, &event, Time::now())
    };
    for reason in 0..MOST {
        assert_eq!(ask(reason), PASS);
    }
    assert_eq!([ask(0), ask(MOST)], [Answer::Hold, PASS]);
    assert_eq!([ask(0), ask(1)], [Answer::Hold, PASS], "1 had to go");
    assert_eq!(throttles.forgotten.get(), 2);
    let state = throttles.state();
    assert_eq!(
        (state.kinds.values.len(), state.kinds.order.len()),
        (MOST, MOST)
    );
}

proptest! {
    /// In whatever order they come, and however often: there is one a period of each kind, and everything is told of once.
    #[test]
    fn fault_50_everything_is_let_through_or_told_of_once(
        times in vec((0_usize..3, 0_u64..600), 1..80),
        offered in vec(any::<prop::sample::Index>(), 1..200),
    ) {
        let (minute, throttles) = (behind("{period: 1m, by: [reason]}"), throttles());
        let throttle = minute.throttle(0).unwrap();
        let ask = |version: usize, kind: usize, second| {
            let mut event = event(second, 1 + version as u64);
            event.reason = kind.to_string();
            throttles.ask(throttle, &event, Time::now())
        };
        let mut answers = BTreeMap::new();
        for version in offered.iter().map(|index| index.index(times.len())) {
            let (kind, second) = times[version];
            let answer = ask(version, kind, second);
            prop_assert_eq!(*answers.entry(version).or_insert(answer), answer);
        }
        for kind in 0..3 {
            let of_kind = || answers.iter().filter(|(version, _)| times[**version].0 == kind);
            let passed = of_kind().filter(|(_, answer)| **answer != Answer::Hold);
            let mut seconds: Vec<u64> = passed.map(|(version, _)| times[*version].1).collect();
            seconds.sort_unstable();
            prop_assert!(seconds.windows(2).all(|two| two[1] - two[0] >= 60), "{seconds:?}");
            // The rest is told by the one that comes next.
            let next = ask(times.len() + kind, kind, 700);
            let told = of_kind().map(|(_, answer)| *answer).chain([next]).map(|answer| match answer {
                Answer::Pass(suppressed) => suppressed,
                Answer::Hold => 0,
            });
            prop_assert_eq!(told.sum::<u64>(), (of_kind().count() - seconds.len()) as u64);
        }
    }
}
