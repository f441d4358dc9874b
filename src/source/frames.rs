//! The body of a watch, as frames: one JSON object a line.

use std::fmt;
use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http_body_util::BodyStream;
use kube::client::Body;
use kube::core::Status;
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::from_slice;

/// The longest frame that is kept. etcd refuses objects above 1.5 MiB by default.
const MAX_FRAME: usize = 4 << 20;

/// One frame of a watch.
#[derive(Debug, PartialEq)]
pub enum Frame<K> {
    /// An object is there, or has changed.
    Applied(K),
    /// An object is gone, as of this version.
    Deleted {
        /// Of the deletion, not of the object.
        version: String,
    },
    /// Everything up to this version has been sent.
    Bookmark {
        /// Up to which.
        version: String,
        /// Whether it ends the list that a streaming list starts with.
        ends_list: bool,
    },
    /// The watch has failed.
    Error(Box<Status>),
    /// A line that cannot be read.
    Malformed {
        /// Why; one of few.
        cause: &'static str,
        /// Why, for people.
        reason: String,
    },
}

/// Reads frames from a body as it arrives.
pub struct Frames<B = Body> {
    body: BodyStream<B>,
    /// What has arrived and is not read yet.
    chunk: Bytes,
    /// The start of a line whose end has not arrived.
    partial: BytesMut,
    /// The rest of the current line is thrown away, because it is too long.
    discarding: bool,
}

// === impl Frames ===

impl<B: hyper::body::Body<Data = Bytes, Error = kube::Error> + Unpin> Frames<B> {
    /// Reads `body`.
    pub fn new(body: B) -> Self {
        Self {
            body: BodyStream::new(body),
            chunk: Bytes::new(),
            partial: BytesMut::new(),
            discarding: false,
        }
    }

    /// The next frame; `None` at the end of the body. An unfinished last line is no frame.
    ///
    /// Dropping the future loses nothing.
    pub async fn next<K: DeserializeOwned>(&mut self) -> Result<Option<Frame<K>>, kube::Error> {
        loop {
            while let Some(end) = memchr::memchr(b'\n', &self.chunk) {
                let line = self.chunk.split_to(end + 1);
                if std::mem::take(&mut self.discarding) {
                    continue;
                }
                let line = if self.partial.is_empty() {
                    line
                } else {
                    self.partial.extend_from_slice(&line);
                    self.partial.split().freeze()
                };
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(decode(&line)));
                }
            }
            if !self.discarding {
                self.partial.extend_from_slice(&self.chunk);
            }
            self.chunk.clear();
            if self.partial.len() > MAX_FRAME {
                self.partial.clear();
                self.discarding = true;
                let reason = format!("a frame of more than {MAX_FRAME} bytes");
                return Ok(Some(Frame::Malformed {
                    cause: "too_long",
                    reason,
                }));
            }
            match self.body.next().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.chunk = data;
                    }
                }
                None => return Ok(None),
            }
        }
    }
}

/// Reads one line.
pub fn decode<K: DeserializeOwned>(line: &[u8]) -> Frame<K> {
    from_slice(line).unwrap_or_else(|error| Frame::Malformed {
        cause: if error.is_data() {
            "unexpected"
        } else {
            "not_json"
        },
        reason: error.to_string(),
    })
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Frame<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FrameVisitor(PhantomData))
    }
}

struct FrameVisitor<K>(PhantomData<K>);

