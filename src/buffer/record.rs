//! How an event stands in a file: a mark, the length, a checksum, and the document.
//!
//! The mark is a byte that no text in UTF-8 has, so that after a damaged record the next one is found.

use std::ops::Range;

use crate::event::{self, Compat, Document, DocumentOptions, Event};

/// What begins a record.
const MARK: u8 = 0xf5;
/// Mark, length and checksum.
const HEAD: usize = 9;
/// No event is nearly as heavy; what claims to be is damaged.
const MAX_LENGTH: usize = 16 << 20;
const AS_IT_IS: DocumentOptions = DocumentOptions {
    compat: Compat::Whole,
    de_dot: false,
};

/// What stands at a place.
#[derive(Debug)]
pub(super) enum Found {
    /// An event, and where the next record begins.
    Event(Box<Event>, usize),
    /// Something else, up to where the next record begins.
    Damaged(Range<usize>),
    /// More than there is: the rest of the record is elsewhere, or was never written.
    Cut,
}

/// Appends an event.
///
/// # Errors
/// None that are known: nothing in a document can fail to serialize.
pub(super) fn append(event: &Event, to: &mut Vec<u8>) -> serde_json::Result<()> {
    let start = to.len();
    to.extend([MARK; HEAD]);
    let options = AS_IT_IS;
    Document { event, options }.append(to)?;
    let length = u32::try_from(to.len() - start - HEAD).unwrap_or(u32::MAX);
    to[start + 1..start + 5].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&to[start + 1..start + 5], &to[start + HEAD..]);
    to[start + 5..start + HEAD].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// What stands at `at` in `bytes`, which end there only if `is_all`.
pub(super) fn read(bytes: &[u8], at: usize, is_all: bool) -> Found {
    match whole(bytes, at) {
        Whole::Record(payload) => match event::from_slice(&bytes[payload.clone()]) {
            Ok(event) => Found::Event(Box::new(event), payload.end),
            Err(_) => Found::Damaged(at..payload.end),
        },
        Whole::Cut if !is_all => Found::Cut,
        Whole::Cut | Whole::Damaged => next(bytes, at, is_all),
    }
}

/// Looks for the next record behind one that is damaged or cut off.
fn next(bytes: &[u8], at: usize, is_all: bool) -> Found {
    let mut cut = false;
    for start in memchr::memchr_iter(MARK, &bytes[at..]).map(|it| at + it) {
        if start == at {
            continue;
        }
        match whole(bytes, start) {
            Whole::Record(_) => return Found::Damaged(at..start),
            Whole::Cut => cut = true,
            Whole::Damaged => {}
        }
    }
    let is_empty = bytes[at..].iter().all(|&byte| byte == 0);
    let is_torn = matches!(whole(bytes, at), Whole::Cut) || is_empty;
    if (is_all && is_torn) || (!is_all && cut) {
        return Found::Cut;
    }
    Found::Damaged(at..bytes.len())
}

enum Whole {
    /// Where its document is.
    Record(Range<usize>),
    Cut,
    Damaged,
}

fn whole(bytes: &[u8], at: usize) -> Whole {
    let rest = &bytes[at..];
    if rest.first() != Some(&MARK) {
        return Whole::Damaged;
    }
    let (Some(length), Some(sum)) = (number(rest, 1), number(rest, 5)) else {
        return Whole::Cut;
    };
    let length = length as usize;
    if length > MAX_LENGTH {
        return Whole::Damaged;
    }
    let Some(document) = rest.get(HEAD..HEAD + length) else {
        return Whole::Cut;
    };
    if checksum(&rest[1..5], document) != sum {
        return Whole::Damaged;
    }
    Whole::Record(at + HEAD..at + HEAD + length)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn checksum(length: &[u8], document: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(document);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::testing::recorded;

    fn events(bytes: &[u8]) -> (Vec<Event>, usize) {
        let (mut at, mut events, mut damaged) = (0, Vec::new(), 0);
        while at < bytes.len() {
            match read(bytes, at, true) {
                Found::Event(event, next) => {
                    events.push(*event);
                    at = next;
                }
                Found::Damaged(range) => {
                    assert_eq!(range.start, at);
                    damaged += 1;
                    at = range.end;
                }
                Found::Cut => break,
            }
        }
        (events, damaged)
    }

    fn three() -> (Vec<Event>, Vec<u8>, Vec<usize>) {
        let three: Vec<Event> = recorded().into_values().take(3).collect();
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for event in &three {
            append(event, &mut bytes).unwrap();
            ends.push(bytes.len());
        }
        (three, bytes, ends)
    }

    #[test]
    fn events_are_read_as_they_were() {
        for (name, event) in recorded() {
            let mut bytes = Vec::new();
            append(&event, &mut bytes).unwrap();
            let (read, damaged) = events(&bytes);
            assert_eq!((read, damaged), (vec![event], 0), "{name}");
        }
    }

    #[test]
    fn fault_46_a_flipped_bit_costs_its_record_and_no_other() {
        let (three, bytes, ends) = three();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let hit = ends.iter().filter(|end| **end <= at).count();
            let left: Vec<Event> = (0..3)
                .filter(|&it| it != hit)
                .map(|it| three[it].clone())
                .collect();
            let (read, damaged) = events(&flipped);
            assert_eq!(read, left, "{at}");
            // One whose length runs past the end may as well not have been written whole.
            assert!(damaged == 1 || hit == 2, "{at}");
        }
    }

    #[test]
    fn what_is_torn_off_was_not_written_and_is_no_damage() {
        let (three, bytes, ends) = three();
        for length in 0..bytes.len() {
            let whole = ends.iter().filter(|end| **end <= length).count();
            assert_eq!(
                events(&bytes[..length]),
                (three[..whole].to_vec(), 0),
                "{length}"
            );
            let zeros = [&bytes[..ends[whole.max(1) - 1]], &[0; 100]].concat();
            assert_eq!(events(&zeros).1, 0, "room that was never written");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_between_records_costs_none_behind_it(
            noise in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(MARK), 1 => Just(0)], 1..300),
            at in 0_usize..=3,
            cut in 0_usize..300,
        ) {
            let (three, bytes, ends) = three();
            let start = if at == 0 { 0 } else { ends[at - 1] };
            let spoilt = [&bytes[..start], &noise, &bytes[start..]].concat();
            let (read, damaged) = events(&spoilt);
            prop_assert_eq!(&read, &three);
            prop_assert!(damaged <= 1);
            // Nor does anything stop it.
            let _ = events(&spoilt[cut.min(spoilt.len())..]);
        }
    }
}
