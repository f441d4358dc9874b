//! Events that a real cluster has recorded, at other times and of other objects.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use jiff::{SignedDuration, Timestamp};
use regex::{Captures, Regex};

/// Those of the samples.
pub const SAMPLES: &str = include_str!("../../vectors/recorded/samples.jsonl");
const WATCH: &str = include_str!("../../vectors/recorded/watch.jsonl");

/// The times in them, later by so much.
pub fn later(events: &str, by: SignedDuration) -> String {
    let times = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").unwrap();
    let moved = times.replace_all(events, |time: &Captures<'_>| {
        let time: Timestamp = time[0].parse().unwrap();
        (time + by).to_string()
    });
    moved.into_owned()
}

/// So many of them, over a day, as if as many objects as that takes had been through the same.
pub fn events(count: usize) -> String {
    let watched = WATCH.lines().filter_map(|line| {
        let object = ["ADDED", "MODIFIED"]
            .into_iter()
            .find_map(|kind| line.strip_prefix(&format!("{{\"type\":\"{kind}\",\"object\":")));
        object?.strip_suffix('}')
    });
    let one_round: Vec<&str> = watched.chain(SAMPLES.lines()).collect();
    let one_round = one_round.join("\n") + "\n";
    let rounds = count.div_ceil(one_round.lines().count());
    let step = SignedDuration::from_secs(24 * 3600 / i64::try_from(rounds).unwrap());
    let identities = Regex::new(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\.[0-9a-f]{16}|-[a-z0-9]{8,10}-[a-z0-9]{5}\b",
    );
    let identities = identities.unwrap();
    let versions = Regex::new(r#""resourceVersion":"(\d+)""#).unwrap();
    let mut all = String::new();
    for round in 0..rounds {
        let others =
            identities.replace_all(&one_round, |found: &Captures<'_>| another(&found[0], round));
        let newer = versions.replace_all(&others, |found: &Captures<'_>| {
            let version: usize = found[1].parse().unwrap();
            format!(r#""resourceVersion":"{}""#, version + 10_000 * round)
        });
        all += &later(&newer, step * i32::try_from(round).unwrap());
    }
    all.lines()
        .take(count)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// An identity of the same form, the same wherever this one stands.
fn another(identity: &str, round: usize) -> String {
    let random = BuildHasherDefault::<DefaultHasher>::new();
    let changed = identity.chars().enumerate().map(|(at, digit)| {
        let hash = random.hash_one((identity, round, at / 8)) >> (8 * (at % 8));
        let alphabet = if identity.len() < 17 { 36 } else { 16 };
        if digit.is_ascii_alphanumeric() {
            char::from_digit((hash & 0xff) as u32 % alphabet, alphabet).unwrap()
        } else {
            digit
        }
    });
    changed.collect()
}
