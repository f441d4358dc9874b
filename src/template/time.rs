//! Go's `time`: instants with a zone, durations, and the layouts in which both are read and written.
//!
//! A layout shows how the reference time, Mon Jan 2 15:04:05 2006 MST, would look (package time, Go 1.20).

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::event::Time;

mod layout;
mod parse;

pub(super) use self::parse::{parse, parse_duration};

/// An instant, and the zone that it is shown in.
#[derive(Debug, Clone)]
pub struct GoTime {
    /// Since 1970 in UTC.
    seconds: i64,
    nanos: u32,
    zone: Zone,
}

/// Where clocks show something else than UTC.
#[derive(Debug, Clone)]
enum Zone {
    Utc,
    /// From a text that was parsed: seconds east of UTC, and the name if one was given.
    Fixed(i32, String),
    Named(TimeZone),
}

/// A date and a time of day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    /// From 1.
    pub(super) day_of_year: i64,
    /// From Sunday, 0.
    pub(super) weekday: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const DAY: i64 = 86_400;
const NANOS: i64 = 1_000_000_000;
/// The start of year 1, which Go takes for no time at all.
const ZERO: i64 = -62_135_596_800;
/// Further away no calendar is worth anything, and sums would overflow.
const FARTHEST: i64 = 1 << 53;

// === impl GoTime ===

impl GoTime {
    /// The start of year 1, Go's "no time".
    pub(super) const ZERO: Self = Self {
        seconds: ZERO,
        nanos: 0,
        zone: Zone::Utc,
    };

    /// So many seconds and nanoseconds after the start of 1970.
    pub(super) fn unix(seconds: i64, nanos: i64) -> Self {
        let seconds = seconds.saturating_add(nanos.div_euclid(NANOS));
        Self {
            seconds: seconds.clamp(-FARTHEST, FARTHEST),
            nanos: u32::try_from(nanos.rem_euclid(NANOS)).unwrap_or(0),
            zone: Zone::Utc,
        }
    }

    /// Now, by the machine's clock.
    pub(super) fn now() -> Self {
        Self::from(Timestamp::now())
    }

    fn civil_utc(year: i64, month: i64, day: i64, second_of_day: i64, nanos: i64) -> Self {
        let days = days_of_civil(year, month, day);
        Self::unix(
            days.saturating_mul(DAY).saturating_add(second_of_day),
            nanos,
        )
    }

    pub(super) fn seconds(&self) -> i64 {
        self.seconds
    }

    pub(super) fn nanos(&self) -> i64 {
        self.nanos.into()
    }

    /// Since 1970, in nanoseconds; of no use before 1678 and after 2262, as in Go.
    pub(super) fn unix_nanos(&self) -> i64 {
        self.seconds.wrapping_mul(NANOS).wrapping_add(self.nanos())
    }

    /// Since 1970, in parts of a second, `per_second` of them.
    pub(super) fn unix_in(&self, per_second: i64) -> i64 {
        self.seconds
            .wrapping_mul(per_second)
            .wrapping_add(self.nanos() / (NANOS / per_second))
    }

    pub(super) fn is_zero(&self) -> bool {
        (self.seconds, self.nanos) == (ZERO, 0)
    }

    /// The same instant in UTC.
    pub(super) fn utc(&self) -> Self {
        Self {
            zone: Zone::Utc,
            ..*self
        }
    }

