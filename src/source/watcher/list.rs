//! Lists: streamed, or by pages.

use kube::core::Status;

use super::{InitReason, Machine, State, Update, Versioned};
use crate::source::collection::{Failure, OpenWatch, Page, WatchError, refused};
use crate::source::frames::Frame;

/// The first version whose API server refuses `sendInitialEvents` if it doesn't have it, rather than ignoring it.
const STREAMING_LISTS_SINCE: u32 = 27;
/// The page size that a list grows to when its pages are too slow for the server's memory of the version.
const MAX_PAGE_SIZE: u32 = 10_000;

/// A list by pages, under way.
pub(super) struct Pages<K> {
    /// What is no newer is known already.
    floor: Option<u64>,
    /// What is left of the last page.
    items: std::vec::IntoIter<K>,
    /// What leads to the next page; empty for the first.
    next: Option<String>,
    /// It is what the server gave for a token that had expired.
    next_is_offer: bool,
    /// Of the first page.
    version: String,
    /// Ask first whether the server still counts beyond what is known.
    verify: bool,
}

// === impl Pages ===

impl<K> Pages<K> {
    fn new(floor: Option<u64>) -> Self {
        Self {
            floor,
            items: Vec::new().into_iter(),
            next: Some(String::new()),
            next_is_offer: false,
            version: String::new(),
            verify: false,
        }
    }
}

// === impl Machine ===

impl<K: Versioned> Machine<K> {
    pub(super) async fn list(
        &mut self,
        floor: Option<u64>,
        reason: InitReason,
    ) -> Result<Option<Update<K>>, WatchError> {
        self.state = State::Empty { floor, reason };
        self.reaches_back = false;
        if self.streaming_lists && self.strikes.lists < 2 {
            if self.collection.server_minor().await? >= STREAMING_LISTS_SINCE {
                let query =
                    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=";
                match self.collection.open_watch(query).await {
                    Ok(watch) => {
                        self.state = State::StreamingList {
                            floor,
                            reason,
                            watch,
                        };
                        return Ok(Some(Update::Init {
                            reason,
                            streamed: true,
                        }));
                    }
                    // The feature is switched off.
                    Err(Failure {
                        error:
                            WatchError::Refused {
                                code: 400 | 403 | 422,
                                ..
                            },
                        ..
                    }) => {}
                    Err(failure) => {
                        // A server that is not there says nothing about its streams.
                        if !matches!(failure.error, WatchError::Unreachable(_)) {
                            self.strikes.lists += 1;
                        }
                        return Err(self.failed(failure));
                    }
                }
            }
            self.streaming_lists = false;
        }
        self.state = State::Paging(Pages::new(floor));
        Ok(Some(Update::Init {
            reason,
            streamed: false,
        }))
    }

    pub(super) async fn page(
        &mut self,
        mut pages: Pages<K>,
    ) -> Result<Option<Update<K>>, WatchError> {
        let floor = pages.floor;
        if let Some(item) = pages.items.find(|item| self.is_above(item, floor)) {
            self.state = State::Paging(pages);
            return Ok(Some(Update::InitApply(item)));
        }
        let Some(token) = pages.next.clone() else {
            self.strikes.tokens = 0;
            self.state = State::Idle {
                version: pages.version.clone(),
                verify: false,
            };
            return Ok(Some(Update::InitDone {
                version: pages.version,
                reaches_back: self.reaches_back,
            }));
        };
        match self.next_page(&pages, &token).await {
            Ok(Some(page)) => {
                // Pages after an expired token are of a later version. The watch starts from the first, or what changed
                // between the two would be missed.
                if pages.version.is_empty() {
                    pages.version.clone_from(&page.metadata.resource_version);
                }
                self.state = State::Paging(Pages {
                    items: page.items.into_iter(),
                    next: page.metadata.next(),
                    next_is_offer: false,
                    verify: false,
                    ..pages
                });
                Ok(None)
            }
            Ok(None) => {
                self.start_over();
                Ok(None)
            }
            // 410: the server's memory was shorter than the list. 400: it does not know its own token.
            Err(Failure {
                status: Some(status),
                ..
            }) if matches!(status.code, 400 | 410) && !token.is_empty() => {
                self.token_refused(pages, *status)
            }
            Err(failure) => {
                // The token is worth nothing to a server that comes back with another history.
                self.state = State::Paging(Pages {
                    verify: true,
                    ..pages
                });
                Err(self.failed(failure))
            }
        }
    }

