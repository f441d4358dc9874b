//! Events as lines for people, like `kubectl get events`.

use std::io::Write as _;

use crate::event::{Event, visible};

/// Appends the names of the columns.
pub(super) fn append_head(to: &mut Vec<u8>) {
    line(
        [
            "LAST SEEN",
            "NAMESPACE",
            "TYPE",
            "REASON",
            "OBJECT",
            "MESSAGE",
        ],
        to,
    );
}

/// Appends one event.
pub(super) fn append(event: &Event, to: &mut Vec<u8>) {
    let object = format!(
        "{}/{}",
        event.involved_object.kind, event.involved_object.name
    );
    let time = event.occurred().seconds().to_string();
    let columns = [
        &time,
        &event.metadata.namespace,
        &event.kind,
        &event.reason,
        &object,
        event.message.trim_end(),
    ];
    line(columns.map(visible).each_ref().map(String::as_str), to);
}

fn line([time, namespace, kind, reason, object, message]: [&str; 6], to: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = writeln!(
        to,
        "{time:<20}  {namespace:<16}  {kind:<7}  {reason:<18}  {object:<40}  {message}"
    );
}
