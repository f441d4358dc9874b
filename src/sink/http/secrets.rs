//! What a server's words may not show: some answer with what they were asked.

use std::cmp::Reverse;

use memchr::memmem::Finder;
use reqwest::Url;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};

/// What may be a credential in requests. Any header may be, and in a URL whatever stands in its query and in long
/// parts of its path: webhooks have their keys there.
#[derive(Default)]
pub struct Secrets(Vec<Vec<u8>>);

/// A shorter text is as likely to be a word of the answer.
const MIN_LENGTH: usize = 4;
/// A part of a path that is shorter is a name.
const MIN_SEGMENT: usize = 16;
const HIDDEN: &[u8] = b"***";

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
            for (_, value) in url.query_pairs() {
                secrets.add(value.as_bytes());
            }
        }
        for segment in url.path_segments().into_iter().flatten() {
            if segment.len() >= MIN_SEGMENT {
                secrets.add(segment.as_bytes());
            }
        }
        // A secret in another one is no longer found once that is hidden.
        secrets.0.sort_by_key(|secret| Reverse(secret.len()));
        secrets
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

    fn add_header(&mut self, value: &HeaderValue) {
        let value = value.as_bytes();
        self.add(value);
        // Behind a scheme.
        if let Some(space) = value.iter().rposition(|&byte| byte == b' ') {
            self.add(&value[space + 1..]);
        }
    }

    fn add(&mut self, secret: &[u8]) {
        if secret.len() >= MIN_LENGTH {
            self.0.push(secret.to_vec());
        }
    }
}
