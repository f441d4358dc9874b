//! The structs that templates see: the event and its parts, with the fields and methods that they have in Go (k8s.io/api
//! and k8s.io/apimachinery 0.26, which the incumbent is built with).

use std::collections::BTreeMap;

use crate::event::{
    Event, InvolvedObject, Metadata, ObjectReference, OwnerReference, Series, Source, Time,
};

use super::failure::Result;
use super::time::GoTime;
use super::value::{Element, IntType, Pointee, Strings, TimeType, Value};

mod go_string;
mod json;
mod method;

pub(super) use self::method::Method;

/// A struct, or a pointer to one.
#[derive(Clone, Copy)]
pub(super) struct Object<'e> {
    kind: Kind<'e>,
    held: Held,
}

/// Which struct.
#[derive(Clone, Copy)]
enum Kind<'e> {
    /// `kube.EnhancedEvent`, what a template's dot is.
    Event(&'e Event),
    /// `v1.Event`, inside of the other.
    ApiEvent(&'e Event),
    TypeMeta,
    ObjectMeta(&'e Metadata),
    Source(&'e Source),
    Series(&'e Series),
    /// `kube.EnhancedObjectReference`
    InvolvedObject(&'e InvolvedObject),
    Reference(Reference<'e>),
    Owner(&'e OwnerReference),
    GroupVersionKind(GroupVersionKind<'e>),
}

/// `v1.ObjectReference`, by itself or inside of the involved object.
#[derive(Clone, Copy, PartialEq)]
struct Reference<'e> {
    kind: &'e str,
    namespace: &'e str,
    name: &'e str,
    uid: &'e str,
    api_version: &'e str,
    resource_version: &'e str,
    field_path: &'e str,
}

/// `schema.GroupVersionKind`
#[derive(Clone, Copy, PartialEq)]
struct GroupVersionKind<'e> {
    group: &'e str,
    version: &'e str,
    kind: &'e str,
}

/// How it is at hand: methods of pointers can be called only where there is a pointer to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Copy,
    InPlace,
    Pointer,
}

// === impl Object ===

impl<'e> Object<'e> {
    /// A pointer to the event: the dot.
    pub(super) fn event(event: &'e Event) -> Self {
        Self::new(Kind::Event(event), Held::Pointer)
    }

    /// A copy of the event.
    pub(super) fn event_copy(event: &'e Event) -> Self {
        Self::new(Kind::Event(event), Held::Copy)
    }

    fn new(kind: Kind<'e>, held: Held) -> Self {
        Self { kind, held }
    }

    pub(super) fn is_pointer(&self) -> bool {
        self.held == Held::Pointer
    }

    /// Whether there is a pointer to be had.
    pub(super) fn is_reachable(&self) -> bool {
        self.held != Held::Copy && !matches!(self.kind, Kind::GroupVersionKind(_)) || self.speaks()
    }

    /// Whether it says itself how it looks, even where only a copy of it is printed.
    pub(super) fn speaks(&self) -> bool {
        self.is_pointer() || matches!(self.kind, Kind::GroupVersionKind(_))
    }

    /// The same behind a pointer.
    pub(super) fn pointer(self) -> Self {
        Self::new(self.kind, Held::Pointer)
    }

    /// The same as something that was passed by value.
    pub(super) fn passed(self) -> Self {
        match self.held {
            Held::Pointer => self,
            Held::Copy | Held::InPlace => Self::new(self.kind, Held::Copy),
        }
    }

    /// The struct's name.
    pub(super) fn struct_name(&self) -> &'static str {
        &self.pointer().type_name()[1..]
    }

    /// The type's name.
    pub(super) fn type_name(&self) -> &'static str {
        let name = match self.kind {
            Kind::Event(_) => "*kube.EnhancedEvent",
            Kind::ApiEvent(_) => "*v1.Event",
            Kind::TypeMeta => "*v1.TypeMeta",
            Kind::ObjectMeta(_) => "*v1.ObjectMeta",
            Kind::Source(_) => "*v1.EventSource",
            Kind::Series(_) => "*v1.EventSeries",
            Kind::InvolvedObject(_) => "*kube.EnhancedObjectReference",
            Kind::Reference(_) => "*v1.ObjectReference",
            Kind::Owner(_) => "*v1.OwnerReference",
            Kind::GroupVersionKind(_) => "*schema.GroupVersionKind",
        };
        match self.held {
            Held::Pointer => name,
            Held::Copy | Held::InPlace => &name[1..],
        }
    }

    /// Whether two structs have the same fields, or two pointers lead to the same; `None` where Go can't compare.
    pub(super) fn equals(&self, other: &Self) -> Option<bool> {
        let is_same = std::mem::discriminant(&self.kind) == std::mem::discriminant(&other.kind);
        if self.is_pointer() && other.is_pointer() {
            return Some(is_same && self.address() == other.address());
        }
        match (self.kind, other.kind) {
            (Kind::Source(a), Kind::Source(b)) => Some(a == b),
            (Kind::Series(a), Kind::Series(b)) => Some(a == b),
            (Kind::TypeMeta, Kind::TypeMeta) => Some(true),
            (Kind::Reference(a), Kind::Reference(b)) => Some(a == b),
            (Kind::GroupVersionKind(a), Kind::GroupVersionKind(b)) => Some(a == b),
            // Their pointers would have to be the same.
            (Kind::Owner(a), Kind::Owner(b)) => Some(std::ptr::eq(a, b)),
            _ if is_same => None,
            _ => Some(false),
        }
    }

    /// Where it is, for telling whether two are one.
    fn address(&self) -> usize {
        match self.kind {
            Kind::Event(event) | Kind::ApiEvent(event) => std::ptr::from_ref(event).addr(),
            Kind::TypeMeta | Kind::GroupVersionKind(_) => 0,
            Kind::ObjectMeta(metadata) => std::ptr::from_ref(metadata).addr(),
            Kind::Source(source) => std::ptr::from_ref(source).addr(),
            Kind::Series(series) => std::ptr::from_ref(series).addr(),
            Kind::InvolvedObject(object) => std::ptr::from_ref(object).addr(),
            Kind::Reference(reference) => reference.name.as_ptr().addr(),
            Kind::Owner(owner) => std::ptr::from_ref(owner).addr(),
        }
    }

    /// A struct inside of this one.
    fn part(&self, kind: Kind<'e>) -> Value<'e> {
        let held = match self.held {
            Held::Copy => Held::Copy,
            Held::InPlace | Held::Pointer => Held::InPlace,
        };
        Value::Object(Self::new(kind, held))
    }

    /// The fields that are declared, in their order.
    pub(super) fn field_names(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Event(_) => &["Event", "ClusterName", "InvolvedObject"],
            Kind::ApiEvent(_) => &[
                "TypeMeta",
                "ObjectMeta",
                "InvolvedObject",
                "Reason",
                "Message",
                "Source",
                "FirstTimestamp",
                "LastTimestamp",
                "Count",
                "Type",
                "EventTime",
                "Series",
                "Action",
                "Related",
                "ReportingController",
                "ReportingInstance",
            ],
            Kind::TypeMeta => &["Kind", "APIVersion"],
            Kind::ObjectMeta(_) => &[
                "Name",
                "GenerateName",
                "Namespace",
                "SelfLink",
                "UID",
                "ResourceVersion",
                "Generation",
                "CreationTimestamp",
                "DeletionTimestamp",
                "DeletionGracePeriodSeconds",
                "Labels",
                "Annotations",
                "OwnerReferences",
                "Finalizers",
                "ManagedFields",
            ],
            Kind::Source(_) => &["Component", "Host"],
            Kind::Series(_) => &["Count", "LastObservedTime"],
            Kind::InvolvedObject(_) => &[
                "ObjectReference",
                "Labels",
                "Annotations",
                "OwnerReferences",
                "Deleted",
            ],
            Kind::Reference(_) => &[
                "Kind",
                "Namespace",
                "Name",
                "UID",
                "APIVersion",
                "ResourceVersion",
                "FieldPath",
            ],
            Kind::Owner(_) => &[
                "APIVersion",
                "Kind",
                "Name",
                "UID",
                "Controller",
                "BlockOwnerDeletion",
            ],
            Kind::GroupVersionKind(_) => &["Group", "Version", "Kind"],
        }
    }

    /// The field that `name`, which is none, is likely to mean: of those declared here or in what is embedded.
    pub(super) fn near(&self, name: &str) -> Option<&'static str> {
        let embedded: &[Kind<'_>] = match self.kind {
            Kind::Event(event) => &[
                Kind::ApiEvent(event),
                Kind::TypeMeta,
                Kind::ObjectMeta(&event.metadata),
            ],
            Kind::ApiEvent(event) => &[Kind::TypeMeta, Kind::ObjectMeta(&event.metadata)],
            Kind::InvolvedObject(object) => &[Kind::Reference(object.into())],
            _ => &[],
        };
        let embedded = embedded.iter().map(|&kind| Self::new(kind, Held::Copy));
        let names = std::iter::once(*self)
            .chain(embedded)
            .flat_map(|object| object.field_names());
        crate::yaml::nearest(name, names.copied())
    }

    /// A field, declared here or in what is embedded. `None` if there is none of that name.
    pub(super) fn field(&self, name: &str) -> Result<Option<Value<'e>>> {
        match self.kind {
            Kind::Event(event) => self.event_field(event, name),
            Kind::ApiEvent(event) => self.api_event_field(event, name),
            Kind::TypeMeta => Ok(matches!(name, "Kind" | "APIVersion").then(|| Value::text(""))),
            Kind::ObjectMeta(metadata) => metadata_field(metadata, name),
            Kind::Source(source) => Ok(match name {
                "Component" => Some(Value::text(source.component.as_str())),
                "Host" => Some(Value::text(source.host.as_str())),
                _ => None,
            }),
            Kind::Series(series) => Ok(match name {
                "Count" => Some(Value::Int(series.count, IntType::Int32)),
                "LastObservedTime" => Some(time(series.last_observed_time, TimeType::Micro)),
                _ => None,
            }),
            Kind::InvolvedObject(object) => match name {
                "ObjectReference" => Ok(Some(self.part(Kind::Reference(object.into())))),
                "Labels" => Ok(Some(strings(&object.labels))),
                "Annotations" => Ok(Some(strings(&object.annotations))),
                "OwnerReferences" => owners(&object.owner_references).map(Some),
                "Deleted" => Ok(Some(Value::Bool(object.deleted))),
                name => Ok(Reference::from(object).field(name)),
            },
            Kind::Reference(reference) => Ok(reference.field(name)),
            Kind::Owner(owner) => Ok(match name {
                "APIVersion" => Some(Value::text(owner.api_version.as_str())),
                "Kind" => Some(Value::text(owner.kind.as_str())),
                "Name" => Some(Value::text(owner.name.as_str())),
                "UID" => Some(Value::uid(&owner.uid)),
                "Controller" => Some(pointer(Pointee::Bool, owner.controller.map(Value::Bool))),
                "BlockOwnerDeletion" => Some(pointer(
                    Pointee::Bool,
                    owner.block_owner_deletion.map(Value::Bool),
                )),
                _ => None,
            }),
            Kind::GroupVersionKind(kind) => Ok(match name {
                "Group" => Some(Value::text(kind.group)),
                "Version" => Some(Value::text(kind.version)),
                "Kind" => Some(Value::text(kind.kind)),
                _ => None,
            }),
        }
    }

    fn event_field(&self, event: &'e Event, name: &str) -> Result<Option<Value<'e>>> {
        Ok(Some(match name {
            "Event" => self.part(Kind::ApiEvent(event)),
            "ClusterName" => Value::text(event.cluster_name.as_str()),
            // Ours, and so not declared: an event that is printed whole looks as the incumbent's.
            "Suppressed" => Value::Int(event.suppressed, IntType::Int64),
            "InvolvedObject" => self.part(Kind::InvolvedObject(&event.involved_object)),
            name => return self.api_event_field(event, name),
        }))
    }

    fn api_event_field(&self, event: &'e Event, name: &str) -> Result<Option<Value<'e>>> {
        Ok(Some(match name {
            "TypeMeta" => self.part(Kind::TypeMeta),
            "ObjectMeta" => self.part(Kind::ObjectMeta(&event.metadata)),
            "InvolvedObject" => self.part(Kind::Reference((&event.involved_object).into())),
            "Reason" => Value::text(event.reason.as_str()),
            "Message" => Value::text(event.message.as_str()),
            "Source" => self.part(Kind::Source(&event.source)),
            "FirstTimestamp" => time(event.first_timestamp, TimeType::Api),
            "LastTimestamp" => time(event.last_timestamp, TimeType::Api),
            "Count" => Value::Int(event.count, IntType::Int32),
            "Type" => Value::text(event.kind.as_str()),
            "EventTime" => time(event.event_time, TimeType::Micro),
            "Series" => match &event.series {
                Some(series) => Value::Object(Self::new(Kind::Series(series), Held::Pointer)),
                None => Value::Pointer(Pointee::Series, None),
            },
            "Action" => Value::text(event.action.as_str()),
            "Related" => match &event.related {
                Some(object) => {
                    let kind = Kind::Reference(object.into());
                    Value::Object(Self::new(kind, Held::Pointer))
                }
                None => Value::Pointer(Pointee::Reference, None),
            },
            "ReportingController" => Value::text(event.reporting_component.as_str()),
            "ReportingInstance" => Value::text(event.reporting_instance.as_str()),
            // An Event's kind and version are what it was asked for by, and not kept.
            "Kind" | "APIVersion" => Value::text(""),
            name => return metadata_field(&event.metadata, name),
        }))
    }
}

fn metadata_field<'e>(metadata: &'e Metadata, name: &str) -> Result<Option<Value<'e>>> {
    Ok(Some(match name {
        "Name" => Value::text(metadata.name.as_str()),
        "GenerateName" => Value::text(metadata.generate_name.as_str()),
        "Namespace" => Value::text(metadata.namespace.as_str()),
        "SelfLink" => Value::text(metadata.self_link.as_str()),
        "UID" => Value::uid(&metadata.uid),
        "ResourceVersion" => Value::text(metadata.resource_version.as_str()),
        "Generation" => Value::int64(metadata.generation),
        "CreationTimestamp" => time(metadata.creation_timestamp, TimeType::Api),
        "DeletionTimestamp" => {
            let set = metadata.deletion_timestamp;
            pointer(
                Pointee::ApiTime,
                set.map(|set| time(Some(set), TimeType::Api)),
            )
        }
        "DeletionGracePeriodSeconds" => pointer(
            Pointee::Int64,
            metadata.deletion_grace_period_seconds.map(Value::int64),
        ),
        "Labels" => strings(&metadata.labels),
        "Annotations" => strings(&metadata.annotations),
        "OwnerReferences" => owners(&metadata.owner_references)?,
        "Finalizers" if metadata.finalizers.is_empty() => Value::nil_list(Element::String),
        "Finalizers" => Value::strings(metadata.finalizers.iter().map(String::as_str)),
        // Never kept.
        "ManagedFields" => Value::nil_list(Element::ManagedFields),
        _ => return Ok(None),
    }))
}

fn time<'e>(time: Option<Time>, kind: TimeType) -> Value<'e> {
    Value::Time(time.map_or(GoTime::ZERO, GoTime::from), kind)
}

fn strings(map: &BTreeMap<String, String>) -> Value<'_> {
    Value::Strings(Strings::Borrowed(map))
}

