//! Functions on times. The machine's zone is UTC for them.

#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "functions in tables are all of one type"
)]

use super::cast::parse_decimal;
use super::{Arguments, Function, Param, fixed};
use crate::template::context::Context;
use crate::template::failure::{Failure, Result};
use crate::template::time::{GoTime, append_duration, parse, parse_duration};
use crate::template::value::{IntType, TextType, TimeType, Value};

const A: Param = Param::Any;
const T: Param = Param::Text;
const HTML: &[u8] = b"2006-01-02";
const SECOND: i64 = 1_000_000_000;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("ago", &[A], |_, a| Ok(ago(a.any(0)))),
    fixed("date", &[T, A], |context, a| {
        in_zone(context, a.text(0), a.any(1), "UTC")
    }),
    fixed("dateInZone", &[T, A, T], date_in_zone),
    fixed("dateModify", &[T, Param::Time], modify),
    fixed("date_in_zone", &[T, A, T], date_in_zone),
    fixed("date_modify", &[T, Param::Time], modify),
    fixed("duration", &[A], |_, a| {
        let seconds = match a.any(0) {
            Value::Text(text, TextType::String) => parse_decimal(text),
            Value::Int(seconds, IntType::Int64) => *seconds,
            _ => 0,
        };
        Ok(duration_text(seconds.wrapping_mul(SECOND)))
    }),
    fixed("durationRound", &[A], |_, a| {
        Ok(Value::text(rounded(a.any(0))))
    }),
    fixed("htmlDate", &[A], |context, a| {
        in_zone(context, HTML, a.any(0), "UTC")
    }),
    fixed("htmlDateInZone", &[A, T], |context, a| {
        in_zone(context, HTML, a.any(0), &a.lossy(1))
    }),
    fixed("mustDateModify", &[T, Param::Time], must_modify),
    fixed("mustToDate", &[T, T], |_, a| {
        parse(&a.lossy(0), &a.lossy(1))
            .map(std)
            .ok_or_else(|| Failure::new("the text is no time in this layout"))
    }),
    fixed("must_date_modify", &[T, Param::Time], must_modify),
    fixed("now", &[], |_, _| Ok(std(GoTime::now()))),
    fixed("toDate", &[T, T], |_, a| {
        let time = parse(&a.lossy(0), &a.lossy(1));
        Ok(std(time.unwrap_or(GoTime::ZERO)))
    }),
    fixed("unixEpoch", &[Param::Time], |_, a| {
        Ok(Value::text(a.time(0).seconds().to_string()))
    }),
];

fn std<'e>(time: GoTime) -> Value<'e> {
    Value::Time(time, TimeType::Std)
}

/// What sprig takes for a time, or for seconds since 1970. Anything else, the API's own times too, is now.
fn time_of(value: &Value<'_>) -> GoTime {
    match value {
        Value::Time(time, TimeType::Std) => time.clone(),
        Value::Int(seconds, IntType::Int | IntType::Int32 | IntType::Int64) => {
            GoTime::unix(*seconds, 0)
        }
        _ => GoTime::now(),
    }
}

fn in_zone<'e>(
    context: &Context<'e>,
    layout: &[u8],
    value: &Value<'_>,
    zone: &str,
) -> Result<Value<'e>> {
    // No element of a layout becomes longer than this.
    context.spend_bytes(layout.len().saturating_mul(4))?;
    let time = time_of(value).in_zone(zone);
    let mut text = Vec::new();
    // What is no text stays between the elements.
    for part in layout.utf8_chunks() {
        let mut formatted = String::new();
        time.format(part.valid(), &mut formatted);
        text.extend_from_slice(formatted.as_bytes());
        text.extend_from_slice(part.invalid());
    }
    Ok(Value::text(text))
}

fn date_in_zone<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    in_zone(context, a.text(0), a.any(1), &a.lossy(2))
}

/// What is no duration changes nothing.
fn modify<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let time = a.time(1);
    Ok(std(match parse_duration(&a.lossy(0)) {
        Some(duration) => time.plus(duration),
        None => time.clone(),
    }))
}

fn must_modify<'e>(_: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let duration = parse_duration(&a.lossy(0))
        .ok_or_else(|| Failure::new(format!("`{}` is no duration", a.lossy(0))))?;
    Ok(std(a.time(1).plus(duration)))
}

fn ago<'e>(value: &Value<'_>) -> Value<'e> {
    let time = match value {
        // Unlike the other functions.
        Value::Int(_, IntType::Int32) => GoTime::now(),
        value => time_of(value),
    };
    let since = GoTime::now().since(&time);
    duration_text(to_seconds(since))
}

/// To whole seconds, half away from zero; what would be too long stays.
fn to_seconds(duration: i64) -> i64 {
    let over = duration % SECOND;
    let whole = duration - over;
    if over.abs() * 2 < SECOND {
        whole
    } else {
        let limit = if duration < 0 { i64::MIN } else { i64::MAX };
        whole.checked_add(SECOND * over.signum()).unwrap_or(limit)
    }
}

fn duration_text<'e>(duration: i64) -> Value<'e> {
    let mut text = String::new();
    append_duration(duration, &mut text);
    Value::text(text)
}

/// How long it is, in the largest unit of which there is more than one.
fn rounded(value: &Value<'_>) -> String {
    const HOUR: u64 = 3_600_000_000_000;

    let duration = match value {
        Value::Text(text, TextType::String) => parse_duration(&text.lossy()).unwrap_or(0),
        Value::Int(duration, IntType::Int64) => *duration,
        Value::Time(time, TimeType::Std) => GoTime::now().since(time),
        _ => 0,
    };
    let units = [
        (HOUR * 24 * 365, "y"),
        (HOUR * 24 * 30, "mo"),
        (HOUR * 24, "d"),
        (HOUR, "h"),
        (HOUR / 60, "m"),
        (HOUR / 3600, "s"),
    ];
    let duration = duration.unsigned_abs();
    match units.iter().find(|(unit, _)| duration > *unit) {
        Some((unit, name)) => format!("{}{name}", duration / unit),
        None => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_down_to_their_largest_unit() {
        for (text, expected) in [
            ("2h10m5s", "2h"),
            ("-2h10m5s", "2h"),
            ("1h", "60m"),
            ("1s", "0s"),
            ("1s1ns", "1s"),
            ("24h1s", "1d"),
            ("10000h", "1y"),
            ("1000h", "1mo"),
            ("nonsense", "0s"),
        ] {
            assert_eq!(rounded(&Value::text(text)), expected, "{text}");
        }
        assert_eq!(rounded(&Value::int(95)), "0s");
        assert_eq!(rounded(&Value::int64(i64::MIN)), "292y");
        assert_eq!(to_seconds(1_500_000_000), 2 * SECOND);
        assert_eq!(to_seconds(-1_500_000_000), -2 * SECOND);
        assert_eq!(to_seconds(1_499_999_999), SECOND);
        assert_eq!(to_seconds(i64::MAX), i64::MAX);
    }
}
