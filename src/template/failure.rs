//! Why a template cannot be rendered for an event.

use std::borrow::Cow;

/// What is wrong, for people. It may quote the event, never the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) message: Cow<'static, str>,
    /// In bytes from the start of the template, once that is known.
    pub(super) at: Option<usize>,
    /// It is the template's fault, whatever the event.
    pub(super) is_certain: bool,
    /// It may be the event's fault. If the fullest event and the emptiest one fail so, it is the template's.
    pub(super) is_suspect: bool,
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

/// Longer quotes would make long lines of log.
const MAX_LENGTH: usize = 200;

// === impl Failure ===

impl Failure {
    pub(super) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_LENGTH {
            let end = message.floor_char_boundary(MAX_LENGTH);
            message = format!("{}…", &message[..end]).into();
        }
        Self {
            message,
            at: None,
            is_certain: false,
            is_suspect: false,
        }
    }

    /// A limit was reached, or types don't go together.
    pub(super) fn suspect(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            is_suspect: true,
            ..Self::new(message)
        }
    }

    /// The same, for what no event can mend.
    pub(super) fn certain(self) -> Self {
        Self {
            is_certain: true,
            ..self
        }
    }

    /// Says where it happened, unless something further in has said so.
    pub(super) fn or_at(self, at: usize) -> Self {
        Self {
            at: self.at.or(Some(at)),
            ..self
        }
    }
}
