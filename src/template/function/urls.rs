//! URLs, taken apart and put together as Go's `net/url` does (Go 1.20).

#![expect(
    clippy::needless_pass_by_value,
    reason = "functions in tables are all of one type"
)]

use memchr::memmem;

use super::{Arguments, Function, Param, fixed};
use crate::template::context::Context;
use crate::template::failure::{Failure, Result};
use crate::template::value::{Dict, Entries, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("urlJoin", &[Param::Dict], |_, a| {
        joined(a.dict(0)).map(Value::text)
    }),
    fixed("urlParse", &[Param::Text], parsed),
];

/// Decoded, but for what is never encoded.
#[derive(Default)]
struct Url {
    scheme: Vec<u8>,
    /// Instead of host and path.
    opaque: Vec<u8>,
    user: Option<User>,
    host: Vec<u8>,
    path: Vec<u8>,
    /// As it is written.
    query: Vec<u8>,
    fragment: Vec<u8>,
}

struct User {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
}

/// A part of a URL, by what it may hold as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    User,
    Host,
    /// What stands behind `%25` in an address of IPv6.
    Zone,
    Path,
    Fragment,
}

fn parsed<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let url = Url::parse(a.text(0))?;
    let user = url.user.as_ref().map(User::text).unwrap_or_default();
    let hostname = without_port(&url.host).to_vec();
    let entries: Entries<'e> = [
        ("fragment", url.fragment),
        ("host", url.host),
        ("hostname", hostname),
        ("opaque", url.opaque),
        ("path", url.path),
        ("query", url.query),
        ("scheme", url.scheme),
        ("userinfo", user),
    ]
    .into_iter()
    .map(|(key, text)| (key.as_bytes().into(), Value::text(text)))
    .collect();
    Ok(context.dict(entries))
}

fn joined(dict: Option<&Dict<'_>>) -> Result<Vec<u8>> {
    let part = |name: &str| match dict.and_then(|dict| dict.get(name.as_bytes())) {
        None => Ok(Vec::new()),
        Some(Value::Text(text, _)) => Ok(text.to_vec()),
        Some(_) => Err(Failure::new(format!("`{name}` is no string"))),
    };
    let mut url = Url {
        scheme: part("scheme")?,
        opaque: part("opaque")?,
        user: None,
        host: part("host")?,
        path: part("path")?,
        query: part("query")?,
        fragment: part("fragment")?,
    };
    let user = part("userinfo")?;
    if !user.is_empty() {
        url.user = Url::parse(&[b"proto://", user.as_slice(), b"@host"].concat())?.user;
    }
    Ok(url.text())
}

// === impl Url ===

impl Url {
    fn parse(text: &[u8]) -> Result<Self> {
        let (text, fragment) = cut(text, b'#');
        if text.iter().any(u8::is_ascii_control) {
            return Err(wrong("it has a control character"));
        }
        let mut url = Self::default();
        if text == b"*" {
            url.path = text.to_vec();
        } else {
            url.read(text)?;
        }
        url.fragment = decoded(fragment, Part::Fragment)?;
        Ok(url)
    }

    fn read(&mut self, text: &[u8]) -> Result<()> {
        let (scheme, rest) = scheme(text)?;
        self.scheme = scheme.to_ascii_lowercase();
        let (mut rest, query) = cut(rest, b'?');
        self.query = query.to_vec();
        if !rest.starts_with(b"/") {
            if !self.scheme.is_empty() {
                self.opaque = rest.to_vec();
                return Ok(());
            }
            if cut(rest, b'/').0.contains(&b':') {
                return Err(wrong("its first name has a colon"));
            }
        }
        if rest.starts_with(b"//") && (!self.scheme.is_empty() || !rest.starts_with(b"///")) {
            let end = memchr::memchr(b'/', &rest[2..]).map_or(rest.len(), |at| at + 2);
            let authority = &rest[2..end];
            rest = &rest[end..];
            let host = match memchr::memrchr(b'@', authority) {
                None => authority,
                Some(at) => {
                    self.user = Some(User::parse(&authority[..at])?);
                    &authority[at + 1..]
                }
            };
            self.host = parse_host(host)?;
        }
        self.path = decoded(rest, Part::Path)?;
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if !self.scheme.is_empty() {
            text.extend_from_slice(&self.scheme);
            text.push(b':');
        }
        if self.opaque.is_empty() {
            self.append_place(&mut text);
        } else {
            text.extend_from_slice(&self.opaque);
        }
        if !self.query.is_empty() {
            text.push(b'?');
            text.extend_from_slice(&self.query);
        }
        if !self.fragment.is_empty() {
            text.push(b'#');
            text.extend_from_slice(&encoded(&self.fragment, Part::Fragment));
        }
        text
    }

    /// Appends host and path.
    fn append_place(&self, text: &mut Vec<u8>) {
        let has_host = !self.host.is_empty() || self.user.is_some();
        if has_host || !self.scheme.is_empty() && !self.path.is_empty() {
            text.extend_from_slice(b"//");
        }
        if let Some(user) = &self.user {
            text.extend_from_slice(&user.text());
            text.push(b'@');
        }
        text.extend_from_slice(&encoded(&self.host, Part::Host));
        let path = match self.path.as_slice() {
            b"*" => b"*".to_vec(),
            path => encoded(path, Part::Path),
        };
        if !path.is_empty() && !path.starts_with(b"/") && !self.host.is_empty() {
            text.push(b'/');
        }
        if text.is_empty() && cut(&path, b'/').0.contains(&b':') {
            text.extend_from_slice(b"./");
        }
        text.extend_from_slice(&path);
    }
}

// === impl User ===

