//! The latest Events that the API server has, read once and by pages: for whoever asks what would become of them.

use std::cmp::Reverse;
use std::time::Duration;

use kube::Client;

use super::collection::{Collection, WatchError};
use super::{PAGE_SIZE, path};
use crate::event::Event;

/// The events of a cluster that are used, and how many are not.
#[derive(Debug, Default)]
pub struct Latest {
    /// The newest first.
    pub events: Vec<Event>,
    /// How many have been read and are left out, because they are older than those.
    pub older: u64,
    /// How many have not been read, of which nobody knows how old they are; at least, where the server does not count them.
    pub unread: u64,
}

/// How many are read, and used.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Events that are used.
    pub events: usize,
    /// Pages of up to a thousand that are read of a namespace, or of all of them together.
    pub pages: usize,
}

// === impl Latest ===

impl Latest {
    /// Lists the events of these namespaces, of all if there are none.
    pub async fn read(
        client: &Client,
        namespaces: &[String],
        bounds: Bounds,
    ) -> Result<Self, WatchError> {
        let mut latest = Self::default();
        let all = namespaces.is_empty().then_some(None);
        for namespace in all.into_iter().chain(namespaces.iter().map(Some)) {
            let mut collection = Collection {
                client: client.clone(),
                path: path(namespace.map(String::as_str)),
                // Nothing is watched.
                watch_timeout: Duration::ZERO,
                grace: Duration::ZERO,
                most: u32::MAX,
            };
            latest.list(&mut collection, bounds).await?;
        }
        Ok(latest)
    }

    /// The API server lists events by their names: which are the newest is known at the end.
    async fn list(
        &mut self,
        collection: &mut Collection,
        bounds: Bounds,
    ) -> Result<(), WatchError> {
        let mut token = String::new();
        let mut remaining = 0;
        for _ in 0..bounds.pages {
            let page = collection.page(PAGE_SIZE, &token).await;
            let page = page.map_err(|failure| failure.error)?;
            self.events.extend(page.items);
            self.sort();
            let older = self.events.len().saturating_sub(bounds.events);
            self.events.truncate(bounds.events);
            self.older += u64::try_from(older).unwrap_or(u64::MAX);
            remaining = page.metadata.remaining_item_count.unwrap_or_default();
            match page.metadata.next() {
                Some(next) => token = next,
                None => return Ok(()),
            }
        }
        self.unread += u64::try_from(remaining).unwrap_or_default().max(1);
        Ok(())
    }

    /// Puts the newest first.
    pub fn sort(&mut self) {
        self.events
            .sort_by_key(|event| Reverse((event.occurred(), event.version())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{Reply, Server, status};

    /// A page of events that occurred at these minutes.
    fn page(minutes: &[u32], next: &str, remaining: &str) -> Reply {
        let items: Vec<String> = minutes
            .iter()
            .map(|at| format!(r#"{{"metadata":{{"name":"e{at}"}},"lastTimestamp":"2026-01-01T00:{at:02}:00Z"}}"#))
            .collect();
        let items = items.join(",");
        let metadata = format!(r#"{{"continue":"{next}"{remaining}}}"#);
        Reply::Status(
            200,
            format!(r#"{{"metadata":{metadata},"items":[{items}]}}"#),
        )
    }

    fn names(latest: &Latest) -> Vec<&str> {
        latest
            .events
            .iter()
            .map(|event| event.metadata.name.as_str())
            .collect()
    }

    const THREE: Bounds = Bounds {
        events: 3,
        pages: 2,
    };

    #[tokio::test]
    async fn the_newest_of_all_pages_are_used() {
        let server = Server::start(vec![page(&[1, 9, 2], "a=", ""), page(&[5, 3], "", "")]).await;
        let latest = Latest::read(&server.client, &[], THREE).await.unwrap();
        assert_eq!(names(&latest), ["e9", "e5", "e3"]);
        assert_eq!((latest.older, latest.unread), (2, 0));
        assert_eq!(
            server.requests(),
            ["limit=1000", "limit=1000&continue=a%3D"]
        );
    }

    #[tokio::test]
    async fn pages_are_bounded_and_what_is_left_is_counted() {
        let remaining = |count: u32| format!(r#","remainingItemCount":{count}"#);
        for (last, unread) in [(remaining(40), 40), (String::new(), 1)] {
            let pages = vec![
                page(&[1], "a", &remaining(41)),
                page(&[2], "b", &last),
                page(&[3], "", ""),
            ];
            let server = Server::start(pages).await;
            let namespaces = ["one".to_owned(), "two".to_owned()];
            let latest = Latest::read(&server.client, &namespaces, THREE)
                .await
                .unwrap();
            assert_eq!(names(&latest), ["e3", "e2", "e1"], "of both");
            assert_eq!((latest.older, latest.unread), (0, unread));
        }
    }

    #[tokio::test]
    async fn a_refusal_is_told() {
        let server = Server::start(vec![status(403, "not for you")]).await;
        let refused = Latest::read(&server.client, &[], THREE).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the API server answered 403: not for you"
        );
    }
}
