//! What is known of objects, for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tokio::time::Instant;

use super::reference::Reference;
use crate::event::{Event, OwnerReference};

/// What the API server knows of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object {
    /// It is there.
    Found(Arc<Found>),
    /// It is not, or another has its name.
    Gone,
}

/// What an event gets of its object.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) owner_references: Vec<OwnerReference>,
    /// It is being deleted.
    pub(super) deleted: bool,
}

/// The objects that were looked up last.
pub(super) struct ObjectCache(Cache<Arc<Reference>, Entry, Weights>);

struct Entry {
    object: Object,
    until: Instant,
    /// Asked for over and over.
    weight: u64,
}

/// An object of average size counts for one, and a large one for several: an object's annotations may weigh 256 KiB.
#[derive(Clone)]
struct Weights;

/// How long an answer is good for. Labels change seldom, and an event is about now.
const GOOD_FOR: Duration = Duration::from_mins(1);
/// How long that nothing has a name: another may get it at any time, where a uid never comes back.
const GOOD_FOR_A_NAME: Duration = Duration::from_secs(5);
/// What an object of average size takes.
const AVERAGE: usize = 4096;
/// More than that are made room for when they are there.
const CROWD: usize = 10_000;

// === impl ObjectCache ===

impl ObjectCache {
    /// Remembers `size` objects.
    pub(super) fn new(size: usize) -> Self {
        let capacity = size.saturating_mul(AVERAGE) as u64;
        // A guess of how many there will be, for which it makes room.
        let expected = size.min(CROWD);
        Self(Cache::with_weighter(expected, capacity, Weights))
    }

    /// How many of average size.
    pub(super) fn size(&self) -> usize {
        let capacity = usize::try_from(self.0.capacity()).unwrap_or(usize::MAX);
        capacity / AVERAGE
    }

    pub(super) fn get(&mut self, reference: &Reference, now: Instant) -> Option<Object> {
        let entry = self.0.get(reference)?;
        if now < entry.until {
            return Some(entry.object.clone());
        }
        self.0.remove(reference);
        None
    }

    pub(super) fn insert(&mut self, reference: Arc<Reference>, object: Object, now: Instant) {
        let weight = reference.weight() + object.weight();
        let good_for = match &object {
            Object::Gone if reference.uid.is_empty() => GOOD_FOR_A_NAME,
            _ => GOOD_FOR,
        };
        let entry = Entry {
            object,
            until: now + good_for,
            weight: weight.max(AVERAGE) as u64,
        };
        self.0.insert(reference, entry);
    }
}

// === impl Weights ===

impl Weighter<Arc<Reference>, Entry> for Weights {
    fn weight(&self, _: &Arc<Reference>, entry: &Entry) -> u64 {
        entry.weight
    }
}

// === impl Object ===

impl Object {
    /// Writes it into an event about it.
    pub(super) fn complete(&self, event: &mut Arc<Event>) {
        // Nobody else has it yet, so nothing is copied.
        let object = &mut Arc::make_mut(event).involved_object;
        match self {
            Self::Gone => object.deleted = true,
            Self::Found(found) => {
                object.labels.clone_from(&found.labels);
                object.annotations.clone_from(&found.annotations);
                object.owner_references.clone_from(&found.owner_references);
                object.deleted = found.deleted;
            }
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Found(found) => found.weight(),
            Self::Gone => 0,
        }
    }
}

// === impl Found ===

impl Found {
    fn weight(&self) -> usize {
        let entries = self.labels.iter().chain(&self.annotations);
        let owners = self.owner_references.iter().map(|owner| {
            let OwnerReference {
                api_version,
                kind,
                name,
                uid,
                ..
            } = owner;
            size_of::<OwnerReference>() + api_version.len() + kind.len() + name.len() + uid.len()
        });
        // A node of a map has two strings in each place.
        entries
            .map(|(key, value)| key.len() + value.len() + 2 * size_of::<String>())
            .chain(owners)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::InvolvedObject;

    fn reference(name: &str) -> Arc<Reference> {
        let object = InvolvedObject {
            kind: "Pod".to_owned(),
            name: name.to_owned(),
            uid: "0ad4b2dc-3b17-4b9e-8d3a-6f1a2c9f3c11".to_owned(),
            ..InvolvedObject::default()
        };
        Arc::new(Reference::of(&object).unwrap())
    }

    fn labelled(bytes: usize) -> Object {
        Object::Found(Arc::new(Found {
            labels: [("a".to_owned(), "x".repeat(bytes))].into(),
            ..Found::default()
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_good_for_a_minute() {
        let (mut cache, now) = (ObjectCache::new(10), Instant::now());
        cache.insert(reference("web"), labelled(1), now);
        cache.insert(reference("gone"), Object::Gone, now);
        let nearly = now + GOOD_FOR - Duration::from_millis(1);
        assert_eq!(cache.get(&reference("web"), nearly), Some(labelled(1)));
        assert_eq!(cache.get(&reference("gone"), nearly), Some(Object::Gone));
        assert_eq!(cache.get(&reference("api"), nearly), None);
        for name in ["web", "gone"] {
            assert_eq!(cache.get(&reference(name), now + GOOD_FOR), None);
        }
        let mut nameless = reference("nameless");
        Arc::make_mut(&mut nameless).uid.clear();
        cache.insert(Arc::clone(&nameless), Object::Gone, now);
        assert_eq!(cache.get(&nameless, now + GOOD_FOR_A_NAME), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_holds_as_many_objects_as_it_is_told_and_fewer_large_ones() {
        for (bytes, at_most) in [(1, 8), (2 * AVERAGE, 3), (9 * AVERAGE, 0)] {
            let (mut cache, now) = (ObjectCache::new(8), Instant::now());
            for at in 0..100 {
                cache.insert(reference(&at.to_string()), labelled(bytes), now);
            }
            let held = (0..100)
                .filter(|at| cache.get(&reference(&at.to_string()), now).is_some())
                .count();
            assert!(
                held <= at_most && (held > 0 || at_most == 0),
                "{bytes}: {held}"
            );
        }
    }
}
