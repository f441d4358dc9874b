//! Writing a time in one of Go's layouts.

use std::fmt::Write as _;

use super::{Civil, DAYS, GoTime, MONTHS};

/// What a layout consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    LongMonth,
    Month,
    NumericMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    SpaceDay,
    ZeroDay,
    SpaceYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperHalf,
    LowerHalf,
    ZoneName,
    Offset(OffsetStyle),
    /// So many digits of a second behind a point or comma; `trim` leaves zeros at the end out.
    Fraction {
        point: char,
        digits: usize,
        trim: bool,
    },
}

/// How an offset is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub(super) struct OffsetStyle {
    /// `Z` for none.
    pub(super) zulu: bool,
    pub(super) colon: bool,
    pub(super) minutes: bool,
    pub(super) seconds: bool,
}

use Element as E;

/// In the order in which Go tries them.
const ELEMENTS: [(&str, Element); 23] = [
    ("January", E::LongMonth),
    ("Jan", E::Month),
    ("Monday", E::LongWeekday),
    ("Mon", E::Weekday),
    ("MST", E::ZoneName),
    ("002", E::ZeroYearDay),
    ("01", E::ZeroMonth),
    ("02", E::ZeroDay),
    ("03", E::ZeroHour12),
    ("04", E::ZeroMinute),
    ("05", E::ZeroSecond),
    ("06", E::Year),
    ("15", E::Hour),
    ("1", E::NumericMonth),
    ("2006", E::LongYear),
    ("2", E::Day),
    ("__2", E::SpaceYearDay),
    ("_2", E::SpaceDay),
    ("3", E::Hour12),
    ("4", E::Minute),
    ("5", E::Second),
    ("PM", E::UpperHalf),
    ("pm", E::LowerHalf),
];

/// The next element of a layout: what stands before it, the element, what is left. `None` if only text is left.
pub(super) fn next_element(layout: &str) -> Option<(&str, Element, &str)> {
    // What elements begin with.
    let starts = layout.match_indices(|c: char| "JMZPp0123456_-.,".contains(c));
    for (at, _) in starts {
        let rest = &layout[at..];
        // The underscore is text here.
        if let Some(after) = rest.strip_prefix("_2006") {
            return Some((&layout[..=at], E::LongYear, after));
        }
        if let Some((element, length)) = element(rest) {
            return Some((&layout[..at], element, &rest[length..]));
        }
    }
    None
}

/// The element that `layout` begins with, and its length.
fn element(layout: &str) -> Option<(Element, usize)> {
    if let Some(rest) = layout.strip_prefix(['-', 'Z']) {
        let (style, length) = offset(rest)?;
        let zulu = layout.starts_with('Z');
        return Some((E::Offset(OffsetStyle { zulu, ..style }), 1 + length));
    }
    if layout.starts_with(['.', ',']) {
        return fraction(layout);
    }
    let found = ELEMENTS.iter().find(|(name, element)| {
        // `Month` is no `Mon`, and `Janet` no `Jan`: a name must not go on in lower case.
        let is_short = matches!(element, E::Month | E::Weekday);
        layout.starts_with(name)
            && !(is_short && layout[name.len()..].starts_with(|c: char| c.is_ascii_lowercase()))
    });
    found.map(|(name, element)| (*element, name.len()))
}

/// `0700` and the like, without their sign.
fn offset(layout: &str) -> Option<(OffsetStyle, usize)> {
    [
        ("070000", false, true, true),
        ("07:00:00", true, true, true),
        ("0700", false, true, false),
        ("07:00", true, true, false),
        ("07", false, false, false),
    ]
    .into_iter()
    .find(|(text, ..)| layout.starts_with(text))
    .map(|(text, colon, minutes, seconds)| {
        let style = OffsetStyle {
            zulu: false,
            colon,
            minutes,
            seconds,
        };
        (style, text.len())
    })
}

