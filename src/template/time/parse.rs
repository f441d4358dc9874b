//! Reading times in Go's layouts, and durations.

use super::layout::{Element as E, OffsetStyle, next_element};
use super::{DAYS, GoTime, MONTHS, NANOS, Zone, days_of_civil};

/// What a text has said so far.
#[derive(Default)]
struct Parts {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    /// Of a clock that counts to twelve.
    afternoon: Option<bool>,
    offset: Option<i32>,
    zone: Option<String>,
    /// A `Z` for the offset, or `UTC` for the name, outranks whatever else says where it is.
    is_utc: bool,
}

/// Reads a time that is written in `layout`. `None` if it is not.
pub(in super::super) fn parse(layout: &str, text: &str) -> Option<GoTime> {
    let mut parts = Parts::default();
    let (mut layout, mut text) = (layout, text);
    loop {
        let Some((before, element, after)) = next_element(layout) else {
            return skip(layout, text)?.is_empty().then(|| parts.time())?;
        };
        text = parts.read(element, after, skip(before, text)?)?;
        layout = after;
    }
}

/// What follows `prefix` in `text`; one space in a layout stands for any number of them.
fn skip<'t>(prefix: &str, text: &'t str) -> Option<&'t str> {
    let (mut prefix, mut text) = (prefix, text);
    while let Some(c) = prefix.chars().next() {
        if c == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return None;
            }
            prefix = prefix.trim_start_matches(' ');
            text = text.trim_start_matches(' ');
            continue;
        }
        text = text.strip_prefix(c)?;
        prefix = &prefix[c.len_utf8()..];
    }
    Some(text)
}

// === impl Parts ===