fn owners(owners: &[OwnerReference]) -> Result<Value<'_>> {
    if owners.is_empty() {
        return Ok(Value::nil_list(Element::Owners));
    }
    // Elements of a slice are where they are.
    let owner = |owner| Value::Object(Object::new(Kind::Owner(owner), Held::InPlace));
    Value::list_of(Element::Owners, owners.iter().map(owner).collect())
}

fn pointer(pointee: Pointee, target: Option<Value<'_>>) -> Value<'_> {
    Value::Pointer(pointee, target.map(Box::new))
}

// === impl Reference ===

impl<'e> Reference<'e> {
    fn field(self, name: &str) -> Option<Value<'e>> {
        Some(match name {
            "Kind" => Value::text(self.kind),
            "Namespace" => Value::text(self.namespace),
            "Name" => Value::text(self.name),
            "UID" => Value::uid(self.uid),
            "APIVersion" => Value::text(self.api_version),
            "ResourceVersion" => Value::text(self.resource_version),
            "FieldPath" => Value::text(self.field_path),
            _ => return None,
        })
    }

    fn group_version_kind(self) -> GroupVersionKind<'e> {
        let (group, version) = match self.api_version.split_once('/') {
            None => ("", self.api_version),
            // More than one slash is no version.
            Some((_, version)) if version.contains('/') => ("", ""),
            Some(parts) => parts,
        };
        GroupVersionKind {
            group,
            version,
            kind: self.kind,
        }
    }
}

impl<'e> From<&'e ObjectReference> for Reference<'e> {
    fn from(object: &'e ObjectReference) -> Self {
        Self {
            kind: &object.kind,
            namespace: &object.namespace,
            name: &object.name,
            uid: &object.uid,
            api_version: &object.api_version,
            resource_version: &object.resource_version,
            field_path: &object.field_path,
        }
    }
}

impl<'e> From<&'e InvolvedObject> for Reference<'e> {
    fn from(object: &'e InvolvedObject) -> Self {
        Self {
            kind: &object.kind,
            namespace: &object.namespace,
            name: &object.name,
            uid: &object.uid,
            api_version: &object.api_version,
            resource_version: &object.resource_version,
            field_path: &object.field_path,
        }
    }
}