    /// The page that `token` leads to. `None` if the server has gone back behind what is known.
    async fn next_page(
        &mut self,
        pages: &Pages<K>,
        token: &str,
    ) -> Result<Option<Page<K>>, Failure> {
        let is_first = token.is_empty();
        if pages.verify && !is_first && self.has_gone_back(pages.floor).await? {
            return Ok(None);
        }
        let page = self.collection.page::<K>(self.page_size, token).await?;
        // Later pages have the version of the first, or of when the server offered to go on.
        let is_ahead = is_first && self.is_ahead(pages.floor, &page.metadata.resource_version);
        Ok((!is_ahead).then_some(page))
    }

    /// The server may offer to go on from where we are, in a later version, however slowly objects are taken. Else the list begins
    /// again, in larger pages.
    fn token_refused(
        &mut self,
        mut pages: Pages<K>,
        status: Status,
    ) -> Result<Option<Update<K>>, WatchError> {
        let refusal = refused(&status);
        let offer = status
            .metadata
            .and_then(|metadata| metadata.continue_)
            .filter(|token| !token.is_empty() && !pages.next_is_offer);
        if offer.is_some() {
            pages.next = offer;
            pages.next_is_offer = true;
            self.state = State::Paging(pages);
            return Ok(None);
        }
        self.page_size = (self.page_size * 4).min(MAX_PAGE_SIZE);
        self.state = State::Paging(Pages::new(pages.floor));
        self.strikes.tokens += 1;
        if self.strikes.tokens >= 2 {
            return Err(refusal);
        }
        Ok(None)
    }

    pub(super) async fn stream_list(
        &mut self,
        floor: Option<u64>,
        reason: InitReason,
        mut watch: OpenWatch,
    ) -> Result<Option<Update<K>>, WatchError> {
        // Until the list is complete nothing of it can be built on.
        self.state = State::Empty { floor, reason };
        match watch.next().await {
            Ok(Some(Frame::Applied(object))) => {
                self.state = State::StreamingList {
                    floor,
                    reason,
                    watch,
                };
                Ok(self
                    .is_above(&object, floor)
                    .then_some(Update::InitApply(object)))
            }
            Ok(Some(Frame::Bookmark {
                version,
                ends_list: true,
            })) => {
                if self.is_ahead(floor, &version) {
                    // What was left out of the list may be what is missing.
                    self.start_over();
                    return Ok(None);
                }
                self.strikes.lists = 0;
                self.state = State::Watching {
                    version: version.clone(),
                    watch,
                };
                Ok(Some(Update::InitDone {
                    version,
                    reaches_back: self.reaches_back,
                }))
            }
            Ok(Some(Frame::Deleted { .. } | Frame::Bookmark { .. })) => {
                self.state = State::StreamingList {
                    floor,
                    reason,
                    watch,
                };
                Ok(None)
            }
            Ok(Some(Frame::Malformed { cause, reason: why })) => {
                self.state = State::StreamingList {
                    floor,
                    reason,
                    watch,
                };
                Ok(Some(Update::Malformed { cause, reason: why }))
            }
            Ok(Some(Frame::Error(status))) => {
                self.strikes.lists += 1;
                Err(refused(&status))
            }
            Ok(None) => {
                self.strikes.lists += 1;
                Err(WatchError::ClosedAtOnce)
            }
            Err(error) => {
                self.strikes.lists += 1;
                Err(error)
            }
        }
    }

    /// Whether a listed object is newer than what is known. One whose version is no number counts as newer.
    fn is_above(&mut self, object: &K, floor: Option<u64>) -> bool {
        let is_above = match (object.resource_version().parse::<u64>(), floor) {
            (Ok(version), Some(floor)) => version > floor,
            _ => true,
        };
        self.reaches_back |= !is_above;
        is_above
    }
}
