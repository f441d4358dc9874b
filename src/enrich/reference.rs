//! Which object an Event is about, as far as an Event can be trusted: its author writes what he likes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::discovery::Resource;
use crate::event::InvolvedObject;

/// Names an object, and tells it from others of its name.
///
/// All of it is the key under which answers are remembered, not the uid alone: a reference with somebody else's uid and
/// another name must not decide what is known of him.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    /// Never empty: [`Self::guessed`] says where it was.
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Empty where it is none.
    pub(super) uid: String,
    /// The event has no apiVersion.
    pub(super) guessed: bool,
}

/// What may stand in a segment of a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

// === impl Reference ===

impl Reference {
    /// `None` for what no request can be made of, and for Secrets, which are never asked for: what `kubectl apply` notes in
    /// their annotations is the secret itself.
    pub(super) fn of(object: &InvolvedObject) -> Option<Self> {
        let guessed = object.api_version.is_empty();
        // The kubelet's events about its node have none.
        let api_version = if guessed { "v1" } else { &object.api_version };
        let secret = api_version == "v1" && object.kind == "Secret";
        if secret
            || !(1..=253).contains(&object.kind.len())
            || !is_api_version(api_version)
            || !is_segment(&object.name)
            || !(object.namespace.is_empty() || is_segment(&object.namespace))
        {
            return None;
        }
        Some(Self {
            api_version: api_version.to_owned(),
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            uid: if is_uid(&object.uid) {
                object.uid.clone()
            } else {
                String::new()
            },
            guessed,
        })
    }

    /// Where the API server has it; `None` if it must be in a namespace and the reference has none.
    pub(super) fn path(&self, resource: &Resource) -> Option<String> {
        let root = group_path(&self.api_version);
        let plural = utf8_percent_encode(&resource.plural, SEGMENT);
        let name = utf8_percent_encode(&self.name, SEGMENT);
        if !resource.namespaced {
            return Some(format!("{root}/{plural}/{name}"));
        }
        let namespace = utf8_percent_encode(&self.namespace, SEGMENT);
        (!self.namespace.is_empty())
            .then(|| format!("{root}/namespaces/{namespace}/{plural}/{name}"))
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>()
            + [&self.api_version, &self.kind, &self.namespace, &self.name]
                .iter()
                .map(|text| text.len())
                .sum::<usize>()
            + self.uid.len()
    }
}

/// Where the API server lists the kinds of a group and version.
pub(super) fn group_path(api_version: &str) -> String {
    let root = if api_version.contains('/') {
        "apis"
    } else {
        "api"
    };
    format!("/{root}/{api_version}")
}

/// `v1`, `apps/v1`
fn is_api_version(text: &str) -> bool {
    let label = |text: &str| {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !text.is_empty() && text.bytes().all(legal)
    };
    // It is kept for as long as its group, whoever has made it up.
    text.len() < 320
        && match text.split_once('/') {
            None => label(text),
            Some((group, version)) => group.split('.').all(label) && label(version),
        }
}

/// What Kubernetes takes for a name, whatever the kind.
fn is_segment(text: &str) -> bool {
    (1..=253).contains(&text.len()) && text != "." && text != ".." && !text.contains(['/', '%'])
}

/// The API server's uids are UUIDs. The kubelet writes the name of its node instead, and of a static pod the hash of its
/// manifest, which are no identity that an object has.
fn is_uid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| {
            if [8, 13, 18, 23].contains(&at) {
                byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(api_version: &str, kind: &str, namespace: &str, name: &str) -> InvolvedObject {
        InvolvedObject {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: "0ad4b2dc-3b17-4b9e-8d3a-6f1a2c9f3c11".to_owned(),
            ..InvolvedObject::default()
        }
    }

    fn path(object: &InvolvedObject, namespaced: bool) -> Option<String> {
        let resource = Resource {
            plural: "things".to_owned(),
            namespaced,
        };
        Reference::of(object)?.path(&resource)
    }

    #[test]
    fn an_author_of_events_cannot_choose_the_path_of_a_request() {
        let (long, longer) = ("v".repeat(320), "K".repeat(254));
        let rows = [
            (object(&long, "Thing", "shop", "web-0"), true, None),
            (object("v1", &longer, "shop", "web-0"), true, None),
            (
                object("v1", "Thing", "shop", "web-0"),
                true,
                Some("/api/v1/namespaces/shop/things/web-0"),
            ),
            (
                object("apps/v1", "Thing", "shop", "web"),
                true,
                Some("/apis/apps/v1/namespaces/shop/things/web"),
            ),
            (
                object("v1", "Thing", "", "node1"),
                false,
                Some("/api/v1/things/node1"),
            ),
            (
                object("v1", "Thing", "shop", "node1"),
                false,
                Some("/api/v1/things/node1"),
            ),
            (
                object("", "Thing", "", "node1"),
                false,
                Some("/api/v1/things/node1"),
            ),
            (
                object(
                    "rbac.authorization.k8s.io/v1",
                    "Thing",
                    "",
                    "system:node?x=1#a b",
                ),
                false,
                Some("/apis/rbac.authorization.k8s.io/v1/things/system%3Anode%3Fx%3D1%23a%20b"),
            ),
            (object("v1", "Thing", "", "web-0"), true, None),
            (object("v1", "Thing", "shop", ""), true, None),
            (object("v1", "", "shop", "web-0"), true, None),
            (object("v1", "Thing", "shop", "../secrets/key"), true, None),
            (object("v1", "Thing", "shop", ".."), true, None),
            (object("v1", "Thing", "..", "web-0"), true, None),
            (object("v1", "Thing", "shop", "%2e%2e"), true, None),
            (object("v1/../../v1", "Thing", "shop", "web-0"), true, None),
            (object("../v1", "Thing", "shop", "web-0"), true, None),
            (object("v1?x", "Thing", "shop", "web-0"), true, None),
            (object("v1", "Thing", "shop", &"x".repeat(300)), true, None),
            // Never asked for.
            (object("v1", "Secret", "shop", "key"), true, None),
        ];
        for (object, namespaced, expected) in rows {
            assert_eq!(path(&object, namespaced).as_deref(), expected, "{object:?}");
        }
    }

    #[test]
    fn what_the_kubelet_writes_for_a_uid_is_none() {
        for (uid, kept) in [
            ("0ad4b2dc-3b17-4b9e-8d3a-6f1a2c9f3c11", true),
            ("node1", false),
            ("a3f4c1d2e5b6978877665544332211aa", false),
            ("", false),
        ] {
            let object = InvolvedObject {
                uid: uid.to_owned(),
                ..object("v1", "Pod", "shop", "web-0")
            };
            assert_eq!(
                !Reference::of(&object).unwrap().uid.is_empty(),
                kept,
                "{uid}"
            );
        }
    }
}
