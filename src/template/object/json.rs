//! The structs as JSON.

use crate::event::{ApiEvent, Compat, Document, DocumentOptions, ObjectReference, go_json};

use super::{Kind, Object};

// === impl Object ===

impl Object<'_> {
    /// Appends what Go's `encoding/json` makes of it.
    pub(in super::super) fn append_json(&self, to: &mut Vec<u8>) -> serde_json::Result<()> {
        let strict = DocumentOptions {
            compat: Compat::Strict,
            de_dot: false,
        };
        match self.kind {
            Kind::Event(event) => Document {
                event,
                options: strict,
            }
            .append(to),
            Kind::ApiEvent(event) => go_json::append(&ApiEvent(event), to),
            Kind::TypeMeta => {
                to.extend_from_slice(b"{}");
                Ok(())
            }
            Kind::ObjectMeta(metadata) => go_json::append(metadata, to),
            Kind::Source(source) => go_json::append(source, to),
            Kind::Series(series) => go_json::append(series, to),
            Kind::InvolvedObject(object) => go_json::append(object, to),
            Kind::Reference(reference) => {
                let reference = ObjectReference {
                    kind: reference.kind.to_owned(),
                    namespace: reference.namespace.to_owned(),
                    name: reference.name.to_owned(),
                    uid: reference.uid.to_owned(),
                    api_version: reference.api_version.to_owned(),
                    resource_version: reference.resource_version.to_owned(),
                    field_path: reference.field_path.to_owned(),
                };
                go_json::append(&reference, to)
            }
            Kind::Owner(owner) => go_json::append(owner, to),
            Kind::GroupVersionKind(kind) => {
                let fields = [
                    ("Group", kind.group),
                    ("Version", kind.version),
                    ("Kind", kind.kind),
                ];
                for (at, (name, value)) in fields.into_iter().enumerate() {
                    to.extend_from_slice(if at == 0 { b"{" } else { b"," });
                    go_json::append(name, to)?;
                    to.push(b':');
                    go_json::append(value, to)?;
                }
                to.push(b'}');
                Ok(())
            }
        }
    }
}
