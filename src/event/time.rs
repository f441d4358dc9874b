//! The time of day as an Event carries it: UTC, RFC 3339, from year 0 to the end of 9999.

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// An instant in UTC.
///
/// A civil date rather than [`Timestamp`], whose range ends a day before the last one that Kubernetes accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(DateTime);

impl Time {
    /// What stands where no time is known: the start of 1970.
    pub const EPOCH: Self = Self(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));

    /// Reads RFC 3339 in any offset. `None` for what isn't, and for Go's zero time, which Kubernetes means as absent.
    pub fn parse(text: &str) -> Option<Self> {
        let civil = parse_plain(text.as_bytes()).or_else(|| parse_any(text))?;
        (civil != DateTime::constant(1, 1, 1, 0, 0, 0, 0)).then_some(Self(civil))
    }

    /// Now, by the machine's clock.
    pub fn now() -> Self {
        Self::from(Timestamp::now())
    }

    /// How long ago this was at `now`; zero for the future.
    pub fn age(self, now: Self) -> std::time::Duration {
        now.0
            .duration_since(self.0)
            .try_into()
            .unwrap_or(std::time::Duration::ZERO)
    }

    /// So long before this.
    #[must_use]
    pub fn before(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }

    /// The date and the time of day in UTC.
    pub fn civil(self) -> DateTime {
        self.0
    }

    /// Nanoseconds since the start of 1970.
    pub fn nanoseconds(self) -> i128 {
        self.0.duration_since(Self::EPOCH.0).as_nanos()
    }

    /// RFC 3339 in whole seconds, as the API's `Time`.
    pub fn seconds(self) -> impl fmt::Display {
        Formatted {
            time: self.0,
            micros: false,
        }
    }

    /// RFC 3339 with six decimals, as the API's `MicroTime`.
    pub fn micros(self) -> impl fmt::Display {
        Formatted {
            time: self.0,
            micros: true,
        }
    }

    /// RFC 3339, with six decimals if there is a fraction of a second and in whole seconds else.
    pub fn shortest(self) -> impl fmt::Display {
        Formatted {
            time: self.0,
            micros: self.0.subsec_nanosecond() / 1000 != 0,
        }
    }
}

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Self {
        Self(Offset::UTC.to_datetime(timestamp))
    }
}

struct Formatted {
    time: DateTime,
    micros: bool,
}

impl fmt::Display for Formatted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time;
        let mut digits = *b"0000-00-00T00:00:00.000000Z";
        put(&mut digits[0..4], time.year().unsigned_abs().into());
        put(&mut digits[5..7], time.month().unsigned_abs().into());
        put(&mut digits[8..10], time.day().unsigned_abs().into());
        put(&mut digits[11..13], time.hour().unsigned_abs().into());
        put(&mut digits[14..16], time.minute().unsigned_abs().into());
        put(&mut digits[17..19], time.second().unsigned_abs().into());
        put(
            &mut digits[20..26],
            time.subsec_nanosecond().unsigned_abs() / 1000,
        );
        let text = str::from_utf8(&digits).map_err(|_| fmt::Error)?;
        if self.micros {
            f.write_str(text)
        } else {
            f.write_str(&text[..19])?;
            f.write_str("Z")
        }
    }
}

/// Writes `value` in decimal, right-aligned, over the zeros in `digits`.
fn put(digits: &mut [u8], mut value: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

/// The form nearly every timestamp has, `2024-05-01T10:00:00Z`, at a tenth of the general parser's cost.
fn parse_plain(text: &[u8]) -> Option<DateTime> {
    if text.len() != 20 || text[10] != b'T' || text[19] != b'Z' {
        return None;
    }
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| text[at] != byte) {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to].iter().try_fold(0_i16, |value, digit| {
            digit
                .is_ascii_digit()
                .then(|| value * 10 + i16::from(digit - b'0'))
        })
    };
    let small = |from: usize| i8::try_from(number(from, from + 2)?).ok();
    let date = Date::new(number(0, 4)?, small(5)?, small(8)?).ok()?;
    let time = jiff::civil::Time::new(small(11)?, small(14)?, small(17)?, 0).ok()?;
    Some(date.to_datetime(time))
}

fn parse_any(text: &str) -> Option<DateTime> {
    parse_usual(text).or_else(|| parse_usual(&as_usual(text)))
}

fn parse_usual(text: &str) -> Option<DateTime> {
    let pieces = Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset()?;
    let civil = pieces.date().to_datetime(pieces.time()?);
    civil
        .checked_sub(SignedDuration::from_secs(offset.seconds().into()))
        .ok()
}

/// What Go reads besides: more than nine digits of a fraction, and an hour of one digit.
fn as_usual(text: &str) -> String {
    let mut usual = text.to_owned();
    if let Some(dot) = usual.find(['.', ',']) {
        let digits = usual[dot + 1..].bytes().take_while(u8::is_ascii_digit);
        let end = dot + 1 + digits.count();
        usual.replace_range((dot + 10).min(end)..end, "");
    }
    if usual.as_bytes().get(10) == Some(&b'T') && usual.as_bytes().get(12) == Some(&b':') {
        usual.insert(11, '0');
    }
    usual
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_what_the_api_sends() {
        for (text, seconds, micros) in [
            (
                "2024-05-01T10:00:00Z",
                "2024-05-01T10:00:00Z",
                "2024-05-01T10:00:00.000000Z",
            ),
            (
                "2024-05-01T10:00:00.123456Z",
                "2024-05-01T10:00:00Z",
                "2024-05-01T10:00:00.123456Z",
            ),
            (
                "2024-05-01T10:00:00.1234567Z",
                "2024-05-01T10:00:00Z",
                "2024-05-01T10:00:00.123456Z",
            ),
            (
                "2024-05-01T10:00:00.9999999999Z",
                "2024-05-01T10:00:00Z",
                "2024-05-01T10:00:00.999999Z",
            ),
            (
                "2024-05-01T1:00:00Z",
                "2024-05-01T01:00:00Z",
                "2024-05-01T01:00:00.000000Z",
            ),
            (
                "2024-05-01T12:00:00+02:00",
                "2024-05-01T10:00:00Z",
                "2024-05-01T10:00:00.000000Z",
            ),
            (
                "2024-05-01T00:00:00+14:00",
                "2024-04-30T10:00:00Z",
                "2024-04-30T10:00:00.000000Z",
            ),
            (
                "0001-01-01T00:00:01Z",
                "0001-01-01T00:00:01Z",
                "0001-01-01T00:00:01.000000Z",
            ),
            (
                "9999-12-31T23:59:59Z",
                "9999-12-31T23:59:59Z",
                "9999-12-31T23:59:59.000000Z",
            ),
        ] {
            let time = Time::parse(text).unwrap();
            assert_eq!(time.seconds().to_string(), seconds, "{text}");
            assert_eq!(time.micros().to_string(), micros, "{text}");
        }
    }

    #[test]
    fn fault_22_refuses_what_is_no_time() {
        for text in [
            "",
            "0001-01-01T00:00:00Z",
            "2024-13-01T10:00:00Z",
            "2024-05-01",
            "2024-05-01T10:00:00",
            "now",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }

    #[test]
    fn fault_31_the_future_has_no_age() {
        let (early, late) = (
            Time::parse("2024-05-01T10:00:00Z").unwrap(),
            Time::parse("2024-05-01T10:01:00Z").unwrap(),
        );
        assert_eq!(early.age(late).as_secs(), 60);
        assert_eq!(late.age(early).as_secs(), 0);
    }
}