    /// The same instant where `name` (of the IANA database) is, or in UTC if there is no such place, as sprig has it.
    pub(super) fn in_zone(&self, name: &str) -> Self {
        let zone = match name {
            "" | "UTC" | "Local" => Zone::Utc,
            // The one inside of the program: no template reads files. Names have the case that files have.
            name => TimeZoneDatabase::bundled()
                .get(name)
                .ok()
                .filter(|zone| zone.iana_name() == Some(name))
                .map_or(Zone::Utc, Zone::Named),
        };
        Self { zone, ..*self }
    }

    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        (self.seconds, self.nanos).cmp(&(other.seconds, other.nanos))
    }

    /// Whether it is the same instant, and shown in the same zone.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.order(other).is_eq() && self.offset() == other.offset()
    }

    /// Nanoseconds from `other` to this; the longest duration if that is not enough.
    pub(super) fn since(&self, other: &Self) -> i64 {
        let nanos = i128::from(self.seconds - other.seconds) * i128::from(NANOS)
            + i128::from(self.nanos() - other.nanos());
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }

    /// Later by a duration in nanoseconds.
    pub(super) fn plus(&self, duration: i64) -> Self {
        let seconds = self.seconds.saturating_add(duration.div_euclid(NANOS));
        Self {
            zone: self.zone.clone(),
            ..Self::unix(seconds, self.nanos() + duration.rem_euclid(NANOS))
        }
    }

    /// On another day, at the same time of day where it is.
    pub(super) fn plus_date(&self, years: i64, months: i64, days: i64) -> Self {
        let civil = self.civil();
        let limit = 1_000_000_000_000;
        let months = civil.month - 1 + months.clamp(-limit, limit);
        let year = civil.year + years.clamp(-limit, limit) + months.div_euclid(12);
        let first = days_of_civil(year, months.rem_euclid(12) + 1, 1);
        let days = first
            .saturating_add(civil.day - 1)
            .saturating_add(days.clamp(-limit, limit));
        let of_day = civil.hour * 3600 + civil.minute * 60 + civil.second;
        let local = days.saturating_mul(DAY).saturating_add(of_day);
        let mut moved = Self::unix(local, self.nanos());
        moved.zone = self.zone.clone();
        // What is on the clock there is what was on it before.
        moved.seconds -= i64::from(moved.zone.at(local).0);
        moved.seconds = local - i64::from(moved.zone.at(moved.seconds).0);
        moved
    }

    /// Down to a multiple of `duration` since the start of year 1; half up with `round`.
    pub(super) fn to_multiple(&self, duration: i64, round: bool) -> Self {
        if duration <= 0 {
            return self.clone();
        }
        let since = i128::from(self.seconds - ZERO) * i128::from(NANOS) + i128::from(self.nanos);
        let over = i64::try_from(since.rem_euclid(duration.into())).unwrap_or(0);
        if round && over.saturating_mul(2) >= duration {
            self.plus(duration - over)
        } else {
            self.plus(-over)
        }
    }

    /// Seconds east of UTC, and what the zone is called, at this instant.
    fn offset(&self) -> (i32, String) {
        self.zone.at(self.seconds)
    }

    /// What calendar and clock show.
    pub(super) fn civil(&self) -> Civil {
        let local = self.seconds + i64::from(self.zone.seconds_at(self.seconds));
        let (days, of_day) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = civil_of_days(days);
        Civil {
            year,
            month,
            day,
            day_of_year: days - days_of_civil(year, 1, 1) + 1,
            weekday: (days + 4).rem_euclid(7),
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }

    /// Appends it in one of Go's layouts.
    pub fn format(&self, layout: &str, to: &mut String) {
        layout::format(self, layout, to);
    }

    /// As Go's `Time.String`.
    pub(super) fn append(&self, to: &mut String) {
        if !matches!(self.zone, Zone::Utc) {
            return self.format("2006-01-02 15:04:05.999999999 -0700 MST", to);
        }
        // The same without looking for the elements: this is how nearly every time is printed.
        let civil = self.civil();
        let date = (civil.year, civil.month, civil.day);
        // Writing to a string does not fail.
        let _ = write!(to, "{:04}-{:02}-{:02} ", date.0, date.1, date.2);
        let _ = write!(
            to,
            "{:02}:{:02}:{:02}",
            civil.hour, civil.minute, civil.second
        );
        if self.nanos > 0 {
            let fraction = format!("{:09}", self.nanos);
            let _ = write!(to, ".{}", fraction.trim_end_matches('0'));
        }
        to.push_str(" +0000 UTC");
    }
}

impl From<Time> for GoTime {
    fn from(time: Time) -> Self {
        let civil = time.civil();
        let of_day = i64::from(civil.hour()) * 3600
            + i64::from(civil.minute()) * 60
            + i64::from(civil.second());
        Self::civil_utc(
            civil.year().into(),
            civil.month().into(),
            civil.day().into(),
            of_day,
            civil.subsec_nanosecond().into(),
        )
    }
}

impl From<Timestamp> for GoTime {
    fn from(timestamp: Timestamp) -> Self {
        Self::unix(timestamp.as_second(), timestamp.subsec_nanosecond().into())
    }
}

// === impl Zone ===

impl Zone {
    fn seconds_at(&self, seconds: i64) -> i32 {
        match self {
            Self::Utc => 0,
            Self::Fixed(offset, _) => *offset,
            Self::Named(zone) => instant(seconds).map_or(0, |at| zone.to_offset(at).seconds()),
        }
    }

    fn at(&self, seconds: i64) -> (i32, String) {
        match self {
            Self::Utc => (0, "UTC".to_owned()),
            Self::Fixed(offset, name) => (*offset, name.clone()),
            Self::Named(zone) => match instant(seconds) {
                None => (0, "UTC".to_owned()),
                Some(at) => {
                    let info = zone.to_offset_info(at);
                    (info.offset().seconds(), info.abbreviation().to_owned())
                }
            },
        }
    }
}

fn instant(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}

/// Days since 1970 of a date in the proleptic Gregorian calendar.
fn days_of_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last.
    let year = year.clamp(-FARTHEST / DAY, FARTHEST / DAY) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Appends a duration in nanoseconds as Go's `Duration.String`: `1h0m5.5s`, `1.5ms`, `0s`.
pub(super) fn append_duration(duration: i64, to: &mut String) {
    let nanos = duration.unsigned_abs();
    if duration < 0 {
        to.push('-');
    }
    let fraction = |value: u64, unit: u64, to: &mut String| {
        let digits = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        let digits = digits.trim_end_matches('0');
        let _ = match digits {
            "" => write!(to, "{}", value / unit),
            digits => write!(to, "{}.{digits}", value / unit),
        };
    };
    match nanos {
        0 => to.push_str("0s"),
        1..1_000 => {
            let _ = write!(to, "{nanos}ns");
        }
        1_000..1_000_000 => {
            fraction(nanos, 1_000, to);
            to.push_str("µs");
        }
        1_000_000..1_000_000_000 => {
            fraction(nanos, 1_000_000, to);
            to.push_str("ms");
        }
        _ => {
            let minutes = nanos / 60_000_000_000;
            if minutes >= 60 {
                let _ = write!(to, "{}h", minutes / 60);
            }
            if minutes > 0 {
                let _ = write!(to, "{}m", minutes % 60);
            }
            fraction(nanos % 60_000_000_000, 1_000_000_000, to);
            to.push('s');
        }
    }
}