impl Parts {
    /// Reads one element; returns the rest.
    fn read<'t>(&mut self, element: E, after: &str, text: &'t str) -> Option<&'t str> {
        let rest = match element {
            E::Year => {
                let (year, rest) = digits(text, 2, 2)?;
                self.year = if year >= 69 { 1900 + year } else { 2000 + year };
                rest
            }
            E::LongYear => set(&mut self.year, digits(text, 4, 4)?),
            E::LongMonth => {
                let (month, rest) = named(text, &MONTHS, usize::MAX)?;
                self.month = Some(month + 1);
                rest
            }
            E::Month => {
                let (month, rest) = named(text, &MONTHS, 3)?;
                self.month = Some(month + 1);
                rest
            }
            E::NumericMonth => some(&mut self.month, in_range(digits(text, 1, 2)?, 1, 12)?),
            E::ZeroMonth => some(&mut self.month, in_range(digits(text, 2, 2)?, 1, 12)?),
            E::LongWeekday => named(text, &DAYS, usize::MAX)?.1,
            E::Weekday => named(text, &DAYS, 3)?.1,
            E::Day => some(&mut self.day, digits(text, 1, 2)?),
            E::ZeroDay => some(&mut self.day, digits(text, 2, 2)?),
            E::SpaceDay => {
                let text = text.strip_prefix(' ').unwrap_or(text);
                some(&mut self.day, digits(text, 1, 2)?)
            }
            E::ZeroYearDay => some(&mut self.day_of_year, digits(text, 3, 3)?),
            E::SpaceYearDay => {
                let text = text.trim_start_matches(' ');
                some(&mut self.day_of_year, digits(text, 1, 3)?)
            }
            E::Hour => set(&mut self.hour, in_range(digits(text, 1, 2)?, 0, 23)?),
            E::Hour12 => set(&mut self.hour, in_range(digits(text, 1, 2)?, 0, 12)?),
            E::ZeroHour12 => set(&mut self.hour, in_range(digits(text, 2, 2)?, 0, 12)?),
            E::Minute => set(&mut self.minute, in_range(digits(text, 1, 2)?, 0, 59)?),
            E::ZeroMinute => set(&mut self.minute, in_range(digits(text, 2, 2)?, 0, 59)?),
            E::Second | E::ZeroSecond => {
                let least = if element == E::Second { 1 } else { 2 };
                let rest = set(&mut self.second, in_range(digits(text, least, 2)?, 0, 59)?);
                // A fraction that the layout does not speak of is taken too.
                if next_is_fraction(after) {
                    return Some(rest);
                }
                self.fraction(rest, 1).unwrap_or(rest)
            }
            E::UpperHalf => self.half(text, "AM", "PM")?,
            E::LowerHalf => self.half(text, "am", "pm")?,
            E::ZoneName => self.zone_name(text)?,
            E::Offset(style) => self.offset(text, style)?,
            E::Fraction { digits, trim, .. } => {
                if trim {
                    self.fraction(text, 1).unwrap_or(text)
                } else {
                    let rest = self.fraction(text, digits)?;
                    (text.len() - rest.len() == 1 + digits).then_some(rest)?
                }
            }
        };
        Some(rest)
    }

    /// `.123`, with at least so many digits.
    fn fraction<'t>(&mut self, text: &'t str, least: usize) -> Option<&'t str> {
        let digits = text.strip_prefix(['.', ','])?;
        let length = digits.bytes().take_while(u8::is_ascii_digit).count();
        if length < least {
            return None;
        }
        let kept = &digits[..length.min(9)];
        self.nanos = format!("{kept:0<9}").parse().ok()?;
        Some(&digits[length..])
    }

    fn half<'t>(&mut self, text: &'t str, before: &str, after: &str) -> Option<&'t str> {
        if let Some(rest) = text.strip_prefix(before) {
            self.afternoon = Some(false);
            return Some(rest);
        }
        self.afternoon = Some(true);
        text.strip_prefix(after)
    }

    fn zone_name<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
        let length = if text.starts_with("ChST") || text.starts_with("MeST") {
            4
        } else if let Some(hours) = text.strip_prefix("GMT") {
            3 + signed_hours(hours).unwrap_or(0)
        } else if text.starts_with(['+', '-']) {
            signed_hours(text)?
        } else {
            match letters {
                3 => 3,
                4 if text[..4].ends_with('T') || text.starts_with("WITA") => 4,
                5 if text[..5].ends_with('T') => 5,
                _ => return None,
            }
        };
        let name = &text[..length];
        self.is_utc |= name == "UTC";
        self.zone = Some(name.to_owned());
        Some(&text[length..])
    }

    fn offset<'t>(&mut self, text: &'t str, style: OffsetStyle) -> Option<&'t str> {
        if style.zulu
            && let Some(rest) = text.strip_prefix('Z')
        {
            self.is_utc = true;
            return Some(rest);
        }
        let sign = match text.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let (hours, mut rest) = digits(&text[1..], 2, 2)?;
        let mut total = in_range((hours, rest), 0, 24)?.0 * 3600;
        for (wanted, unit) in [(style.minutes, 60), (style.seconds, 1)] {
            if wanted {
                if style.colon {
                    rest = rest.strip_prefix(':')?;
                }
                let (part, after) = in_range(digits(rest, 2, 2)?, 0, 60)?;
                total += part * unit;
                rest = after;
            }
        }
        self.offset = i32::try_from(sign * total).ok();
        Some(rest)
    }

    fn time(&self) -> Option<GoTime> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let of_day = hour * 3600 + self.minute * 60 + self.second;
        let days = if let Some(of_year) = self.day_of_year {
            let first = days_of_civil(self.year, 1, 1);
            let length = days_of_civil(self.year + 1, 1, 1) - first;
            in_range((of_year, ""), 1, length)?;
            let days = first + of_year - 1;
            let (_, month, day) = super::civil_of_days(days);
            if self.month.is_some_and(|given| given != month)
                || self.day.is_some_and(|given| given != day)
            {
                return None;
            }
            days
        } else {
            let month = self.month.unwrap_or(1);
            let first = days_of_civil(self.year, month, 1);
            let (next_year, next) = if month == 12 {
                (self.year + 1, 1)
            } else {
                (self.year, month + 1)
            };
            let length = days_of_civil(next_year, next, 1) - first;
            let (day, _) = in_range((self.day.unwrap_or(1), ""), 1, length)?;
            first + day - 1
        };
        let mut time = GoTime::unix(days * 86_400 + of_day, self.nanos);
        if self.is_utc {
            return Some(time);
        }
        let name = self.zone.clone().unwrap_or_default();
        match self.offset {
            // In the local zone, which is UTC, it needs no name of its own.
            Some(0) | None if name.is_empty() || name == "UTC" => {}
            Some(offset) => {
                time.seconds -= i64::from(offset);
                time.zone = Zone::Fixed(offset, name);
            }
            // A name says nothing of where it is, but for one that says so itself; which changes what is shown, and not the
            // time of day.
            None => {
                let offset = name
                    .strip_prefix("GMT")
                    .and_then(|hours| hours.parse::<i32>().ok())
                    .map_or(0, |hours| hours * 3600);
                time.zone = Zone::Fixed(offset, name);
            }
        }
        Some(time)
    }
}

