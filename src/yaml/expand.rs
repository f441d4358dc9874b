//! Environment variables in values.

use std::borrow::Cow;

/// Puts environment variables into `text`: `${NAME}` must be defined, `${NAME:-default}` need not be, `$NAME` stays as it
/// is unless defined, `$$` is one `$`. Nothing inside `{{ … }}` is touched: templates have variables of their own.
///
/// # Errors
/// Says which variable is missing, and of what a shell would do more with, such as `${NAME:?}`, how to have it here.
pub fn expand<'a>(
    text: &'a str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Cow<'a, str>, String> {
    if !text.contains('$') {
        return Ok(Cow::Borrowed(text));
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let dollar = rest.find('$');
        let action = rest.find("{{");
        match (dollar, action) {
            (None, _) => {
                expanded.push_str(rest);
                return Ok(Cow::Owned(expanded));
            }
            (Some(at), Some(start)) if start < at => {
                let end = start + action_length(&rest[start..]);
                expanded.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            (Some(at), _) => {
                expanded.push_str(&rest[..at]);
                rest = variable(&rest[at + 1..], env, &mut expanded)?;
            }
        }
    }
}

/// The length of the action of a template that `text` begins with. `}}` in a string of it does not end it.
fn action_length(text: &str) -> usize {
    let inside = text[2..].trim_start_matches(['-', ' ']);
    // Nothing in a comment is a string.
    if inside.starts_with("/*")
        && let Some(end) = text.find("*/")
    {
        return text[end..].find("}}").map_or(text.len(), |at| end + at + 2);
    }
    let mut quote = None;
    let mut bytes = text.bytes().enumerate().skip(2);
    while let Some((at, byte)) = bytes.next() {
        match (quote, byte) {
            (None, b'}') if text[at..].starts_with("}}") => return at + 2,
            (None, b'"' | b'`' | b'\'') => quote = Some(byte),
            (Some(b'"' | b'\''), b'\\') => {
                bytes.next();
            }
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// Reads what follows a `$`, and returns what follows that.
fn variable<'a>(
    rest: &'a str,
    env: &dyn Fn(&str) -> Option<String>,
    expanded: &mut String,
) -> Result<&'a str, String> {
    if let Some(rest) = rest.strip_prefix('$') {
        expanded.push('$');
        return Ok(rest);
    }
    if let Some(braced) = rest.strip_prefix('{') {
        let name = &braced[..name_length(braced)];
        let after = &braced[name.len()..];
        if !name.is_empty() {
            if let Some(after) = after.strip_prefix('}') {
                let missing = || {
                    format!(
                        "the environment variable {name} is not set; set it, or give a default: ${{{name}:-default}}"
                    )
                };
                expanded.push_str(&env(name).ok_or_else(missing)?);
                return Ok(after);
            }
            if let Some((default, after)) = after
                .strip_prefix(":-")
                .and_then(|after| after.split_once('}'))
            {
                // As in a shell: an empty variable counts as none.
                expanded.push_str(
                    env(name)
                        .filter(|value| !value.is_empty())
                        .as_deref()
                        .unwrap_or(default),
                );
                return Ok(after);
            }
            if after.starts_with([':', '=', '?', '+', '-', '#', '%', '/', '^', ',', '@', '['])
                && let Some((inside, _)) = braced.split_once('}')
            {
                return Err(format!(
                    "`${{{inside}}}` is not known here: there are `${{{name}}}` and, with a default, `${{{name}:-…}}`; a dollar as it stands is `$$`"
                ));
            }
        }
    } else {
        let name = &rest[..name_length(rest)];
        if let Some(value) = env(name).filter(|_| !name.is_empty()) {
            expanded.push_str(&value);
            return Ok(&rest[name.len()..]);
        }
    }
    expanded.push('$');
    Ok(rest)
}

fn name_length(text: &str) -> usize {
    let legal = |(at, c): &(usize, char)| {
        c.is_ascii_alphabetic() || *c == '_' || (*at > 0 && c.is_ascii_digit())
    };
    text.char_indices().take_while(legal).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_where_they_are_meant() {
        let env = |name: &str| match name {
            "FOO" => Some("a: #b\n".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expanded) in [
            ("plain", "plain"),
            ("${FOO}", "a: #b\n"),
            ("x${FOO}y", "xa: #b\ny"),
            ("$FOO", "a: #b\n"),
            ("$FOO_x", "$FOO_x"),
            ("${NONE:-d e}", "d e"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY}", ""),
            ("pa$$word", "pa$word"),
            ("$$FOO", "$FOO"),
            ("p$w", "p$w"),
            ("^foo$", "^foo$"),
            ("a$|b$", "a$|b$"),
            ("$(X) $1 $ $", "$(X) $1 $ $"),
            ("${", "${"),
            ("${} ${1} ${FOO", "${} ${1} ${FOO"),
            ("{{ $v := .Message }}$FOO", "{{ $v := .Message }}a: #b\n"),
            ("{{ ${FOO} }} ${FOO}", "{{ ${FOO} }} a: #b\n"),
            ("${FOO} {{ $x", "a: #b\n {{ $x"),
            (
                "{{ \"}} ${NONE} \\\"\" }}${EMPTY}",
                "{{ \"}} ${NONE} \\\"\" }}",
            ),
            (
                "{{ `}}` }}${EMPTY} {{/* it's */}}${EMPTY}",
                "{{ `}}` }} {{/* it's */}}",
            ),
        ] {
            assert_eq!(expand(text, &env).unwrap(), expanded, "{text}");
        }
        for shell in ["${FOO-x}", "a${FOO:?x}", "${NONE:=x} y", "${FOO[0]}"] {
            let error = expand(shell, &env).unwrap_err();
            assert!(
                error.contains("}` is not known here: there are `${"),
                "{error}"
            );
        }
        let error = expand("${NONE}", &env).unwrap_err();
        assert_eq!(
            error,
            "the environment variable NONE is not set; set it, or give a default: ${NONE:-default}"
        );
    }
}