/// `.000` and `,999`, only where no other digit follows.
fn fraction(layout: &str) -> Option<(Element, usize)> {
    let mut chars = layout.chars();
    let (point, digit) = (chars.next()?, chars.next()?);
    if !matches!(digit, '0' | '9') {
        return None;
    }
    let digits = layout[1..].chars().take_while(|&c| c == digit).count();
    if layout[1 + digits..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let trim = digit == '9';
    let element = E::Fraction {
        point,
        digits,
        trim,
    };
    Some((element, 1 + digits))
}

/// Appends `time` in a layout.
pub(super) fn format(time: &GoTime, layout: &str, to: &mut String) {
    let civil = time.civil();
    let mut rest = layout;
    while let Some((before, element, after)) = next_element(rest) {
        to.push_str(before);
        // Writing to a string does not fail.
        let _ = append(time, &civil, element, to);
        rest = after;
    }
    to.push_str(rest);
}

fn append(time: &GoTime, civil: &Civil, element: Element, to: &mut String) -> std::fmt::Result {
    let name = |names: &[&'static str], at: i64| {
        usize::try_from(at)
            .ok()
            .and_then(|at| names.get(at).copied())
            .unwrap_or_default()
    };
    let hour12 = match civil.hour % 12 {
        0 => 12,
        hour => hour,
    };
    match element {
        E::LongMonth => to.push_str(name(&MONTHS, civil.month - 1)),
        E::Month => to.push_str(&name(&MONTHS, civil.month - 1)[..3]),
        E::NumericMonth => write!(to, "{}", civil.month)?,
        E::ZeroMonth => write!(to, "{:02}", civil.month)?,
        E::LongWeekday => to.push_str(name(&DAYS, civil.weekday)),
        E::Weekday => to.push_str(&name(&DAYS, civil.weekday)[..3]),
        E::Day => write!(to, "{}", civil.day)?,
        E::SpaceDay => write!(to, "{:>2}", civil.day)?,
        E::ZeroDay => write!(to, "{:02}", civil.day)?,
        E::SpaceYearDay => write!(to, "{:>3}", civil.day_of_year)?,
        E::ZeroYearDay => write!(to, "{:03}", civil.day_of_year)?,
        E::Hour => write!(to, "{:02}", civil.hour)?,
        E::Hour12 => write!(to, "{hour12}")?,
        E::ZeroHour12 => write!(to, "{hour12:02}")?,
        E::Minute => write!(to, "{}", civil.minute)?,
        E::ZeroMinute => write!(to, "{:02}", civil.minute)?,
        E::Second => write!(to, "{}", civil.second)?,
        E::ZeroSecond => write!(to, "{:02}", civil.second)?,
        E::LongYear if civil.year < 0 => write!(to, "-{:04}", -civil.year)?,
        E::LongYear => write!(to, "{:04}", civil.year)?,
        E::Year => write!(to, "{:02}", civil.year.rem_euclid(100))?,
        E::UpperHalf => to.push_str(if civil.hour < 12 { "AM" } else { "PM" }),
        E::LowerHalf => to.push_str(if civil.hour < 12 { "am" } else { "pm" }),
        E::ZoneName => match time.offset() {
            // A zone that has no name is called by its offset.
            (offset, name) if name.is_empty() => {
                let minutes = offset / 60;
                let sign = if minutes < 0 { '-' } else { '+' };
                write!(
                    to,
                    "{sign}{:02}{:02}",
                    minutes.abs() / 60,
                    minutes.abs() % 60
                )?;
            }
            (_, name) => to.push_str(&name),
        },
        E::Offset(style) => append_offset(time.offset().0, style, to)?,
        E::Fraction {
            point,
            digits,
            trim,
        } => {
            let text = format!("{:09}", time.nanos());
            let mut text = &text[..digits.min(9)];
            if trim {
                text = text.trim_end_matches('0');
            }
            // A fraction of nines that is all zero is left out, point and all.
            if !(trim && text.is_empty()) {
                write!(to, "{point}{text}")?;
            }
        }
    }
    Ok(())
}

fn append_offset(offset: i32, style: OffsetStyle, to: &mut String) -> std::fmt::Result {
    if style.zulu && offset == 0 {
        to.push('Z');
        return Ok(());
    }
    let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.abs());
    let colon = if style.colon { ":" } else { "" };
    write!(to, "{sign}{:02}", offset / 3600)?;
    if style.minutes {
        write!(to, "{colon}{:02}", offset / 60 % 60)?;
    }
    if style.seconds {
        write!(to, "{colon}{:02}", offset % 60)?;
    }
    Ok(())
}