impl<'de, K: DeserializeOwned> Visitor<'de> for FrameVisitor<K> {
    type Value = Frame<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a watch frame")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Frame<K>, A::Error> {
        let mut kind: Option<Kind> = None;
        let mut frame = None;
        let mut early: Option<Box<RawValue>> = None;
        while let Some(key) = map.next_key::<Key>()? {
            match (key, kind) {
                (Key::Type, _) => kind = Some(map.next_value()?),
                // The type always comes first, but nothing promises it.
                (Key::Object, None) => early = Some(map.next_value()?),
                (Key::Object, Some(kind)) => {
                    frame = Some(match kind {
                        Kind::Added | Kind::Modified => Frame::Applied(map.next_value()?),
                        Kind::Deleted => deleted(map.next_value()?),
                        Kind::Bookmark => bookmark(map.next_value()?),
                        Kind::Error => Frame::Error(map.next_value()?),
                    });
                }
                (Key::Other, _) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if let (None, Some(early), Some(kind)) = (&frame, early, kind) {
            let object = early.get();
            let read = match kind {
                Kind::Added | Kind::Modified => serde_json::from_str(object).map(Frame::Applied),
                Kind::Deleted => serde_json::from_str(object).map(deleted),
                Kind::Bookmark => serde_json::from_str(object).map(bookmark),
                Kind::Error => serde_json::from_str(object).map(Frame::Error),
            };
            frame = Some(read.map_err(de::Error::custom)?);
        }
        frame.ok_or_else(|| de::Error::custom("a frame without type or object"))
    }
}

#[derive(Deserialize, Clone, Copy)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Type,
    Object,
    #[serde(other)]
    Other,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

/// The little that is read of an object that is not delivered.
#[derive(Deserialize)]
struct Stub {
    metadata: StubMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StubMetadata {
    resource_version: String,
    #[serde(default)]
    annotations: Option<EndOfList>,
}

#[derive(Deserialize)]
struct EndOfList {
    #[serde(rename = "k8s.io/initial-events-end")]
    initial_events_end: Option<String>,
}

fn deleted<K>(object: Stub) -> Frame<K> {
    Frame::Deleted {
        version: object.metadata.resource_version,
    }
}

fn bookmark<K>(object: Stub) -> Frame<K> {
    let end = object
        .metadata
        .annotations
        .and_then(|annotations| annotations.initial_events_end);
    Frame::Bookmark {
        version: object.metadata.resource_version,
        ends_list: end.as_deref() == Some("true"),
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    type Object = serde_json::Value;

    fn frame(line: &str) -> Frame<Object> {
        decode(line.as_bytes())
    }

    fn malformed(line: &str) -> &'static str {
        match frame(line) {
            Frame::Malformed { cause, .. } => cause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_every_type_of_frame() {
        assert_eq!(
            frame(r#"{"type":"ADDED","object":{"a":1}}"#),
            Frame::Applied(serde_json::json!({"a": 1}))
        );
        assert_eq!(
            frame(r#"{"object":{"a":1},"type":"MODIFIED"}"#),
            Frame::Applied(serde_json::json!({"a": 1}))
        );
        let version = || "7".to_owned();
        let object = r#"{"metadata":{"resourceVersion":"7","annotations":{"x":"y"}}}"#;
        assert_eq!(
            frame(&format!(r#"{{"type":"DELETED","object":{object}}}"#)),
            Frame::Deleted { version: version() }
        );
        let bookmark = |ends_list| Frame::Bookmark {
            version: version(),
            ends_list,
        };
        assert_eq!(
            frame(&format!(r#"{{"type":"BOOKMARK","object":{object}}}"#)),
            bookmark(false)
        );
        let end = object.replace(r#""x":"y""#, r#""k8s.io/initial-events-end":"true""#);
        assert_eq!(
            frame(&format!(r#"{{"type":"BOOKMARK","object":{end}}}"#)),
            bookmark(true)
        );
        match frame(
            r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old","reason":"Expired"}}"#,
        ) {
            Frame::Error(status) => {
                assert_eq!((status.code, status.message.as_str()), (410, "too old"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_broken_line_is_a_frame_that_says_so() {
        assert_eq!(malformed("garbage"), "not_json");
        assert_eq!(malformed(r#"{"type":"ADDED","object":{"#), "not_json");
        assert_eq!(malformed(r#"{"type":"ADDED"}"#), "unexpected");
        assert_eq!(malformed(r#"{"type":"RENAMED","object":{}}"#), "unexpected");
        assert_eq!(
            malformed(r#"{"type":"DELETED","object":{"metadata":{}}}"#),
            "unexpected"
        );
        assert_eq!(malformed("[]"), "unexpected");
        let deep = format!(
            r#"{{"type":"ADDED","object":{}1{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        assert_eq!(malformed(&deep), "not_json");
    }

    async fn read(chunks: Vec<Vec<u8>>) -> Vec<Frame<Object>> {
        let chunks = stream::iter(
            chunks
                .into_iter()
                .map(|chunk| Ok::<_, kube::Error>(hyper::body::Frame::data(Bytes::from(chunk)))),
        );
        let mut frames = Frames::new(http_body_util::StreamBody::new(chunks));
        let mut all = Vec::new();
        while let Some(frame) = frames.next().await.unwrap() {
            all.push(frame);
        }
        all
    }

    #[tokio::test]
    async fn fault_20_lines_do_not_depend_on_how_they_arrive() {
        let text = "{\"type\":\"ADDED\",\"object\":\"é\"}\n\n{\"type\":\"ADDED\",\"object\":2}\r\n{\"type\":\"ADDED\",\"object\":3}\nunfinished";
        let expected: Vec<Frame<Object>> = [serde_json::json!("é"), 2.into(), 3.into()]
            .into_iter()
            .map(Frame::Applied)
            .collect();
        for size in 1..text.len() {
            let chunks = text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(read(chunks).await, expected, "in chunks of {size}");
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_given_up_and_the_next_is_read() {
        let mut chunks = vec![vec![b'x'; 1 << 20]; 7];
        chunks.push(b"x\n{\"type\":\"ADDED\",\"object\":1}\n".to_vec());
        let frames = read(chunks).await;
        assert!(matches!(
            frames[0],
            Frame::Malformed {
                cause: "too_long",
                ..
            }
        ));
        assert_eq!(frames[1..], [Frame::Applied(1.into())]);
    }
}
