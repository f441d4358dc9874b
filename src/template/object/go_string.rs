//! How the structs describe themselves: the `String` methods that are generated for the API's types.

use super::super::context::Context;
use super::super::failure::Result;
use super::super::print;
use super::super::value::Value;
use super::{Kind, Object};

// === impl Object ===

impl<'e> Object<'e> {
    /// What its `String` method gives: `&EventSource{Component:kubelet,Host:node-1,}`.
    pub(in super::super) fn go_string(&self, context: &Context<'e>) -> Result<Vec<u8>> {
        match self.kind {
            Kind::GroupVersionKind(kind) => {
                let text = format!("{}/{}, Kind={}", kind.group, kind.version, kind.kind);
                Ok(text.into_bytes())
            }
            // Their String methods are those of what they embed.
            Kind::Event(event) => Self::new(Kind::ApiEvent(event), self.held).go_string(context),
            Kind::InvolvedObject(object) => {
                Self::new(Kind::Reference(object.into()), self.held).go_string(context)
            }
            _ => self.described(context),
        }
    }

    fn described(&self, context: &Context<'e>) -> Result<Vec<u8>> {
        let mut text = Vec::from("&");
        let name = self.struct_name();
        text.extend_from_slice(name.trim_start_matches("v1.").as_bytes());
        text.push(b'{');
        for name in self.described_names() {
            // Not described by its kind, which it has lost.
            if *name == "TypeMeta" {
                continue;
            }
            let Some(value) = self.field(name)? else {
                continue;
            };
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            Self::describe_field(name, &value, context, &mut text)?;
            text.push(b',');
        }
        text.push(b'}');
        context.spend_bytes(text.len())?;
        Ok(text)
    }

    /// The fields in the order of the description, which is that of their numbers in the API.
    fn described_names(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Owner(_) => &[
                "Kind",
                "Name",
                "UID",
                "APIVersion",
                "Controller",
                "BlockOwnerDeletion",
            ],
            _ => self.field_names(),
        }
    }

    fn describe_field(
        name: &str,
        value: &Value<'e>,
        context: &Context<'e>,
        text: &mut Vec<u8>,
    ) -> Result<()> {
        match (name, value) {
            // Printed rather than asked, for once.
            ("ObjectMeta", Value::Object(object)) => {
                let start = text.len();
                print::append_value(&Value::Object(object.passed()), context, text)?;
                // Meant for the sign of a pointer, which is not there; another may be.
                if let Some(at) = memchr::memchr(b'&', &text[start..]) {
                    text.remove(start + at);
                }
            }
            ("Series" | "Related", Value::Object(object)) => {
                text.extend_from_slice(&object.go_string(context)?);
            }
            (_, Value::Object(object)) => {
                text.extend_from_slice(&object.go_string(context)?[1..]);
            }
            (
                "Controller" | "BlockOwnerDeletion" | "DeletionGracePeriodSeconds",
                Value::Pointer(_, target),
            ) => match target {
                None => text.extend_from_slice(b"nil"),
                Some(target) => {
                    text.push(b'*');
                    print::append_value(target, context, text)?;
                }
            },
            (_, Value::Strings(strings)) => {
                text.extend_from_slice(b"map[string]string{");
                for (key, value) in strings.entries() {
                    text.extend_from_slice(&key);
                    text.extend_from_slice(b": ");
                    text.extend_from_slice(&value);
                    text.push(b',');
                }
                text.push(b'}');
            }
            ("OwnerReferences" | "ManagedFields", Value::List(list)) => {
                let element = match name {
                    "OwnerReferences" => "[]OwnerReference{",
                    _ => "[]ManagedFieldsEntry{",
                };
                text.extend_from_slice(element.as_bytes());
                for value in &list.values {
                    if let Value::Object(object) = value {
                        text.extend_from_slice(&object.go_string(context)?[1..]);
                        text.push(b',');
                    }
                }
                text.push(b'}');
            }
            (_, value) => print::append_value(value, context, text)?,
        }
        Ok(())
    }
}