impl User {
    fn parse(text: &[u8]) -> Result<Self> {
        let is_allowed =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte);
        if !text.iter().all(is_allowed) {
            return Err(wrong("its user is none"));
        }
        let (name, password) = cut(text, b':');
        let has_password = name.len() < text.len();
        Ok(Self {
            name: decoded(name, Part::User)?,
            password: has_password
                .then(|| decoded(password, Part::User))
                .transpose()?,
        })
    }

    fn text(&self) -> Vec<u8> {
        let mut text = encoded(&self.name, Part::User);
        if let Some(password) = &self.password {
            text.push(b':');
            text.extend_from_slice(&encoded(password, Part::User));
        }
        text
    }
}

fn wrong(why: &str) -> Failure {
    Failure::new(format!("the text is no URL: {why}"))
}

/// What is before the first `at`, and after it.
fn cut(text: &[u8], at: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(at, text) {
        Some(found) => (&text[..found], &text[found + 1..]),
        None => (text, &[]),
    }
}

/// The scheme, if there is one, and the rest.
fn scheme(text: &[u8]) -> Result<(&[u8], &[u8])> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let end = text.iter().position(|&byte| !is_part(byte));
    match end {
        Some(0) if text[0] == b':' => Err(wrong("its scheme is missing")),
        Some(end @ 1..) if text[end] == b':' && text[0].is_ascii_alphabetic() => {
            Ok((&text[..end], &text[end + 1..]))
        }
        _ => Ok((&[], text)),
    }
}

fn parse_host(host: &[u8]) -> Result<Vec<u8>> {
    let port_at = if host.starts_with(b"[") {
        let end = memchr::memrchr(b']', host).ok_or_else(|| wrong("a `[` is not closed"))?;
        Some(end + 1)
    } else {
        memchr::memrchr(b':', host)
    };
    if port_at.is_some_and(|at| !is_port(&host[at..])) {
        return Err(wrong("its port is no number"));
    }
    let zone_at = host
        .starts_with(b"[")
        .then(|| memmem::find(host, b"%25"))
        .flatten();
    if let (Some(zone_at), Some(port_at)) = (zone_at, port_at)
        && zone_at < port_at
    {
        let parts = [
            decoded(&host[..zone_at], Part::Host)?,
            decoded(&host[zone_at..port_at - 1], Part::Zone)?,
            decoded(&host[port_at - 1..], Part::Host)?,
        ];
        return Ok(parts.concat());
    }
    decoded(host, Part::Host)
}

/// `:80`, `:` or nothing.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn without_port(host: &[u8]) -> &[u8] {
    let host = match memchr::memrchr(b':', host) {
        Some(at) if is_port(&host[at..]) => &host[..at],
        _ => host,
    };
    match host {
        [b'[', inner @ .., b']'] => inner,
        host => host,
    }
}

fn must_be_encoded(byte: u8, part: Part) -> bool {
    let is_host = matches!(part, Part::Host | Part::Zone);
    let may_stand = byte.is_ascii_alphanumeric()
        || b"-_.~$&+,;=".contains(&byte)
        || is_host && b"!'()*[]<>\"".contains(&byte)
        || part == Part::Fragment && b"!()*?".contains(&byte)
        || part != Part::User && byte == b':'
        || matches!(part, Part::Path | Part::Fragment) && b"/@".contains(&byte);
    !may_stand
}

fn encoded(text: &[u8], part: Part) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    for &byte in text {
        if must_be_encoded(byte, part) {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            encoded.push(byte);
        }
    }
    encoded
}

fn decoded(text: &[u8], part: Part) -> Result<Vec<u8>> {
    let is_host = matches!(part, Part::Host | Part::Zone);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        if *byte != b'%' {
            if is_host && byte.is_ascii() && must_be_encoded(*byte, part) {
                return Err(wrong("its host has a character that none may have"));
            }
            decoded.push(*byte);
            rest = after;
            continue;
        }
        let hex = |digit: u8| char::from(digit).to_digit(16);
        let value = match after {
            [high, low, ..] => hex(*high).zip(hex(*low)),
            _ => None,
        };
        let Some((high, low)) = value else {
            return Err(wrong("a `%` is followed by no number"));
        };
        let value = u8::try_from(high * 16 + low).unwrap_or(0);
        // In a host, only what is not ASCII may be written so.
        let is_allowed = match part {
            Part::Host => high >= 8 || value == b'%',
            Part::Zone => value == b'%' || value == b' ' || !must_be_encoded(value, Part::Host),
            _ => true,
        };
        if !is_allowed {
            return Err(wrong("its host has a character that none may have"));
        }
        decoded.push(value);
        rest = &after[2..];
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn urls_are_taken_apart_as_in_go() {
        let url = Url::parse(b"HTTP://us%20er:p%40:x@[fe80::1%25en0]:80/a%20b/c?x=%20#f%23r")
            .expect("a URL");
        assert_eq!(text(&url.scheme), "http");
        assert_eq!(text(&url.host), "[fe80::1%en0]:80");
        assert_eq!(text(without_port(&url.host)), "fe80::1%en0");
        assert_eq!(text(&url.path), "/a b/c");
        assert_eq!(text(&url.query), "x=%20");
        assert_eq!(text(&url.fragment), "f#r");
        assert_eq!(text(&url.user.expect("a user").text()), "us%20er:p%40%3Ax");
        for wrong in [
            ":x",
            "a b:c",
            "1:2",
            "http://h:x",
            "http://[::1",
            "/%",
            "/%4",
            "http://a b/",
            "http://a%20b/",
            "http://us er@h/",
            "a\nb",
        ] {
            assert!(Url::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
