//! Functions on regular expressions.

#![expect(
    clippy::needless_pass_by_value,
    reason = "functions in tables are all of one type"
)]

use super::{Arguments, Function, Param, fixed};
use crate::template::context::Context;
use crate::template::failure::Result;
use crate::template::regex::Haystack;
use crate::template::value::{Element, Value};

const T: Param = Param::Text;
const I: Param = Param::Int;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("mustRegexFind", &[T, T], find),
    fixed("mustRegexFindAll", &[T, T, I], find_all),
    fixed("mustRegexMatch", &[T, T], is_match),
    fixed("mustRegexReplaceAll", &[T, T, T], |context, a| {
        replaced(context, &a, false)
    }),
    fixed("mustRegexReplaceAllLiteral", &[T, T, T], |context, a| {
        replaced(context, &a, true)
    }),
    fixed("mustRegexSplit", &[T, T, I], split),
    fixed("regexFind", &[T, T], find),
    fixed("regexFindAll", &[T, T, I], find_all),
    fixed("regexMatch", &[T, T], |context, a| {
        // What is no expression matches nothing.
        Ok(is_match(context, a).unwrap_or(Value::Bool(false)))
    }),
    fixed("regexQuoteMeta", &[T], |_, a| {
        let mut quoted = Vec::with_capacity(a.text(0).len());
        for &byte in a.text(0) {
            if b"\\.+*?()|[]{}^$".contains(&byte) {
                quoted.push(b'\\');
            }
            quoted.push(byte);
        }
        Ok(Value::text(quoted))
    }),
    fixed("regexReplaceAll", &[T, T, T], |context, a| {
        replaced(context, &a, false)
    }),
    fixed("regexReplaceAllLiteral", &[T, T, T], |context, a| {
        replaced(context, &a, true)
    }),
    fixed("regexSplit", &[T, T, I], split),
];

fn is_match<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let regex = context.regexes.get(a.text(0), context)?;
    Ok(Value::Bool(Haystack::new(a.text(1)).is_match(&regex)))
}

fn find<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let regex = context.regexes.get(a.text(0), context)?;
    let text = a.text(1);
    let found = Haystack::new(text).find_at(&regex, 0, false);
    let (start, end) = found.map(|found| found.whole()).unwrap_or_default();
    Ok(Value::text(text[start..end].to_vec()))
}

/// Where it matches, up to `limit` times, if that is not negative.
fn matches<'e>(
    context: &Context<'e>,
    a: &Arguments<'e>,
    limit: i64,
) -> Result<Vec<(usize, usize)>> {
    let regex = context.regexes.get(a.text(0), context)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Haystack::new(a.text(1)).find_all(&regex, limit, context)
}

fn find_all<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let found = matches(context, &a, a.int(2))?;
    if found.is_empty() {
        return Ok(Value::nil_list(Element::String));
    }
    let text = a.text(1);
    let texts = found
        .into_iter()
        .map(|(start, end)| text[start..end].to_vec());
    Ok(Value::strings(texts))
}

fn replaced<'e>(context: &Context<'e>, a: &Arguments<'e>, literally: bool) -> Result<Value<'e>> {
    let regex = context.regexes.get(a.text(0), context)?;
    let (text, with) = (a.text(1), a.text(2));
    let replaced = Haystack::new(text).replace_all(&regex, context, !literally, |found, to| {
        context.spend_bytes(with.len())?;
        if literally {
            to.extend_from_slice(with);
            return Ok(());
        }
        found.expand(with, text, &regex, context, to)
    });
    replaced.map(Value::text)
}

fn split<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let (pattern, text, limit) = (a.text(0), a.text(1), a.int(2));
    if limit == 0 {
        context.regexes.get(pattern, context)?;
        return Ok(Value::nil_list(Element::String));
    }
    let found = matches(context, &a, limit)?;
    if !pattern.is_empty() && text.is_empty() {
        return Ok(Value::strings([""]));
    }
    let most = usize::try_from(limit).map_or(usize::MAX, |limit| limit - 1);
    let (mut parts, mut start, mut end) = (Vec::new(), 0, 0);
    for (match_start, match_end) in found {
        if parts.len() >= most {
            break;
        }
        end = match_start;
        if match_end != 0 {
            parts.push(text[start..end].to_vec());
        }
        start = match_end;
    }
    if end != text.len() {
        parts.push(text[start..].to_vec());
    }
    Ok(Value::strings(parts))
}
