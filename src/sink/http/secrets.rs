//! What a server's words may not show: some answer with what they were asked.

use std::cmp::Reverse;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use reqwest::Url;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::event::go_json;

/// What may be a credential in requests. Any header may be, and in a URL whatever stands in its query and in long
/// parts of its path: webhooks have their keys there.
#[derive(Default)]
pub struct Secrets(Vec<Vec<u8>>);

/// A shorter text is as likely to be a word of the answer.
const MIN_LENGTH: usize = 4;
/// A value of which nobody says where it stands may be a number or a word if it is shorter.
const MIN_VALUE: usize = 8;
/// A part of a path that is shorter is a name.
const MIN_SEGMENT: usize = 16;
const HIDDEN: &[u8] = b"***";
/// What is encoded in URLs (RFC 3986, part 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

// === impl Secrets ===

impl Secrets {
    /// Those of requests with `headers` to `url`.
    pub fn of(headers: &HeaderMap, url: &Url) -> Self {
        let mut secrets = Self::default();
        for (name, value) in headers {
            if ![CONTENT_TYPE, CONTENT_ENCODING].contains(name) {
                secrets.add_header(value);
            }
        }
        if let Some(query) = url.query() {
            secrets.add(query.as_bytes());
            for pair in query.split('&') {
                secrets.add_of_url(pair.split_once('=').map_or(pair, |(_, value)| value));
            }
        }
        if let Some(password) = url.password() {
            secrets.add_of_url(password);
        }
        for segment in url.path_segments().into_iter().flatten() {
            if segment.len() >= MIN_SEGMENT {
                secrets.add_of_url(segment);
            }
        }
        secrets.longest_first()
    }

    /// These values. Short ones are left out.
    pub fn of_values(values: impl Iterator<Item = String>) -> Self {
        let mut secrets = Self::default();
        for value in values.filter(|value| value.len() >= MIN_VALUE) {
            secrets.add(value.as_bytes());
        }
        secrets.longest_first()
    }

    /// A secret in another one is no longer found once that is hidden.
    fn longest_first(mut self) -> Self {
        self.0.sort_by_key(|secret| Reverse(secret.len()));
        self
    }

    /// `text` without them.
    pub fn hide(&self, text: &[u8]) -> Vec<u8> {
        self.0.iter().fold(text.to_vec(), |text, secret| {
            let mut hidden = Vec::with_capacity(text.len());
            let mut end = 0;
            for start in Finder::new(secret).find_iter(&text) {
                hidden.extend_from_slice(&text[end..start]);
                hidden.extend_from_slice(HIDDEN);
                end = start + secret.len();
            }
            hidden.extend_from_slice(&text[end..]);
            hidden
        })
    }

    /// `text` without them.
    pub fn hide_in(&self, text: &mut String) {
        *text = String::from_utf8_lossy(&self.hide(text.as_bytes())).into_owned();
    }

    fn add_header(&mut self, value: &HeaderValue) {
        let value = value.as_bytes();
        self.add(value);
        // Behind a scheme.
        let Some(space) = value.iter().rposition(|&byte| byte == b' ') else {
            return;
        };
        let (scheme, credential) = (&value[..space], &value[space + 1..]);
        self.add(credential);
        if scheme.eq_ignore_ascii_case(b"basic")
            && let Ok(pair) = STANDARD.decode(credential)
        {
            self.add(&pair);
            if let Some(colon) = pair.iter().position(|&byte| byte == b':') {
                self.add(&pair[colon + 1..]);
            }
        }
    }

    /// A secret as a URL has it, and as it is.
    fn add_of_url(&mut self, encoded: &str) {
        self.add(encoded.as_bytes());
        self.add(&percent_decode_str(encoded).collect::<Vec<u8>>());
    }

    /// A secret as it is, and as it stands in URLs and in JSON, Go's too.
    fn add(&mut self, secret: &[u8]) {
        if secret.len() < MIN_LENGTH {
            return;
        }
        let in_url = percent_encode(secret, RESERVED).to_string();
        let text = String::from_utf8_lossy(secret);
        let in_json = serde_json::Value::from(&*text).to_string();
        let mut in_go = Vec::new();
        // Writing to memory does not fail.
        let _ = go_json::append(&*text, &mut in_go);
        let inside = |json: &[u8]| {
            json.get(1..json.len().saturating_sub(1))
                .map(<[u8]>::to_vec)
        };
        let forms = [
            Some(secret.to_vec()),
            Some(with_lower_hex(&in_url)),
            Some(in_url.into_bytes()),
            inside(in_json.as_bytes()),
            inside(&in_go),
        ];
        for form in forms.into_iter().flatten() {
            if !self.0.contains(&form) {
                self.0.push(form);
            }
        }
    }
}

/// `%2f` for `%2F`
fn with_lower_hex(encoded: &str) -> Vec<u8> {
    let mut lower = encoded.as_bytes().to_vec();
    let mut at = 0;
    while at + 2 < lower.len() {
        if lower[at] == b'%' {
            lower[at + 1..at + 3].make_ascii_lowercase();
        }
        at += 1;
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_38_a_secret_is_hidden_in_whatever_form_it_comes_back() {
        let mut headers = HeaderMap::new();
        // u:p/a"ss
        headers.insert("authorization", "Basic dTpwL2Eic3M=".parse().unwrap());
        headers.insert("x-key", "Key/Sec+Val".parse().unwrap());
        headers.insert("x-more", "my-pass/word&1".parse().unwrap());
        let url = "https://us:pw%40rd@h.example/short/AAAABBBBCCCCDDDD?v=1&token=q-x%2Fuery";
        let secrets = Secrets::of(&headers, &url.parse().unwrap());
        let echo = "Basic dTpwL2Eic3M= u:p/a\"ss p/a\"ss p%2Fa%22ss p/a\\\"ss Key%2FSec%2BVal Key/Sec+Val pw@rd pw%40rd AAAABBBBCCCCDDDD q-x/uery q-x%2Fuery my-pass%2Fword%261 my-pass%2fword%261 my-pass/word\\u00261";
        let mut shown = echo.to_owned();
        secrets.hide_in(&mut shown);
        assert_eq!(shown, ["***"; 15].join(" "));
        let mut harmless = "the short answer".to_owned();
        secrets.hide_in(&mut harmless);
        assert_eq!(harmless, "the short answer");
    }
}
