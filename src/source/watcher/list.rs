//! Lists: streamed, or by pages.

use super::{InitReason, Machine, State, Strikes, Update, Versioned};
use crate::source::collection::{Failure, OpenWatch, WatchError, refused};
use crate::source::frames::Frame;

/// The first version whose API server refuses `sendInitialEvents` if it doesn't have it, rather than ignoring it.
const STREAMING_LISTS_SINCE: u32 = 27;
/// The page size that a list grows to when its pages are too slow for the server's memory of the version.
const MAX_PAGE_SIZE: u32 = 10_000;

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
                    Err(failure) => return Err(self.failed(failure)),
                }
            }
            self.streaming_lists = false;
        }
        self.state = State::Paging {
            floor,
            items: Vec::new().into_iter(),
            next: Some(String::new()),
            version: String::new(),
        };
        Ok(Some(Update::Init {
            reason,
            streamed: false,
        }))
    }

    pub(super) async fn page(
        &mut self,
        floor: Option<u64>,
        mut items: std::vec::IntoIter<K>,
        next: Option<String>,
        version: String,
    ) -> Result<Option<Update<K>>, WatchError> {
        if let Some(item) = items.find(|item| self.is_above(item, floor)) {
            self.state = State::Paging {
                floor,
                items,
                next,
                version,
            };
            return Ok(Some(Update::InitApply(item)));
        }
        let Some(token) = next else {
            self.state = State::Idle {
                version: version.clone(),
                verify: false,
            };
            return Ok(Some(Update::InitDone {
                version,
                reaches_back: self.reaches_back,
            }));
        };
        match self.collection.page(self.page_size, &token).await {
            Ok(page) => {
                if self.is_ahead(floor, &page.metadata.resource_version) {
                    self.start_over();
                    return Ok(None);
                }
                // Pages after an expired token are of a later version. The watch starts from the first, or what changed
                // between the two would be missed.
                let version = if version.is_empty() {
                    page.metadata.resource_version.clone()
                } else {
                    version
                };
                let next = page.metadata.next();
                self.state = State::Paging {
                    floor,
                    items: page.items.into_iter(),
                    next,
                    version,
                };
                Ok(None)
            }
            Err(Failure {
                status: Some(status),
                ..
            }) if status.code == 410 && !token.is_empty() => {
                // The server's memory was shorter than the list. It may offer to go on from where we are, in a later
                // version, however slowly objects are taken; else pages have to be larger.
                let offered = status
                    .metadata
                    .and_then(|metadata| metadata.continue_)
                    .filter(|token| !token.is_empty());
                let (next, version) = if let Some(token) = offered {
                    (token, version)
                } else {
                    self.page_size = (self.page_size * 4).min(MAX_PAGE_SIZE);
                    (String::new(), String::new())
                };
                self.state = State::Paging {
                    floor,
                    items,
                    next: Some(next),
                    version,
                };
                Ok(None)
            }
            Err(failure) => {
                self.state = State::Paging {
                    floor,
                    items,
                    next: Some(token),
                    version,
                };
                Err(self.failed(failure))
            }
        }
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
                self.strikes = Strikes::default();
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
