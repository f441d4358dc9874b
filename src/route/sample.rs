//! A share of the events, told by their uids: the same in every process, and the same for all versions of an Event.

use aws_lc_rs::digest::{SHA256, digest};

use super::Place;
use crate::event::Event;
use crate::yaml::{Located, Problem};

/// The events that a route wants.
#[derive(Debug)]
pub struct Sample {
    /// Of all events, above 0 and at most 1.
    pub share: f64,
    /// Where it stands.
    pub(super) place: Place,
}

// === impl Sample ===

impl Sample {
    pub(super) fn compile(share: &Located<f64>) -> Result<Self, Problem> {
        if !(share.value > 0.0 && share.value <= 1.0) {
            return Err(share.problem(
                "must be above 0 and at most 1: `0.1` is a tenth of the events; for none of them, leave the route out",
            ));
        }
        Ok(Self {
            share: share.value,
            place: Place::of(share),
        })
    }

    /// Whether the event is one of them. A smaller sample is a part of every larger one.
    pub(super) fn has(&self, event: &Event) -> bool {
        position(event) < self.share
    }
}

/// Where the event's uid falls between 0 and 1: the first 53 bits of its SHA-256, which fit a float exactly. It may never
/// change, as what one process has left out, its successor has to leave out too.
pub(super) fn position(event: &Event) -> f64 {
    let hash = digest(&SHA256, event.metadata.uid.as_bytes());
    let first = hash.as_ref().iter().take(8);
    let bits = first.fold(0, |bits: u64, byte| bits << 8 | u64::from(*byte)) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "there are 53 of them")]
    let position = bits as f64 / (1_u64 << 53) as f64;
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(share: f64) -> Result<Sample, Problem> {
        Sample::compile(&Located {
            value: share,
            ..Located::default()
        })
    }

    fn event(uid: String) -> Event {
        let mut event = Event::default();
        event.metadata.uid = uid;
        event
    }

    #[test]
    fn it_is_the_same_in_every_process() {
        for (uid, expected) in [
            ("", 0.889_415_994_891_337_3),
            (
                "7e9a1c1e-3f0b-4f52-9d4e-0c8f7c9a0001",
                0.541_822_663_071_740_3,
            ),
        ] {
            let difference = position(&event(uid.to_owned())) - expected;
            assert!(difference.abs() < 1e-15, "{uid}: {difference}");
        }
    }

    #[test]
    fn it_is_as_large_as_it_should_be_and_a_part_of_every_larger_one() {
        let samples = [0.001, 0.1, 0.5, 1.0].map(|share| sample(share).unwrap());
        let mut counts = [0_u32; 4];
        for at in 0..20_000 {
            let event = event(format!("7e9a1c1e-3f0b-4f52-9d4e-{at:012x}"));
            let has = samples.each_ref().map(|sample| sample.has(&event));
            assert!(has.is_sorted(), "{has:?}");
            for (count, has) in counts.iter_mut().zip(has) {
                *count += u32::from(has);
            }
        }
        assert!((5..50).contains(&counts[0]), "{counts:?}");
        assert!((1800..2200).contains(&counts[1]), "{counts:?}");
        assert!((9700..10300).contains(&counts[2]), "{counts:?}");
        assert_eq!(counts[3], 20_000);
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for share in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(sample(share).is_err(), "{share}");
        }
    }
}