/// The length of an offset in hours, `+3`, as names of zones have it.
fn signed_hours(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['+', '-'])?;
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let hours: u32 = digits[..length].parse().ok()?;
    (hours <= 23).then_some(1 + length)
}

fn next_is_fraction(layout: &str) -> bool {
    matches!(next_element(layout), Some(("", E::Fraction { .. }, _)))
}

fn set<'t>(to: &mut i64, (value, rest): (i64, &'t str)) -> &'t str {
    *to = value;
    rest
}

fn some<'t>(to: &mut Option<i64>, (value, rest): (i64, &'t str)) -> &'t str {
    *to = Some(value);
    rest
}

/// A number of `least` to `most` digits, and what follows it.
fn digits(text: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let length = text
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    if length < least {
        return None;
    }
    Some((text[..length].parse().ok()?, &text[length..]))
}

fn in_range((value, rest): (i64, &str), least: i64, most: i64) -> Option<(i64, &str)> {
    (least..=most).contains(&value).then_some((value, rest))
}

/// The place of the name that `text` begins with, in any case; of each name, only the first `length` letters count.
fn named<'t>(text: &'t str, names: &[&str], length: usize) -> Option<(i64, &'t str)> {
    let (at, name) = names
        .iter()
        .map(|name| &name[..name.len().min(length)])
        .enumerate()
        .find(|(_, name)| {
            text.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        })?;
    Some((i64::try_from(at).ok()?, &text[name.len()..]))
}

/// Reads a duration as Go's `time.ParseDuration`: `1h30m`, `-1.5h`, `300ms`, `0`. In nanoseconds.
pub(in super::super) fn parse_duration(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "0" {
        return Some(0);
    }
    let mut rest = unsigned;
    let mut total = 0_i128;
    while !rest.is_empty() || unsigned.is_empty() {
        let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (integer, after) = rest.split_at(whole);
        let (fraction, after) = match after.strip_prefix('.') {
            None => ("", after),
            Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
        };
        if integer.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_length = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        let unit: i64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => NANOS,
            "m" => 60 * NANOS,
            "h" => 3600 * NANOS,
            _ => return None,
        };
        let integer: i128 = match integer {
            "" => 0,
            digits => digits.parse().ok()?,
        };
        total = total.checked_add(integer.checked_mul(unit.into())?)?;
        let fraction = &fraction[..fraction.len().min(18)];
        if !fraction.is_empty() {
            let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
            total = total.checked_add(fraction.parse::<i128>().ok()? * i128::from(unit) / scale)?;
        }
        rest = after;
    }
    let total = if text.starts_with('-') { -total } else { total };
    i64::try_from(total).ok()
}
